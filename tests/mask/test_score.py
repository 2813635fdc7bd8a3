"""Numbers on masks against shapes of which they can be counted."""

import numpy as np
import pytest

from qsmprep.mask.score import beyond_template, mask_score
from qsmprep.qc import judge, metric_definitions

VOXEL = (1.0, 1.0, 2.0)


@pytest.fixture
def cube():
    """A brain of 24 x 24 x 12 voxels, all of good phase and signal."""
    brain = np.zeros((40, 40, 20), bool)
    brain[8:32, 8:32, 4:16] = True
    return brain, np.where(brain, 0.9, 0.1), np.where(brain, 100.0, 2.0)


def test_a_clean_mask_has_its_volume_and_nothing_to_blame(cube):
    brain, quality, magnitude = cube
    score = mask_score(brain, brain, quality, VOXEL, magnitude)
    assert score["brain_volume_ml"] == pytest.approx(24 * 24 * 12 * 2 / 1000)
    zeros = set(score) - {"brain_volume_ml", "phase_quality_median"}
    assert {score[name] for name in zeros} == {0.0}
    assert set(score) <= set(metric_definitions())


def test_holes_parts_and_low_signal_are_shares_of_the_mask(cube):
    brain, quality, magnitude = cube
    brain[18:22, 18:22, 9:11] = False
    brain[0:4, 0:4, 0:2] = True
    score = mask_score(brain, brain, quality, VOXEL, magnitude)
    n = brain.sum()
    assert score["mask_holes_fraction"] == pytest.approx(32 / n)
    assert score["mask_parts_fraction"] == pytest.approx(32 / n)
    assert score["mask_low_signal_fraction"] == pytest.approx(32 / n), "the part lies in air"


def test_a_mask_that_leaks_into_air_has_a_noisy_rim(cube):
    brain, quality, magnitude = cube
    wide = np.zeros_like(brain)
    wide[5:35, 5:35, 2:18] = True  # 3 mm and 4 mm more on every side
    score = mask_score(wide, brain, quality, VOXEL, magnitude)
    assert score["mask_rim_noise"] > 0.9
    assert score["mask_low_signal_fraction"] == pytest.approx(1 - brain.sum() / wide.sum())
    assert score["mask_rim_trimmed_fraction"] == pytest.approx(1 - brain.sum() / wide.sum())
    verdict = judge(score)
    assert verdict.verdict == "FAIL" and any("rim" in reason for reason in verdict.reasons)


def test_a_crop_has_no_rim_where_the_brain_goes_on(cube):
    brain = np.ones((10, 10, 10), bool)
    score = mask_score(brain, brain, np.full(brain.shape, 0.1), (1, 1, 1))
    assert "mask_rim_noise" not in score and "mask_low_signal_fraction" not in score


def test_leakage_counts_what_is_more_than_5_mm_away(cube):
    brain, *_ = cube
    grown = brain.copy()
    grown[32:40, 8:32, 4:16] = True  # 8 mm to one side: three layers are 6, 7 and 8 mm away
    assert beyond_template(brain, brain, VOXEL) == 0
    assert beyond_template(grown, brain, VOXEL) == pytest.approx(3 * 24 * 12 / grown.sum())
    with pytest.raises(ValueError, match="empty"):
        beyond_template(brain, brain & ~brain, VOXEL)


def test_an_empty_mask_has_no_score(cube):
    brain, quality, _ = cube
    with pytest.raises(ValueError, match="empty"):
        mask_score(brain & ~brain, brain, quality, VOXEL)


@pytest.mark.parametrize(
    ("number", "verdict"),
    [({"mask_fallback": 1.0}, "CHECK"), ({"mask_agreement_dice": 0.8}, "CHECK"), ({"mask_agreement_dice": 0.3}, "FAIL"),
     ({"mask_beyond_template_fraction": 0.05}, "CHECK"), ({"mask_beyond_template_fraction": 0.3}, "FAIL"),
     ({"mask_holes_fraction": 0.02}, "CHECK"), ({"mask_agreement_dice": 0.93}, "PASS"),
     ({"mask_fallback": 0.0}, "PASS")],
)  # fmt: skip
def test_a_poor_mask_is_flagged_with_the_reason(number, verdict):
    found = judge(number)
    assert found.verdict == verdict and bool(found.reasons) == (verdict != "PASS")
