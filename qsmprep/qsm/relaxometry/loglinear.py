"""R2* by a straight line through the logarithm of the magnitude."""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np
from numpy.typing import NDArray

from ._common import Relaxation, decays, fit_logarithm, prepare, run, strongest


@numba.njit(parallel=True, cache=True)
def _fit(magnitude, mask, te, step, r2star_max, r2star_min):  # type: ignore[no-untyped-def]
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
                amplitude *= highest
                decays(curve, rate, te, step)
                rss = 0.0
                for e in range(n):
                    rss += (values[e] - amplitude * curve[e]) ** 2
                r2star[x, y, z] = rate
                t2star[x, y, z] = 1.0 / max(rate, r2star_min)
                s0[x, y, z] = amplitude
                residual[x, y, z] = np.sqrt(rss / n)
    return r2star, t2star, s0, residual


def loglinear(
    magnitude: NDArray[np.generic],
    te: Sequence[float],
    mask: NDArray[np.generic],
    *,
    r2star_max: float = 1000.0,
    t2star_max: float = 1.0,
) -> Relaxation:
    """Fit a single exponential decay by a straight line through the logarithm of the magnitude.

    The line is weighted by signal²: once by the measured, once by the fitted signal. Noise that lifts the last echoes
    of a fast decay (R2* TE well above 1) is not accounted for; see `nonlinear`.

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
    return run(_fit, *prepare(magnitude, te, mask), r2star_max, t2star_max)
