"""Groups and repeated measurements compared in every region, without covariates."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from . import effects
from ._frames import aligned, counts, frame, table

Array = NDArray[np.float64]
Test = Callable[[Sequence[Array], float], dict[str, Any]]

TWO_GROUPS = ("welch", "mannwhitney")
MANY_GROUPS = ("anova", "welch_anova", "kruskal")
PAIRED = ("paired_t", "wilcoxon")


def two_groups(
    values: pd.DataFrame,
    groups: pd.Series[Any],
    pairs: Sequence[tuple[str, str]],
    tests: Sequence[str] = TWO_GROUPS,
    level: float = 0.95,
) -> pd.DataFrame:
    """Welch's t test and the Mann-Whitney test of pairs of groups.

    Parameters
    ----------
    values
        Observations x regions; NaN are left out region by region.
    groups
        Group of each observation; observations of other groups, or of none, are left out.
    pairs
        (first, second): the contrast is "first - second".
    tests
        ``welch``: difference of means with its interval (Welch 1947, doi:10.1093/biomet/34.1-2.28) and Hedges g (by the
        pooled SD). ``mannwhitney``: exact p-value where a group has at most 8 values and none are tied, else normal
        approximation with corrections for ties and continuity; Hodges-Lehmann shift with Moses' interval (Hodges &
        Lehmann 1963, doi:10.1214/aoms/1177704172) and rank-biserial correlation.
    level
        Of the confidence intervals.

    Returns
    -------
    pandas.DataFrame
        One row per region, pair and test; `note` says why a row has no number.
    """
    of = aligned(values, groups).astype("object").to_numpy()
    data = values.to_numpy(float)
    parts = []
    for first, second in pairs:
        a, b = data[of == first], data[of == second]
        n = [np.isfinite(x).sum(0) for x in (a, b)]
        head = {
            "contrast": f"{first} - {second}",
            "n": n[0] + n[1],
            "n_groups": counts((first, second), n),
            "note": _notes((first, second), (a, b)),
        }
        parts += _tests(tests, _TWO, (a, b), list(values.columns), level, head)
    return pd.concat(parts, ignore_index=True) if parts else frame([])


def many_groups(
    values: pd.DataFrame,
    groups: pd.Series[Any],
    levels: Sequence[str] | None = None,
    tests: Sequence[str] = MANY_GROUPS,
    level: float = 0.95,
) -> pd.DataFrame:
    """Analysis of variance, Welch's analysis of variance and the Kruskal-Wallis test.

    Parameters
    ----------
    values, groups, level
        As in `two_groups`.
    levels
        The groups to compare, by default all.
    tests
        ``anova`` and ``welch_anova`` (Welch 1951, doi:10.1093/biomet/38.3-4.330) with partial η²; ``kruskal`` with
        ε² = H / (n - 1) (Tomczak & Tomczak 2014), which has no interval.
    """
    of = aligned(values, groups)
    names = list(levels) if levels is not None else sorted(of.dropna().unique())
    kind = of.astype("object").to_numpy()
    samples = tuple(values.to_numpy(float)[kind == name] for name in names)
    n = [np.isfinite(x).sum(0) for x in samples]
    head = {
        "contrast": ", ".join(map(str, names)),
        "n": np.sum(n, axis=0),
        "n_groups": counts(names, n),
        "note": _notes(names, samples),
    }
    parts = _tests(tests, _MANY, samples, list(values.columns), level, head)
    return pd.concat(parts, ignore_index=True) if parts else frame([])


def paired(
    first: pd.DataFrame, second: pd.DataFrame, contrast: str, tests: Sequence[str] = PAIRED, level: float = 0.95
) -> pd.DataFrame:
    """Paired t test and Wilcoxon's signed-rank test of the differences first - second.

    Parameters
    ----------
    first, second
        The same people x the same regions; pairs with a missing member are left out.
    contrast
        How the difference is called, such as "followup - baseline".
    tests
        ``paired_t`` with Hedges g of the differences (mean over SD); ``wilcoxon`` with the pseudomedian
        (Hodges-Lehmann) and the matched-pairs rank-biserial correlation, with an exact p-value up to 50 pairs
        without ties or zeros.
    """
    difference = (first - aligned(first, second)[list(first.columns)]).to_numpy(float)
    n = np.isfinite(difference).sum(0)
    notes = ["" if k > 1 else f"only {k} complete pairs" for k in n]
    spread = np.nanmax(difference, 0, initial=-np.inf) - np.nanmin(difference, 0, initial=np.inf)
    notes = [note or ("all differences are the same" if s <= 0 else "") for note, s in zip(notes, spread, strict=True)]
    head = {"contrast": contrast, "n": n, "n_groups": [f"pairs {k}" for k in n], "note": notes}
    parts = _tests(tests, _PAIRED, (difference,), list(first.columns), level, head)
    return pd.concat(parts, ignore_index=True) if parts else frame([])


def _notes(names: Sequence[str], samples: Sequence[Array]) -> list[str]:
    """Per region why the groups cannot be compared, "" where they can."""
    out = []
    for i in range(samples[0].shape[1]):
        columns = [sample[np.isfinite(sample[:, i]), i] for sample in samples]
        few = [f"only {c.size} in group {name}" for name, c in zip(names, columns, strict=True) if c.size < 2]
        constant = not few and all(np.ptp(c) == 0 for c in columns)
        out.append("; ".join(few) or ("constant" if constant else ""))
    return out


def _tests(
    names: Sequence[str], known: Mapping[str, tuple[str, Test]], samples: Sequence[Array], regions: Sequence[str],
    level: float, head: Mapping[str, Any],
) -> list[pd.DataFrame]:  # fmt: skip
    """A table per test, run on the regions without a note; numpy's and scipy's warnings are told by that note."""
    unknown = set(names) - set(known)
    if unknown:
        raise ValueError(f"test {sorted(unknown)[0]!r} is unknown: expected {', '.join(known)}")
    usable = np.array([note == "" for note in head["note"]], bool)
    parts = []
    for name in names:
        title, test = known[name]
        found: dict[str, Any] = {}
        if usable.any():
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = test([sample[:, usable] for sample in samples], level)
        columns = {key: v if isinstance(v, str) else _spread(v, usable) for key, v in found.items()}
        parts.append(table(regions, test=title, **head, **columns))
    return parts


def _spread(numbers: Any, usable: NDArray[np.bool_]) -> Array:
    out = np.full(usable.size, np.nan)
    out[usable] = numbers
    return out


def moments(sample: Array) -> tuple[Array, Array, Array]:
    """Number, mean and variance (n - 1) of each column's finite values."""
    known = np.isfinite(sample)
    n = known.sum(0).astype(float)
    mean = np.where(known, sample, 0).sum(0) / n
    variance = np.where(known, (sample - mean) ** 2, 0).sum(0) / (n - 1)
    return n, mean, variance


