"""Correlations and regressions against scipy, statsmodels and hand-made residuals."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats

from qsmprep.stats.scores import compare_correlations, correlate, couple, regress


@pytest.fixture
def people():
    rng = np.random.default_rng(0)
    age = rng.normal(70, 7, 60)
    out = pd.DataFrame(
        {
            "group": np.repeat(["AD", "HC"], 30), "age": age, "sex": rng.choice(["F", "M"], 60),
            "MMSE": np.round(28 - 0.2 * (age - 70) + rng.normal(0, 2, 60)), "CDR sum": rng.gamma(2, 2, 60),
        },
        index=[f"sub-{i:02d}" for i in range(60)],
    )  # fmt: skip
    out.loc["sub-07", "MMSE"] = np.nan
    return out


@pytest.fixture
def values(people):
    rng = np.random.default_rng(1)
    noise = pd.DataFrame(rng.normal(0, 8, (60, 2)), index=people.index, columns=["caudate", "putamen"])
    out = noise.add(0.8 * people.age - 1.5 * people["CDR sum"], axis=0)
    out.iloc[[2, 40], 1] = np.nan
    return out


@pytest.mark.parametrize(("method", "oracle"), [("pearson", stats.pearsonr), ("spearman", stats.spearmanr)])
def test_correlations_equal_scipy(people, values, method, oracle):
    rows = correlate(values, people, ["MMSE", "CDR sum"], method=method)
    assert len(rows) == 4
    for row in rows.itertuples():
        pair = pd.DataFrame({"y": values[row.region], "x": people[row.contrast]}).dropna()
        theirs = oracle(pair.y, pair.x)
        assert np.allclose([row.effect, row.p, row.n], [theirs.statistic, theirs.pvalue, len(pair)], rtol=1e-9)
        if method == "pearson":
            assert np.allclose([row.effect_low, row.effect_high], theirs.confidence_interval(), rtol=1e-9)


def test_partial_correlation_equals_that_of_residuals_and_the_t_of_the_regression(people, values):
    rows = correlate(values, people, ["MMSE"], "age + sex").set_index("region")
    data = people.assign(y=values.putamen).dropna()
    y, x = (smf.ols(f"{name} ~ age + sex", data).fit().resid for name in ("y", "MMSE"))
    row = rows.loc["putamen"]
    assert np.isclose(row.effect, np.corrcoef(y, x)[0, 1]) and row.test == "partial Pearson"
    model = smf.ols("y ~ MMSE + age + sex", data).fit()
    assert np.allclose([row.statistic, row.p, row.df1], [model.tvalues["MMSE"], model.pvalues["MMSE"], model.df_resid])
    reach = stats.norm.ppf(0.975) / np.sqrt(len(data) - 3 - 2)
    assert np.allclose([row.effect_low, row.effect_high], np.tanh(np.arctanh(row.effect) + np.array([-reach, reach])))


def test_partial_spearman_is_the_partial_correlation_of_ranks(people, values):
    row = correlate(values, people, ["CDR sum"], "age", "spearman").set_index("region").loc["caudate"]
    y, x, z = (stats.rankdata(v) for v in (values.caudate, people["CDR sum"], people.age))
    r = np.corrcoef([y, x, z])
    expected = (r[0, 1] - r[0, 2] * r[1, 2]) / np.sqrt((1 - r[0, 2] ** 2) * (1 - r[1, 2] ** 2))
    assert np.isclose(row.effect, expected) and row.test == "partial Spearman"


def test_regression_equals_statsmodels(people, values):
    rows = regress(values, people, ["MMSE", "CDR sum"], "age + sex").set_index(["region", "contrast"])
    data = people.assign(y=values.putamen).rename(columns={"CDR sum": "cdr"})
    for score, name in (("MMSE", "MMSE"), ("CDR sum", "cdr")):
        model = smf.ols(f"y ~ {name} + age + sex", data[["y", name, "age", "sex"]].dropna()).fit(
            cov_type="HC3", use_t=True
        )
        row = rows.loc["putamen", score]
        assert np.allclose(
            [row.estimate, row.estimate_se, row.p], [model.params[name], model.bse[name], model.pvalues[name]]
        )


def test_coupling_takes_the_same_region_of_both_tables(people, values):
    volumes = (-2 * values).add(np.random.default_rng(2).normal(0, 9, values.shape))[["putamen"]].iloc[::-1]
    rows = couple(values, volumes, "volume")
    both = values[["putamen"]].join(volumes.rename(columns={"putamen": "putamen_v"})).dropna()
    assert rows.region.tolist() == ["putamen"] and rows.contrast[0] == "volume"
    assert np.isclose(rows.effect[0], stats.pearsonr(both.putamen, both.putamen_v).statistic)
    partial = couple(values, volumes, "volume", people, "age")
    assert np.isclose(partial.effect[0], correlate(values, people.join(volumes), ["putamen"], "age").effect[1])


def test_comparison_of_correlations_is_fishers_test_and_its_limits_cover():
    rng = np.random.default_rng(3)
    people = pd.DataFrame({"x": rng.normal(size=90), "g": ["a"] * 50 + ["b"] * 40})
    slope = np.where(people.g == "a", 0.7, 0.2)[:, None]
    values = slope * people.x.to_numpy()[:, None] + np.sqrt(1 - slope**2) * rng.normal(size=(90, 500))
    rows = compare_correlations(pd.DataFrame(values), people, "x", "g", [("a", "b")])
    r = [stats.pearsonr(people.x[people.g == g], values[people.g == g, 0]).statistic for g in ("a", "b")]
    z = (np.arctanh(r[0]) - np.arctanh(r[1])) / np.sqrt(1 / 47 + 1 / 37)
    row = rows.iloc[0]
    assert np.allclose([row.statistic, row.estimate, row.p], [z, r[0] - r[1], 2 * stats.norm.sf(abs(z))])
    assert row.n_groups == "a 50, b 40" and row.contrast == "x: a - b"
    true = np.median(rows.estimate)
    assert 0.92 < ((rows.estimate_low < true) & (true < rows.estimate_high)).mean() < 0.98


@pytest.mark.parametrize("method", ["pearson", "spearman"])
def test_intervals_cover_and_p_values_are_uniform(method):
    rng = np.random.default_rng(4)
    people = pd.DataFrame({"x": rng.normal(size=40), "age": rng.normal(size=40)})
    free = pd.DataFrame(rng.normal(size=(40, 600)))
    p = correlate(free, people, ["x"], "age", method).p
    assert stats.kstest(p, "uniform").pvalue > 0.01
    bound = 0.6 * people.x.to_numpy()[:, None] + 0.8 * free
    rows = correlate(bound, people, ["x"], method=method)
    true = np.median(rows.effect)
    assert 0.92 < ((rows.effect_low < true) & (true < rows.effect_high)).mean() < 0.985


def test_notes(people, values):
    values = values.assign(caudate=1.0, putamen=values.putamen.where(np.arange(60) < 2), GPi=people.age * 2)
    notes = correlate(values, people, ["MMSE"], "age").set_index("region").note
    assert notes.to_dict() == {
        "caudate": "constant", "putamen": "only 2 people with all values", "GPi": "collinear with the covariates",
    }  # fmt: skip
    assert (correlate(values, people.assign(MMSE=3.0), ["MMSE"]).note[2]) == "the score is constant"
    rows = compare_correlations(values, people, "MMSE", "group", [("AD", "HC"), ("AD", "FTD")])
    assert rows.note[0] == "AD: constant; HC: constant" and rows.note[3] == "nobody in group FTD"


def test_scores_that_cannot_be_used_are_told(people, values):
    with pytest.raises(ValueError, match="'MOCA' is no column; there are: group"):
        correlate(values, people, ["MOCA"])
    with pytest.raises(ValueError, match="no column of numbers"):
        correlate(values, people, ["sex"])
