"""Figures hold what their tables hold."""

import numpy as np
import pandas as pd
import pytest

from qsmprep.group.graphs import (
    MANY_ROWS,
    before_after,
    bland_altman,
    effects_kept,
    forest,
    icc_forest,
    raincloud,
    roc_curves,
    save_svg,
    scatters,
    trajectories,
)
from qsmprep.stats import reliability
from qsmprep.stats._frames import frame
from qsmprep.stats.sites import site_effects


def tidy(n, significant=(0,)):
    """Rows of one test in n regions, of which some survive the correction."""
    table = frame(
        [
            {
                **{"region": f"deepgrey.r{i}.L", "test": "Welch t", "contrast": "PD - HC", "estimate": float(i)},
                **{"p": (i + 1) / 99, "estimate_low": i - 2.0, "estimate_high": i + 2.0, "effect_name": "Hedges g"},
            }
            for i in range(n)
        ]
    )  # fmt: skip
    return table.assign(p_corrected=[0.01 if i in significant else 0.9 for i in range(n)])


def test_a_forest_plot_has_a_row_a_region_with_its_interval_and_marks_what_is_significant():
    axis = forest(tidy(5, significant=(1, 3)), 0.05, "ppb", "t").axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == [f"left r{i}" for i in range(5)]
    open_, filled = axis.containers
    assert list(open_[0].get_xdata()) == [0.0, 2.0, 4.0] and list(filled[0].get_xdata()) == [1.0, 3.0]
    assert filled[0].get_markerfacecolor() != "white" and open_[0].get_markerfacecolor() == "white"
    np.testing.assert_allclose([s[:, 0] for s in filled[2][0].get_segments()], [[-1, 3], [1, 5]])
    assert "ppb" in axis.get_xlabel()


def test_a_forest_plot_of_many_regions_keeps_the_smallest_p_and_says_so():
    axis = forest(tidy(80), 0.05, "ppb", "t").axes[0]
    names = [label.get_text() for label in axis.get_yticklabels()]
    assert len(names) == MANY_ROWS and "left r0" in names and "left r79" not in names
    assert f"{MANY_ROWS} of 80 regions" in axis.get_title()


def test_chance_is_one_half_where_the_estimate_is_an_area():
    axis = forest(tidy(3).assign(effect_name="AUC"), 0.05, "AUC", "t").axes[0]
    dotted = [line for line in axis.lines if line.get_linestyle() == ":"]
    assert [line.get_xdata()[0] for line in dotted] == [0.5]


def test_a_forest_of_icc_has_a_row_a_region_in_order_and_keeps_the_lowest():
    table = tidy(80).assign(estimate=np.linspace(1, 0.2, 80), estimate_low=-0.1, estimate_high=1.0)
    axis = icc_forest(table, "ICC").axes[0]
    names = [label.get_text() for label in axis.get_yticklabels()]
    assert names[:2] == ["left r79", "left r78"] and len(names) == MANY_ROWS
    assert f"the lowest {MANY_ROWS} of 80" in axis.get_title()
    (bars,) = axis.containers
    assert bars[0].get_xdata()[0] == 0.2 and axis.get_xlim()[0] < -0.1
    np.testing.assert_allclose(bars[2][0].get_segments()[0][:, 0], [-0.1, 1.0])


def test_a_bland_altman_plot_has_the_limits_of_the_table_and_names_who_lies_beyond():
    rng = np.random.default_rng(0)
    people = pd.Index([f"sub-{i:02d}" for i in range(20)], name="participant_id")
    first = pd.DataFrame({"deepgrey.SNr.L": rng.normal(100, 10, 20)}, index=people)
    second = first + rng.normal(-3, 1, (20, 1))
    second.iloc[7] += 20
    second.iloc[3] = np.nan
    table = reliability.bland_altman(first, second, names=("AB", "CD"))
    pair = pd.DataFrame({"first": first["deepgrey.SNr.L"], "second": second["deepgrey.SNr.L"]})
    axis = bland_altman({"deepgrey.SNr.L": pair}, table, ("AB", "CD"), "ppb").axes[0]
    points = next(line for line in axis.lines if line.get_marker() == "o")
    whole = pair.dropna()
    np.testing.assert_allclose(points.get_ydata(), whole["first"] - whole["second"])
    np.testing.assert_allclose(points.get_xdata(), whole.mean(axis=1))
    drawn = {round(float(line.get_ydata()[0]), 6) for line in axis.lines if line is not points}
    assert drawn == {0.0, *table["estimate"][:3].round(6)}
    spans = sorted(tuple(patch.get_bbox().intervaly) for patch in axis.patches)
    expected = sorted(map(tuple, table[["estimate_low", "estimate_high"]].to_numpy(float)[:3]))
    np.testing.assert_allclose(spans, expected)
    assert "07" in [text.get_text() for text in axis.texts] and axis.get_title() == "left SNr, n 19"


@pytest.fixture
def people():
    rng = np.random.default_rng(1)
    groups = pd.Series(["HC"] * 12 + ["PD"] * 9)
    return groups, pd.Series(rng.normal(90, 10, 21))


