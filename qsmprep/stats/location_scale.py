"""A normal distribution whose mean and SD change smoothly with age (a GAMLSS of the family NO), for one region.

    y ~ N(μ, σ²),   μ = smooth(age) + sex,   log σ = smooth(age) + sex

Smooth functions are P-splines: cubic B-splines with a penalty on second differences, which tends to a straight line as
the penalty grows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import interpolate, stats

Array = NDArray[np.float64]

LOCATION_PENALTIES = tuple(10.0 ** np.arange(-2, 7))
SCALE_PENALTIES = (*(10.0 ** np.arange(2, 7)), np.inf)  # the SD needs many people for each bend
ENOUGH_FOR_SD = 50  # controls below which the SD is one for all
_RIDGE = 1e-8


@dataclass(frozen=True)
class Basis:
    """Design of a smooth function of age, and of sex where it is known.

    Attributes
    ----------
    low, high : youngest and oldest age of the controls; beyond them the functions go on as straight lines
    splines : number of B-splines
    sexes : the two names of sex, the first coded -1/2 and the second +1/2; empty without sex
    """

    low: float
    high: float
    splines: int
    sexes: tuple[str, ...] = ()

    def rows(self, age: ArrayLike, sex: ArrayLike | None = None) -> Array:
        """(n, columns) design matrix; NaN where age, or a sex that is asked for, is missing."""
        years = np.asarray(age, float)
        step = (self.high - self.low) / (self.splines - 3)
        knots = self.low + step * np.arange(-3, self.splines + 1)
        inside = np.clip(np.nan_to_num(years, nan=self.low), self.low, self.high)
        # at the upper end the last interval counts as open: step inside by what no one can see
        inside = np.minimum(inside, self.high - 1e-9 * step)
        b = interpolate.BSpline(knots, np.eye(self.splines), 3)
        out = b(inside) + b.derivative()(inside) * (years - inside)[:, None]
        if not self.sexes:
            return np.asarray(out)
        kind = np.asarray(sex, object)
        coded = np.where(kind == self.sexes[0], -0.5, np.where(kind == self.sexes[1], 0.5, np.nan))
        return np.column_stack([out, coded.astype(float)])

    def penalty(self) -> Array:
        """(columns, columns) penalty: squared second differences of the coefficients of the B-splines."""
        differences = np.diff(np.eye(self.splines), 2, axis=0)
        out = np.zeros((self.splines + bool(self.sexes),) * 2)
        out[: self.splines, : self.splines] = differences.T @ differences
        return out


@dataclass(frozen=True)
class LocationScale:
    """A fitted region: coefficients of mean (`location`) and log SD (`scale`) with their covariances.

    `df` are the observations less the effective degrees of freedom of the mean; the log SD is corrected for them.
    """

    location: Array
    scale: Array
    location_covariance: Array
    scale_covariance: Array
    df: float

    def mean_sd(self, rows: Array) -> tuple[Array, Array]:
        """Mean and SD for rows of the design."""
        return rows @ self.location, np.exp(rows @ self.scale)

    def z(self, y: Array, rows: Array) -> tuple[Array, Array]:
        """z of new observations and its standard error.

        The deviation is measured against the SD of a new person's prediction, which holds the uncertainty of the mean,
        and turned from Student's t with `df` to a normal deviate (Crawford & Howell 1998,
        doi:10.1076/clin.12.4.482.7241), so that few controls do not make many people look abnormal. The standard error
        tells how far z would move with other controls.
        """
        mean, sd = self.mean_sd(rows)
        unsure = np.einsum("ni,ij,nj->n", rows, self.location_covariance, rows)
        t = (y - mean) / np.sqrt(sd**2 + unsure)
        z = np.sign(t) * stats.norm.isf(stats.t.sf(np.abs(t), self.df))
        log_sd = np.einsum("ni,ij,nj->n", rows, self.scale_covariance, rows)
        return z, np.sqrt(unsure / sd**2 + t**2 * log_sd)


def _ridge(penalty: Array) -> Array:
    return penalty + _RIDGE * np.eye(len(penalty))


def _mean(y: Array, x: Array, weights: Array, penalty: Array) -> tuple[Array, Array, float]:
    """Penalised weighted least squares: coefficients, their covariance, effective degrees of freedom."""
    gram = x.T @ (weights[:, None] * x)
    inverse = np.linalg.inv(gram + _ridge(penalty) * weights.mean())
    return inverse @ (x.T @ (weights * y)), np.asarray(inverse), float(np.trace(inverse @ gram))


def _log_sd(squares: Array, x: Array, penalty: Array, start: Array) -> tuple[Array, Array, float]:
    """Penalised likelihood of log σ from squared residuals, by Fisher's scoring (information 2 per observation)."""
    gram = 2 * x.T @ x
    inverse = np.linalg.inv(gram + _ridge(penalty))
    gamma = start
    for _ in range(50):
        ratio = np.minimum(squares * np.exp(-2 * (x @ gamma)), 25.0)  # one step must not run away with an outlier
        step = inverse @ (x.T @ (ratio - 1) - _ridge(penalty) @ gamma)
        gamma = gamma + step
        if np.abs(step).max() < 1e-8:
            break
    return gamma, np.asarray(inverse), float(np.trace(inverse @ gram))


