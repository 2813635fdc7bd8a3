import numpy as np
import pytest
import statsmodels.api as sm
from nilearn.mass_univariate import permuted_ols
from scipy import stats

from qsmprep.stats.permutation import fwe_p, partition, permutation_test
from qsmprep.stats.shuffling import shuffles


def cohort(n=20, voxels=12, seed=0, effect=0.0):
    """Values (n, v), design (intercept, group, age) and the contrast of the group."""
    rng = np.random.default_rng(seed)
    group, age = np.arange(n) % 2, rng.normal(70, 8, n)
    values = rng.standard_normal((n, voxels)) + 0.05 * age[:, None]
    values[:, :3] += effect * group[:, None]
    return values, np.column_stack([np.ones(n), group, age]), np.array([0.0, 1.0, 0.0])


def test_statistics_equal_statsmodels():
    values, design, contrast = cohort(effect=1)
    several = np.array([[0, 1.0, 0], [0, 0, 1]])
    t = permutation_test(values, design, contrast, shuffles(20, 5), workers=1)
    F = permutation_test(values, design, several, shuffles(20, 5), workers=1)
    assert (t.name, t.df, F.name, F.df) == ("t", (17,), "F", (2, 17))
    for voxel, column in enumerate(values.T):
        fit = sm.OLS(column, design).fit()
        expected = fit.t_test(contrast)
        assert t.estimate[voxel] == pytest.approx(expected.effect[0], rel=1e-9)
        assert t.se[voxel] == pytest.approx(expected.sd[0, 0], rel=1e-9)
        assert t.statistic[voxel] == pytest.approx(expected.tvalue[0, 0], rel=1e-9)
        assert F.statistic[voxel] == pytest.approx(fit.f_test(several).fvalue, rel=1e-9)


def test_one_row_of_a_matrix_is_f_whose_p_values_are_those_of_t():
    values, design, contrast = cohort(effect=1)
    t = permutation_test(values, design, contrast, shuffles(20, 200), workers=1)
    F = permutation_test(values, design, contrast[None], shuffles(20, 200), workers=1, two_sided=False)
    assert (F.name, F.df) == ("F", (1, 17)) and np.isnan(F.estimate).all()
    np.testing.assert_allclose(F.statistic, t.statistic**2, rtol=1e-9)
    np.testing.assert_allclose(F.p, t.p)
    np.testing.assert_allclose(F.p_fwe, t.p_fwe)


@pytest.mark.parametrize("two_sided", [True, False])
def test_p_values_are_those_of_nilearn(two_sided):
    values, design, contrast = cohort(effect=1.5)
    count = 3000
    ours = permutation_test(values, design, contrast, shuffles(20, count, 1), two_sided=two_sided, workers=1)
    theirs = permuted_ols(
        design[:, [1]], values, design[:, [2]], n_perm=count, two_sided_test=two_sided, random_state=1
    )
    np.testing.assert_allclose(ours.statistic, theirs["t"][0], rtol=1e-6)
    p = 10 ** -theirs["logp_max_t"][0]
    assert p.min() < 0.05 < p.max()
    assert np.all(np.abs(ours.p_fwe - p) < 5 * np.sqrt(p * (1 - p) / count * 2) + 2 / count)
    grid = np.quantile(theirs["h0_max_t"][0], [0.1, 0.5, 0.9, 0.95])
    assert np.allclose(np.quantile(ours.maxima["statistic"], [0.1, 0.5, 0.9, 0.95]), grid, rtol=0.06)


def brute_force(values, design, contrast, chosen, two_sided=True):
    """Freedman-Lane as it is written down: one regression for every shuffle and voxel."""
    nuisance = design[:, np.all(np.atleast_2d(contrast) == 0, axis=0)]
    fitted = nuisance @ np.linalg.pinv(nuisance) @ values
    found = []
    for k, order in enumerate(chosen.orders):
        sign = 1 if chosen.signs is None else chosen.signs[k][:, None]
        fits = [sm.OLS(column, design).fit() for column in (fitted + sign * (values - fitted)[order]).T]
        if contrast.ndim == 1:
            found.append([fit.t_test(contrast).tvalue[0, 0] for fit in fits])
        else:
            found.append([fit.f_test(contrast).fvalue for fit in fits])
    found = np.abs(found) if two_sided else np.array(found)
    return (found >= found[0] - 1e-7).mean(0), (found.max(1)[:, None] >= found[0] - 1e-7).mean(0), found.max(1)


@pytest.mark.parametrize("two_sided", [True, False])
@pytest.mark.parametrize("flip", [True, False])
def test_every_shuffle_is_the_regression_on_shuffled_residuals(flip, two_sided):
    values, design, contrast = cohort(12, 5, effect=2)
    chosen = shuffles(12, 60, 4, flip=flip, blocks=np.repeat([0, 1], 6))
    found = permutation_test(values, design, contrast, chosen, two_sided=two_sided, workers=1)
    p, p_fwe, _ = brute_force(values, design, contrast, chosen, two_sided)
    np.testing.assert_allclose(found.p, p)
    np.testing.assert_allclose(found.p_fwe, p_fwe)


