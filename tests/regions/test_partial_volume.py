"""Means over partial volumes: each voxel counts by the fraction that the region fills."""

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from qsmprep.regions.partial_volume import partial_volume_means

AFFINE = np.array([[-1.0, 0, 0, 8], [0, 2.0, 0, -9], [0, 0, 1.5, -7], [0, 0, 0, 1]])


def places(shape, affine):
    return np.stack(np.indices(shape), axis=-1).astype(float) @ affine[:3, :3].T + affine[:3, 3]


def test_equals_the_mean_weighted_by_each_regions_interpolated_indicator():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, (16, 10, 9)).astype(np.int32)
    values = rng.normal(size=(20, 21, 14))
    positions = rng.uniform((-9, -11, -9), (10, 11, 7), (*values.shape, 3))  # some lie outside the atlas
    mask = rng.random(values.shape) > 0.3
    found = partial_volume_means(labels, AFFINE, positions, mask, values, [1, 3, 9])
    index = (positions - AFFINE[:3, 3]) @ np.linalg.inv(AFFINE[:3, :3]).T
    for label, mean in zip((1, 3), found, strict=False):
        weight = map_coordinates((labels == label).astype(float), index[mask].T, order=1, mode="grid-constant")
        assert mean == pytest.approx((weight * values[mask]).sum() / weight.sum(), rel=1e-9)
    assert np.isnan(found[2])


def test_on_the_atlas_own_grid_it_is_the_plain_mean():
    labels = np.zeros((6, 6, 6), np.int32)
    labels[1:4, 1:5, 2:5] = 2
    values = np.random.default_rng(1).normal(size=labels.shape)
    mask = np.ones(labels.shape, bool)
    mask[2] = False
    found = partial_volume_means(labels, AFFINE, places(labels.shape, AFFINE), mask, values, [2])
    assert found[0] == pytest.approx(values[(labels == 2) & mask].mean())


def test_a_voxel_half_filled_counts_half_and_one_without_a_place_not_at_all():
    labels = np.array([1, 0, 0, 0], np.int32).reshape(4, 1, 1)
    positions = np.zeros((3, 1, 1, 3))
    positions[:, 0, 0, 0] = (0.0, 0.5, np.nan)
    values = np.array([1.0, 4.0, 100.0]).reshape(3, 1, 1)
    found = partial_volume_means(labels, np.eye(4), positions, np.ones((3, 1, 1), bool), values, [1])
    assert found[0] == pytest.approx((1.0 + 0.5 * 4.0) / 1.5)


def test_shapes_that_differ_are_refused():
    with pytest.raises(ValueError, match="positions"):
        partial_volume_means(np.zeros((2, 2, 2), int), np.eye(4), np.zeros((3, 3, 3)), np.ones((3, 3, 3), bool),
                             np.zeros((3, 3, 3)), [1])  # fmt: skip
