"""Dipole inversion with total variation that spares the magnitude's edges and leaves sources outside the mask free.

Every background removal leaves something behind next to the rim: a field that is harmonic inside the mask, as if there
were sources just outside it. A χ map that may not have them puts them inside, as the shadows and the missing slope that
two-step reconstructions are known for. Here χ outside the mask is part of the unknowns and its variation costs nothing,
so what is harmonic goes where it came from; it is thrown away at the end.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .._grid import Float, as_voxel_size
from .._weights import effective_weight
from ..constants import PHASE_PER_PPM
from ._admm import RELAX, Splitting, Stage
from ._edges import voxel_kinds
from ._splitting import split_data
from ._variation import Problem

MODEL_ERROR = 6e-4  # [ppm], by which a field map without noise would still be off


def mtv(
    local_field: NDArray[np.generic],
    mask: NDArray[np.generic],
    voxel_size: Sequence[float],
    b0_dir: Sequence[float],
    *,
    noise: NDArray[np.generic] | None = None,
    magnitude: NDArray[np.generic] | None = None,
    phase_per_ppm: float = PHASE_PER_PPM,
    weight: float = 1.2e-4,
    outside_weight: float = 0.0,
    edge_share: float = 0.4,
    edge_weight: float = 0.3,
    gradient_step: float = 1 / 60,
    mu_data: float = 0.02,
    max_iterations: int = 60,
    tolerance: float = 0.025,
    pad_mm: float = 16.0,
) -> Float:
    """Susceptibility with total variation: min over χ of ½ |W (Dχ - field)|² + λ |P ∇χ|.

    P is 1 inside the mask, `edge_weight` on edges of the magnitude, and `outside_weight` outside the mask. Solved by
    the alternating direction method of multipliers with over-relaxation.

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
        Its edges are likely edges of χ. Where `noise` is None, it also gives W. Default: no edges are known.
    phase_per_ppm : float [rad/ppm]
        Not used by this method.
    weight : float [ppm mm]
        λ per ppb of √(noise² + (0.6 ppb)²): linear in the noise of the field, down to what is wrong with any field map.
    outside_weight : float
        P outside the mask: 0 lets sources outside take all they can of what background removal left, 1 gives the plain
        total variation.
    edge_share : float
        Share of the mask's voxels that count as edges: those where the relative gradient of the magnitude is steepest.
    edge_weight : float
        P on edges.
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
        If shapes differ, the mask is empty or the field is not finite inside it.

    References
    ----------
    Liu J, et al. NeuroImage 2012;59:2560 (edges of the magnitude). https://doi.org/10.1016/j.neuroimage.2011.08.082
    Liu Z, et al. Magn Reson Med 2017;78:303 (sources inside and outside at once). https://doi.org/10.1002/mrm.26331
    Milovic C, et al. Magn Reson Med 2019;81:1399 (harmonic remnants). https://doi.org/10.1002/mrm.27483
    Bilgic B, et al. Magn Reson Med 2014;72:1444 (splitting). https://doi.org/10.1002/mrm.25029
    """
    sizes = as_voxel_size(voxel_size)
    problem = Problem(local_field, mask, sizes, noise=noise, magnitude=magnitude, pad_mm=pad_mm)

    def split(predicted: Float, q: Float, before: float, penalty: float) -> None:
        split_data(predicted, q, problem.field, problem.weight, before, penalty, RELAX)

    strength = effective_weight(weight, float(np.hypot(problem.noise, MODEL_ERROR)))
    stage = Stage(split, strength, gradient_step, mu_data, True, max_iterations, tolerance)
    kind = voxel_kinds(magnitude, problem, sizes, edge_share)
    splitting = Splitting(problem, sizes, b0_dir, kind=kind, factor=(outside_weight, 1.0, edge_weight))
    splitting.run(stage)
    return problem.result(splitting.susceptibility(stage))
