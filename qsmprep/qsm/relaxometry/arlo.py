"""R2* by ARLO: an exponential's integral between two echoes is proportional to the difference of the two."""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np
from numpy.typing import NDArray

from ._common import Relaxation, decays, prepare, run, strongest


@numba.njit(parallel=True, cache=True)
def _fit(magnitude, mask, te, step, r2star_max, r2star_min):  # type: ignore[no-untyped-def]
    nx, ny, nz, n = magnitude.shape
    r2star = np.zeros((nx, ny, nz), np.float32)
    t2star = np.zeros((nx, ny, nz), np.float32)
    s0 = np.zeros((nx, ny, nz), np.float32)
    residual = np.zeros((nx, ny, nz), np.float32)
    # Simpson's rule over each three echoes in a row, for intervals that need not be equal
    rule = np.zeros((n - 2, 3))
    for i in range(n - 2):
        a, b = te[i + 1] - te[i], te[i + 2] - te[i + 1]
        rule[i, 0] = (a + b) / 6.0 * (2.0 - b / a)
        rule[i, 1] = (a + b) ** 3 / (6.0 * a * b)
        rule[i, 2] = (a + b) / 6.0 * (2.0 - a / b)
    for x in numba.prange(nx):
        curve = np.zeros(n)
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
                up, down = 0.0, 0.0
                for i in range(n - 2):
                    area = rule[i, 0] * values[i] + rule[i, 1] * values[i + 1] + rule[i, 2] * values[i + 2]
                    fall = values[i] - values[i + 2]
                    # least squares of the third echo as the first two foretell it
                    pull = area + rule[i, 2] * fall
                    up += fall * pull
                    down += area * pull
                rate = min(max(up / down, 0.0), r2star_max) if down > 0.0 else 0.0
                decays(curve, rate, te, step)
                top, bottom = 0.0, 0.0
                for e in range(n):
                    top += values[e] * curve[e]
                    bottom += curve[e] * curve[e]
                amplitude = top / bottom
                rss = 0.0
                for e in range(n):
                    rss += (values[e] - amplitude * curve[e]) ** 2
                r2star[x, y, z] = rate
                t2star[x, y, z] = 1.0 / max(rate, r2star_min)
                s0[x, y, z] = amplitude
                residual[x, y, z] = np.sqrt(rss / n)
    return r2star, t2star, s0, residual


def arlo(
    magnitude: NDArray[np.generic],
    te: Sequence[float],
    mask: NDArray[np.generic],
    *,
    r2star_max: float = 1000.0,
    t2star_max: float = 1.0,
) -> Relaxation:
    """Fit a single exponential decay by auto-regression on linear operations (ARLO).

    The integral of the decay over three echoes in a row, by Simpson's rule, is T2* times the difference of the first
    and the third; T2* follows from a sum over all such triples, without logarithms or iteration. Where echoes are not
    evenly spaced, Simpson's rule for uneven intervals takes the place of that in the paper. The rule errs by under
    1 % while the spacing stays below the T2*, and by a few percent where spacings differ by half or the decay is
    faster. S0 is the amplitude that fits best with this T2*.

    Parameters
    ----------
    magnitude : (x, y, z, echo) array, three echoes or more
    te, mask, r2star_max, t2star_max
        As in `loglinear`.

    Returns
    -------
    relaxation : Relaxation
        As that of `loglinear`.

    Raises
    ------
    ValueError
        If there are fewer than three echoes, or as in `loglinear`.

    References
    ----------
    Pei M, et al. Magn Reson Med 2015;73:843. https://doi.org/10.1002/mrm.25137
    """
    return run(_fit, *prepare(magnitude, te, mask, least=3), r2star_max, t2star_max)
