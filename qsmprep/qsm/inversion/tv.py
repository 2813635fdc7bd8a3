"""Dipole inversion with total variation, split into pieces that are solved voxel by voxel or frequency by frequency."""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np
from numpy.typing import NDArray

from .. import _fft
from .._grid import Float, as_voxel_size
from ..constants import PHASE_PER_PPM
from ..dipole import dipole_kernel
from ._variation import Problem, gradient_power, gradient_transposed, relative_change, shrink_gradient


@numba.njit(parallel=True, cache=True, fastmath=True)
def _fit_data(predicted, field, weight, dual, goal, mu):  # type: ignore[no-untyped-def]
    """One step of the splitting s = Dχ with weighted data; `dual` is updated, `goal` becomes s - dual."""
    m = np.float32(mu)
    for x in numba.prange(field.shape[0]):
        for y in range(field.shape[1]):
            for z in range(field.shape[2]):
                w = weight[x, y, z] ** 2
                p = predicted[x, y, z] + dual[x, y, z]
                s = (w * field[x, y, z] + m * p) / (w + m)
                dual[x, y, z] = p - s
                goal[x, y, z] = s - dual[x, y, z]


@numba.njit(parallel=True, cache=True, fastmath=True)
def _solve(smooth, data, dipole, power, mu_smooth, mu_data):  # type: ignore[no-untyped-def]
    """χ of both splittings' goals, in `smooth`; the field it makes, in `data`."""
    a, b = np.float32(mu_smooth), np.float32(mu_data)
    for x in numba.prange(smooth.shape[0]):
        for y in range(smooth.shape[1]):
            for z in range(smooth.shape[2]):
                d = dipole[x, y, z]
                bottom = a * power[x, y, z] + b * d * d
                if bottom == 0.0:
                    smooth[x, y, z] = 0.0
                else:
                    smooth[x, y, z] = (a * smooth[x, y, z] + b * d * data[x, y, z]) / bottom
                data[x, y, z] = d * smooth[x, y, z]


def tv(
    local_field: NDArray[np.generic],
    mask: NDArray[np.generic],
    voxel_size: Sequence[float],
    b0_dir: Sequence[float],
    *,
    noise: NDArray[np.generic] | None = None,
    magnitude: NDArray[np.generic] | None = None,
    phase_per_ppm: float = PHASE_PER_PPM,
    weight: float = 2e-4,
    gradient_step: float = 1 / 60,
    mu_data: float = 0.2,
    max_iterations: int = 100,
    tolerance: float = 6e-3,
    pad_mm: float = 16.0,
) -> Float:
    """Susceptibility with total variation: min over χ of ½ |W (Dχ - field)|² + λ |∇χ|.

    Solved by the alternating direction method of multipliers. Outside the mask the field counts as unknown.

    Parameters
    ----------
    local_field : (x, y, z) array [ppm]
    mask : (x, y, z) bool array
    voxel_size : 3 floats [mm]
        Gradients are per mm, so anisotropic voxels need no other λ.
    b0_dir : 3 floats
        Direction of B0 in voxel axes.
    noise : (x, y, z) array [ppm], optional
        Standard error of the field, infinite where it is not to be trusted: weights W = median / noise, at most 1.
    magnitude : (x, y, z) or (x, y, z, echo) array, optional
        Where `noise` is None: weights W relative to its median in the mask, at most 1. Default: all alike.
    phase_per_ppm : float [rad/ppm]
        Not used by this method.
    weight : float [ppm mm]
        Weight of the variation.
    gradient_step : float [ppm/mm]
        Gradients shrink by this in one iteration; it sets the speed, not the solution.
    mu_data : float
        Penalty of the data's splitting; likewise.
    max_iterations : int
    tolerance : float
        Stop once χ changes by less than this share in one iteration.
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
    Bilgic B, et al. Magn Reson Med 2014;72:1444. https://doi.org/10.1002/mrm.25029
    Milovic C, et al. Magn Reson Med 2018;80:814. https://doi.org/10.1002/mrm.27073
    """
    sizes = as_voxel_size(voxel_size)
    problem = Problem(local_field, mask, sizes, noise=noise, magnitude=magnitude, pad_mm=pad_mm)
    grid = problem.grid
    dipole = dipole_kernel(grid, sizes, b0_dir)
    power = gradient_power(grid, sizes)
    mu_smooth = weight / gradient_step
    goal, dual = np.zeros((3, *grid), np.float32), np.zeros((3, *grid), np.float32)
    data_dual = np.zeros(grid, np.float32)
    data_goal = problem.weight**2 * problem.field
    divergence, previous = np.zeros(grid, np.float32), np.zeros(grid, np.float32)
    chi = previous
    for _ in range(max_iterations):
        gradient_transposed(goal, divergence, sizes)
        smooth, data = _fft.forward(divergence), _fft.forward(data_goal)
        _solve(smooth, data, dipole, power, mu_smooth, mu_data)
        chi, predicted = _fft.inverse(smooth, grid), _fft.inverse(data, grid)
        if relative_change(chi, previous) < tolerance:
            break
        shrink_gradient(chi, dual, goal, sizes, gradient_step)
        _fit_data(predicted, problem.field, problem.weight, data_dual, data_goal, mu_data)
    return problem.result(chi)
