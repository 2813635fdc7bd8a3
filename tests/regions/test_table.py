import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from qsmprep.regions import AtlasPlace, add_neighbours, column_definitions, read_labels, region_table

LOOKUP = pd.DataFrame({"index": [1, 101, 7], "name": ["caudate", "caudate", "absent"], "hemisphere": ["L", "R", "n/a"]})


@pytest.fixture
def head():
    rng = np.random.default_rng(0)
    labels = np.zeros((6, 7, 8), np.int32)
    labels[1:4, 1:5, 1:6] = 1
    labels[4:6, 1:5, 1:6] = 101
    mask = np.zeros(labels.shape, bool)
    mask[:3] = True
    chi = rng.normal(0.05, 0.02, labels.shape).astype(np.float32)
    chi[1, 1, 1] = 0
    return labels, mask, chi


def test_statistics_equal_numpy_over_the_voxels_inside_the_mask(head):
    labels, mask, chi = head
    row = region_table(labels, LOOKUP, mask, (1, 1, 2), {"chi": chi, "r2star": chi * 500}).iloc[0]
    inside = chi[(labels == 1) & mask].astype(float)
    assert (inside == 0).any(), "a real zero is among them"
    assert row["n_voxels"] == inside.size == 2 * 4 * 5
    assert row["volume_mm3"] == 3 * 4 * 5 * 2
    assert row["coverage"] == pytest.approx(2 / 3)
    expected = {
        "mean": inside.mean(), "median": np.median(inside), "sd": inside.std(ddof=1),
        "mad": np.median(np.abs(inside - np.median(inside))), "p5": np.quantile(inside, 0.05),
        "p95": np.quantile(inside, 0.95),
    }  # fmt: skip
    for name, value in expected.items():
        assert row[f"chi_{name}"] == pytest.approx(value, abs=1e-12)
        assert row[f"r2star_{name}"] == pytest.approx(500 * value, rel=1e-5)


def test_region_outside_the_mask_has_coverage_zero_and_no_values(head):
    labels, mask, chi = head
    row = region_table(labels, LOOKUP, mask, (1, 1, 1), {"chi": chi}).iloc[1]
    assert row["n_voxels"] == 0 and row["coverage"] == 0 and row["volume_mm3"] == 40
    assert np.isnan(row["chi_mean"])


def test_region_without_any_voxel_keeps_its_row(head):
    labels, mask, chi = head
    row = region_table(labels, LOOKUP, mask, (1, 1, 1), {"chi": chi}).iloc[2]
    assert row["name"] == "absent" and row["volume_mm3"] == 0 and np.isnan(row["coverage"])


def test_every_column_is_defined_and_every_definition_is_a_column(head):
    labels, mask, chi = head
    table = region_table(labels, LOOKUP, mask, (1, 1, 1), {"chi": chi, "r2star": None})
    assert list(add_neighbours({"x": table}, "x").columns) == list(column_definitions())
    assert table["r2star_mean"].isna().all()


def test_shapes_that_differ_are_refused(head):
    labels, mask, chi = head
    with pytest.raises(ValueError, match="chi has"):
        region_table(labels, LOOKUP, mask, (1, 1, 1), {"chi": chi[1:]})


def test_hemisphere_is_optional_in_a_table_of_labels(tmp_path):
    path = tmp_path / "labels.tsv"
    path.write_text("index\tname\n3\tNA\n")
    table = read_labels(path)
    assert table.to_dict("list") == {"index": [3], "name": ["NA"], "hemisphere": ["n/a"]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("label\tname\n1\ta\n", "index and name"),
        ("index\tname\n1.5\ta\n", "whole"),
        ("index\tname\n1\ta\n1\tb\n", "once"),
    ],
)
def test_faulty_tables_of_labels_are_explained(tmp_path, text, message):
    path = tmp_path / "labels.tsv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        read_labels(path)
    assert str(path) in str(caught.value)


def test_numbers_of_skewed_values_are_those_of_their_definitions():
    """Hand-computed: -20, 0, 10, 60, 70, 80, 90, 100, 110, 200 ppb."""
    values = np.array([-20, 0, 10, 60, 70, 80, 90, 100, 110, 200]) / 1000
    labels = np.ones((10, 1, 1), np.int32)
    lookup = pd.DataFrame({"index": [1], "name": ["SN"], "hemisphere": ["n/a"]})
    chi = values.reshape(labels.shape)
    noise = np.where(np.arange(10) < 3, np.inf, 0.001).reshape(labels.shape)
    row = region_table(labels, lookup, np.ones(labels.shape, bool), (1, 2, 3), {"chi": chi}, noise=noise).iloc[0]
    deviation = values - 0.07
    m2, m3, m4 = (np.mean(deviation**k) for k in (2, 3, 4))
    expected = {
        "chi_mean": 0.07, "chi_trimmed_mean": 0.52 / 8, "chi_p1": -0.0182, "chi_p99": 0.1919,
        "chi_positive_mean": 0.72 / 8, "chi_negative_mean": -0.02, "chi_below_70ppb": 0.4,
        "chi_high_mean": 0.41 / 3, "chi_total": 0.07 * 60, "outlier_fraction": 0.3,
        "chi_skewness": np.sqrt(90) / 8 * m3 / m2**1.5,
        "chi_kurtosis": 9 / (8 * 7) * (11 * m4 / m2**2 - 3 * 9),
    }  # fmt: skip
    for name, value in expected.items():
        assert row[name] == pytest.approx(value, abs=1e-9), name
    assert np.isnan(row["chi_left_minus_right"])


