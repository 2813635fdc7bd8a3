"""Means over regions of which a voxel may hold a part only."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray


def partial_volume_means(
    labels: NDArray[np.integer[Any]],
    affine: NDArray[np.floating[Any]],
    positions: NDArray[np.floating[Any]],
    mask: NDArray[np.bool_],
    values: NDArray[np.floating[Any]],
    indices: Sequence[int] | NDArray[np.integer[Any]],
) -> NDArray[np.float64]:
    """Mean of a map over each region, every voxel weighted by the fraction of it that the region fills.

    The fraction is the linear interpolation of the region's indicator at the voxel's place in the atlas. All regions
    are done at once: each of the eight voxels of the atlas around a place gives its weight to the label it has.

    Parameters
    ----------
    labels : (i, j, k) integer array, on the atlas' own grid
    affine : (4, 4) array, its voxel-to-world matrix [mm]
    positions : (x, y, z, 3) array [mm], place of each voxel of the map in the atlas' space; NaN where there is none
    mask : (x, y, z) bool array, the voxels that count
    values : (x, y, z) array
    indices : regions that are wanted

    Returns
    -------
    means : one value a region, in the unit of `values`; NaN of a region that no voxel holds a part of

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if positions.shape != (*values.shape, 3) or mask.shape != values.shape:
        raise ValueError(f"values have shape {values.shape}, positions {positions.shape}, mask {mask.shape}")
    wanted = np.asarray(indices, int)
    counted = mask & np.isfinite(positions).all(axis=-1)
    inverse = np.linalg.inv(affine)
    place = positions[counted].astype(np.float64) @ inverse[:3, :3].T + inverse[:3, 3]
    taken = values[counted].astype(np.float64)
    first = np.floor(place).astype(np.int64)
    share = place - first
    size = int(max(wanted.max(initial=0), labels.max(initial=0))) + 1
    weights, sums = np.zeros(size), np.zeros(size)
    for corner in product((0, 1), repeat=3):
        voxel = first + corner
        within = ((voxel >= 0) & (voxel < labels.shape)).all(axis=1)
        weight = np.prod(np.where(corner, share, 1 - share), axis=1)[within]
        label = labels[tuple(voxel[within].T)]
        weights += np.bincount(label, weight, minlength=size)
        sums += np.bincount(label, weight * taken[within], minlength=size)
    return np.divide(sums, weights, out=np.full(size, np.nan), where=weights > 1e-9)[wanted]
