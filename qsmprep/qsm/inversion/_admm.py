"""The alternating direction method of multipliers that the total-variation methods share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .. import _fft
from .._grid import Float
from ..dipole import dipole_kernel
from ._splitting import SLAB, gradient_power_axes, solve_spectrum, split_gradient
from ._variation import Problem

RELAX = 1.6  # over-relaxation: a third fewer iterations than 1 on a digital head, and stable up to 2


@dataclass(frozen=True)
class Stage:
    """One minimisation of data + weight |∇χ|.

    `split` is the data's proximal step: split(predicted, q, penalty before, penalty) as in `_splitting`.
    `gradient_step` [ppm/mm] and `penalty` set the speed, not the solution.
    """

    split: Callable[[Float, Float, float, float], None]
    weight: float
    gradient_step: float
    penalty: float
    isotropic: bool
    max_iterations: int
    tolerance: float


class Splitting:
    """χ, split into its gradient and its field, on the padded grid of a problem.

    Ten padded volumes at the peak: three of the gradient, one of the field, the problem's field and weights, half of
    the dipole and its scratch, two spectra or what they come from, and one that is transformed.
    """

    def __init__(
        self,
        problem: Problem,
        voxel_size: Sequence[float],
        b0_dir: Sequence[float],
        *,
        kind: NDArray[np.uint8] | None = None,
        factor: Sequence[float] = (1.0,),
    ) -> None:
        grid = problem.grid
        # how much the variation of each kind of voxel counts; a threshold of exactly 0 would divide 0 by 0
        self.kind = problem.inside.view(np.uint8) if kind is None else kind
        self.factor = np.maximum(np.asarray(factor, np.float32), np.float32(1e-6))
        self.grid, self.spacing = grid, tuple(voxel_size)
        self.dipole = dipole_kernel(grid, voxel_size, b0_dir)
        self.power = gradient_power_axes(grid, voxel_size)
        self.gradient = np.zeros((3, *grid), np.float32)
        self.planes = np.empty((2, max(1, grid[0] // SLAB), *grid[1:]), np.float32)
        self.data = problem.field.copy()  # v = z + u of both splittings, here and in `gradient`
        self.smooth_goal: Float = np.zeros(grid, np.float32)
        self.data_goal: Float = problem.field.copy()

    def run(self, stage: Stage) -> int:
        """Iterate until the splitting of the gradient moves by less than `tolerance` of it; iterations made."""
        step = stage.gradient_step
        for iteration in range(1, stage.max_iterations):
            smooth, data = self._solve(stage)
            chi = _fft.inverse(smooth, self.grid)
            del smooth
            predicted = _fft.inverse(data, self.grid)
            del data
            moved, size = split_gradient(
                chi,
                self.gradient,
                self.planes,
                self.kind,
                self.factor,
                self.spacing,
                step,
                step,
                RELAX,
                stage.isotropic,
            )
            stage.split(predicted, self.data, stage.penalty, stage.penalty)
            self.smooth_goal, self.data_goal = chi, predicted
            del chi, predicted  # the goals' only other names: they are let go as soon as they are used
            if moved <= stage.tolerance**2 * size:
                return iteration
        return stage.max_iterations - 1

    def susceptibility(self, stage: Stage) -> Float:
        """χ on the padded grid: half an iteration more."""
        smooth, _ = self._solve(stage)
        return _fft.inverse(smooth, self.grid)

    def _solve(self, stage: Stage) -> tuple[_fft.Spectrum, _fft.Spectrum]:
        """Spectra of the χ that suits both goals, and of its field. The goals are used up."""
        smooth = _fft.forward(self.smooth_goal)
        del self.smooth_goal
        data = _fft.forward(self.data_goal)
        del self.data_goal
        solve_spectrum(smooth, data, self.dipole, self.power, stage.weight / stage.gradient_step, stage.penalty)
        return smooth, data
