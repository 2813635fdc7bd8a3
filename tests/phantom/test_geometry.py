"""Grids, poses and shapes."""

import numpy as np
import pytest

from qsmprep.phantom.geometry import (
    TURN_AXIS,
    Grid,
    Pose,
    affine,
    draw_shape,
    grid_around,
    rotation,
    smallest_jacobian,
)


def corner(grid, index):
    """Scanner mm of the outer corner of the first or last voxel."""
    voxel = -0.5 if index == 0 else np.array(grid.shape) - 0.5
    return grid.affine[:3, :3] @ (np.ones(3) * voxel) + grid.affine[:3, 3]


@pytest.mark.parametrize("degrees", [0, 20, -35])
def test_b0_direction_leaves_the_slice_normal_by_the_obliquity(degrees):
    grid = Grid((4, 4, 4), affine(rotation(TURN_AXIS, degrees) * [0.8, 0.8, 2.0], np.zeros(3)))
    assert np.degrees(np.arccos(grid.b0_dir[2])) == pytest.approx(abs(degrees), abs=1e-6)
    assert grid.voxel_size == pytest.approx((0.8, 0.8, 2.0))
    assert np.linalg.norm(grid.b0_dir) == pytest.approx(1)


def test_finer_and_coarser_grids_cover_the_same_box():
    grid = Grid((6, 8, 10), affine(rotation((1, 2, 3), 30) * [1, 2, 0.5], np.array([3.0, -20, 7])))
    for other in (grid.finer((2, 3, 4)), grid.coarser((3, 4, 5))):
        for end in (0, 1):
            np.testing.assert_allclose(corner(other, end), corner(grid, end), atol=1e-9)
    np.testing.assert_allclose(grid.finer((2, 3, 4)).coarser((2, 3, 4)).affine, grid.affine, atol=1e-12)
    with pytest.raises(ValueError, match="cannot be joined"):
        grid.coarser((4, 4, 4))


def test_grid_around_holds_every_point_in_voxels_of_the_asked_size():
    points = np.random.default_rng(0).uniform(-80, 60, (500, 3))
    grid = grid_around(points, (1, 2, 3), rotation(TURN_AXIS, 25), (4, 2, 1))
    index = (points - grid.affine[:3, 3]) @ np.linalg.inv(grid.affine[:3, :3]).T
    assert (index >= -0.5001).all() and (index <= np.array(grid.shape) - 0.4999).all()
    assert grid.shape[0] % 4 == 0 and grid.shape[1] % 2 == 0


def test_a_shape_never_folds_and_can_be_turned_back():
    low, high = np.array([-100.0, -130, -130]), np.array([100.0, 100, 110])
    for seed in range(4):
        shape = draw_shape(np.random.default_rng(seed), low, high)
        assert smallest_jacobian(shape.displacement, shape.spacing, shape.linear) > 0.3
        points = np.random.default_rng(9).uniform(low / 2, high / 2, (200, 3))
        np.testing.assert_allclose(shape.to_template(shape.to_head(points)), points, atol=0.02)
        moved = np.linalg.norm(shape.to_template(points) - points, axis=1)
        assert 0.5 < moved.mean() < 12


def test_no_variation_is_the_templates_own_shape():
    shape = draw_shape(np.random.default_rng(0), np.full(3, -90.0), np.full(3, 90.0), 0.0)
    points = np.random.default_rng(1).uniform(-80, 80, (50, 3))
    np.testing.assert_allclose(shape.to_template(points), points, atol=1e-6)


def test_a_pose_turns_the_head_in_the_scanner():
    pose = Pose(rotation((1, 0, 0), 90), np.array([0.0, 0, 5]))
    scanner = np.linalg.inv(pose.to_head()) @ [0, 10, 0, 1]  # what was at the nose now points up
    np.testing.assert_allclose(scanner[:3], [0, 0, 15], atol=1e-9)
