"""MEDI: the smoothest χ between the edges of the magnitude that explains the phase, with CSF as uniform as it is."""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np
from numpy.typing import NDArray

from .. import _fft
from .._grid import Bool, Float, as_mask, as_voxel_size
from .._weights import effective_weight
from ..constants import PHASE_PER_PPM
from ._admm import RELAX, Splitting, Stage
from ._edges import voxel_kinds
from ._splitting import split_data_wrapped, split_gradient
from ._variation import Problem

MERIT_AT = (8, 13, 18)  # iterations: the field of χ is near its final one, and what is not explained yet stands out
MERIT_LIMIT = 6.0  # residuals, in standard deviations, beyond which the model is in error rather than the phase noisy


@numba.njit(parallel=True, cache=True, fastmath=True)
def _residual(predicted, field, weight, phase, out):  # type: ignore[no-untyped-def]
    """W |exp(iφp) - exp(iφf)| / φ."""
    p, half = np.float32(phase), np.float32(0.5)
    for x in numba.prange(field.shape[0]):
        for y in range(field.shape[1]):
            for z in range(field.shape[2]):
                angle = half * p * (predicted[x, y, z] - field[x, y, z])
                out[x, y, z] = weight[x, y, z] * abs(np.sin(angle)) / (half * p)


def _reduce_model_error(problem: Problem, predicted: Float, phase: float) -> None:
    """Weights fall with the square of the residual where it is beyond the limit (MERIT)."""
    residual = np.empty_like(predicted)
    _residual(predicted, problem.field, problem.weight, phase, residual)
    # a median does not see the outliers that it is there to find
    known = residual[problem.weight > 0]
    limit = np.float32(MERIT_LIMIT * 1.4826 * float(np.median(known, overwrite_input=True)))
    del known
    beyond = residual > limit
    problem.weight[beyond] *= np.square(limit / residual[beyond])


class _UniformCsf(Splitting):
    """A splitting with one more term, ½ weight |χ - its mean|² in a region: its variable is y = χ there."""

    def __init__(self, *args, csf: Bool, csf_weight: float, penalty: float, mu_smooth: float, **keywords) -> None:  # type: ignore[no-untyped-def]
        super().__init__(*args, **keywords)
        self.csf, self.csf_weight, self.penalty = csf, csf_weight, penalty
        self.region = np.zeros(int(csf.sum()), np.float32)  # v = y + u, only where the region is
        # y = χ everywhere else: that changes no solution, and k-space can hold the term
        self.share = np.float32(penalty / mu_smooth)
        px, py, pz = self.power
        self.power = (px + self.share, py, pz)

    def run(self, stage: Stage) -> int:
        """As `Splitting.run`; in the region y moves to the mean of v."""
        step = stage.gradient_step
        for iteration in range(1, stage.max_iterations):
            smooth, data = self._solve(stage)
            chi = _fft.inverse(smooth, self.grid)
            del smooth
            predicted = _fft.inverse(data, self.grid)
            del data
            stage.split(predicted, self.data, stage.penalty, stage.penalty)
            goal = chi.copy()
            goal[self.csf] = self._region_goal(chi[self.csf])
            moved, size = split_gradient(
                chi, self.gradient, self.planes, self.kind, self.factor, self.spacing, step, step, RELAX,
                stage.isotropic,
            )  # fmt: skip
            goal *= self.share
            chi += goal
            del goal
            self.smooth_goal, self.data_goal = chi, predicted
            del chi, predicted
            if moved <= stage.tolerance**2 * size:
                return iteration
        return stage.max_iterations - 1

    def _region_goal(self, chi: Float) -> Float:
        """What χ in the region should be next."""
        old = self._uniform(self.region)
        self.region = np.float32(RELAX) * chi + np.float32(1 - RELAX) * old + (self.region - old)
        return 2 * self._uniform(self.region) - self.region

    def _uniform(self, values: Float) -> Float:
        """Proximal step of ½ weight |y - mean|²."""
        total = np.float32(self.csf_weight + self.penalty)
        mean = np.float32(values.mean(dtype=np.float64))
        return (np.float32(self.csf_weight) * mean + np.float32(self.penalty) * values) / total


