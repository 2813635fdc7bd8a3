"""R2* by a non-linear fit of the decay above a noise floor."""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np
from numpy.typing import NDArray

from .._grid import Bool, Float
from ._common import Relaxation, decays, fit_logarithm, prepare, run, strongest
from .loglinear import loglinear

FLOORS = ("rician", "constant", "none")
ROUNDS = 30
"""Damped Gauss-Newton steps at most; four or five are the rule."""


@numba.njit(inline="always")
def _misfit(values, highest, curve, amplitude, floor2):  # type: ignore[no-untyped-def]
    """Sum of squares of what the echoes (over `highest`) miss sqrt(signal² + floor²) by."""
    rss = 0.0
    for e in range(curve.size):
        signal = amplitude * curve[e]
        rss += (values[e] / highest - np.sqrt(signal * signal + floor2)) ** 2
    return rss


@numba.njit(inline="always")
def _descend(values, highest, curve, te, step, rate, amplitude, floor2, r2star_max):  # type: ignore[no-untyped-def]
    """Levenberg and Marquardt's descent in rate and amplitude from the given ones."""
    damping = 1e-3
    decays(curve, rate, te, step)
    rss = _misfit(values, highest, curve, amplitude, floor2)
    for _ in range(ROUNDS):
        aa, ar, rr, ga, gr = 0.0, 0.0, 0.0, 0.0, 0.0
        decays(curve, rate, te, step)
        for e in range(te.size):
            signal = amplitude * curve[e]
            model = np.sqrt(signal * signal + floor2)
            share = signal / model if model > 0.0 else 1.0
            da, dr = share * curve[e], -share * signal * te[e]
            miss = values[e] / highest - model
            aa += da * da
            ar += da * dr
            rr += dr * dr
            ga += da * miss
            gr += dr * miss
        determinant = aa * rr * (1.0 + damping) ** 2 - ar * ar
        if not determinant > 0.0:
            break
        change = (ga * rr * (1.0 + damping) - gr * ar) / determinant
        turn = (gr * aa * (1.0 + damping) - ga * ar) / determinant
        new_rate = min(max(rate + turn, 0.0), r2star_max)
        new_amplitude = max(amplitude + change, 0.0)
        decays(curve, new_rate, te, step)
        new_rss = _misfit(values, highest, curve, new_amplitude, floor2)
        if new_rss <= rss:
            small = abs(new_rate - rate) <= 1e-4 * (rate + 1.0) and abs(new_amplitude - amplitude) <= 1e-5 * amplitude
            rate, amplitude, rss = new_rate, new_amplitude, new_rss
            damping *= 0.1
            if small:
                break
        else:
            damping = max(10.0 * damping, 1e-3)
            if damping > 1e8:
                break
    return rate, amplitude, rss


@numba.njit(parallel=True, cache=True)
def _fit(magnitude, mask, te, step, r2star_max, r2star_min, floor):  # type: ignore[no-untyped-def]
    nx, ny, nz, n = magnitude.shape
    r2star = np.zeros((nx, ny, nz), np.float32)
    t2star = np.zeros((nx, ny, nz), np.float32)
    s0 = np.zeros((nx, ny, nz), np.float32)
    residual = np.zeros((nx, ny, nz), np.float32)
    for x in numba.prange(nx):
        logs, curve = np.zeros(n), np.zeros(n)
        for y in range(ny):
            for z in range(nz):
                if not mask[x, y, z]:
                    continue
                values = magnitude[x, y, z]
                highest = strongest(values)
                if np.isnan(highest):
                    r2star[x, y, z] = np.nan
                if not highest > 0:
                    continue
                rate, amplitude = fit_logarithm(values, highest, logs, curve, te, step, r2star_max)
                rate, amplitude, rss = _descend(
                    values, highest, curve, te, step, rate, amplitude, (floor / highest) ** 2, r2star_max
                )
                r2star[x, y, z] = rate
                t2star[x, y, z] = 1.0 / max(rate, r2star_min)
                s0[x, y, z] = amplitude * highest
                residual[x, y, z] = highest * np.sqrt(rss / n)
    return r2star, t2star, s0, residual


def channel_noise(echoes: Float, flags: Bool, times: NDArray[np.float64]) -> float:
    """Standard deviation of the noise in one channel, from what the log-linear fit leaves of the brighter half."""
    fit = loglinear(echoes, times.tolist(), flags)
    last = fit.s0 * np.exp(-fit.r2star * np.float32(times[-1]))
    bright = flags & (last >= np.median(last[flags])) & (fit.s0 > 0)
    freedom = times.size - 2
    if freedom < 1 or not bright.any():
        return 0.0
    # root mean square of `freedom` normal numbers, of which the median over voxels is taken
    median = 1 - 2 / (9 * freedom)
    return float(np.median(fit.residual[bright])) * np.sqrt(times.size / freedom) / median**1.5


def nonlinear(
    magnitude: NDArray[np.generic],
    te: Sequence[float],
    mask: NDArray[np.generic],
    *,
    floor: str = "rician",
    floor_level: float = 0.0,
    coils: int = 1,
    r2star_max: float = 1000.0,
    t2star_max: float = 1.0,
) -> Relaxation:
    """Fit sqrt(S0² exp(-2 R2* TE) + floor²) to the magnitude of each voxel by least squares.

    Noise keeps the magnitude from falling to 0. Where the signal S is above the noise σ, the mean magnitude is that of
    sqrt(S² + (2 L - 1) σ²) with L coils combined by the root of the sum of squares. Without a floor, fast decays look
    slower than they are: at R2* 250/s and σ 2 % of S0 by 12/s, with it by less than 2/s.

    Parameters
    ----------
    magnitude : (x, y, z, echo) array
    te, mask, r2star_max, t2star_max
        As in `loglinear`.
    floor : "rician", "constant" or "none"
        "rician" takes sqrt(2 L - 1) σ, with σ from the residuals of a log-linear fit (it takes three echoes; with two
        there is no floor); "constant" takes `floor_level`; "none" takes 0.
    floor_level : float
        The floor in units of the magnitude. Only for "constant".
    coils : int
        Number L of coils whose root of the sum of squares the magnitude is; 1 for complex combination.

    Returns
    -------
    relaxation : Relaxation
        As that of `loglinear`.

    Raises
    ------
    ValueError
        If `floor` is unknown or the coils are fewer than one, or as in `loglinear`.

    References
    ----------
    Gudbjartsson H, Patz S. Magn Reson Med 1995;34:910. https://doi.org/10.1002/mrm.1910340618
    """
    if floor not in FLOORS:
        raise ValueError(f"unknown floor {floor!r}, expected one of {', '.join(FLOORS)}")
    if coils < 1:
        raise ValueError(f"there is one coil or more, found {coils}")
    echoes, flags, times = prepare(magnitude, te, mask)
    level = 0.0
    if floor == "rician":
        level = np.sqrt(2 * coils - 1) * channel_noise(echoes, flags, times)
    elif floor == "constant":
        level = floor_level
    return run(_fit, echoes, flags, times, r2star_max, t2star_max, float(level))
