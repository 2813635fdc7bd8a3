"""How well repeated measurements agree: intraclass correlation, Bland-Altman limits and within-subject variation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from qsmprep.errors import InputError
from qsmprep.stats import _frames

Array = npt.NDArray[np.float64]

FORMS = {
    "ICC(1,1)": "each person measured by other raters, one measurement",
    "ICC(2,1)": "absolute agreement, one measurement",
    "ICC(3,1)": "consistency, one measurement",
    "ICC(1,k)": "each person measured by other raters, mean of k",
    "ICC(2,k)": "absolute agreement, mean of k",
    "ICC(3,k)": "consistency, mean of k",
}
CV_NEEDS = 2.0  # a coefficient of variation means something only where the mean is this many SDs away from 0


@dataclass(frozen=True)
class MeanSquares:
    """Two-way analysis of variance of n people by k measurements, one entry a region."""

    n: Array
    k: int
    people: Array
    raters: Array
    within: Array
    error: Array


def icc(values: pd.DataFrame, participant: pd.Series, rater: pd.Series, *, confidence: float = 0.95) -> pd.DataFrame:
    """Intraclass correlation in all six forms of Shrout and Fleiss, for all regions.

    Parameters
    ----------
    values
        One row a measurement, one column a region; NaN is missing. A person who lacks a measurement in a region is
        left out of that region, and counted in `note`.
    participant
        Who was measured, by the same index.
    rater
        Which of the repeated measurements it was: rater, session, run or setting.
    confidence
        Coverage of the interval.

    Returns
    -------
    pandas.DataFrame
        One row a region and form (`test`; what it means is in `contrast`), with the interval of McGraw and Wong and the
        F test of no correlation. `n` is the number of people.

    Raises
    ------
    InputError
        If a person has two measurements by the same rater, or there are fewer than two raters.

    References
    ----------
    Shrout PE, Fleiss JL. Psychol Bull 1979;86:420-428. doi:10.1037/0033-2909.86.2.420
    McGraw KO, Wong SP. Psychol Methods 1996;1:30-46. doi:10.1037/1082-989X.1.1.30
    """
    cube, lost = _cube(values, participant, rater)
    squares = _mean_squares(cube)
    notes = _notes(squares, lost)
    usable = np.array([not note or note.startswith("without") for note in notes])
    tables = []
    for form, numbers in _forms(squares, confidence).items():
        blank = {name: np.where(usable, value, np.nan) for name, value in numbers.items()}
        columns: dict[str, Any] = {
            "test": form,
            "contrast": FORMS[form],
            "n": squares.n,
            "n_groups": f"{squares.k} measurements a person",
            "statistic_name": "F",
            "effect_name": "ICC",
            "effect": blank["estimate"],
            "effect_low": blank["estimate_low"],
            "effect_high": blank["estimate_high"],
            "note": notes,
        }
        tables.append(_frames.table(list(values.columns), **blank, **columns))
    return pd.concat(tables, ignore_index=True)


def bland_altman(
    first: pd.DataFrame,
    second: pd.DataFrame,
    *,
    names: tuple[str, str],
    coverage: float = 0.95,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Bias and limits of agreement between two measurements of the same people, for all regions in both tables.

    Parameters
    ----------
    first, second
        One row a person, one column a region. A person without both is left out of the region.
    names
        What the two measurements are called; differences are first less second.
    coverage
        Share of the differences between the limits.
    confidence
        Coverage of all intervals.

    Returns
    -------
    pandas.DataFrame
        Rows a region, by `test`: `bias` (with the paired t test), `lower limit of agreement`, `upper limit of
        agreement` (exact intervals, from the non-central t distribution) and `proportional bias` (slope of the
        difference over the mean of both, with its t test; 0 if the difference does not grow with what is measured).

    References
    ----------
    Bland JM, Altman DG. Lancet 1986;327:307-310. doi:10.1016/S0140-6736(86)90837-8
    Carkeet A. Optom Vis Sci 2015;92:e71-e80. doi:10.1097/OPX.0000000000000513
    """
    people, regions = first.index.intersection(second.index), first.columns.intersection(second.columns)
    a, b = first.loc[people, regions].to_numpy(float), second.loc[people, regions].to_numpy(float)
    difference, middle = a - b, (a + b) / 2
    middle = np.where(np.isfinite(difference), middle, np.nan)
    n = np.isfinite(difference).sum(axis=0).astype(float)
    enough = n > 2
    n = np.where(enough, n, np.nan)
    bias = np.nansum(difference, axis=0) / n
    sd = np.sqrt(np.nansum((difference - bias) ** 2, axis=0) / (n - 1))
    tail, z = (1 - confidence) / 2, float(stats.norm.isf((1 - coverage) / 2))
    se, width = sd / np.sqrt(n), stats.t.isf(tail, n - 1)
    inner, outer = (stats.nct.ppf(q, n - 1, z * np.sqrt(n)) * se for q in (tail, 1 - tail))
    shared: dict[str, Any] = {
        "contrast": f"{names[0]} - {names[1]}",
        "n": np.where(enough, n, np.isfinite(difference).sum(axis=0)),
        "note": [f"only {int(m)} people with both" if m < 3 else "" for m in np.isfinite(difference).sum(axis=0)],
    }
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(sd > 0, bias / se, np.nan)
    rows: dict[str, dict[str, Any]] = {
        "bias": {
            "estimate": bias,
            "estimate_low": bias - width * se,
            "estimate_high": bias + width * se,
            "estimate_se": se,
            "statistic_name": "t",
            "statistic": t,
            "df1": n - 1,
            "p": 2 * stats.t.sf(np.abs(t), n - 1),
        },
        "lower limit of agreement": {
            "estimate": bias - z * sd,
            "estimate_low": bias - outer,
            "estimate_high": bias - inner,
        },
        "upper limit of agreement": {
            "estimate": bias + z * sd,
            "estimate_low": bias + inner,
            "estimate_high": bias + outer,
        },
        "proportional bias": _slope(middle, difference, bias, n, tail),
    }
    tables = [_frames.table(list(regions), test=test, **numbers, **shared) for test, numbers in rows.items()]
    return pd.concat(tables, ignore_index=True)


