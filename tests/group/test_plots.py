import math
import re
import xml.etree.ElementTree as ET

import pytest

from qsmprep.group.plots import HEIGHT, Point, region_svg, summarise


def points(values, group="all", side="L", verdict="PASS"):
    return [Point(group, side, value, f"sub-{i:02d}", verdict) for i, value in enumerate(values)]


def test_summary_leaves_out_runs_that_fail():
    found = summarise(points([1.0, 2.0, 3.0]) + points([100.0], verdict="FAIL"))
    assert (found.n, found.mean) == (3, 2.0) and found.sd == pytest.approx(1.0)


def test_summary_of_one_has_no_sd():
    assert math.isnan(summarise(points([1.0])).sd)


def test_every_point_is_drawn_within_the_picture_and_higher_values_higher():
    svg = ET.fromstring(region_svg(points([-20.0, 5.0, 130.0]), ["all"], "ppb"))
    heights = [float(circle.get("cy")) for circle in svg.iter("circle")]
    assert len(heights) == 3 and heights == sorted(heights, reverse=True)
    assert all(0 < height < HEIGHT for height in heights)


def test_left_stands_left_of_right():
    svg = ET.fromstring(region_svg(points([1.0], side="R") + points([2.0], side="L"), ["all"], "ppb"))
    x = {re.search(r": (\d)", c[0].text)[1]: float(c.get("cx")) for c in svg.iter("circle")}
    assert x["2"] < x["1"]
    labels = {text.text: float(text.get("x")) for text in svg.iter("text")}
    assert labels["left"] < labels["right"]


def test_names_are_escaped_in_the_picture():
    svg = region_svg([Point("a", "L", 1.0, "<script>x</script>", "PASS")], ["a"], "ppb")
    assert "<script>" not in svg and "&lt;script&gt;" in svg


def test_large_samples_are_drawn_as_quartiles_so_that_the_page_stays_small():
    svg = region_svg(points([float(i % 97) for i in range(5000)]), ["all"], "ppb")
    assert "<circle" not in svg and "<rect" in svg and len(svg) < 5000
