"""Multivariate tests against statsmodels."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.multivariate.manova import MANOVA

from qsmprep.stats.design import design_matrix
from qsmprep.stats.mancova import mancova

NAMES = {
    "Pillai": "Pillai's trace", "Wilks": "Wilks' lambda", "Hotelling-Lawley": "Hotelling-Lawley trace",
    "Roy": "Roy's greatest root",
}  # fmt: skip


@pytest.fixture
def people():
    rng = np.random.default_rng(0)
    group = np.repeat(["AD", "HC", "MCI"], [18, 25, 17])
    return pd.DataFrame({"group": group, "age": rng.normal(70, 6, 60), "sex": rng.choice(["F", "M"], 60)})


@pytest.fixture
def values(people):
    rng = np.random.default_rng(1)
    out = pd.DataFrame(rng.normal(size=(60, 4)) @ rng.normal(size=(4, 4)), columns=list("abcd"))
    out["a"] += 1.2 * (people.group == "AD")
    out.iloc[[5, 33], 2] = np.nan
    return out


@pytest.mark.parametrize("regions", [list("abcd"), ["a", "b"]])
def test_all_statistics_equal_statsmodels(people, values, regions):
    rows = mancova(values[regions], design_matrix("group + age + sex", people), "AD").set_index(["contrast", "test"])
    data = people.join(values[regions]).dropna()
    theirs = MANOVA.from_formula(f"{' + '.join(regions)} ~ C(group, Sum) + age + C(sex, Sum)", data).mv_test().results
    for ours, name in {"group": "C(group, Sum)", "age": "age", "sex": "C(sex, Sum)"}.items():
        for short, long in NAMES.items():
            row, expected = rows.loc[(ours, f"MANCOVA, {short}")], theirs[name]["stat"].loc[long]
            found = [row.estimate, row.statistic, row.df1, row.df2, row.p]
            wanted = expected[["Value", "F Value", "Num DF", "Den DF", "Pr > F"]].astype(float)
            assert np.allclose(found, wanted, rtol=1e-8), (ours, short)
    assert rows.n.iloc[0] == len(data) and (rows.region == "AD").all()
    assert ((rows.effect > 0) & (rows.effect < 1)).all()


def test_one_region_is_the_f_test_of_the_linear_model(people, values):
    from qsmprep.stats.glm import fit_glm

    design = design_matrix("group + age", people)
    rows = mancova(values[["a"]], design, "a").set_index(["contrast", "test"])
    plain = fit_glm(values[["a"]], design, errors="classical").set_index("contrast")
    for term in ("group", "age"):
        row = rows.loc[(term, "MANCOVA, Pillai")]
        assert np.allclose(
            [row.statistic, row.p, row.effect], plain.loc[term, ["statistic", "p", "effect"]].astype(float)
        )


def test_contrast_of_two_groups_is_hotellings_t2(people, values):
    two, y = people[people.group != "MCI"], values[["a", "b", "d"]]
    row = mancova(y, design_matrix("group", two), "x", ["AD - HC"]).iloc[0]
    a, b = (y[people.group == name].to_numpy() for name in ("AD", "HC"))
    pooled = ((len(a) - 1) * np.cov(a.T) + (len(b) - 1) * np.cov(b.T)) / (len(a) + len(b) - 2)
    difference = a.mean(0) - b.mean(0)
    t2 = difference @ np.linalg.solve(pooled, difference) / (1 / len(a) + 1 / len(b))
    f = t2 * (len(a) + len(b) - 4) / (3 * (len(a) + len(b) - 2))
    assert np.isclose(row.statistic, f) and np.isclose(row.p, stats.f.sf(f, 3, len(a) + len(b) - 4))
    assert row.contrast == "AD - HC" and row.n_groups == "AD 18, HC 25"


def test_p_values_are_uniform_under_the_null(people):
    rng, design = np.random.default_rng(2), design_matrix("group + age", people)
    p = [mancova(pd.DataFrame(rng.normal(size=(60, 3))), design, "x").p[0] for _ in range(100)]
    assert stats.kstest(p, "uniform").pvalue > 0.01


def test_what_cannot_be_computed_says_why(people, values):
    design = design_matrix("group + age", people)
    few = mancova(values.iloc[:6], design, "x")
    assert (few.note == "only 5 people with all of 4 regions").all() and few.p.isna().all()
    twice = mancova(values.assign(e=2 * values.a), design, "x")
    assert (twice.note == "a region is constant, or a combination of others").all()
    confounded = people.assign(site=people.group)
    notes = mancova(values, design_matrix("group + site + age", confounded), "x").set_index("contrast").note
    assert "collinear" in notes["group"] and (notes["age"] == "").all()
