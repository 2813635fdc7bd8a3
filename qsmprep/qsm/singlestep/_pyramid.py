"""Total generalised variation under a wave equation, solved on coarse grids before fine ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .._grid import Bool, Float
from .._harmonic import coarsening, interpolate_add
from ._primal_dual import BACKWARD, CORE, FORWARD, dual_step, neighbour_flags, primal_step
from ._wave import laplace_stencil, wave_stencil

CHECK = 10  # iterations between two looks at how much χ moves
SMALLEST = 16  # voxels along the longest axis: no grid is made coarser than this
RELAX = 1.8  # over-relaxation

# Free numbers of the steps, see `_steps`; the best of a search on a head of 2 mm
BALANCE = 0.01  # steps of the unknowns over those of the duals, times α₁ [ppm]: χ may be any, the duals grow with α₁
EQUATION = 10.0  # weight of the wave equation among the rows
FIELD_UNIT = 0.03  # of F, in units of χ: about what a field is to its source


@dataclass(frozen=True)
class Strengths:
    """α₁ [ppm mm], α₀ [ppm mm²] and what α₁ is multiplied by on edges."""

    alpha1: float
    alpha0: float
    edge_weight: float


class Level:
    """Data and unknowns on one grid, whose outermost voxels lie outside the mask.

    22 volumes: five unknowns (χ, w, F), their extrapolations, ten duals (p, q, η), the data and their squared weights;
    and at most an eighth of that for the coarser grid while it is being taken over.
    """

    def __init__(
        self,
        data: Float,
        weight: Float,
        mask: Bool,
        edges: Bool,
        voxel_size: Sequence[float],
        b0_dir: Sequence[float],
    ) -> None:
        self.data, self.weight, self.mask, self.edges = data, weight, mask, edges.view(np.uint8)
        self.voxel_size, self.b0_dir = tuple(voxel_size), b0_dir
        self.factor = coarsening(mask.shape, voxel_size)
        self.flags = neighbour_flags(mask)
        self.first = np.argmax(mask, axis=2)
        self.last = np.where(mask.any(axis=2), mask.shape[2] - np.argmax(mask[:, :, ::-1], axis=2), self.first)

    def solve(self, strengths: Strengths, max_iterations: int, coarse_iterations: int, tolerance: float) -> list[int]:
        """Find χ, in `chi`; numbers of iterations, coarsest grid first."""
        coarse = self._coarser()
        made = coarse.solve(strengths, coarse_iterations, coarse_iterations, tolerance) if coarse else []
        self._begin()
        if coarse:
            self._take_over(coarse)
        del coarse
        return [*made, self._iterate(strengths, max_iterations, tolerance)]

    def _begin(self) -> None:
        shape = self.mask.shape
        self.chi: Float = np.zeros(shape, np.float32)
        self.field: Float = self.data.copy()
        self.w: Float = np.zeros((3, *shape), np.float32)
        self.eta: Float = np.zeros(shape, np.float32)
        self.p: Float = np.zeros((3, *shape), np.float32)
        self.q: Float = np.zeros((6, *shape), np.float32)

    def _coarser(self) -> Level | None:
        """The same data on a grid of twice the voxel size; None where nothing would be left of them."""
        shape = self.mask.shape
        if max(shape) < 2 * SMALLEST or max(self.factor) == 1:
            return None

        def summed(volume: NDArray[np.generic]) -> Float:
            padded = np.pad(volume, [(0, -n % f) for n, f in zip(shape, self.factor, strict=True)])
            blocks = [v for n, f in zip(padded.shape, self.factor, strict=True) for v in (n // f, f)]
            return np.asarray(padded.reshape(blocks).sum(axis=(1, 3, 5), dtype=np.float32))

        voxels, trust = summed(self.mask), summed(self.weight)
        mask: Bool = np.asarray(2 * voxels > np.prod(self.factor))
        for axis in range(3):
            np.moveaxis(mask, axis, 0)[[0, -1]] = False
        if not (neighbour_flags(mask) & CORE).any():
            return None
        data = np.where(mask, summed(self.weight * self.data) / np.maximum(trust, np.float32(1e-6)), np.float32(0))
        weight = np.where(mask, trust / np.maximum(voxels, np.float32(1)), np.float32(0))
        edges: Bool = np.asarray(mask & (2 * summed(self.edges) > voxels))
        sizes = [v * f for v, f in zip(self.voxel_size, self.factor, strict=True)]
        return Level(data.astype(np.float32), weight.astype(np.float32), mask, edges, sizes, self.b0_dir)

    def _take_over(self, coarse: Level) -> None:
        """Unknowns and duals of the coarser grid, interpolated to where this one has them."""
        everywhere = self.mask.view(np.uint8)
        self.field[:] = 0
        interpolate_add(self.chi, coarse.chi, everywhere, self.factor)
        interpolate_add(self.field, coarse.field, everywhere, self.factor)
        interpolate_add(self.eta, coarse.eta, self.flags & CORE, self.factor)
        for i in range(3):
            interpolate_add(self.w[i], coarse.w[i], everywhere, self.factor)
            interpolate_add(self.p[i], coarse.p[i], self.flags & FORWARD[i], self.factor)
        for i, pair in enumerate([(0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)]):
            bits = BACKWARD[pair[0]] | BACKWARD[pair[1]]
            interpolate_add(self.q[i], coarse.q[i], (self.flags & bits == bits).view(np.uint8), self.factor)

    def _iterate(self, strengths: Strengths, max_iterations: int, tolerance: float) -> int:
        """Iterate until χ moves by less than `tolerance` of it in one iteration. Squares the weight."""
        h = np.array(self.voxel_size, np.float32)
        laplace, wave = laplace_stencil(self.voxel_size), wave_stencil(self.voxel_size, self.b0_dir)
        tau, sigma = _steps(self.voxel_size, laplace, wave, BALANCE / strengths.alpha1)
        weight2 = np.square(self.weight, out=self.weight)
        chi_bar, field_bar, w_bar = np.zeros_like(self.chi), np.zeros_like(self.chi), np.zeros_like(self.w)
        duals, rows = (self.eta, self.p, self.q), (self.flags, self.first, self.last, laplace, wave)
        unknowns, barred = (self.chi, self.w, self.field), (chi_bar, w_bar, field_bar)
        limits = (strengths.alpha1, strengths.alpha0, strengths.edge_weight)
        for iteration in range(1, max_iterations + 1):
            moved, size = primal_step(*unknowns, *barred, *duals, self.data, weight2, *rows, tau, h, RELAX)
            dual_step(*barred, *duals, self.edges, *rows, sigma, *limits, h, RELAX)
            if iteration % CHECK == 0 and moved <= tolerance**2 * size:
                return iteration
        return max_iterations


def _steps(
    voxel_size: Sequence[float], laplace: NDArray[np.float32], wave: NDArray[np.float32], balance: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Steps of the unknowns (χ, w, F) and of the duals (p, q, η): one over the sum of what each is coupled by.

    They converge for any positive `balance`, `EQUATION` and `FIELD_UNIT`, which are units of the rows and columns.

    References
    ----------
    Pock T, Chambolle A. IEEE ICCV 2011:1762. https://doi.org/10.1109/ICCV.2011.6126441
    """
    slope = [1 / v for v in voxel_size]
    of_field, of_chi = float(np.abs(laplace).sum()), float(np.abs(wave).sum())
    tau = [
        1 / (2 * sum(slope) + EQUATION * of_chi),
        *[1 / (1 + 2 * sum(slope))] * 3,
        FIELD_UNIT / (EQUATION * of_field),
    ]
    sigma = [1 / (2 * s + 1) for s in slope] + [1 / (2 * s) for s in slope]
    sigma += [1 / (slope[i] + slope[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    sigma.append(EQUATION / (FIELD_UNIT * of_field + of_chi))
    return np.array(tau, np.float32) * np.float32(balance), np.array(sigma, np.float32) / np.float32(balance)
