import numpy as np
import pytest
from scipy import stats

from qsmprep.stats.colocalize import across_persons, spatial_correlation, surrogate_maps, surrogate_test
from qsmprep.stats.shuffling import shuffles

GRID = np.stack(np.meshgrid(np.arange(12.0), np.arange(12.0), indexing="ij"), -1).reshape(-1, 2)
DISTANCE = np.linalg.norm(GRID[:, None] - GRID[None], axis=-1)
ROOT = np.linalg.cholesky(np.exp(-((DISTANCE / 4) ** 2)) + 1e-6 * np.eye(len(GRID)))


def smooth_map(rng):
    return ROOT @ rng.standard_normal(len(GRID))


def neighbours_alike(maps):
    """Correlation of values one step apart."""
    i, j = np.nonzero(np.triu(DISTANCE == 1))
    return np.array([np.corrcoef(one[i], one[j])[0, 1] for one in np.atleast_2d(maps)])


def test_partial_correlation_over_persons_is_that_of_residuals():
    rng = np.random.default_rng(0)
    n = 24
    nuisance = np.column_stack([np.ones(n), rng.normal(70, 5, n)])
    second = rng.standard_normal((n, 6)) + 0.1 * nuisance[:, [1]]
    first = rng.standard_normal((n, 6)) + 0.2 * nuisance[:, [1]]
    first[:, 0] += 2 * second[:, 0]
    first[:, 4], second[2, 5] = 1.0, np.nan
    found = across_persons(first, second, nuisance, shuffles(n, 2000, 1))
    residual = np.eye(n) - nuisance @ np.linalg.pinv(nuisance)
    for voxel in range(4):
        r = stats.pearsonr(residual @ first[:, voxel], residual @ second[:, voxel]).statistic
        t = r * np.sqrt(found.df / (1 - r**2))
        assert found.r[voxel] == pytest.approx(r, rel=1e-9)
        assert found.p[voxel] == pytest.approx(2 * stats.t.sf(abs(t), found.df), abs=0.04)
    assert found.df == 21 and np.isnan([found.r[4:], found.p[4:], found.p_fwe[4:]]).all()
    assert found.p_fwe[0] < 0.01 and np.all(found.p_fwe[:4] >= found.p[:4])


def test_correlation_over_persons_keeps_the_family_rate():
    chosen, n = shuffles(12, 100, 3), 12
    family = []
    for seed in range(500):
        first, second = np.random.default_rng(seed).standard_normal((2, n, 5))
        family.append(np.min(across_persons(first, second, np.ones((n, 1)), chosen).p_fwe))
    assert 0.03 <= np.mean(np.array(family) <= 0.05) <= 0.07


def test_surrogates_have_the_values_and_the_smoothness_of_the_map():
    rng = np.random.default_rng(1)
    one = smooth_map(rng)
    drawn = surrogate_maps(one, GRID, 60, 2)
    np.testing.assert_allclose(np.sort(drawn, axis=1), np.tile(np.sort(one), (60, 1)))
    shuffled = neighbours_alike(rng.permuted(np.tile(one, (60, 1)), axis=1)).mean()
    assert neighbours_alike(one)[0] > 0.85 and abs(shuffled) < 0.1
    assert neighbours_alike(drawn).mean() > 0.75
    rough = surrogate_maps(rng.standard_normal(len(GRID)), GRID, 60, 2)
    assert abs(neighbours_alike(rough).mean()) < 0.25
    assert np.array_equal(drawn, surrogate_maps(one, GRID, 60, 2))
    assert np.mean([abs(np.corrcoef(one, other)[0, 1]) for other in drawn]) < 0.5


def test_smooth_maps_without_relation_are_not_found_related():
    naive, ours = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        first, second = smooth_map(rng), smooth_map(rng)
        naive.append(stats.pearsonr(first, second).pvalue <= 0.05)
        ours.append(surrogate_test(first[None], second, GRID, 99, seed)[1] <= 0.05)
    assert np.mean(naive) > 0.4, "the test of independent voxels is far from its rate"
    assert np.mean(ours) < 0.16


def test_maps_that_go_together_are_found():
    rng = np.random.default_rng(5)
    second = smooth_map(rng)
    first = second + 0.5 * np.stack([smooth_map(rng) for _ in range(6)])
    r, p = surrogate_test(first, second, GRID, 199)
    assert p < 0.02 and r == pytest.approx(np.tanh(np.arctanh(spatial_correlation(first, second)).mean()))
    expected = [stats.pearsonr(one, second).statistic for one in first]
    np.testing.assert_allclose(spatial_correlation(first, second), expected)


def test_bad_input():
    with pytest.raises(ValueError, match="ten places"):
        surrogate_maps(np.ones(20), np.arange(20.0)[:, None])
    with pytest.raises(ValueError, match="too few"):
        across_persons(np.zeros((3, 2)), np.zeros((3, 2)), np.eye(3)[:, :2], shuffles(3, 6))
    with pytest.raises(ValueError, match="do not fit"):
        across_persons(np.zeros((3, 2)), np.zeros((4, 2)), np.ones((3, 1)), shuffles(3, 6))
