"""Regions against clinical scores, markers and each other: correlation, partial correlation, regression."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from . import effects
from ._frames import aligned, counts, frame
from .design import DesignMatrix, design_matrix
from .glm import fit_glm

Array = NDArray[np.float64]
METHODS = ("pearson", "spearman")


def correlate(
    values: pd.DataFrame,
    people: pd.DataFrame,
    scores: Sequence[str],
    covariates: str = "",
    method: str = "pearson",
    level: float = 0.95,
) -> pd.DataFrame:
    """(Partial) correlation of every region with every score.

    Parameters
    ----------
    values
        Observations x regions; each pair of region and score takes the people who have both, and all covariates.
    people
        Scores and covariates of the observations, matched by index.
    covariates
        Right side of a formula, such as ``age + sex``, whose part is taken out of both; "" for none.
    method
        ``pearson``, with limits by Fisher's z; ``spearman``: Pearson's of the ranks (of the covariates' ranks, too),
        with the variance of z by Bonett & Wright 2000 (doi:10.1007/BF02294183). P-values by the t distribution.
    level
        Of the confidence intervals.

    Returns
    -------
    pandas.DataFrame
        One row per region and score, which stands in `contrast`; `effect` is the correlation.

    Raises
    ------
    ValueError
        If a score is no column of numbers, or the covariates cannot be read.
    """
    people = aligned(values, people)
    records = []
    for score in scores:
        x = pd.DataFrame({region: _numbers(people, score) for region in values})
        records += _pairs(values, x, score, _known(values, covariates, people), method)
    return _with_limits(frame(records), method, level)


def couple(
    values: pd.DataFrame,
    others: pd.DataFrame,
    name: str,
    people: pd.DataFrame | None = None,
    covariates: str = "",
    method: str = "pearson",
    level: float = 0.95,
) -> pd.DataFrame:
    """(Partial) correlation of each region's value with another number of the same region, such as its volume.

    Parameters
    ----------
    values, others
        Observations x regions; regions that both have are used.
    name
        What `others` are, for `contrast`.
    people, covariates, method, level
        As in `correlate`.
    """
    both = [region for region in values if region in others]
    people = aligned(values, people if people is not None else pd.DataFrame(index=values.index))
    design = _known(values, covariates, people)
    return _with_limits(frame(_pairs(values[both], aligned(values, others)[both], name, design, method)), method, level)


def regress(
    values: pd.DataFrame,
    people: pd.DataFrame,
    scores: Sequence[str],
    covariates: str = "",
    errors: str = "hc3",
    level: float = 0.95,
) -> pd.DataFrame:
    """Slope of every region on every score beside covariates: `estimate` per unit of the score, `effect` the partial
    correlation. Parameters as in `correlate` and `glm.fit_glm`."""
    parts = []
    for score in scores:
        _numbers(people, score)
        design = design_matrix(f"`{score}`" + (f" + {covariates}" if covariates else ""), people)
        parts.append(fit_glm(values, design, [score], terms="", errors=errors, level=level))
    return pd.concat(parts, ignore_index=True) if parts else frame([])


def compare_correlations(
    values: pd.DataFrame,
    people: pd.DataFrame,
    score: str,
    groups: str,
    pairs: Sequence[tuple[str, str]],
    covariates: str = "",
    method: str = "pearson",
    level: float = 0.95,
) -> pd.DataFrame:
    """Whether a score goes with the regions more in one group than in another (Fisher's z test).

    Parameters
    ----------
    groups
        Column of `people` with the groups.
    pairs
        (first, second): the estimate is r(first) - r(second), with the limits of Zou 2007
        (doi:10.1037/1082-989X.12.4.399); the effect is Cohen's q, the difference of the z.
    values, people, score, covariates, method, level
        As in `correlate`.
    """
    people = aligned(values, people)
    names = list(dict.fromkeys(name for pair in pairs for name in pair))
    kind = people[groups].astype("object")
    each = {
        n: correlate(values[kind == n], people[kind == n], [score], covariates, method, level)
        for n in names
        if (kind == n).any()
    }
    parts = []
    for first, second in pairs:
        absent = [name for name in (first, second) if name not in each]
        if absent:
            note = f"nobody in group {absent[0]}"
            parts.append(
                frame([_difference_head(str(r), score, (first, second), method) | {"note": note} for r in values])
            )
            continue
        parts.append(_difference(score, (first, second), (each[first], each[second]), method, level))
    return pd.concat(parts, ignore_index=True) if parts else frame([])


def _difference(
    score: str, names: tuple[str, str], tables: tuple[pd.DataFrame, pd.DataFrame], method: str, level: float
) -> pd.DataFrame:
    """Two groups' tables of one score's correlations, compared."""
    (r1, low1, high1), (r2, low2, high2) = (
        (t["effect"].to_numpy(), t["effect_low"].to_numpy(), t["effect_high"].to_numpy()) for t in tables
    )
    with np.errstate(all="ignore"):
        q = np.arctanh(r1) - np.arctanh(r2)
        se = np.sqrt(sum(_spread_factor(t["effect"], method) / (t["df1"].to_numpy() - 1) for t in tables))
        z = q / se
    reach = stats.norm.ppf((1 + level) / 2) * se
    head = frame([_difference_head(str(region), score, names, method) for region in tables[0]["region"]])
    return head.assign(
        n=tables[0]["n"] + tables[1]["n"], n_groups=counts(names, [t["n"].to_numpy() for t in tables]),
        estimate=r1 - r2,
        estimate_low=r1 - r2 - np.hypot(r1 - low1, high2 - r2),
        estimate_high=r1 - r2 + np.hypot(high1 - r1, r2 - low2),
        statistic_name="z", statistic=z, p=2 * stats.norm.sf(np.abs(z)),
        effect_name="Cohen q", effect=q, effect_low=q - reach, effect_high=q + reach,
        note=_joined_notes(tables[0]["note"], tables[1]["note"], *names),
    )  # fmt: skip


def _difference_head(region: str, score: str, names: tuple[str, str], method: str) -> dict[str, Any]:
    title = f"{method.capitalize()}, difference of correlations"
    return {"region": region, "test": title, "contrast": f"{score}: {names[0]} - {names[1]}"}


def _joined_notes(one: pd.Series[str], two: pd.Series[str], first: str, second: str) -> list[str]:
    pairs = zip(one, two, strict=True)
    return ["; ".join(f"{name}: {note}" for name, note in ((first, a), (second, b)) if note) for a, b in pairs]


def _numbers(people: pd.DataFrame, score: str) -> pd.Series[float]:
    if score not in people:
        raise ValueError(f"score {score!r} is no column; there are: {', '.join(map(str, people.columns))}")
    if not pd.api.types.is_numeric_dtype(people[score]):
        raise ValueError(f"score {score!r} is no column of numbers; it begins with {people[score].iloc[0]!r}")
    return people[score].astype(float)


def _known(values: pd.DataFrame, covariates: str, people: pd.DataFrame) -> tuple[Array, list[int]]:
    """Columns of the covariates (NaN for people without), and which of them are numbers that have ranks."""
    if not covariates:
        return np.ones((len(values), 1)), []
    design: DesignMatrix = design_matrix(covariates, people.reset_index(drop=True))
    matrix = design.matrix.reindex(range(len(values))).to_numpy(float)
    return matrix, [c for term, columns in design.terms.items() if term in design.numbers for c in columns]


def _pairs(
    values: pd.DataFrame, others: pd.DataFrame, name: str, covariates: tuple[Array, list[int]], method: str
) -> list[dict[str, Any]]:
    """Correlations of same-named columns."""
    if method not in METHODS:
        raise ValueError(f"correlation {method!r} is unknown: expected {' or '.join(METHODS)}")
    matrix, numbers = covariates
    title = ("partial " if matrix.shape[1] > 1 else "") + method.capitalize()
    records = []
    for region in values:
        y, x = values[region].to_numpy(float), others[region].to_numpy(float)
        rows = np.isfinite(y) & np.isfinite(x) & np.isfinite(matrix).all(axis=1)
        record = {"region": region, "test": title, "contrast": name, "n": int(rows.sum())}
        records.append(record | _correlation(y[rows], x[rows], matrix[rows], numbers, method))
    return records


def _correlation(y: Array, x: Array, matrix: Array, numbers: Sequence[int], method: str) -> dict[str, Any]:
    """One correlation with its test, or a note."""
    rank = int(np.linalg.matrix_rank(matrix)) if len(y) else 0
    df = len(y) - 1 - rank
    if df < 1:
        return {"note": f"only {len(y)} people with all values"}
    if np.ptp(y) == 0 or np.ptp(x) == 0:
        return {"note": "constant" if np.ptp(y) == 0 else "the score is constant"}
    if method == "spearman":
        y, x, matrix = stats.rankdata(y), stats.rankdata(x), matrix.copy()
        matrix[:, numbers] = stats.rankdata(matrix[:, numbers], axis=0)
    both = np.column_stack([y, x])
    rest = both - matrix @ np.linalg.lstsq(matrix, both, rcond=None)[0]
    size = np.linalg.norm(rest, axis=0)
    if (size <= 1e-10 * np.linalg.norm(both, axis=0)).any():
        return {"note": "collinear with the covariates"}
    r = float(np.clip(rest[:, 0] @ rest[:, 1] / size.prod(), -1, 1))
    t = r * np.sqrt(df / (1 - r**2)) if abs(r) < 1 else np.copysign(np.inf, r)
    p = 2 * stats.t.sf(abs(t), df)
    return {"statistic_name": "t", "statistic": t, "df1": df, "p": p, "effect": r}


def _spread_factor(r: pd.Series[float], method: str) -> Array:
    """Variance of Fisher's z times (df - 1)."""
    return np.asarray(1 + r.to_numpy(float) ** 2 / 2 if method == "spearman" else np.ones(len(r)))


def _with_limits(rows: pd.DataFrame, method: str, level: float) -> pd.DataFrame:
    low, high = effects.fisher_limits(rows["effect"], rows["df1"], level, _spread_factor(rows["effect"], method))
    name = {"pearson": "r", "spearman": "rho"}[method]
    return rows.assign(effect_name=np.where(rows["effect"].notna(), name, ""), effect_low=low, effect_high=high)
