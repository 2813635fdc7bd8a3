import numpy as np
import pandas as pd
import pytest

from qsmprep.regions import add_grey_matter, grey_matter_definitions

TABLE = pd.DataFrame({"index": [1, 2, 3, 4], "name": ["insula", "putamen", "cuneus", "absent"], "chi_mean": 0.0})


@pytest.fixture
def arrays():
    """Labels 1 to 3 in four voxels each; 3 has next to no grey matter."""
    labels = np.repeat([1, 2, 3], 4).reshape(3, 2, 2)
    chi = np.arange(12.0).reshape(labels.shape) / 100
    grey = np.array([1, 0.5, 0.5, 0, *[0.7] * 4, *[0.1] * 4]).reshape(labels.shape)
    return labels, np.ones(labels.shape, bool), chi, grey


def test_voxels_are_weighted_by_their_grey_matter(arrays):
    found = add_grey_matter(TABLE, {1, 3, 4}, *arrays)
    assert found["chi_gm_mean"][0] == pytest.approx((0.00 + 0.5 * 0.01 + 0.5 * 0.02) / 2)
    assert found["gm_fraction"].tolist()[::2] == pytest.approx([0.5, 0.1])
    assert np.isnan(found["chi_gm_mean"][2]), "less than one voxel of grey matter has no mean"
    assert found.loc[[1, 3], ["chi_gm_mean", "gm_fraction"]].isna().all(axis=None), "no cortex, or no voxel"


def test_a_voxel_that_does_not_count_does_not_count_here(arrays):
    labels, counted, chi, grey = arrays
    counted[0, 0, 0] = False
    found = add_grey_matter(TABLE, {1}, labels, counted, chi, grey)
    assert found["chi_gm_mean"][0] == pytest.approx(0.015) and found["gm_fraction"][0] == pytest.approx(1 / 3)


def test_grey_matter_alone_changes_nothing_else_and_each_new_column_is_defined(arrays):
    found = add_grey_matter(TABLE, {1}, *arrays)
    pd.testing.assert_frame_equal(found[TABLE.columns], TABLE)
    assert list(found.columns.drop(TABLE.columns)) == list(grey_matter_definitions())


def test_where_all_is_grey_the_mean_is_the_mean(arrays):
    labels, counted, chi, grey = arrays
    found = add_grey_matter(TABLE, {2}, labels, counted, chi, np.ones_like(grey))
    assert found["chi_gm_mean"][1] == pytest.approx(chi[labels == 2].mean())


def test_shapes_that_differ_are_refused(arrays):
    labels, counted, chi, grey = arrays
    with pytest.raises(ValueError, match="grey has"):
        add_grey_matter(TABLE, {1}, labels, counted, chi, grey[1:])
