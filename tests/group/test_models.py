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
