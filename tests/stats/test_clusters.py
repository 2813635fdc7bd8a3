import numpy as np
import pytest
from nilearn.mass_univariate._utils import calculate_cluster_measures
from scipy import ndimage

from qsmprep.stats.clusters import cluster_table, find_clusters
from qsmprep.stats.tfce import neighbours


@pytest.mark.parametrize("two_sided", [True, False])
def test_extent_and_mass_equal_nilearn(two_sided):
    for seed in range(5):
        volume = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((9, 8, 7)), 1) * 8
        table = neighbours(np.ones(volume.shape, bool))
        found = find_clusters(volume.ravel(), table, 1.0, two_sided=two_sided)
        structure = ndimage.generate_binary_structure(3, 1)
        size, mass = calculate_cluster_measures(volume[..., None], 1.0, structure, two_sided)
        assert found.maxima() == {"cluster_extent": size[0], "cluster_mass": pytest.approx(mass[0], rel=1e-9)}
        beyond = np.abs(volume) > 1 if two_sided else volume > 1
        assert np.array_equal(found.labels.reshape(volume.shape) > 0, beyond)
        assert np.all(np.diff(found.extent) <= 0)


def test_table_names_what_is_there():
    volume = np.zeros((10, 10, 10))
    volume[1:4, 1:3, 1] = 4
    volume[2, 2, 1] = 6
    volume[7, 7, 7:9] = -5
    atlas = np.zeros(volume.shape, int)
    atlas[1:3, 1:3, 1], atlas[3, 1:3, 1] = 3, 4
    affine = np.diag([2.0, 2, 2, 1])
    affine[:3, 3] = -10
    found = find_clusters(volume.ravel(), neighbours(np.ones(volume.shape, bool)), 3.0)
    voxels = np.argwhere(np.ones(volume.shape))
    p = np.where(volume > 5, 0.01, 0.5).ravel()
    table = cluster_table(found, volume.ravel(), voxels, affine, atlas.ravel(), {3: "Putamen L"}, p_fwe=p)
    first, second = table.to_dict("records")
    assert first["voxels"] == 6 and first["size_mm3"] == pytest.approx(48)
    assert first["sign"] == 1 and first["p_fwe"] == 0.01
    assert first["mass"] == pytest.approx(8) and first["peak_statistic"] == 6
    assert (first["peak_x"], first["peak_y"], first["peak_z"]) == (-6, -6, -8)
    assert first["region"] == "Putamen L" and first["regions"] == "Putamen L 67 %, label 4 33 %"
    assert second["voxels"] == 2 and second["sign"] == -1 and second["region"] == second["regions"] == ""
    assert np.array_equal(found.spread([0.1, 0.2], 1.0) == 0.1, found.labels == 1)


def test_nothing_above_the_threshold():
    found = find_clusters(np.array([0.1, np.nan, 0.2]), neighbours(np.ones((3, 1, 1), bool)), 3.0)
    assert found.maxima() == {"cluster_extent": 0, "cluster_mass": 0} and not found.labels.any()
    table = cluster_table(found, np.zeros(3), np.zeros((3, 3), int), np.eye(4))
    assert table.empty and "peak_x" in table
