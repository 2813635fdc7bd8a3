"""What is put right in a brain mask, what is given up, and what a person's mask keeps."""

import numpy as np
import pytest

from qsmprep.mask.settle import settle_masks

SHAPE, SIZE = (30, 30, 30), (2.0, 2.0, 2.0)


def ball(radius, centre=(15, 15, 15)):
    grid = np.meshgrid(*[np.arange(n) for n in SHAPE], indexing="ij")
    return sum((axis - c) ** 2 for axis, c in zip(grid, centre, strict=True)) <= radius**2


@pytest.fixture
def head():
    """True brain, phase quality (good in the brain, noise outside), magnitude."""
    brain = ball(9)
    quality = np.where(brain, 0.9, 0.1).astype(np.float32)
    return brain, quality, np.where(brain, 100.0, 3.0).astype(np.float32)


def test_a_good_mask_is_taken_as_it_is_and_nothing_is_said(head):
    brain, quality, magnitude = head
    found = settle_masks(brain, quality, SIZE, magnitude)
    assert np.array_equal(found.brain, brain) and np.array_equal(found.qsm, brain)
    assert found.actions == () and not found.fallback


def test_holes_are_filled_and_parts_taken_off_with_their_number_of_voxels(head):
    brain, quality, magnitude = head
    spoiled = brain.copy()
    spoiled[14:16, 14:16, 14:16] = False
    spoiled[1:3, 1:3, 1] = True
    found = settle_masks(spoiled, quality, SIZE, magnitude)
    assert np.array_equal(found.brain, brain)
    assert "4 voxels apart" in found.actions[0] and "8 voxels of holes" in found.actions[1]


def test_a_mask_beside_the_head_is_given_up_for_one_from_signal_and_phase(head):
    brain, quality, magnitude = head
    for bad in (ball(5, (3, 3, 3)), np.zeros(SHAPE, bool)):
        found = settle_masks(bad, quality, SIZE, magnitude)
        assert found.fallback and "given up" in found.actions[0]
        assert (found.brain & brain).sum() > 0.95 * brain.sum() and not (found.brain & ~brain).any()


def test_what_a_person_made_is_neither_filled_nor_given_up(head):
    brain, quality, magnitude = head
    made = brain & (np.arange(30)[:, None, None] > 12)
    made[15, 15, 15] = False
    found = settle_masks(made, quality, SIZE, magnitude, keep=True)
    assert np.array_equal(found.brain, made) and found.actions == ()
    with pytest.raises(ValueError, match="no voxel of the brain mask"):
        settle_masks(ball(4, (4, 4, 4)), quality, SIZE, magnitude, keep=True)


def test_a_rim_of_poor_phase_is_trimmed_and_its_share_is_told(head):
    brain, quality, magnitude = head
    wide = ball(11)
    found = settle_masks(wide, quality, SIZE, magnitude)
    assert np.array_equal(found.brain, wide) and np.array_equal(found.qsm, brain)
    share = 100 * (1 - brain.sum() / wide.sum())
    assert found.actions == (
        f"{share:.2g} % of the brain mask left out of the QSM mask: at its rim, with a phase quality below 0.3",
    )
