"""Linear mixed models against lme4, lmerTest and statsmodels."""

import warnings

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats

from qsmprep.stats import reml
from qsmprep.stats.design import design_matrix
from qsmprep.stats.mixed import mixed_models

_SLEEP = """
249.5600 258.7047 250.8006 321.4398 356.8519 414.6901 382.2038 290.1486 430.5853 466.3535
222.7339 205.2658 202.9778 204.7070 207.7161 215.9618 213.6303 217.7272 224.2957 237.3142
199.0539 194.3322 234.3200 232.8416 229.3074 220.4579 235.4208 255.7511 261.0125 247.5153
321.5426 300.4002 283.8565 285.1330 285.7973 297.5855 280.2396 318.2613 305.3495 354.0487
287.6079 285.0000 301.8206 320.1153 316.2773 293.3187 290.0750 334.8177 293.7469 371.5811
234.8606 242.8118 272.9613 309.7688 317.4629 309.9976 454.1619 346.8311 330.3003 253.8644
283.8424 289.5550 276.7693 299.8097 297.1710 338.1665 332.0265 348.8399 333.3600 362.0428
265.4731 276.2012 243.3647 254.6723 279.0244 284.1912 305.5248 331.5229 335.7469 377.2990
241.6083 273.9472 254.4907 270.8021 251.4519 254.6362 245.4523 235.3110 235.7541 237.2466
312.3666 313.8058 291.6112 346.1222 365.7324 391.8385 404.2601 416.6923 455.8643 458.9167
236.1032 230.3167 238.9256 254.9220 250.7103 269.7744 281.5648 308.1020 336.2806 351.6451
256.2968 243.4543 256.2046 255.5271 268.9165 329.7247 379.4445 362.9184 394.4872 389.0527
250.5265 300.0576 269.8939 280.5891 271.8274 304.6336 287.7466 266.5955 321.5418 347.5655
221.6771 298.1939 326.8785 346.8555 348.7402 352.8287 354.4266 360.4326 375.6406 388.5417
271.9235 268.4369 257.2424 277.6566 314.8222 317.2135 298.1353 348.1229 340.2800 366.5131
225.2640 234.5235 238.9008 240.4730 267.5373 344.1937 281.1481 347.5855 365.1630 372.2288
269.8804 272.4428 277.8989 281.7895 279.1705 284.5120 259.2658 304.6306 350.7807 369.4692
269.4117 273.4740 297.5968 310.6316 287.1726 329.6076 334.4818 343.2199 369.1417 364.1236
"""


@pytest.fixture
def sleep():
    """Reaction time [ms] of 18 people over ten days of short sleep: Belenky et al. 2003,
    doi:10.1046/j.1365-2869.2003.00337.x, the data set sleepstudy of R's lme4."""
    reaction = np.array(_SLEEP.split(), float)
    return pd.DataFrame({"reaction": reaction, "day": np.tile(np.arange(10.0), 18), "person": np.repeat(range(18), 10)})


@pytest.fixture
def cohort():
    """60 people in two groups, one to four visits at irregular times, with random intercepts and slopes."""
    rng = np.random.default_rng(5)
    visits = rng.integers(1, 5, 60)
    person = np.repeat(np.arange(60), visits)
    group = np.where(person < 25, "HD", "HC")
    years = rng.uniform(0, 5, len(person))
    intercept, slope = rng.normal(0, 8, 60)[person], rng.normal(0, 2.5, 60)[person]
    base = 50 + intercept + (slope + 3 * (group == "HD")) * years
    people = pd.DataFrame({"group": group, "years": years, "age": rng.normal(50, 8, 60)[person], "person": person})
    values = pd.DataFrame({name: base + rng.normal(0, 3, len(person)) for name in ("caudate", "putamen")})
    values.loc[[4, 17, 80], "putamen"] = np.nan
    return values, people


def generalised_least_squares(data, fit, slope):
    """(XᵀV⁻¹X)⁻¹ with the variances of a fit of statsmodels, whose own standard errors hold more than that."""
    z = np.column_stack([np.ones(len(data)), data.years])[:, : 1 + slope]
    same = data.person.to_numpy()[:, None] == data.person.to_numpy()[None]
    v = same * (z @ fit.cov_re.to_numpy() @ z.T) + fit.scale * np.eye(len(data))
    x = fit.model.exog
    return np.linalg.inv(x.T @ np.linalg.solve(v, x))


def contrast_rows(rows, region):
    """Rows by contrast; a number is a contrast and a term of the same name, of which the contrast comes first."""
    return rows[rows.region == region].drop_duplicates("contrast").set_index("contrast")


