"""Patients told from controls by many regions together: penalised classifiers under nested cross-validation."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold, StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from qsmprep.errors import InputError, check_choice
from qsmprep.stats import _frames, harmonize, roc
from qsmprep.stats.cutoff import proportion_interval

Array = npt.NDArray[np.float64]

METHODS = ("ridge", "elastic-net", "lda")
LEAST = 4  # people in the smaller group: two folds outside, two inside
BINS = 10  # points of the calibration curve, at most


@dataclass(frozen=True)
class Classification:
    """What `classify` finds.

    Attributes
    ----------
    summary
        The usual columns, one row a `test`: AUC, Brier score, calibration slope and intercept, sensitivity,
        specificity, accuracy. All are of people that the classifier had not seen.
    predictions
        One row a person and repeat: `participant`, `group`, `repeat`, `fold`, `probability` of being a patient.
    calibration
        Points of the calibration curve: mean `predicted`, `observed` share of patients, its interval, and `n` people.
    coefficients
        One row a region: mean and SD over the outer folds of the coefficient of the standardised value (log odds a SD),
        share of folds with the sign of the mean, share in which it is not 0.
    tuning
        One row an outer fold: what the inner folds chose.
    notes
        What was left out or changed, in plain words.
    """

    summary: pd.DataFrame
    predictions: pd.DataFrame
    calibration: pd.DataFrame
    coefficients: pd.DataFrame
    tuning: pd.DataFrame
    notes: tuple[str, ...]


class Harmonizer(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """ComBat as a step of a pipeline: learns from the people it is fitted to only.

    `site` and `covariates` are looked up by the index of the values.
    """

    def __init__(self, site: pd.Series, covariates: pd.DataFrame | None) -> None:
        self.site = site
        self.covariates = covariates

    def fit(self, values: pd.DataFrame, y: object = None) -> Harmonizer:
        """Learn the sites' effects."""
        people = values.index
        covariates = None if self.covariates is None else self.covariates.loc[people]
        self.model_ = harmonize.fit(values, self.site.loc[people], covariates)
        return self

    def transform(self, values: pd.DataFrame) -> pd.DataFrame:
        """Take them out; people of a site that was not there when fitting keep their values."""
        return self.model_.apply(values, self.site, self.covariates, unknown="keep")


