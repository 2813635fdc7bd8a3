"""The glass brain: what a map holds anywhere, seen through the head from the right, the back and above."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from qsmprep.report import display
from qsmprep.report.display import AXIAL, CORONAL, SAGITTAL, NDArray, Tile
from qsmprep.report.mosaic import FAINT, INK, Mosaic


def plot_glass(
    data: ArrayLike,
    affine: ArrayLike,
    mask: ArrayLike,
    shown: ArrayLike,
    out: Path | str,
    *,
    limit: float,
    low: float | None = None,
    cmap: str = "RdBu_r",
    unit: str = "",
    title: str = "",
) -> Path:
    """Along each line of sight the value that lies farthest from 0, in the outline of the brain.

    Parameters
    ----------
    data : (x, y, z) array
    affine : (4, 4) array, voxel to scanner millimetres
    mask : (x, y, z) bool array, the brain
    shown : (x, y, z) bool array, the voxels that are seen; the others are glass
    out : path ending in .webp or .png
    limit, low : ends of the colours; without `low` they run from -limit to limit
    unit : shown over the colour bar

    Returns
    -------
    out : Path

    Raises
    ------
    ValueError
        If the mask is empty or the shapes differ.
    """
    arrays = [np.asarray(data, np.float32), np.asarray(mask).astype(bool), np.asarray(shown).astype(bool)]
    if len({array.shape for array in arrays}) > 1:
        raise ValueError(f"shapes differ: {', '.join(str(array.shape) for array in arrays)}")
    (values, spacing), (brain, _), (seen, _) = (
        display.to_display(array, np.asarray(affine, float)) for array in arrays
    )
    box = display.bounding_box(brain, spacing, 2 * max(spacing))
    brain, seen = brain[box], seen[box]
    values = np.where(seen, np.nan_to_num(values[box]), 0)
    tiles = [Tile(axis, 0) for axis in (SAGITTAL, CORONAL, AXIAL)]
    faces = _faces([_farthest(values, axis) for axis in range(3)])
    mosaic = Mosaic(faces.shape, spacing, [tiles], title=title, colorbar=True)
    visible = np.ma.masked_equal(faces, 0)
    vmin = -limit if low is None else low
    mosaic.colorbar(mosaic.image(visible, cmap=cmap, vmin=vmin, vmax=limit, interpolation="nearest"), unit)
    solid = brain.astype(np.float32)
    middle = [np.take(solid, solid.shape[axis] // 2, axis=axis) for axis in range(3)]
    mosaic.contour(_faces(middle), FAINT, 0.7)
    mosaic.contour(_faces([solid.max(axis=axis) for axis in range(3)]), INK, 1.2)
    return mosaic.save(out)


def _farthest(values: NDArray, axis: int) -> NDArray:
    """The value that lies farthest from 0 along an axis."""
    low, high = values.min(axis=axis), values.max(axis=axis)
    return np.where(-low > high, low, high)


def _faces(pictures: list[NDArray]) -> NDArray:
    """A volume one voxel larger each way, whose three faces at index 0 are the pictures: what `Mosaic` draws."""
    (ny, nz), (nx, _) = pictures[SAGITTAL].shape, pictures[CORONAL].shape
    volume = np.zeros((nx + 1, ny + 1, nz + 1), np.float32)
    volume[0, 1:, 1:], volume[1:, 0, 1:], volume[1:, 1:, 0] = pictures
    return volume
