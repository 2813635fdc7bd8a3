"""R2*, T2* and S0 from the decay of the magnitude."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from ._grid import Float, as_echo_times, as_echoes, as_mask


class Relaxation(NamedTuple):
    """R2* [1/s], T2* [s], S0 and rms residual (both in units of the magnitude), each (x, y, z) float32."""

    r2star: Float
    t2star: Float
    s0: Float
    residual: Float


@numba.njit(parallel=True, cache=True)
def _fit_decay(magnitude, mask, te, rounds, r2star_max):  # type: ignore[no-untyped-def]
    nx, ny, nz, n = magnitude.shape
    r2star = np.zeros((nx, ny, nz), np.float32)
    s0 = np.zeros((nx, ny, nz), np.float32)
    residual = np.zeros((nx, ny, nz), np.float32)
    for x in numba.prange(nx):
        for y in range(ny):
            for z in range(nz):
                if not mask[x, y, z]:
                    continue
                highest = 0.0
                for e in range(n):
                    highest = max(highest, magnitude[x, y, z, e])
                if not highest > 0.0:
                    continue
                floor = 1e-4 * highest
                rate, amplitude = 0.0, 0.0
                for i in range(rounds):
                    sw, st, sl, stt, stl = 0.0, 0.0, 0.0, 0.0, 0.0
                    for e in range(n):
                        m = max(magnitude[x, y, z, e], floor)
                        # the variance of log(m) goes with 1/m²: of the measured m first, then of the fitted one,
                        # which does not favour echoes that noise made bright
                        s = m if i == 0 else max(amplitude * np.exp(-rate * te[e]), floor)
                        w = (s / highest) ** 2
                        logarithm = np.log(m / highest)
                        sw += w
                        st += w * te[e]
                        sl += w * logarithm
                        stt += w * te[e] * te[e]
                        stl += w * te[e] * logarithm
                    spread = stt - st * st / sw
                    rate = 0.0
                    if spread > 0.0:
                        rate = min(max(-(stl - st * sl / sw) / spread, 0.0), r2star_max)
                    amplitude = highest * np.exp((sl + rate * st) / sw)
                rss = 0.0
                for e in range(n):
                    rss += (magnitude[x, y, z, e] - amplitude * np.exp(-rate * te[e])) ** 2
                r2star[x, y, z] = rate
                s0[x, y, z] = amplitude
                residual[x, y, z] = np.sqrt(rss / n)
    return r2star, s0, residual


def fit_r2star(
    magnitude: NDArray[np.generic],
    te: Sequence[float],
    mask: NDArray[np.generic],
    *,
    r2star_max: float = 1000.0,
    t2star_max: float = 1.0,
) -> Relaxation:
    """Fit a single exponential decay to the magnitude of each voxel.

    A straight line through the logarithm, weighted by signal² (once by the measured, once by the fitted signal).

    Parameters
    ----------
    magnitude : (x, y, z, echo) array
    te : echo times [s], ascending
    mask : (x, y, z) bool array
    r2star_max : float [1/s]
        R2* is kept within 0 and this.
    t2star_max : float [s]
        T2* is kept below this, so that a voxel without decay does not become infinite.

    Returns
    -------
    relaxation : Relaxation
        All 0 outside `mask` and where there is no signal at all; never NaN.

    Raises
    ------
    ValueError
        If there is only one echo, shapes differ, the mask is empty, or the magnitude is not finite inside it.

    References
    ----------
    Bonny JM, et al. Magn Reson Med 1996;36:287. https://doi.org/10.1002/mrm.1910360216
    """
    echoes = as_echoes(magnitude, "magnitude")
    flags = as_mask(mask, echoes.shape[:3])
    times = as_echo_times(te, echoes.shape[3])
    if times.size < 2:
        raise ValueError("R2* needs two echoes or more, found one")
    if not np.isfinite(echoes[flags]).all():
        raise ValueError("magnitude has NaN or infinite values inside the mask")
    r2star, s0, residual = _fit_decay(echoes, flags, times, 2, r2star_max)
    slowest = np.float32(1 / t2star_max)
    t2star = np.where(s0 > 0, 1 / np.maximum(r2star, slowest), np.float32(0)).astype(np.float32)
    return Relaxation(r2star, t2star, s0, residual)
