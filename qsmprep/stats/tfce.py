"""Threshold-free cluster enhancement without steps: exact, by a union of voxels from the highest down."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray


def neighbours(mask: NDArray[np.bool_], connectivity: int = 6) -> NDArray[np.int32]:
    """Which voxels of a mask touch which.

    Parameters
    ----------
    mask : (x, y, z), v voxels True
    connectivity : 6 (faces), 18 (and edges) or 26 (and corners)

    Returns
    -------
    table : (v, connectivity) numbers of voxels in the order of `mask.nonzero()`; -1 where there is none

    Raises
    ------
    ValueError
        If `connectivity` is another.
    """
    reach = {6: 1, 18: 2, 26: 3}.get(connectivity)
    if reach is None:
        raise ValueError(f"connectivity is 6, 18 or 26, not {connectivity}")
    steps = np.argwhere(np.ones((3, 3, 3))) - 1
    steps = steps[(np.abs(steps).sum(1) > 0) & (np.abs(steps).sum(1) <= reach)]
    number = np.full([n + 2 for n in mask.shape], -1, np.int32)
    inside = np.argwhere(mask) + 1
    number[tuple(inside.T)] = np.arange(len(inside))
    return np.stack([number[tuple((inside + step).T)] for step in steps], axis=1)


def tfce(
    statistic: NDArray[np.floating[Any]],
    table: NDArray[np.int32],
    *,
    E: float = 0.5,
    H: float = 2.0,
    two_sided: bool = True,
) -> NDArray[np.float64]:
    """Integral over heights h from 0 to the voxel's own of extent(h)^E h^H.

    Between the heights of two voxels no cluster changes, so that the integral is a sum with one term a voxel; no step
    has to be chosen.

    Parameters
    ----------
    statistic : (v,) t or z; not finite counts as 0
    table : (v, k) from `neighbours`
    E, H : exponents of extent [voxels] and height
    two_sided : enhance the negative side as well; the result there is negative

    References
    ----------
    Smith SM, Nichols TE. NeuroImage 2009;44:83. https://doi.org/10.1016/j.neuroimage.2008.03.061
    Najman L, Couprie M. IEEE Trans Image Process 2006;15:3531. https://doi.org/10.1109/TIP.2006.877518
    """
    enhanced = np.zeros(len(statistic))
    clean = np.where(np.isfinite(statistic), statistic, 0)
    for sign in (1, -1) if two_sided else (1,):
        height = sign * clean
        above = np.flatnonzero(height > 0)
        order = above[np.argsort(-height[above])]
        enhanced += sign * _enhance(order, height.astype(np.float64), table, float(E), float(H))
    return enhanced


@numba.njit(cache=True, nogil=True)
def _enhance(order, height, table, E, H):  # type: ignore[no-untyped-def]
    """Tree of components: the parent of a component's lowest voxel is the voxel that joined it to something lower."""
    n = len(height)
    parent = np.full(n, -1, np.int32)
    root = np.full(n, -1, np.int32)  # -1: not reached yet
    extent = np.zeros(n, np.int32)
    for voxel in order:
        parent[voxel] = voxel
        root[voxel] = voxel
        extent[voxel] = 1
        for k in range(table.shape[1]):
            top = table[voxel, k]
            if top < 0 or root[top] < 0:
                continue
            while root[top] != top:
                root[top] = root[root[top]]
                top = root[top]
            if top != voxel:
                parent[top] = voxel
                root[top] = voxel
                extent[voxel] += extent[top]
    enhanced = np.zeros(n)
    for i in range(len(order) - 1, -1, -1):
        voxel = order[i]
        below = parent[voxel]
        rise = height[voxel] ** (H + 1)
        if below != voxel:
            rise -= height[below] ** (H + 1)
            enhanced[voxel] = enhanced[below]
        enhanced[voxel] += extent[voxel] ** E * rise / (H + 1)
    return enhanced
