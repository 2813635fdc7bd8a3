"""Hybrid data fidelity (HD-QSM): absolute residuals first, which outliers hardly pull; then their squares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numba
import numpy as np
from numpy.typing import NDArray

from .._grid import Float, as_voxel_size
from .._weights import effective_weight
from ..constants import PHASE_PER_PPM
from ._admm import RELAX, Splitting, Stage
from ._splitting import split_data, split_data_absolute
from ._variation import Problem


@numba.njit(parallel=True, cache=True)
def _change_norm(predicted, q, field, weight, penalty, limit):  # type: ignore[no-untyped-def]
    """From absolute to squared residuals: a weighted one above `limit` loses weight until it is no more than that.

    The split field becomes the predicted one, with the dual that belongs to it, in `q`; `predicted` becomes the goal.
    """
    m, most = np.float32(penalty), np.float32(limit)
    for x in numba.prange(q.shape[0]):
        for y in range(q.shape[1]):
            for z in range(q.shape[2]):
                w, s = weight[x, y, z], predicted[x, y, z]
                residual = s - field[x, y, z]
                if w * abs(residual) > most:
                    w = most / abs(residual)
                    weight[x, y, z] = w
                dual = w * w * residual / m
                q[x, y, z] = s + dual
                predicted[x, y, z] = s - dual


def hdqsm(
    local_field: NDArray[np.generic],
    mask: NDArray[np.generic],
    voxel_size: Sequence[float],
    b0_dir: Sequence[float],
    *,
    noise: NDArray[np.generic] | None = None,
    magnitude: NDArray[np.generic] | None = None,
    phase_per_ppm: float = PHASE_PER_PPM,
    weight: float = 8e-5,
    weight_absolute: float = 0.12,
    outlier: float = 20.0,
    outside_weight: float = 0.3,
    isotropic: bool = False,
    gradient_step: float = 1 / 60,
    mu_data: float = 0.04,
    penalty_absolute: float = 0.1,
    iterations_absolute: int = 8,
    max_iterations: int = 60,
    tolerance: float = 0.06,
    pad_mm: float = 16.0,
) -> Float:
    """Susceptibility with total variation and a hybrid data term (HD-QSM).

    A few iterations of min |W (Dχ - field)|₁ + λ₁ |∇χ|: outliers of the field pull no more than any other voxel, but
    noise is averaged badly. From there on min ½ |W' (Dχ - field)|² + λ |∇χ|, in which voxels whose residual stands out
    of the noise after the first stage have lost weight. Both by the alternating direction method of multipliers.
    Outside the mask the field counts as unknown.

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
        Weight λ of the variation where the noise of the field is 1 ppb; the effective one is in proportion to it.
    weight_absolute : float [mm]
        Weight λ₁ of the variation next to absolute residuals; it suits any noise.
    outlier : float
        Residual of the first stage, in units of the noise, from which a voxel loses weight in the second.
    outside_weight : float
        How much the variation counts outside the mask, of 1. Where it is cheap, what background removal left of sources
        out there goes where it came from, and does not have to be explained inside.
    isotropic : bool
        |∇χ| is the length of the gradient; False: the sum of its components, as in the paper.
    gradient_step : float [ppm/mm]
        Gradients shrink by this in one iteration; it sets the speed, not the solution.
    mu_data : float
        Penalty of the splitting of squared residuals; likewise.
    penalty_absolute : float
        Penalty of the splitting of absolute residuals, times the noise; likewise.
    iterations_absolute : int
        Iterations of the first stage.
    max_iterations : int
    tolerance : float
        Stop once the splitting of the gradient moves by less than this share of the gradient in one iteration.
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
    Lambert M, Tejos C, Langkammer C, Milovic C. Magn Reson Med 2022;88:962. https://doi.org/10.1002/mrm.29218
    """
    sizes = as_voxel_size(voxel_size)
    problem = Problem(local_field, mask, sizes, noise=noise, magnitude=magnitude, pad_mm=pad_mm)

    def absolute(predicted: Float, q: Float, before: float, penalty: float) -> None:
        split_data_absolute(predicted, q, problem.field, problem.weight, before, penalty, RELAX)

    def change(predicted: Float, q: Float, before: float, penalty: float) -> None:
        _change_norm(predicted, q, problem.field, problem.weight, mu_data, outlier * problem.noise)

    def squares(predicted: Float, q: Float, before: float, penalty: float) -> None:
        split_data(predicted, q, problem.field, problem.weight, before, penalty, RELAX)

    splitting = Splitting(problem, sizes, b0_dir, kind=problem.inside.view(np.uint8), factor=(outside_weight, 1.0))
    first = Stage(
        absolute,
        weight_absolute,
        gradient_step,
        penalty_absolute / problem.noise,
        isotropic,
        iterations_absolute,
        tolerance,
    )
    strength = effective_weight(weight, problem.noise)
    second = Stage(squares, strength, gradient_step, mu_data, isotropic, max_iterations, tolerance)
    splitting.run(first)
    splitting.run(replace(first, split=change, max_iterations=2))
    splitting.run(second)
    return problem.result(splitting.susceptibility(second))
