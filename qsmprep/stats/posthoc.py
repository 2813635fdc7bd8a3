"""All pairs of groups after a test of all groups: Tukey's, Games-Howell's and Dunn's procedures."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from . import effects
from ._frames import aligned, frame
from .compare import moments, two_groups
from .correct import adjust

Array = NDArray[np.float64]
TESTS = ("tukey", "games_howell", "dunn")


def posthoc(
    values: pd.DataFrame,
    groups: pd.Series[Any],
    levels: Sequence[str] | None = None,
    tests: Sequence[str] = TESTS,
    level: float = 0.95,
) -> pd.DataFrame:
    """Every pair of groups, with p-values and intervals that hold for all pairs of a region together.

    Parameters
    ----------
    values
        Observations x regions, NaN where missing.
    groups
        Group of each observation.
    levels
        Groups to compare, by default all; the contrast is "later - earlier".
    tests
        ``tukey`` (after ANOVA; Kramer 1956, doi:10.2307/3001469, for unequal numbers), ``games_howell`` (after Welch's
        ANOVA; Games & Howell 1976, doi:10.3102/10769986001002113), ``dunn`` (after Kruskal-Wallis; Dunn 1964,
        doi:10.1080/00401706.1964.10490181; p-values by Holm over the pairs).
    level
        Of the intervals of the differences together. Those of the effect sizes hold for each pair alone.

    Returns
    -------
    pandas.DataFrame
        One row per region, pair and test.
    """
    unknown = set(tests) - set(TESTS)
    if unknown:
        raise ValueError(f"test {sorted(unknown)[0]!r} is unknown: expected {', '.join(TESTS)}")
    of = aligned(values, groups)
    names = list(levels) if levels is not None else sorted(of.dropna().unique())
    of = of.where(of.isin(names))
    pairs = [(b, a) for j, b in enumerate(names) for a in names[:j]]
    made = {"tukey": _tukey, "games_howell": _games_howell, "dunn": _dunn}
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parts = [made[test](values, of, names, pairs, level) for test in tests if pairs]
    return pd.concat(parts, ignore_index=True) if parts else frame([])


def _tukey(
    values: pd.DataFrame, of: pd.Series[Any], names: Sequence[str], pairs: Sequence[tuple[str, str]], level: float
) -> pd.DataFrame:
    rows = two_groups(values, of, pairs, ["welch"], level)
    data, kind = values.to_numpy(float), of.astype("object").to_numpy()
    found = {name: moments(data[kind == name]) for name in names}
    inside = sum((np.where(n > 1, (n - 1) * v, 0) for n, _, v in found.values()), np.zeros(data.shape[1]))
    n_all = sum((n for n, _, _ in found.values()), np.zeros(data.shape[1]))
    filled = sum(((n > 0).astype(float) for n, _, _ in found.values()), np.zeros(data.shape[1]))
    df, mse = n_all - filled, inside / (n_all - filled)
    per = np.sqrt(np.concatenate([1 / found[a][0] + 1 / found[b][0] for a, b in pairs]))
    df, sd = np.tile(df, len(pairs)), np.sqrt(np.tile(mse, len(pairs)))
    g, low, high = effects.standardised(rows["estimate"] / (sd * per), df, per, level)
    rows = rows.assign(estimate_se=sd * per, df1=df, effect=g, effect_low=low, effect_high=high)
    return _studentised(rows, len(names), "Tukey", level)


def _games_howell(
    values: pd.DataFrame, of: pd.Series[Any], names: Sequence[str], pairs: Sequence[tuple[str, str]], level: float
) -> pd.DataFrame:
    return _studentised(two_groups(values, of, pairs, ["welch"], level), len(names), "Games-Howell", level)


def _studentised(rows: pd.DataFrame, k: int, title: str, level: float) -> pd.DataFrame:
    """Rows with p-values and intervals by the studentised range, q = sqrt(2) |difference| / its standard error."""
    known = rows["note"] == ""
    q = np.sqrt(2) * rows["estimate"].abs() / rows["estimate_se"]
    reach = studentised_range_ppf(level, k, rows["df1"]) * rows["estimate_se"] / np.sqrt(2)
    out = rows.assign(
        test=title, statistic_name="q", statistic=q, p=1 - studentised_range_cdf(q, k, rows["df1"]),
        estimate_low=rows["estimate"] - reach, estimate_high=rows["estimate"] + reach,
    )  # fmt: skip
    numbers = [name for name in out.select_dtypes("number") if name != "n"]
    return out.assign(**{str(name): out[name].where(known) for name in numbers})


def _dunn(
    values: pd.DataFrame, of: pd.Series[Any], names: Sequence[str], pairs: Sequence[tuple[str, str]], level: float
) -> pd.DataFrame:
    rows = two_groups(values, of, pairs, ["mannwhitney"], level)
    kind = of.astype("object").to_numpy()
    data = np.where(of.notna().to_numpy()[:, None], values.to_numpy(float), np.nan)
    ranks = stats.rankdata(data, axis=0, nan_policy="omit")
    variance = moments(ranks)[2]  # of tied ranks, so that ties are corrected for
    mean = {name: moments(ranks[kind == name])[:2] for name in names}
    z = [(mean[a][1] - mean[b][1]) / np.sqrt(variance * (1 / mean[a][0] + 1 / mean[b][0])) for a, b in pairs]
    statistic = np.where((rows["note"] == "").to_numpy().reshape(len(pairs), -1), np.array(z), np.nan)
    p = np.apply_along_axis(adjust, 0, 2 * stats.norm.sf(np.abs(statistic)), "holm")
    return rows.assign(test="Dunn (Holm)", statistic_name="z", statistic=statistic.ravel(), p=p.ravel())


def studentised_range_cdf(q: ArrayLike, k: int, df: ArrayLike) -> Array:
    """Distribution of the range of k normal means over an independent SD (Tukey), vectorised over q and df.

    Gauss-Legendre quadrature of 64 nodes over the mean and over the logarithm of the SD; scipy's own, which it equals
    to 1e-8, takes many times as long.
    """
    width, degrees = (np.array(x, float) for x in np.broadcast_arrays(q, df))
    usable = np.isfinite(width) & (degrees > 0)
    node, weight = np.polynomial.legendre.leggauss(64)
    d = degrees[usable][:, None]
    ends = [np.log(f(1e-13, d) / d) / 2 for f in (stats.chi2.ppf, stats.chi2.isf)]
    log_s = (ends[0] + ends[1]) / 2 + (ends[1] - ends[0]) / 2 * node
    log_density = d * log_s - d * np.exp(2 * log_s) / 2 + d / 2 * np.log(d / 2) - special.gammaln(d / 2) + np.log(2)
    outer = np.exp(log_density) * weight * (ends[1] - ends[0]) / 2
    z, inner = 8 * node, 8 * weight * k * stats.norm.pdf(8 * node)
    above = special.ndtr(z)
    out = np.full(width.shape, np.nan)
    found = [
        float(o @ ((above - special.ndtr(z - (w * np.exp(s))[:, None])) ** (k - 1) @ inner))
        for w, s, o in zip(width[usable], log_s, outer, strict=True)
    ]
    out[usable] = np.clip(found, 0, 1)
    return out


def studentised_range_ppf(level: float, k: int, df: ArrayLike) -> Array:
    """Quantile of the studentised range at each of many degrees of freedom: interpolated between 40 of them, exact to
    1e-6, since it is smooth in 1/df."""
    from scipy.interpolate import CubicSpline

    degrees = np.asarray(df, float)
    usable = np.isfinite(degrees) & (degrees > 0)
    out = np.full(degrees.shape, np.nan)
    inverse = 1 / degrees[usable]
    if not inverse.size:
        return out
    grid = np.unique(inverse)
    if grid.size > 40:
        nodes = np.cos(np.pi * (np.arange(40) + 0.5) / 40)
        grid = np.sort(np.append((grid[0] + grid[-1]) / 2 - (grid[-1] - grid[0]) / 2 * nodes, grid[[0, -1]]))
    quantile = effects.root(
        lambda q: level - studentised_range_cdf(q, k, 1 / grid), np.zeros(grid.size), np.full(grid.size, 1e3)
    )
    exact = quantile[np.searchsorted(grid, inverse)] if grid.size <= 40 else CubicSpline(grid, quantile)(inverse)
    out[usable] = exact
    return out
