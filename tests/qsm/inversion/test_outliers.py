"""Fields that are wrong in places that no noise map tells of."""

import numpy as np
import pytest

from qsmprep.qsm.inversion import invert

DIRECTION = (0.3, -0.5, 0.8)


@pytest.fixture(scope="module")
def spoilt(head):
    h = head(b0_dir=DIRECTION)
    field = (h.local + np.random.default_rng(0).normal(0, 0.001, h.local.shape) * h.mask).astype(np.float32)
    where = np.zeros_like(h.mask)
    where[28:36, 14:22, 20:28] = True
    return field, where, h.mask, h.chi, h.mask & ~where


def error(found, truth, where):
    a, b = found[where] - found[where].mean(), truth[where] - truth[where].mean()
    return np.linalg.norm(a - b) / np.linalg.norm(b)


def test_hybrid_data_term_leaves_outliers_out(spoilt):
    field, where, mask, chi, elsewhere = spoilt
    wrong = field + where * np.random.default_rng(1).normal(0, 0.3, where.shape).astype(np.float32)
    clean, hybrid, squares = (
        error(invert(f, mask, (1, 1, 1), DIRECTION, method=m), chi, elsewhere)
        for f, m in ((field, "hdqsm"), (wrong, "hdqsm"), (wrong, "tv"))
    )
    assert hybrid < 1.3 * clean
    assert squares > 5 * clean


def test_non_linear_data_term_is_blind_to_whole_turns(spoilt):
    field, where, mask, chi, elsewhere = spoilt
    phase_per_ppm = 20.0
    turned = field + where * np.float32(2 * np.pi / phase_per_ppm)
    plain, wrapped, linear = (
        error(invert(f, mask, (1, 1, 1), DIRECTION, method=m, phase_per_ppm=phase_per_ppm), chi, elsewhere)
        for f, m in ((field, "nltv"), (turned, "nltv"), (turned, "tv"))
    )
    assert wrapped < 2 * plain
    assert linear > 5 * plain


def test_phase_per_ppm_has_to_be_positive(spoilt):
    field, _, mask, *_ = spoilt
    with pytest.raises(ValueError, match="phase per ppm"):
        invert(field, mask, (1, 1, 1), DIRECTION, method="nltv", phase_per_ppm=0.0)
