"""Field of the head, its own field, and the shim."""

import numpy as np
import pytest

from qsmprep.phantom.forward import local_field, shim, total_field
from qsmprep.phantom.geometry import TURN_AXIS, Grid, affine, rotation
from qsmprep.phantom.tissue import AIR

AIR_PPM = AIR / 1000


def coordinates(grid):
    index = np.indices(grid.shape).reshape(3, -1)
    return (grid.affine[:3, :3] @ index + grid.affine[:3, 3:]).reshape(3, *grid.shape)


def ball(grid, centre, radius):
    """Share of each voxel in a ball, and the field [ppm] that 1 ppm of it makes outside, B0 along scanner z."""
    off = coordinates(grid) - np.reshape(centre, (3, 1, 1, 1))
    r = np.sqrt((off**2).sum(axis=0))
    share = np.clip((radius - r) / min(grid.voxel_size) + 0.5, 0, 1)
    outside = (radius / np.maximum(r, radius)) ** 3 / 3 * (3 * (off[2] / np.maximum(r, 1e-6)) ** 2 - 1)
    return share.astype(np.float32), outside, r


@pytest.mark.parametrize("obliquity", [0, 25])
@pytest.mark.parametrize("centre", [(0, 0, 0), (3, -2, -34)], ids=["inside", "across the edge of the fine grid"])
def test_field_of_a_ball_in_air_is_the_analytic_one(obliquity, centre):
    axes = rotation(TURN_AXIS, obliquity)
    acquired = Grid((26, 30, 28), affine(axes * 2.0, axes @ np.array([-25.0, -29, -27])))
    fine, step = acquired.finer((2, 2, 2)), (4, 4, 4)
    joined = fine.coarser(step)
    below, more = np.array([4, 4, 9]), np.array([8, 8, 14])
    coarse = joined.crop(-below, np.array(joined.shape) + more)
    scanner_centre = axes @ np.array(centre, float)
    share, outside, r = ball(fine, scanner_centre, 11.0)
    around = AIR_PPM * (1 - ball(coarse, scanner_centre, 11.0)[0])
    field = total_field((AIR_PPM * (1 - share)).astype(np.float32), fine, around.astype(np.float32), below, step)
    expected = -AIR_PPM * outside  # the ball is 9.2 ppm less than the air around it
    far = r > 11.0 + 5
    far[..., : int(8 / fine.voxel_size[2])] = False  # the brain keeps this distance from the lower edge
    assert np.abs(field - expected)[far].max() < 0.06 * np.abs(expected[far]).max()
    assert np.corrcoef(field[far], expected[far])[0, 1] > 0.999


def test_uniform_susceptibility_leaves_no_local_field():
    grid = Grid((30, 30, 30), np.eye(4))
    brain = ball(grid, (15, 15, 15), 11)[0] > 0.5
    field, reference = local_field(np.full(grid.shape, 0.3, np.float32), brain, grid)
    assert reference == pytest.approx(0.3) and np.abs(field).max() < 1e-6


def test_local_field_of_a_paramagnetic_ball_is_positive_along_b0():
    grid = Grid((40, 40, 40), affine(np.eye(3), np.full(3, -19.5)))
    brain = ball(grid, (0, 0, 0), 18)[0] > 0.5
    nucleus, outside, r = ball(grid, (0, 0, 0), 4.0)
    field, reference = local_field(0.2 * nucleus, brain, grid)
    # away from the nucleus: its own field; the brain's mean that was taken off makes none inside a ball
    seen = (r > 7) & (r < 14)
    np.testing.assert_allclose(field[seen], 0.2 * outside[seen], atol=1.5e-3)
    assert field[19, 19, 26] > 0.005 > -0.005 > field[26, 19, 19]
    assert reference == pytest.approx((0.2 * nucleus)[brain].mean(), rel=1e-4)


def test_shim_removes_any_field_of_second_order():
    rng = np.random.default_rng(0)
    grid = Grid((30, 32, 34), affine(np.eye(3) * [1, 1, 2], np.zeros(3)))
    x, y, z = (coordinates(grid) - 20) / 30
    c = rng.standard_normal(9)
    field = c[0] + c[1] * x + c[2] * y + c[3] * z + c[4] * x * y + c[5] * y * z + c[6] * z * x
    field = (field + c[7] * (x * x - y * y) + c[8] * (2 * z * z - x * x - y * y)).astype(np.float32)
    brain = ball(grid, (15, 16, 34), 13)[0] > 0.5
    shim(field, brain, grid.voxel_size)
    assert np.abs(field[brain]).max() < 1e-4
    u, v, w = coordinates(grid) - np.reshape(np.argwhere(brain).mean(axis=0) * grid.voxel_size, (3, 1, 1, 1))
    third = (u * v * w / 1e3).astype(np.float32)  # which no shim reaches
    before = third[brain].std()
    shim(third, brain, grid.voxel_size)
    assert third[brain].std() > 0.9 * before
