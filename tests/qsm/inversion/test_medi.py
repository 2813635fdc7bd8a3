import numpy as np
import pytest

from qsmprep.qsm.inversion.medi import medi

ALONG_Z = (0.0, 0.0, 1.0)


def compare(found, truth, mask):
    a, b = found[mask] - found[mask].mean(), truth[mask] - truth[mask].mean()
    return np.linalg.norm(a - b) / np.linalg.norm(b), np.polyfit(b, a, 1)[0]


@pytest.fixture(scope="module")
def case(head):
    h = head((56, 56, 48), b0_dir=(0.2, -0.3, 0.93))
    field = (h.local + np.random.default_rng(0).normal(0, 0.001, h.local.shape) * h.mask).astype(np.float32)
    return h, field, (0.2, -0.3, 0.93)


def test_merit_leaves_out_voxels_that_no_susceptibility_explains(case):
    """Wrong values that no noise map tells of: their weight falls, and their streaks with it."""
    h, field, b0_dir = case
    rng = np.random.default_rng(1)
    wrong = h.mask & (rng.random(h.mask.shape) < 0.002)
    spoilt = (field + wrong * rng.normal(0, 0.1, field.shape)).astype(np.float32)
    elsewhere = h.mask & ~wrong
    clean, without, reduced = (
        compare(medi(f, h.mask, (1, 1, 1), b0_dir, merit=m), h.chi, elsewhere)[0]
        for f, m in ((field, True), (spoilt, False), (spoilt, True))
    )
    assert reduced < 1.3 * clean
    assert reduced < 0.5 * without


def test_merit_leaves_a_field_without_outliers_alone(case):
    h, field, b0_dir = case
    plain, merit = (medi(field, h.mask, (1, 1, 1), b0_dir, merit=m) for m in (False, True))
    assert compare(merit, h.chi, h.mask)[0] < 1.02 * compare(plain, h.chi, h.mask)[0]


def test_non_linear_data_term_is_blind_to_whole_turns(case):
    h, field, b0_dir = case
    turned = field.copy()
    turned[26:30, 20:24, 22:26] += np.float32(2 * np.pi / 16)
    plain = medi(field, h.mask, (1, 1, 1), b0_dir, merit=False)
    assert np.abs(medi(turned, h.mask, (1, 1, 1), b0_dir, merit=False) - plain)[h.mask].max() < 0.02


def test_csf_outside_the_mask_is_refused(case):
    h, field, b0_dir = case
    with pytest.raises(ValueError, match="CSF"):
        medi(field, h.mask, (1, 1, 1), b0_dir, csf=~h.mask)
