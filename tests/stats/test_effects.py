"""Effect sizes against published values, scipy's other implementations and their nominal coverage."""

import numpy as np
import pytest
from scipy import special, stats

from qsmprep.stats import effects


def test_noncentral_t_limits_equal_those_of_the_r_package_mbess():
    # conf.limits.nct(t.value = 2.83, df = 126, conf.level = .95), manual of MBESS
    assert np.allclose(effects.noncentral_t_limits(2.83, 126), (0.8337502, 4.815359), rtol=1e-6)


@pytest.mark.parametrize("t", [-25.0, -1.0, 0.0, 3.0, 40.0])
@pytest.mark.parametrize("df", [2, 30, 2000])
def test_noncentral_t_limits_solve_their_equation_and_mirror(t, df):
    low, high = effects.noncentral_t_limits(t, df)
    assert low < t / effects.small_sample_factor(df) * 1.0001 + 2 and low < high
    assert np.isclose(special.nctdtr(df, low, t), 0.975, atol=1e-6)
    assert np.isclose(special.nctdtr(df, high, t), 0.025, atol=1e-6)
    assert np.allclose(effects.noncentral_t_limits(-t, df), (-high, -low), atol=1e-6)


@pytest.mark.parametrize(("f", "df1", "df2"), [(5.0, 5, 100), (1.2, 1, 12), (80.0, 3, 900)])
def test_noncentral_f_limits_solve_their_equation(f, df1, df2):
    low, high = effects.noncentral_f_limits(f, df1, df2)
    assert low == 0 or np.isclose(special.ncfdtr(df1, df2, low, f), 0.975, atol=1e-6)
    assert np.isclose(special.ncfdtr(df1, df2, high, f), 0.025, atol=1e-6)


def test_a_small_f_has_the_limits_zero():
    assert effects.noncentral_f_limits([0.001, 0.5], 3, 30)[0].tolist() == [0, 0]
    assert effects.noncentral_f_limits(0.001, 3, 30)[1] == 0


def test_noncentral_f_of_one_degree_is_noncentral_t_squared():
    t_low, t_high = effects.noncentral_t_limits(6.0, 40, level=0.95)
    f_low, f_high = effects.noncentral_f_limits(36.0, 1, 40, level=0.95)
    # far from 0 the other tail of t does not matter
    assert np.allclose((f_low, f_high), (t_low**2, t_high**2), rtol=1e-6)


def test_hedges_factor_is_near_its_approximation():
    df = np.array([10, 50, 400])
    assert np.allclose(effects.small_sample_factor(df), 1 - 3 / (4 * df - 1), atol=5e-4)
    assert np.isnan(effects.small_sample_factor(1))


def test_hedges_g_is_unbiased_and_its_interval_covers():
    rng, n1, n2, delta = np.random.default_rng(0), 8, 12, 0.8
    a, b = rng.normal(delta, 1, (n1, 3000)), rng.normal(0, 1, (n2, 3000))
    t = stats.ttest_ind(a, b).statistic
    g, low, high = effects.standardised(t, n1 + n2 - 2, np.sqrt(1 / n1 + 1 / n2))
    factor = effects.small_sample_factor(n1 + n2 - 2)
    assert abs(g.mean() - delta) < 0.03
    assert 0.94 < np.mean((low / factor < delta) & (delta < high / factor)) < 0.96


def test_partial_eta2_interval_covers():
    rng, n = np.random.default_rng(1), 20
    shifts = np.array([0.0, 0.4, 0.9])[:, None, None]
    y = rng.normal(0, 1, (3, n, 2000)) + shifts
    f = stats.f_oneway(*y).statistic
    true = np.var([0.0, 0.4, 0.9]) / (1 + np.var([0.0, 0.4, 0.9]))
    eta, low, high = effects.partial_eta2(f, 2, 3 * n - 3, 3 * n)
    grand = y.mean((0, 1))
    ss_between = n * ((y.mean(1) - grand) ** 2).sum(0)
    assert np.allclose(eta, ss_between / ((y - grand) ** 2).sum((0, 1)))
    assert 0.935 < np.mean((low <= true) & (true <= high)) < 0.965


@pytest.mark.parametrize(("n1", "n2", "shift"), [(9, 14, 0.0), (20, 20, 1.5), (15, 40, 0.7)])
def test_rank_biserial_interval_covers(n1, n2, shift):
    rng = np.random.default_rng(2)
    a, b = rng.normal(shift, 1, (n1, 1500)), rng.normal(0, 1, (n2, 1500))
    r, low, high = effects.rank_biserial(stats.mannwhitneyu(a, b).statistic, n1, n2)
    true = 2 * stats.norm.cdf(shift / np.sqrt(2)) - 1
    signs = np.sign(a[:, None, :20] - b[None, :, :20]).mean((0, 1))
    assert np.allclose(r[:20], signs)
    assert 0.93 < np.mean((low <= true) & (true <= high)) < 0.985


def test_groups_apart_have_a_rank_biserial_of_one_and_an_interval_with_a_width():
    r, low, high = effects.rank_biserial([0, 80], 8, 10)
    assert r.tolist() == [-1, 1] and high[1] == 1 and low[0] == -1
    assert np.isclose(low[1], -high[0]) and 0.3 < low[1] < 0.95


def test_paired_rank_biserial():
    difference = np.random.default_rng(3).normal(0.3, 1, 15)
    ranks = stats.rankdata(np.abs(difference))
    positive = ranks[difference > 0].sum()
    r, low, high = effects.rank_biserial_paired(positive, 15)
    assert np.isclose(r, (ranks * np.sign(difference)).sum() / ranks.sum()) and -1 < low < r < high < 1
    assert np.isnan(effects.rank_biserial_paired(120, 15)[1])


def test_what_is_missing_stays_missing():
    nan = np.array([np.nan, 2.0])
    for limits in (effects.noncentral_t_limits(nan, 9), effects.noncentral_f_limits(nan, 2, 9)):
        assert np.isnan(limits[0][0]) and np.isfinite(limits[0][1])
    assert np.isnan(effects.rank_biserial(nan, 3, 3)).tolist() == [[True, False]] * 3
