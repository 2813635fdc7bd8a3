"""Normative models: parts against statsmodels, z-scores against exact prediction intervals and simulated controls."""

import json

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import optimize, sparse, stats

from qsmprep.stats import centiles, location_scale
from qsmprep.stats.location_scale import Basis
from qsmprep.stats.normative import fit_normative, from_json, score, score_controls, to_json


def simulated(n, rng, regions=1):
    """Controls of 20 to 85 years whose χ rises like iron in the putamen, and spreads more in the old."""
    people = pd.DataFrame({"age": rng.uniform(20, 85, n), "sex": rng.choice(["F", "M"], n)})
    mean = 40 + 60 * -np.expm1(-0.04 * people.age) + 3 * (people.sex == "M")
    sd = np.exp(1.5 + 0.012 * people.age)
    noise = rng.normal(size=(n, regions))
    values = pd.DataFrame(mean.to_numpy()[:, None] + sd.to_numpy()[:, None] * noise).add_prefix("r")
    return values, people, noise


@pytest.fixture
def controls():
    return simulated(150, np.random.default_rng(1))[:2]


@pytest.fixture
def design(controls):
    values, people = controls
    basis = Basis(people.age.min(), people.age.max(), 10, ("F", "M"))
    return values["r0"].to_numpy(), basis.rows(people.age, people.sex), basis


def test_mean_equals_least_squares_with_rows_for_the_penalty(design):
    y, x, basis = design
    model = location_scale.fit(y, x, basis.penalty(), (3.0, np.inf))
    sd = np.exp((x @ model.scale)[0])
    differences = np.column_stack([np.diff(np.eye(10), 2, axis=0), np.zeros(8)])
    rows = np.concatenate([x, np.sqrt(3.0) * differences]) / sd
    expected = sm.OLS(np.concatenate([y / sd, np.zeros(8)]), rows).fit()
    assert model.location == pytest.approx(expected.params, rel=1e-5)
    assert model.location_covariance == pytest.approx(expected.normalized_cov_params, rel=1e-4, abs=1e-6)


def test_log_sd_equals_a_gamma_regression_of_squared_residuals(design):
    y, x, basis = design
    model = location_scale.fit(y, x, basis.penalty(), (10.0, 1e-9))
    squares = (y - x @ model.location) ** 2 * len(y) / model.df
    expected = sm.GLM(squares, x, family=sm.families.Gamma(sm.families.links.Log())).fit(tol=1e-12, maxiter=200)
    assert x @ model.scale == pytest.approx(x @ expected.params / 2, abs=1e-4)


def test_with_full_smoothing_z_is_the_exact_prediction_of_a_straight_line():
    """12 controls on a line of age: z of new persons is Student's t of ordinary least squares, as a normal deviate."""
    rng = np.random.default_rng(4)
    age = rng.uniform(50, 80, 12)
    y = 50 + 0.3 * age + rng.normal(0, 6, 12)
    basis = Basis(age.min(), age.max(), 5)
    model = location_scale.fit(y, basis.rows(age), basis.penalty(), (1e6, np.inf))
    new, value = np.array([55.0, 90.0]), np.array([90.0, 61.0])
    line = sm.OLS(y, sm.add_constant(age)).fit()
    ahead = line.get_prediction(sm.add_constant(new))
    t = (value - ahead.predicted_mean) / np.sqrt(line.scale + ahead.se_mean**2)
    z, _ = model.z(value, basis.rows(new))
    assert z == pytest.approx(stats.norm.ppf(stats.t.cdf(t, 10)), abs=1e-3)


def test_beyond_the_controls_the_curve_is_straight():
    basis = Basis(20.0, 80.0, 10)
    y = basis.rows([79.0, 80.0, 85.0, 90.0]) @ np.sin(np.arange(10.0))
    slope = (basis.rows([80.0]) - basis.rows([79.9999])) @ np.sin(np.arange(10.0)) / 1e-4
    assert y[2] - y[1] == pytest.approx(y[3] - y[2], rel=1e-6)
    assert (y[2] - y[1]) / 5 == pytest.approx(float(slope[0]), rel=1e-3)


def test_centiles_equal_statsmodels(design):
    y, x, _ = design
    x = np.column_stack([np.ones(len(y)), x @ np.arange(11.0)])
    found = centiles.fit(y, x, (0.1, 0.5, 0.8))
    for row, quantile in zip(found, (0.1, 0.5, 0.8), strict=True):
        expected = sm.QuantReg(y, x).fit(q=quantile, max_iter=5000, p_tol=1e-9)
        ours, theirs = (np.mean((y - x @ b) * (quantile - (y < x @ b))) for b in (row, expected.params))
        assert ours == pytest.approx(theirs, rel=1e-4) and ours <= theirs + 1e-9
        assert row == pytest.approx(expected.params, abs=0.01 * np.std(y))


