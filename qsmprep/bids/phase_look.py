"""A look at the phase before any work: every second slice with π added, and a high-pass filter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .echoes import Acquisition
from .images import read_volume
from .model import Coil, Echo

if TYPE_CHECKING:
    Volume = npt.NDArray[np.float32]

LONG_ENOUGH = 0.045
"""TE x B0 [s T] from which the field of an unfiltered head spreads the phase over the whole turn."""
ALIKE = 0.8
"""Length of the mean unit vector of the phase, 0 to 1: 0.3 to 0.4 in digital heads, above 0.85 with a usual filter."""
SIGNAL = 0.2
"""Share of the 99th percentile of the magnitude that counts as signal."""
HEAD_MM = 120.0
"""Least extent of the volume along two axes: in less than a head, the field may be even."""
ALTERNATES = "every second slice has π added (as GE scanners write it); it is taken off"
SOME_SLICES = "it steps by about π between some slices, but not all; nothing is corrected, look at the phase"
FILTERED = (
    "the phase hardly varies over the head, as after a high-pass filter (for SWI): such a filter takes away part of "
    "the susceptibility. Use unfiltered phase if there is any"
)


def look_at_phase(acquisition: Acquisition, b0: float) -> tuple[int | None, list[str]]:
    """Axis along which every second slice has π added (None for none), and notes on what was seen.

    Parameters
    ----------
    acquisition : read and checked
    b0 : [T]
    """
    from ..qsm.combine import alternating_axis

    first, last = acquisition.echoes[0], acquisition.echoes[-1]
    phase, magnitude = _radians(first, acquisition)
    axis, doubtful = alternating_axis(phase, magnitude)
    notes = [f"phase along the {_ordinal(other)} voxel axis: {SOME_SLICES}" for other in doubtful if other != axis]
    if axis is not None:
        notes.append(f"phase along the {_ordinal(axis)} voxel axis: {ALTERNATES}")
    if not last.coils and _is_filtered(last, acquisition, b0, axis):
        notes.append(FILTERED)
    return axis, notes


def _is_filtered(echo: Echo, acquisition: Acquisition, b0: float, axis: int | None) -> bool:
    from ..qsm.combine import remove_alternation

    grid = acquisition.grid
    extent = sorted(n * size for n, size in zip(grid.shape, grid.voxel_size, strict=True))
    if echo.te * b0 < LONG_ENOUGH or extent[1] < HEAD_MM:
        return False
    phase, magnitude = _radians(echo, acquisition)
    if magnitude is None:
        return False
    phase = phase if axis is None else remove_alternation(phase, axis)
    shown = magnitude > SIGNAL * np.percentile(magnitude[::2, ::2, ::2], 99)
    weight = magnitude[shown].astype(np.float64) ** 2
    return bool(abs(np.sum(weight * np.exp(1j * phase[shown]))) > ALIKE * weight.sum())


def _radians(echo: Echo, acquisition: Acquisition) -> tuple[Volume, Volume | None]:
    """Phase [rad] and magnitude of an echo, or of its first coil."""
    from ..qsm.phase import from_real_imag, to_radians

    image: Any = echo.coils[0] if echo.coils else echo
    assert isinstance(image, Echo | Coil)
    if image.real is not None and image.imag is not None:
        real, imag = read_volume(image.real, image.volume), read_volume(image.imag, image.volume)
        magnitude, phase = from_real_imag(real, imag)
        return phase, magnitude
    assert image.phase is not None and acquisition.scaling is not None
    phase = to_radians(read_volume(image.phase, image.volume), acquisition.scaling)
    return phase, None if image.magnitude is None else read_volume(image.magnitude, image.volume)


def _ordinal(axis: int) -> str:
    return ("first", "second", "third")[axis]
