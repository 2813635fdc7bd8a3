"""The rim that a background removal loses: its background continued from where it is known."""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np

from .._grid import Bool, Float

TERMS = 9
"""Harmonic polynomials up to second order."""
LEAST = 12
"""Voxels that a fit needs."""
STIFFNESS = 1e-3
"""Of the second order, relative to the weight of all voxels: what keeps a one-sided fit from bending at will."""


@numba.njit(inline="always")
def _harmonics(x, y, z, out):  # type: ignore[no-untyped-def]
    out[0], out[1], out[2], out[3] = 1.0, x, y, z
    out[4], out[5], out[6] = x * y, y * z, x * z
    out[7], out[8] = x * x - y * y, x * x + y * y - 2 * z * z


@numba.njit(parallel=True, cache=True)
def _continue(background, valid, wanted, sizes, reach, found):  # type: ignore[no-untyped-def]
    """Fill in the wanted voxels of `background` from the valid ones within `reach` [mm]; mark in `found` which."""
    nx, ny, nz = valid.shape
    rx, ry, rz = int(reach / sizes[0]), int(reach / sizes[1]), int(reach / sizes[2])
    sigma = 0.5 * reach
    for row in numba.prange(nx):
        x = np.int64(row)  # parallel loops count with unsigned numbers
        matrix, right, term = np.zeros((TERMS, TERMS)), np.zeros(TERMS), np.zeros(TERMS)
        for y in range(ny):
            for z in range(nz):
                if not wanted[x, y, z]:
                    continue
                matrix[:], right[:] = 0.0, 0.0
                count = 0
                for step in range(-rx, rx + 1):
                    u = x + step
                    if u < 0 or u >= nx:
                        continue
                    for v in range(max(y - ry, 0), min(y + ry + 1, ny)):
                        for w in range(max(z - rz, 0), min(z + rz + 1, nz)):
                            a, b, c = (u - x) * sizes[0], (v - y) * sizes[1], (w - z) * sizes[2]
                            distance2 = a * a + b * b + c * c
                            if not valid[u, v, w] or distance2 > reach * reach:
                                continue
                            count += 1
                            weight = np.exp(-distance2 / (2 * sigma * sigma))
                            _harmonics(a / sigma, b / sigma, c / sigma, term)
                            for i in range(TERMS):
                                right[i] += weight * term[i] * background[u, v, w]
                                for j in range(i + 1):
                                    matrix[i, j] += weight * term[i] * term[j]
                if count < LEAST:
                    continue
                for i in range(TERMS):
                    for j in range(i):
                        matrix[j, i] = matrix[i, j]
                for i in range(TERMS):
                    matrix[i, i] += (STIFFNESS if i > 3 else 1e-6) * matrix[0, 0]
                background[x, y, z] = np.linalg.solve(matrix, right)[0]
                found[x, y, z] = True


def extend(
    local_field: Float, total_field: Float, mask: Bool, valid: Bool, voxel_size: Sequence[float], reach_mm: float
) -> tuple[Float, Bool]:
    """Local field of the mask's rim, where background removal had no room.

    The background is harmonic in the mask. Around each voxel of the rim a harmonic polynomial of second order is fitted
    to the background that is known nearby, and taken from the total field.

    Parameters
    ----------
    local_field, total_field : (x, y, z) float32 arrays [ppm]
    mask, valid : (x, y, z) bool arrays
        `local_field` is known where `valid`; the rest of `mask` is wanted.
    voxel_size : 3 floats [mm]
    reach_mm : float [mm]
        How far a fit looks; Gaussian weights have half of it as their standard deviation.

    Returns
    -------
    local_field : (x, y, z) float32 array [ppm], unchanged where it was known
    valid : (x, y, z) bool array
        What was known, and the rim but for voxels with fewer than twelve known ones within reach.

    References
    ----------
    Topfer R, et al. Magn Reson Med 2015;73:2185 (continuation by Taylor expansion).
    https://doi.org/10.1002/mrm.25360
    """
    background = np.where(valid, total_field - local_field, np.float32(0))
    found = valid.copy()
    _continue(background, valid, mask & ~valid, np.asarray(voxel_size, np.float64), reach_mm, found)
    rim = found & ~valid
    extended: Float = local_field.copy()
    extended[rim] = total_field[rim] - background[rim]
    return extended, found