def programme(y, x, quantile):
    """Quantile regression as its authors state it: positive and negative residuals with their prices."""
    n, p = x.shape
    cost = np.concatenate([np.zeros(p), np.full(n, quantile), np.full(n, 1 - quantile)])
    equations = sparse.hstack([sparse.csr_array(x), sparse.eye_array(n), -sparse.eye_array(n)])
    bounds = [(None, None)] * p + [(0, None)] * (2 * n)
    return optimize.linprog(cost, A_eq=equations, b_eq=y, bounds=bounds, method="highs").x[:p]


def loss(y, x, coefficients, quantile):
    return np.mean((y - x @ coefficients) * (quantile - (y < x @ coefficients)))


@pytest.mark.parametrize("n", [151, 433])  # no multiples of the quantiles, of which more than one curve can be the best
@pytest.mark.parametrize("scale", [1e-6, 1.0])
def test_centiles_equal_the_linear_programme(n, scale):
    values, people, _ = simulated(n, np.random.default_rng(n))
    y = scale * values["r0"].to_numpy()
    x = Basis(people.age.min(), people.age.max(), 4, ("F", "M")).rows(people.age, people.sex)
    found = centiles.fit(y, x)
    for row, quantile in zip(found, centiles.QUANTILES, strict=True):
        expected = scale * programme(y / scale, x, quantile)
        assert x @ row == pytest.approx(x @ expected, abs=1e-6 * y.std())


def test_most_centiles_need_no_simplex_method(monkeypatch):
    asked = []
    simplex = centiles._simplex
    monkeypatch.setattr(centiles, "_simplex", lambda *given: asked.append(given) or simplex(*given))
    values, people, _ = simulated(500, np.random.default_rng(2), regions=10)
    x = Basis(people.age.min(), people.age.max(), 4, ("F", "M")).rows(people.age, people.sex)
    for region in values:
        centiles.fit(values[region].to_numpy(), x)
    assert len(asked) <= 7


@pytest.mark.parametrize("case", ["rounded", "collinear", "exact", "few values", "several"])
def test_centiles_of_awkward_data_are_as_good_as_those_of_the_linear_programme(case):
    """Of people who are tied, and where several curves are best."""
    values, people, _ = simulated(100 if case == "several" else 150, np.random.default_rng(100))
    y = values["r0"].to_numpy()
    x = Basis(20.0, 85.0, 4, ("F", "M")).rows(people.age.round(), people.sex)
    if case == "collinear":
        x = np.column_stack([x, x[:, 4] + 1])
    y = {"rounded": y.round(), "exact": x @ np.arange(1.0, x.shape[1] + 1), "few values": np.sign(y - 80)}.get(case, y)
    for row, quantile in zip(centiles.fit(y, x), centiles.QUANTILES, strict=True):
        assert loss(y, x, row, quantile) == pytest.approx(loss(y, x, programme(y, x, quantile), quantile), abs=1e-9)


@pytest.mark.parametrize(("n", "tolerance"), [(30, 0.12), (200, 0.05)])
def test_held_out_controls_have_standard_normal_z(n, tolerance):
    """40 sets of controls, and 100 others scored against each: mean 0, SD 1, 5 % beyond 1.96."""
    rng = np.random.default_rng(n)
    z = []
    for _ in range(40):
        values, people, _ = simulated(n, rng)
        others, persons, _ = simulated(100, rng)
        table = score(fit_normative(values, people), others, persons)
        z.append(table.z[table.note == ""])
    pooled = np.concatenate(z)
    assert pooled.mean() == pytest.approx(0, abs=tolerance)
    assert pooled.std() == pytest.approx(1, abs=tolerance)
    assert np.mean(np.abs(pooled) > 1.96) == pytest.approx(0.05, abs=0.02)


def test_controls_are_scored_without_themselves(controls):
    values, people = controls
    few, persons = values[:40], people[:40]
    model = fit_normative(few, persons)
    table = score_controls(model, few, persons)
    inside = score(model, few, persons)
    assert table.held_out.all() and not inside.held_out.any()
    assert np.abs(table.z).mean() > np.abs(inside.z).mean()
    assert table.z.std() == pytest.approx(1, abs=0.25)
    # the same as a model of the other 39 with the smoothing that all chose
    norm = model.norms["r0"]
    rows = norm.basis.rows(persons.age, persons.sex)
    others = np.arange(40) != 7
    y = few["r0"].to_numpy()
    alone = location_scale.fit(y[others], rows[others], norm.basis.penalty(), norm.smoothing)
    assert table.z[7] == pytest.approx(alone.z(y[7:8], rows[7:8])[0][0], rel=1e-6)


def test_visits_of_a_person_are_left_out_together(controls):
    """A control who came twice with the same odd value must not vouch for it."""
    values, people = (pd.concat([t[:40], t[:1]], ignore_index=True) for t in controls)
    values.loc[[0, 40], "r0"] += 60
    model = fit_normative(values, people)
    who = pd.Series([*range(40), 0])
    together, apart = score_controls(model, values, people, who), score_controls(model, values, people)
    assert together.z[0] == pytest.approx(together.z[40]) and together.z[0] > apart.z[0] + 0.2


