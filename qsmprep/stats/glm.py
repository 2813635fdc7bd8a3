"""Linear models (ANCOVA, regression) of all regions at once, with errors that allow for unequal variances."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from . import effects
from ._frames import frame
from ._solve import Fit, fits, level_counts, not_answered
from .contrasts import Contrast, contrast, level_mean, term_contrast
from .design import DesignMatrix

Array = NDArray[np.float64]
ERRORS = ("hc3", "hc4", "classical")


def fit_glm(
    values: pd.DataFrame,
    design: DesignMatrix,
    contrasts: Sequence[str] = (),
    terms: str = "III",
    errors: str = "hc3",
    level: float = 0.95,
) -> pd.DataFrame:
    """t tests of contrasts and F tests of terms in every region.

    Parameters
    ----------
    values
        Observations x regions; a missing value leaves its observation out of that region only.
    design
        See `design.design_matrix`; rows are matched by index.
    contrasts
        See `contrasts.contrast`. The effect of a difference of means is Hedges g by the SD of the residuals, of a slope
        the partial correlation.
    terms
        "III", "II" (each term beside all that do not contain it; Fox 2016, ISBN 978-1452205663), or "" for no tests of
        terms. Without interactions both are the same. The effect is partial η², from the classical F.
    errors
        ``hc3``, ``hc4``, or ``classical`` for equal variances.
    level
        Of the confidence intervals.

    Returns
    -------
    pandas.DataFrame
        One row per region and contrast or term; `note` says why a row has no number.

    Raises
    ------
    ValueError
        If a contrast cannot be read.
    """
    if errors not in ERRORS or terms not in ("", "II", "III"):
        raise ValueError(f"errors {errors!r} or terms {terms!r} unknown: expected {', '.join(ERRORS)}, II, III or none")
    parsed = [contrast(text, design) for text in contrasts]
    asked = [one for one in parsed if one.kind != "term"]
    tests: list[tuple[Contrast, list[int]]] = [(one, []) for one in parsed if one.kind == "term"]
    tests += [(term_contrast(name, design), _above(name, terms, design)) for name in (design.terms if terms else ())]
    records = []
    for fit in fits(values, design):
        for k, region in enumerate(fit.regions):
            found = [_t_test(fit, k, one, design, errors) for one in asked]
            found += [_f_test(fit, k, one, design, errors, above) for one, above in tests]
            records += [(region, i, record) for i, record in enumerate(found)]
    records.sort(key=lambda record: record[:2])
    rows = frame([{"region": values.columns[region], **record} for region, _, record in records])
    return _with_intervals(rows, level)


def adjusted_means(
    values: pd.DataFrame, design: DesignMatrix, factor: str, errors: str = "hc3", level: float = 0.95
) -> pd.DataFrame:
    """Means of a factor's levels, at equal weights of the other factors' levels and at the mean of each number (Searle,
    Speed & Milliken 1980, doi:10.1080/00031305.1980.10483031). The p-value is of the mean being 0.

    Parameters
    ----------
    values, design, errors, level
        As in `fit_glm`.
    factor
        A factor of the design.
    """
    means = [level_mean(factor, name, design) for name in design.factors[factor]]
    records = [
        (region, i, _t_test(fit, k, one, design, errors) | {"test": "adjusted mean"})
        for fit in fits(values, design)
        for k, region in enumerate(fit.regions)
        for i, one in enumerate(means)
    ]
    records.sort(key=lambda record: record[:2])
    return _with_intervals(frame([{"region": values.columns[r], **record} for r, _, record in records]), level)


def _above(name: str, kind: str, design: DesignMatrix) -> list[int]:
    """Columns of the terms that contain a term, for its test of type II; none for type III."""
    parts = set(name.split(":"))
    if kind == "III":
        return []
    return [c for other, columns in design.terms.items() if parts < set(other.split(":")) for c in columns]


def _head(fit: Fit, k: int, one: Contrast, design: DesignMatrix, errors: str) -> dict[str, Any]:
    """What a row holds before anything is computed, with the note if nothing can be."""
    head: dict[str, Any] = {"contrast": one.name, "n": len(fit.residual)}
    head["test"] = f"GLM {'F' if one.kind == 'term' else 't'}{'' if errors == 'classical' else f' ({errors.upper()})'}"
    if one.factor:
        head["n_groups"] = level_counts(fit, one.factor, design)
    note = fit.note or not_answered(fit, one, design) or ("constant" if _constant(fit, k) else "")
    if not note and errors != "classical" and np.abs(one.vector @ fit.inverse[:, fit.alone]).max(initial=0) > 1e-9:
        note = f"one person alone decides a coefficient, which {errors.upper()} errors cannot handle"
    return head | {"note": note}


def _t_test(fit: Fit, k: int, one: Contrast, design: DesignMatrix, errors: str) -> dict[str, Any]:
    """One region's test of one contrast, without intervals."""
    head = _head(fit, k, one, design, errors)
    if head["note"]:
        return head
    estimate, row = float((one.vector @ fit.beta[:, k])[0]), one.vector[0]
    se, plain = (float(np.sqrt(row @ fit.covariance(k, e) @ row)) for e in (errors, "classical"))
    sd = np.sqrt((fit.residual[:, k] ** 2).sum() / fit.df)
    found = {
        "estimate": estimate, "estimate_se": se, "statistic_name": "t", "statistic": estimate / se, "df1": fit.df,
        "p": 2 * stats.t.sf(abs(estimate / se), fit.df),
    }  # fmt: skip
    # what the intervals are made of: the classical t, and the scale of the standardised difference
    names = {"difference": "Hedges g", "slope": "partial r"}
    if one.kind in names:
        found |= {"effect_name": names[one.kind], "effect": estimate / plain, "effect_low": plain / sd}
    return head | found


