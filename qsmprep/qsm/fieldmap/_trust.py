"""How far the field of each voxel can be trusted."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .._grid import Bool, Float

SHARE, EDGE = 0.012, 2.0
"""Of the field's change across a voxel, and of what an edge of the signal does to it: measured on digital heads."""
MISFIT = 3.0
"""What a misfit beyond chance adds to the variance: an error that bends the phase is not random among the echoes."""
WORST = 6.0
"""A voxel is not held untrusted for less than this many times the median noise."""
STEP = 0.75 * np.pi
"""Trusted neighbours differ by less at the first echo [rad]; beyond, a whole turn may lie between them."""
LEAST_NOISE = 1e-4
"""Of the signal: what rounding leaves at best."""
ISLAND = 0.05
"""Share of the largest trusted region of its part of the mask that an island needs to be trusted by itself."""


@numba.njit(inline="always")
def _step(values, mask, voxel, shift):  # type: ignore[no-untyped-def]
    """Change to the voxel one shift away, and 1.0 if that lies in the mask."""
    x, y, z = voxel
    u, v, w = x + shift[0], y + shift[1], z + shift[2]
    if 0 <= u < mask.shape[0] and 0 <= v < mask.shape[1] and 0 <= w < mask.shape[2] and mask[u, v, w]:
        return values[u, v, w] - values[x, y, z], 1.0
    return np.float32(0), 0.0


@numba.njit(parallel=True, cache=True)
def field_spread(slope, mask):  # type: ignore[no-untyped-def]
    """Standard deviation of the field within each voxel: that of a line as steep as between its neighbours."""
    nx, ny, nz = slope.shape
    out = np.zeros((nx, ny, nz), np.float32)
    for x in numba.prange(nx):
        for y in range(ny):
            for z in range(nz):
                if not mask[x, y, z]:
                    continue
                total = 0.0
                for d in range(3):
                    i, j, k = int(d == 0), int(d == 1), int(d == 2)
                    ahead, a = _step(slope, mask, (x, y, z), (i, j, k))
                    behind, b = _step(slope, mask, (x, y, z), (-i, -j, -k))
                    if a + b > 0.0:
                        total += ((ahead - behind) / (a + b)) ** 2
                out[x, y, z] = np.sqrt(total / 12.0)
    return out


@numba.njit(parallel=True, cache=True)
def gradient_error(field, strength, mask):  # type: ignore[no-untyped-def]
    """Error that a field makes by changing across the voxel, in the unit of the field.

    It is `SHARE` of that change. And where the signal changes across the voxel too, brighter parts count more, which
    shifts the mean by a twelfth of the product of both changes; `EDGE` times that, since edges are sharper than
    neighbours tell.
    """
    nx, ny, nz = field.shape
    out = np.zeros((nx, ny, nz), np.float32)
    for x in numba.prange(nx):
        for y in range(ny):
            for z in range(nz):
                if not mask[x, y, z]:
                    continue
                total = 0.0
                here = max(strength[x, y, z], 1e-6)
                for d in range(3):
                    i, j, k = int(d == 0), int(d == 1), int(d == 2)
                    ahead, a = _step(field, mask, (x, y, z), (i, j, k))
                    behind, b = _step(field, mask, (x, y, z), (-i, -j, -k))
                    if a + b == 0.0:
                        continue
                    change = (ahead * ahead + behind * behind) / (a + b)
                    u0, v0, w0 = max(x - i, 0), max(y - j, 0), max(z - k, 0)
                    u1, v1, w1 = min(x + i, nx - 1), min(y + j, ny - 1), min(z + k, nz - 1)
                    fall = min(abs(strength[u1, v1, w1] - strength[u0, v0, w0]) / (2.0 * here), 2.0)
                    total += change * (SHARE * SHARE + (EDGE * fall / 12.0) ** 2)
                out[x, y, z] = np.sqrt(total)
    return out


@numba.njit(cache=True)
def _regions(phase, trusted):  # type: ignore[no-untyped-def]
    """Number the regions of trusted voxels that are joined by steps below `STEP`; their sizes, beginning with 0's."""
    nx, ny, nz = phase.shape
    label = np.zeros((nx, ny, nz), np.int32)
    stack = np.empty((trusted.sum() + 1, 3), np.int32)
    sizes = [0]
    for a in range(nx):
        for b in range(ny):
            for c in range(nz):
                if not trusted[a, b, c] or label[a, b, c] > 0:
                    continue
                number, size, top = len(sizes), 0, 1
                stack[0, 0], stack[0, 1], stack[0, 2] = a, b, c
                label[a, b, c] = number
                while top > 0:
                    top -= 1
                    x, y, z = stack[top]
                    size += 1
                    for i in range(6):
                        d, sign = i // 2, 2 * (i % 2) - 1
                        u, v, w = x + sign * (d == 0), y + sign * (d == 1), z + sign * (d == 2)
                        if not (0 <= u < nx and 0 <= v < ny and 0 <= w < nz):
                            continue
                        if not trusted[u, v, w] or label[u, v, w] > 0:
                            continue
                        if abs(phase[u, v, w] - phase[x, y, z]) < STEP:
                            label[u, v, w] = number
                            stack[top, 0], stack[top, 1], stack[top, 2] = u, v, w
                            top += 1
                sizes.append(size)
    return label, np.array(sizes)