def _welch(samples: Sequence[Array], level: float) -> dict[str, Any]:
    (n1, m1, v1), (n2, m2, v2) = (moments(sample) for sample in samples)
    se = np.sqrt(v1 / n1 + v2 / n2)
    df = se**4 / ((v1 / n1) ** 2 / (n1 - 1) + (v2 / n2) ** 2 / (n2 - 1))
    estimate, reach = m1 - m2, stats.t.ppf((1 + level) / 2, df) * se
    scale = np.sqrt(1 / n1 + 1 / n2)
    pooled = np.sqrt(((n1 - 1) * v1 + (n2 - 1) * v2) / (n1 + n2 - 2))
    g, low, high = effects.standardised(estimate / pooled / scale, n1 + n2 - 2, scale, level)
    return {
        "estimate": estimate, "estimate_low": estimate - reach, "estimate_high": estimate + reach,
        "estimate_se": se, "statistic_name": "t", "statistic": estimate / se, "df1": df,
        "p": 2 * stats.t.sf(np.abs(estimate / se), df),
        "effect_name": "Hedges g", "effect": g, "effect_low": low, "effect_high": high,
    }  # fmt: skip


def _mann_whitney(samples: Sequence[Array], level: float) -> dict[str, Any]:
    a, b = samples
    n1, n2 = np.isfinite(a).sum(0), np.isfinite(b).sum(0)
    found = stats.mannwhitneyu(a, b, axis=0, nan_policy="omit")
    spread = stats.norm.ppf((1 + level) / 2) * np.sqrt(n1 * n2 * (n1 + n2 + 1) / 12)
    skip = np.floor(n1 * n2 / 2 - spread)
    differences = ((a[:, None, i] - b[None, :, i]).ravel() for i in range(a.shape[1]))
    shift = np.array([_median_and_limits(d, k) for d, k in zip(differences, skip, strict=True)]).reshape(-1, 3).T
    r, low, high = effects.rank_biserial(found.statistic, n1, n2, level)
    return {
        "estimate": shift[0], "estimate_low": shift[1], "estimate_high": shift[2],
        "statistic_name": "U", "statistic": found.statistic, "p": found.pvalue,
        "effect_name": "rank-biserial r", "effect": r, "effect_low": low, "effect_high": high,
    }  # fmt: skip