def test_signal_to_noise_is_over_the_median_of_the_known_noise():
    labels = np.ones((5, 1, 1), np.int32)
    lookup = pd.DataFrame({"index": [1], "name": ["SN"], "hemisphere": ["n/a"]})
    chi = np.full(labels.shape, -0.06)
    mask = np.arange(5).reshape(labels.shape) < 4
    noise = np.array([0.001, 0.003, 0.004, np.inf, 9.0]).reshape(labels.shape)
    row = region_table(labels, lookup, mask, (1, 1, 1), {"chi": chi}, noise=noise).iloc[0]
    assert row["snr"] == pytest.approx(0.06 / 0.003), "what is infinite or outside the mask is no part of the median"
    for nothing in (np.zeros(labels.shape), np.full(labels.shape, np.inf), None):
        assert np.isnan(region_table(labels, lookup, mask, (1, 1, 1), {"chi": chi}, noise=nothing)["snr"][0])


def test_sides_are_compared_and_ratios_kept_from_zero():
    labels = np.zeros((12, 4, 1), np.int32)
    for index, x in ((1, 0), (101, 2), (2, 4), (102, 6), (3, 8)):
        labels[x : x + 2] = index
    value = {1: 0.12, 101: 0.08, 2: 0.01, 102: 0.05, 3: 0.2}
    chi = sum(v * (labels == i) for i, v in value.items())
    lookup = pd.DataFrame(
        {"index": [1, 101, 2, 102, 3], "name": ["a", "a", "b", "b", "c"], "hemisphere": ["L", "R", "L", "R", "L"]}
    )
    table = region_table(labels, lookup, np.ones(labels.shape, bool), (1, 1, 1), {"chi": chi})
    assert table["chi_left_minus_right"].tolist()[:4] == pytest.approx([0.04, 0.04, -0.04, -0.04])
    assert table["chi_asymmetry"].tolist()[:2] == pytest.approx([0.4, 0.4])
    assert table["chi_asymmetry"][2:].isna().all(), "10 ppb is too near to 0, and c has one side"
    assert np.isnan(table["chi_left_minus_right"][4])


def test_ring_is_tissue_around_a_region_in_mm():
    """A ball in a shell of its own: the ring sees what is 2 to 5 mm away, along coarse slices as well."""
    x, y, z = np.meshgrid(np.arange(-15, 16), np.arange(-15, 16), np.arange(-14, 15, 2), indexing="ij")
    r = np.sqrt(x**2 + y**2 + z**2)
    labels = (r < 5).astype(np.int32)
    lookup = pd.DataFrame({"index": [1], "name": ["GPe"], "hemisphere": ["L"]})
    chi = np.where(r < 5, 0.1, np.where(r < 6, 5.0, np.where(r < 11, 0.02, 7.0)))  # partial volumes and far away
    mask = x < 12
    row = region_table(labels, lookup, mask, (1, 1, 2), {"chi": chi}).iloc[0]
    assert row["chi_ring_contrast"] == pytest.approx(0.08)
    depth = np.minimum.reduce([12 - x, 16 + x, 16 - np.abs(y), 16 - np.abs(z)])  # the volume's edge is a rim, too
    assert row["rim_distance"] == pytest.approx(depth[r < 5].mean())
    other = np.where((r >= 6) & (x > 0), 2, labels)  # another region is no ring
    chi = np.where(other == 2, 9.0, chi)
    row = region_table(other.astype(np.int32), lookup, mask, (1, 1, 2), {"chi": chi}).iloc[0]
    assert row["chi_ring_contrast"] == pytest.approx(0.08)


def test_voxels_that_do_not_count_lower_coverage_but_move_no_rim(head):
    labels, mask, chi = head
    counted = np.ones(labels.shape, bool)
    counted[1, 1:3, 1:3] = False
    plain = region_table(labels, LOOKUP, mask, (1, 1, 1), {"chi": chi}).iloc[0]
    row = region_table(labels, LOOKUP, mask, (1, 1, 1), {"chi": chi}, counted=counted).iloc[0]
    inside = chi[(labels == 1) & mask & counted].astype(float)
    assert row["n_voxels"] == inside.size == plain["n_voxels"] - 4
    assert row["chi_mean"] == pytest.approx(inside.mean(), abs=1e-12)
    assert row["volume_mm3"] == plain["volume_mm3"] and row["coverage"] < plain["coverage"]
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1, 1:-1]
    assert row["rim_distance"] == pytest.approx(depth[(labels == 1) & mask & counted].mean(), rel=1e-6)


def test_a_region_found_on_chi_says_so_and_has_no_mean_by_the_atlas(head):
    labels, mask, chi = head
    positions = np.stack(np.indices(labels.shape), axis=-1).astype(float)
    place = AtlasPlace(labels, np.eye(4), positions)
    table = region_table(
        labels, LOOKUP, mask | True, (1, 1, 1), {"chi": chi}, place=place, refined={1: True, 101: False}
    )
    assert table["refined"].tolist()[:2] == [1, 0] and np.isnan(table["refined"][2])
    assert np.isnan(table["chi_pv_mean"][0]) and np.isnan(table["chi_pv_mean"][2])
    assert table["chi_pv_mean"][1] == pytest.approx(table["chi_mean"][1]), "its own grid: every voxel is full"
    assert region_table(labels, LOOKUP, mask, (1, 1, 1), {"chi": chi})["chi_pv_mean"].isna().all()
