import numpy as np
import pytest
from scipy import ndimage

from qsmprep.qsm.background._repair import repair_field

GEOMETRIES = [((40, 40, 40), (1.0, 1.0, 1.0)), ((48, 48, 24), (0.8, 0.8, 1.6))]


def spoil(h, bad, by):
    total = (h.local + h.background).astype(np.float32)
    noise = np.where(bad, np.inf, 0.001).astype(np.float32)
    return total, np.where(bad, total + np.float32(by), total).astype(np.float32), noise


@pytest.mark.parametrize(("shape", "voxel_size"), GEOMETRIES)
def test_wrong_voxels_come_back(head, shape, voxel_size):
    """Scattered ones, a tenth of them on the rim: 1 ppm off before, within 40 ppb of the truth after."""
    h = head(shape, voxel_size)
    bad = np.zeros(shape, bool)
    rng = np.random.default_rng(0)
    places = np.argwhere(h.mask)
    bad[tuple(places[rng.choice(len(places), 30, replace=False)].T)] = True
    rim = np.argwhere(h.mask & ~ndimage.binary_erosion(h.mask))
    bad[tuple(rim[rng.choice(len(rim), 3, replace=False)].T)] = True
    total, spoilt, noise = spoil(h, bad, 1.0)
    repaired = repair_field(spoilt, h.mask, voxel_size, noise)
    assert np.array_equal(repaired[h.mask & ~bad], total[h.mask & ~bad])
    assert np.abs(repaired - total)[bad].max() < 0.04
    assert np.median(np.abs(repaired - total)[bad]) < 0.005


def test_values_that_are_nearly_right_are_not_made_worse(head):
    """A patch of the rim, four voxels deep, where the background is steep: neighbours alone cannot tell it."""
    h = head((48, 48, 48))
    patch = np.zeros(h.mask.shape, bool)
    patch[18:28, 30:48, 4:14] = True
    bad = patch & h.mask & (ndimage.distance_transform_edt(h.mask) <= 4)
    total, spoilt, noise = spoil(h, bad, 0)
    spoilt[bad] += np.random.default_rng(0).normal(0, 0.01, int(bad.sum())).astype(np.float32)
    repaired = repair_field(spoilt, h.mask, (1, 1, 1), noise)
    assert bad.sum() > 50
    assert np.abs(repaired - total)[bad].mean() < 1.3 * np.abs(spoilt - total)[bad].mean()


def test_nan_where_nothing_is_trusted_is_filled(head):
    h = head((40, 40, 40))
    bad = np.zeros(h.mask.shape, bool)
    bad[20, 20:22, 20] = True
    total, spoilt, noise = spoil(h, bad, np.nan)
    repaired = repair_field(spoilt, h.mask, (1, 1, 1), noise)
    assert np.isfinite(repaired).all()
    assert np.abs(repaired - total)[bad].max() < 0.02


def test_noise_that_is_the_same_everywhere_changes_nothing(head):
    h = head((32, 32, 32))
    total = (h.local + h.background).astype(np.float32)
    noise = np.full(total.shape, 0.5, np.float32)
    assert np.array_equal(repair_field(total, h.mask, (1, 1, 1), noise), np.where(h.mask, total, 0))
