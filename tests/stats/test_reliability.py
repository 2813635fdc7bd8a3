"""Reliability against the tables of Shrout and Fleiss and of Bland and Altman, statsmodels, SciPy and simulation."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats
from statsmodels.stats.anova import anova_lm

from qsmprep.errors import InputError
from qsmprep.stats import reliability

# Shrout & Fleiss 1979, table 2: six people by four judges
SHROUT = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float)
# Bland & Altman 1986, table: peak flow by a large and a mini meter, l/min, first readings
LARGE = [494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427]
MINI = [512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451]


def long(cube):
    """(people, raters, regions) as measurements in rows."""
    people, raters, regions = cube.shape
    index = pd.MultiIndex.from_product([range(people), range(raters)], names=["who", "rater"])
    values = pd.DataFrame(cube.reshape(-1, regions), columns=[f"r{i}" for i in range(regions)])
    return values, pd.Series(index.get_level_values(0)), pd.Series(index.get_level_values(1))


def test_icc_of_the_published_table():
    table = reliability.icc(*long(SHROUT[..., None])).set_index("test")
    published = {
        "ICC(1,1)": 0.17,
        "ICC(2,1)": 0.29,
        "ICC(3,1)": 0.71,
        "ICC(1,k)": 0.44,
        "ICC(2,k)": 0.62,
        "ICC(3,k)": 0.91,
    }
    assert table["estimate"].round(2).to_dict() == published
    # R, psych::ICC on the same table (its help page): limits at 95 %
    limits = {"ICC(1,1)": (-0.133, 0.72), "ICC(2,1)": (0.019, 0.76), "ICC(3,1)": (0.342, 0.95)}
    limits |= {"ICC(1,k)": (-0.884, 0.91), "ICC(2,k)": (0.071, 0.93), "ICC(3,k)": (0.676, 0.99)}
    for form, (low, high) in limits.items():
        assert table.loc[form, "estimate_low"] == pytest.approx(low, abs=6e-4), form
        assert table.loc[form, "estimate_high"] == pytest.approx(high, abs=6e-3), form
    assert table.loc["ICC(1,1)", ["statistic", "df1", "df2"]].tolist() == pytest.approx([1.79, 5, 18], abs=0.01)
    assert table.loc["ICC(2,1)", ["statistic", "df1", "df2"]].tolist() == pytest.approx([11.03, 5, 15], abs=0.01)


def test_icc_of_many_regions_is_that_of_the_analysis_of_variance():
    rng = np.random.default_rng(0)
    cube = rng.normal(size=(12, 3, 4)) + rng.normal(size=(12, 1, 4)) * [0, 1, 2, 3] + rng.normal(size=(1, 3, 4))
    cube[2, 1, 3] = np.nan
    table = reliability.icc(*long(cube)).set_index(["region", "test"])
    for i in range(4):
        data = pd.DataFrame(cube[..., i]).dropna()
        melted = data.melt(ignore_index=False, var_name="rater", value_name="y").reset_index(names="who")
        mean = anova_lm(smf.ols("y ~ C(who) + C(rater)", melted).fit())["mean_sq"]
        b, j, e, n, k = mean["C(who)"], mean["C(rater)"], mean["Residual"], len(data), 3
        assert table.loc[(f"r{i}", "ICC(3,1)"), "estimate"] == pytest.approx((b - e) / (b + 2 * e), abs=1e-10)
        agreement = (b - e) / (b + (k - 1) * e + k * (j - e) / n)
        assert table.loc[(f"r{i}", "ICC(2,1)"), "estimate"] == pytest.approx(agreement, abs=1e-10)
        assert table.loc[(f"r{i}", "ICC(3,k)"), "estimate"] == pytest.approx((b - e) / b, abs=1e-10)
        assert table.loc[(f"r{i}", "ICC(2,k)"), "estimate"] == pytest.approx((b - e) / (b + (j - e) / n), abs=1e-10)
        assert table.loc[(f"r{i}", "ICC(1,1)"), "n"] == n
    assert table.loc[("r3", "ICC(1,1)"), "note"] == "without 1 people who lack a measurement"


def test_intervals_of_icc_cover_at_their_rate():
    rng = np.random.default_rng(1)
    cube = rng.normal(size=(20, 2, 1500)) * 0.5 + rng.normal(size=(20, 1, 1500)) + 0.3 * rng.normal(size=(1, 2, 1500))
    table = reliability.icc(*long(cube))
    truth = {"ICC(3,1)": 1 / 1.25}
    for form, value in truth.items():
        rows = table[table.test == form]
        covered = ((rows.estimate_low <= value) & (rows.estimate_high >= value)).mean()
        assert 0.935 < covered < 0.965


def test_bland_altman_of_the_published_table():
    first, second = pd.DataFrame({"flow": LARGE}, dtype=float), pd.DataFrame({"flow": MINI}, dtype=float)
    table = reliability.bland_altman(first, second, names=("large", "mini")).set_index("test")
    bias = table.loc["bias"]
    # the paper: mean difference -2.1, SD 38.8, interval of the bias -22.0 to 17.8 l/min
    assert bias[["estimate", "estimate_low", "estimate_high"]].tolist() == pytest.approx([-2.1, -22.0, 17.8], abs=0.06)
    assert bias["estimate_se"] * np.sqrt(17) == pytest.approx(38.8, abs=0.05)
    assert bias["p"] == pytest.approx(stats.ttest_rel(LARGE, MINI).pvalue, abs=1e-12)
    upper = table.loc["upper limit of agreement"]
    assert upper["estimate"] == pytest.approx(np.mean(np.subtract(LARGE, MINI)) + 1.959964 * 38.765, abs=0.01)
    # the paper's rough interval (√3 standard errors about mean + 2 SD) is 40.9 to 110.1; the exact one is longer
    assert 35 < upper["estimate_low"] < upper["estimate"] < 110 < upper["estimate_high"] < 125
    slope = stats.linregress(np.add(LARGE, MINI) / 2, np.subtract(LARGE, MINI))
    found = table.loc["proportional bias", ["estimate", "estimate_se", "p"]].tolist()
    assert found == pytest.approx([slope.slope, slope.stderr, slope.pvalue], abs=1e-10)


def test_limits_of_agreement_cover_exactly_even_in_small_samples():
    rng = np.random.default_rng(2)
    first = pd.DataFrame(rng.normal(3, 2, (8, 4000)))
    table = reliability.bland_altman(first, first * 0.0, names=("a", "b")).set_index("test")
    for test, truth in (("upper limit of agreement", 3 + 2 * 1.959964), ("lower limit of agreement", 3 - 2 * 1.959964)):
        rows = table.loc[test]
        assert ((rows.estimate_low <= truth) & (rows.estimate_high >= truth)).mean() == pytest.approx(0.95, abs=0.011)


def test_within_subject_variation_is_the_root_of_the_residual_mean_square():
    rng = np.random.default_rng(3)
    who = pd.Series(np.repeat(np.arange(10), 3))
    values = pd.DataFrame(rng.normal(0, 4, (30, 2)) + 100 + 10 * rng.normal(size=(10, 2)).repeat(3, axis=0))
    values.columns = ["SN", "RN"]
    values["CSF"] = rng.normal(0, 4, 30)
    values.loc[0, "RN"] = np.nan
    values.loc[3:4, "RN"] = np.nan  # one person left with a single measurement
    table = reliability.within_subject(values, who).set_index(["region", "test"])
    for region in ("SN", "RN"):
        data = pd.DataFrame({"y": values[region], "who": who}).dropna()
        fit = smf.ols("y ~ C(who)", data).fit()
        sd = np.sqrt(fit.mse_resid)
        row = table.loc[(region, "within-subject SD")]
        assert row[["estimate", "df1"]].tolist() == pytest.approx([sd, fit.df_resid], abs=1e-9)
        limits = [sd * np.sqrt(fit.df_resid / stats.chi2.ppf(q, fit.df_resid)) for q in (0.975, 0.025)]
        assert row[["estimate_low", "estimate_high"]].tolist() == pytest.approx(limits, abs=1e-9)
        assert table.loc[(region, "repeatability coefficient"), "estimate"] == pytest.approx(2.7718 * sd, rel=1e-4)
        assert table.loc[(region, "within-subject CV"), "estimate"] == pytest.approx(
            sd / values[region].mean(), abs=1e-9
        )
    assert table.loc[("RN", "within-subject SD"), "n"] == 9
    assert table.loc[("CSF", "within-subject CV"), "note"] == "mean near 0"
    assert np.isnan(table.loc[("CSF", "within-subject CV"), "estimate"])
    alone = reliability.within_subject(values.iloc[::3], who.iloc[::3])
    assert (alone[alone.test == "within-subject SD"].note == "nobody measured twice").all()


def test_faulty_input_is_told():
    values, who, rater = long(np.dstack([SHROUT, np.ones_like(SHROUT), np.full_like(SHROUT, np.nan)]))
    table = reliability.icc(values, who, rater).set_index(["region", "test"])
    assert table.loc[("r1", "ICC(2,1)"), "note"] == "constant"
    assert table.loc[("r2", "ICC(2,1)"), "note"] == "fewer than 2 people with all measurements"
    assert table.loc[["r1", "r2"], "estimate"].isna().all()
    same = reliability.icc(*long(np.repeat(SHROUT[:, :1, None], 2, axis=1))).set_index("test")
    assert same["estimate"].tolist() == [1.0] * 6
    with pytest.raises(InputError, match="two measurements for 'b'"):
        reliability.icc(values, who, pd.Series(["a", "b", "b", "c"] * 6))
    with pytest.raises(InputError, match="found only a"):
        reliability.icc(values, who, pd.Series(["a"] * 24, index=values.index).where(~who.duplicated()))
    few = reliability.bland_altman(values.iloc[:2], values.iloc[:2], names=("a", "b"))
    assert (few.loc[few.region == "r0", "note"] == "only 2 people with both").all()
