"""iLSQR: least squares, and then the streaks that it left next to the cone are estimated and taken off."""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np
from numpy.typing import NDArray

from .. import _fft
from .._grid import Bool, Float, as_voxel_size
from .._weights import effective_weight
from ..constants import PHASE_PER_PPM
from ..dipole import dipole_kernel
from ._cg import weighted_least_squares
from ._splitting import gradient_power_axes
from ._variation import Problem


@numba.njit(inline="always")
def _slope(flat, bit, here, there):  # type: ignore[no-untyped-def]
    return here - there if (flat >> bit) & 1 else np.float32(0)


@numba.njit(parallel=True, cache=True, fastmath=True)
def _flat_laplacian(volume, flat, out, spacing):  # type: ignore[no-untyped-def]
    """∇ᵀ F ∇ of a volume, periodic; F is 1 along x, y, z where `flat` has its bit 0, 1, 2."""
    nx, ny, nz = volume.shape
    sx, sy, sz = np.float32(spacing[0] ** -2), np.float32(spacing[1] ** -2), np.float32(spacing[2] ** -2)
    for x in numba.prange(nx):
        x0, x1 = (x - 1 if x > 0 else nx - 1), (x + 1 if x + 1 < nx else 0)
        for y in range(ny):
            y0, y1 = (y - 1 if y > 0 else ny - 1), (y + 1 if y + 1 < ny else 0)
            for z in range(nz):
                z0, z1 = (z - 1 if z > 0 else nz - 1), (z + 1 if z + 1 < nz else 0)
                c, f = volume[x, y, z], flat[x, y, z]
                along_x = _slope(flat[x0, y, z], 0, c, volume[x0, y, z]) + _slope(f, 0, c, volume[x1, y, z])
                along_y = _slope(flat[x, y0, z], 1, c, volume[x, y0, z]) + _slope(f, 1, c, volume[x, y1, z])
                along_z = _slope(flat[x, y, z0], 2, c, volume[x, y, z0]) + _slope(f, 2, c, volume[x, y, z1])
                out[x, y, z] = sx * along_x + sy * along_y + sz * along_z


@numba.njit(parallel=True, cache=True, fastmath=True)
def _move(streaks, residual, direction, step, length):  # type: ignore[no-untyped-def]
    """Streaks and residual move by `length`; returns |residual|², plane by plane."""
    t = np.float32(length)
    sums = np.zeros(streaks.shape[0])
    for x in numba.prange(streaks.shape[0]):
        for y in range(streaks.shape[1]):
            row = np.float32(0)
            for z in range(streaks.shape[2]):
                streaks[x, y, z] += t * direction[x, y, z]
                r = residual[x, y, z] - t * step[x, y, z]
                residual[x, y, z] = r
                row += r * r
            sums[x] += row
    return sums


@numba.njit(parallel=True, cache=True, fastmath=True)
def _turn(direction, residual, ratio):  # type: ignore[no-untyped-def]
    b = np.float32(ratio)
    for x in numba.prange(direction.shape[0]):
        for y in range(direction.shape[1]):
            for z in range(direction.shape[2]):
                direction[x, y, z] = residual[x, y, z] + b * direction[x, y, z]