def test_sleepstudy_equals_lmertest(sleep):
    """lmerTest 3: summary(lmer(Reaction ~ Days + (Days | Subject), sleepstudy)) and the same with (1 | Subject)."""
    design = design_matrix("day", sleep)
    asked = {"contrasts": ["day"], "participants": sleep.person}
    rows = contrast_rows(mixed_models(sleep[["reaction"]], design, time=sleep.day, terms=False, **asked), "reaction")
    day = rows.loc["day"]
    assert day.estimate == pytest.approx(10.467, abs=5e-4)
    assert day.estimate_se == pytest.approx(1.546, abs=5e-4)
    assert day.df1 == pytest.approx(17.0, abs=1e-3)
    assert day.p == pytest.approx(3.26e-6, abs=5e-9)
    assert rows.loc["SD of intercepts"].estimate == pytest.approx(24.741, abs=1e-3)
    assert rows.loc["SD of slopes"].estimate == pytest.approx(5.922, abs=1e-3)
    assert rows.loc["correlation of intercepts and slopes"].estimate == pytest.approx(0.066, abs=1e-3)
    assert rows.loc["SD of residuals"].estimate == pytest.approx(25.592, abs=1e-3)
    flat = contrast_rows(mixed_models(sleep[["reaction"]], design, terms=False, **asked), "reaction")
    assert flat.loc["day"].estimate_se == pytest.approx(0.8042, abs=5e-5)
    assert flat.loc["day"].df1 == pytest.approx(161.0, abs=1e-3)
    assert flat.loc["SD of intercepts"].estimate == pytest.approx(37.124, abs=1e-3)
    assert flat.loc["SD of residuals"].estimate == pytest.approx(30.991, abs=1e-3)


def test_intercept_and_criterion_equal_lme4(sleep):
    x = np.column_stack([np.ones(len(sleep)), sleep.day])
    fit = reml.fit(sleep.reaction.to_numpy(), x, x, sleep.person.to_numpy())
    assert fit.contrast(np.array([1.0, 0.0])) == pytest.approx((251.405, 6.825, 17.0), abs=5e-4)
    assert fit.criterion == pytest.approx(1743.628, abs=5e-4)
    only = reml.fit(sleep.reaction.to_numpy(), x, x[:, :1], sleep.person.to_numpy())
    assert only.contrast(np.array([1.0, 0.0])) == pytest.approx((251.405, 9.747, 22.81), abs=5e-3)
    assert only.criterion == pytest.approx(1786.465, abs=5e-4)


@pytest.mark.parametrize("region", ["caudate", "putamen"])
@pytest.mark.parametrize("slope", [False, True])
def test_unbalanced_cohort_equals_statsmodels(cohort, region, slope):
    values, people = cohort
    design = design_matrix("group * years + age", people)
    asked = ["years[HD] - years[HC]", "age", "HD - HC | years=0"]
    rows = mixed_models(values, design, people.person, asked, people.years if slope else None)
    rows = contrast_rows(rows, region)
    data = people.assign(y=values[region]).dropna()
    options = {"re_formula": "~years"} if slope else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = smf.mixedlm("y ~ group * years + age", data, groups=data.person, **options).fit(reml=True, method="lbfgs")
    sd = np.sqrt(fit.scale)
    covariance = generalised_least_squares(data, fit, slope)
    for name, coefficient in zip(asked, ["group[T.HD]:years", "age", "group[T.HD]"], strict=True):
        k = list(fit.fe_params.index).index(coefficient)
        assert rows.loc[name].estimate == pytest.approx(fit.params[coefficient], abs=2e-4 * sd)
        assert rows.loc[name].estimate_se == pytest.approx(np.sqrt(covariance[k, k]), rel=2e-4)
        assert rows.loc[name].n == len(data)
    assert rows.loc["SD of residuals"].estimate == pytest.approx(sd, rel=1e-3)
    assert rows.loc["SD of intercepts"].estimate == pytest.approx(np.sqrt(fit.cov_re.iloc[0, 0]), rel=1e-3)
    t = rows.loc["years[HD] - years[HC]"]
    assert rows.loc["group:years"].statistic == pytest.approx(t.statistic**2, rel=1e-8)
    assert rows.loc["group:years"].p == pytest.approx(t.p, rel=1e-6)
    assert (
        t.n_groups == f"HC {data[data.group == 'HC'].person.nunique()}, HD {data[data.group == 'HD'].person.nunique()}"
    )


