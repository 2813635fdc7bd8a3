"""The value that best parts patients from controls, and what a diagnosis by it is worth."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from qsmprep.errors import check_choice, check_range
from qsmprep.stats import _frames, roc

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]

METHODS = ("wilson", "clopper-pearson")


def proportion_interval(hits: Array, n: Array, method: str = "wilson", confidence: float = 0.95) -> tuple[Array, Array]:
    """Interval of shares `hits` / `n`; NaN where n is 0.

    References
    ----------
    Wilson EB. J Am Stat Assoc 1927;22:209-212. doi:10.1080/01621459.1927.10502953
    Clopper CJ, Pearson ES. Biometrika 1934;26:404-413. doi:10.1093/biomet/26.4.404
    """
    check_choice("interval of shares", method, METHODS)
    hits, n = np.asarray(hits, float), np.asarray(n, float)
    n = np.where(n > 0, n, np.nan)
    tail = (1 - confidence) / 2
    if method == "wilson":
        z2, share = stats.norm.isf(tail) ** 2, hits / n
        middle = (share + z2 / (2 * n)) / (1 + z2 / n)
        half = np.sqrt(z2) * np.sqrt(share * (1 - share) / n + z2 / (4 * n**2)) / (1 + z2 / n)
        return np.maximum(middle - half, 0), np.minimum(middle + half, 1)
    low = np.where(hits > 0, stats.beta.ppf(tail, hits, n - hits + 1), np.where(np.isfinite(n), 0.0, np.nan))
    high = np.where(hits < n, stats.beta.isf(tail, hits + 1, n - hits), np.where(np.isfinite(n), 1.0, np.nan))
    return low, high


def predictive_values(
    hits: float, n1: int, rejected: float, n0: int, prevalence: float, confidence: float = 0.95
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Positive and negative predictive value (each with its interval) in a population of a stated prevalence.

    Parameters
    ----------
    hits, n1
        Patients beyond the cut-off, and all patients.
    rejected, n0
        Controls within the cut-off, and all controls.
    prevalence
        Share of patients in the population that the test is meant for, between 0 and 1.

    Notes
    -----
    Intervals are made on the logit scale by the delta method. Where sensitivity or specificity is 0 or 1, half a person
    is added to every cell for the interval alone.

    References
    ----------
    Mercaldo ND, Lau KF, Zhou XH. Stat Med 2007;26:2170-2183. doi:10.1002/sim.2677
    """
    z = float(stats.norm.isf((1 - confidence) / 2))

    def logits(add: float) -> tuple[Array, Array]:
        se, sp = (hits + add) / (n1 + 2 * add), (rejected + add) / (n0 + 2 * add)
        with np.errstate(divide="ignore"):
            right = np.array([se * prevalence, sp * (1 - prevalence)])
            wrong = np.array([(1 - sp) * (1 - prevalence), (1 - se) * prevalence])
            spread = np.array([(1 - se) / se, se / (1 - se)]) / (n1 + 2 * add)
            spread += np.array([sp / (1 - sp), (1 - sp) / sp]) / (n0 + 2 * add)
            return np.log(right / wrong), z * np.sqrt(spread)

    with np.errstate(divide="ignore", invalid="ignore"):
        se, sp = np.float64(hits / n1), np.float64(rejected / n0)
        ppv = se * prevalence / (se * prevalence + (1 - sp) * (1 - prevalence))
        npv = sp * (1 - prevalence) / (sp * (1 - prevalence) + (1 - se) * prevalence)
    edge = hits in (0, n1) or rejected in (0, n0)
    middle, half = logits(0.5 if edge else 0.0)
    low, high = 1 / (1 + np.exp(half - middle)), 1 / (1 + np.exp(-half - middle))
    # the added halves must not push an interval off its own estimate
    limits = [
        (float(e), float(np.fmin(a, e)), float(np.fmax(b, e))) for e, a, b in zip((ppv, npv), low, high, strict=True)
    ]
    return limits[0], limits[1]


