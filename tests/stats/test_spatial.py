import numpy as np
import pytest
from scipy import ndimage, stats

from qsmprep.stats.shuffling import shuffles
from qsmprep.stats.spatial import spatial_test
from qsmprep.stats.tfce import neighbours, tfce

SHAPE = (6, 6, 6)
TABLE = neighbours(np.ones(SHAPE, bool))
TWO = np.column_stack([np.ones(14), np.arange(14) % 2])
THREE = np.column_stack([np.ones(15), np.arange(15) % 3 == 0, np.arange(15) % 3 == 1]).astype(float)


def smooth(n, seed):
    noise = np.random.default_rng(seed).standard_normal((n, *SHAPE))
    return ndimage.gaussian_filter(noise, (0, 0.8, 0.8, 0.8)).reshape(n, -1)


@pytest.mark.parametrize(
    ("design", "contrast"), [(TWO, [0.0, 1.0]), (THREE, [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])], ids=["t", "F"]
)
def test_all_family_wise_p_values_hold_their_rate(design, contrast):
    family = {"peak": [], "mass": [], "tfce": [], "extent": []}
    for number in range(500):
        n = len(design)
        found = spatial_test(smooth(n, number), design, contrast, shuffles(n, 20, number), TABLE, 0.04, workers=1)
        family["peak"].append(found.voxels.p_fwe.min())
        family["tfce"].append(found.p_tfce.min())
        family["mass"].append(found.p_mass.min(initial=1))
        family["extent"].append(found.p_extent.min(initial=1))
    rates = {name: np.mean(np.array(p) <= 0.05) for name, p in family.items()}
    assert min(rates["peak"], rates["mass"], rates["tfce"]) >= 0.03 and max(rates.values()) <= 0.07, rates


def test_f_counts_one_way_and_clusters_lie_above_its_threshold():
    values = smooth(15, 0).reshape(15, *SHAPE)
    values[::3, :3, :3, :3] -= 1.5  # the first group is lower: F rises all the same
    values = values.reshape(15, -1)
    found = spatial_test(values, THREE, np.eye(3)[1:], shuffles(15, 100), TABLE, 0.01, workers=1)
    F = stats.f_oneway(values[::3], values[1::3], values[2::3]).statistic
    np.testing.assert_allclose(found.voxels.statistic, F, rtol=1e-6)
    assert found.threshold == pytest.approx(stats.f.isf(0.01, 2, 12))
    assert np.array_equal(found.clusters.labels > 0, found.threshold < F) and set(found.clusters.sign) == {1}
    np.testing.assert_allclose(found.enhanced, tfce(np.sqrt(F), TABLE, two_sided=False), rtol=1e-6)
    inside = np.zeros(SHAPE, bool)
    inside[:3, :3, :3] = True
    assert (found.p_tfce[inside.ravel()] < 0.05).mean() > 0.8 and found.p_mass[0] < 0.05
    assert (found.p_tfce[~inside.ravel()] < 0.05).mean() < 0.2


def test_t_counts_both_ways():
    values = smooth(14, 1).reshape(14, *SHAPE)
    values[1::2, :3, :3, :3] -= 1.5
    values[1::2, 4:, 4:, 4:] += 1.5
    found = spatial_test(values.reshape(14, -1), TWO, [0, 1], shuffles(14, 100), TABLE, 0.01, workers=1)
    assert found.threshold == pytest.approx(stats.t.isf(0.005, 12))
    assert set(found.clusters.sign) == {1, -1} and found.enhanced.min() < 0 < found.enhanced.max()
    assert (found.p_tfce.reshape(SHAPE)[1, 1, 1], found.p_tfce.reshape(SHAPE)[5, 5, 5]) == (0.01, 0.01)