def ilsqr(
    local_field: NDArray[np.generic],
    mask: NDArray[np.generic],
    voxel_size: Sequence[float],
    b0_dir: Sequence[float],
    *,
    noise: NDArray[np.generic] | None = None,
    magnitude: NDArray[np.generic] | None = None,
    phase_per_ppm: float = PHASE_PER_PPM,
    weight: float = 2e-3,
    threshold: float = 0.1,
    edge_share: float = 0.3,
    lsqr_iterations: int = 30,
    streak_iterations: int = 20,
    tolerance: float = 0.01,
    pad_mm: float = 16.0,
) -> Float:
    """Iterative least squares with removal of streaks (iLSQR).

    First min |W (Dχ - field)|² by preconditioned conjugate gradients. Then the part of χ that lies next to the cone
    where the dipole is weak, and that makes up gradients where a strongly regularised χ and the local field have
    none, is found by least squares and subtracted: those are the streaks.

    Parameters
    ----------
    local_field : (x, y, z) array [ppm]
    mask : (x, y, z) bool array
    voxel_size : 3 floats [mm]
        Gradients are per mm.
    b0_dir : 3 floats
        Direction of B0 in voxel axes.
    noise : (x, y, z) array [ppm], optional
        Standard error of the field, infinite where it is not to be trusted: weights W = median / noise, at most 1.
    magnitude : (x, y, z) or (x, y, z, echo) array, optional
        Where `noise` is None: weights W relative to its median in the mask, at most 1. Default: all alike.
    phase_per_ppm : float [rad/ppm]
        Not used by this method.
    weight : float [mm²]
        Smoothness |∇χ|² of the least squares where the noise is 1 ppb; the effective one is in proportion to it.
    threshold : float
        Streaks lie where the dipole's magnitude is below this.
    edge_share : float
        Share of the voxels, those with the steepest gradients, that may keep them.
    lsqr_iterations, streak_iterations : int
    tolerance : float
        Stop once the preconditioned residual of the least squares is this share of the first one.
    pad_mm : float [mm]
        Room behind the box of the mask, so that dipoles do not reach around it.

    Returns
    -------
    chi : (x, y, z) float32 array [ppm], 0 outside `mask`, without a reference

    Raises
    ------
    ValueError
        If shapes differ, the mask is empty, the field is not finite inside it.

    References
    ----------
    Li W, et al. NeuroImage 2015;108:111. https://doi.org/10.1016/j.neuroimage.2014.12.043
    """
    sizes = as_voxel_size(voxel_size)
    problem = Problem(local_field, mask, sizes, noise=noise, magnitude=magnitude, pad_mm=pad_mm)
    grid = problem.grid
    dipole, power = dipole_kernel(grid, sizes, b0_dir), gradient_power_axes(grid, sizes)
    spectrum = weighted_least_squares(
        problem, dipole, power, weight=effective_weight(weight, problem.noise), floor=1e-3,
        max_iterations=lsqr_iterations, tolerance=tolerance,
    )  # fmt: skip
    chi = _fft.inverse(spectrum, grid)
    chi *= problem.inside
    cone: Bool = np.abs(dipole) < threshold
    flat = _flat(_without_cone(chi, dipole, threshold), problem.inside, edge_share)
    del dipole, spectrum
    chi -= _streaks(chi, cone, flat, sizes, streak_iterations)
    return problem.result(chi)


def _without_cone(chi: Float, dipole: Float, threshold: float) -> Float:
    """χ with what lies next to the cone damped: few streaks, so its gradients are those of anatomy."""
    spectrum = _fft.forward(chi)
    spectrum *= np.minimum(np.abs(dipole) / np.float32(2 * threshold), np.float32(1)) ** 2
    return _fft.inverse(spectrum, chi.shape)


def _flat(chi: Float, inside: Bool, share: float) -> NDArray[np.uint8]:
    """Bits 0, 1, 2: the gradient of χ along x, y, z should be 0 here; none on edges and outside the mask."""
    flat = np.zeros(chi.shape, np.uint8)
    for axis in range(3):
        steep = np.roll(chi, -1, axis)
        steep -= chi
        np.abs(steep, out=steep)
        within = inside & np.roll(inside, -1, axis)
        if within.any():
            flat |= (within & (steep < np.quantile(steep[within], 1 - share))).astype(np.uint8) << axis
    return flat


def _streaks(
    chi: Float, cone: Bool, flat: NDArray[np.uint8], voxel_size: tuple[float, float, float], iterations: int
) -> Float:
    """The volume, with a spectrum on the cone alone, whose gradients come nearest to those of χ where it is flat."""

    def normal(volume: Float) -> Float:
        out = np.empty_like(volume)
        _flat_laplacian(volume, flat, out, voxel_size)
        spectrum = _fft.forward(out)
        del out
        spectrum *= cone
        return _fft.inverse(spectrum, volume.shape)

    residual = normal(chi)
    streaks, direction = np.zeros_like(chi), residual.copy()
    size = first = _dot(residual, residual)
    for _ in range(iterations):
        if not size > 1e-6 * first:
            break
        step = normal(direction)
        length = size / _dot(direction, step)
        before, size = size, float(_move(streaks, residual, direction, step, length).sum())
        del step
        _turn(direction, residual, size / before)
    return streaks


def _dot(a: Float, b: Float) -> float:
    """Inner product, summed plane by plane in float64."""
    return float(np.einsum("xyz,xyz->x", a, b).astype(np.float64).sum())