def fit(
    y: Array, x: Array, penalty: Array, smoothing: tuple[float, float], start: Array | None = None
) -> LocationScale:
    """Fit mean and log SD in turn until neither changes.

    Parameters
    ----------
    y
        (n,) values of the controls.
    x, penalty
        From `Basis`.
    smoothing
        Factors of the penalty of mean and log SD, see `choose`; that of the log SD may be infinite: one SD for all.
    start
        Coefficients of the log SD to begin with.

    References
    ----------
    Rigby & Stasinopoulos, J R Stat Soc C 2005, 54:507-554, doi:10.1111/j.1467-9876.2005.00510.x; Eilers & Marx, Stat
    Sci 1996, 11:89-121, doi:10.1214/ss/1038425655.
    """
    location, scale = smoothing
    ones = np.ones(x.shape[1])
    if np.all(penalty[-1] == 0):
        ones[-1] = 0.0  # the column of sex
    single = np.isinf(scale)
    gamma = np.log(y.std() + 1e-300) * ones if start is None else start
    for _ in range(30):
        before = gamma
        beta, covariance, edf = _mean(y, x, np.exp(-2 * (x @ gamma)), penalty * location)
        # residuals are smaller than errors by the degrees of freedom that the mean took
        squares = (y - x @ beta) ** 2 * len(y) / (len(y) - edf)
        if single:
            gamma = 0.5 * np.log(squares.mean()) * ones
            spread = np.outer(ones, ones) / (2 * len(y))
        else:
            gamma, spread, _ = _log_sd(squares, x, penalty * scale, gamma)
        if np.abs(gamma - before).max() < 1e-7:
            break
    return LocationScale(beta, gamma, covariance, spread, len(y) - edf)


def criterion(y: Array, x: Array, penalty: Array, smoothing: tuple[float, float]) -> float:
    """Akaike's criterion corrected for few observations (AICc) of a fit; smaller is better."""
    model = fit(y, x, penalty, smoothing)
    mean, sd = model.mean_sd(x)
    used = len(y) - model.df
    if np.isinf(smoothing[1]):
        used += 1
    else:
        gram = 2 * x.T @ x
        used += float(np.trace(model.scale_covariance @ gram))
    if len(y) - used <= 1:
        return np.inf
    deviance = float(np.sum(((y - mean) / sd) ** 2 + 2 * np.log(sd) + np.log(2 * np.pi)))
    return deviance + 2 * used * len(y) / (len(y) - used - 1)


def choose(y: Array, x: Array, penalty: Array) -> tuple[float, float]:
    """The smoothing of mean and log SD with the smallest AICc (Hurvich & Tsai 1989, doi:10.1093/biomet/76.2.297).

    That of the mean is chosen first with one SD for all, then that of the log SD. Below `ENOUGH_FOR_SD` observations
    the SD is one for all.
    """
    location = min(LOCATION_PENALTIES, key=lambda one: criterion(y, x, penalty, (one, np.inf)))
    if len(y) < ENOUGH_FOR_SD:
        return float(location), np.inf
    scale = min(SCALE_PENALTIES, key=lambda one: criterion(y, x, penalty, (location, one)))
    return float(location), float(scale)
