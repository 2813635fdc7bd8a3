"""How well one number tells patients from controls: area under the ROC curve, interval, and tests between markers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import optimize, stats

from qsmprep.errors import check_choice
from qsmprep.stats import _frames

Array = npt.NDArray[np.float64]

DIRECTIONS = ("auto", "higher", "lower")
INTERVALS = ("logit", "plain", "newcombe")


def outcome(groups: pd.Series, patient: str, control: str) -> pd.Series:
    """Who is a patient (True) and who a control (False); people of other groups and without a group are left out."""
    return groups[groups.isin([patient, control])] == patient


@dataclass(frozen=True)
class Placements:
    """How each person is placed among the people of the other group, region by region (NaN where a value is missing).

    Attributes
    ----------
    patients
        (n1, regions); share of controls whose value lies below this patient's, ties counting half.
    controls
        (n0, regions); share of patients whose value lies above this control's, ties counting half.
    rank_variance
        (regions,); variance of the AUC if the groups did not differ, ties allowed for.
    sign
        (regions,); 1 where high values speak for a patient, -1 where low values do.
    """

    patients: Array
    controls: Array
    rank_variance: Array
    sign: Array

    @property
    def counts(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Number of patients and of controls a region."""
        return np.isfinite(self.patients).sum(axis=0), np.isfinite(self.controls).sum(axis=0)

    @property
    def auc(self) -> Array:
        """Area under the curve a region."""
        return _mean(self.patients)

    @property
    def variance(self) -> Array:
        """DeLong's variance of the area, a region; NaN where a group has fewer than two people."""
        (n1, n0), total = self.counts, np.zeros(self.patients.shape[1])
        for part, n in ((self.patients, n1), (self.controls, n0)):
            with np.errstate(divide="ignore", invalid="ignore"):
                total = total + np.nansum((part - _mean(part)) ** 2, axis=0) / ((n - 1.0) * n)
        return np.where((n1 > 1) & (n0 > 1), total, np.nan)


def placements(values: pd.DataFrame, positive: pd.Series, direction: str = "auto") -> Placements:
    """Placement values of DeLong's method from midranks, in O(n log n) and for all regions at once.

    Parameters
    ----------
    values
        One row a person, one column a region; NaN is missing.
    positive
        True for patients, False for controls (see `outcome`); people not in it are left out.
    direction
        `higher`: high values speak for a patient; `lower`: low values do; `auto`: whichever gives an area of 0.5 or
        more.

    References
    ----------
    Sun X, Xu W. IEEE Signal Process Lett 2014;21:1389-1393. doi:10.1109/LSP.2014.2337313
    """
    check_choice("direction", direction, DIRECTIONS)
    people = values.index.intersection(positive.index)
    data = values.loc[people].to_numpy(float)
    case = positive.loc[people].to_numpy(bool)
    n1, n0 = np.isfinite(data[case]).sum(axis=0), np.isfinite(data[~case]).sum(axis=0)
    ranks, n = _midranks(data), n1 + n0
    with np.errstate(divide="ignore", invalid="ignore"):
        patients = (ranks[case] - _midranks(data[case])) / n0
        controls = 1 - (ranks[~case] - _midranks(data[~case])) / n1
        # the sum of squared midranks holds the correction for ties
        spread = np.nansum(ranks**2, axis=0) - n * (n + 1.0) ** 2 / 4
        null = spread / (n * (n - 1.0) * n1 * n0)
    sign = np.full(data.shape[1], -1.0 if direction == "lower" else 1.0)
    if direction == "auto":
        sign = np.where(_mean(patients) < 0.5, -1.0, 1.0)
    down = sign < 0
    return Placements(np.where(down, 1 - patients, patients), np.where(down, 1 - controls, controls), null, sign)


