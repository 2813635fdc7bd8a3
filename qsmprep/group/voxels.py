"""Maps of many persons in template space as one matrix, smoothed inside tissues, with labels of the atlases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsmprep import data
from qsmprep.group.maps import Source, same_grid, valid_voxels
from qsmprep.group.people import Ledger
from qsmprep.group.quantities import Quantity
from qsmprep.group.spaces import Space
from qsmprep.stats.smooth import smooth_within

SPACING = 2.0  # mm: a finer grid is thinned to this before voxels are tested
_OFFSETS = {"deepgrey": 0, "DK": 1000}  # what is added to the labels; the first wins where both have one
_LEAST_COVERED = 0.8  # of the median number of voxels


@dataclass(frozen=True)
class Stack:
    """Maps of persons on one grid.

    Attributes
    ----------
    space : where they lie
    quantity : what the maps show
    rows : participant -> (x, y, z) in its unit, NaN where it is not valid
    paths : participant -> its maps
    affine : (4, 4) of the grid [mm]
    atlas : (x, y, z) labels as in `label_names`; None in a space without atlases
    """

    space: Space
    quantity: Quantity
    rows: Mapping[str, NDArray[np.float32]]
    paths: Mapping[str, tuple[Path, ...]]
    affine: NDArray[np.float64]
    atlas: NDArray[np.int16] | None

    def common(self, participants: Sequence[str]) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        """The voxels that all of them have, (x, y, z), and their values, (n, v).

        Raises
        ------
        ValueError
            If there are none.
        """
        if not participants:
            raise ValueError(f"no participant has both a map of {self.quantity.symbol} and all columns of the model")
        mask = np.logical_and.reduce([np.isfinite(self.rows[one]) for one in participants])
        if not mask.any():
            raise ValueError(f"no voxel is inside the masks of all {len(participants)} participants")
        return mask, np.stack([self.rows[one][mask] for one in participants])


def load_stack(sources: Sequence[Source], fwhm: float, space: Space, ledger: Ledger) -> Stack:
    """Read and smooth the maps; those of one person are averaged. Who covers too little is left out and told.

    Parameters
    ----------
    sources : maps of one quantity in one space
    fwhm : of the smoothing [mm]
    space : with the atlases that tell grey matter

    Raises
    ------
    ValueError
        If no map can be read.
    """
    import nibabel as nib

    usable, excluded, affine, shape = same_grid(sources)
    quantity = usable[0].quantity
    for run, reason in excluded:
        ledger.add(run.split("_")[0], "not in this analysis", "voxel-wise", reason, run=run)
    voxel_size = np.linalg.norm(affine[:3, :3], axis=0)
    steps = np.maximum(1, np.floor(SPACING / voxel_size + 1e-3)).astype(int)
    thin = tuple(slice(None, None, int(step)) for step in steps)
    labels = atlas_labels(shape, affine, space.atlases) if space.atlases else None
    parts: dict[str, list[NDArray[np.float32]]] = {}
    for source in usable:
        try:
            image: Any = nib.load(source.image)
            values = np.asarray(image.dataobj, np.float32)
            values = np.where(valid_voxels(source, values), values, np.float32(np.nan))
        except (OSError, EOFError, ValueError) as error:
            ledger.add(source.participant, "not in this analysis", "voxel-wise", str(error), run=source.run)
            continue
        known = np.isfinite(values)
        tissues = [known] if labels is None else [known & (labels > 0), known & (labels == 0)]
        parts.setdefault(source.participant, []).append(smooth_within(values, tissues, fwhm, voxel_size)[thin])
    rows = {one: np.mean(maps, axis=0) for one, maps in parts.items()}
    counts = {one: int(np.isfinite(row).sum()) for one, row in rows.items()}
    median = float(np.median(list(counts.values()))) if counts else 0.0
    for one, count in counts.items():
        if count < _LEAST_COVERED * median:
            reason = f"its map of {quantity.symbol} has {count} voxels, the median is {median:.0f}"
            ledger.add(one, "not in this analysis", "voxel-wise", reason)
            del rows[one]
    if not rows:
        raise ValueError(f"none of the {quantity.symbol} maps in template space can be read")
    thinned = affine @ np.diag([*steps.astype(float), 1.0])
    paths = {one: tuple(source.image for source in usable if source.participant == one) for one in rows}
    return Stack(space, quantity, rows, paths, thinned, None if labels is None else labels[thin])


def atlas_labels(
    shape: Sequence[int], affine: NDArray[np.floating[Any]], atlases: Mapping[str, Path]
) -> NDArray[np.int16]:
    """Labels of atlases (name -> image) at the nearest voxel of each voxel of a grid in their space; 0 outside."""
    import nibabel as nib

    out = np.zeros(tuple(shape), np.int16)
    for name, path in atlases.items():
        image: Any = nib.load(path)
        volume = np.asarray(image.dataobj)
        to_atlas = np.linalg.inv(image.affine) @ affine
        grid = np.indices(out.shape).reshape(3, -1)
        place = np.rint(to_atlas[:3, :3] @ grid + to_atlas[:3, 3:]).astype(int)
        inside = np.all((place >= 0) & (place < np.array(volume.shape)[:, None]), axis=0)
        found = np.zeros(grid.shape[1], np.int16)
        found[inside] = volume[tuple(place[:, inside])]
        free = (out.ravel() == 0) & (found > 0)
        out.ravel()[free] = found[free] + _OFFSETS[name]
    return out


@cache
def label_names() -> dict[int, str]:
    """Names of the labels of `atlas_labels`, such as "putamen L"."""
    from qsmprep.regions import read_labels

    names: dict[int, str] = {}
    for name, offset in _OFFSETS.items():
        table = read_labels(data.atlas(name).labels)
        for label, region, side in zip(table["index"], table["name"], table["hemisphere"], strict=True):
            text = f"{region} {side}" if side in ("L", "R") else str(region)
            # the rim of a nucleus that is larger in the second atlas
            names[int(label) + offset] = f"{text} ({name})" if text in names.values() else text
    return names
