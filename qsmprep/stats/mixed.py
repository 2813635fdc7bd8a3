"""Linear mixed models of every region: repeated measurements of the same people, such as group by time over visits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from . import reml
from ._frames import aligned, frame
from .contrasts import Contrast, contrast, term_contrast
from .design import DesignMatrix

Array = NDArray[np.float64]


def mixed_models(
    values: pd.DataFrame,
    design: DesignMatrix,
    participants: pd.Series[Any],
    contrasts: Sequence[str] = (),
    time: pd.Series[Any] | None = None,
    terms: bool = True,
    level: float = 0.95,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Contrasts and terms of a linear mixed model with a random intercept, and slope over time, per participant.

    Parameters
    ----------
    values
        Observations (one row per participant and visit) x regions; NaN are left out region by region.
    design
        Fixed effects, see `design.design_matrix`, such as ``group * years + age + sex``; rows are matched by index.
    participants
        The participant of each observation.
    contrasts
        See `contrasts.contrast`: ``years`` (slope), ``years[HD] - years[HC]`` (difference of slopes),
        ``HD - HC | years=0``.
    time
        Adds a random slope over these numbers; left out, and told so, in regions where people have too few visits.
    terms
        Whether every term is tested (type III), ``group:years`` among them.
    level
        Of the confidence intervals.
    progress
        Called with (regions done, regions) after each.

    Returns
    -------
    pandas.DataFrame
        One row per region and contrast or term, with Satterthwaite's degrees of freedom; `n` counts observations,
        `n_groups` participants. The effect of a contrast is the estimate over the SD of what the fixed effects leave
        unexplained (Westfall, Kenny & Judd 2014, doi:10.1037/xge0000014), its interval that of the estimate. Rows
        without a p-value give the SDs of intercepts, slopes and residuals. `note` tells of singular fits and why a row
        has no number.

    Raises
    ------
    ValueError
        If a contrast cannot be read.
    """
    parsed = [contrast(text, design) for text in contrasts]
    parsed += [term_contrast(name, design) for name in (design.terms if terms else ())]
    joined = values.index[values.index.isin(design.matrix.index)]
    data = values.loc[joined]
    matrix = aligned(data, design.matrix).to_numpy(float)
    people = aligned(data, design.people)
    who = aligned(data, participants)
    when = None if time is None else aligned(data, time).to_numpy(float)
    known = who.notna().to_numpy() & (np.isfinite(when) if when is not None else True)
    records = []
    for k, region in enumerate(data.columns):
        y = data[region].to_numpy(float)
        rows = known & np.isfinite(y)
        model = _fitted(y[rows], matrix[rows], who[rows], None if when is None else when[rows])
        counts = people[rows].assign(_participant=who[rows])
        found = [_row(model, one, design, counts, level) for one in parsed] + _deviations(model)
        records += [{"region": region, "n": int(rows.sum()), **record} for record in found]
        if progress is not None:
            progress(k + 1, data.shape[1])
    return frame(records)


@dataclass(frozen=True)
class _Model:
    """One region's fit on an orthonormal basis of the design, so that collinear columns do no harm.

    `weights` turns a contrast of the design's columns into one of the fit's, `space` is what the data can answer.
    """

    fit: reml.Fit | None
    weights: Array
    space: Array
    total: float
    note: str


