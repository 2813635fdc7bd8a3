import numpy as np
import pytest

from qsmprep.mask.object import quality_only_mask

SHAPE, SIZE = (84, 84, 84), (2.0, 2.0, 2.0)


def distance(shape=SHAPE, size=SIZE):
    """Distance from the centre of the volume [mm]."""
    grids = np.indices(shape)
    return np.sqrt(sum(((g - (n - 1) / 2) * e) ** 2 for g, n, e in zip(grids, shape, size, strict=True)))


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def head(brain_radius, shape=SHAPE, size=SIZE):
    """Brain, and tissue: brain, a scalp of 6 mm around a skull of 5 mm, and bridges of 4 mm between them."""
    away = distance(shape, size)
    brain = away <= brain_radius
    scalp = (away > brain_radius + 5) & (away <= brain_radius + 11)
    across = [np.abs(g - (n - 1) / 2) * e for g, n, e in zip(np.indices(shape), shape, size, strict=True)]
    bridges = (away <= brain_radius + 8) & sum(
        (a < 2) & (b < 2) for a, b in ((across[0], across[1]), (across[1], across[2]))
    ).astype(bool)
    return brain, brain | scalp | bridges


def quality_of(tissue, good=0.85, bad=0.3):
    return np.where(tissue, good, bad) + np.random.default_rng(1).normal(0, 0.05, tissue.shape)


def test_object_is_found_from_phase_quality_alone():
    brain = distance() <= 50
    assert dice(quality_only_mask(quality_of(brain), SIZE), brain) > 0.97


def test_magnitude_tells_air_of_good_phase_from_tissue():
    brain = distance() <= 50
    assert dice(quality_only_mask(np.full(SHAPE, 0.9), SIZE, np.where(brain, 100.0, 3.0)), brain) > 0.97


@pytest.mark.parametrize("radius", [55, 70], ids=["a small head, no larger than some brains", "a large head"])
def test_scalp_that_hangs_on_to_the_brain_by_bridges_is_left_out(radius):
    brain, tissue = head(radius)
    assert (tissue & ~brain).sum() > 0.2 * brain.sum()
    mask = quality_only_mask(quality_of(tissue), SIZE, np.where(tissue, 100.0, 3.0))
    assert dice(mask, brain) > 0.98


def test_voxel_size_is_that_of_the_image():
    shape, size = (120, 120, 48), (1.25, 1.25, 3.0)
    brain, tissue = head(55, shape, size)
    assert dice(quality_only_mask(quality_of(tissue), size, np.where(tissue, 100.0, 3.0)), brain) > 0.97


def test_phase_of_middling_quality_joins_what_better_phase_parts():
    """Bone that holds some signal joins brain and scalp all around: no ball parts them, better phase does."""
    brain, tissue = head(72)
    quality = quality_of(tissue)
    quality[(distance() <= 80) & ~tissue] = 0.55
    assert dice(quality_only_mask(quality, SIZE), brain) > 0.97


def test_a_crop_full_of_tissue_is_kept_whole():
    rng = np.random.default_rng(0)
    quality, magnitude = rng.uniform(0.6, 0.95, (20, 20, 20)), rng.uniform(80, 120, (20, 20, 20))
    assert quality_only_mask(quality, (0.5, 0.5, 0.5), magnitude).all()


def test_thin_slab_of_a_brain_is_not_eaten_at_its_faces():
    brain = np.broadcast_to((distance() <= 60)[:, :, 40:41], (84, 84, 6))
    mask = quality_only_mask(quality_of(brain), SIZE)
    assert dice(mask, brain) > 0.97
    assert mask[42, 42].all()


def test_scattered_voxels_are_no_object():
    quality = np.full((20, 20, 20), 0.1)
    quality[::3, ::3, ::3] = 0.9
    with pytest.raises(ValueError, match="no object can be told from noise"):
        quality_only_mask(quality, (1, 1, 1))