def classify(
    values: pd.DataFrame,
    groups: pd.Series,
    patient: str,
    control: str,
    *,
    method: str = "ridge",
    participant: pd.Series | None = None,
    site: pd.Series | None = None,
    covariates: pd.DataFrame | None = None,
    folds: int = 5,
    repeats: int = 10,
    confidence: float = 0.95,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Classification:
    """Train and judge a classifier by repeated, stratified, nested cross-validation.

    Everything that learns (harmonisation, imputation by the median, scaling, the strength of the penalty) learns inside
    the training folds. All measurements of a participant are in one fold.

    Parameters
    ----------
    values
        One row a measurement, one column a region; NaN is missing. A region known in fewer than half the rows is left
        out.
    groups, patient, control
        Group of each row, by the same index, and the two groups.
    method
        `ridge`: logistic regression with an L2 penalty; `elastic-net`: with L1 and L2; `lda`: linear discriminant
        analysis with a shrunken covariance.
    participant
        Who each row is of; None: every row is somebody else.
    site, covariates
        Given a site, ComBat is part of the pipeline and holds the covariates (age, sex). It never sees the group.
    folds, repeats
        Outer and inner folds, at most as many as the smaller group allows; how often the outer are drawn anew.
    seed
        Where the random numbers start: the same seed gives the same result.
    progress
        Called with the outer folds done and in all.

    Raises
    ------
    InputError
        If a group has fewer than four participants, a participant is in both groups, no region is left, or the sites
        of a training fold cannot be harmonised.

    Notes
    -----
    The AUC is the mean of the areas within the outer folds. Its interval (LeDell 2015) comes from each person's
    placement among the people of the same fold, averaged over repeats; it does not hold the chance of another training
    sample.

    References
    ----------
    Varma S, Simon R. BMC Bioinformatics 2006;7:91. doi:10.1186/1471-2105-7-91
    LeDell E, Petersen M, van der Laan M. Electron J Stat 2015;9:1583-1607. doi:10.1214/15-EJS1035
    Van Calster B et al. BMC Med 2019;17:230. doi:10.1186/s12916-019-1466-7
    """
    check_choice("classifier", method, METHODS)
    positive = roc.outcome(groups, patient, control)
    rows = values.index.intersection(positive.index)
    who = pd.Series(rows, rows) if participant is None else participant.loc[rows]
    y, table, notes = positive.loc[rows].to_numpy(int), values.loc[rows], []
    labels = _labels(who, y, patient, control)
    known = table.notna().mean() >= 0.5
    if not known.all():
        notes.append(f"left out, known in fewer than half the rows: {', '.join(map(str, table.columns[~known]))}")
    table = table.loc[:, known]
    if table.empty:
        raise InputError("Classifier: no region is known in half the people or more.")
    smaller = int(min(labels.sum(), (~labels).sum()))
    if folds > smaller // 2:
        folds = smaller // 2
        notes.append(f"{folds} folds, since the smaller group has {smaller} people")
    search = _search(method, folds, seed, site, covariates, bool(who.duplicated().any()))
    pieces, coefficients, chosen, unsettled = [], [], [], 0
    for repeat in range(repeats):
        outer = StratifiedGroupKFold(folds, shuffle=True, random_state=seed + repeat)
        for fold, (train, test) in enumerate(outer.split(table, y, who)):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", ConvergenceWarning)
                search.fit(table.iloc[train], y[train], groups=who.iloc[train])
            unsettled += any(issubclass(w.category, ConvergenceWarning) for w in caught)
            probability = pd.Series(search.predict_proba(table.iloc[test])[:, 1]).groupby(who.iloc[test].to_numpy())
            mean = probability.mean()
            pieces.append(pd.DataFrame({"repeat": repeat, "fold": fold, "probability": mean}))
            coefficients.append(search.best_estimator_.named_steps["model"].coef_[0])
            chosen.append(
                {"repeat": repeat, "fold": fold} | {k.split("__")[1]: v for k, v in search.best_params_.items()}
            )
            if progress:
                progress(repeat * folds + fold + 1, repeats * folds)
    if unsettled:
        notes.append(f"in {unsettled} of {repeats * folds} folds a fit had not settled after its iterations")
    predictions = pd.concat(pieces).rename_axis("participant").reset_index()
    truth = labels.loc[predictions["participant"]].to_numpy()
    predictions.insert(1, "group", np.where(truth, patient, control))
    shared = {
        "region": "all regions",
        "contrast": f"{patient} vs {control}",
        "n": len(labels),
        "n_groups": f"{patient} {labels.sum()}, {control} {(~labels).sum()}",
    }
    found = [_area(predictions, patient, confidence), *_calibration(predictions, patient, confidence)]
    found += _shares(predictions, patient, confidence)
    return Classification(
        _frames.frame([shared | record for record in found]),
        predictions,
        _curve(predictions, patient, confidence),
        _stability(np.array(coefficients), table.columns),
        pd.DataFrame(chosen),
        tuple(notes),
    )


def _labels(who: pd.Series, y: npt.NDArray[np.int64], patient: str, control: str) -> pd.Series:
    """Group of each participant (True: patient)."""
    rates = pd.Series(y, who.index).groupby(who).mean()
    both = rates[(rates > 0) & (rates < 1)]
    if len(both):
        raise InputError(f"Classifier: {both.index[0]} is in both {patient} and {control}.")
    for name, n in ((patient, int((rates == 1).sum())), (control, int((rates == 0).sum()))):
        if n < LEAST:
            raise InputError(f"Classifier: only {n} in group {name}; cross-validation needs {LEAST} in each.")
    return rates == 1


def _search(
    method: str, folds: int, seed: int, site: pd.Series | None, covariates: pd.DataFrame | None, repeated: bool
) -> Any:
    """The inner cross-validation: steps and the values to choose from. The log loss also asks for calibration."""
    steps: list[tuple[str, Any]] = [
        ("impute", SimpleImputer(strategy="median", keep_empty_features=True)),
        ("scale", StandardScaler()),
    ]
    if site is not None:
        steps.insert(0, ("harmonize", Harmonizer(site, covariates)))
    grid: dict[str, list[Any]]
    if method == "lda":
        model, grid = LinearDiscriminantAnalysis(solver="lsqr"), {"model__shrinkage": ["auto", 0.1, 0.3, 0.5, 0.7, 0.9]}
    elif method == "ridge":
        model, grid = LogisticRegression(max_iter=1000), {"model__C": [float(c) for c in 10.0 ** np.arange(-4, 3)]}
    else:
        model = LogisticRegression(solver="saga", max_iter=1000, tol=1e-3, random_state=seed)
        grid = {"model__C": [0.01, 0.03, 0.1, 0.3, 1.0, 10.0], "model__l1_ratio": [0.2, 0.5, 0.9]}
    kind = StratifiedGroupKFold if repeated else StratifiedKFold
    inner = kind(max(folds, 2), shuffle=True, random_state=seed)
    return GridSearchCV(
        Pipeline([*steps, ("model", model)]), grid, scoring="neg_log_loss", cv=inner, error_score="raise"
    )


def _area(predictions: pd.DataFrame, patient: str, confidence: float) -> dict[str, Any]:
    """AUC within folds, with DeLong's variance of placements that are averaged over repeats."""
    placed = []
    for _, fold in predictions.groupby(["repeat", "fold"]):
        case = (fold["group"] == patient).to_numpy()
        if 0 < case.sum() < len(case):
            part = roc.placements(fold[["probability"]], fold["group"] == patient, "higher")
            values = np.empty(len(case))
            values[case], values[~case] = part.patients[:, 0], part.controls[:, 0]
            placed.append(pd.DataFrame({"who": fold["participant"], "case": case, "value": values}))
    each = pd.concat(placed).groupby("who").agg({"case": "first", "value": "mean"})
    cases, controls = (each.loc[each["case"] == side, "value"].to_numpy()[:, None] for side in (True, False))
    whole = roc.Placements(cases, controls, np.ones(1), np.ones(1))
    area = (whole.auc + (controls.mean() if len(controls) else np.nan)) / 2
    n1, n0 = whole.counts
    low, high = roc.area_interval(area, whole.variance, n1, n0, "logit", confidence)
    return {
        "test": "AUC",
        "estimate": area[0],
        "estimate_low": low[0],
        "estimate_high": high[0],
        "estimate_se": np.sqrt(whole.variance[0]),
        "effect_name": "AUC",
        "effect": area[0],
        "effect_low": low[0],
        "effect_high": high[0],
    }


def _calibration(predictions: pd.DataFrame, patient: str, confidence: float) -> list[dict[str, Any]]:
    """Brier score, slope and intercept, over people; all repeats of a person are one cluster."""
    import statsmodels.api as sm

    z = float(stats.norm.isf((1 - confidence) / 2))
    y = (predictions["group"] == patient).to_numpy(float)
    error = ((predictions["probability"] - y) ** 2).groupby(predictions["participant"]).mean().to_numpy()
    se = float(error.std(ddof=1) / np.sqrt(len(error)))
    records = [_estimate("Brier score", float(error.mean()), se, z)]
    chance = np.clip(predictions["probability"].to_numpy(float), 1e-6, 1 - 1e-6)
    logit = np.log(chance / (1 - chance))
    clusters = {"groups": pd.factorize(predictions["participant"])[0]}
    apart = logit[y == 1].min() > logit[y == 0].max()
    if apart or np.ptp(logit) < 1e-9:
        note = "predictions part the groups wholly: no slope" if apart else "all predictions are alike: no slope"
        records.append({"test": "calibration slope", "note": note})
    else:
        fit = sm.Logit(y, sm.add_constant(logit)).fit(disp=0, cov_type="cluster", cov_kwds=clusters)
        records.append(_estimate("calibration slope", float(fit.params[1]), float(fit.bse[1]), z))
    fit = sm.GLM(y, np.ones((len(y), 1)), sm.families.Binomial(), offset=logit).fit(
        cov_type="cluster", cov_kwds=clusters
    )
    records.append(_estimate("calibration intercept", float(fit.params[0]), float(fit.bse[0]), z))
    return records


def _estimate(test: str, value: float, se: float, z: float) -> dict[str, Any]:
    limits = {"estimate_low": value - z * se, "estimate_high": value + z * se}
    return {"test": test, "estimate": value, "estimate_se": se} | limits


def _people(predictions: pd.DataFrame, patient: str) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Mean probability of each person over the repeats, and who is a patient."""
    grouped = predictions.groupby("participant")
    return grouped["probability"].mean().to_numpy(float), (grouped["group"].first() == patient).to_numpy(bool)


def _shares(predictions: pd.DataFrame, patient: str, confidence: float) -> list[dict[str, Any]]:
    """Sensitivity, specificity and accuracy, if a patient is who is likelier one than the average of the sample."""
    chance, case = _people(predictions, patient)
    called = chance > case.mean()
    counts = {
        "sensitivity": (called[case].sum(), case.sum()),
        "specificity": ((~called)[~case].sum(), (~case).sum()),
        "accuracy": ((called == case).sum(), len(case)),
    }
    hits, n = (np.array(x, float) for x in zip(*counts.values(), strict=True))
    low, high = proportion_interval(hits, n, "wilson", confidence)
    note = f"patient: probability above {case.mean():.2f}, the share of patients"
    return [
        {"test": test, "estimate": hits[i] / n[i], "estimate_low": low[i], "estimate_high": high[i], "note": note}
        for i, test in enumerate(counts)
    ]


def _curve(predictions: pd.DataFrame, patient: str, confidence: float) -> pd.DataFrame:
    chance, case = _people(predictions, patient)
    parts = np.array_split(np.argsort(chance, kind="stable"), max(1, min(BINS, len(chance) // 5)))
    n, hits = np.array([len(part) for part in parts], float), np.array([case[part].sum() for part in parts], float)
    low, high = proportion_interval(hits, n, "wilson", confidence)
    predicted = [float(chance[part].mean()) for part in parts]
    return pd.DataFrame(
        {"predicted": predicted, "observed": hits / n, "observed_low": low, "observed_high": high, "n": n}
    )


def _stability(coefficients: Array, regions: pd.Index) -> pd.DataFrame:
    """Over the outer folds: mean, SD, share with the sign of the mean, share that is not 0. The largest come first."""
    mean = coefficients.mean(axis=0)
    table = pd.DataFrame(
        {
            "region": regions,
            "coefficient": mean,
            "coefficient_sd": coefficients.std(axis=0, ddof=1) if len(coefficients) > 1 else np.nan,
            "same_sign": (np.sign(coefficients) == np.sign(mean)).mean(axis=0),
            "not_zero": (coefficients != 0).mean(axis=0),
        }
    )
    return table.sort_values("coefficient", key=abs, ascending=False, kind="stable", ignore_index=True)