def _fitted(y: Array, matrix: Array, who: pd.Series[Any], time: Array | None) -> _Model:
    columns = matrix.shape[1]
    codes, names = pd.factorize(who)
    note = ""
    if len(y) == 0 or np.bincount(codes).max() < 2:
        note = "no participant has two visits"
    elif np.ptp(y) == 0:
        note = "constant"
    if note:
        return _Model(None, np.empty((columns, 0)), np.eye(columns), np.nan, note)
    z, note = np.ones((len(y), 1)), ""
    if time is not None:
        z, note = (
            (np.column_stack([z, time]), "") if _slope_fits(codes, time) else (z, "no random slope: too few visits")
        )
    norm = np.linalg.norm(matrix, axis=0)
    norm[norm == 0] = 1
    left, size, right = np.linalg.svd(matrix / norm, full_matrices=False)
    kept = size > 1e-7 * size.max()
    weights = right[kept].T / size[kept] / norm[:, None]
    space = (right[kept] * norm).T @ right[kept] / norm
    try:
        fit = reml.fit(y, left[:, kept], z, codes.astype(np.intp))
    except ValueError:
        return _Model(None, weights, space.T, np.nan, f"only {len(y)} observations of {len(names)} participants")
    total = float(np.sqrt(np.mean(np.einsum("ni,ij,nj->n", z, fit.random_covariance, z)) + fit.sigma**2))
    if fit.singular:
        note = "; ".join(
            filter(None, [note, "singular fit: a random effect has no variance, or they go together wholly"])
        )
    if not fit.converged:
        note = "; ".join(filter(None, [note, "the fit has not converged"]))
    return _Model(fit, weights, space.T, total, note)


def _slope_fits(codes: NDArray[np.intp], time: Array) -> bool:
    """Whether there are more observations than random effects, and a participant with three different times."""
    visits = pd.DataFrame({"who": codes, "time": time}).drop_duplicates().groupby("who").size()
    return len(codes) > 2 * len(visits) and bool((visits >= 3).any())


def _row(model: _Model, one: Contrast, design: DesignMatrix, people: pd.DataFrame, level: float) -> dict[str, Any]:
    """One region's test of one contrast or term."""
    kind = "F" if one.kind == "term" else "t"
    head: dict[str, Any] = {"test": f"mixed model {kind} (Satterthwaite)", "contrast": one.name, "note": model.note}
    numbers = {"participants": people["_participant"].nunique()}
    if one.factor:
        levels = people.groupby(one.factor, observed=False)["_participant"].nunique()
        numbers = {name: int(levels.get(name, 0)) for name in design.factors[one.factor]}
    few = [f"only {n} in group {name}" for name, n in numbers.items() if n < 2 and name in one.name]
    head["n_groups"] = ", ".join(f"{name} {n}" for name, n in numbers.items())
    if model.fit is None:
        return head
    if few:
        return head | {"note": "; ".join(few)}
    outside = one.vector - one.vector @ model.space
    if np.abs(outside).max() > 1e-6 * np.abs(one.vector).max():
        return head | {
            "note": "cannot be told from these data: columns of the design are collinear, or a group is empty"
        }
    rows = one.vector @ model.weights
    if one.kind == "term":
        f, q, df = model.fit.f_test(rows)
        return head | {"statistic_name": "F", "statistic": f, "df1": q, "df2": df, "p": stats.f.sf(f, q, df)}
    estimate, se, df = model.fit.contrast(rows[0])
    reach = stats.t.ppf((1 + level) / 2, df) * se
    numbers_found = {"estimate": estimate, "estimate_low": estimate - reach, "estimate_high": estimate + reach}
    effect = {name.replace("estimate", "effect"): number / model.total for name, number in numbers_found.items()}
    test = {"statistic_name": "t", "statistic": estimate / se, "df1": df, "p": 2 * stats.t.sf(abs(estimate / se), df)}
    return head | numbers_found | {"estimate_se": se, **test, "effect_name": "d (total SD)", **effect}


def _deviations(model: _Model) -> list[dict[str, Any]]:
    """Rows of the SDs of random effects and residuals, and of the correlation of intercepts and slopes."""
    if model.fit is None:
        return []
    sds = np.sqrt(np.diag(model.fit.random_covariance))
    found = {"SD of intercepts": sds[0]}
    if len(sds) == 2:
        product = float(np.prod(sds))
        found |= {
            "SD of slopes": sds[1],
            "correlation of intercepts and slopes": model.fit.random_covariance[0, 1] / product if product else np.nan,
        }
    found["SD of residuals"] = model.fit.sigma
    head = {"test": "mixed model variance", "note": model.note}
    return [head | {"contrast": name, "estimate": number} for name, number in found.items()]