@pytest.mark.parametrize("flip", [True, False])
def test_every_shuffle_of_three_groups_is_the_f_of_shuffled_residuals(flip):
    rng = np.random.default_rng(7)
    group, age = np.arange(15) % 3, rng.normal(70, 8, 15)
    values = rng.standard_normal((15, 5)) + 0.05 * age[:, None]
    values[:, 0] += 1.5 * (group == 1)
    # coded to sum to zero: no column of the model is a group of its own
    design = np.column_stack([np.ones(15), (group == 0) - 1.0 * (group == 2), (group == 1) - 1.0 * (group == 2), age])
    contrast = np.eye(4)[1:3]
    chosen = shuffles(15, 60, 4, flip=flip)
    found = permutation_test(values, design, contrast, chosen, workers=1)
    p, p_fwe, maxima = brute_force(values, design, contrast, chosen)
    assert found.df == (2, 11) and p.min() < 0.1
    np.testing.assert_allclose(found.p, p)
    np.testing.assert_allclose(found.p_fwe, p_fwe)
    np.testing.assert_allclose(found.maxima["statistic"], maxima, rtol=1e-3)


def test_exhaustive_permutations_of_two_groups_are_exact():
    rng = np.random.default_rng(3)
    values, group = rng.standard_normal((8, 30)), np.array([0, 0, 0, 0, 1, 1, 1, 1])
    values[group == 1, 0] += 10
    design = np.column_stack([np.ones(8), group])
    chosen = shuffles(8, 1000, design=design)
    found = permutation_test(values, design, [0, 1], chosen, workers=1)
    assert found.exhaustive and len(chosen) == 70
    assert found.p[0] == pytest.approx(2 / 70)
    for voxel in range(0, 30, 7):
        a, b = values[group == 1, voxel], values[group == 0, voxel]
        exact = stats.permutation_test((a, b), lambda x, y: np.mean(x) - np.mean(y), n_resamples=1000).pvalue
        assert found.p[voxel] == pytest.approx(exact)


def test_paired_differences_by_sign_flips_equal_scipy():
    values = np.random.default_rng(5).standard_normal((9, 6)) + 0.5
    chosen = shuffles(9, 1000, permute=False, flip=True)
    found = permutation_test(values, np.ones((9, 1)), [1.0], chosen, workers=1)
    np.testing.assert_allclose(found.statistic, stats.ttest_1samp(values, 0).statistic, rtol=1e-9)
    for voxel, column in enumerate(values.T):
        exact = stats.permutation_test(
            (column,), np.mean, permutation_type="samples", n_resamples=1000, alternative="two-sided"
        )
        assert found.p[voxel] == pytest.approx(exact.pvalue)


def test_constant_and_missing_voxels_do_not_disturb_the_others():
    values, design, contrast = cohort(effect=1)
    whole = permutation_test(values[:, 2:], design, contrast, shuffles(20, 100), workers=1)
    values[:, 0] = 0.1
    values[3, 1] = np.nan
    seen = []
    found = permutation_test(
        values.astype(np.float32), design, contrast, shuffles(20, 100), workers=1,
        maximum=lambda statistic: {"zeros": float(np.sum(statistic == 0)), "top": float(np.abs(statistic).max())},
        progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    assert found.tested.tolist() == [False, False] + [True] * 10 and seen[-1] == (100, 100)
    assert np.isnan([found.p[:2], found.p_fwe[:2], found.statistic[:2], found.estimate[:2]]).all()
    np.testing.assert_allclose(found.p_fwe[2:], whole.p_fwe)
    np.testing.assert_allclose(found.maxima["top"], whole.maxima["statistic"], rtol=1e-3)
    assert np.all(found.maxima["zeros"] == 2)


def test_batches_and_threads_give_the_same():
    values, design, contrast = cohort(effect=1)
    one = permutation_test(values, design, contrast, shuffles(20, 300), workers=1)
    other = permutation_test(values, design, contrast, shuffles(20, 300), workers=2, memory_gb=1e-5)
    np.testing.assert_allclose(other.maxima["statistic"], one.maxima["statistic"], rtol=1e-4)
    np.testing.assert_allclose(other.p, one.p, atol=1 / 300)


def test_null_p_values_are_uniform_and_the_family_holds_its_rate():
    design = np.column_stack([np.ones(16), np.arange(16) % 2, np.linspace(-1, 1, 16) ** 2])
    chosen = [shuffles(16, 200, seed) for seed in range(20)]
    p, family = [], []
    for number in range(500):
        values = np.random.default_rng(number).exponential(size=(16, 8)) + 3 * design[:, [2]]
        found = permutation_test(values, design, [0, 1, 0], chosen[number % 20], workers=1)
        p.append(found.p[0])
        family.append(found.p_fwe.min())
    assert stats.kstest(p, "uniform").pvalue > 0.01
    assert stats.kstest(family, "uniform").pvalue > 0.01
    assert 0.03 <= np.mean(np.array(family) <= 0.05) <= 0.07


def test_models_that_cannot_be_used():
    values, design, contrast = cohort()
    with pytest.raises(ValueError, match="collinear"):
        partition(np.column_stack([design, design[:, 1]]), [0, 1, 0, 0])
    with pytest.raises(ValueError, match="too few"):
        partition(design[:3], contrast)
    with pytest.raises(ValueError, match="contrast has 2 columns"):
        partition(design, [0, 1])
    with pytest.raises(ValueError, match="depend on each other"):
        partition(design, [contrast, 2 * contrast])
    with pytest.raises(ValueError, match="no voxel"):
        permutation_test(np.ones_like(values), design, contrast, shuffles(20, 9), workers=1)


def test_fwe_counts_the_unshuffled_one():
    assert fwe_p(np.array([5.0, 3.0, 0.0]), np.array([5.0, 3, 2, 1])).tolist() == [0.25, 0.5, 1.0]
    assert fwe_p(np.array([38.0]), np.arange(40.0))[0] <= 0.05, "two of forty"
