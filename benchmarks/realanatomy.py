"""The deep nuclei of a real head: through its T1w, through its gradient echo, and by another atlas.

    python benchmarks/realanatomy.py [--data ../shared/data]

Brain extraction and registration as the program makes them (without χ: the head has none), once through the T1w, once
through the gradient echo's magnitude, and again with the same seed. Puts the overlaps into README.md, and writes
docs/figures/xa30_labels_*.webp.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
from acceptance import OVERLAPS
from page import put

from qsmprep import data
from qsmprep.mask.brain import extract_brain
from qsmprep.phantom.nuclei import load_nuclei
from qsmprep.report.figures import plot_labels
from qsmprep.space.registration import normalize, rigid
from qsmprep.space.resample import apply

ROOT = Path(__file__).resolve().parents[1]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "figures")
    given = parser.parse_args(arguments)
    head = given.data / "xa30" / "sub-01"
    t1w, gre = head / "anat" / "sub-01_rec-norm_T1w.nii.gz", head / "fmap" / "sub-01_magnitude1.nii.gz"
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        overlaps = compare(t1w, gre, given.data / "atlases", work, given.out)
    columns = list(OVERLAPS)
    lines = ["| what | " + " | ".join(columns) + " |", "|" + "---|" * (len(columns) + 1)]
    for what, dice in overlaps.items():
        lines.append(f"| {what} | " + " | ".join(f"{dice[n]:.3f}" if n in dice else "n/a" for n in columns) + " |")
    print("\n".join(lines))
    put("realanatomy", "\n".join(lines))
    return 0


def compare(t1w: Path, gre: Path, atlases: Path, work: Path, out: Path) -> dict[str, dict[str, float]]:
    """Overlaps of the nuclei on the T1w's grid, by what was compared."""
    through_t1w = chain(t1w, work / "t1w")
    own = chain(gre, work / "gre")
    to_t1w = rigid(gre, t1w, work / "rigid", fixed_mask=work / "t1w" / "mask.nii.gz").forward
    atlas = data.atlas("deepgrey")
    packaged = on_grid(atlas.image, t1w, through_t1w, work / "packaged.nii.gz")
    through_gre = on_grid(atlas.image, t1w, [*to_t1w, *own], work / "gre_path.nii.gz")
    names = pd.read_csv(atlas.labels, sep="\t")
    allen = load_nuclei(atlases / "AllenAtlas.nii.gz", atlases / "AllenAtlas.json")
    stored = work / "allen.nii.gz"
    nib.save(nib.Nifti1Image(allen.labels.astype(np.int16), allen.affine), stored)
    other = on_grid(stored, t1w, through_t1w, work / "allen_on_t1w.nii.gz")
    other_names = pd.DataFrame({"index": range(1, len(allen.regions) + 1), "name": [n for n, _ in allen.regions]})
    draw(t1w, work / "packaged.nii.gz", names, out / "xa30_labels_t1w.webp", "Through the T1w")
    gre_labels = work / "gre_grid.nii.gz"
    on_grid(atlas.image, gre, own, gre_labels)
    draw(gre, gre_labels, names, out / "xa30_labels_gre.webp", "Through the gradient echo alone")
    again = on_grid(atlas.image, t1w, chain(t1w, work / "again"), work / "again.nii.gz")
    return {
        "T1w against gradient echo (3.4 mm)": dice_of(packaged, names, through_gre, names),
        "packaged atlas against Allen's": dice_of(packaged, names, other, other_names),
        "same seed, repeated": dice_of(packaged, names, again, names),
    }


def chain(image: Path, folder: Path) -> list[Path]:
    """Brain extraction and registration to the template; the transforms that bring the template to the image."""
    folder.mkdir(parents=True)
    start, mask = time.perf_counter(), folder / "mask.nii.gz"
    extract_brain(image, mask, transforms_dir=folder / "head")
    found = normalize(image, mask, folder, start=folder / "head").inverse
    print(f"{image.name}: {time.perf_counter() - start:.0f} s", file=sys.stderr)
    return list(found)


def on_grid(labels: Path, grid: Path, transforms: Sequence[Path], out: Path) -> np.ndarray:
    """Labels on the grid of an image."""
    apply(labels, grid, transforms, out, interpolation="label")
    return np.rint(np.asanyarray(nib.load(out).dataobj)).astype(int)


def dice_of(a: np.ndarray, a_names: pd.DataFrame, b: np.ndarray, b_names: pd.DataFrame) -> dict[str, float]:
    """Dice of each nucleus that both have."""
    found = {}
    for nucleus, parts in OVERLAPS.items():
        first, second = (np.isin(x, n.loc[n["name"].isin(parts), "index"]) for x, n in ((a, a_names), (b, b_names)))
        if first.any() and second.any():
            found[nucleus] = 2 * float((first & second).sum()) / float(first.sum() + second.sum())
    return found


def draw(image: Path, labels: Path, lookup: pd.DataFrame, out: Path, title: str) -> None:
    """Outlines of the labels on the image."""
    values: Any = nib.load(image)
    brightness = np.asanyarray(values.dataobj).astype(np.float32)
    mask = brightness > 0.2 * np.percentile(brightness, 98)
    plot_labels(brightness, np.asanyarray(nib.load(labels).dataobj), values.affine, mask, out,
                lookup=lookup, vmin=0, vmax=float(np.percentile(brightness, 99.5)), title=title)  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