def medi(
    local_field: NDArray[np.generic],
    mask: NDArray[np.generic],
    voxel_size: Sequence[float],
    b0_dir: Sequence[float],
    *,
    noise: NDArray[np.generic] | None = None,
    magnitude: NDArray[np.generic] | None = None,
    phase_per_ppm: float = PHASE_PER_PPM,
    csf: NDArray[np.generic] | None = None,
    weight: float = 1.5e-4,
    edge_share: float = 0.3,
    csf_weight: float = 1.0,
    merit: bool = True,
    gradient_step: float = 1 / 60,
    mu_data: float = 0.2,
    max_iterations: int = 60,
    tolerance: float = 0.04,
    pad_mm: float = 16.0,
) -> Float:
    """Morphology-enabled dipole inversion (MEDI), non-linear, with an optional uniform CSF (MEDI+0).

    Minimises ½ |W (exp(iφDχ) - exp(iφ field))|² / φ² + λ |P ∇χ| + ½ λ0 |χ - mean χ|² over the CSF; P is 0 on edges of
    the magnitude and 1 elsewhere, φ the phase of 1 ppm. The paper's functional, solved by the alternating direction
    method of multipliers in place of Gauss-Newton steps.

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
        Gives the edges; where `noise` is None, also W. Default: no edges are known.
    phase_per_ppm : float [rad/ppm]
        φ, the phase that 1 ppm makes at the effective echo time: 2π γ B0 TE.
    csf : (x, y, z) bool array, optional
        Ventricular CSF. χ is then returned relative to its mean. Default: no such term, no reference.
    weight : float [ppm mm]
        λ where the noise of the field is 1 ppb; the effective one is in proportion to it.
    edge_share : float
        Share of the mask's voxels that count as edges: those where the relative gradient of the magnitude is steepest.
    csf_weight : float
        λ0, relative to the weight of the data.
    merit : bool
        Model error reduction: voxels whose residual is beyond 6 standard deviations count less from then on.
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
    chi : (x, y, z) float32 array [ppm], 0 outside `mask`, relative to the CSF where one is given

    Raises
    ------
    ValueError
        If shapes differ, the mask is empty, the field is not finite inside it, or the CSF does not meet the mask.

    References
    ----------
    Liu J, et al. NeuroImage 2012;59:2560. https://doi.org/10.1016/j.neuroimage.2011.08.082
    Liu T, et al. Magn Reson Med 2013;69:467. https://doi.org/10.1002/mrm.24272
    Liu Z, et al. Magn Reson Med 2018;79:2795. https://doi.org/10.1002/mrm.26946
    """
    sizes = as_voxel_size(voxel_size)
    problem = Problem(local_field, mask, sizes, noise=noise, magnitude=magnitude, pad_mm=pad_mm)

    iteration = 0

    def split(predicted: Float, q: Float, before: float, penalty: float) -> None:
        nonlocal iteration
        iteration += 1
        if merit and iteration in MERIT_AT:
            _reduce_model_error(problem, predicted, phase_per_ppm)
        split_data_wrapped(predicted, q, problem.field, problem.weight, before, penalty, RELAX, phase_per_ppm)

    strength = effective_weight(weight, problem.noise)
    stage = Stage(split, strength, gradient_step, mu_data, False, max_iterations, tolerance)
    kind = voxel_kinds(magnitude, problem, sizes, edge_share)
    factor = (1.0, 1.0, 0.0)
    if csf is None:
        splitting = Splitting(problem, sizes, b0_dir, kind=kind, factor=factor)
        splitting.run(stage)
        return problem.result(splitting.susceptibility(stage))
    region = as_mask(csf, problem.shape) & problem.mask
    if not region.any():
        raise ValueError("the CSF does not meet the mask of the local field")
    uniform = _UniformCsf(
        problem, sizes, b0_dir, csf=problem.padded(region[problem.box]), csf_weight=csf_weight, penalty=mu_data,
        mu_smooth=strength / gradient_step, kind=kind, factor=factor,
    )  # fmt: skip
    uniform.run(stage)
    chi = problem.result(uniform.susceptibility(stage))
    return np.where(problem.mask, chi - chi[region].mean(), np.float32(0))
