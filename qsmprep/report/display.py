"""How a volume is laid out for the eye: orientation, slices, crop and masking. Nothing is drawn here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from numpy.typing import NDArray as _NDArray

NDArray = _NDArray[Any]

AXIAL, CORONAL, SAGITTAL = 2, 1, 0
# what stands at the left and right edge of a tile (x runs to the person's right, y to the front, z up)
EDGE_LETTERS = {AXIAL: ("L", "R"), CORONAL: ("L", "R"), SAGITTAL: ("P", "A")}
CONVENTION = "L = the person's left (neurological convention)"


@dataclass(frozen=True)
class Tile:
    """One slice to draw: the plane's axis in display (RAS) order and the index along it."""

    axis: int
    index: int


def to_display(data: ArrayLike, affine: ArrayLike) -> tuple[NDArray, tuple[float, float, float]]:
    """Turn a volume so that its axes run to the person's right, front and top (RAS).

    Voxels are permuted and flipped, never interpolated: an oblique volume keeps its own slices, in the
    nearest orientation.

    Parameters
    ----------
    data : (x, y, z[, ...]) array
    affine : (4, 4) array
        Voxel to scanner millimetres (RAS+), as nibabel gives it.

    Returns
    -------
    turned : array, a view of `data` where possible
    spacing : 3 floats [mm]
        Voxel size along the turned axes.

    Raises
    ------
    ValueError
        If `data` has fewer than three axes or `affine` is singular.
    """
    data, affine = np.asarray(data), np.asarray(affine, float)
    if data.ndim < 3:
        raise ValueError(f"a volume of at least three axes is needed, found shape {data.shape}")
    if affine.shape != (4, 4) or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise ValueError("the affine is singular: it does not say where the voxels are")
    from nibabel import orientations

    untyped: Any = orientations
    orientation = untyped.io_orientation(affine)
    turned = untyped.apply_orientation(data, orientation)
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    spacing = [0.0, 0.0, 0.0]
    for axis, target in enumerate(orientation[:, 0]):
        spacing[int(target)] = float(sizes[axis])
    return turned, (spacing[0], spacing[1], spacing[2])


def bounding_box(mask: NDArray, spacing: tuple[float, ...], margin: float = 0.0) -> tuple[slice, slice, slice]:
    """Smallest box around the true voxels of a (x, y, z) mask, widened by `margin` [mm] within the volume.

    Raises
    ------
    ValueError
        If the mask is empty.
    """
    box = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        where = np.flatnonzero(mask.any(axis=others))
        if where.size == 0:
            raise ValueError("the mask has no voxel, so there is nothing that may be shown")
        pad = int(np.ceil(margin / spacing[axis]))
        box.append(slice(max(int(where[0]) - pad, 0), min(int(where[-1]) + pad + 1, mask.shape[axis])))
    return box[0], box[1], box[2]


def widen(mask: NDArray, spacing: tuple[float, ...], margin: float) -> NDArray:
    """The (x, y, z) mask and every voxel within `margin` [mm] of it."""
    from scipy.ndimage import distance_transform_edt

    if margin <= 0:
        return mask.astype(bool)
    box = bounding_box(mask, spacing, margin)
    wide = np.zeros(mask.shape, bool)
    wide[box] = distance_transform_edt(~mask[box].astype(bool), sampling=spacing) <= margin
    return wide


def spread_tiles(mask: NDArray, counts: dict[int, int], edge: float = 0.16) -> list[Tile]:
    """Slices evenly spread over the mask's extent, the same for every image that is drawn with this mask.

    Parameters
    ----------
    mask : (x, y, z) bool array in display order
    counts : {axis: how many}, in the order in which they are to be drawn
    edge : fraction of the extent left out at both ends, where a slice would show little
    """
    box = bounding_box(mask, (1.0, 1.0, 1.0))
    tiles = []
    for axis, count in counts.items():
        low, high = box[axis].start, box[axis].stop - 1
        if count == 1:
            positions = np.array([(low + high) / 2])
        else:
            positions = np.linspace(low + edge * (high - low), high - edge * (high - low), count)
        tiles += [Tile(axis, round(position)) for position in positions]
    return tiles


def label_tiles(labels: NDArray, counts: dict[int, int]) -> list[Tile]:
    """Slices through the labels, chosen so that every label, small or large, is met where it is wide.

    One slice after the other is taken: the one that adds most to how much of each label's widest section is shown.

    Parameters
    ----------
    labels : (x, y, z) integer array in display order, 0 is background
    counts : {axis: how many}

    Raises
    ------
    ValueError
        If there is no label.
    """
    where = np.nonzero(labels)
    if where[0].size == 0:
        raise ValueError("the label image holds no label")
    names, which = np.unique(labels[where], return_inverse=True)
    tiles = []
    for axis, count in counts.items():
        length = labels.shape[axis]
        area = np.bincount(which * length + where[axis], minlength=names.size * length).reshape(names.size, length)
        share = area / area.max(axis=1, keepdims=True)
        shown = np.zeros((names.size, 1))
        for _ in range(count):
            best = int(np.argmax(np.maximum(share - shown, 0).sum(axis=0)))
            tiles.append(Tile(axis, best))
            shown = np.maximum(shown, share[:, best : best + 1])
    return tiles


def robust_range(values: NDArray, low: float = 1.0, high: float = 99.0) -> tuple[float, float]:
    """Display limits: percentiles of the finite values; never an empty interval."""
    values = values[np.isfinite(values)]
    if values.size == 0:
        return 0.0, 1.0
    vmin, vmax = (float(limit) for limit in np.percentile(values, [low, high]))
    if vmax <= vmin:
        vmax = vmin + (abs(vmin) if vmin else 1.0)
    return vmin, vmax
