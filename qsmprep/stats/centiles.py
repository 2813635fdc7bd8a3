"""Centiles by quantile regression, for one region: no distribution is assumed, but many controls are needed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

Array = NDArray[np.float64]

QUANTILES = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
_NORMAL = stats.norm.ppf(QUANTILES)


def fit(y: Array, x: Array, quantiles: tuple[float, ...] = QUANTILES) -> Array:
    """(quantiles, columns) coefficients of the regression of each quantile, by linear programming.

    Parameters
    ----------
    y
        (n,) values of the controls.
    x
        (n, columns) design.
    quantiles
        Between 0 and 1.

    Raises
    ------
    ValueError
        If the programme has no solution.

    References
    ----------
    Koenker & Bassett, Econometrica 1978, 46:33-50, doi:10.2307/1913643.
    """
    out = []
    for quantile in quantiles:
        # the dual: weights between 0 and 1 whose sum over the design is fixed; the regression is its multipliers
        target = (1 - quantile) * x.sum(axis=0)
        found = optimize.linprog(-y, A_eq=x.T, b_eq=target, bounds=(0, 1), method="highs")
        if not found.success:
            raise ValueError(f"quantile regression: {found.message}")
        out.append(-np.asarray(found.eqlin.marginals, float))
    return np.array(out)


def z(y: Array, x: Array, coefficients: Array) -> Array:
    """Normal deviates of new observations from the centiles of `QUANTILES`.

    Centiles that cross are put in order (Chernozhukov et al. 2010, doi:10.3982/ECTA7880). Between them the deviate is
    linear in y; beyond the outermost it goes on with the slope from the median to there, as of a normal distribution.
    """
    curves = np.sort(x @ coefficients.T, axis=1)
    middle = len(QUANTILES) // 2
    inner = np.array(
        [np.interp(v, c, _NORMAL) if np.all(np.isfinite(c)) else np.nan for v, c in zip(y, curves, strict=True)]
    )
    out = inner
    for end, beyond in ((0, y < curves[:, 0]), (-1, y > curves[:, -1])):
        spread = curves[:, end] - curves[:, middle]
        slope = np.divide(_NORMAL[end], spread, out=np.full_like(spread, np.nan), where=spread != 0)
        out = np.where(beyond, _NORMAL[end] + (y - curves[:, end]) * slope, out)
    return np.asarray(out)


def median_sd(x: Array, coefficients: Array) -> tuple[Array, Array]:
    """Median, and the SD of the normal distribution with the same quartiles."""
    curves = np.sort(x @ coefficients.T, axis=1)
    low, middle, high = (curves[:, QUANTILES.index(q)] for q in (0.25, 0.5, 0.75))
    return middle, (high - low) / (2 * stats.norm.ppf(0.75))


def at(x: Array, coefficients: Array, deviate: float) -> Array:
    """The values that have a normal deviate: the inverse of `z`."""
    curves = np.sort(x @ coefficients.T, axis=1)
    if abs(deviate) <= _NORMAL[-1]:
        return np.array([np.interp(deviate, _NORMAL, curve) for curve in curves])
    end, middle = (-1 if deviate > 0 else 0), curves[:, len(QUANTILES) // 2]
    return np.asarray(middle + (curves[:, end] - middle) * deviate / _NORMAL[end])
