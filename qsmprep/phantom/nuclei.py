"""Label images of nuclei in template space: whose names, which side, and what to do where one lacks a nucleus."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from .tissue import REGIONS, SAME_PLACE

# how atlases call what `tissue.REGIONS` holds (lower case, words apart, side taken off)
_ALIASES: dict[str, tuple[str, ...]] = {
    "caudate": ("ca", "cah", "cab", "cat", "cn", "caudate nucleus"),
    "putamen": ("pu", "put", "pupv"),
    "accumbens": ("nac", "nucleus accumbens", "accumbensarea", "accumbens area", "nacc"),
    "GP": ("pallidum", "globus pallidus"),
    "GPe": ("globus pallidus externa", "globus pallidus external", "globus pallidus externus"),
    "GPi": ("globus pallidus interna", "globus pallidus internal", "globus pallidus internus"),
    "SN": ("substantia nigra",),
    "SNc-PBP-VTA": ("snc",),
    "SNr": (),
    "red nucleus": ("rn",),
    "STN": ("sth", "subthalamic nucleus"),
    "dentate": ("dn", "cbdn", "dentate nucleus"),
    "thalamus": (
        *(
            "thalamusproper",
            "thalamus proper",
            "thalamus anterior",
            "thalamus posterior",
            "thm",
            "anc",
            "ld",
            "md",
            "re",
        ),
        *("lp", "va", "vl", "vpl", "vpm", "dlg", "mg", "cm", "pf"),
    ),
    "pulvinar": ("pul",),
    "hippocampus": ("hip", "hih", "hib", "hit"),
    "amygdala": ("amy", "aaa", "cen", "la", "bl", "bm", "coa", "cop", "me", "aha"),
    "ventral pallidum": ("vep",),
    "extended amygdala": ("exa", "bnst"),
    "habenula": ("hn", "habenular nuclei"),
    "hypothalamus": ("hth", "hthpo", "hthso", "hthtub", "hthma"),
    "mammillary": ("mn", "mammillary nucleus", "mammillary body"),
    "claustrum": ("cla",),
}


def _words(name: str) -> str:
    return " ".join(re.sub(r"[^a-z0-9]+", " ", name.lower()).split())


_CANONICAL = {_words(alias): name for name, aliases in _ALIASES.items() for alias in (name, *aliases)}


def canonical(name: str) -> str | None:
    """The name in `tissue.REGIONS` of an atlas's region; None for what the head leaves to its T1w."""
    words = _words(name)
    for side in ("left ", "right ", "l ", "r "):
        words = words.removeprefix(side)
    for side in (" left", " right", " lh", " rh", " l", " r"):
        words = words.removesuffix(side)
    return _CANONICAL.get(words)


def _side(name: str, hemisphere: str) -> str:
    """L, R, or "" where the label covers both sides."""
    if hemisphere[:1].upper() in ("L", "R"):
        return hemisphere[:1].upper()
    words = _words(name)
    for side, letter in (("left", "L"), ("right", "R")):
        if words.startswith(side) or words.endswith(side):
            return letter
    return {"lh": "L", "rh": "R", "l": "L", "r": "R"}.get(words.rsplit(" ", 1)[-1] if " " in words else "", "")


def read_lookup(path: Path) -> list[tuple[int, str, str]]:
    """(index, name, hemisphere) of a label image's regions.

    A TSV with the columns index, name and, where sides are told apart, hemisphere; or a JSON whose "labels" are the
    names in the order of the indices.
    """
    try:
        if path.suffix == ".json":
            names = json.loads(path.read_text(encoding="utf-8"))["labels"]
            return [(i, str(name), "") for i, name in enumerate(names) if i and name]
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
            return [(int(row["index"]), row["name"], row.get("hemisphere") or "") for row in rows]
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise UsageError(
            f"{path}: cannot be read as a table of labels ({error}); expected a TSV with the columns index, name and "
            "hemisphere"
        ) from error


