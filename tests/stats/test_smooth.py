import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from qsmprep.stats.smooth import FWHM_PER_SD, smooth_within


def test_tissues_do_not_mix_and_a_constant_stays():
    grey = np.zeros((16, 14, 12))
    grey[:8] = 1
    values = np.where(grey > 0, 0.05, -0.02)
    smoothed = smooth_within(values, [grey, 1 - grey], 6.0, (1, 1, 1))
    np.testing.assert_allclose(smoothed, values, rtol=1e-5)


def test_it_is_gaussian_far_from_borders():
    rng = np.random.default_rng(0)
    values = rng.standard_normal((30, 30, 20))
    smoothed = smooth_within(values, [np.ones(values.shape)], 3.0, (1.0, 1.0, 2.0))
    expected = gaussian_filter(values, np.array([3, 3, 1.5]) / FWHM_PER_SD)
    middle = (slice(8, -8), slice(8, -8), slice(6, -6))
    np.testing.assert_allclose(smoothed[middle], expected[middle], atol=1e-5)
    point = np.zeros((41, 41, 41))
    point[20, 20, 20] = 1
    line = smooth_within(point, [np.ones(point.shape)], 8.0, (1, 1, 1))[20, 20]
    assert line[24] / line[20] == pytest.approx(0.5, abs=0.01), "half the height at half the width"


def test_missing_values_are_neither_used_nor_invented():
    values = np.ones((10, 10, 10))
    values[5, 5, 5] = np.nan
    mask = np.ones(values.shape, bool)
    mask[:, :, 8:] = False
    smoothed = smooth_within(values, [mask], 4.0, (2, 2, 2))
    assert np.isnan(smoothed[5, 5, 5]) and np.isnan(smoothed[..., 8:]).all()
    np.testing.assert_allclose(smoothed[..., :8][np.isfinite(smoothed[..., :8])], 1, rtol=1e-5)
    assert np.array_equal(smooth_within(values, [mask], 0, (2, 2, 2))[0, 0], np.where(mask[0, 0], 1, np.nan), True)
    with pytest.raises(ValueError, match="a tissue"):
        smooth_within(values, [], 4, (1, 1, 1))
