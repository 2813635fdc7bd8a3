"""Comparisons of groups against R's output for its own data sets, scipy and statsmodels."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.oneway import anova_oneway
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from qsmprep.stats.compare import many_groups, paired, two_groups

# R's data set sleep: extra hours of sleep under two drugs
DRUG1 = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
DRUG2 = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]


def stacked(**samples):
    """Values of one region and their groups."""
    group = [name for name, sample in samples.items() for _ in sample]
    return pd.DataFrame({"putamen": np.concatenate(list(samples.values()))}), pd.Series(group)


@pytest.fixture
def cohort():
    """Three regions of 60 people in three groups of unlike spread; the second has holes, the third ties."""
    rng = np.random.default_rng(0)
    group = pd.Series(np.repeat(["HC", "MCI", "AD"], [25, 15, 20]), index=[f"sub-{i:02d}" for i in range(60)])
    shift, spread = group.map({"HC": 0, "MCI": 0.5, "AD": 1}), group.map({"HC": 1, "MCI": 1.5, "AD": 2})
    values = pd.DataFrame(rng.normal(size=(60, 3)), index=group.index, columns=["caudate", "putamen", "GPi"])
    values = values.mul(spread, axis=0).add(shift, axis=0)
    values.iloc[[0, 30, 45, 46], 1] = np.nan
    values["GPi"] = values["GPi"].round(1)
    return values, group


def samples(cohort, region, *names):
    values, group = cohort
    return [values.loc[group == name, region].dropna().to_numpy() for name in names]


def test_welch_equals_r():
    row = two_groups(*stacked(one=DRUG1, two=DRUG2), [("one", "two")], ["welch"]).iloc[0]
    # t.test(extra ~ group, data = sleep): t = -1.8608, df = 17.776, p-value = 0.07939, -3.3654832 0.2054832
    assert np.allclose([row.statistic, row.df1, row.p], [-1.8608, 17.776, 0.07939], rtol=1e-4)
    assert np.allclose([row.estimate_low, row.estimate_high], [-3.3654832, 0.2054832], atol=1e-7)
    assert row.contrast == "one - two" and row.n_groups == "one 10, two 10" and row.n == 20 and row.note == ""


def test_paired_t_equals_r():
    row = paired(pd.DataFrame({"a": DRUG1}), pd.DataFrame({"a": DRUG2}), "one - two", ["paired_t"]).iloc[0]
    # t.test(Pair(extra.1, extra.2) ~ 1): t = -4.0621, df = 9, p-value = 0.002833, -2.4598858 -0.7001142
    assert np.allclose([row.statistic, row.df1, row.p], [-4.0621, 9, 0.002833], rtol=2e-4)
    assert np.allclose([row.estimate_low, row.estimate_high], [-2.4598858, -0.7001142], atol=1e-7)


def test_mann_whitney_equals_hollander_and_wolfe():
    # wilcox.test of R, permeability of the chorioamnion: W = 35, one-sided p-value = 0.1272
    term = [0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46]
    row = two_groups(*stacked(a=term, b=[1.15, 0.88, 0.90, 0.74, 1.21]), [("a", "b")], ["mannwhitney"]).iloc[0]
    assert row.statistic == 35 and np.isclose(row.p, 2 * 0.1272, atol=1e-4)
    assert np.isclose(row.estimate, 0.305) and np.isclose(row.effect, 2 * 35 / 50 - 1)


def test_wilcoxon_equals_hollander_and_wolfe():
    # wilcox.test of R, depression scale: V = 40, one-sided p-value = 0.01953
    x = pd.DataFrame({"a": [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30]})
    y = pd.DataFrame({"a": [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29]})
    row = paired(x, y, "first - second", ["wilcoxon"]).iloc[0]
    assert row.statistic == 40 and np.isclose(row.p, 2 * 0.01953, atol=2e-5)
    assert np.isclose(row.estimate, 0.46) and np.isclose(row.effect, (40 - 5) / 45)
    assert row.estimate_low < row.estimate < row.estimate_high


def test_many_groups_equal_r(plants):
    rows = many_groups(*plants).set_index("test")
    # summary(aov(weight ~ group)), oneway.test(weight ~ group), kruskal.test(weight ~ group)
    assert np.allclose(rows.statistic, [4.846, 5.181, 7.9882], rtol=1e-4)
    assert np.allclose(rows.p, [0.01591, 0.01739, 0.01842], rtol=3e-4)
    assert np.allclose(rows.df2[:2], [27, 17.128], rtol=1e-4) and (rows.df1 == 2).all()
    assert rows.n_groups.iloc[0] == "ctrl 10, trt1 10, trt2 10"


@pytest.mark.parametrize("region", ["caudate", "putamen", "GPi"])
def test_two_groups_equal_scipy_and_statsmodels_with_holes_and_ties(cohort, region):
    a, b = samples(cohort, region, "AD", "HC")
    rows = two_groups(*cohort, [("AD", "HC")]).set_index(["region", "test"]).loc[region]
    welch = CompareMeans(DescrStatsW(a), DescrStatsW(b))
    assert np.allclose(
        rows.loc["Welch t", ["statistic", "p", "df1"]].astype(float), welch.ttest_ind(usevar="unequal"), rtol=1e-10
    )
    limits = rows.loc["Welch t", ["estimate_low", "estimate_high"]].astype(float)
    assert np.allclose(limits, welch.tconfint_diff(usevar="unequal"), rtol=1e-10)
    pooled = np.sqrt((np.var(a, ddof=1) * (len(a) - 1) + np.var(b, ddof=1) * (len(b) - 1)) / (len(a) + len(b) - 2))
    assert np.isclose(
        rows.effect["Welch t"], (a.mean() - b.mean()) / pooled * (1 - 3 / (4 * (len(a) + len(b)) - 9)), rtol=2e-4
    )
    rank = stats.mannwhitneyu(a, b)
    assert np.allclose(rows.loc["Mann-Whitney", ["statistic", "p"]].astype(float), rank, rtol=1e-10)
    assert np.isclose(rows.effect["Mann-Whitney"], np.sign(a[:, None] - b).mean())
    assert np.isclose(rows.estimate["Mann-Whitney"], np.median(a[:, None] - b))
    assert rows.n_groups.iloc[0] == f"AD {len(a)}, HC {len(b)}"


@pytest.mark.parametrize("region", ["caudate", "putamen", "GPi"])
def test_many_groups_equal_scipy_and_statsmodels_with_holes_and_ties(cohort, region):
    parts = samples(cohort, region, "AD", "HC", "MCI")
    rows = many_groups(*cohort).set_index(["region", "test"]).loc[region]
    assert np.allclose(rows.loc["ANOVA", ["statistic", "p"]].astype(float), stats.f_oneway(*parts), rtol=1e-10)
    welch = anova_oneway(parts, use_var="unequal")
    expected = [welch.statistic, welch.pvalue, welch.df_denom]
    assert np.allclose(rows.loc["Welch ANOVA", ["statistic", "p", "df2"]].astype(float), expected, rtol=1e-9)
    assert np.allclose(rows.loc["Kruskal-Wallis", ["statistic", "p"]].astype(float), stats.kruskal(*parts), rtol=1e-10)
    together = np.concatenate(parts)
    between = sum(len(p) * (p.mean() - together.mean()) ** 2 for p in parts)
    assert np.isclose(rows.effect["ANOVA"], between / ((together - together.mean()) ** 2).sum())
    assert rows.effect_low["ANOVA"] <= rows.effect["ANOVA"] <= rows.effect_high["ANOVA"]


def test_paired_tests_equal_scipy_and_leave_out_incomplete_pairs(cohort):
    first = cohort[0]
    second = first.iloc[::-1] + np.random.default_rng(1).normal(0.2, 1, first.shape)
    second.iloc[5, 0] = np.nan
    rows = paired(first, second, "followup - baseline").set_index(["region", "test"])
    for region in first:
        a, b = first[region], second[region].reindex(first.index)
        both = a.notna() & b.notna()
        for name, expected in (
            ("paired t", stats.ttest_rel(a[both], b[both])),
            ("Wilcoxon", stats.wilcoxon(a[both], b[both])),
        ):
            assert np.isclose(rows.p[region, name], expected.pvalue, rtol=1e-10)
            assert rows.n[region, name] == both.sum()


def test_the_interval_of_the_shift_covers():
    rng = np.random.default_rng(4)
    values = pd.DataFrame(rng.normal(size=(40, 600)))
    group = pd.Series(["a"] * 18 + ["b"] * 22)
    values[group == "a"] += 0.7
    rows = two_groups(values, group, [("a", "b")], ["mannwhitney"])
    assert 0.93 < ((rows.estimate_low <= 0.7) & (rows.estimate_high >= 0.7)).mean() < 0.975


@pytest.mark.parametrize("test", ["welch", "mannwhitney", "anova", "welch_anova", "kruskal"])
def test_p_values_are_uniform_under_the_null(test):
    values = pd.DataFrame(np.random.default_rng(5).normal(size=(60, 800)))
    group = pd.Series(["a"] * 20 + ["b"] * 25 + ["c"] * 15)
    two = test in ("welch", "mannwhitney")
    rows = two_groups(values, group, [("a", "b")], [test]) if two else many_groups(values, group, tests=[test])
    assert stats.kstest(rows.p, "uniform").pvalue > 0.01


def test_a_region_without_an_answer_says_why_and_stops_no_other(cohort):
    values, group = cohort
    values = values.assign(caudate=3.0)
    values.loc[group[group == "AD"].index[1:], "putamen"] = np.nan
    for rows in (two_groups(values, group, [("AD", "HC")]), many_groups(values, group)):
        rows = rows.set_index("region")
        assert (rows.note["caudate"] == "constant").all() and rows.p["caudate"].isna().all()
        assert (rows.note["putamen"] == "only 1 in group AD").all() and rows.p["putamen"].isna().all()
        assert (rows.note["GPi"] == "").all() and rows.p["GPi"].notna().all()
    rows = paired(values, values + 1, "x", ["paired_t"])
    assert (rows.note == ["all differences are the same", "all differences are the same", ""]).tolist()[0]
    assert two_groups(values, group, [("PD", "HC")]).note.tolist() == ["only 0 in group PD"] * 6


def test_groups_that_do_not_overlap_still_have_an_interval():
    row = (
        two_groups(*stacked(a=[10, 11, 12, 13.0], b=[1, 2, 3.0, 4]), [("a", "b")]).set_index("test").loc["Mann-Whitney"]
    )
    assert row.effect == 1 and 0 < row.effect_low < 1 and row.p < 0.05


def test_rows_that_occur_twice_cannot_be_matched(cohort):
    values, group = cohort
    with pytest.raises(ValueError, match="more than once"):
        two_groups(pd.concat([values, values]), group, [("AD", "HC")])