@dataclass(frozen=True)
class Nuclei:
    """Nuclei in template space.

    labels : (x, y, z) uint8, 0 where there is none, else 1 + position in `regions`
    affine : (4, 4), voxels to template mm
    regions : (name, "L" or "R")
    """

    labels: NDArray[np.uint8]
    affine: NDArray[np.float64]
    regions: tuple[tuple[str, str], ...]


def _right_of_midline(shape: tuple[int, ...], affine: NDArray[np.float64]) -> NDArray[np.bool_]:
    i, j, k = np.ogrid[: shape[0], : shape[1], : shape[2]]
    return np.asarray(affine[0, 0] * i + affine[0, 1] * j + affine[0, 2] * k + affine[0, 3] > 0)


def load_nuclei(image_path: Path, lookup_path: Path) -> Nuclei:
    """Read a label image; labels of one structure are joined, labels of both sides split at the midline."""
    import nibabel as nib

    image: Any = nib.load(image_path)
    data = np.asarray(image.dataobj)
    if data.ndim != 3:
        raise UsageError(f"{image_path}: found shape {data.shape}, expected one volume of labels")
    data = np.rint(data).astype(np.int32)
    right = _right_of_midline(data.shape, image.affine)
    regions: list[tuple[str, str]] = []
    table = np.zeros((int(data.max()) + 1, 2), dtype=np.uint8)  # label -> new label left, right of the midline
    for index, given, hemisphere in read_lookup(lookup_path):
        name, side = canonical(given), _side(given, hemisphere)
        if name is None or index >= len(table):
            continue
        for column, letter in enumerate("LR"):
            key = (name, side or letter)
            if key not in regions:
                regions.append(key)
            table[index, column] = regions.index(key) + 1
    if not regions:
        raise UsageError(
            f"{lookup_path}: no region of the digital head among its names; expected some of "
            + ", ".join(sorted(REGIONS))
        )
    labels = np.where(right, table[data, 1], table[data, 0])
    return Nuclei(labels, np.asarray(image.affine, dtype=np.float64), tuple(regions))


def complete(nuclei: Nuclei, packaged: Nuclei) -> Nuclei:
    """Add the nuclei that an atlas lacks from the packaged one, where nothing else lies."""
    has = {name for name, _ in nuclei.regions}
    for group in SAME_PLACE:
        if has & group:
            has |= group
    missing = [(i, key) for i, key in enumerate(packaged.regions, 1) if key[0] not in has]
    if not missing:
        return nuclei
    table = np.zeros(len(packaged.regions) + 1, dtype=np.uint8)
    for place, (i, _) in enumerate(missing, len(nuclei.regions) + 1):
        table[i] = place
    added = _nearest(table[packaged.labels], packaged.affine, nuclei.labels.shape, nuclei.affine)
    labels = np.where(nuclei.labels > 0, nuclei.labels, added)
    return Nuclei(labels, nuclei.affine, (*nuclei.regions, *(key for _, key in missing)))


def _nearest(
    data: NDArray[np.uint8], affine: NDArray[np.float64], shape: tuple[int, ...], target: NDArray[np.float64]
) -> NDArray[np.uint8]:
    from scipy.ndimage import affine_transform

    to_source = np.linalg.inv(affine) @ target
    result: NDArray[np.uint8] = affine_transform(data, to_source, output_shape=shape, order=0, mode="constant")
    return result


def crop(nuclei: Nuclei) -> Nuclei:
    """The same nuclei without the empty rim of the image."""
    slices = []
    for axis in range(3):
        hits = np.flatnonzero(nuclei.labels.any(axis=tuple(a for a in range(3) if a != axis)))
        slices.append(slice(max(int(hits[0]) - 1, 0), int(hits[-1]) + 2))
    affine = nuclei.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ np.array([s.start for s in slices])
    return Nuclei(np.ascontiguousarray(nuclei.labels[tuple(slices)]), affine, nuclei.regions)
