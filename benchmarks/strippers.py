"""Brain masks by every way of `--skull-strip`: overlap with the truth, seconds and memory.

    python benchmarks/strippers.py [WORK_DIR] [--heads 24] [--data ../shared/data]

Digital heads of 2 mm (those of anatomy.py, without its nuclei) and, where --data has it, a real head, for which there
is no truth: its masks are compared with that of `ants`. A digital head's masks are made by `qsmprep ... --stop-after
mask`, so seconds and memory are those of the whole way to the masks; the real head's by the functions below it. A way
whose program is not installed is left out and told. Finished runs are not repeated; prints a table and puts it into
README.md.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
from anatomy import heads
from measure import measure
from page import put

from qsmprep.errors import QsmprepError
from qsmprep.mask.brain import extract_brain
from qsmprep.mask.extract import check_program, extract_by_program
from qsmprep.space.resample import apply

ROOT = Path(__file__).resolve().parents[1]
WITHOUT_T1W = '{"t1w": {"acquisition": "none"}}'
WAYS = {
    "ants, on the T1w": ("ants", True),
    "ants, on the gradient echo": ("ants", False),
    "deepbet, on the T1w": ("deepbet", True),
    "synthstrip, on the T1w": ("synthstrip", True),
    "quality, without T1w": ("quality", False),
}
REAL = "real head"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work_dir", type=Path, nargs="?", default=ROOT / "benchmarks" / "strippers")
    parser.add_argument("--one", nargs=3, metavar=("METHOD", "IMAGE", "MASK"), help="make one mask of the real head")
    parser.add_argument("--heads", type=int, default=24)
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    given = parser.parse_args(arguments)
    if given.one:
        return one_mask(given.one[0], Path(given.one[1]), Path(given.one[2]), given.work_dir)
    given.work_dir.mkdir(parents=True, exist_ok=True)
    ways = {name: WAYS[name] for name in given.ways if _installed(WAYS[name][0])}
    for name in [name for name in heads() if name.startswith("2mm")][: given.heads]:
        if not all(_result(given.work_dir, name, way).exists() for way in ways):
            run_phantom(name, ways, given.work_dir)
    if (given.data / "xa30").is_dir():
        run_real(given.data / "xa30", ways, given.work_dir)
    text = table(given.work_dir)
    print(text)
    put("strippers", text)
    return 0


def run_phantom(name: str, ways: dict[str, tuple[str, bool]], work_dir: Path) -> None:
    """One digital head: masks by all ways, each compared with the brain that it was made of."""
    bids = work_dir / name / "bids"
    subprocess.run([Path(sys.executable).parent / "qsmprep-phantom", bids, *heads()[name]], check=True)
    truth = _load(next(bids.glob("derivatives/phantom/sub-*/**/*_desc-brain_mask.nii.gz"))) > 0
    for way in ways:
        found = extract(way, bids, work_dir / name)
        if found:
            result, masks = found
            _result(work_dir, name, way).write_text(json.dumps(result | {"dice": dice(_load(masks[-1]) > 0, truth)}))
    for folder in (work_dir / name).iterdir():
        if folder.is_dir():
            shutil.rmtree(folder)


def run_real(bids: Path, ways: dict[str, tuple[str, bool]], work_dir: Path) -> None:
    """The real head: masks from its T1w and its magnitude, each compared with that of `ants` on the T1w's grid."""
    head = bids / "sub-01"
    images = {True: head / "anat" / "sub-01_rec-norm_T1w.nii.gz", False: head / "fmap" / "sub-01_magnitude1.nii.gz"}
    first: Path | None = None
    for way, (method, with_t1w) in ways.items():
        if method == "quality":  # it has no phase of its echoes
            continue
        mask = work_dir / REAL / f"{method}_{'t1w' if with_t1w else 'gre'}.nii.gz"
        result = _result(work_dir, REAL, way)
        if not (mask.exists() and result.exists()):
            command = [sys.executable, __file__, str(work_dir), "--one", method, str(images[with_t1w]), str(mask)]
            cost = measure(command)
            there = work_dir / REAL / "on_first.nii.gz"
            apply(mask, first or mask, [], there, interpolation="label")
            overlap = dice(_load(there) > 0, _load(first or mask) > 0)
            result.write_text(json.dumps(cost | {"dice": overlap, "ml": volume(mask)}))
        first = first or mask


def one_mask(method: str, image: Path, mask: Path, work_dir: Path) -> int:
    """The brain of one image, in this process."""
    if method == "ants":
        extract_brain(image, mask, transforms_dir=work_dir / REAL / mask.name.split(".")[0])
    else:
        extract_by_program(image, mask, method)
    return 0


def extract(way: str, bids: Path, folder: Path) -> tuple[dict[str, float], list[Path]] | None:
    """Run the program up to the masks; what it cost and the brain masks on the gradient echo's grid."""
    method, with_t1w = WAYS[way]
    out = folder / way.replace(", ", "_").replace(" ", "_")
    options = ["--skull-strip", method, "--stop-after", "mask", "--skip-bids-validation", "-w", str(folder / "work")]
    if not with_t1w:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "filter.json").write_text(WITHOUT_T1W)
        options += ["--bids-filter-file", str(folder / "filter.json")]
    program = str(Path(sys.executable).parent / "qsmprep")
    result = measure([program, str(bids), str(out), "participant", *options])
    masks = [path for path in sorted(out.glob("sub-*/**/*_desc-brain_mask.nii.gz")) if "space-" not in path.name]
    return (result, masks) if masks else None


def table(work_dir: Path) -> str:
    """Markdown: a row a way, with the digital heads and the real one beside each other."""
    lines = [
        "| way | heads | Dice: median (5th percentile) | seconds | GB "
        "| real head: Dice with the first row | mL | seconds | GB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for way in WAYS:
        runs = [json.loads(path.read_text()) for path in sorted(work_dir.glob(f"2mm_*/{_file(way)}"))]
        real = _result(work_dir, REAL, way)
        there = json.loads(real.read_text()) if real.exists() else {}
        if not runs and not there:
            lines.append(f"| {way} | no result | | | | | | | |")
            continue
        cells = [way, str(len(runs)), "n/a", "n/a", "n/a"]
        if runs:
            overlap = [run["dice"] for run in runs]
            cells[2] = f"{np.median(overlap):.3f} ({np.percentile(overlap, 5):.3f})"
            cells[3] = f"{np.median([run['seconds'] for run in runs]):.0f}"
            cells[4] = f"{np.median([run['peak_gb'] for run in runs]):.1f}"
        formats = {"dice": ".3f", "ml": ".0f", "seconds": ".0f", "peak_gb": ".1f"}
        cells += [format(there[key], spec) if there else "n/a" for key, spec in formats.items()]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return round(float(2 * (a & b).sum() / (a.sum() + b.sum())), 4)


def volume(mask: Path) -> float:
    """Volume of a mask [mL]."""
    image = nib.load(mask)
    return float((np.asanyarray(image.dataobj) > 0).sum() * abs(np.linalg.det(image.affine[:3, :3])) / 1000)


def _installed(method: str) -> bool:
    try:
        check_program(method)
    except QsmprepError as error:
        print(f"left out: {error}", file=sys.stderr)
        return False
    return True


def _load(path: Path) -> np.ndarray:
    return np.asanyarray(nib.load(path).dataobj)


def _file(way: str) -> str:
    return way.replace(", ", "_").replace(" ", "_") + ".json"


def _result(work_dir: Path, name: str, way: str) -> Path:
    folder = work_dir / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder / _file(way)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
