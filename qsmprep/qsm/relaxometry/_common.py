"""What the fits have in common: the checks, the result, and the decay over the echoes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from .._grid import Bool, Float, as_echo_times, as_echoes, as_mask


class Relaxation(NamedTuple):
    """R2* [1/s], T2* [s], S0 and rms residual (both in units of the magnitude), each (x, y, z) float32."""

    r2star: Float
    t2star: Float
    s0: Float
    residual: Float


def prepare(
    magnitude: NDArray[np.generic], te: Sequence[float], mask: NDArray[np.generic], least: int = 2
) -> tuple[Float, Bool, NDArray[np.float64]]:
    """Echoes, mask and echo times; ValueError where there are fewer than `least` echoes."""
    echoes = as_echoes(magnitude, "magnitude")
    flags = as_mask(mask, echoes.shape[:3])
    times = as_echo_times(te, echoes.shape[3])
    if times.size < least:
        found = {1: "one", 2: "two"}[times.size]
        raise ValueError(f"R2* needs {'two' if least == 2 else 'three'} echoes or more, found {found}")
    return echoes, flags, times


def spacing(times: NDArray[np.float64]) -> float:
    """Echo spacing [s] if it is even, else 0."""
    steps = np.diff(times)
    return float(steps.mean()) if np.ptp(steps) < 1e-3 * steps.mean() else 0.0


def run(
    kernel: Callable[..., tuple[Float, Float, Float, Float]],
    echoes: Float,
    flags: Bool,
    times: NDArray[np.float64],
    r2star_max: float,
    t2star_max: float,
    *more: float,
) -> Relaxation:
    """Call a kernel, and refuse magnitudes that are no numbers: the kernels mark them by a NaN of R2*."""
    fit = Relaxation(*kernel(echoes, flags, times, spacing(times), r2star_max, 1 / t2star_max, *more))
    if np.isnan(fit.r2star.sum()):
        raise ValueError("magnitude has NaN or infinite values inside the mask")
    return fit


@numba.njit(inline="always")
def strongest(values):  # type: ignore[no-untyped-def]
    """The greatest of the echoes; NaN if one of them is no number."""
    highest = np.float32(0)
    for e in range(values.size):
        if not np.isfinite(values[e]):
            return np.float32(np.nan)
        highest = max(highest, values[e])
    return highest


@numba.njit(inline="always")
def decays(out, rate, te, step):  # type: ignore[no-untyped-def]
    """exp(-rate TE) of every echo; a power series where the echoes are evenly spaced."""
    out[0] = np.exp(-rate * te[0])
    if step > 0:
        factor = np.exp(-rate * step)
        for e in range(1, te.size):
            out[e] = out[e - 1] * factor
    else:
        for e in range(1, te.size):
            out[e] = np.exp(-rate * te[e])


@numba.njit(inline="always")
def line_through_logarithm(values, logs, weights, te, r2star_max):  # type: ignore[no-untyped-def]
    """Rate and amplitude (over the greatest echo) by a weighted line through the logarithm, once or twice."""
    sw, st, sl, stt, stl = 0.0, 0.0, 0.0, 0.0, 0.0
    for e in range(te.size):
        w = weights[e] * weights[e]
        wt = w * te[e]
        sw += w
        st += wt
        stt += wt * te[e]
        sl += w * logs[e]
        stl += wt * logs[e]
    spread = stt - st * st / sw
    rate = 0.0
    if spread > 0.0:
        rate = min(max(-(stl - st * sl / sw) / spread, 0.0), r2star_max)
    return rate, np.exp((sl + rate * st) / sw)


FLOOR = 1e-4
"""Echoes count as at least this share of the greatest, so that their logarithm is a number."""


@numba.njit(inline="always")
def fit_logarithm(values, highest, logs, curve, te, step, r2star_max):  # type: ignore[no-untyped-def]
    """Rate [1/s] and amplitude over `highest`, by a line weighted by the measured and then by the fitted signal².

    The variance of a logarithm goes with 1 / signal². Weights from the measured signal favour echoes that noise made
    bright; those from the fitted one do not.
    """
    for e in range(te.size):
        curve[e] = max(values[e] / highest, FLOOR)
        logs[e] = np.log(curve[e])
    rate, amplitude = line_through_logarithm(values, logs, curve, te, r2star_max)
    decays(curve, rate, te, step)
    for e in range(te.size):
        curve[e] = max(amplitude * curve[e], FLOOR)
    return line_through_logarithm(values, logs, curve, te, r2star_max)
