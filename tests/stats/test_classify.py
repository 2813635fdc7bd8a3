"""Nested cross-validation: against scikit-learn step by step, no leakage, calibration, and what it must refuse."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, roc_auc_score

from qsmprep.errors import InputError
from qsmprep.stats import classify as module
from qsmprep.stats.classify import classify


def cohort(seed=0, n1=40, n0=40, regions=6, effect=1.0):
    rng = np.random.default_rng(seed)
    names = [f"sub-{i:03d}" for i in range(n1 + n0)]
    groups = pd.Series(["AD"] * n1 + ["HC"] * n0, names)
    values = pd.DataFrame(rng.normal(100, 20, (n1 + n0, regions)), names, [f"r{i}" for i in range(regions)])
    values.iloc[:n1, :2] += 20 * effect
    return values, groups


def row(result, test):
    return result.summary.set_index("test").loc[test]


@pytest.mark.parametrize("method", module.METHODS)
def test_finds_the_area_that_the_effect_allows_and_the_regions_that_carry_it(method):
    values, groups = cohort(1, n1=100, n0=100)
    values.iloc[::17, 1] = np.nan
    ticks = []
    result = classify(values, groups, "AD", "HC", method=method, repeats=1, progress=lambda *x: ticks.append(x))
    best = stats.norm.cdf(np.sqrt(2) / np.sqrt(2))  # two independent regions one SD apart
    area = row(result, "AUC")
    assert area["estimate"] == pytest.approx(best, abs=0.06)
    assert area["estimate_low"] < best < area["estimate_high"]
    assert set(result.coefficients["region"][:2]) == {"r0", "r1"}
    assert (result.coefficients["same_sign"][:2] == 1).all()
    assert ticks == [(i, 5) for i in range(1, 6)]
    assert area["n_groups"] == "AD 100, HC 100"
    assert 0.4 < row(result, "calibration slope")["estimate"] < 2


def test_one_outer_fold_step_by_step():
    """Median, scale and coefficients from the training people alone, with the penalty that the inner folds chose."""
    values, groups = cohort()
    values.iloc[5:20, 0] = np.nan
    result = classify(values, groups, "AD", "HC", repeats=2)
    p = result.predictions.query("repeat == 1")
    inside = values.loc[p.loc[p.fold != 3, "participant"]].sort_index()
    outside = values.loc[p.loc[p.fold == 3, "participant"]]
    inside, outside = inside.fillna(inside.median()), outside.fillna(inside.median())
    mean, sd = inside.mean(), inside.std(ddof=0)
    c = result.tuning.query("repeat == 1 and fold == 3")["C"].item()
    model = LogisticRegression(C=c, max_iter=1000).fit((inside - mean) / sd, groups[inside.index] == "AD")
    expected = model.predict_proba((outside - mean) / sd)[:, 1]
    np.testing.assert_allclose(p.loc[p.fold == 3, "probability"], expected, atol=1e-5)


def test_numbers_follow_from_the_predictions():
    values, groups = cohort()
    result = classify(values, groups, "AD", "HC", repeats=2, folds=4)
    p = result.predictions.assign(y=lambda t: t["group"] == "AD")
    assert (p.groupby("repeat")["participant"].nunique() == 80).all()
    areas = [roc_auc_score(f["y"], f["probability"]) for _, f in p.groupby(["repeat", "fold"])]
    assert row(result, "AUC")["estimate"] == pytest.approx(np.mean(areas), abs=1e-10)
    assert row(result, "Brier score")["estimate"] == pytest.approx(brier_score_loss(p["y"], p["probability"]))
    logit = np.log(p["probability"] / (1 - p["probability"]))
    fit = sm.GLM(p["y"].astype(float), sm.add_constant(logit), sm.families.Binomial()).fit()
    assert row(result, "calibration slope")["estimate"] == pytest.approx(fit.params.iloc[1], abs=1e-6)
    shift = row(result, "calibration intercept")["estimate"]
    assert (1 / (1 + np.exp(-logit - shift))).mean() == pytest.approx(0.5, abs=1e-6)
    person = p.groupby("participant").agg({"y": "first", "probability": "mean"})
    called = person["probability"] > 0.5
    assert row(result, "sensitivity")["estimate"] == pytest.approx(called[person["y"]].mean())
    assert row(result, "specificity")["estimate"] == pytest.approx((~called)[~person["y"]].mean())
    assert result.calibration["n"].sum() == 80
    weighted = (result.calibration["observed"] * result.calibration["n"]).sum()
    assert weighted == pytest.approx(40)
    again = classify(values, groups, "AD", "HC", repeats=2, folds=4)
    pd.testing.assert_frame_equal(result.predictions, again.predictions)


def test_shuffled_labels_give_an_area_of_a_half():
    areas = []
    for seed in range(10):
        values, groups = cohort(seed, n1=20, n0=20, regions=60, effect=0)
        areas.append(row(classify(values, groups, "AD", "HC", method="lda", repeats=1, folds=3), "AUC")["estimate"])
    assert np.mean(areas) == pytest.approx(0.5, abs=0.07)


def test_people_of_the_test_fold_teach_nothing():
    """Values of one person changed: coefficients of the folds in which they are tested stay, those of others move."""
    values, groups = cohort(n1=20, n0=20)
    site = pd.Series(np.where(np.arange(40) % 2, "a", "b"), values.index)
    other = values.copy()
    other.loc["sub-003"] *= 100
    first, second = (classify(v, groups, "AD", "HC", site=site, repeats=1, folds=3) for v in (values, other))
    fold = int(first.predictions.set_index("participant").loc["sub-003", "fold"])
    p, q = (r.predictions.set_index("participant") for r in (first, second))
    p, q, p_rest, q_rest = p[p.fold == fold], q[q.fold == fold], p[p.fold != fold], q[q.fold != fold]
    rest = p.index.drop("sub-003")
    np.testing.assert_array_equal(p.loc[rest, "probability"], q.loc[rest, "probability"])
    assert not np.allclose(p_rest["probability"], q_rest["probability"])


def test_harmonisation_inside_the_folds_takes_a_site_out():
    values, groups = cohort(n1=60, n0=60)
    site = pd.Series(np.tile(["a", "b"], 60), values.index)
    values.loc[site == "b"] += 150
    age = pd.DataFrame({"age": np.random.default_rng(1).uniform(50, 80, 120)}, values.index)
    kwargs = {"method": "lda", "repeats": 1, "folds": 3}
    with_site = row(classify(values, groups, "AD", "HC", site=site, covariates=age, **kwargs), "AUC")["estimate"]
    clean, _ = cohort(n1=60, n0=60)
    assert with_site == pytest.approx(row(classify(clean, groups, "AD", "HC", **kwargs), "AUC")["estimate"], abs=0.05)


def test_all_measurements_of_a_participant_are_in_one_fold():
    values, groups = cohort(n1=15, n0=15, effect=0)
    rng = np.random.default_rng(0)
    twice = pd.concat([values, values + rng.normal(0, 1, values.shape)], ignore_index=True)
    who = pd.Series([*values.index, *values.index])
    result = classify(twice, pd.Series([*groups, *groups]), "AD", "HC", participant=who, repeats=2, folds=4)
    assert len(result.predictions) == 2 * 30
    assert not result.predictions.duplicated(["participant", "repeat"]).any()
    # were a person's twin in the training folds, the area would be near 1
    assert row(result, "AUC")["estimate"] < 0.75


def test_what_cannot_be_done_is_told():
    values, groups = cohort(n1=6, n0=30)
    values["r5"] = values["r5"].where(np.arange(36) < 10)
    values["flat"] = 1.0
    result = classify(values, groups, "AD", "HC", repeats=1)
    assert "r5" in result.notes[0]
    assert "3 folds" in result.notes[1]
    assert result.coefficients.set_index("region").loc["flat", "coefficient"] == 0
    with pytest.raises(InputError, match="only 3 in group AD"):
        classify(values.iloc[3:], groups.iloc[3:], "AD", "HC")
    with pytest.raises(InputError, match="is in both AD and HC"):
        classify(values, groups, "AD", "HC", participant=pd.Series("sub-1", values.index))
    with pytest.raises(InputError, match="no region"):
        classify(values[["r5"]], groups, "AD", "HC")
    apart, groups = cohort(n1=10, n0=10, effect=50)
    assert "part the groups" in row(classify(apart, groups, "AD", "HC", repeats=1), "calibration slope")["note"]
