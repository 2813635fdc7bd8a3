import numpy as np
import pytest

from qsmprep.mask.refine import csf_mask, largest_part, otsu, qsm_mask, reference_regions
from qsmprep.space.priors import CSF, REGION, WHITE_MATTER


def ball(shape, centre, radius):
    grid = np.indices(shape)
    return sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True)) <= radius**2


@pytest.fixture
def brain():
    return ball((40, 40, 40), (20, 20, 20), 15)


def test_bad_phase_at_the_rim_is_cut_and_bad_phase_inside_stays(brain):
    quality = np.where(brain, 0.9, 0.1)
    sinus, bleeding = ball(brain.shape, (20, 33, 12), 4), ball(brain.shape, (20, 20, 20), 3)
    quality[sinus | bleeding] = 0.2
    mask = qsm_mask(brain, quality, quality_threshold=0.5)
    assert not (mask & sinus).any()
    assert mask[bleeding].all()
    assert mask.sum() / (brain & ~sinus).sum() > 0.99
    assert not (mask & ~brain).any()


def test_a_threshold_of_zero_keeps_the_whole_brain(brain):
    assert np.array_equal(qsm_mask(brain, np.zeros(brain.shape), quality_threshold=0), brain)


def test_a_brain_that_fills_the_volume_is_not_eroded():
    full = np.ones((10, 10, 10), bool)
    assert qsm_mask(full, np.full(full.shape, 0.9)).all()


def test_noise_everywhere_is_refused_with_the_setting_to_change(brain):
    with pytest.raises(ValueError, match="quality_threshold"):
        qsm_mask(brain, np.full(brain.shape, 0.1))


def test_spurs_at_the_rim_are_taken_off(brain):
    quality = np.where(brain, 0.9, 0.1)
    shell = brain & ~ball(brain.shape, (20, 20, 20), 12)
    quality[shell] = 0.1
    quality[20, 20, 30:36] = 0.9  # one thin spur through the bad shell
    assert not qsm_mask(brain, quality)[20, 20, 34]


def test_otsu_parts_two_classes():
    values = np.r_[np.full(70, 1.0), np.full(30, 5.0)]
    assert 1 < otsu(values) <= 5


def test_csf_is_where_r2star_is_low_in_the_ventricles(brain):
    ventricles = ball(brain.shape, (20, 20, 20), 5)
    r2star = np.where(ventricles, 4.0, 20.0)
    r2star[20, 20, 18:22] = 25.0  # choroid plexus
    prior = ball(brain.shape, (20, 20, 20), 8)
    mask = csf_mask(r2star, brain, prior)
    assert np.array_equal(mask, ventricles & (r2star < 10))
    with pytest.raises(ValueError, match="--reference brain"):
        csf_mask(np.full(brain.shape, 20.0), brain, prior)


def test_largest_part_drops_the_smaller():
    mask = np.zeros((10, 10, 10), bool)
    mask[:3], mask[5:6] = True, True
    assert largest_part(mask).sum() == 300


def test_reference_regions_are_those_that_can_be_found():
    valid = np.ones((12, 12, 12), bool)
    priors = np.zeros(valid.shape, np.uint8)
    priors[4:8, 4:8, 1:5], priors[4:8, 4:8, 5:8] = CSF, WHITE_MATTER
    priors[0, 0, 0] = WHITE_MATTER  # at the rim of what is known
    r2star = np.full(valid.shape, 20.0)
    r2star[4:8, 4:8, 1:4] = 4.0
    assert set(reference_regions(valid)) == {"brain"}
    found = reference_regions(valid, priors)
    assert set(found) == {"brain", "wm"} and found["wm"].sum() == 4 * 4 * 3
    found = reference_regions(valid, priors, r2star)
    assert found["csf"].sum() == 4 * 4 * 3  # the slice without low R2* is no CSF
    priors[10, 10, 10] = REGION
    assert reference_regions(valid, priors)["region"].sum() == 1
