"""Years between visits and annual rates against least squares of scipy."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from qsmprep.stats.trajectories import annual_rates, compare_rates, years_since_first


@pytest.fixture
def visits():
    """30 people with one to four visits, χ of caudate near 50 and of thalamus near 0 ppb; HD gain 5 ppb a year."""
    rng = np.random.default_rng(0)
    person = np.repeat([f"sub-{i:02d}" for i in range(30)], np.tile([2, 3, 4, 1, 3], 6))
    number = np.unique(person, return_inverse=True)[1]
    years = rng.uniform(0, 4, len(person))
    hd = number < 15
    values = pd.DataFrame({"caudate": 50 + rng.normal(0, 8, 30)[number] + 5 * hd * years, "thalamus": 2.0})
    values += rng.normal(0, 2, values.shape)
    groups = pd.Series(np.where(np.arange(30) < 15, "HD", "HC"), index=np.unique(person))
    return values, pd.Series(person), pd.Series(years), groups


def test_rates_equal_linregress(visits):
    values, person, years, _ = visits
    values.loc[4, "caudate"] = np.nan
    rates = annual_rates(values, person, years).set_index(["participant", "region"])
    for name in person.unique():
        for region in values:
            rows = (person == name) & values[region].notna()
            found = rates.loc[(name, region)]
            assert found.visits == rows.sum()
            if rows.sum() < 2:
                assert np.isnan(found.rate) and found.note == "fewer than two visits"
                continue
            line = stats.linregress(years[rows], values[region][rows])
            assert found.rate == pytest.approx(line.slope, rel=1e-9)
            assert found.baseline == pytest.approx(line.intercept + line.slope * years[rows].min(), rel=1e-9)
            assert found.span == pytest.approx(np.ptp(years[rows]))
            if rows.sum() > 2:
                assert found.rate_se == pytest.approx(line.stderr, rel=1e-6)
            else:
                assert np.isnan(found.rate_se)


def test_percent_only_far_from_zero(visits):
    values, person, years, _ = visits
    rates = annual_rates(values, person, years)
    rates = rates[rates.rate.notna()]
    caudate, thalamus = (rates[rates.region == name] for name in ("caudate", "thalamus"))
    assert caudate.percent.to_numpy() == pytest.approx((100 * caudate.rate / caudate.baseline).to_numpy())
    assert thalamus.percent.isna().all()
    assert thalamus.note.eq("no percentage: less than 20 ppb from 0").all()
    below = annual_rates(-values, person, years).dropna(subset="percent")
    assert (np.sign(below.percent) == np.sign(below.rate)).all()  # less negative is a gain


def test_groups_of_rates_equal_scipy(visits):
    values, person, years, groups = visits
    rates = annual_rates(values, person, years)
    rows = compare_rates(rates, groups, [("HD", "HC")]).set_index(["region", "contrast", "statistic_name"])
    wide = rates.pivot(index="participant", columns="region", values="rate")
    hd, hc = (wide[groups == name].caudate.dropna() for name in ("HD", "HC"))
    alone = rows.loc[("caudate", "rate in HD", "t")]
    expected = stats.ttest_1samp(hd, 0)
    assert (alone.statistic, alone.p) == pytest.approx((expected.statistic, expected.pvalue), rel=1e-9)
    assert alone.n_groups == f"HD {len(hd)}"
    between = rows.loc[("caudate", "HD - HC", "t")]
    expected = stats.ttest_ind(hd, hc, equal_var=False)
    assert (between.statistic, between.p) == pytest.approx((expected.statistic, expected.pvalue), rel=1e-9)
    assert between.estimate == pytest.approx(hd.mean() - hc.mean())
    assert "Welch" in between.test and between.test.startswith("annual rate")


def test_years_come_from_dates_before_ages():
    person = pd.Series(["a", "a", "b", "b", "c", "c", "d"])
    dates = pd.Series(["2020-01-01", "2021-01-01T12:00:00", "2020-05-01", None, "1890-01-01", "1892-01-01", "n/a"])
    ages = pd.Series([60, 62, 50, 51.5, "n/a", 7, 30])
    years = years_since_first(person, dates, ages)
    assert years[:6].to_numpy() == pytest.approx([0, 366.5 / 365.25, 0, 1.5, 0, 730 / 365.25])
    assert years[6] == 0
    assert years_since_first(person, ages=ages)[:4].tolist() == [0, 2, 0, 1.5]
    assert years_since_first(person).isna().all()


def test_one_time_for_all_visits_is_told():
    rates = annual_rates(pd.DataFrame({"caudate": [50.0, 52.0]}), pd.Series(["a", "a"]), pd.Series([1.0, 1.0]))
    assert rates.note.tolist() == ["all visits at one time"] and rates.rate.isna().all()
