import numpy as np
import pytest

from qsmprep.qsm.background import remove_background
from qsmprep.qsm.background._extend import extend


def test_a_harmonic_background_is_continued_and_its_local_field_kept(head):
    """Sources outside alone: exact but for the third order. With local ones: they stay."""
    h = head((56, 56, 48), (1.0, 1.0, 1.5), b0_dir=(0.0, 0.5, 0.87))
    valid = np.roll(h.mask, 1, 0) & np.roll(h.mask, -1, 0) & h.mask
    for axis in (1, 2):
        valid &= np.roll(h.mask, 1, axis) & np.roll(h.mask, -1, axis)
    rim = h.mask & ~valid
    zero = np.zeros_like(h.background)
    found, kept = extend(zero, h.background.astype(np.float32), h.mask, valid, (1.0, 1.0, 1.5), 4.0)
    assert kept[rim].mean() > 0.99 and not kept[~h.mask].any()
    error = np.abs(found[rim & kept])
    assert np.median(error) < 0.02 * np.median(np.abs(h.background[rim] - h.background[valid].mean()))
    assert not found[valid].any()


@pytest.mark.parametrize("voxel_size", [(1.0, 1.0, 1.0), (1.0, 1.0, 2.0)])
def test_vsharp_keeps_the_rim_on_request(head, voxel_size):
    h = head((64, 64, 56 if voxel_size[2] == 1 else 28), voxel_size)
    total = (h.local + h.background).astype(np.float32)
    plain, valid = remove_background(total, h.mask, voxel_size, (0, 0, 1))
    wide, kept = remove_background(total, h.mask, voxel_size, (0, 0, 1), extend_mm=4.0)
    assert valid.sum() < 0.95 * h.mask.sum() < 0.99 * h.mask.sum() < kept.sum()
    assert np.array_equal(wide[valid], plain[valid])
    rim = kept & ~valid
    error = wide[rim] - h.local[rim]
    assert error.std() < 0.25 * (total[rim] - h.local[rim]).std()
    assert error.std() < 0.8 * h.local[valid].std()
