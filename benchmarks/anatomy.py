"""Labels and regional χ on digital heads of many shapes, whose nuclei come from another atlas than the packaged one.

    python benchmarks/anatomy.py WORK_DIR --labels AllenAtlas.nii.gz --labels-tsv AllenAtlas.json [--only NAME ...]

24 heads at 2 mm and 4 at 1 mm differ in shape, tilt, slice angle and ventricles (1.0 to 1.6 times). Each is processed
by T1w and χ together, by the T1w alone, and by the gradient echo alone with χ. What is there already is not made again,
so the script may be stopped; the table is made of what is there, and says of how many heads.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from acceptance import NUCLEI, OVERLAPS, atlas_agreement, compare
from measure import measure
from page import put

WAYS = {
    "T1w and χ": [],
    "T1w alone": ["--no-multi-contrast"],
    "gradient echo and χ": ["--bids-filter-file", "FILTER"],
}
WITHIN = dict.fromkeys(OVERLAPS, 0.05) | dict.fromkeys(("SN", "STN", "dentate"), 0.08)


def heads() -> dict[str, list[str]]:
    """Name -> options of `qsmprep-phantom`."""
    made = {}
    sizes = ["1"] * 4 + ["2"] * 24
    for number, size in enumerate(sizes):
        rng = np.random.default_rng(number)
        tilt, slices = rng.uniform(-20, 20, 2).round(1)
        ventricles = (1.0, 1.2, 1.4, 1.6)[number % 4]
        made[f"{size}mm_{number:02d}"] = [
            *("--participants", "1", "--groups", "control", "--seed", str(100 + number), "--voxel-size", size),
            *("--head-tilt", str(tilt), "--obliquity", str(slices), "--ventricles", str(ventricles)),
        ]
    return made


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work_dir", type=Path)
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--labels-tsv", type=Path, required=True)
    parser.add_argument("--only", nargs="+", default=list(heads()), help="names of heads, such as 2mm_04")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--check", action="store_true", help="fail where a nucleus lies far below the ceiling")
    parser.add_argument("--table-only", action="store_true", help="make no head, write README.md from what is there")
    given = parser.parse_args(arguments)
    for name in () if given.table_only else given.only:
        run_head(name, given)
    ceiling = atlas_agreement(given.labels, given.labels_tsv)
    results = read_results(given.work_dir)
    text = tables(results, ceiling)
    print(text)
    if given.check:
        return check(results, ceiling)
    put("anatomy", text)
    return 0


def run_head(name: str, given: argparse.Namespace) -> None:
    """Make one head and process it each way; images are deleted in the end, the comparisons stay."""
    folder = given.work_dir / name
    ways = {way: folder / _file(way) for way in given.ways}
    if all(path.exists() for path in ways.values()):
        return
    programs, bids = Path(sys.executable).parent, folder / "bids"
    labels = ["--labels", str(given.labels), "--labels-tsv", str(given.labels_tsv)]
    subprocess.run([programs / "qsmprep-phantom", bids, *heads()[name], *labels], check=True)
    without = folder / "filter.json"
    without.write_text('{"t1w": {"acquisition": "none"}}')
    for way, path in ways.items():
        if path.exists():
            continue
        out = folder / path.stem
        options = [str(without) if option == "FILTER" else option for option in WAYS[way]]
        command = [str(programs / "qsmprep"), str(bids), str(out), "participant", "-w", str(folder / "work"),
                   "--skip-bids-validation", *options]  # fmt: skip
        result = measure(command) | compare(bids / "derivatives" / "phantom", out)
        path.write_text(json.dumps(result, indent=1))
        print(name, way, result["seconds"], result["dice"], flush=True)
    for part in (bids, folder / "work", *(path.with_suffix("") for path in ways.values())):
        shutil.rmtree(part, ignore_errors=True)


def read_results(work_dir: Path) -> dict[str, dict[str, list[dict]]]:
    """Voxel size ("1mm") -> way -> the results that are there."""
    found: dict[str, dict[str, list[dict]]] = {}
    for name in heads():
        for way in WAYS:
            path = work_dir / name / _file(way)
            if path.exists():
                found.setdefault(name.split("_")[0], {}).setdefault(way, []).append(json.loads(path.read_text()))
    return found


def tables(results: dict[str, dict[str, list[dict]]], ceiling: dict[str, float]) -> str:
    """Dice (median and 5th percentile) and bias of χ per nucleus, a row per voxel size and way."""
    head = ["voxels", "registration", "heads", *OVERLAPS, "mask", "minutes", "peak GB"]
    overlaps = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    head = ["voxels", "registration", "heads", *NUCLEI, "slope", "r"]
    biases = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for size, ways in results.items():
        for way, runs in ways.items():
            start = [size.replace("mm", " mm"), way, str(len(runs))]
            dice = [_spread([run["dice"][nucleus] for run in runs]) for nucleus in OVERLAPS]
            mask = _spread([run["mask_dice"] for run in runs])
            minutes, peak = (np.median([run[key] for run in runs]) for key in ("seconds", "peak_gb"))
            overlaps.append("| " + " | ".join([*start, *dice, mask, f"{minutes / 60:.1f}", f"{peak:.1f}"]) + " |")
            bias = [" ".join(_bias(runs, nucleus)) for nucleus in NUCLEI]
            fit = [f"{np.median([run[key] for run in runs]):.3f}" for key in ("slope", "r")]
            biases.append("| " + " | ".join([*start, *bias, *fit]) + " |")
    last = ["", "the two atlases in template space", "", *(f"{ceiling.get(n, float('nan')):.2f}" for n in OVERLAPS)]
    overlaps.append("| " + " | ".join([*last, "", "", ""]) + " |")
    return "\n".join(
        [
            "Dice with the true labels: median (5th percentile).\n",
            *overlaps,
            "\nBias of χ [ppb], median over heads: of chi_mean / of chi_median (of the mean with the true labels).\n",
            *biases,
        ]
    )


def check(results: dict[str, dict[str, list[dict]]], ceiling: dict[str, float]) -> int:
    """1 if a nucleus lies further below the ceiling than at 1 mm plus what voxels of 2 mm cost, else 0."""
    poor = []
    for size, ways in results.items():
        allowance = 0.0 if size == "1mm" else 0.1
        for nucleus, within in WITHIN.items():
            found = float(np.median([run["dice"][nucleus] for run in ways.get("T1w and χ", [])]))
            if not found >= ceiling[nucleus] - within - allowance:
                poor.append(f"{size} {nucleus}: Dice {found:.2f}, the two atlases have {ceiling[nucleus]:.2f}")
    print("\n".join(poor) or "labels agree with the truth as well as they should")
    return int(bool(poor) or not results)


def _bias(runs: list[dict], nucleus: str) -> list[str]:
    """Median over heads of measured minus true χ [ppb]: of the region's mean, of its median, and of the mean within the
    true region. Mean is compared with mean, and median with median: within a nucleus χ is not spread evenly."""
    pairs = (("chi_measured", "chi_true"), ("chi_median", "chi_true_median"), ("chi_on_true_labels", "chi_true"))
    mean, median, on_truth = (
        np.median([1000 * (run[found][nucleus] - run[true][nucleus]) for run in runs]) for found, true in pairs
    )
    return [f"{mean:+.1f} / {median:+.1f}", f"({on_truth:+.1f})"]


def _file(way: str) -> str:
    return f"{way.replace(' ', '_').replace('χ', 'chi')}.json"


def _spread(values: list[float]) -> str:
    return f"{np.median(values):.2f} ({np.percentile(values, 5):.2f})"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