def auc(
    values: pd.DataFrame,
    groups: pd.Series,
    patient: str,
    control: str,
    *,
    direction: str = "auto",
    interval: str = "logit",
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Area under the ROC curve of each region, with DeLong's interval and the rank test of an area of 0.5.

    Parameters
    ----------
    values
        One row a person, one column a region; NaN is missing and is left out for its region.
    groups
        Group of each person, by the same index.
    patient, control
        The two groups.
    direction
        See `placements`. What was taken is in the column `direction`.
    interval
        `logit`: DeLong's variance on the logit scale; `plain`: on the scale of the area, cut at 0 and 1; `newcombe`:
        Newcombe's method 5, which needs no variance from the data and therefore also serves, whatever was asked, where
        the groups do not overlap and DeLong's variance is 0.
    confidence
        Coverage of the interval.

    Returns
    -------
    pandas.DataFrame
        One row a region; `estimate` is the area, `statistic` the normal deviate of the Mann-Whitney test, two-sided.

    References
    ----------
    DeLong ER et al. Biometrics 1988;44:837-845. doi:10.2307/2531595
    Newcombe RG. Stat Med 2006;25:559-573. doi:10.1002/sim.2324
    """
    check_choice("interval", interval, INTERVALS)
    placed = placements(values, outcome(groups, patient, control), direction)
    n1, n0 = placed.counts
    area, variance = placed.auc, placed.variance
    constant = ~(placed.rank_variance > 1e-12)
    area = np.where(constant, np.nan, area)
    low, high = area_interval(area, variance, n1, n0, interval, confidence)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(constant, np.nan, (area - 0.5) / np.sqrt(placed.rank_variance))
    notes = [_note(a, b, patient, control, c) for a, b, c in zip(n1, n0, constant, strict=True)]
    separated = (variance < 1e-12) & ~constant
    told = "no overlap of the groups: interval by Newcombe's method 5"
    table = _frames.table(
        list(values.columns),
        test="ROC",
        contrast=f"{patient} vs {control}",
        n=n1 + n0,
        n_groups=_sizes(n1, n0, patient, control),
        estimate=area,
        estimate_low=low,
        estimate_high=high,
        estimate_se=np.where(constant, np.nan, np.sqrt(variance)),
        statistic_name="z",
        statistic=z,
        p=2 * stats.norm.sf(np.abs(z)),
        effect_name="AUC",
        effect=area,
        effect_low=low,
        effect_high=high,
        note=[note or (told if apart else "") for note, apart in zip(notes, separated, strict=True)],
    )
    return table.assign(direction=_directions(placed.sign, area, patient))


def area_interval(
    area: Array, variance: Array, n1: npt.NDArray[np.int64], n0: npt.NDArray[np.int64], interval: str, confidence: float
) -> tuple[Array, Array]:
    """Interval of areas from their variances; see `auc` for the kinds."""
    z = float(stats.norm.isf((1 - confidence) / 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        if interval == "logit":
            middle, half = np.log(area / (1 - area)), z * np.sqrt(variance) / (area * (1 - area))
            low, high = 1 / (1 + np.exp(half - middle)), 1 / (1 + np.exp(-half - middle))
        else:
            low = np.clip(area - z * np.sqrt(variance), 0, 1)
            high = np.clip(area + z * np.sqrt(variance), 0, 1)
    for i in np.flatnonzero(np.isfinite(area) & ((variance < 1e-12) | (interval == "newcombe"))):
        low[i] = _newcombe_low(area[i], int(n1[i]), int(n0[i]), z)
        high[i] = 1 - _newcombe_low(1 - area[i], int(n1[i]), int(n0[i]), z)
    return low, high


def compare_paired(
    first: pd.DataFrame,
    second: pd.DataFrame,
    groups: pd.Series,
    patient: str,
    control: str,
    *,
    names: tuple[str, str],
    direction: str = "auto",
    confidence: float = 0.95,
) -> pd.DataFrame:
    """DeLong's test between two markers of the same people (say χ and R2* of a region), for all regions in both tables.

    Parameters
    ----------
    first, second
        One row a person, one column a region. People and regions that only one of them has are left out, and so is,
        for its region, a person whose value is missing in either.
    groups, patient, control, direction
        As in `auc`; each marker has its own direction.
    names
        What the two markers are called.

    Returns
    -------
    pandas.DataFrame
        One row a region; `estimate` is the area of the first less that of the second.

    References
    ----------
    DeLong ER et al. Biometrics 1988;44:837-845. doi:10.2307/2531595
    """
    people, regions = first.index.intersection(second.index), first.columns.intersection(second.columns)
    first, second = first.loc[people, regions], second.loc[people, regions]
    both = first.notna() & second.notna()
    positive = outcome(groups, patient, control)
    a, b = (placements(each.where(both), positive, direction) for each in (first, second))
    change = Placements(a.patients - b.patients, a.controls - b.controls, a.rank_variance, a.sign)
    n1, n0 = a.counts
    variance = np.where(change.variance > 1e-14, change.variance, np.nan)
    constant = ~((a.rank_variance > 1e-12) & (b.rank_variance > 1e-12))
    notes = [_note(x, y, patient, control, c) for x, y, c in zip(n1, n0, constant, strict=True)]
    same = "the two markers order these people alike"
    notes = [note or (same if np.isnan(v) else "") for note, v in zip(notes, variance, strict=True)]
    return _differences(
        a,
        b,
        np.sqrt(variance),
        confidence,
        regions=list(regions),
        test="DeLong, paired",
        contrast=f"{patient} vs {control}: {names[0]} - {names[1]}",
        n=n1 + n0,
        n_groups=_sizes(n1, n0, patient, control),
        note=notes,
        patient=patient,
    )


def curve(values: pd.Series, groups: pd.Series, patient: str, control: str, *, direction: str = "auto") -> pd.DataFrame:
    """Points of the empirical ROC curve of one region, from (specificity 1, sensitivity 0) to (0, 1).

    Returns
    -------
    pandas.DataFrame
        `threshold` (midway between neighbouring values, in the values' unit; ±inf at the ends), `sensitivity`,
        `specificity`: shares of patients beyond and of controls within the threshold. Empty where a group is.
    """
    positive = outcome(groups, patient, control)
    placed = placements(values.to_frame(), positive, direction)
    data = (values.dropna() * placed.sign[0]).to_frame("value").join(positive.rename("patient"), how="inner")
    if data["patient"].nunique() < 2:
        return pd.DataFrame({"threshold": [], "sensitivity": [], "specificity": []}, dtype=float)
    counts = data.groupby("value")["patient"].agg(["sum", "size"]).sort_index(ascending=False)
    cases, controls = counts["sum"].to_numpy(float), (counts["size"] - counts["sum"]).to_numpy(float)
    levels = counts.index.to_numpy(float)
    thresholds = np.r_[np.inf, (levels[1:] + levels[:-1]) / 2, -np.inf] * placed.sign[0]
    return pd.DataFrame(
        {
            "threshold": thresholds,
            "sensitivity": np.r_[0.0, np.cumsum(cases) / cases.sum()],
            "specificity": 1 - np.r_[0.0, np.cumsum(controls) / controls.sum()],
        }
    )


def _mean(data: Array) -> Array:
    n = np.isfinite(data).sum(axis=0)
    return np.where(n > 0, np.nansum(data, axis=0) / np.maximum(n, 1), np.nan)


def _midranks(data: Array) -> Array:
    if not len(data):
        return data
    ranks: Array = np.asarray(stats.rankdata(np.where(np.isfinite(data), data, np.nan), axis=0, nan_policy="omit"))
    return ranks


def _directions(sign: Array, area: Array, patient: str) -> list[str]:
    words = [f"higher in {patient}" if s > 0 else f"lower in {patient}" for s in sign]
    return [word if np.isfinite(a) else "" for word, a in zip(words, area, strict=True)]


def _note(n1: int, n0: int, patient: str, control: str, constant: bool) -> str:
    """Why there is no area, or no interval."""
    for name, n in ((patient, n1), (control, n0)):
        if n < 2:
            return f"only {n} in group {name}"
    return "constant" if constant else ""


def _newcombe_low(area: float, n1: int, n0: int, z: float) -> float:
    """Lower limit of an area by Newcombe's method 5: where the area lies z standard errors above the limit."""
    if area <= 0:
        return 0.0
    size = (n1 + n0) / 2 - 1

    def beyond(limit: float) -> float:
        spread = 1 + size * ((1 - limit) / (2 - limit) + limit / (1 + limit))
        return area - limit - z * float(np.sqrt(limit * (1 - limit) * spread / (n1 * n0)))

    return float(optimize.brentq(beyond, 0.0, area - 1e-9, xtol=1e-12))


def _sizes(n1: npt.NDArray[np.int64], n0: npt.NDArray[np.int64], patient: str, control: str) -> list[str]:
    return [f"{patient} {a}, {control} {b}" for a, b in zip(n1, n0, strict=True)]


def _differences(
    a: Placements,
    b: Placements,
    se: Array,
    confidence: float,
    *,
    regions: list[str],
    patient: str,
    **columns: Any,
) -> pd.DataFrame:
    """Differences of areas with interval and two-sided test."""
    difference = np.where(np.isfinite(se), a.auc - b.auc, np.nan)
    width = stats.norm.isf((1 - confidence) / 2) * se
    statistic = difference / se
    table = _frames.table(
        regions,
        estimate=difference,
        estimate_low=difference - width,
        estimate_high=difference + width,
        estimate_se=se,
        statistic_name="z",
        statistic=statistic,
        p=2 * stats.norm.sf(np.abs(statistic)),
        **columns,
    )
    return table.assign(
        first=a.auc,
        second=b.auc,
        direction_first=_directions(a.sign, a.auc, patient),
        direction_second=_directions(b.sign, b.auc, patient),
    )
