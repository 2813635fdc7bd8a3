"""Pairs of groups against R, statsmodels and scipy."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multicomp import pairwise_tukeyhsd

from qsmprep.stats.posthoc import posthoc, studentised_range_cdf, studentised_range_ppf


@pytest.fixture
def cohort():
    rng = np.random.default_rng(0)
    group = pd.Series(np.repeat(["HC", "MCI", "AD", "FTD"], [25, 15, 20, 9]))
    values = (
        pd.DataFrame(rng.normal(size=(69, 2)), columns=["caudate", "putamen"]).add(group.map(len) / 3, axis=0).round(1)
    )
    values.iloc[[1, 30], 1] = np.nan
    return values, group


@pytest.mark.parametrize("k", [2, 5])
def test_studentised_range_equals_scipy(k):
    for df in (1.5, 17.3, 250):
        for q in (0.3, 3.0, 9.0):
            assert np.isclose(studentised_range_cdf(q, k, df), stats.studentized_range.cdf(q, k, df), atol=1e-8), (
                df,
                q,
            )
    df = np.linspace(3, 90, 60)
    expected = [stats.studentized_range.ppf(0.95, k, d) for d in df[[0, 17]]]
    assert np.allclose(studentised_range_ppf(0.95, k, df)[[0, 17]], expected, rtol=1e-6)
    assert np.allclose(studentised_range_ppf(0.95, k, df[:3]), studentised_range_ppf(0.95, k, df)[:3], rtol=1e-6)


def test_tukey_equals_r(plants):
    rows = posthoc(*plants, ["ctrl", "trt1", "trt2"], ["tukey"])
    # TukeyHSD(aov(weight ~ group, PlantGrowth))
    expected = [
        [-0.371, -1.0622161, 0.3202161, 0.3908711],
        [0.494, -0.1972161, 1.1852161, 0.1979960],
        [0.865, 0.1737839, 1.5562161, 0.0120064],
    ]
    assert rows.contrast.tolist() == ["trt1 - ctrl", "trt2 - ctrl", "trt2 - trt1"]
    assert np.allclose(rows[["estimate", "estimate_low", "estimate_high", "p"]], expected, atol=1e-6)


@pytest.mark.parametrize(("test", "use_var"), [("tukey", "equal"), ("games_howell", "unequal")])
def test_equal_statsmodels_with_unequal_numbers_and_holes(cohort, test, use_var):
    values, group = cohort
    rows = posthoc(values, group, ["AD", "FTD", "HC", "MCI"], [test])
    for region in values:
        known = values[region].notna()
        theirs = pairwise_tukeyhsd(values[region][known], group[known], use_var=use_var)
        ours = rows[rows.region == region].set_index("contrast")
        for (a, b), p, diff, ends in zip(
            [("AD", "FTD"), ("AD", "HC"), ("AD", "MCI"), ("FTD", "HC"), ("FTD", "MCI"), ("HC", "MCI")],
            theirs.pvalues, theirs.meandiffs, theirs.confint, strict=True,
        ):  # fmt: skip
            row = ours.loc[f"{b} - {a}"]
            assert np.isclose(row.p, p, atol=1e-6) and np.isclose(row.estimate, diff)
            assert np.allclose([row.estimate_low, row.estimate_high], ends, atol=1e-5)


def test_dunn_of_two_groups_is_kruskal_wallis_and_of_more_adds_up_to_it(cohort):
    values, group = cohort
    rows = posthoc(values, group, ["HC", "MCI"], ["dunn"])
    for row in rows.itertuples():
        parts = [values[row.region][group == name].dropna() for name in ("HC", "MCI")]
        theirs = stats.kruskal(*parts)
        assert np.isclose(row.statistic**2, theirs.statistic) and np.isclose(row.p, theirs.pvalue)
    names = ["HC", "MCI", "AD", "FTD"]
    rows = posthoc(values, group, names, ["dunn"])
    parts = [values.putamen[group == name].dropna() for name in names]
    sizes = dict(zip(names, map(len, parts), strict=True))
    mine = rows[rows.region == "putamen"]
    pairs = [contrast.split(" - ") for contrast in mine.contrast]
    together = sum((sizes[a] + sizes[b]) * z**2 for (a, b), z in zip(pairs, mine.statistic, strict=True)) / sum(
        sizes.values()
    )
    assert np.isclose(together, stats.kruskal(*parts).statistic)
    from statsmodels.stats.multitest import multipletests

    assert np.allclose(mine.p, multipletests(2 * stats.norm.sf(np.abs(mine.statistic)), method="holm")[1])


@pytest.mark.parametrize("test", ["tukey", "games_howell", "dunn"])
def test_the_family_of_pairs_keeps_its_level(test):
    values = pd.DataFrame(np.random.default_rng(1).normal(size=(45, 700)))
    group = pd.Series(np.repeat(["a", "b", "c"], 15))
    rows = posthoc(values, group, tests=[test])
    assert 0.02 < (rows.groupby("region").p.min() < 0.05).mean() < 0.07


def test_a_group_without_values_says_so_and_the_others_go_on(cohort):
    values, group = cohort
    values = values.assign(caudate=values.caudate.where(group != "FTD"))
    rows = posthoc(values, group)
    mine = rows[rows.region == "caudate"].set_index(["test", "contrast"])
    for test in ("Tukey", "Games-Howell", "Dunn (Holm)"):
        assert mine.note[test, "HC - FTD"] == "only 0 in group FTD" and np.isnan(mine.p[test, "HC - FTD"])
        assert mine.note[test, "MCI - HC"] == "" and 0 < mine.p[test, "MCI - HC"] <= 1
    assert rows[rows.region == "putamen"].p.notna().all()


def test_an_unknown_test_is_refused(cohort):
    with pytest.raises(ValueError, match=r"scheffe.*tukey"):
        posthoc(*cohort, tests=["scheffe"])