def _f_test(fit: Fit, k: int, one: Contrast, design: DesignMatrix, errors: str, above: list[int]) -> dict[str, Any]:
    """One region's test of one term, without interval. Of type II it is the part of the term's coefficients that does
    not go with those of the terms above it."""
    head = _head(fit, k, one, design, errors)
    if head["note"]:
        return head
    q, f = int(np.linalg.matrix_rank(one.vector @ fit.space)), {}
    for e in {errors, "classical"}:
        covariance, vector = fit.covariance(k, e), one.vector.copy()
        if above:
            vector[:, above] = -(vector @ covariance[:, above]) @ np.linalg.pinv(covariance[np.ix_(above, above)])
        estimate = vector @ fit.beta[:, k]
        f[e] = float(estimate @ np.linalg.pinv(vector @ covariance @ vector.T) @ estimate) / q
    return head | {
        "statistic_name": "F", "statistic": f[errors], "df1": q, "df2": fit.df, "p": stats.f.sf(f[errors], q, fit.df),
        "effect_name": "partial eta2", "effect": f["classical"],
    }  # fmt: skip


def _with_intervals(rows: pd.DataFrame, level: float) -> pd.DataFrame:
    """Intervals of all rows at once, from what the tests have left in the columns of the effect."""
    out = rows.copy()
    reach = stats.t.ppf((1 + level) / 2, rows["df1"]) * rows["estimate_se"]
    out["estimate_low"], out["estimate_high"] = rows["estimate"] - reach, rows["estimate"] + reach
    parts: dict[str, Callable[[pd.DataFrame], effects.Interval]] = {
        "Hedges g": lambda r: effects.standardised(r["effect"], r["df1"], r["effect_low"], level),
        "partial r": lambda r: effects.correlation_from_t(r["effect"], r["df1"], level),
        "partial eta2": lambda r: effects.partial_eta2(r["effect"], r["df1"], r["df2"], r["n"], level),
    }
    for name, interval in parts.items():
        mine = rows["effect_name"] == name
        for column, found in zip(("effect", "effect_low", "effect_high"), interval(rows[mine]), strict=True):
            out.loc[mine, column] = found
    return out


def _constant(fit: Fit, k: int) -> bool:
    """Whether nothing is left over for an error: constant, or a combination of the columns."""
    e = fit.residual[:, k]
    scale = np.abs(fit.matrix @ fit.beta[:, k]).max(initial=0)
    return bool(np.abs(e).max(initial=0) <= 1e-10 * max(scale, 1e-300))
