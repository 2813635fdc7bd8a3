"""Linear models, contrasts and adjusted means against statsmodels and R."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats
from statsmodels.stats.anova import anova_lm

from qsmprep.stats.contrasts import contrast
from qsmprep.stats.design import design_matrix
from qsmprep.stats.glm import ERRORS, adjusted_means, fit_glm


@pytest.fixture
def people():
    """Unbalanced groups and genotypes of 90 people."""
    rng = np.random.default_rng(3)
    group = np.repeat(["HC", "MCI", "AD"], [40, 20, 30])
    return pd.DataFrame(
        {
            "group": pd.Categorical(group, ["HC", "MCI", "AD"]),
            "apoe": np.where(rng.uniform(size=90) < np.where(group == "HC", 0.3, 0.6), "e4", "e3"),
            "sex": rng.choice(["F", "M"], 90),
            "age": rng.normal(70, 6, 90) + 3 * (group == "AD"),
        },
        index=[f"sub-{i:02d}" for i in range(90)],
    )


@pytest.fixture
def values(people):
    rng = np.random.default_rng(4)
    noise = rng.normal(size=(90, 3)) * np.where(people.group == "AD", 12, 6)[:, None]
    chi = 40 + 5 * (people.group == "AD") + 0.4 * people.age + 4 * ((people.apoe == "e4") & (people.group == "AD"))
    out = pd.DataFrame(noise, index=people.index, columns=["caudate", "putamen", "GPi"]).add(chi, axis=0)
    out.iloc[[3, 50, 88], 1] = np.nan
    return out


def fitted(people, values, region, formula, robust):
    data = people.assign(y=values[region], group=people.group.astype(str)).dropna()
    return smf.ols(f"y ~ {formula}", data).fit(**({"cov_type": "HC3", "use_t": True} if robust else {}))


FORMULA = "C(group, Treatment('HC')) + age + sex"
TERM = "C(group, Treatment('HC'))"


@pytest.mark.parametrize("errors", ["hc3", "classical"])
@pytest.mark.parametrize("region", ["caudate", "putamen"])
def test_contrasts_equal_statsmodels(people, values, errors, region):
    design = design_matrix("group + age + sex", people)
    asked = ["AD - HC", "AD - MCI", "(AD + MCI)/2 - HC", "age"]
    rows = fit_glm(values, design, asked, terms="", errors=errors)
    rows = rows[rows.region == region].set_index("contrast")
    model = fitted(people, values, region, FORMULA, errors == "hc3")
    ad, mci = f"{TERM}[T.AD]", f"{TERM}[T.MCI]"
    for name, text in zip(asked, [ad, f"{ad} - {mci}", f"({ad} + {mci})/2", "age"], strict=True):
        vector = np.zeros(len(model.params))
        for part, weight in {
            ad: {ad: 1}, f"{ad} - {mci}": {ad: 1, mci: -1}, f"({ad} + {mci})/2": {ad: 0.5, mci: 0.5}, "age": {"age": 1},
        }[text].items():  # fmt: skip
            vector[model.params.index.get_loc(part)] = weight
        theirs = model.t_test(vector)
        ours = rows.loc[name]
        low, high = theirs.conf_int()[0]
        expected = [theirs.effect[0], theirs.sd[0, 0], theirs.tvalue[0, 0], float(theirs.pvalue), low, high]
        found = ours[["estimate", "estimate_se", "statistic", "p", "estimate_low", "estimate_high"]].astype(float)
        assert np.allclose(found, expected, rtol=1e-8)
        assert ours.df1 == model.df_resid and ours.n == model.nobs
    assert rows.n_groups["AD - HC"] == ("HC 40, MCI 20, AD 30" if region == "caudate" else "HC 39, MCI 19, AD 29")


@pytest.mark.parametrize("robust", [None, "hc3"])
@pytest.mark.parametrize("kind", ["II", "III"])
def test_terms_equal_statsmodels(people, values, kind, robust):
    rows = fit_glm(values, design_matrix("group * apoe + age", people), terms=kind, errors=robust or "classical")
    data = people.assign(y=values.putamen, group=people.group.astype(str)).dropna()
    model = smf.ols("y ~ C(group, Sum) * C(apoe, Sum) + I(age - age.mean())", data).fit()
    theirs = anova_lm(model, typ=kind, robust=robust)
    names = {"group": "C(group, Sum)", "apoe": "C(apoe, Sum)", "age": "I(age - age.mean())"}
    names["group:apoe"] = "C(group, Sum):C(apoe, Sum)"
    rows = rows[rows.region == "putamen"].set_index("contrast")
    for ours, name in names.items():
        assert np.isclose(rows.statistic[ours], theirs.F[name], rtol=1e-7), ours
        assert np.isclose(rows.p[ours], theirs["PR(>F)"][name], rtol=1e-6)
        assert rows.df1[ours] == theirs.df[name] and rows.df2[ours] == model.df_resid
    if not robust:
        ss, rest = theirs.sum_sq[names["group"]], theirs.sum_sq["Residual"]
        assert np.isclose(rows.effect["group"], ss / (ss + rest)) and rows.effect_low["group"] < rows.effect["group"]


def test_ancova_equals_r(plants):
    # R: anova(lm(weight ~ group, PlantGrowth)): F = 4.8461, p = 0.01591; coefficients of trt1 and trt2
    weight, groups = plants
    rows = fit_glm(
        weight, design_matrix("group", groups.to_frame()), ["trt1 - ctrl", "trt2 - ctrl"], errors="classical"
    )
    assert np.allclose(rows.estimate[:2], [-0.371, 0.494]) and np.allclose(rows.estimate_se[:2], 0.2788, atol=5e-5)
    assert np.allclose(rows.p, [0.1944, 0.0877, 0.01591], atol=5e-5) and np.isclose(
        rows.statistic[2], 4.8461, atol=5e-5
    )


def test_without_covariates_g_is_that_of_two_groups(people, values):
    from qsmprep.stats.compare import two_groups

    part = people[people.group != "MCI"]
    glm = fit_glm(values, design_matrix("group", part), ["AD - HC"], terms="")
    plain = two_groups(values, people.group, [("AD", "HC")], ["welch"])
    for column in ("estimate", "effect", "effect_low", "effect_high"):
        assert np.allclose(glm[column], plain[column], rtol=1e-8), column


def test_the_effect_of_a_slope_is_the_partial_correlation(people, values):
    row = fit_glm(values, design_matrix("group + age", people), ["age"], terms="").iloc[0]
    dummies = np.column_stack([np.ones(90), people.group == "MCI", people.group == "AD"]).astype(float)
    x, y = (v - dummies @ np.linalg.lstsq(dummies, v, rcond=None)[0] for v in (people.age, values.caudate))
    assert np.isclose(row.effect, stats.pearsonr(x, y).statistic) and row.effect_name == "partial r"
    assert row.effect_low < row.effect < row.effect_high


def test_interactions_are_differences_of_differences(people, values):
    design = design_matrix("group * apoe + age", people)
    model = fitted(people, values, "caudate", "C(group, Treatment('HC')) * C(apoe) + age", True)
    asked = [
        "interaction(AD - HC, e4 - e3)",
        "AD - HC | apoe=e3",
        "AD - HC | apoe=e4",
        "AD - HC",
        "interaction(group:apoe)",
    ]
    rows = fit_glm(values[["caudate"]], design, asked, terms="").set_index("contrast")
    crossed, within = f"{TERM}[T.AD]:C(apoe)[T.e4]", f"{TERM}[T.AD]"
    assert np.isclose(rows.estimate[asked[0]], model.params[crossed]) and np.isclose(
        rows.p[asked[0]], model.pvalues[crossed]
    )
    assert np.isclose(rows.estimate[asked[1]], model.params[within])
    assert np.isclose(rows.estimate[asked[2]], model.params[within] + model.params[crossed])
    assert np.isclose(rows.estimate[asked[3]], model.params[within] + model.params[crossed] / 2)
    joint = model.f_test([f"{crossed} = 0", f"{crossed.replace('AD', 'MCI')} = 0"])
    assert np.isclose(rows.statistic[asked[4]], float(joint.fvalue)) and rows.df1[asked[4]] == 2


def test_slopes_within_groups(people, values):
    design = design_matrix("group * age", people)
    model = fitted(people, values, "caudate", "C(group, Treatment('HC')) * age", True)
    asked = ["age[AD] - age[HC]", "age[HC]", "AD - HC | age=80"]
    rows = fit_glm(values[["caudate"]], design, asked, terms="").set_index("contrast")
    crossed = f"{TERM}[T.AD]:age"
    assert np.isclose(rows.estimate[asked[0]], model.params[crossed]) and np.isclose(
        rows.p[asked[0]], model.pvalues[crossed]
    )
    assert np.isclose(rows.estimate[asked[1]], model.params["age"])
    assert np.isclose(rows.estimate[asked[2]], model.params[f"{TERM}[T.AD]"] + 80 * model.params[crossed])


def test_adjusted_means_are_predictions_at_the_mean(people, values):
    rows = adjusted_means(values[["caudate"]], design_matrix("group + sex + age", people), "group", errors="classical")
    model = fitted(people, values, "caudate", "group + sex + age", False)
    for row in rows.itertuples():
        at = pd.DataFrame({"group": row.contrast, "sex": ["F", "M"], "age": people.age.mean()})
        assert np.isclose(row.estimate, model.predict(at).mean())
    assert rows.contrast.tolist() == ["HC", "MCI", "AD"] and (rows.estimate_low < rows.estimate).all()


def test_spellings_of_contrasts(people):
    people = people.assign(
        group=people.group.astype(str).replace({"AD": "PD-TD", "MCI": "PD-AR"}), sex=people.sex + "1"
    )
    design = design_matrix("group + sex", people)
    one = contrast("PD-TD - HC", design)
    for text in ("'PD-TD' - HC", "group[PD-TD] - group[HC]", "PD-TD − HC", "-HC + 1 * PD-TD", "(2*PD-TD - 2 * HC) / 2"):
        assert np.allclose(contrast(text, design).vector, one.vector), text
    assert np.allclose(contrast("PD-TD + PD-AR - HC", design).vector, contrast("(PD-TD + PD-AR)/2 - HC", design).vector)
    assert one.kind == "difference" and contrast("HC", design).kind == "mean"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("AD - HX", "HX is unknown.*HC"),
        ("AD * HC", "cannot be read"),
        ("AD - HC | apoe=e2", "apoe=e2"),
        ("interaction(group:age)", "no term group:age"),
        ("__import__('os')", "cannot be read"),
    ],
)
def test_contrasts_that_cannot_be_read_say_so(people, text, message):
    with pytest.raises(ValueError, match=message):
        contrast(text, design_matrix("group * apoe + age", people))


def test_a_level_of_two_factors_has_to_be_told_apart(people):
    people = people.assign(carer=np.where(people.sex == "F", "HC", "x"))
    with pytest.raises(ValueError, match=r"group\[HC\] or carer\[HC\]"):
        contrast("AD - HC", design_matrix("group + carer", people))


def test_a_confounded_contrast_is_not_answered_and_a_doubled_covariate_does_no_harm(people, values):
    confounded = people.assign(scanner=np.where(people.group == "AD", "B", "A"), months=people.age * 12)
    rows = fit_glm(values, design_matrix("group + scanner", confounded), ["AD - HC", "MCI - HC"]).set_index("contrast")
    assert rows.note["AD - HC"].str.contains("group, scanner are collinear").all() and rows.p["AD - HC"].isna().all()
    assert rows.p["MCI - HC"].notna().all()
    twice = fit_glm(values, design_matrix("group + age + months", confounded), ["AD - HC"]).set_index("contrast")
    once = fit_glm(values, design_matrix("group + age", confounded), ["AD - HC"]).set_index("contrast")
    assert np.allclose(twice.p["AD - HC"], once.p["AD - HC"]) and twice.note["age"].str.contains("collinear").all()


def test_a_region_without_an_answer_says_why_and_stops_no_other(people, values):
    values = values.assign(caudate=1.0)
    values.loc[people.group == "AD", "putamen"] = np.nan
    design = design_matrix("group + age", people)
    rows = fit_glm(values, design, ["AD - HC"], terms="").set_index("region")
    assert rows.note["caudate"] == "constant" and "group is empty" in rows.note["putamen"]
    assert rows.note["GPi"] == "" and rows.p["GPi"] < 1 and rows.p.isna().tolist() == [True, True, False]
    alone = people.assign(group=pd.Categorical(["AD"] + ["HC"] * 89))
    note = fit_glm(values[["GPi"]], design_matrix("group", alone), ["AD - HC"], terms="").note[0]
    assert "one person alone" in note
    # the only one from a site says nothing of the groups: as if without both
    sited = people.assign(site=["only"] + ["A", "B"] * 44 + ["A"])
    rows = fit_glm(values[["GPi"]], design_matrix("group + site", sited), ["AD - HC"])
    rest = fit_glm(values[["GPi"]], design_matrix("group + site", sited[1:]), ["AD - HC"])
    assert np.allclose(rows.p[0], rest.p[0]) and rows.note.tolist()[:2] == ["", ""] and "alone" in rows.note[2]
    few = fit_glm(values[["GPi"]].iloc[[0, 45, 70]], design, ["AD - HC"], terms="")
    assert few.note[0] == "only 3 people for 3 coefficients"


def test_people_who_occur_twice_are_matched_only_if_all_rows_are_in_order(people, values):
    visits = pd.concat([people, people]).assign(visit=["a"] * 90 + ["b"] * 90)
    both = pd.concat([values[["GPi"]], values[["GPi"]] + 1])
    design = design_matrix("visit", visits)
    row = fit_glm(both, design, ["b - a"], terms="").iloc[0]
    assert row.n == 180 and np.isclose(row.estimate, 1)
    with pytest.raises(ValueError, match="more than once"):
        fit_glm(both.iloc[::-1], design, ["b - a"])


def test_hc4_errors_are_those_of_the_formula(people, values):
    """Cribari-Neto 2004: squared residuals over (1 - h) to the power of min(4, n h / p), person by person."""
    design = design_matrix("group + age", people)
    row = fit_glm(values[["caudate"]], design, ["AD - HC"], terms="", errors="hc4").iloc[0]
    x = np.column_stack([np.ones(90), people.group == "MCI", people.group == "AD", people.age - people.age.mean()])
    y = values["caudate"].to_numpy()
    bread = np.linalg.inv(x.T @ x)
    residual = y - x @ bread @ x.T @ y
    meat = np.zeros((4, 4))
    for one, e in zip(x, residual, strict=True):
        h = one @ bread @ one
        meat += np.outer(one, one) * e**2 / (1 - h) ** min(4, len(x) * h / 4)
    assert row.test == "GLM t (HC4)"
    assert np.isclose(row.estimate_se, np.sqrt((bread @ meat @ bread)[2, 2]), rtol=1e-10)
    hc3 = fit_glm(values[["caudate"]], design, ["AD - HC"], terms="", errors="hc3").iloc[0]
    assert not np.isclose(row.estimate_se, hc3.estimate_se, rtol=1e-3)


def test_hc3_keeps_its_level_where_spread_goes_with_group():
    rng = np.random.default_rng(9)
    people = pd.DataFrame({"group": ["a"] * 15 + ["b"] * 45, "age": rng.normal(size=60)})
    values = pd.DataFrame(rng.normal(size=(60, 1500)) * np.where(people.group == "a", 3, 1)[:, None])
    design = design_matrix("group + age", people)
    found = {e: (fit_glm(values, design, ["a - b"], terms="", errors=e).p < 0.05).mean() for e in ERRORS}
    assert 0.03 < found["hc3"] < 0.07 < found["classical"] and 0.03 < found["hc4"] < 0.07
