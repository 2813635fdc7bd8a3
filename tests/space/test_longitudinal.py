"""The middle of several visits, from movements that are known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from qsmprep.space.longitudinal import (
    common_grid,
    distance_mm,
    median_image,
    mid_space,
    rigid_mean,
    robust_mean,
    without_drift,
)

CENTRE = np.array([3.0, -12.0, 20.0])


def rigid(angles, shift):
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    matrix[:3, 3] = shift
    return matrix


def poses_of(seed, n=4, degrees=15.0):
    rng = np.random.default_rng(seed)
    return np.stack([rigid(rng.uniform(-degrees, degrees, 3), rng.uniform(-20, 20, 3)) for _ in range(n)])


def pairs_of(poses):
    """From visit i to visit j, where `poses` bring a head to each visit."""
    return np.stack([[there @ np.linalg.inv(here) for there in poses] for here in poses])


def centres_of(poses):
    return np.stack([(pose @ [*CENTRE, 1])[:3] for pose in poses])


def test_the_mean_of_two_turns_is_half_way():
    mean = rigid_mean([rigid((0, 0, -10), (0, 0, 0)), rigid((0, 0, 30), (0, 0, 8))], (0, 0, 0))
    np.testing.assert_allclose(mean, rigid((0, 0, 10), (0, 0, 4)), atol=1e-12)


def test_the_mean_does_not_depend_on_the_origin_of_the_coordinates():
    poses, shift = poses_of(1), np.eye(4)
    shift[:3, 3] = (50, -70, 30)
    moved = shift @ poses @ np.linalg.inv(shift)
    mean = rigid_mean(moved, CENTRE + shift[:3, 3])
    np.testing.assert_allclose(mean, shift @ rigid_mean(poses, CENTRE) @ np.linalg.inv(shift), atol=1e-9)


def test_opposite_turns_have_no_mean():
    with pytest.raises(ValueError, match="too far apart"):
        rigid_mean([np.eye(4), rigid((0, 0, 180), (0, 0, 0))], CENTRE)


def test_a_wrong_estimate_hardly_counts():
    truth = rigid((4, -7, 9), (3, -2, 5))
    wrong = rigid((40, 10, 0), (0, 30, 0)) @ truth
    assert distance_mm(robust_mean([truth, truth, truth, wrong], CENTRE), truth, CENTRE) < 0.5
    assert distance_mm(rigid_mean([truth, truth, truth, wrong], CENTRE), truth, CENTRE) > 5


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), n=st.integers(2, 5))
def test_all_visits_meet_in_one_space_whatever_their_order(seed, n):
    poses = poses_of(seed, n)
    found = mid_space(pairs_of(poses), centres_of(poses))
    common = found @ poses  # from the head to the common space
    np.testing.assert_allclose(common, np.broadcast_to(common[0], common.shape), atol=1e-6)
    order = np.random.default_rng(seed).permutation(n)
    again = mid_space(pairs_of(poses[order]), centres_of(poses[order]))
    np.testing.assert_allclose(again, found[order], atol=1e-9)


def test_the_common_space_is_in_the_middle():
    poses = poses_of(3, 5)
    found = mid_space(pairs_of(poses), centres_of(poses))
    back = rigid_mean(np.linalg.inv(found), (found @ poses)[0, :3, :3] @ CENTRE + (found @ poses)[0, :3, 3])
    np.testing.assert_allclose(back, np.eye(4), atol=1e-6)


def test_one_failed_registration_does_not_move_the_common_space():
    poses = poses_of(5, 4)
    pairs, centres = pairs_of(poses), centres_of(poses)
    broken = pairs.copy()
    broken[1, 2] = rigid((30, 0, 40), (0, 25, 0)) @ broken[1, 2]
    clean, found = mid_space(pairs, centres), mid_space(broken, centres)
    assert max(distance_mm(a, b, c) for a, b, c in zip(found, clean, centres, strict=True)) < 0.5


def test_what_all_visits_moved_in_common_is_taken_off():
    before = poses_of(7)
    drift = rigid((1, -2, 0.5), (0.4, 0.1, -0.8))
    np.testing.assert_allclose(without_drift(drift @ before, before, CENTRE), before, atol=1e-9)
    own = np.stack([rigid((0, 0, a), (0, 0, 0)) for a in (-1, 1, -2, 2)])
    kept = without_drift(own @ before, before, (0, 0, 0))
    np.testing.assert_allclose(kept, own @ before, atol=1e-9)


def test_distance_of_a_shift_and_of_a_turn():
    assert distance_mm(np.eye(4), rigid((0, 0, 0), (3, 4, 0)), CENTRE) == pytest.approx(5)
    turned = rigid((0, 0, 2), (0, 0, 0))
    rng = np.random.default_rng(0)
    points = rng.normal(size=(200_000, 3))
    points *= (80 * rng.random(200_000) ** (1 / 3) / np.linalg.norm(points, axis=1))[:, None]
    moved = points @ turned[:3, :3].T - points
    assert distance_mm(np.eye(4), turned) == pytest.approx(np.sqrt((moved**2).sum(axis=1).mean()), rel=0.01)


def test_grid_holds_what_all_visits_see():
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    up = rigid((0, 0, 0), (0, 0, 10))
    shape, grid = common_grid([(50, 60, 40), (50, 60, 40)], [affine, affine], [np.eye(4), up], 1.0)
    assert shape == (100, 120, 70)
    np.testing.assert_allclose(grid[:3, 3], (-0.5, -0.5, 9.5))
    with pytest.raises(ValueError, match="nothing in common"):
        common_grid([(5, 5, 5)] * 2, [affine, affine], [np.eye(4), up], 1.0)


def test_the_median_ignores_gain_and_one_artefact():
    rng = np.random.default_rng(0)
    head = rng.uniform(0, 100, (12, 12, 12)).astype(np.float32)
    images = [head, 3 * head, 0.5 * head]
    images[1][2:4, 2:4, 2:4] = 3000
    images[2] = images[2].copy()
    images[2][0] = np.nan
    found = median_image(images)
    np.testing.assert_allclose(found / found[8, 8, 8], head / head[8, 8, 8], rtol=0.02)
    assert median_image([np.where(head > 50, np.float32(np.nan), head)] * 2)[head > 50].max() == 0
