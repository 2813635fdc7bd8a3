"""Real Fourier transforms on padded grids of fast size, float32 throughout.

They are SciPy's pocketfft, or FFTW's where the optional extra `fftw` is installed. FFTW times several ways to transform
a grid before the first one, a second or two, and takes about half as long from then on; which way wins may differ from
run to run, so that results agree to float32's rounding, but not to the bit. Its plans keep a few volumes in memory.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from ._grid import Float

Spectrum = NDArray[np.complex64]


def workers() -> int:
    """Threads that a transform may use: OMP_NUM_THREADS where it is set, else the CPUs of this process."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdigit() and int(asked) > 0:
        return int(asked)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


EXTRA_COST = {3: 0.012, 5: 0.055, 7: 0.065, 11: 0.12}
"""What one prime factor adds to the time of a transform per voxel, over a power of 2 (measured, lengths 80 to 260)."""


def fast_length(length: int) -> int:
    """The quickest length of a transform that is at least `length`: a longer one can take less time."""

    def cost(n: int) -> float:
        price, rest = 1.0, n
        for factor, extra in EXTRA_COST.items():
            while rest % factor == 0:
                price, rest = price + extra, rest // factor
        return n * price

    candidates = [fft.next_fast_len(length, real=False)]
    while candidates[-1] < 1.1 * length:
        candidates.append(fft.next_fast_len(candidates[-1] + 1, real=False))
    return min(candidates, key=cost)


def padded_shape(shape: Sequence[int], voxel_size: Sequence[float], pad_mm: float) -> tuple[int, int, int]:
    """Smallest fast grid with at least `pad_mm` of room behind the volume, along each axis.

    A circular convolution sees its neighbour across the gap, so one gap serves both ends of an axis.
    """
    grid = [fast_length(n + int(np.ceil(pad_mm / v))) for n, v in zip(shape, voxel_size, strict=True)]
    return grid[0], grid[1], grid[2]


FFTW_KEEPS_PLANS = 60.0  # [s] after their last use


@cache
def _library() -> tuple[ModuleType, dict[str, Any]]:
    """The module that transforms, with what it wants to be told besides: FFTW's where it is installed, or SciPy's."""
    try:
        from pyfftw.interfaces import cache as plans
        from pyfftw.interfaces import scipy_fft
    except ImportError:
        return fft, {}
    plans.enable()
    plans.set_keepalive_time(FFTW_KEEPS_PLANS)
    return scipy_fft, {"planner_effort": "FFTW_MEASURE"}


def forward(volume: Float, grid: Sequence[int] | None = None) -> Spectrum:
    """Real-to-complex transform, zero-padded at the far ends to `grid`."""
    library, more = _library()
    spectrum: Spectrum = library.rfftn(volume, s=None if grid is None else tuple(grid), workers=workers(), **more)
    return spectrum


def inverse(spectrum: Spectrum, grid: Sequence[int]) -> Float:
    """Complex-to-real transform back to `grid`. The spectrum is overwritten.

    In two steps, the first of them in place: at once it would take a copy of the spectrum, a volume, and longer.
    """
    library, more = _library()
    lines = library.ifftn(spectrum, axes=(0, 1), workers=workers(), overwrite_x=True, **more)
    volume: Float = library.irfft(lines, n=grid[2], axis=2, workers=workers(), **more)
    return volume


def frequencies(grid: Sequence[int], voxel_size: Sequence[float], *, real: bool = True) -> list[NDArray[np.float64]]:
    """Spatial frequencies [1/mm] of the three axes, the last one halved if `real`."""
    axes = [np.fft.fftfreq(n, v) for n, v in zip(grid, voxel_size, strict=True)]
    if real:
        axes[2] = np.fft.rfftfreq(grid[2], voxel_size[2])
    return [np.asarray(axis, np.float64) for axis in axes]
