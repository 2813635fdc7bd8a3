"""Centiles by quantile regression, for one region: no distribution is assumed, but many controls are needed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

Array = NDArray[np.float64]

QUANTILES = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
STEPS = 60  # of the interior-point method; about 15 are needed
NEAR = 1e-7  # share of the first gap at which it has told who lies on the curve
TIED = 1e-10  # share of the largest value, or of a weight, that rounding may make
_NORMAL = stats.norm.ppf(QUANTILES)


def fit(y: Array, x: Array, quantiles: tuple[float, ...] = QUANTILES) -> Array:
    """(quantiles, columns) coefficients of the regression of each quantile: the exact solution of its linear programme.

    An interior-point method comes near all quantiles at once; from there each is put on the corner that its own
    conditions of optimality prove to be the solution. Where they prove nothing (values that are tied, columns that are
    collinear) the simplex method decides.

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
    Koenker & Bassett, Econometrica 1978, 46:33-50, doi:10.2307/1913643; Portnoy & Koenker, Stat Sci 1997, 12:279-300,
    doi:10.1214/ss/1030037960; Mehrotra, SIAM J Optim 1992, 2:575-601, doi:10.1137/0802028.
    """
    shares = _interior(y, x, np.array(quantiles))
    corners = [_corner(y, x, quantile, share) for quantile, share in zip(quantiles, shares, strict=True)]
    found = [_simplex(y, x, q) if corner is None else corner for q, corner in zip(quantiles, corners, strict=True)]
    return np.array(found)


def _simplex(y: Array, x: Array, quantile: float) -> Array:
    # the dual: weights between 0 and 1 whose sum over the design is fixed; the regression is its multipliers
    target = (1 - quantile) * x.sum(axis=0)
    found = optimize.linprog(-y, A_eq=x.T, b_eq=target, bounds=(0, 1), method="highs")
    if not found.success:
        raise ValueError(f"quantile regression: {found.message}")
    return -np.asarray(found.eqlin.marginals, float)


def _interior(y: Array, x: Array, quantiles: Array) -> Array:
    """(quantiles, n) weights of the dual programme, near its solution: 1 above the curve, 0 below, between them on it.

    Mehrotra's predictor and corrector from a point at which all equations hold, so that only two products have to go to
    0: of a weight and how far the person lies below the curve, and of what it lacks to 1 and how far above.
    """
    n = len(y)
    squares = (x[:, :, None] * x[:, None, :]).reshape(n, -1)
    rest = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
    weight = np.repeat(1 - quantiles[:, None], n, axis=1)
    above = np.repeat((np.maximum(rest, 0) + np.abs(rest).mean())[None], len(quantiles), axis=0)
    below, first = above - rest, None
    for _ in range(STEPS):
        lacks = 1 - weight
        high, low = above * lacks, below * weight
        gap = (high + low).mean(axis=1, keepdims=True) / 2
        first = gap if first is None else first
        going = gap > np.maximum(NEAR * first, TIED * np.abs(y).max())  # those that are there stay there
        if not going.any():
            break
        newton = _Newton(weight, lacks, above, below, x, squares)
        change, up, down = newton.step(-high, -low)
        primal, dual = _reach(weight, change, lacks, -change), _reach(above, up, below, down)
        ahead = (above + dual * up) * (lacks - primal * change) + (below + dual * down) * (weight + primal * change)
        centre = gap * (ahead.mean(axis=1, keepdims=True) / (2 * gap)) ** 3
        change, up, down = newton.step(centre - high + up * change, centre - low - down * change)
        primal, dual = _reach(weight, change, lacks, -change), _reach(above, up, below, down)
        primal, dual = np.where(going, primal, 0.0), np.where(going, dual, 0.0)
        weight, above, below = weight + primal * change, above + dual * up, below + dual * down
    return weight


class _Newton:
    """Newton's equations at a point, for all quantiles; `squares` are the (n, columns²) products of the design."""

    def __init__(self, weight: Array, lacks: Array, above: Array, below: Array, x: Array, squares: Array) -> None:
        self.weight, self.lacks, self.above, self.below, self.x = weight, lacks, above, below, x
        self.give = 1 / (above / lacks + below / weight)
        self.inverse = np.linalg.pinv((self.give @ squares).reshape(len(weight), x.shape[1], -1), hermitian=True)

    def step(self, high: Array, low: Array) -> tuple[Array, Array, Array]:
        """Changes of weight, above and below that change the products by `high` and `low`, and keep all equations."""
        pull = high / self.lacks - low / self.weight
        move = -np.einsum("qij,qj->qi", self.inverse, (self.give * pull) @ self.x)
        change = -self.give * (move @ self.x.T + pull)
        return change, (high + self.above * change) / self.lacks, (low - self.below * change) / self.weight


def _reach(a: Array, da: Array, b: Array, db: Array) -> Array:
    """(quantiles, 1) longest step, up to 1, that keeps both positive."""
    speed = np.maximum(-da / a, -db / b).max(axis=1, keepdims=True)
    return np.minimum(1.0, 0.9995 / np.maximum(speed, 1e-300))


def _corner(y: Array, x: Array, quantile: float, weight: Array) -> Array | None:
    """Coefficients of the curve through the persons whose weights are farthest from 0 and 1; None if not the solution.

    It is where the weights that the equations of the dual leave to these persons lie between 0 and 1, with those of all
    others 1 above the curve and 0 below.
    """
    columns = x.shape[1]
    on = np.argpartition(-np.minimum(weight, 1 - weight), columns - 1)[:columns]
    try:
        found = np.linalg.solve(x[on], y[on])
        rest = y - x @ found
        through = np.abs(rest[on]).max() <= TIED * np.abs(y).max()
        rest[on] = 0.0
        over = rest > 0
        left = np.linalg.solve(x[on].T, (1 - quantile) * x.sum(axis=0) - x[over].sum(axis=0))
    except np.linalg.LinAlgError:
        return None
    tied = np.count_nonzero(np.abs(rest) <= TIED * np.abs(y).max()) > columns
    sure = through and not tied and np.all((left > TIED) & (left < 1 - TIED))
    return np.asarray(found, float) if sure else None


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
