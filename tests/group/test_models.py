import json

import numpy as np
import pandas as pd
import pytest

from qsmprep.group import run_group

REGIONS = {"deepgrey.putamen": (40.0, 8.0), "deepgrey.caudate": (35.0, 8.0)}
TEXTS = ("AD - HC | apoe=e4", "interaction(AD - HC, e4 - e3)", "age[AD] - age[HC]", "AD - HC | apoe=e2")
Y = "deepgrey.putamen.L"


def test_contrasts_of_the_model_equal_statsmodels(dataset):
    import statsmodels.formula.api as smf

    rng = np.random.default_rng(0)
    people = dataset.cohort({"HC": 30, "AD": 30}, REGIONS, rng, shift={("AD", "deepgrey.putamen"): 20})
    apoe, age = rng.choice(["e3", "e4"], 60), rng.normal(70, 6, 60).round(1)
    rows = [f"{who}\t{g}\t{a}\t{y}" for (who, g), a, y in zip(people.items(), apoe, age, strict=True)]
    dataset.participants("participant_id\tgroup\tapoe\tage\n" + "\n".join(rows) + "\n")
    formula = "group * apoe + group * age"
    run_group(dataset.settings(contrasts=TEXTS, formula=formula))
    tables = {
        name: pd.read_csv(dataset.out / "group" / f"{name}.tsv", sep="\t", na_values="n/a", keep_default_na=False)
        for name in ("models", "comparisons", "regions_wide", "power")
    }
    wide = tables["regions_wide"].assign(y=lambda t: 1000 * t[f"{Y}.chi_median"])
    fit = smf.ols("y ~ C(group, Treatment('HC')) * (C(apoe) + age)", wide).fit(cov_type="HC3", use_t=True)
    ad, e4 = "C(group, Treatment('HC'))[T.AD]", "C(apoe)[T.e4]"
    mean_age = wide["age"].mean()
    weights = {
        TEXTS[0]: {ad: 1, f"{ad}:{e4}": 1, f"{ad}:age": mean_age},
        TEXTS[1]: {f"{ad}:{e4}": 1},
        TEXTS[2]: {f"{ad}:age": 1},
    }
    found = tables["models"].set_index(["contrast", "region"])
    for text, vector in weights.items():
        expected = fit.t_test(np.array([vector.get(name, 0) for name in fit.params.index]))
        row = found.loc[(text, Y)]
        assert row["estimate"] == pytest.approx(float(expected.effect[0]), rel=1e-4, abs=1e-5)
        assert row["p"] == pytest.approx(float(expected.pvalue), rel=1e-3)
        assert text in set(tables["power"]["contrast"])
    # the tests of persons go on with the pair of groups, and what cannot be answered is told
    assert set(tables["comparisons"]["contrast"]) == {"AD - HC"}
    assert TEXTS[3] not in set(tables["models"]["contrast"])
    notes = (dataset.out / "group" / "design.json").read_text()
    assert "apoe=e2" in notes and "Left out" in notes


@pytest.mark.parametrize("squares", [2, 3])
def test_an_ancova_with_classical_errors_is_that_of_statsmodels(dataset, squares):
    import statsmodels.formula.api as smf
    from statsmodels.stats.anova import anova_lm

    rng = np.random.default_rng(1)
    people = dataset.cohort({"HC": 14, "MCI": 9, "AD": 17}, REGIONS, rng, shift={("AD", "deepgrey.putamen"): 9})
    rows = [f"{who}\t{g}\t{rng.choice(['e3', 'e4'])}\t{rng.normal(70, 6):.1f}" for who, g in people.items()]
    dataset.participants("participant_id\tgroup\tapoe\tage\n" + "\n".join(rows) + "\n")
    model = dataset.root / "design.toml"
    model.write_text(
        f'genotype = "apoe"\ncovariates = ["age"]\ntests = ["glm"]\nerrors = "classical"\nsquares = {squares}\n'
    )
    run_group(dataset.settings(model=model))
    folder = dataset.out / "group"
    found, wide = (
        pd.read_csv(folder / f"{name}.tsv", sep="\t", na_values="n/a") for name in ("models", "regions_wide")
    )
    wide["y"] = 1000 * wide[f"{Y}.chi_median"]
    fit = smf.ols("y ~ C(group, Sum) * C(apoe, Sum) + age", wide).fit()
    theirs = anova_lm(fit, typ=squares)
    mine = found[found["region"] == Y].set_index(["test", "contrast"])
    terms = {"group": "C(group, Sum)", "apoe": "C(apoe, Sum)", "age": "age"}
    terms["group:apoe"] = "C(group, Sum):C(apoe, Sum)"
    for name, term in terms.items():
        row = mine.loc[("GLM F", name)]
        assert row[["statistic", "p", "df1"]].tolist() == pytest.approx(
            theirs.loc[term, ["F", "PR(>F)", "df"]], rel=1e-6
        )
        share = theirs.sum_sq[term] / (theirs.sum_sq[term] + theirs.sum_sq["Residual"])
        assert row["effect"] == pytest.approx(share, rel=1e-6)
    weights = fit.params.index.isin(["C(group, Sum)[S.AD]"]) * 2.0 + fit.params.index.isin(["C(group, Sum)[S.HC]"])
    expected = fit.t_test(weights)  # levels are AD, HC, MCI: AD - MCI
    row = mine.loc[("GLM t", "MCI - AD")]
    assert row["statistic"] == pytest.approx(-expected.tvalue[0, 0], rel=1e-6)
    assert row["p"] == pytest.approx(float(expected.pvalue), rel=1e-6)
    told = json.loads((folder / "models.json").read_text())["MeasurementToolMetadata"]
    assert (told["StandardErrors"], told["SumsOfSquares"]) == ("classical", "I" * squares)
    text = (folder / "paper" / "text.md").read_text()
    assert f"type {'I' * squares} sums of squares" in text and "classical, for equal variances" in text
