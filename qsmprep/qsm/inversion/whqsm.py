"""WH-QSM: total variation, with the harmonic field that background removal left found and kept out of χ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from .. import _fft
from .._grid import Float, as_voxel_size
from .._weights import effective_weight
from ..constants import PHASE_PER_PPM
from ._admm import RELAX, Splitting, Stage
from ._splitting import SLAB, split_data_wrapped, split_gradient
from ._variation import Problem


@numba.njit(parallel=True, cache=True, fastmath=True)
def _solve_both(smooth, data, source, dipole, power, mu_smooth, mu_data, mu_source):  # type: ignore[no-untyped-def]
    """χ and the harmonic field h that suit all goals: `smooth` becomes χ, `data` Dχ + h, `source` ∇²h.

    Two unknowns for each frequency; their determinant has a common factor |k|², which is divided out beforehand.
    """
    a, b, c = np.float32(mu_smooth), np.float32(mu_data), np.float32(mu_source)
    px, py, pz = power
    for x in numba.prange(smooth.shape[0]):
        for y in range(smooth.shape[1]):
            pxy = px[x] + py[y]
            for z in range(smooth.shape[2]):
                p, d = max(pxy + pz[z], np.float32(1e-6)), dipole[x, y, z]  # 0 at the origin alone
                own = b + c * p * p
                rest = b * c * d
                chi = (own * a * smooth[x, y, z] / p + rest * (p * data[x, y, z] + source[x, y, z])) / (
                    a * own + rest * d * p
                )
                h = (b * (data[x, y, z] - d * chi) - c * p * source[x, y, z]) / own
                smooth[x, y, z] = chi
                data[x, y, z] = d * chi + h
                source[x, y, z] = -p * h
    smooth[0, 0, 0] = 0
    source[0, 0, 0] = 0


@numba.njit(parallel=True, cache=True, fastmath=True)
def _split_source(laplacian, v, inside, weight, penalty, relax):  # type: ignore[no-untyped-def]
    """One step of s = ∇²h with ½ weight s² in the mask: `v` moves on, `laplacian` becomes what the next should be."""
    a, one = np.float32(relax), np.float32(1)
    share = np.float32(penalty / (weight + penalty))  # of v that s keeps in the mask; outside it is free
    for x in numba.prange(v.shape[0]):
        for y in range(v.shape[1]):
            for z in range(v.shape[2]):
                keep = share if inside[x, y, z] else one
                old = v[x, y, z]
                s = keep * old
                new = a * laplacian[x, y, z] + (one - a) * s + (old - s)
                v[x, y, z] = new
                laplacian[x, y, z] = (keep + keep - one) * new


class _WithHarmonic(Splitting):
    """A splitting with a second unknown: a field whose Laplacian is small in the mask. At most twelve volumes."""

    def __init__(self, problem: Problem, *args: Any, harmonic_weight: float, mu_harmonic: float, **more: Any) -> None:
        super().__init__(problem, *args, **more)
        self.inside = problem.inside
        self.harmonic_weight, self.mu_harmonic = harmonic_weight, mu_harmonic
        nx, ny, nz = self.grid
        self.planes = np.empty((2, max(1, nx // (2 * SLAB)), ny, nz), np.float32)  # half as many: memory is short here
        self.source = np.zeros(self.grid, np.float32)  # v = s + u
        self.source_goal: Float = np.zeros(self.grid, np.float32)

    def run(self, stage: Stage) -> int:
        """As `Splitting.run`, three pairs of transforms an iteration."""
        step = stage.gradient_step
        for iteration in range(1, stage.max_iterations):
            smooth, data, source = self._solve_all(stage)
            chi = _fft.inverse(smooth, self.grid)
            del smooth
            moved, size = split_gradient(
                chi, self.gradient, self.planes, self.kind, self.factor, self.spacing, step, step, RELAX,
                stage.isotropic,
            )  # fmt: skip
            self.smooth_goal = chi
            del chi
            predicted = _fft.inverse(data, self.grid)
            del data
            stage.split(predicted, self.data, stage.penalty, stage.penalty)
            self.data_goal = predicted
            del predicted
            laplacian = _fft.inverse(source, self.grid)
            del source
            _split_source(laplacian, self.source, self.inside, self.harmonic_weight, self.mu_harmonic, RELAX)
            self.source_goal = laplacian
            del laplacian
            if moved <= stage.tolerance**2 * size:
                return iteration
        return stage.max_iterations - 1

    def susceptibility(self, stage: Stage) -> Float:
        """χ on the padded grid: half an iteration more."""
        return _fft.inverse(self._solve_all(stage)[0], self.grid)

    def _solve_all(self, stage: Stage) -> tuple[_fft.Spectrum, _fft.Spectrum, _fft.Spectrum]:
        """Spectra of χ, the whole field and the Laplacian of its harmonic part. The goals are used up."""
        smooth = _fft.forward(self.smooth_goal)
        del self.smooth_goal
        data = _fft.forward(self.data_goal)
        del self.data_goal
        source = _fft.forward(self.source_goal)
        del self.source_goal
        _solve_both(
            smooth, data, source, self.dipole, self.power, stage.weight / stage.gradient_step, stage.penalty,
            self.mu_harmonic,
        )  # fmt: skip
        return smooth, data, source


def whqsm(
    local_field: NDArray[np.generic],
    mask: NDArray[np.generic],
    voxel_size: Sequence[float],
    b0_dir: Sequence[float],
    *,
    noise: NDArray[np.generic] | None = None,
    magnitude: NDArray[np.generic] | None = None,
    phase_per_ppm: float = PHASE_PER_PPM,
    weight: float = 8e-5,
    harmonic_weight: float = 3000.0,
    isotropic: bool = False,
    gradient_step: float = 1 / 60,
    mu_data: float = 0.04,
    mu_harmonic: float = 5.0,
    max_iterations: int = 60,
    tolerance: float = 0.06,
    pad_mm: float = 16.0,
) -> Float:
    """Susceptibility with a weakly harmonic field beside it (WH-QSM).

    Minimises ½ |W (exp(iφ(Dχ + h)) - exp(iφ field))|² / φ² + λ |∇χ| + ½ β |∇²h|² in the mask; φ is the phase of 1 ppm.
    h is what sources outside the mask make of the field inside: what background removal left of them goes there and
    not into χ. Outside the mask its Laplacian is free. Solved by the alternating direction method of multipliers, χ and
    h together in k-space.

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
        φ, the phase that 1 ppm makes at the effective echo time: 2π γ B0 TE.
    weight : float [ppm mm]
        λ where the noise of the field is 1 ppb; the effective one is in proportion to it.
    harmonic_weight : float [mm⁴]
        β. From about 1000 on h is harmonic for all purposes; a small one lets it take the field of χ's own sources.
    isotropic : bool
        Length of the gradient, or the sum of its components' sizes.
    gradient_step : float [ppm/mm]
        Gradients shrink by this in one iteration; it sets the speed, not the solution.
    mu_data, mu_harmonic : float, float [mm⁴]
        Penalties of the other splittings; likewise. `mu_data / mu_harmonic` is the fourth power of the wave number
        from which on h is built up over iterations, rather than in the first.
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
    Milovic C, et al. Magn Reson Med 2019;81:1399. https://doi.org/10.1002/mrm.27483
    """
    if not phase_per_ppm > 0:
        raise ValueError(f"phase per ppm must be positive, found {phase_per_ppm}")
    sizes = as_voxel_size(voxel_size)
    problem = Problem(local_field, mask, sizes, noise=noise, magnitude=magnitude, pad_mm=pad_mm)

    def split(predicted: Float, q: Float, before: float, penalty: float) -> None:
        split_data_wrapped(predicted, q, problem.field, problem.weight, before, penalty, RELAX, phase_per_ppm)

    strength = effective_weight(weight, problem.noise)
    stage = Stage(split, strength, gradient_step, mu_data, isotropic, max_iterations, tolerance)
    splitting = _WithHarmonic(problem, sizes, b0_dir, harmonic_weight=harmonic_weight, mu_harmonic=mu_harmonic)
    splitting.run(stage)
    return problem.result(splitting.susceptibility(stage))
