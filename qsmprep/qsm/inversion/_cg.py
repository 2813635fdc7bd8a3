"""Conjugate gradients for weighted least squares, in k-space: one pair of transforms an iteration.

The unknown is the spectrum of χ. Half of it stands for the whole, so inner products count planes within twice.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from .. import _fft
from .._grid import Float
from ._variation import Problem


@numba.njit(parallel=True, cache=True, fastmath=True)
def _times_dipole(spectrum, dipole, out):  # type: ignore[no-untyped-def]
    for x in numba.prange(out.shape[0]):
        out[x] = dipole[x] * spectrum[x]


@numba.njit(parallel=True, cache=True, fastmath=True)
def _times_weight(volume, weight):  # type: ignore[no-untyped-def]
    for x in numba.prange(volume.shape[0]):
        volume[x] *= weight[x] * weight[x]


@numba.njit(inline="always")
def _count(z, last):  # type: ignore[no-untyped-def]
    return np.float32(1) if z == 0 or z == last else np.float32(2)


@numba.njit(parallel=True, cache=True, fastmath=True)
def _normal(step, direction, dipole, power, weight, last):  # type: ignore[no-untyped-def]
    """`step` becomes D step + weight |k|² direction; returns direction · step."""
    a = np.float32(weight)
    px, py, pz = power
    dots = np.zeros(step.shape[0])
    for x in numba.prange(step.shape[0]):
        for y in range(step.shape[1]):
            pxy, row = a * (px[x] + py[y]), np.float32(0)
            for z in range(step.shape[2]):
                p = direction[x, y, z]
                s = dipole[x, y, z] * step[x, y, z] + (pxy + a * pz[z]) * p
                step[x, y, z] = s
                row += _count(z, last) * (p.real * s.real + p.imag * s.imag)
            dots[x] += row
    return dots.sum()


@numba.njit(inline="always")
def _inverse_of(d, p, share, weight, floor):  # type: ignore[no-untyped-def]
    """What the operator's inverse would be if every voxel had the weight `share`."""
    return np.float32(1) / (share * (d * d) + weight * p + floor)


@numba.njit(parallel=True, cache=True, fastmath=True)
def _advance(chi, residual, direction, step, length, dipole, power, precondition, last):  # type: ignore[no-untyped-def]
    """χ and the residual move by `length`; returns residual · preconditioned residual."""
    t, (c, a, f) = np.float32(length), precondition
    px, py, pz = power
    dots = np.zeros(step.shape[0])
    for x in numba.prange(step.shape[0]):
        for y in range(step.shape[1]):
            pxy, row = px[x] + py[y], np.float32(0)
            for z in range(step.shape[2]):
                chi[x, y, z] += t * direction[x, y, z]
                r = residual[x, y, z] - t * step[x, y, z]
                residual[x, y, z] = r
                m = _inverse_of(dipole[x, y, z], pxy + pz[z], c, a, f)
                row += _count(z, last) * m * (r.real * r.real + r.imag * r.imag)
            dots[x] += row
    return dots.sum()


@numba.njit(parallel=True, cache=True, fastmath=True)
def _turn(direction, residual, ratio, dipole, power, precondition):  # type: ignore[no-untyped-def]
    """The next direction: preconditioned residual plus `ratio` times the last one."""
    b, (c, a, f) = np.float32(ratio), precondition
    px, py, pz = power
    for x in numba.prange(direction.shape[0]):
        for y in range(direction.shape[1]):
            pxy = px[x] + py[y]
            for z in range(direction.shape[2]):
                m = _inverse_of(dipole[x, y, z], pxy + pz[z], c, a, f)
                direction[x, y, z] = m * residual[x, y, z] + b * direction[x, y, z]


def weighted_least_squares(
    problem: Problem,
    dipole: Float,
    power: tuple[NDArray[Any], ...],
    *,
    weight: float,
    floor: float,
    max_iterations: int,
    tolerance: float,
) -> _fft.Spectrum:
    """Spectrum of χ of min |W (Dχ - field)|² + weight |∇χ|², by preconditioned conjugate gradients.

    Stops once the preconditioned residual has shrunk to `tolerance`. The preconditioner is the inverse for uniform
    weights, with `floor` in place of what the dipole does not pass: a large one makes it plain, and stopping early
    then leaves the weak frequencies small.
    """
    grid = problem.grid
    last = grid[2] // 2 if grid[2] % 2 == 0 else -1
    share = float(np.mean(np.square(problem.weight)))
    precondition = (np.float32(share), np.float32(weight), np.float32(floor))
    data: Float = problem.weight**2
    data *= problem.field
    spectrum = _fft.forward(data)
    del data
    residual = np.empty_like(spectrum)
    _times_dipole(spectrum, dipole, residual)
    residual[0, 0, 0] = 0
    chi: _fft.Spectrum = np.zeros_like(spectrum)
    direction = np.zeros_like(spectrum)
    size = _advance(chi, residual, direction, spectrum, 0.0, dipole, power, precondition, last)
    first, ratio = size, 0.0
    for _ in range(max_iterations):
        if not size > tolerance**2 * first:
            break
        _turn(direction, residual, ratio, dipole, power, precondition)
        _times_dipole(direction, dipole, spectrum)
        volume = _fft.inverse(spectrum, grid)
        _times_weight(volume, problem.weight)
        spectrum = _fft.forward(volume)
        del volume
        length = size / _normal(spectrum, direction, dipole, power, weight, last)
        spectrum[0, 0, 0] = 0
        before, size = size, _advance(chi, residual, direction, spectrum, length, dipole, power, precondition, last)
        ratio = size / before
    return chi
