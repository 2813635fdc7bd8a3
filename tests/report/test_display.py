import nibabel as nib
import numpy as np
import pytest

from qsmprep.report import display

# directions in which the voxel axes run; every one has to end up with x to the right, y to the front, z up
ORIENTATIONS = ("RAS", "LAS", "LPS", "PIR", "ASL", "SRP")


def affine_of(codes, zooms=(1.0, 1.0, 1.0)):
    signs = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, code in enumerate(codes):
        row, sign = signs[code]
        affine[row, axis] = sign * zooms[axis]
    return affine


def rotation(degrees):
    angle = np.deg2rad(degrees)
    about_x = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    about_z = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    return about_x @ about_z


@pytest.mark.parametrize("degrees", [0, 20])
@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_marker_at_the_right_front_top_is_displayed_there(codes, degrees):
    affine = affine_of(codes)
    affine[:3, :3] = rotation(degrees) @ affine[:3, :3]
    shape = (20, 24, 28)
    centre = nib.affines.apply_affine(affine, (np.array(shape) - 1) / 2)
    data = np.zeros(shape)
    target = np.rint(nib.affines.apply_affine(np.linalg.inv(affine), centre + np.array((5, 6, 7)))).astype(int)
    data[tuple(target)] = 1
    turned, _ = display.to_display(data, affine)
    found = np.argwhere(turned == 1)[0] - (np.array(turned.shape) - 1) / 2
    assert (found > 0).all()
    if degrees == 0:
        np.testing.assert_allclose(found, (5, 6, 7), atol=0.51)


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_spacing_follows_the_axes_when_they_are_turned(codes):
    zooms = (0.8, 0.9, 2.0)
    turned, spacing = display.to_display(np.zeros((3, 4, 5)), affine_of(codes, zooms))
    for size, length in zip(zooms, (3, 4, 5), strict=True):
        axis = spacing.index(pytest.approx(size))
        assert turned.shape[axis] == length


def test_turning_changes_no_value():
    data = np.random.default_rng(0).normal(size=(4, 5, 6))
    turned, _ = display.to_display(data, affine_of("PIR"))
    np.testing.assert_array_equal(np.sort(turned.ravel()), np.sort(data.ravel()))


def test_singular_affine_is_refused():
    with pytest.raises(ValueError, match="singular"):
        display.to_display(np.zeros((3, 3, 3)), np.zeros((4, 4)))


def test_widened_mask_reaches_the_margin_in_millimetres_on_anisotropic_voxels():
    mask = np.zeros((31, 31, 31), bool)
    mask[15, 15, 15] = True
    wide = display.widen(mask, (1.0, 1.0, 2.5), 5.0)
    assert wide[20, 15, 15] and not wide[21, 15, 15]
    assert wide[15, 15, 17] and not wide[15, 15, 18]


def test_box_of_an_empty_mask_is_refused():
    with pytest.raises(ValueError, match="no voxel"):
        display.bounding_box(np.zeros((3, 3, 3), bool), (1, 1, 1))


def test_slices_lie_within_the_mask_and_are_spread():
    mask = np.zeros((40, 40, 40), bool)
    mask[10:30, 5:35, 20:38] = True
    tiles = display.spread_tiles(mask, {display.AXIAL: 5})
    positions = [tile.index for tile in tiles]
    assert positions == sorted(set(positions)) and min(positions) >= 20 and max(positions) < 38


def test_small_labels_are_met_by_slices_as_well_as_large_ones():
    labels = np.zeros((40, 40, 60), int)
    labels[5:35, 5:35, 30:58] = 1
    labels[20:22, 20:22, 4:6] = 2
    positions = [tile.index for tile in display.label_tiles(labels, {display.AXIAL: 6})]
    assert any(labels[:, :, index].max() == 2 for index in positions)
    assert any((labels[:, :, index] == 1).any() for index in positions)


def test_display_range_is_never_empty():
    assert display.robust_range(np.array([])) == (0.0, 1.0)
    low, high = display.robust_range(np.full(10, 3.0))
    assert low < high
