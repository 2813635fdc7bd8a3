"""Tikhonov regularisation with gradients: in closed form where all data count alike, by conjugate gradients else."""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np
from numpy.typing import NDArray

from .. import _fft
from .._grid import Float, as_voxel_size
from .._weights import effective_weight
from ..constants import PHASE_PER_PPM
from ..dipole import dipole_kernel
from ._cg import weighted_least_squares
from ._splitting import gradient_power_axes
from ._variation import Problem


@numba.njit(parallel=True, cache=True, fastmath=True)
def _divide(spectrum, dipole, power, weight):  # type: ignore[no-untyped-def]
    """D / (D² + weight |k|²) times a spectrum."""
    a = np.float32(weight)
    px, py, pz = power
    for x in numba.prange(spectrum.shape[0]):
        for y in range(spectrum.shape[1]):
            pxy = a * (px[x] + py[y])
            for z in range(spectrum.shape[2]):
                d = dipole[x, y, z]
                spectrum[x, y, z] *= d / (d * d + pxy + a * pz[z] + np.float32(1e-30))
    spectrum[0, 0, 0] = 0


def tikhonov(
    local_field: NDArray[np.generic],
    mask: NDArray[np.generic],
    voxel_size: Sequence[float],
    b0_dir: Sequence[float],
    *,
    noise: NDArray[np.generic] | None = None,
    magnitude: NDArray[np.generic] | None = None,
    phase_per_ppm: float = PHASE_PER_PPM,
    weight: float = 0.006,
    pad_mm: float = 16.0,
) -> Float:
    """Susceptibility with Tikhonov regularisation in closed form: min over χ of |Dχ - field|² + λ |∇χ|².

    One division in k-space. The field outside the mask counts as 0.

    Parameters
    ----------
    local_field : (x, y, z) array [ppm]
    mask : (x, y, z) bool array
    voxel_size : 3 floats [mm]
        Gradients are per mm.
    b0_dir : 3 floats
        Direction of B0 in voxel axes.
    noise : (x, y, z) array [ppm], optional
        Standard error of the field: where it is infinite the field counts as 0, like outside the mask.
    magnitude, phase_per_ppm
        Not used by this method.
    weight : float [mm²]
        Weight λ where the noise of the field is 1 ppb; the effective one is in proportion to it.
    pad_mm : float [mm]
        Room behind the box of the mask, so that dipoles do not reach around it.

    Returns
    -------
    chi : (x, y, z) float32 array [ppm], 0 outside `mask`, without a reference

    Raises
    ------
    ValueError
        If shapes differ, the mask is empty or the field is not finite inside it.

    References
    ----------
    Bilgic B, et al. J Magn Reson Imaging 2014;40:181. https://doi.org/10.1002/jmri.24365
    """
    sizes = as_voxel_size(voxel_size)
    problem = Problem(local_field, mask, sizes, noise=noise, pad_mm=pad_mm)
    spectrum = _fft.forward(problem.field)
    power = gradient_power_axes(problem.grid, sizes)
    _divide(spectrum, dipole_kernel(problem.grid, sizes, b0_dir), power, effective_weight(weight, problem.noise))
    return problem.result(_fft.inverse(spectrum, problem.grid))


def tikhonov_iterative(
    local_field: NDArray[np.generic],
    mask: NDArray[np.generic],
    voxel_size: Sequence[float],
    b0_dir: Sequence[float],
    *,
    noise: NDArray[np.generic] | None = None,
    magnitude: NDArray[np.generic] | None = None,
    phase_per_ppm: float = PHASE_PER_PPM,
    weight: float = 0.002,
    max_iterations: int = 30,
    tolerance: float = 0.02,
    pad_mm: float = 16.0,
) -> Float:
    """Susceptibility with Tikhonov regularisation and weighted data: min over χ of |W (Dχ - field)|² + λ |∇χ|².

    Conjugate gradients in k-space, preconditioned with the closed form. The field outside the mask is unknown, not 0.

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
        Weight λ where the noise of the field is 1 ppb; the effective one is in proportion to it.
    max_iterations : int
    tolerance : float
        Stop once the preconditioned residual is this share of the first one.
    pad_mm : float [mm]
        Room behind the box of the mask, so that dipoles do not reach around it.

    Returns
    -------
    chi : (x, y, z) float32 array [ppm], 0 outside `mask`, without a reference

    Raises
    ------
    ValueError
        If shapes differ, the mask is empty or the field is not finite inside it.

    References
    ----------
    Bilgic B, et al. J Magn Reson Imaging 2014;40:181. https://doi.org/10.1002/jmri.24365
    """
    sizes = as_voxel_size(voxel_size)
    problem = Problem(local_field, mask, sizes, noise=noise, magnitude=magnitude, pad_mm=pad_mm)
    dipole, power = dipole_kernel(problem.grid, sizes, b0_dir), gradient_power_axes(problem.grid, sizes)
    spectrum = weighted_least_squares(
        problem,
        dipole,
        power,
        weight=effective_weight(weight, problem.noise),
        floor=1e-6,
        max_iterations=max_iterations,
        tolerance=tolerance,
    )
    return problem.result(_fft.inverse(spectrum, problem.grid))
