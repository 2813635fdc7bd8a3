"""The smooth phase offset that is left after its removal, from all echoes."""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np

from .._grid import Bool, Float, as_voxel_size, mask_box
from ..combine._blocks import angles, smooth_phase

BLOCK = 2.0
"""Blocks are at most this part of the Gaussian's standard deviation wide."""


@numba.njit(parallel=True, cache=True)
def _sums(offset, weight, mask, factor, sums):  # type: ignore[no-untyped-def]
    """Weighted unit vectors, summed over blocks."""
    nx, ny, nz = offset.shape
    fx, fy, fz = factor
    for bx in numba.prange(sums.shape[0]):
        for x in range(bx * fx, min((bx + 1) * fx, nx)):
            for y in range(ny):
                for z in range(nz):
                    if mask[x, y, z]:
                        w, a = weight[x, y, z], offset[x, y, z]
                        sums[bx, y // fy, z // fz] += np.complex64(complex(w * np.cos(a), w * np.sin(a)))


def left_offset(offset: Float, weight: Float, mask: Bool, voxel_size: Sequence[float], sigma_mm: float) -> Float:
    """Smooth phase [rad] that the offset of single voxels follows, 0 outside the box of the mask.

    Parameters
    ----------
    offset : (x, y, z) array [rad]
    weight : (x, y, z) array, inverse variance of `offset`
    mask : (x, y, z) bool array
    voxel_size : 3 floats [mm]
    sigma_mm : float [mm]
        Standard deviation of the Gaussian.
    """
    sizes = as_voxel_size(voxel_size)
    factor = tuple(max(1, int(sigma_mm / BLOCK / v)) for v in sizes)
    box = mask_box(mask)
    inside = np.ascontiguousarray(mask[box])
    sums = np.zeros([-(-n // f) for n, f in zip(inside.shape, factor, strict=True)], np.complex64)
    _sums(np.ascontiguousarray(offset[box]), np.ascontiguousarray(weight[box]), inside, factor, sums)
    smooth = np.zeros_like(offset)
    smooth[box] = angles(smooth_phase(sums, sizes, (factor[0], factor[1], factor[2]), sigma_mm), inside.shape)
    return smooth