def islands(phase: Float, trusted: Bool, mask: Bool) -> Bool:
    """Trusted voxels that only a path through untrusted ones joins to the main region: whole turns may be missing.

    Parts of the mask that do not touch each other have a main region each.
    """
    label, sizes = _regions(phase, trusted)
    parts, number = ndimage.label(mask)
    part = np.zeros(sizes.size, np.int32)
    part[label] = np.where(label > 0, parts, 0)
    largest = np.zeros(number + 1)
    np.maximum.at(largest, part, sizes)
    small: Bool = sizes < ISLAND * largest[part]
    return small[label] & trusted


@numba.njit(parallel=True, cache=True)
def _noise_samples(phase, magnitude, mask, ratio):  # type: ignore[no-untyped-def]
    """Noise of single voxels [unit of the magnitude] by what cancels any smooth field and offset; NaN where none.

    Of two echoes: the change to the next voxel along x of the second minus `ratio` times the first. Of one: the
    second difference along x.
    """
    nx, ny, nz, n = phase.shape
    out = np.full((nx, ny, nz), np.nan, np.float32)
    for x in numba.prange(nx - 1):
        for y in range(ny):
            for z in range(nz):
                if not (mask[x, y, z] and mask[x + 1, y, z]):
                    continue
                value, variance = 0.0, 0.0
                if n > 1:
                    for e in range(2):
                        scale = -ratio if e == 0 else 1.0
                        for i in range(2):
                            value += scale * (2 * i - 1) * phase[x + i, y, z, e]
                            variance += (scale / max(magnitude[x + i, y, z, e], 1e-6)) ** 2
                elif x > 0 and mask[x - 1, y, z]:
                    for i in range(-1, 2):
                        scale = -2.0 if i == 0 else 1.0
                        value += scale * phase[x + i, y, z, 0]
                        variance += (scale / max(magnitude[x + i, y, z, 0], 1e-6)) ** 2
                else:
                    continue
                out[x, y, z] = abs(value) / np.sqrt(variance)
    return out


def signal_noise(phase: Float, magnitude: Float, mask: Bool, te: NDArray[np.float64]) -> float:
    """Standard deviation of the noise in one channel of the complex signal, in units of the magnitude."""
    ratio = float(te[1] / te[0]) if te.size > 1 else 0.0
    samples = _noise_samples(phase, magnitude, mask, ratio)
    values = samples[np.isfinite(samples)]
    return max(float(1.4826 * np.median(values)), LEAST_NOISE) if values.size else LEAST_NOISE


def _misfit_factor(misfit: Float, mask: Bool, freedom: int) -> Float:
    """What the variance grows by where echoes miss their line by more than chance: reduced χ² beyond its 95 % point.

    Where most voxels miss it (an offset that was not removed, Laplacian unwrapping), their median stands for chance.
    """
    if freedom < 1:
        return np.ones_like(misfit)
    # Wilson and Hilferty's approximation of the quantiles of χ² over its degrees of freedom
    third = 2 / (9 * freedom)
    median, unlikely = (1 - third) ** 3, (1 - third + 1.645 * np.sqrt(third)) ** 3
    typical = max(float(np.median(misfit[mask])) / freedom / median, 1.0)
    excess = misfit / np.float32(freedom * typical) - np.float32(unlikely)
    factor: Float = 1 + np.float32(MISFIT) * np.maximum(excess, np.float32(0))
    return factor


def trusted_noise(
    field: Float, thermal: Float, misfit: Float, freedom: int, strength: Float, mask: Bool, turn: float, limit: float
) -> Float:
    """Standard error of the field, infinite where it cannot be trusted and 0 outside the mask.

    Parameters
    ----------
    field : (x, y, z) array [ppm]
    thermal : (x, y, z) array [ppm]
        Standard error that the noise of the signal alone makes.
    misfit : (x, y, z) array
        χ² of the fit, with `freedom` degrees of freedom.
    strength : (x, y, z) array
        Magnitude of the first echo.
    mask : (x, y, z) bool array
    turn : float
        Radians that 1 ppm makes at the first echo.
    limit : float [ppm]
        Noise beyond which a voxel is not trusted, unless it is less than `WORST` times the median noise.
    """
    variance = thermal**2 * _misfit_factor(misfit, mask, freedom)
    variance += gradient_error(field, strength, mask) ** 2
    noise: Float = np.sqrt(variance)
    trusted = mask & (noise <= max(limit, WORST * float(np.median(noise[mask]))))
    trusted &= ~islands(field * np.float32(turn), trusted, mask)
    noise[mask & ~trusted] = np.inf
    noise[~mask] = 0
    return noise
