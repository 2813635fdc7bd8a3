"""iLSQR: least squares, and then the streaks that it left next to the cone are estimated and taken off."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .. import _fft
from .._grid import Bool, Float, as_voxel_size
from .._weights import effective_weight
from ..constants import PHASE_PER_PPM
from ..dipole import dipole_kernel
from ._cg import weighted_least_squares
from ._splitting import gradient_power_axes
from ._variation import Problem, gradient_transposed


def ilsqr(
    local_field: NDArray[np.generic],
    mask: NDArray[np.generic],
    voxel_size: Sequence[float],
    b0_dir: Sequence[float],
    *,
    noise: NDArray[np.generic] | None = None,
    magnitude: NDArray[np.generic] | None = None,
    phase_per_ppm: float = PHASE_PER_PPM,
    weight: float = 2e-5,
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
    flat = _flat(_without_cone(chi, dipole, threshold), problem, sizes, edge_share)
    chi -= _streaks(chi, cone, flat, sizes, streak_iterations)
    return problem.result(chi)


def _without_cone(chi: Float, dipole: Float, threshold: float) -> Float:
    """χ with what lies next to the cone damped: few streaks, so its gradients are those of anatomy."""
    spectrum = _fft.forward(chi)
    spectrum *= np.minimum(np.abs(dipole) / np.float32(2 * threshold), np.float32(1)) ** 2
    return _fft.inverse(spectrum, chi.shape)


def _flat(chi: Float, problem: Problem, voxel_size: Sequence[float], share: float) -> NDArray[np.float32]:
    """1 where the gradient of χ along an axis should be 0, for each axis; 0 on edges and outside the mask."""
    flat = np.zeros((3, *chi.shape), np.float32)
    for axis in range(3):
        steep = np.abs(np.roll(chi, -1, axis) - chi)
        within = problem.inside & np.roll(problem.inside, -1, axis)
        if within.any():
            flat[axis] = within & (steep < np.quantile(steep[within], 1 - share))
    return flat


def _gradient(chi: Float, voxel_size: Sequence[float]) -> NDArray[np.float32]:
    """Forward differences [1/mm], periodic."""
    found = np.empty((3, *chi.shape), np.float32)
    for axis, size in enumerate(voxel_size):
        np.subtract(np.roll(chi, -1, axis), chi, out=found[axis])
        found[axis] /= np.float32(size)
    return found


def _streaks(chi: Float, cone: Bool, flat: NDArray[np.float32], voxel_size: Sequence[float], iterations: int) -> Float:
    """The volume, with a spectrum on the cone alone, whose gradients come nearest to those of χ where it is flat."""
    grid = chi.shape
    transposed = np.empty(grid, np.float32)

    def on_cone(volume: Float) -> Float:
        spectrum = _fft.forward(volume)
        spectrum *= cone
        return _fft.inverse(spectrum, grid)

    def normal(volume: Float) -> Float:
        slopes = _gradient(volume, voxel_size)
        slopes *= flat
        gradient_transposed(slopes, transposed, voxel_size)
        return on_cone(transposed)

    residual = normal(chi)
    streaks = np.zeros(grid, np.float32)
    direction = residual.copy()
    size = first = _dot(residual, residual)
    for _ in range(iterations):
        if not size > 1e-6 * first:
            break
        step = normal(direction)
        length = np.float32(size / _dot(direction, step))
        streaks += length * direction
        residual -= length * step
        size, before = _dot(residual, residual), size
        direction *= np.float32(size / before)
        direction += residual
    return streaks


def _dot(a: Float, b: Float) -> float:
    """Inner product, summed plane by plane in float64."""
    return float(np.einsum("xyz,xyz->x", a, b).astype(np.float64).sum())