def test_balanced_design_equals_anova(sleep):
    """With one slope for all and whole data, the F of a factor over time is that of the repeated-measures ANOVA."""
    from statsmodels.stats.anova import AnovaRM

    data = sleep.assign(visit=sleep.day.astype(int).astype(str))
    rows = mixed_models(data[["reaction"]], design_matrix("visit", data), data.person)
    found = contrast_rows(rows, "reaction").loc["visit"]
    expected = AnovaRM(data, "reaction", "person", ["visit"]).fit().anova_table.iloc[0]
    assert found.statistic == pytest.approx(expected["F Value"], rel=1e-6)
    assert (found.df1, found.df2) == pytest.approx((9, 153), rel=1e-4)
    assert found.p == pytest.approx(expected["Pr > F"], rel=1e-3)


def test_a_singular_fit_is_told_and_equals_least_squares():
    """Visits of one participant that differ more than people do: the random intercept vanishes, β is that of OLS."""
    rng = np.random.default_rng(2)
    people = pd.DataFrame({"person": np.repeat(range(20), 3), "years": np.tile([0.0, 1.0, 2.0], 20)})
    y = rng.normal(size=60)
    y -= people.assign(y=y).groupby("person").y.transform("mean")
    rows = mixed_models(pd.DataFrame({"a": y}), design_matrix("years", people), people.person, ["years"], terms=False)
    years = contrast_rows(rows, "a").loc["years"]
    ols = stats.linregress(people.years, y)
    assert (years.estimate, years.estimate_se) == pytest.approx((ols.slope, ols.stderr), rel=1e-6)
    assert "singular" in years.note
    assert contrast_rows(rows, "a").loc["SD of intercepts"].estimate == 0


def test_faults_of_one_region_do_not_stop_the_others(cohort):
    values, people = cohort
    once = np.where(~people.person.duplicated(), values.caudate, np.nan)
    bad = values.assign(flat=1.0, empty=np.nan, once=once)
    alone = people.assign(group=np.where(people.person == people.person.iloc[-1], "WD", people.group))
    rows = mixed_models(bad, design_matrix("group * years", alone), alone.person, ["HD - HC", "WD - HC"], terms=False)
    note = rows[rows.contrast == "HD - HC"].set_index("region").note
    assert note["flat"] == "constant"
    assert note["empty"] == note["once"] == "no participant has two visits"
    rows = rows.set_index(["region", "contrast"])
    assert np.isfinite(rows.loc[("caudate", "HD - HC"), "p"])
    assert "only 1 in group WD" in rows.loc[("caudate", "WD - HC"), "note"]


def test_too_few_visits_for_a_slope_are_told():
    rng = np.random.default_rng(2)
    people = pd.DataFrame({"person": np.repeat(range(20), 2), "years": np.tile([0.0, 1.0], 20)})
    values = pd.DataFrame({"a": rng.normal(size=20)[people.person] * 3 + rng.normal(size=40)})
    design = design_matrix("years", people)
    with_slope = mixed_models(values, design, people.person, ["years"], people.years)
    without = mixed_models(values, design, people.person, ["years"])
    assert "no random slope" in with_slope.note.iloc[0]
    assert with_slope.p.iloc[0] == without.p.iloc[0]


def test_progress_counts_regions(cohort):
    values, people = cohort
    seen = []
    mixed_models(
        values, design_matrix("years", people), people.person, progress=lambda done, of: seen.append((done, of))
    )
    assert seen == [(1, 2), (2, 2)]


def test_null_differences_of_slopes_are_calibrated():
    """2 x 8 people with three visits: p-values of the difference of slopes are uniform (Kolmogorov-Smirnov)."""
    rng = np.random.default_rng(11)
    people = pd.DataFrame({"person": np.repeat(range(16), 3), "years": np.tile([0.0, 1.0, 2.0], 16)})
    people["group"] = np.where(people.person < 8, "HD", "HC")
    noise = rng.normal(size=(48, 200)) + (2 * rng.normal(size=(16, 200)))[people.person]
    noise += rng.normal(size=(16, 200))[people.person] * people.years.to_numpy()[:, None]
    values = pd.DataFrame(noise).add_prefix("r")
    design = design_matrix("group * years", people)
    rows = mixed_models(values, design, people.person, ["years[HD] - years[HC]"], people.years, terms=False)
    p = rows[rows.contrast == "years[HD] - years[HC]"].p
    assert stats.kstest(p, "uniform").pvalue > 0.01
    assert 0.015 <= np.mean(p < 0.05) <= 0.095
