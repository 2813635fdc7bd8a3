"""What both fits have in common: scaling, noise, the second pass, and how far the result can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._grid import Float, as_echo_times, as_echoes, as_mask
from ..constants import hertz_per_ppm
from ._fit import fit_lines
from ._offset import left_offset
from ._trust import field_spread, signal_noise, trusted_noise

TWO_PI = 2 * np.pi


class FieldMap(NamedTuple):
    """Total field [ppm], root mean square of the fit's residual [rad], standard error of the field [ppm]."""

    field: Float
    residual: Float
    noise: Float


def fit_twice(
    unwrapped: NDArray[np.generic],
    magnitude: NDArray[np.generic] | None,
    mask: NDArray[np.generic],
    te: Sequence[float],
    b0: float,
    voxel_size: Sequence[float],
    *,
    nonlinear: bool,
    intercept: bool,
    dephasing: float,
    offset_mm: float,
    noise_max_ppm: float,
) -> FieldMap:
    """Fit, see how steep the field is and what phase offset is left, and fit again with both accounted for."""
    phase = as_echoes(unwrapped, "unwrapped phase")
    strength = np.ones_like(phase) if magnitude is None else as_echoes(magnitude, "magnitude", phase.shape)
    flags = as_mask(mask, phase.shape[:3])
    times = as_echo_times(te, phase.shape[3])
    if intercept and times.size < 2:
        raise ValueError("an intercept needs two echoes or more")
    # weights far from 1 would not survive float32
    scale = float(np.median(strength[flags])) or float(strength[flags].max()) or 1.0
    strength = strength / np.float32(scale)
    sigma = signal_noise(phase, strength, flags, times)
    find_offset = offset_mm > 0 and times.size > 1 and not intercept
    shift = spread = np.zeros(flags.shape, np.float32)
    fit = fit_lines(phase, strength, flags, times, sigma, spread, shift, dephasing, intercept, nonlinear)
    if dephasing > 0:
        spread = field_spread(fit[0], flags)
    if find_offset:
        # a steep field bends the phase of the last echo, and with it what looks like an offset
        offset, known = fit[4:]
        bent = np.float32(dephasing) * (spread * np.float32(times[-1])) ** 3
        shift = left_offset(offset, known / (1 + known * bent**2), flags, voxel_size, offset_mm)
    if dephasing > 0 or find_offset:
        fit = fit_lines(phase, strength, flags, times, sigma, spread, shift, dephasing, intercept, nonlinear)
    slope, residual, misfit, error = fit[:4]
    per_ppm = np.float32(TWO_PI * hertz_per_ppm(b0))
    slope /= per_ppm
    error /= per_ppm
    freedom = times.size - 1 - int(intercept)
    turn = float(per_ppm * times[0])
    first = np.ascontiguousarray(strength[..., 0])
    noise = trusted_noise(slope, error, misfit, freedom, first, flags, turn, noise_max_ppm)
    return FieldMap(slope, residual, noise)
