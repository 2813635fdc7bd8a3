"""ComBat against a second, slow implementation of the paper's equations, and against what harmonisation must do."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats
from statsmodels.stats.anova import anova_lm

from qsmprep.errors import InputError
from qsmprep.stats import harmonize, sites


def cohort(seed=0, sizes=(20, 25, 15), regions=12):
    rng = np.random.default_rng(seed)
    site = pd.Series(np.repeat([f"s{i}" for i in range(len(sizes))], sizes))
    n = len(site)
    covariates = pd.DataFrame({"age": rng.uniform(50, 80, n), "sex": rng.choice(["F", "M"], n)})
    clean = 50 + rng.normal(0, 5, (n, regions)) + np.outer(covariates["age"] - 65, rng.normal(0.5, 0.2, regions))
    clean += np.outer(covariates["sex"] == "M", rng.normal(2, 1, regions))
    code = pd.factorize(site)[0]
    shift = rng.normal([[0], [8], [-5]], 1, (3, regions))[: len(sizes)] if len(sizes) <= 3 else None
    spread = np.array([1.0, 1.6, 0.7])[: len(sizes)]
    names = [f"r{i}" for i in range(regions)]
    noisy = (clean - clean.mean(axis=0)) * spread[code][:, None] + clean.mean(axis=0) + shift[code]
    return pd.DataFrame(noisy, columns=names), site, covariates


def slow_combat(values, site, covariates, reference=None):
    """Johnson 2007, word by word: one region, one site, one person at a time."""
    sites = sorted(site.unique())
    age, male = covariates["age"].to_numpy(), (covariates["sex"] == "M").to_numpy(float)
    standard, kept, sigma = {}, {}, {}
    for region in values:
        known = values.index[values[region].notna()]
        design = [[float(site[p] == s) for s in sites] + [age[p], male[p]] for p in known]
        y = values.loc[known, region].to_numpy()
        beta = np.linalg.pinv(np.array(design)) @ y
        counts = [sum(site[p] == s for p in known) for s in sites]
        alpha = sum(c * b for c, b in zip(counts, beta, strict=False)) / len(known)
        residual = {p: v - np.dot(d, beta) for p, v, d in zip(known, y, design, strict=True)}
        pool = [residual[p] ** 2 for p in known if reference is None or site[p] == reference]
        if reference is not None:
            alpha = beta[sites.index(reference)]
        sigma[region] = np.sqrt(sum(pool) / len(pool))
        kept[region] = {p: alpha + age[p] * beta[-2] + male[p] * beta[-1] for p in known}
        standard[region] = {p: (values.loc[p, region] - kept[region][p]) / sigma[region] for p in known}
    out = values.copy()
    for s in sites:
        z = {r: np.array([v for p, v in standard[r].items() if site[p] == s]) for r in values}
        gamma, delta = {r: z[r].mean() for r in values}, {r: z[r].var(ddof=1) for r in values}
        g_bar, t2 = np.mean(list(gamma.values())), np.var(list(gamma.values()), ddof=1)
        v, s2 = np.mean(list(delta.values())), np.var(list(delta.values()), ddof=1)
        lam, theta = v**2 / s2 + 2, v**3 / s2 + v  # mean θ/(λ-1), variance θ²/((λ-1)²(λ-2))
        for r in values:
            n, d = len(z[r]), delta[r]
            for _ in range(500):
                g = (n * t2 * gamma[r] + d * g_bar) / (n * t2 + d)
                d = (theta + 0.5 * sum((z[r] - g) ** 2)) / (n / 2 + lam - 1)
            if s == reference:
                continue
            for p, value in standard[r].items():
                if site[p] == s:
                    out.loc[p, r] = sigma[r] / np.sqrt(d) * (value - g) + kept[r][p]
    return out


@pytest.mark.parametrize("reference", [None, "s1"])
@pytest.mark.parametrize("missing", [False, True])
def test_equals_the_slow_implementation(reference, missing):
    values, site, covariates = cohort()
    if missing:
        values.iloc[3, 0] = values.iloc[30:33, 0] = values.iloc[50, 5] = np.nan
    model = harmonize.fit(values, site, covariates, reference=reference)
    found = model.apply(values, site, covariates)
    slow = slow_combat(values, site, covariates, reference)
    np.testing.assert_allclose(found, slow, rtol=1e-5, atol=1e-4)
    assert (found.isna() == values.isna()).all().all()
    if reference:
        pd.testing.assert_frame_equal(found[site == reference], values[site == reference])


def test_takes_sites_out_and_leaves_age_in():
    values, site, covariates = cohort(regions=30)
    found = harmonize.fit(values, site, covariates).apply(values, site, covariates)
    table = sites.site_effects(values, found, site, covariates).set_index(["region", "test"])
    f = table.loc[table["contrast"] == "site", "statistic"].unstack()
    assert (f["site mean, after"] < 0.1 * f["site mean, before"]).all()
    assert (table.xs("site mean, after", level="test")["p"] > 0.05).mean() > 0.9
    ratio = table.loc[table["contrast"] == "site", "estimate"].unstack()
    assert ratio["site variance, after"].median() < 0.5 * ratio["site variance, before"].median()
    slopes = table[table["contrast"] == "age"]["estimate"].unstack()
    np.testing.assert_allclose(slopes["covariate, after"], slopes["covariate, before"], atol=0.15)


def test_table_of_sites_is_that_of_statsmodels_and_scipy():
    values, site, covariates = cohort()
    table = sites.site_effects(values, values, site, covariates).set_index(["region", "test"])
    fit = smf.ols("y ~ age + sex + site", covariates.assign(y=values["r2"], site=site)).fit()
    anova = anova_lm(fit, typ=2)
    row = table.loc[("r2", "site mean, before")]
    assert row[["statistic", "df1", "df2", "p"]].tolist() == pytest.approx(
        [anova.loc["site", "F"], 2, fit.df_resid, anova.loc["site", "PR(>F)"]]
    )
    ss = anova["sum_sq"]
    assert row["effect"] == pytest.approx(ss["site"] / (ss["site"] + ss["Residual"]))
    for name, contrast, column in (("age", "age", "age"), ("sex", "sex: M - F", "sex[T.M]")):
        row = table[table["contrast"] == contrast].loc[("r2", "covariate, after")]
        assert row[["statistic", "p"]].tolist() == pytest.approx([anova.loc[name, "F"], anova.loc[name, "PR(>F)"]])
        assert row["effect"] == pytest.approx(ss[name] / (ss[name] + ss["Residual"]))
        low, high = fit.conf_int().loc[column]
        expected = [fit.params[column], fit.bse[column], low, high]
        found = row[["estimate", "estimate_se", "estimate_low", "estimate_high"]].tolist()
        assert found == pytest.approx(expected)
    test = stats.levene(*[fit.resid[site == s] for s in ("s0", "s1", "s2")], center="median")
    row = table.loc[("r2", "site variance, after")]
    assert row[["statistic", "p"]].tolist() == pytest.approx([test.statistic, test.pvalue])
    assert row["n_groups"] == "s0 20, s1 25, s2 15"


def test_new_people_are_harmonised_by_what_was_learned_and_change_nothing():
    values, site, covariates = cohort()
    train = values.index % 4 != 0
    model = harmonize.fit(values[train], site[train], covariates[train])
    together = model.apply(values, site, covariates)
    alone = model.apply(values[~train], site[~train], covariates[~train])
    pd.testing.assert_frame_equal(together[~train], alone)
    changed = values.copy()
    changed.loc[~train] *= 10
    again = harmonize.fit(changed[train], site[train], covariates[train])
    np.testing.assert_array_equal(model.shift, again.shift)
    site.iloc[0] = "new"
    kept = model.apply(values, site, covariates, unknown="keep")
    np.testing.assert_array_equal(kept.iloc[0], values.iloc[0])
    with pytest.raises(InputError, match="known are s0, s1, s2"):
        model.apply(values, site, covariates)


def test_without_a_difference_between_sites_little_changes():
    rng = np.random.default_rng(4)
    values = pd.DataFrame(rng.normal(100, 10, (200, 40)))
    site = pd.Series(rng.choice(["a", "b"], 200))
    found = harmonize.fit(values, site).apply(values, site)
    assert np.sqrt(((found - values.to_numpy()) ** 2).mean().mean()) < 1.0


def test_site_of_one_person_and_constant_region_are_told():
    values, site, covariates = cohort(sizes=(20, 25, 1))
    values["flat"] = 7.0
    model = harmonize.fit(values, site, covariates)
    assert model.notes["s2"].startswith("one person only")
    assert model.notes["flat"].startswith("left as it is")
    assert (model.spread[2] == 1).all()
    found = model.apply(values, site, covariates)
    assert np.isfinite(found.to_numpy()).all()
    assert (found["flat"] == 7).all()
    table = sites.site_effects(values, found, site, covariates).set_index(["region", "test"])
    assert table.loc[("flat", "site mean, after"), "note"] == "constant"


def test_designs_that_cannot_be_told_apart_are_refused():
    values, site, covariates = cohort()
    covariates["group"] = np.where(site == "s0", "AD", "HC")
    with pytest.raises(InputError, match="group=HC is collinear with the sites"):
        harmonize.fit(values, site, covariates)
    with pytest.raises(InputError, match="two sites"):
        harmonize.fit(values, pd.Series("a", values.index))
    with pytest.raises(InputError, match="reference site 'x'"):
        harmonize.fit(values, site, reference="x")
    with pytest.raises(InputError, match="5 has no site"):
        harmonize.fit(values, site.drop(5))
    covariates = covariates[["age", "sex"]]
    with pytest.raises(InputError, match="4 has no age"):
        harmonize.fit(values, site, covariates.assign(age=covariates["age"].where(covariates.index != 4)))
    model = harmonize.fit(values, site, covariates)
    with pytest.raises(InputError, match="sex is 'X'"):
        model.apply(values, site, covariates.assign(sex="X"))
