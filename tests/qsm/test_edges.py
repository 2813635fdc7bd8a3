import numpy as np
import pytest

from qsmprep.qsm._edges import magnitude_edges


def test_edges_are_where_the_magnitude_changes_and_not_at_the_rim(sphere):
    shape = (32, 32, 32)
    mask = sphere.ball(shape, (1, 1, 1), 14) > 0.5
    inner = sphere.ball(shape, (1, 1, 1), 6)
    magnitude = np.where(mask, 100 + 50 * inner, 0)
    edges = magnitude_edges(magnitude, mask, (1, 1, 1), 0.06)
    distance = np.sqrt(sum(axis**2 for axis in sphere.coordinates(shape, (1, 1, 1))))
    assert 0.5 * 0.06 < edges.sum() / mask.sum() < 1.01 * 0.06
    assert np.abs(distance[edges] - 6).max() < 2.5


def test_edges_do_not_follow_the_sensitivity_of_a_coil(sphere):
    shape = (32, 32, 32)
    mask = sphere.ball(shape, (1, 1, 1), 14) > 0.5
    x, _, _ = sphere.coordinates(shape, (1, 1, 1))
    tissue = 1 + 0.3 * sphere.ball(shape, (1, 1, 1), 6)
    plain = magnitude_edges(tissue, mask, (1, 1, 1), 0.05)
    lit = magnitude_edges(tissue * np.exp(x / 20), mask, (1, 1, 1), 0.05)
    assert (plain & lit).sum() > 0.8 * plain.sum()


def test_slices_twice_as_thick_have_gradients_half_as_steep(sphere):
    mask = np.ones((20, 20, 20), bool)
    x, _, z = sphere.coordinates(mask.shape, (1, 1, 1))
    step = 100 + 10.0 * (x > 0) + 10.0 * (z > 0)
    edges = magnitude_edges(step, mask, (1, 1, 2), 0.09)
    assert edges[10:12, 5, 3].all() and not edges[3, 5, 10:12].any()


def test_no_magnitude_and_no_share_mean_no_edges():
    mask = np.ones((8, 8, 8), bool)
    assert not magnitude_edges(None, mask, (1, 1, 1), 0.3).any()
    assert not magnitude_edges(np.arange(512.0).reshape(8, 8, 8), mask, (1, 1, 1), 0).any()
    assert not magnitude_edges(np.zeros(mask.shape), mask, (1, 1, 1), 0.3).any()
    with pytest.raises(ValueError, match="magnitude has shape"):
        magnitude_edges(np.ones((3, 3, 3)), mask, (1, 1, 1), 0.3)