@pytest.mark.parametrize("method", ["location-scale", "quantile"])
def test_patients_deviate_and_the_table_says_what_it_cannot(controls, method):
    values, people = controls
    model = fit_normative(values, people, method=method)
    index = pd.MultiIndex.from_tuples(
        [("01", "a"), ("02", "a"), ("03", "a"), ("04", "a")], names=["participant", "session"]
    )
    patients = pd.DataFrame({"r0": [160.0, 10.0, 80.0, np.nan], "other": 1.0}, index=index)
    persons = pd.DataFrame({"age": [60, 60, 95, 60], "sex": ["F", "M", "F", "M"]}, index=index)
    table = score(model, patients, persons)
    mine = table[table.region == "r0"].set_index("participant")
    assert mine.deviates[["01", "02"]].tolist() == ["high", "low"]
    assert mine.z["01"] > 3 and mine.percentile["01"] > 99.8 and mine.session["01"] == "a"
    assert "95 lies beyond" in mine.note["03"] and np.isfinite(mine.z["03"])
    assert mine.note["04"] == "value missing" and np.isnan(mine.z["04"])
    assert table[table.region == "other"].note.eq("the model has no such region").all()
    expected = 40 + 60 * -np.expm1(-0.04 * 60)
    assert mine.expected["01"] == pytest.approx(expected, abs=5)
    assert mine.sd["01"] == pytest.approx(np.exp(1.5 + 0.012 * 60), rel=0.25)


@pytest.mark.parametrize("method", ["location-scale", "quantile"])
def test_a_model_survives_its_file(controls, method):
    values, people = controls
    model = fit_normative(values.assign(few=np.nan), people, method=method)
    again = from_json(to_json({"chi": model, "r2star": model}))["r2star"]
    pd.testing.assert_frame_equal(score(again, values, people), score(model, values, people))
    assert "only 0 controls" in again.norms["few"].note


def test_later_visits_of_a_control_are_judged_by_the_first_visits_of_the_others(controls):
    values, people = (table[:30] for table in controls)
    later, older = values + 8.0, people.assign(age=people["age"] + 2)
    both, ages = pd.concat([values, later], ignore_index=True), pd.concat([people, older], ignore_index=True)
    first = pd.Series(np.arange(60) < 30)
    model = fit_normative(values, people)
    table = score_controls(model, both, ages, pd.Series([*range(30), *range(30)]), first)
    pd.testing.assert_frame_equal(table[:30], score_controls(model, values, people))
    norm, rows = model.norms["r0"], model.norms["r0"].basis.rows(ages.age, ages.sex)
    others, y = np.arange(60) != 7, both["r0"].to_numpy()
    others &= first.to_numpy()
    alone = location_scale.fit(y[others], rows[others], norm.basis.penalty(), norm.smoothing)
    assert table.z[37] == pytest.approx(alone.z(y[37:38], rows[37:38])[0][0], rel=1e-6)
    assert table.age[37] == ages.age[37]


def test_other_files_are_refused(controls):
    text = to_json({"chi": fit_normative(*controls)})
    for bad in ("[1, 2]", "no json", "{}", text.replace('"df"', '"no"'), json.dumps(json.loads(text) | {"form": "x"})):
        with pytest.raises(ValueError, match="no normative model: expected"):
            from_json(bad)


def test_quantile_z_of_held_out_controls():
    rng = np.random.default_rng(8)
    values, people, truth = simulated(400, rng)
    model = fit_normative(values, people, method="quantile")
    table = score_controls(model, values, people)
    assert np.corrcoef(table.z, truth[:, 0])[0, 1] > 0.97
    assert table.z.std() == pytest.approx(1, abs=0.12)


def test_missing_columns_and_sexes(controls):
    values, people = controls
    with pytest.raises(ValueError, match="no column 'gender'; it has age, sex"):
        fit_normative(values, people, sex="gender")
    with pytest.raises(ValueError, match="unknown: expected location-scale or quantile"):
        fit_normative(values, people, method="mean")
    same = fit_normative(values.assign(flat=1.0), people.assign(age=60.0))
    assert score(same, values, people).note.eq("all controls have the same age").all()
    flat = fit_normative(values.assign(r0=1.0), people)
    assert score_controls(flat, values, people).note.eq("all controls have the same value").all()
    model = fit_normative(values, people.assign(sex="F"))
    assert model.sex == ""  # one sex only: no term for it
    asked = people.assign(sex=np.where(np.arange(150) == 3, "O", people.sex))
    table = score(fit_normative(values, people), values, asked)
    assert table.note[3] == "sex is none of F, M" and np.isnan(table.z[3])
