"""Rapid two-step inversion: solve for what the dipole passes well, fill in by smoothness what it hardly passes."""

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
from ._admm import RELAX
from ._cg import weighted_least_squares
from ._splitting import SLAB, gradient_power_axes, split_gradient
from ._variation import Problem

FLOOR = 0.005
"""Preconditioner of the least squares: frequencies whose squared dipole is below it are left behind by few steps."""


@numba.njit(parallel=True, cache=True, fastmath=True)
def _keep(spectrum, known, dipole, power, delta, mu):  # type: ignore[no-untyped-def]
    """χ that has the goal's gradients where the dipole is weaker than `delta`, and the known spectrum elsewhere."""
    m, weakest = np.float32(mu), np.float32(delta)
    px, py, pz = power
    for x in numba.prange(spectrum.shape[0]):
        for y in range(spectrum.shape[1]):
            pxy = px[x] + py[y]
            for z in range(spectrum.shape[2]):
                held = m if abs(dipole[x, y, z]) > weakest else np.float32(0)
                scale = np.float32(1) / (pxy + pz[z] + held + np.float32(1e-30))
                spectrum[x, y, z] = (spectrum[x, y, z] + held * known[x, y, z]) * scale
    spectrum[0, 0, 0] = 0


def rts(
    local_field: NDArray[np.generic],
    mask: NDArray[np.generic],
    voxel_size: Sequence[float],
    b0_dir: Sequence[float],
    *,
    noise: NDArray[np.generic] | None = None,
    magnitude: NDArray[np.generic] | None = None,
    phase_per_ppm: float = PHASE_PER_PPM,
    delta: float = 0.1,
    cg_iterations: int = 6,
    mu: float = 10.0,
    gradient_step: float = 0.02,
    max_iterations: int = 30,
    tolerance: float = 0.08,
    pad_mm: float = 16.0,
) -> Float:
    """Susceptibility in two steps (RTS): least squares, then total variation for what the dipole hides.

    First a few preconditioned conjugate-gradient steps of min |W (Dχ - field)|², in which the field outside the mask
    counts as unknown. Then min |∇χ| over the frequencies where the dipole is weaker than `delta`; the others are held,
    softly, at the values of the first step.

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
    delta : float
        Dipole strength, of 2/3 at most, from which a frequency counts as known.
    cg_iterations : int
        Steps of the least squares.
    mu : float [1/mm²]
        How firmly known frequencies are held, relative to the gradients, where the noise of the field is 1 ppb; the
        effective one falls as the noise rises. The paper's 1e4 holds the frequencies' noise as well.
    gradient_step : float [ppm/mm]
        Gradients shrink by this in one iteration. `gradient_step / mu` is the weight of the variation [ppm mm].
    max_iterations : int
        Iterations of the second step.
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
    Kames C, Wiggermann V, Rauscher A. NeuroImage 2018;167:276. https://doi.org/10.1016/j.neuroimage.2017.11.018
    """
    sizes = as_voxel_size(voxel_size)
    problem = Problem(local_field, mask, sizes, noise=noise, magnitude=magnitude, pad_mm=pad_mm)
    grid = problem.grid
    dipole, power = dipole_kernel(grid, sizes, b0_dir), gradient_power_axes(grid, sizes)
    known = weighted_least_squares(
        problem, dipole, power, weight=0.0, floor=FLOOR, max_iterations=cg_iterations, tolerance=0.0
    )
    firmness = mu / effective_weight(1.0, problem.noise)
    gradient = np.zeros((3, *grid), np.float32)
    planes = np.empty((2, max(1, grid[0] // SLAB), *grid[1:]), np.float32)
    kind, factor = problem.inside.view(np.uint8), np.ones(1, np.float32)
    chi, relax = _fft.inverse(known.copy(), grid), 1.0
    for _ in range(max_iterations):
        moved, size = split_gradient(
            chi, gradient, planes, kind, factor, sizes, gradient_step, gradient_step, relax, True
        )
        spectrum = _fft.forward(chi)
        del chi
        _keep(spectrum, known, dipole, power, delta, firmness)
        chi, relax = _fft.inverse(spectrum, grid), RELAX
        if moved <= tolerance**2 * size:
            break
    return problem.result(chi)