def _median_and_limits(differences: Array, skip: float) -> tuple[float, float, float]:
    """Median, and the values with rank `skip` from either end, infinite where that is less than 1."""
    known = differences[np.isfinite(differences)]
    if not known.size:
        return np.nan, np.nan, np.nan
    k = int(skip)
    if k < 1:
        return float(np.median(known)), -np.inf, np.inf
    ordered = np.partition(known, (k - 1, (known.size - 1) // 2, known.size // 2, known.size - k))
    middle = (ordered[(known.size - 1) // 2] + ordered[known.size // 2]) / 2
    return float(middle), float(ordered[k - 1]), float(ordered[known.size - k])


def _anova(samples: Sequence[Array], level: float) -> dict[str, Any]:
    n, mean, variance = (np.array(x) for x in zip(*(moments(s) for s in samples), strict=True))
    df1, df2 = len(samples) - 1, n.sum(0) - len(samples)
    grand = (n * mean).sum(0) / n.sum(0)
    f = ((n * (mean - grand) ** 2).sum(0) / df1) / (((n - 1) * variance).sum(0) / df2)
    eta, low, high = effects.partial_eta2(f, df1, df2, n.sum(0), level)
    return {
        "statistic_name": "F", "statistic": f, "df1": df1, "df2": df2, "p": stats.f.sf(f, df1, df2),
        "effect_name": "partial eta2", "effect": eta, "effect_low": low, "effect_high": high,
    }  # fmt: skip


def _welch_anova(samples: Sequence[Array], level: float) -> dict[str, Any]:
    n, mean, variance = (np.array(x) for x in zip(*(moments(s) for s in samples), strict=True))
    k, weight = len(samples), n / variance
    grand = (weight * mean).sum(0) / weight.sum(0)
    spread = ((1 - weight / weight.sum(0)) ** 2 / (n - 1)).sum(0)
    f = (weight * (mean - grand) ** 2).sum(0) / (k - 1) / (1 + 2 * (k - 2) * spread / (k**2 - 1))
    df2 = (k**2 - 1) / (3 * spread)
    return _anova(samples, level) | {
        "statistic": f, "df2": df2, "p": stats.f.sf(f, k - 1, df2),
    }  # fmt: skip


def _kruskal(samples: Sequence[Array], level: float) -> dict[str, Any]:
    found = stats.kruskal(*samples, axis=0, nan_policy="omit")
    n = np.sum([np.isfinite(s).sum(0) for s in samples], axis=0)
    return {
        "statistic_name": "H", "statistic": found.statistic, "df1": len(samples) - 1,
        "p": found.pvalue, "effect_name": "epsilon2", "effect": found.statistic / (n - 1),
    }  # fmt: skip


def _paired_t(samples: Sequence[Array], level: float) -> dict[str, Any]:
    (difference,) = samples
    n, mean, variance = moments(difference)
    se = np.sqrt(variance / n)
    reach = stats.t.ppf((1 + level) / 2, n - 1) * se
    g, low, high = effects.standardised(mean / se, n - 1, 1 / np.sqrt(n), level)
    return {
        "estimate": mean, "estimate_low": mean - reach, "estimate_high": mean + reach,
        "estimate_se": se, "statistic_name": "t", "statistic": mean / se, "df1": n - 1,
        "p": 2 * stats.t.sf(np.abs(mean / se), n - 1),
        "effect_name": "Hedges g of differences", "effect": g, "effect_low": low, "effect_high": high,
    }  # fmt: skip


def _wilcoxon(samples: Sequence[Array], level: float) -> dict[str, Any]:
    (difference,) = samples
    z, out = stats.norm.ppf((1 + level) / 2), []
    for column in difference.T:
        d = column[np.isfinite(column)]
        moved = d[d != 0]
        if not moved.size:
            out.append([np.nan] * 6)
            continue
        ranks = stats.rankdata(np.abs(moved))
        walsh = ((d[:, None] + d) / 2)[np.triu_indices(d.size)]
        skip = np.floor(d.size * (d.size + 1) / 4 - z * np.sqrt(d.size * (d.size + 1) * (2 * d.size + 1) / 24))
        positive = ranks[moved > 0].sum()
        out.append([*_median_and_limits(walsh, skip), positive, moved.size, stats.wilcoxon(d).pvalue])
    middle, lower, upper, positive, n, p = np.array(out).reshape(-1, 6).T
    r, low, high = effects.rank_biserial_paired(positive, n, level)
    return {
        "estimate": middle, "estimate_low": lower, "estimate_high": upper,
        "statistic_name": "W+", "statistic": positive, "p": p,
        "effect_name": "rank-biserial r of pairs", "effect": r, "effect_low": low, "effect_high": high,
    }  # fmt: skip


_TWO = {"welch": ("Welch t", _welch), "mannwhitney": ("Mann-Whitney", _mann_whitney)}
_MANY = {
    "anova": ("ANOVA", _anova),
    "welch_anova": ("Welch ANOVA", _welch_anova),
    "kruskal": ("Kruskal-Wallis", _kruskal),
}
_PAIRED = {"paired_t": ("paired t", _paired_t), "wilcoxon": ("Wilcoxon", _wilcoxon)}
