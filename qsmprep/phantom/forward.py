"""From susceptibility to the field that the scanner leaves: forward model in free space and shim.

Air is the reference: with χ - χ(air) nothing but the head is a source, and no source is cut off. What lies outside the
fine grid (face, neck) is a source too, on a coarser grid that the fine one's edges fit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np
from numpy.typing import NDArray

from ..qsm.dipole import forward_field
from .geometry import Grid, Matrix
from .tissue import AIR

Volume = NDArray[np.float32]
PAD = 2.15  # dipoles reach a little farther than the longest edge: from the brain to every corner of the head


@numba.njit(parallel=True, cache=True)
def _add_coarse(fine, coarse, start, step):
    """Add a coarse map, interpolated trilinearly; fine voxel i lies at coarse position start + i * step."""
    for i in numba.prange(fine.shape[0]):
        x = start[0] + i * step[0]
        a, u = int(x), x - int(x)
        for j in range(fine.shape[1]):
            y = start[1] + j * step[1]
            b, v = int(y), y - int(y)
            for k in range(fine.shape[2]):
                z = start[2] + k * step[2]
                c, w = int(z), z - int(z)
                low = (coarse[a, b, c] * (1 - u) + coarse[a + 1, b, c] * u) * (1 - v)
                low += (coarse[a, b + 1, c] * (1 - u) + coarse[a + 1, b + 1, c] * u) * v
                high = (coarse[a, b, c + 1] * (1 - u) + coarse[a + 1, b, c + 1] * u) * (1 - v)
                high += (coarse[a, b + 1, c + 1] * (1 - u) + coarse[a + 1, b + 1, c + 1] * u) * v
                fine[i, j, k] += low * (1 - w) + high * w


def total_field(chi: Volume, grid: Grid, around: Volume, start: Sequence[int], factor: Sequence[int]) -> Volume:
    """Field of the whole head on the fine grid.

    Parameters
    ----------
    chi : (x, y, z) float32 [ppm], relative to soft tissue, on `grid`; overwritten
    grid : the fine grid
    around : (x, y, z) float32 [ppm], the whole head on a grid with voxels of `factor` fine ones
    start : 3 ints
        Voxel of `around` that begins where `grid` begins.
    factor : 3 ints

    Returns
    -------
    field : (x, y, z) float32 [ppm]
    """
    air = np.float32(AIR / 1000)
    sizes, b0_dir = grid.voxel_size, grid.b0_dir
    chi -= air
    field = forward_field(chi, sizes, b0_dir, pad=PAD)
    chi += air
    outside = around - air
    inner = tuple(slice(s, s + n // f) for s, n, f in zip(start, grid.shape, factor, strict=True))
    outside[inner] = 0.0
    coarse_sizes = [v * f for v, f in zip(sizes, factor, strict=True)]
    coarse = forward_field(outside, coarse_sizes, b0_dir, pad=PAD)
    first = np.array([s + (0.5 / f - 0.5) for s, f in zip(start, factor, strict=True)])
    _add_coarse(field, coarse, first, 1.0 / np.asarray(factor, dtype=float))
    return field


def local_field(chi: Volume, brain: NDArray[np.bool_], grid: Grid) -> tuple[Volume, float]:
    """Field of the brain's own susceptibility, relative to its mean.

    Returns
    -------
    field : (x, y, z) float32 [ppm]; 0 outside the box around the brain
    reference : mean χ of the brain [ppm]
    """
    box = tuple(
        slice(int(hits[0]), int(hits[-1]) + 1)
        for hits in (np.flatnonzero(brain.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3))
    )
    inside, mask = chi[box], brain[box]
    reference = float(inside[mask].mean(dtype=np.float64))
    field = np.zeros(chi.shape, dtype=np.float32)
    field[box] = forward_field(
        np.where(mask, inside - np.float32(reference), np.float32(0)), grid.voxel_size, grid.b0_dir
    )
    return field, reference


def _harmonics(points: Matrix) -> Matrix:
    """Solid harmonics up to second order, (n, 9)."""
    x, y, z = points.T
    return np.stack([np.ones_like(x), x, y, z, x * y, y * z, z * x, x * x - y * y, 2 * z * z - x * x - y * y], -1)


def shim(field: Volume, brain: NDArray[np.bool_], voxel_size: Sequence[float]) -> list[float]:
    """Subtract, in place, the best second-order shim and centre frequency for the brain.

    Returns the nine coefficients [ppm, ppm/dm, ppm/dm²] of 1, x, y, z, xy, yz, zx, x²-y², 2z²-x²-y², in grid axes
    from the grid's centre.
    """
    centre = (np.array(field.shape) - 1) / 2
    scale = np.asarray(voxel_size) / 100
    index = np.argwhere(brain)
    index = index[:: max(len(index) // 60000, 1)]
    values = field[tuple(index.T)].astype(float)
    coefficients, *_ = np.linalg.lstsq(_harmonics((index - centre) * scale), values, rcond=None)
    _subtract(field, coefficients, centre, scale)
    return [float(c) for c in coefficients]


@numba.njit(parallel=True, cache=True)
def _subtract(field, c, centre, scale):
    for i in numba.prange(field.shape[0]):
        x = (i - centre[0]) * scale[0]
        for j in range(field.shape[1]):
            y = (j - centre[1]) * scale[1]
            for k in range(field.shape[2]):
                z = (k - centre[2]) * scale[2]
                value = c[0] + c[1] * x + c[2] * y + c[3] * z + c[4] * x * y + c[5] * y * z + c[6] * z * x
                value += c[7] * (x * x - y * y) + c[8] * (2 * z * z - x * x - y * y)
                field[i, j, k] -= value
