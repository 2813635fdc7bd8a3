"""Effect sizes with confidence intervals, vectorised: arrays in, (effect, low, high) out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

Array = NDArray[np.float64]
Interval = tuple[Array, Array, Array]


def root(falling: Callable[[Array], Array], low: Array, high: Array) -> Array:
    """Where functions that fall from positive to negative between `low` and `high` are 0; an end where they do not."""
    for _ in range(60):
        middle = (low + high) / 2
        above = falling(middle) > 0
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return (low + high) / 2


def _floats(*values: ArrayLike) -> list[Array]:
    return [np.array(x, float) for x in np.broadcast_arrays(*(np.asarray(v, float) for v in values))]


def noncentral_t_limits(t: ArrayLike, df: ArrayLike, level: float = 0.95) -> tuple[Array, Array]:
    """Confidence limits of the noncentrality of a t statistic (Steiger & Fouladi 1997; Cumming & Finch 2001,
    doi:10.1177/0013164401614002). NaN where `t` is not finite or `df` is not positive."""
    statistic, degrees = _floats(t, df)
    size = np.abs(statistic)
    # from -8 on up: with less noncentrality a positive t is never too small
    reach = 12 * np.sqrt(1 + size**2 / (2 * np.maximum(degrees, 1))) + 3

    def limit(tail: float) -> Array:
        return root(lambda nc: stats.nct.cdf(size, degrees, nc) - tail, np.maximum(size - reach, -8), size + reach)

    low, high = limit((1 + level) / 2), limit((1 - level) / 2)
    usable, mirror = np.isfinite(statistic) & (degrees > 0), statistic < 0
    return (
        np.where(usable, np.where(mirror, -high, low), np.nan),
        np.where(usable, np.where(mirror, -low, high), np.nan),
    )


def noncentral_f_limits(f: ArrayLike, df1: ArrayLike, df2: ArrayLike, level: float = 0.95) -> tuple[Array, Array]:
    """Confidence limits of the noncentrality of an F statistic, 0 where even no effect at all would make it larger
    (Steiger 2004, doi:10.1037/1082-989X.9.2.164). NaN where `f` is not finite."""
    statistic, above, below = _floats(f, df1, df2)
    nc = np.maximum(statistic, 0) * above
    reach = nc + 12 * np.sqrt(2 * above + 4 * nc + 2 * nc**2 / below) + 30

    def limit(tail: float) -> Array:
        found = root(lambda nc: stats.ncf.cdf(statistic, above, below, nc) - tail, np.zeros_like(nc), reach)
        return np.where(stats.f.cdf(statistic, above, below) < tail, 0, found)

    usable = np.isfinite(statistic) & (above > 0) & (below > 0)
    low, high = limit((1 + level) / 2), limit((1 - level) / 2)
    return np.where(usable, low, np.nan), np.where(usable, high, np.nan)


def small_sample_factor(df: ArrayLike) -> Array:
    """Factor that takes the bias from a standardised difference (Hedges 1981, doi:10.3102/10769986006002107)."""
    half = np.asarray(df, float) / 2
    with np.errstate(all="ignore"):
        factor = np.exp(special.gammaln(half) - special.gammaln(half - 0.5)) / np.sqrt(half)
    return np.where(half > 0.5, factor, np.nan)


def standardised(t: ArrayLike, df: ArrayLike, scale: ArrayLike, level: float = 0.95) -> Interval:
    """Hedges g = factor x t x scale, with limits from the noncentral t distribution.

    Parameters
    ----------
    t, df
        Statistic with a pooled (classical) standard error, and its degrees of freedom.
    scale
        Standard error over standard deviation: sqrt(1/n1 + 1/n2) for two groups, 1/sqrt(n) for pairs (g is then the
        mean difference over the SD of differences), sqrt(c' (X'X)^-1 c) for a contrast c of a linear model.
    """
    statistic, degrees, ratio = _floats(t, df, scale)
    low, high = noncentral_t_limits(statistic, degrees, level)
    factor = small_sample_factor(degrees) * ratio
    return factor * statistic, factor * low, factor * high


def partial_eta2(f: ArrayLike, df1: ArrayLike, df2: ArrayLike, n: ArrayLike, level: float = 0.95) -> Interval:
    """Partial η² = F df1 / (F df1 + df2), with limits λ / (λ + n) from the noncentral F distribution (Steiger 2004)."""
    statistic, above, below, size = _floats(f, df1, df2, n)
    low, high = noncentral_f_limits(statistic, above, below, level)
    with np.errstate(invalid="ignore", divide="ignore"):
        return statistic * above / (statistic * above + below), low / (low + size), high / (high + size)


def rank_biserial(u: ArrayLike, n1: ArrayLike, n2: ArrayLike, level: float = 0.95) -> Interval:
    """Rank-biserial correlation of two groups, 2 U / (n1 n2) - 1: P(first > second) - P(first < second).

    The limits are those of the score-type interval of U / (n1 n2), method 5 of Newcombe 2006 (doi:10.1002/sim.2324),
    which stay inside -1 to 1 and have a width even where the groups do not overlap.

    Parameters
    ----------
    u
        Mann-Whitney U of the first group.
    """
    larger, first, second = _floats(u, n1, n2)
    z, star = stats.norm.ppf((1 + level) / 2), (first + second) / 2 - 1
    with np.errstate(invalid="ignore", divide="ignore"):
        area = larger / (first * second)

        def reach(a: Array) -> Array:
            variance = a * (1 - a) * (1 + star * (1 - a) / (2 - a) + star * a / (1 + a)) / (first * second)
            return np.asarray(z * np.sqrt(variance))

        usable = np.isfinite(area)
        low = root(lambda a: area - a - reach(a), np.zeros_like(area), area)
        high = root(lambda a: area - a + reach(a), area, np.ones_like(area))
    return 2 * area - 1, np.where(usable, 2 * low - 1, np.nan), np.where(usable, 2 * high - 1, np.nan)


def rank_biserial_paired(positive: ArrayLike, n: ArrayLike, level: float = 0.95) -> Interval:
    """Matched-pairs rank-biserial correlation, (W+ - W-) / (W+ + W-) (Kerby 2014, doi:10.2466/11.IT.3.1), with limits
    by Fisher's z and the standard error of W under the null; NaN where all differences have one sign.

    Parameters
    ----------
    positive
        Sum of the ranks of the positive differences, W+.
    n
        Number of differences that are not 0.
    """
    larger, count = _floats(positive, n)
    with np.errstate(invalid="ignore", divide="ignore"):
        total = count * (count + 1) / 2
        r = 2 * larger / total - 1
        reach = stats.norm.ppf((1 + level) / 2) * np.sqrt(count * (count + 1) * (2 * count + 1) / 6) / total
        z = np.where(np.abs(r) < 1, np.arctanh(r), np.nan)
    return r, np.tanh(z - reach), np.tanh(z + reach)


def fisher_limits(r: ArrayLike, df: ArrayLike, level: float = 0.95, factor: ArrayLike = 1.0) -> tuple[Array, Array]:
    """Limits of a correlation by Fisher's z (Fisher 1921), inside -1 to 1.

    Parameters
    ----------
    df
        Degrees of freedom of its t test: n - 2, less one for each covariate; the variance of z is factor / (df - 1).
    factor
        1 for Pearson's r; for Spearman's see `scores`.
    """
    value, degrees, wide = _floats(r, df, factor)
    with np.errstate(all="ignore"):
        reach = stats.norm.ppf((1 + level) / 2) * np.sqrt(wide / np.where(degrees > 1, degrees - 1, np.nan))
        z = np.arctanh(value)
        return np.tanh(z - reach), np.tanh(z + reach)


def correlation_from_t(t: ArrayLike, df: ArrayLike, level: float = 0.95) -> Interval:
    """(Partial) correlation t / sqrt(t² + df) of a slope's classical t, with limits by Fisher's z."""
    statistic, degrees = _floats(t, df)
    r = statistic / np.sqrt(statistic**2 + degrees)
    return (r, *fisher_limits(r, degrees, level))