def within_subject(values: pd.DataFrame, participant: pd.Series, *, confidence: float = 0.95) -> pd.DataFrame:
    """Variation of repeated measurements inside people, for all regions; the number of repeats may differ.

    Parameters
    ----------
    values
        One row a measurement, one column a region; NaN is missing.
    participant
        Who was measured, by the same index.
    confidence
        Coverage of the intervals.

    Returns
    -------
    pandas.DataFrame
        Rows a region, by `test`: `within-subject SD`; `repeatability coefficient` (two measurements of a person differ
        by less than this 95 times in 100); `within-subject CV` (share of the mean; none where the mean is less than two
        SDs of the measurements away from 0). Intervals follow from the χ² distribution of the variance; that of the CV
        takes the mean as known. `n` is the number of people with two measurements or more.

    References
    ----------
    Bland JM, Altman DG. BMJ 1996;312:1654. doi:10.1136/bmj.312.7047.1654
    """
    grouped = values.groupby(participant)
    repeats = grouped.count()
    repeated = repeats.ge(2)
    freedom = repeats.sub(1).where(repeated, 0).sum().to_numpy(float)
    residual = (values - grouped.transform("mean")).to_numpy(float)
    mean = values.mean().to_numpy(float)
    spread = values.std().to_numpy(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        sd = np.sqrt(np.nansum(residual**2, axis=0) / freedom)
    tail = (1 - confidence) / 2
    few = freedom < 1
    safe = np.where(few, np.nan, freedom)
    low, high = sd * np.sqrt(safe / stats.chi2.isf(tail, safe)), sd * np.sqrt(safe / stats.chi2.ppf(tail, safe))
    near = ~(np.abs(mean) >= CV_NEEDS * spread)
    factors = {
        "within-subject SD": np.ones_like(mean),
        "repeatability coefficient": np.full_like(mean, stats.norm.isf(0.025) * np.sqrt(2)),
        "within-subject CV": np.where(near, np.nan, 1 / np.where(near, 1.0, np.abs(mean))),
    }
    tables = []
    for test, factor in factors.items():
        notes = ["nobody measured twice" if x else "" for x in few]
        if test == "within-subject CV":
            notes = [note or ("mean near 0" if x else "") for note, x in zip(notes, near, strict=True)]
        numbers = {"estimate": sd * factor, "estimate_low": low * factor, "estimate_high": high * factor}
        counts: dict[str, Any] = {"n": repeated.sum().to_numpy(), "df1": safe, "note": notes}
        tables.append(_frames.table(list(values.columns), test=test, **numbers, **counts))
    return pd.concat(tables, ignore_index=True)


def _cube(values: pd.DataFrame, participant: pd.Series, rater: pd.Series) -> tuple[Array, npt.NDArray[np.int64]]:
    """Array (people, raters, regions), NaN for a person who lacks a rater; and how many people that is a region."""
    keys = pd.DataFrame({"participant": participant, "rater": rater}).reindex(values.index).dropna()
    twice = keys[keys.duplicated()]
    if len(twice):
        who, which = twice.iloc[0]
        raise InputError(f"{who} has two measurements for {which!r}; reliability needs one for each.")
    people, raters = keys["participant"].unique(), keys["rater"].unique()
    if len(raters) < 2:
        raise InputError(
            f"Reliability needs two measurements of a person or more; found only {', '.join(map(str, raters))}."
        )
    cube = np.full((len(people), len(raters), values.shape[1]), np.nan)
    row, column = pd.Index(people).get_indexer(keys["participant"]), pd.Index(raters).get_indexer(keys["rater"])
    cube[row, column] = values.loc[keys.index].to_numpy(float)
    whole = np.isfinite(cube).all(axis=1)
    lost = (np.isfinite(cube).any(axis=1) & ~whole).sum(axis=0)
    return np.where(whole[:, None], cube, np.nan), lost


def _mean_squares(cube: Array) -> MeanSquares:
    k, n = cube.shape[1], np.isfinite(cube[:, 0]).sum(axis=0).astype(float)
    n = np.where(n > 1, n, np.nan)
    rows, columns = cube.mean(axis=1), np.nansum(cube, axis=0) / n
    grand = columns.mean(axis=0)
    people = k * np.nansum((rows - grand) ** 2, axis=0) / (n - 1)
    raters = n * ((columns - grand) ** 2).sum(axis=0) / (k - 1)
    within = np.nansum((cube - rows[:, None]) ** 2, axis=(0, 1))
    error = np.nansum((cube - rows[:, None] - columns + grand) ** 2, axis=(0, 1))
    return MeanSquares(n, k, people, raters, within / (n * (k - 1)), error / ((n - 1) * (k - 1)))


def _notes(squares: MeanSquares, lost: npt.NDArray[np.int64]) -> list[str]:
    notes = []
    for n, people, within, missing in zip(squares.n, squares.people, squares.within, lost, strict=True):
        told = f"without {missing} people who lack a measurement" if missing else ""
        if np.isnan(n):
            told = "fewer than 2 people with all measurements"
        elif not people + within > 0:
            told = "constant"
        notes.append(told)
    return notes


def _forms(m: MeanSquares, confidence: float) -> dict[str, dict[str, Array]]:
    """Estimate, limits and F test of each form, one entry a region."""
    n, k, tail = m.n, m.k, (1 - confidence) / 2
    df1, df_within, df_error = n - 1, n * (k - 1), (n - 1) * (k - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        f_within, f_error = m.people / m.within, m.people / m.error
        single = {
            "ICC(1,1)": (m.people - m.within) / (m.people + (k - 1) * m.within),
            "ICC(2,1)": (m.people - m.error) / (m.people + (k - 1) * m.error + k * (m.raters - m.error) / n),
            "ICC(3,1)": (m.people - m.error) / (m.people + (k - 1) * m.error),
        }
        limits = {
            "ICC(1,1)": _ratio_limits(f_within, df1, df_within, k, tail),
            "ICC(2,1)": _agreement_limits(m, single["ICC(2,1)"], tail),
            "ICC(3,1)": _ratio_limits(f_error, df1, df_error, k, tail),
        }
        forms: dict[str, dict[str, Array]] = {}
        for mean in (False, True):
            for form, estimate in single.items():
                three = [estimate, *limits[form]]
                if mean:  # Spearman-Brown: the mean of k measurements
                    three = [k * x / (1 + (k - 1) * x) for x in three]
                f, df2 = (f_within, df_within) if form == "ICC(1,1)" else (f_error, df_error)
                names = ("estimate", "estimate_low", "estimate_high", "statistic", "df1", "df2", "p")
                numbers = (*three, f, df1, df2, stats.f.sf(f, df1, df2))
                forms[form.replace(",1)", ",k)") if mean else form] = dict(zip(names, numbers, strict=True))
    return forms


def _ratio_limits(f: Array, df1: Array, df2: Array, k: int, tail: float) -> tuple[Array, Array]:
    low, high = f / stats.f.isf(tail, df1, df2), f * stats.f.isf(tail, df2, df1)
    return 1 - k / (low + k - 1), 1 - k / (high + k - 1)  # holds for an infinite F, too


def _agreement_limits(m: MeanSquares, estimate: Array, tail: float) -> tuple[Array, Array]:
    """Limits of ICC(2,1) with Satterthwaite's degrees of freedom (McGraw and Wong 1996, table 7)."""
    n, k = m.n, m.k
    a = k * estimate / (n * (1 - estimate))
    b = 1 + k * estimate * (n - 1) / (n * (1 - estimate))
    freedom = (a * m.raters + b * m.error) ** 2 / (
        (a * m.raters) ** 2 / (k - 1) + (b * m.error) ** 2 / ((n - 1) * (k - 1))
    )
    low, high = stats.f.isf(tail, n - 1, freedom), stats.f.isf(tail, freedom, n - 1)
    rest = k * m.raters + (k * n - k - n) * m.error
    return (
        n * (m.people - low * m.error) / (low * rest + n * m.people),
        n * (high * m.people - m.error) / (rest + n * high * m.people),
    )


def _slope(x: Array, y: Array, mean_y: Array, n: Array, tail: float) -> dict[str, Any]:
    """Least-squares slope of y over x, column by column."""
    x = x - np.nansum(x, axis=0) / n
    with np.errstate(divide="ignore", invalid="ignore"):
        square = np.nansum(x**2, axis=0)
        slope = np.where(square > 0, np.nansum(x * (y - mean_y), axis=0) / square, np.nan)
        se = np.sqrt(np.nansum((y - mean_y - slope * x) ** 2, axis=0) / (n - 2) / square)
        t, width = slope / se, stats.t.isf(tail, n - 2) * se
    return {
        "estimate": slope,
        "estimate_low": slope - width,
        "estimate_high": slope + width,
        "estimate_se": se,
        "statistic_name": "t",
        "statistic": t,
        "df1": n - 2,
        "p": 2 * stats.t.sf(np.abs(t), n - 2),
    }