def test_a_raincloud_has_a_point_a_person_and_tells_their_number(people):
    groups, values = people
    values[3] = np.nan
    axis = raincloud({"deepgrey.SNr.L": values, "deepgrey.SNr.R": values}, groups, ["HC", "PD"], "ppb").axes[0]
    points = [line for line in axis.lines if line.get_marker() == "o"]
    assert [len(line.get_ydata()) for line in points] == [11, 9]
    np.testing.assert_array_equal(points[1].get_ydata(), values[12:])
    assert [label.get_text() for label in axis.get_xticklabels()] == ["HC\nn 11", "PD\nn 9"]
    assert axis.get_title() == "left SNr" and axis.get_ylabel() == "ppb"


def test_a_constant_region_and_an_empty_group_can_be_drawn(people):
    groups, values = people
    figure = raincloud({"deepgrey.SNr.L": values * 0 + 5}, groups, ["HC", "PD", "MSA"], "ppb")
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()][-1] == "MSA\nn 0"


def test_sites_are_drawn_before_and_after_and_effects_against_each_other():
    rng = np.random.default_rng(0)
    site = pd.Series(rng.choice(["A", "B"], 40), name="scanner")
    age = pd.DataFrame({"age": rng.uniform(40, 80, 40)})
    after = pd.DataFrame(rng.normal(60, 5, (40, 2)), columns=["deepgrey.SNr.L", "deepgrey.GPi.L"])
    after = after.add(age["age"] / 5, axis=0)
    before = after.add(10.0 * (site == "B"), axis=0)
    both = {"deepgrey.SNr.L": (before["deepgrey.SNr.L"], after["deepgrey.SNr.L"])}
    axis = before_after(both, site, {"deepgrey.SNr.L": "η² 0.5 to 0"}, "ppb").axes[0]
    points = [line.get_ydata() for line in axis.lines if line.get_marker() == "o"]
    expected = [table["deepgrey.SNr.L"][site == name] for name in "AB" for table in (before, after)]
    for drawn, values in zip(points, expected, strict=True):
        np.testing.assert_array_equal(drawn, values)
    assert [label.get_text() for label in axis.get_xticklabels()] == ["A", "B"]
    table = site_effects(before, after, site, age)
    lines = {line.get_label(): line for line in effects_kept(table[table["effect"].notna()], "t").axes[0].lines}
    drawn = lines["site"].get_xydata()
    assert drawn[:, 0].min() > 0.25 and drawn[:, 1].max() < 0.1
    np.testing.assert_allclose(*lines["age"].get_xydata().T, rtol=1e-9)


def test_roc_curves_go_from_corner_to_corner_and_the_legend_tells_the_area():
    points = pd.DataFrame({"sensitivity": [0, 0.8, 1.0], "specificity": [1.0, 0.9, 0.0]})
    axis = roc_curves({"deepgrey.SNr.L": points}, {"deepgrey.SNr.L": "AUC 0.85"}, "PD - HC").axes[0]
    np.testing.assert_allclose(axis.lines[0].get_xydata(), [[0, 0], [0.1, 0.8], [1, 1]])
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["left SNr: AUC 0.85"]


def test_the_fit_of_a_scatter_is_least_squares_through_everybody(people):
    groups, _ = people
    score = pd.Series(np.linspace(10, 30, 21), name="updrs3")
    exact = 2 * score + 1
    exact[0] = np.nan
    axis = scatters({"deepgrey.SNr.L": exact}, score, groups, ["HC", "PD"], "ppb").axes[0]
    fit = next(line for line in axis.lines if line.get_label() == "_fit")
    np.testing.assert_allclose(fit.get_ydata(), 2 * fit.get_xdata() + 1)
    assert sum(len(line.get_xdata()) for line in axis.lines if line.get_marker() == "o") == 20
    assert axis.get_title() == "left SNr, n 20" and axis.get_xlabel() == "updrs3"


def test_trajectories_have_a_line_a_person_and_the_mean_of_each_group():
    rows = [
        ("a", "HC", "1", 1.0),
        ("a", "HC", "2", 2.0),
        ("b", "HC", "1", 3.0),
        ("b", "HC", "2", 6.0),
        ("c", "HD", "1", 9),
    ]
    table = pd.DataFrame(rows, columns=["person", "group", "visit", "value"])
    axis = trajectories(table, ["HC", "HD"], "ppb", "t").axes[0]
    assert sum(line.get_label() == "_person" for line in axis.lines) == 3
    mean = next(line for line in axis.lines if line.get_label() == "HC")
    assert list(mean.get_ydata()) == [2.0, 4.0]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["1", "2"]


def test_svg_is_small_holds_its_text_and_is_the_same_each_time(tmp_path):
    first = save_svg(forest(tidy(50), 0.05, "ppb", "A < B"), tmp_path / "a.svg").read_bytes()
    again = save_svg(forest(tidy(50), 0.05, "ppb", "A < B"), tmp_path / "b.svg").read_bytes()
    assert first == again and len(first) < 100_000
    assert b"left r49" in first and b"A &lt; B" in first
