"""STAR-QSM: strong sources first, heavily regularised; then the rest, without the streaks that those would make."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .. import _fft
from .._grid import Float, as_voxel_size
from .._weights import effective_weight
from ..constants import PHASE_PER_PPM
from ._admm import RELAX, Splitting, Stage
from ._splitting import split_data
from ._variation import Problem


def starqsm(
    local_field: NDArray[np.generic],
    mask: NDArray[np.generic],
    voxel_size: Sequence[float],
    b0_dir: Sequence[float],
    *,
    noise: NDArray[np.generic] | None = None,
    magnitude: NDArray[np.generic] | None = None,
    phase_per_ppm: float = PHASE_PER_PPM,
    weight_strong: float = 1e-2,
    weight: float = 1e-4,
    gradient_step: float = 1 / 60,
    mu_data: float = 0.1,
    iterations_strong: int = 12,
    max_iterations: int = 60,
    tolerance: float = 0.07,
    pad_mm: float = 16.0,
) -> Float:
    """Streaking artefact reduction (STAR-QSM): total variation at two levels.

    The first level explains, with strong regularisation, what strong sources (bleedings, calcifications, large veins)
    make of the field; the second explains what is left, with weak regularisation. χ is their sum.

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
    weight_strong : float [ppm mm]
        Weight of the variation at the first level. It does not depend on the noise: it tells strong sources from weak.
    weight : float [ppm mm]
        At the second level, where the noise of the field is 1 ppb; the effective one is in proportion to it.
    gradient_step : float [ppm/mm]
        Gradients shrink by this in one iteration; it sets the speed, not the solution.
    mu_data : float
        Penalty of the data's splitting; likewise.
    iterations_strong : int
        Of the first level.
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
        If shapes differ, the mask is empty, the field is not finite inside it.

    References
    ----------
    Wei H, et al. NMR Biomed 2015;28:1294. https://doi.org/10.1002/nbm.3383
    """
    sizes = as_voxel_size(voxel_size)
    problem = Problem(local_field, mask, sizes, noise=noise, magnitude=magnitude, pad_mm=pad_mm)
    level = problem.noise  # of the field as it came, before strong sources are taken off

    def split(predicted: Float, q: Float, before: float, penalty: float) -> None:
        split_data(predicted, q, problem.field, problem.weight, before, penalty, RELAX)

    def solve(strength: float, iterations: int) -> Float:
        # fewer gradients shrink at once where the weight is large, so that the first level starts as fast
        stage = Stage(split, strength, gradient_step, mu_data, True, iterations, tolerance)
        splitting = Splitting(problem, sizes, b0_dir)
        splitting.run(stage)
        return splitting.susceptibility(stage)

    strong = solve(weight_strong, iterations_strong)
    strong *= problem.inside
    problem.field -= _field_of(strong, problem, sizes, b0_dir)
    strong = strong[problem.corner].copy()  # without the padding: the second level needs the room
    rest = solve(effective_weight(weight, level), max_iterations)
    rest[problem.corner] += strong
    return problem.result(rest)


def _field_of(chi: Float, problem: Problem, voxel_size: Sequence[float], b0_dir: Sequence[float]) -> Float:
    """Field of χ on the padded grid, 0 outside the mask."""
    from ..dipole import dipole_kernel

    spectrum = _fft.forward(chi)
    spectrum *= dipole_kernel(problem.grid, voxel_size, b0_dir)
    field = _fft.inverse(spectrum, problem.grid)
    field *= problem.inside
    return field
