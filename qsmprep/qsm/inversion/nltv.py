"""Non-linear dipole inversion with total variation: fits the phasor of the field, so that whole turns cost nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .._grid import Float, as_voxel_size
from .._weights import effective_weight
from ..constants import PHASE_PER_PPM
from ._admm import RELAX, Splitting, Stage
from ._splitting import split_data_wrapped
from ._variation import Problem


def nltv(
    local_field: NDArray[np.generic],
    mask: NDArray[np.generic],
    voxel_size: Sequence[float],
    b0_dir: Sequence[float],
    *,
    noise: NDArray[np.generic] | None = None,
    magnitude: NDArray[np.generic] | None = None,
    phase_per_ppm: float = PHASE_PER_PPM,
    weight: float = 1e-4,
    outside_weight: float = 0.3,
    isotropic: bool = False,
    gradient_step: float = 1 / 60,
    mu_data: float = 0.04,
    max_iterations: int = 60,
    tolerance: float = 0.06,
    pad_mm: float = 16.0,
) -> Float:
    """Susceptibility with total variation: min over χ of ½ |W (exp(iφDχ) - exp(iφ field))|² / φ² + λ |∇χ|.

    φ is the phase of 1 ppm. A voxel whose field is off by more than a quarter turn, by noise or by wrong unwrapping,
    pulls less the farther it is off, and by whole turns not at all; small residuals count as in `tv`. Solved by the
    alternating direction method of multipliers. Outside the mask the field counts as unknown.

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
        φ, the phase that 1 ppm makes at the effective echo time: 2π γ B0 TE.
    weight : float [ppm mm]
        Weight λ of the variation where the noise of the field is 1 ppb; the effective one is in proportion to it.
    outside_weight : float
        How much the variation counts outside the mask, of 1. Where it is cheap, what background removal left of sources
        out there goes where it came from, and does not have to be explained inside.
    isotropic : bool
        |∇χ| is the length of the gradient; False: the sum of its components, as in the paper.
    gradient_step : float [ppm/mm]
        Gradients shrink by this in one iteration; it sets the speed, not the solution.
    mu_data : float
        Penalty of the data's splitting; likewise.
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
        If shapes differ, the mask is empty, the field is not finite inside it or `phase_per_ppm` is not positive.

    References
    ----------
    Milovic C, et al. Magn Reson Med 2018;80:814. https://doi.org/10.1002/mrm.27073
    """
    if not phase_per_ppm > 0:
        raise ValueError(f"phase per ppm must be positive, found {phase_per_ppm}")
    sizes = as_voxel_size(voxel_size)
    problem = Problem(local_field, mask, sizes, noise=noise, magnitude=magnitude, pad_mm=pad_mm)

    def split(predicted: Float, q: Float, before: float, penalty: float) -> None:
        split_data_wrapped(predicted, q, problem.field, problem.weight, before, penalty, RELAX, phase_per_ppm)

    strength = effective_weight(weight, problem.noise)
    stage = Stage(split, strength, gradient_step, mu_data, isotropic, max_iterations, tolerance)
    splitting = Splitting(problem, sizes, b0_dir, kind=problem.inside.view(np.uint8), factor=(outside_weight, 1.0))
    splitting.run(stage)
    return problem.result(splitting.susceptibility(stage))
