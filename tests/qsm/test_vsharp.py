import numpy as np
import pytest

from qsmprep.qsm.background import remove_background, vsharp

GEOMETRIES = [
    ((64, 64, 56), (1.0, 1.0, 1.0), (0.0, 0.0, 1.0)),
    ((64, 64, 56), (1.0, 1.0, 1.0), (0.0, 0.34, 0.94)),
    ((80, 80, 28), (0.8, 0.8, 2.0), (0.0, 0.0, 1.0)),
]


def nrmse(found, truth, mask):
    a, b = found[mask] - found[mask].mean(), truth[mask] - truth[mask].mean()
    return np.linalg.norm(a - b) / np.linalg.norm(b)


@pytest.mark.parametrize(("shape", "voxel_size", "b0_dir"), GEOMETRIES)
def test_local_field_is_recovered_under_external_sources(head, shape, voxel_size, b0_dir):
    h = head(shape, voxel_size, b0_dir)
    local, valid = vsharp(h.local + h.background, h.mask, voxel_size, b0_dir)
    assert local.dtype == np.float32 and valid.dtype == bool
    assert not local[~valid].any()
    assert not (valid & ~h.mask).any()
    assert valid.sum() > 0.8 * h.mask.sum()
    assert nrmse(h.local + h.background, h.local, valid) > 4
    assert nrmse(local, h.local, valid) < 0.45
    slope = np.polyfit(h.local[valid], local[valid], 1)[0]
    assert slope == pytest.approx(1, abs=0.15)


def test_a_field_without_inner_sources_vanishes(head):
    h = head()
    local, valid = vsharp(h.background, h.mask, (1, 1, 1))
    assert local[valid].std() < 0.06 * h.background[valid].std()


def test_a_mask_that_fills_a_thin_volume_does_not_wrap_around(sphere):
    """51 x 51 x 41 with the mask to every edge: a source outside one face must not show at the other."""
    shape, voxel_size = (51, 51, 41), (0.47, 0.47, 1.0)
    outside = sphere.field(shape, voxel_size, 3.0, (0, 0, 1), 9.4, (18.0, 0, 0))
    inside = sphere.field(shape, voxel_size, 3.0, (0, 0, 1), 0.1, (-3.0, 0, 0))
    local, valid = vsharp(inside + outside, np.ones(shape, bool), voxel_size)
    assert not valid[0].any() and not valid[:, :, -1].any()
    assert valid[3:-3, 3:-3, 2:-2].all()
    assert nrmse(local, inside, valid) < 0.5
    alone, _ = vsharp(outside, np.ones(shape, bool), voxel_size)
    assert alone[:10][valid[:10]].std() < 0.02 * outside[:10].std() + 1e-4


def test_moving_the_mask_to_the_edge_of_the_volume_changes_nothing(head):
    h = head((48, 48, 48))
    total = h.local + h.background
    rim = [np.flatnonzero(h.mask.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    box = tuple(slice(r[0], r[-1] + 1) for r in rim)
    local, valid = vsharp(total, h.mask, (1, 1, 1))
    cropped, cropped_valid = vsharp(total[box], h.mask[box], (1, 1, 1))
    assert np.array_equal(valid[box], cropped_valid)
    assert np.allclose(local[box], cropped, atol=1e-6)


def test_values_outside_the_mask_are_not_read(head):
    h = head((48, 48, 48))
    total = h.local + h.background
    spoiled = np.where(h.mask, total, np.float32(np.nan))
    assert np.array_equal(vsharp(total, h.mask, (1, 1, 1))[0], vsharp(spoiled, h.mask, (1, 1, 1))[0])


def test_radii_are_millimetres_and_never_less_than_a_voxel(head):
    h = head((32, 32, 28), (2.0, 2.0, 2.0))
    _, valid = vsharp(h.background, h.mask, (2, 2, 2))
    inner = h.mask.copy()
    for axis in range(3):
        inner &= np.roll(h.mask, 1, axis) & np.roll(h.mask, -1, axis)
    assert np.array_equal(valid, inner)


def test_result_is_linear_in_the_field(head):
    h = head((48, 48, 48))
    one, _ = vsharp(h.local, h.mask, (1, 1, 1))
    other, _ = vsharp(h.background, h.mask, (1, 1, 1))
    both, _ = vsharp(2 * h.local - h.background, h.mask, (1, 1, 1))
    assert np.allclose(both, 2 * one - other, atol=2e-5)


def test_bad_input_is_refused(head):
    h = head((32, 32, 32))
    with pytest.raises(ValueError, match="unknown background removal"):
        remove_background(h.local, h.mask, (1, 1, 1), (0, 0, 1), method="magic")
    with pytest.raises(ValueError, match="radii"):
        vsharp(h.local, h.mask, (1, 1, 1), radius_max_mm=1, radius_min_mm=3)
    with pytest.raises(ValueError, match="shape"):
        vsharp(h.local, h.mask[1:], (1, 1, 1))
    speck = np.zeros_like(h.mask)
    speck[10, 10, 10] = True
    with pytest.raises(ValueError, match="no room"):
        vsharp(h.local, speck, (1, 1, 1))
