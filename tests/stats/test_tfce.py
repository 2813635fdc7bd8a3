import numpy as np
import pytest
from nilearn.mass_univariate._utils import calculate_tfce
from scipy import ndimage

from qsmprep.stats.tfce import neighbours, tfce

FACES = ndimage.generate_binary_structure(3, 1)


def smooth_noise(shape=(9, 8, 7), seed=0):
    return ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 1) * 6


def by_definition(volume, structure, E=0.5, H=2.0):
    """The integral, cluster by cluster between the heights that occur."""
    out, low = np.zeros(volume.shape), 0.0
    for high in np.unique(volume[volume > 0]):
        labels, _ = ndimage.label(volume >= high, structure)
        extent = np.bincount(labels.ravel())[labels]
        out += np.where(labels > 0, extent**E, 0) * (high ** (H + 1) - low ** (H + 1)) / (H + 1)
        low = high
    return out


@pytest.mark.parametrize(("connectivity", "rank"), [(6, 1), (18, 2), (26, 3)])
@pytest.mark.parametrize(("E", "H"), [(0.5, 2.0), (1.0, 1.0)])
def test_it_is_the_integral(connectivity, rank, E, H):
    volume = smooth_noise()
    mask = np.random.default_rng(1).random(volume.shape) > 0.1
    structure = ndimage.generate_binary_structure(3, rank)
    expected = by_definition(np.where(mask, volume, 0), structure, E, H)
    expected -= by_definition(np.where(mask, -volume, 0), structure, E, H)
    table = neighbours(mask, connectivity)
    np.testing.assert_allclose(tfce(volume[mask], table, E=E, H=H), expected[mask], rtol=1e-9, atol=1e-12)
    one_sided = tfce(volume[mask], table, E=E, H=H, two_sided=False)
    np.testing.assert_allclose(one_sided, np.maximum(expected[mask], 0), rtol=1e-9, atol=1e-12)


def test_equal_heights_are_one_cluster():
    volume = np.round(smooth_noise(seed=3))
    found = tfce(volume.ravel(), neighbours(np.ones(volume.shape, bool)), two_sided=False)
    np.testing.assert_allclose(found, by_definition(volume, FACES).ravel(), rtol=1e-9)


def test_nilearn_comes_near_with_many_steps():
    volume = smooth_noise(seed=2)
    step = np.abs(volume).max() / 1000
    theirs = calculate_tfce(volume[..., None], FACES, dh=step)[..., 0] * step
    ours = tfce(volume.ravel(), neighbours(np.ones(volume.shape, bool))).reshape(volume.shape)
    assert np.abs(ours - theirs).max() < 0.005 * np.abs(ours).max()
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.9999


def test_missing_voxels_separate():
    line = np.array([1.0, np.nan, 1.0, 1.0])
    found = tfce(line, neighbours(np.ones((4, 1, 1), bool)))
    np.testing.assert_allclose(found, np.array([1, 0, np.sqrt(2), np.sqrt(2)]) / 3)


def test_neighbours():
    mask = np.ones((3, 3, 3), bool)
    assert [(neighbours(mask, k)[13] >= 0).sum() for k in (6, 18, 26)] == [6, 18, 26]
    assert (neighbours(mask, 26)[0] >= 0).sum() == 7
    with pytest.raises(ValueError, match="6, 18 or 26"):
        neighbours(mask, 8)
