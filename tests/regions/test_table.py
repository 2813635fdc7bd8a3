import numpy as np
import pandas as pd
import pytest

from qsmprep.regions import column_definitions, read_labels, region_table

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
    assert list(table.columns) == list(column_definitions())
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
