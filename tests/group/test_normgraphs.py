"""What is drawn of norms and persons is what the tables say."""

import numpy as np
import pandas as pd
import pytest

from qsmprep.group import run_group
from qsmprep.group.normgraphs import norm_chart, person_chart
from qsmprep.stats.literature import illustrative_chi
from qsmprep.stats.normative import curve, fit_normative, score


@pytest.fixture
def cohort():
    rng = np.random.default_rng(0)
    people = pd.DataFrame({"age": rng.uniform(30, 80, 80), "sex": rng.choice(["F", "M"], 80)})
    people.index = pd.Index([f"sub-{i:02d}" for i in range(80)], name="participant_id")
    values = pd.DataFrame({"deepgrey.putamen.L": 40 + 0.5 * people.age + rng.normal(0, 5, 80)})
    return values.assign(**{"DK.insula.R": rng.normal(0, 3, 80)}), people


@pytest.mark.parametrize("method", ["location-scale", "quantile"])
def test_curves_are_those_whose_people_have_that_z(cohort, method):
    values, people = (pd.concat([table, table]) for table in cohort)
    values = values + np.random.default_rng(1).normal(0, 3, values.shape)
    model = fit_normative(values.reset_index(drop=True), people.reset_index(drop=True), method=method)
    age = np.array([40.0, 60.0])
    for z in (-2.5, 0.0, 0.7, 1.96):
        drawn = pd.DataFrame({"deepgrey.putamen.L": curve(model.norms["deepgrey.putamen.L"], age, "M", z)})
        found = score(model, drawn, pd.DataFrame({"age": age, "sex": "M"})).z
        # z counts that the norm is not known exactly, the curve does not
        assert found.to_numpy() == pytest.approx(z, abs=0.1 if method == "location-scale" else 1e-9)


def test_chart_of_a_norm(cohort):
    values, people = cohort
    norm = fit_normative(values, people).norms["deepgrey.putamen.L"]
    shown = people.assign(value=values["deepgrey.putamen.L"], group=np.where(np.arange(80) < 50, "HC", "PD"))
    axis = norm_chart(norm, shown, ("HC", "PD"), "deepgrey.putamen.L", "chi_median [ppb]", "Norm").axes[0]
    lines = {line.get_label(): line for line in axis.lines}
    ages = lines["expected F"].get_xdata()
    assert lines["expected F"].get_ydata() == pytest.approx(curve(norm, ages, "F"))
    assert [len(lines[g].get_xdata()) for g in ("HC", "PD")] == [50, 30]
    iron = next(line for label, line in lines.items() if "illustration" in label).get_ydata()
    assert iron[-1] - iron[0] == pytest.approx(
        float(illustrative_chi("putamen", ages[-1]) - illustrative_chi("putamen", ages[0]))
    )
    middle = (norm.basis.low + norm.basis.high) / 2
    at_middle = np.mean([curve(norm, np.array([middle]), sex) for sex in ("F", "M")])
    assert np.interp(middle, ages, iron) == pytest.approx(at_middle, abs=0.05)
    cortex = fit_normative(values, people).norms["DK.insula.R"]
    axis = norm_chart(cortex, shown, ("HC", "PD"), "DK.insula.R", "chi_median [ppb]", "Norm").axes[0]
    assert not any("illustration" in str(line.get_label()) for line in axis.lines)


def test_chart_of_a_person(cohort):
    values, people = cohort
    patient = pd.DataFrame({"deepgrey.putamen.L": [120.0], "DK.insula.R": [0.0]}, index=["sub-99"])
    table = score(fit_normative(values, people), patient, pd.DataFrame({"age": [60.0], "sex": "F"}, index=["sub-99"]))
    axis = person_chart(table, "sub-99").axes[0]
    drawn = [float(x) for line in axis.lines for x in line.get_xdata()]
    assert all(any(x == pytest.approx(z) for x in drawn) for z in table.z)
    assert [text.get_text() for text in axis.get_yticklabels()] == ["right insula", "left putamen"]


def test_chart_of_a_person_who_came_more_than_once(cohort):
    model = fit_normative(*cohort)
    index = pd.MultiIndex.from_product([["sub-99"], ["1", "2"]], names=["participant_id", "session"])
    seen = pd.DataFrame({"deepgrey.putamen.L": [90.0, 120.0], "DK.insula.R": [1.0, 0.0]}, index=index)
    table = score(model, seen, pd.DataFrame({"age": [60.0, 63.0], "sex": "F"}, index=index))
    last, way = person_chart(table, "sub-99").axes
    assert last.get_title() == "sub-99, session 2"
    drawn = [float(x) for line in last.lines for x in line.get_xdata()]
    z = table.set_index(["session", "region"]).z
    assert all(any(x == pytest.approx(v) for x in drawn) for v in z["2"])
    lines = {line.get_label(): line.get_xydata() for line in way.lines}
    expected = [[60, z["1", "deepgrey.putamen.L"]], [63, z["2", "deepgrey.putamen.L"]]]
    np.testing.assert_allclose(lines["left putamen"], expected)
    assert set(lines) == {"left putamen", "right insula"}


def test_the_page_shows_norms_and_who_deviates(dataset):
    rng = np.random.default_rng(2)
    people = dataset.cohort({"HC": 24, "PD": 2}, {"deepgrey.SNr": (100, 10)}, rng, {("PD", "deepgrey.SNr"): 80.0})
    lines = [f"{who}\t{group}\t{rng.integers(40, 80)}\t{rng.choice(['F', 'M'])}" for who, group in people.items()]
    dataset.participants("\n".join(["participant_id\tgroup\tage\tsex", *lines]) + "\n")
    run_group(dataset.settings())
    names = " ".join(path.name for path in (dataset.out / "group" / "figures").glob("result-*.svg"))
    assert "norm-left-snr.svg" in names and "sub-pd000-against-the-norm.svg" in names
    table = pd.read_csv(dataset.out / "group" / "normative.tsv", sep="\t", keep_default_na=False, na_values=["n/a"])
    assert (table[table["participant_id"].isin(["sub-PD000", "sub-PD001"])]["deviates"] == "high").all()
    assert table["held_out"].sum() == 2 * 24
