"""What both fits have in common: scaling, noise, the second pass, and how far the result can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._grid import Float, as_echo_times, as_echoes, as_mask
from ..constants import hertz_per_ppm
from ._fit import fit_lines
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
    *,
    nonlinear: bool,
    intercept: bool,
    dephasing: float,
    noise_max_ppm: float,
) -> FieldMap:
    """Fit, look how steep the field is, and fit again with less weight on echoes that a steep field has dephased."""
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
    spread = np.zeros(flags.shape, np.float32)
    for _ in range(2 if dephasing > 0 else 1):
        slope, residual, misfit, error = fit_lines(
            phase, strength, flags, times, sigma, spread, dephasing, intercept, nonlinear
        )
        spread = field_spread(slope, flags)
    per_ppm = np.float32(TWO_PI * hertz_per_ppm(b0))
    slope /= per_ppm
    error /= per_ppm
    freedom = times.size - 1 - int(intercept)
    turn = float(per_ppm * times[0])
    first = np.ascontiguousarray(strength[..., 0])
    noise = trusted_noise(slope, error, misfit, freedom, first, flags, turn, noise_max_ppm)
    return FieldMap(slope, residual, noise)