def youden(
    values: pd.DataFrame,
    groups: pd.Series,
    patient: str,
    control: str,
    *,
    prevalence: float | None = None,
    direction: str = "auto",
    interval: str = "wilson",
    confidence: float = 0.95,
    bootstraps: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Youden's cut-off of each region, and the diagnosis by it.

    Parameters
    ----------
    values
        One row a person, one column a region; NaN is missing and is left out for its region.
    groups, patient, control
        Group of each person, by the same index, and the two groups.
    prevalence
        Share of patients where the test is to be used; PPV and NPV mean nothing without it. None: that of the sample.
    direction
        See `qsmprep.stats.roc.placements`; it is told in the column `direction` and held fixed in the bootstrap.
    interval
        For sensitivity, specificity and accuracy: `wilson` or `clopper-pearson`.
    bootstraps, seed
        Resamples (within each group) for the interval of the cut-off and for the optimism of choosing it in the very
        people it is judged by; and where their random numbers start.

    Returns
    -------
    pandas.DataFrame
        Rows a region, by `test`: `Youden cut-off` (unit of the values), `Youden index`, `Youden index, corrected for
        optimism`, `sensitivity`, `specificity`, `accuracy`, `PPV`, `NPV`. The columns `direction` and `prevalence` come
        on top of the usual ones.

    References
    ----------
    Youden WJ. Cancer 1950;3:32-35. doi:10.1002/1097-0142(1950)3:1<32::AID-CNCR2820030106>3.0.CO;2-3
    Efron B, Tibshirani RJ. An Introduction to the Bootstrap. Chapman & Hall, 1993 (optimism: chapter 17)
    """
    check_choice("interval of shares", interval, METHODS)
    if prevalence is not None:
        check_range("prevalence", prevalence, 1e-9, 1 - 1e-9)
    positive = roc.outcome(groups, patient, control)
    placed = roc.placements(values, positive, direction)
    base = roc.auc(values, groups, patient, control, direction=direction)
    people = values.index.intersection(positive.index)
    case, data = positive.loc[people].to_numpy(bool), values.loc[people].to_numpy(float)
    records, extra = [], []
    for i, row in enumerate(base.to_dict("records")):
        shared: dict[str, Any] = {name: row[name] for name in ("region", "contrast", "n", "n_groups")}
        if not np.isfinite(row["estimate_se"]):  # constant, or a group of one
            records.append(shared | {"test": "Youden cut-off", "note": row["note"]})
            extra.append((row["direction"], np.nan))
            continue
        known = np.isfinite(data[:, i])
        share = float(case[known].mean()) if prevalence is None else prevalence
        rng = np.random.default_rng([seed, i])
        rows = _region(data[known, i] * placed.sign[i], case[known], share, interval, confidence, bootstraps, rng)
        if placed.sign[i] < 0:
            cut = rows["Youden cut-off"]
            rows["Youden cut-off"] = (-cut[0], -cut[2], -cut[1])
        for test, (estimate, low, high) in rows.items():
            numbers = {"test": test, "estimate": estimate, "estimate_low": low, "estimate_high": high}
            records.append(shared | numbers)
            extra.append((row["direction"], share if test in ("PPV", "NPV") else np.nan))
    table = _frames.frame(records)
    return table.assign(direction=[d for d, _ in extra], prevalence=[p for _, p in extra])


def _region(
    values: Array,
    case: npt.NDArray[np.bool_],
    prevalence: float,
    interval: str,
    confidence: float,
    bootstraps: int,
    rng: np.random.Generator,
) -> dict[str, tuple[float, float, float]]:
    """Estimate and limits by name for one region whose high values speak for a patient."""
    levels, place = np.unique(values, return_inverse=True)
    cuts = (levels[1:] + levels[:-1]) / 2  # a patient is who lies above
    n1, n0 = int(case.sum()), int((~case).sum())
    parts = [place[which] for which in (case, ~case)]
    best, hits_at, rejected_at = _best(*(np.bincount(part, minlength=len(levels))[None] for part in parts))
    hits, rejected = int(hits_at[0, best[0]]), int(rejected_at[0, best[0]])
    index = hits / n1 + rejected / n0 - 1
    chosen, hits_again, rejected_again = _best(*(_resample(part, len(levels), bootstraps, rng) for part in parts))
    each = np.arange(bootstraps)
    apparent = hits_again[each, chosen] / n1 + rejected_again[each, chosen] / n0 - 1
    optimism = float((apparent - (hits_at[0, chosen] / n1 + rejected_at[0, chosen] / n0 - 1)).mean())
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    cut_low, cut_high = np.quantile(cuts[chosen], tails)
    shares = proportion_interval(
        np.array([hits, rejected, hits + rejected]), np.array([n1, n0, n1 + n0]), interval, confidence
    )
    limits = list(zip(*shares, strict=True))
    ppv, npv = predictive_values(hits, n1, rejected, n0, prevalence, confidence)
    index_low, index_high = np.quantile(apparent, tails)
    return {
        "Youden cut-off": (float(cuts[best[0]]), float(cut_low), float(cut_high)),
        "Youden index": (index, float(index_low), float(index_high)),
        "Youden index, corrected for optimism": (index - optimism, np.nan, np.nan),
        "sensitivity": (hits / n1, *limits[0]),
        "specificity": (rejected / n0, *limits[1]),
        "accuracy": ((hits + rejected) / (n1 + n0), *limits[2]),
        "PPV": ppv,
        "NPV": npv,
    }


def _resample(place: Ints, levels: int, samples: int, rng: np.random.Generator) -> Ints:
    """Counts (samples, levels) of people drawn with replacement, from the level of each."""
    drawn = place[rng.integers(len(place), size=(samples, len(place)))] + levels * np.arange(samples)[:, None]
    return np.bincount(drawn.ravel(), minlength=samples * levels).reshape(samples, levels)


def _best(cases: Ints, controls: Ints) -> tuple[Ints, Ints, Ints]:
    """Index of the best cut of each sample, and how many patients lie beyond and controls within every cut.

    `cases` and `controls` are (samples, levels) counts in rising order of the value. Among cuts of the same Youden
    index the one whose sensitivity and specificity are nearest to each other is taken. Whole numbers keep ties exact.
    """
    n1, n0 = int(cases[0].sum()), int(controls[0].sum())
    hits, rejected = n1 - np.cumsum(cases, axis=1)[:, :-1], np.cumsum(controls, axis=1)[:, :-1]
    best = np.argmax((hits * n0 + rejected * n1) * (n1 * n0 + 1) - np.abs(hits * n0 - rejected * n1), axis=1)
    return best, hits, rejected
