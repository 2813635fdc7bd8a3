"""Numbers on the agreement of masks and images."""

import numpy as np
import pytest

from qsmprep.space.quality import dice, normalised_mutual_information


def test_dice_of_known_overlaps():
    a = np.array([1, 1, 1, 0, 0], bool)
    assert dice(a, a) == 1
    assert dice(a, ~a) == 0
    assert dice(a, [0, 1, 1, 1, 0]) == pytest.approx(2 / 3)
    assert np.isnan(dice(np.zeros(3), np.zeros(3)))


def test_masks_of_other_shape_are_refused():
    with pytest.raises(ValueError, match="shape"):
        dice(np.ones(3), np.ones(4))


def test_mutual_information_is_two_for_equal_and_one_for_independent_images():
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 60, 60, 60))
    assert normalised_mutual_information(a, a) == pytest.approx(2)
    assert normalised_mutual_information(a, b) == pytest.approx(1, abs=0.01)


def test_mutual_information_does_not_care_for_an_inverted_contrast():
    a = np.random.default_rng(0).random((40, 40, 40))
    assert normalised_mutual_information(a, 5 - 2 * a) == pytest.approx(2, abs=0.02)


def test_mutual_information_reads_only_the_mask():
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 40, 40, 40))
    mask = np.zeros(a.shape, bool)
    mask[:20] = True
    b[mask] = a[mask]
    assert normalised_mutual_information(a, b, mask) == pytest.approx(2)
    assert normalised_mutual_information(a, b) < 1.5


def test_a_constant_image_has_no_information():
    a = np.random.default_rng(0).random((10, 10, 10))
    assert normalised_mutual_information(a, np.ones_like(a)) == pytest.approx(1)
