"""The total field from unwrapped multi-echo phase: a weighted line through the echoes of each voxel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from ._grid import Bool, Float, as_echo_times, as_echoes, as_mask
from .constants import hertz_per_ppm

TWO_PI = 2 * np.pi


class FieldMap(NamedTuple):
    """Total field [ppm], root mean square of the fit's residual [rad], standard error of the field [ppm]."""

    field: Float
    residual: Float
    noise: Float


@numba.njit(parallel=True, cache=True)
def _fit_lines(phase, magnitude, mask, te, intercept):  # type: ignore[no-untyped-def]
    """Slope [rad/s], weighted rms residual [rad] and Σ weight (t - t̄)² of every voxel."""
    nx, ny, nz, n = phase.shape
    slope = np.zeros((nx, ny, nz), np.float32)
    residual = np.zeros((nx, ny, nz), np.float32)
    leverage = np.zeros((nx, ny, nz), np.float32)
    for x in numba.prange(nx):
        for y in range(ny):
            for z in range(nz):
                if not mask[x, y, z]:
                    continue
                sw, st, sp, stt, stp = 0.0, 0.0, 0.0, 0.0, 0.0
                for e in range(n):
                    # a voxel without any signal is fitted with equal weights rather than not at all
                    w = magnitude[x, y, z, e] ** 2 + 1e-30
                    p = phase[x, y, z, e]
                    sw += w
                    st += w * te[e]
                    sp += w * p
                    stt += w * te[e] * te[e]
                    stp += w * te[e] * p
                at_zero = 0.0
                if intercept:
                    spread = stt - st * st / sw
                    b = (stp - st * sp / sw) / spread
                    at_zero = (sp - b * st) / sw
                else:
                    spread = stt
                    b = stp / stt
                rss = 0.0
                for e in range(n):
                    w = magnitude[x, y, z, e] ** 2 + 1e-30
                    rss += w * (phase[x, y, z, e] - at_zero - b * te[e]) ** 2
                slope[x, y, z] = b
                residual[x, y, z] = np.sqrt(rss / sw)
                leverage[x, y, z] = spread
    return slope, residual, leverage


def _signal_noise(phase: Float, magnitude: Float, mask: Bool) -> float:
    """Standard deviation of the noise in one channel of the complex signal, in units of the magnitude.

    From the second difference of the phase along each axis, in which any smooth field cancels.
    """
    samples = []
    for axis in range(3):
        if mask.shape[axis] < 3:
            continue
        low, mid, high = [(slice(None),) * axis + (s,) for s in (slice(None, -2), slice(1, -1), slice(2, None))]
        inside = mask[low] & mask[mid] & mask[high]
        bend = phase[low][inside] - 2 * phase[mid][inside] + phase[high][inside]
        bend -= TWO_PI * np.rint(bend / TWO_PI)
        samples.append(np.abs(bend * magnitude[mid][inside]) / np.sqrt(6))
    values = np.concatenate(samples) if samples else np.zeros(0)
    return float(1.4826 * np.median(values)) if values.size else 0.0


def fit_field(
    unwrapped: NDArray[np.generic],
    magnitude: NDArray[np.generic] | None,
    mask: NDArray[np.generic],
    te: Sequence[float],
    b0: float,
    *,
    intercept: bool = False,
) -> FieldMap:
    """Total field from unwrapped phase by a weighted straight line over the echo times.

    Weights are magnitude², the inverse variance of the phase. With a single echo the field is phase / (2π TE).

    Parameters
    ----------
    unwrapped : (x, y, z, echo) array [rad]
    magnitude : (x, y, z, echo) array or None
        None weighs all echoes alike.
    mask : (x, y, z) bool array
    te : echo times [s], ascending
    b0 : field strength [T]
    intercept : bool
        Also fit the phase at TE 0, for phase whose offset was not removed. It costs two to three times the noise.

    Returns
    -------
    field_map : FieldMap
        Three (x, y, z) float32 arrays, 0 outside `mask`: `field` [ppm], `residual` [rad] (weighted rms over the
        echoes, 0 with a single one) and `noise` [ppm] (standard error expected from the noise in the image).

    Raises
    ------
    ValueError
        If shapes differ, the mask is empty, echo times are not ascending, or an intercept is asked of one echo.

    References
    ----------
    Kressler B, et al. IEEE Trans Med Imaging 2010;29:273. https://doi.org/10.1109/TMI.2009.2023787
    """
    phase = as_echoes(unwrapped, "unwrapped phase")
    strength = np.ones_like(phase) if magnitude is None else as_echoes(magnitude, "magnitude", phase.shape)
    flags = as_mask(mask, phase.shape[:3])
    times = as_echo_times(te, phase.shape[3])
    if intercept and times.size < 2:
        raise ValueError("an intercept needs two echoes or more")
    # weights far from 1 would not survive float32
    scale = float(np.median(strength[flags])) or float(strength[flags].max()) or 1.0
    strength = strength / np.float32(scale)
    slope, residual, leverage = _fit_lines(phase, strength, flags, times, intercept)
    per_ppm = np.float32(TWO_PI * hertz_per_ppm(b0))
    sigma = np.float32(_signal_noise(phase[..., 0], strength[..., 0], flags))
    noise = np.where(flags, sigma / np.sqrt(np.maximum(leverage, np.float32(1e-20))) / per_ppm, np.float32(0))
    return FieldMap(slope / per_ppm, residual, noise.astype(np.float32))
