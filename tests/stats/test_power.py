"""Least effects that a design can find, against statsmodels, R and simulation."""

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.power import TTestIndPower, TTestPower

from qsmprep.stats.design import design_matrix
from qsmprep.stats.power import detectable, detectable_correlation, detectable_noncentrality


@pytest.mark.parametrize(("n1", "ratio"), [(12, 1.0), (20, 1.5), (300, 0.5)])
def test_two_groups_equal_statsmodels(n1, ratio):
    n2 = n1 * ratio
    d = detectable_noncentrality(n1 + n2 - 2) * np.sqrt(1 / n1 + 1 / n2)
    # its power, since its solver stops at 1e-5
    assert np.isclose(TTestIndPower().power(d, n1, 0.05, ratio), 0.8, atol=1e-10)


def test_pairs_equal_statsmodels_at_another_power_and_alpha():
    d = detectable_noncentrality(14, power=0.9, alpha=0.005) / np.sqrt(15)
    assert np.isclose(d, TTestPower().solve_power(nobs=15, alpha=0.005, power=0.9), rtol=2e-5)


def test_equals_power_t_test_of_r():
    # power.t.test(n = 20, delta = 1, sd = 1): power = 0.8689528
    assert np.isclose(detectable_noncentrality(38, power=0.8689528) * np.sqrt(2 / 20), 1, atol=1e-6)


def test_correlation_agrees_with_the_tables():
    # 85 people find r = 0.3 with a power of 0.8 (Hulley et al., Designing Clinical Research, appendix 6C)
    assert np.isclose(detectable_correlation(85 - 2), 0.3, atol=1e-3)
    assert np.isnan(detectable_correlation(1))


@pytest.fixture
def people():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {"group": ["AD"] * 20 + ["HC"] * 30, "age": rng.normal(70, 6, 50), "MMSE": rng.normal(25, 3, 50)}
    )


def test_without_covariates_it_is_the_two_sample_t_test_in_the_unit_of_the_values(people):
    values = pd.DataFrame(np.random.default_rng(1).normal(0, 7, (50, 2)), columns=["caudate", "putamen"])
    values.iloc[:3, 1] = np.nan
    rows = detectable(values, design_matrix("group", people), ["AD - HC"])
    for row, n1 in zip(rows.itertuples(), (20, 17), strict=True):
        d = TTestIndPower().solve_power(nobs1=n1, ratio=30 / n1, alpha=0.05, power=0.8)  # to 1e-5
        known = values[row.region].dropna()
        spread = np.sqrt((known - known.groupby(people.group).transform("mean")).pow(2).sum() / (n1 + 28))
        assert np.isclose(row.effect, d, rtol=2e-5) and np.isclose(row.estimate, d * spread, rtol=2e-5)
        assert row.n_groups == f"AD {n1}, HC 30" and np.isnan(row.p)


def test_it_does_not_depend_on_the_effect_that_was_found(people):
    design = design_matrix("group + age + MMSE", people)
    values = pd.DataFrame({"a": np.random.default_rng(2).normal(size=50)})
    moved = values.add(5 * (people.group == "AD") - 3 * people.MMSE, axis=0)
    one, two = (detectable(v, design, ["AD - HC", "MMSE"]) for v in (values, moved))
    assert np.allclose(one[["estimate", "effect"]], two[["estimate", "effect"]])
    assert one.effect_name.tolist() == ["d", "partial r"] and np.isclose(one.effect[1], detectable_correlation(46))


def test_such_an_effect_is_found_as_often_as_said(people):
    from qsmprep.stats.glm import fit_glm

    design, rng = design_matrix("group + age + MMSE", people), np.random.default_rng(3)
    noise = pd.DataFrame(rng.normal(size=(50, 400)))
    for name, unit in (("AD - HC", (people.group == "AD").astype(float)), ("MMSE", people.MMSE)):
        least = detectable(noise, design, [name]).effect[0]
        if name == "MMSE":
            least = float(np.median(detectable(noise, design, [name]).estimate))
        rows = fit_glm(noise.add(least * unit, axis=0), design, [name], terms="", errors="classical")
        assert 0.74 < (rows.p < 0.05).mean() < 0.86, name


def test_notes(people):
    values = pd.DataFrame({"a": np.where(people.group == "AD", np.nan, 1.0), "b": np.arange(50.0)})
    rows = detectable(values, design_matrix("group + age", people), ["AD - HC"])
    assert "group is empty" in rows.note[0] and np.isnan(rows.estimate[0]) and rows.estimate[1] > 0
