"""What is left out of the numbers per region: tubes but no nuclei, untrusted voxels, rims."""

import numpy as np
import pytest
from scipy import ndimage

from qsmprep.regions.exclusions import counted_voxels, inner_voxels, veins

SHAPE = (40, 40, 40)
X, Y, Z = np.indices(SHAPE).astype(float)


@pytest.fixture
def head():
    """χ and R2* of a mask with an oblique vein, a ball (a nucleus) and a sheet 2 mm thick (a layer of cortex)."""
    vein = np.hypot(X - 12, (Y - Z + 8) / np.sqrt(2)) < 1.0
    ball = (X - 28) ** 2 + (Y - 28) ** 2 + (Z - 20) ** 2 < 5**2
    sheet = (np.abs(Y - 5) <= 1) & (Z > 15)
    mask = (X > 2) & (X < 37) & (Y > 2) & (Y < 37) & (Z > 2) & (Z < 37)
    vein &= (Y > 9) & mask
    chi = ndimage.gaussian_filter(0.35 * vein + 0.2 * ball + 0.2 * sheet, 0.4)
    chi = chi + np.random.default_rng(0).normal(0, 0.003, SHAPE)
    return np.where(mask, chi, 0), 17.0 + 100 * chi, vein, ball, sheet, mask


def test_a_tube_is_a_vein_and_neither_ball_nor_sheet_nor_the_masks_rim_is(head):
    chi, rate, vein, ball, sheet, mask = head
    found = veins(chi, mask, (1, 1, 1), r2star=rate)
    core = vein & ndimage.binary_erosion(mask, iterations=2)
    assert found[core].mean() > 0.8
    assert found[ball].mean() < 0.02 and found[sheet].mean() < 0.02
    elsewhere = ~ndimage.binary_dilation(vein | sheet)  # the sheet ends in an edge, which is a ridge
    assert not found[elsewhere].any()


def test_what_is_bright_without_short_t2star_is_no_vein(head):
    chi, _, vein, *_, mask = head
    assert veins(chi, mask, (1, 1, 1))[vein].any()
    assert not veins(chi, mask, (1, 1, 1), r2star=np.full(SHAPE, 17.0)).any()


def test_each_bound_lets_fewer_through(head):
    chi, rate, *_, mask = head
    n = veins(chi, mask, (1, 1, 1), r2star=rate).sum()
    for bound in ({"chi_ppm": 0.25}, {"ridge": 0.4}, {"r2star_excess": 30.0}):
        assert veins(chi, mask, (1, 1, 1), r2star=rate, **bound).sum() < n, bound


def test_an_offset_of_chi_changes_nothing(head):
    chi, rate, *_, mask = head
    assert np.array_equal(veins(chi, mask, (1, 1, 1), r2star=rate), veins(chi + 0.5, mask, (1, 1, 1), r2star=rate))


def test_an_empty_mask_has_no_veins(head):
    assert not veins(head[0], np.zeros(SHAPE, bool), (1, 1, 1)).any()


def test_erosion_takes_the_rim_in_mm_and_keeps_neighbours_apart():
    labels = np.zeros((12, 12, 12), int)
    labels[2:6, 2:10, 2:10], labels[6:10, 2:10, 2:10] = 1, 3
    inner = inner_voxels(labels, 1.0, (1, 1, 1))
    expected = np.zeros(labels.shape, bool)
    expected[3:5, 3:9, 3:9] = expected[7:9, 3:9, 3:9] = True
    assert np.array_equal(inner, expected), "the face between the two regions is a rim of both"
    coarse = inner_voxels(labels, 1.0, (1, 1, 2))
    assert coarse[3, 4, 2] and not coarse[3, 2, 4], "a slice of 2 mm is thicker than the rim"
    assert np.array_equal(inner_voxels(labels, 0.0, (1, 1, 1)), labels > 0)


def test_a_region_at_the_edge_of_the_volume_has_a_rim_there():
    labels = np.ones((5, 5, 5), int)
    assert inner_voxels(labels, 1.0, (1, 1, 1)).sum() == 27


def test_only_what_was_asked_for_is_left_out_and_on_record(head):
    chi, rate, vein, *_, mask = head
    noise = np.full(SHAPE, 0.001)
    noise[20, 20, 20] = noise[0, 0, 0] = np.inf
    counted, record = counted_voxels(mask, chi, (1, 1, 1))
    assert np.array_equal(counted, mask) and record == {}
    counted, record = counted_voxels(mask, chi, (1, 1, 1), noise=noise)
    assert (mask & ~counted).sum() == 1 and not counted[20, 20, 20]
    assert record == {"Gradients": record["Gradients"]}
    assert record["Gradients"]["Fraction"] == pytest.approx(1 / mask.sum(), abs=1e-6)
    counted, record = counted_voxels(mask, chi, (1, 1, 1), r2star=rate, vein_parameters={"chi_ppm": 0.12})
    assert record["Veins"]["chi_ppm"] == 0.12 and record["Veins"]["R2starUsed"]
    assert record["Veins"]["Fraction"] == pytest.approx((mask & ~counted).sum() / mask.sum(), abs=1e-6)
    assert not counted[vein & mask].all()
