"""The dentate nucleus on χ: found where the prior is off, left alone where χ says nothing."""

import numpy as np
import pytest
from scipy import ndimage

from qsmprep.space.dentate import find_nucleus, refine_dentate

SHAPE, SIDES = (90, 60, 50), {"L": 20, "R": 120}


def ellipsoid(centre, semi_axes, voxel_size=(1, 1, 1), shape=SHAPE):
    grid = np.stack(np.indices(shape), axis=-1) * np.asarray(voxel_size, float)
    return (((grid - np.array(centre)) / np.array(semi_axes)) ** 2).sum(axis=-1) <= 1


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@pytest.fixture
def head():
    """χ with a folded sheet (a shell open to the middle) on each side, truth, priors 3 mm off, everything as mask."""
    rng = np.random.default_rng(0)
    truth, labels = np.zeros(SHAPE, np.int32), np.zeros(SHAPE, np.int32)
    for side, x in (("L", 30), ("R", 60)):
        sheet = ellipsoid((x, 30, 25), (6, 10, 7)) & ~ellipsoid((x, 30, 25), (3, 7, 4))
        truth[sheet] = SIDES[side]
        labels[ellipsoid((x + 1, 28, 27), (6, 10, 5))] = SIDES[side]
    chi = np.where(truth > 0, 0.09, -0.01) + rng.normal(0, 0.01, SHAPE)
    return ndimage.gaussian_filter(chi, 0.5).astype(np.float32), truth, labels, np.ones(SHAPE, bool)


def test_a_folded_sheet_is_found_with_its_hilum_left_open(head):
    chi, truth, labels, mask = head
    refined, record = refine_dentate(labels, SIDES, chi, mask, (1, 1, 1))
    for side, index in SIDES.items():
        before, after = dice(labels == index, truth == index), dice(refined == index, truth == index)
        assert before < 0.65 and after > 0.9
        assert record[side]["Method"] == "chi"
        assert record[side]["Contrast"] == pytest.approx(0.1, abs=0.02)
        assert record[side]["Volume"] == (refined == index).sum()
        assert record[side]["PriorVolume"] == (labels == index).sum()


def test_volumes_are_in_mm3_whatever_the_voxel(head):
    truth = ellipsoid((60, 60, 50), (6, 10, 7), (2, 2, 2.5))
    prior = ellipsoid((58, 60, 50), (6, 10, 7), (2, 2, 2.5))
    chi = np.where(truth, 0.1, 0.0)
    found, record = find_nucleus(prior, chi, np.ones(SHAPE, bool), (2, 2, 2.5))
    assert np.array_equal(found, truth)
    assert record["Volume"] == truth.sum() * 10


def test_without_contrast_the_prior_stays_and_the_record_says_why(head):
    chi, _, labels, mask = head
    refined, record = refine_dentate(labels, SIDES, chi * 0.1, mask, (1, 1, 1))
    assert np.array_equal(refined, labels)
    for side in SIDES:
        assert record[side]["Method"] == "prior"
        assert "stands out" in record[side]["Reason"]


def test_contrast_that_drowns_in_noise_is_not_believed(head):
    chi, _, labels, mask = head
    noisy = chi + np.random.default_rng(1).normal(0, 0.1, SHAPE)
    refined, record = refine_dentate(labels, SIDES, noisy, mask, (1, 1, 1))
    assert np.array_equal(refined, labels)
    assert {record[side]["Method"] for side in SIDES} == {"prior"}


def test_each_side_is_judged_by_itself(head):
    chi, truth, labels, mask = head
    chi = np.where(np.arange(SHAPE[0])[:, None, None] > 45, -0.01, chi)
    refined, record = refine_dentate(labels, SIDES, chi, mask, (1, 1, 1))
    assert record["L"]["Method"] == "chi" and record["R"]["Method"] == "prior"
    assert np.array_equal(refined == 120, labels == 120)
    assert dice(refined == 20, truth == 20) > 0.9


def test_what_is_far_too_large_is_refused(head):
    _, _, labels, mask = head
    chi = np.where(ellipsoid((31, 28, 27), (10, 14, 9)), 0.1, 0.0)
    refined, record = refine_dentate(labels, SIDES, chi, mask, (1, 1, 1))
    assert record["L"]["Method"] == "prior" and "mm³" in record["L"]["Reason"]
    assert np.array_equal(refined, labels)


def test_what_lies_mostly_beside_the_prior_is_refused():
    prior = ellipsoid((30, 30, 25), (4, 4, 4))
    body = ellipsoid((30, 30, 25), (4, 4, 4)) | ellipsoid((30, 30, 25), (9, 9, 9)) & ~ellipsoid((30, 30, 25), (7, 7, 7))
    body[31:, 30, 25] |= ellipsoid((30, 30, 25), (9, 9, 9))[31:, 30, 25]  # a bridge between ball and hull
    found, record = find_nucleus(prior, np.where(body, 0.1, 0.0), np.ones(SHAPE, bool), (1, 1, 1))
    assert "too far from the prior" in record["Reason"] and np.array_equal(found, prior)


def test_a_vein_beside_the_nucleus_and_other_labels_stay_out(head):
    chi, truth, labels, mask = head
    labels[28:33, 44:50, 20:30] = 7  # another nucleus, as bright
    chi[28:33, 44:50, 20:30] = 0.12
    chi[30, 5:15, 40] = 0.3
    refined, _ = refine_dentate(labels, SIDES, chi, mask, (1, 1, 1))
    assert (refined[28:33, 44:50, 20:30] == 7).all()
    assert not refined[30, 5:15, 40].any()
    assert dice(refined == 20, truth == 20) > 0.9


def test_a_streak_without_r2star_stays_out(head):
    chi, truth, labels, mask = head
    streak = np.zeros(SHAPE, bool)
    streak[24:29, 37:45, 20:30] = True  # hangs together with the nucleus
    streak &= truth == 0
    chi[streak] = 0.1
    rate = np.where(truth > 0, 30.0, 17.0).astype(np.float32)
    rate[streak] = 12.0
    with_rate = refine_dentate(labels, SIDES, chi, mask, (1, 1, 1), r2star=rate)[0]
    without = refine_dentate(labels, SIDES, chi, mask, (1, 1, 1))[0]
    assert (without[streak] == 20).sum() > 50 and not (with_rate[streak] == 20).any()


def test_a_prior_outside_the_mask_or_the_image_is_told(head):
    chi, _, labels, mask = head
    _, record = refine_dentate(labels, SIDES, chi, np.zeros_like(mask), (1, 1, 1))
    assert "outside the mask" in record["L"]["Reason"]
    empty, record = refine_dentate(np.zeros_like(labels), SIDES, chi, mask, (1, 1, 1))
    assert not empty.any() and "outside the mask" in record["R"]["Reason"]


def test_shapes_that_differ_are_refused(head):
    chi, _, labels, mask = head
    with pytest.raises(ValueError, match="chi has"):
        refine_dentate(labels, SIDES, chi[1:], mask, (1, 1, 1))
