"""Corrected p-values against statsmodels and scipy."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from qsmprep.stats.correct import METHODS, adjust, correct

P = np.random.default_rng(1).beta(0.4, 1, 200)
P[10] = P[11]


@pytest.mark.parametrize("method", [m for m in METHODS if m != "none"])
def test_equals_statsmodels(method):
    assert np.allclose(adjust(P, method), multipletests(P, method=method)[1], rtol=1e-12)


@pytest.mark.parametrize("method", ["fdr_bh", "fdr_by"])
def test_equals_scipy(method):
    assert np.allclose(adjust(P, method), stats.false_discovery_control(P, method=method[4:]), rtol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_missing_p_values_do_not_count(method):
    holed = np.insert(P, [3, 50], np.nan)
    known = np.isfinite(holed)
    assert (
        np.array_equal(adjust(holed, method)[known], adjust(P, method))
        and np.isnan(adjust(holed, method)[~known]).all()
    )


def test_of_one_test_nothing_is_corrected_and_of_none_neither():
    assert adjust([0.03], "holm") == [0.03] and adjust([], "fdr_bh").size == 0
    assert np.isnan(adjust([np.nan], "bonferroni")).all()


def test_false_discovery_rate_is_kept_under_the_null():
    rng = np.random.default_rng(0)
    found = [(adjust(rng.uniform(size=50), "fdr_bh") < 0.05).any() for _ in range(1000)]
    assert 0.03 <= np.mean(found) <= 0.07


def test_families_are_set_apart_and_counted():
    tests = pd.DataFrame(
        {"contrast": ["a", "b", "a", "b", "a"], "p": [0.01, 0.02, 0.03, 0.04, np.nan]}, index=[5, 5, 6, 7, 8]
    )
    out = correct(tests, "bonferroni", by=["contrast"])
    assert np.allclose(out.p_corrected, [0.02, 0.04, 0.06, 0.08, np.nan], equal_nan=True)
    assert out.family_size.tolist() == [2, 2, 2, 2, 2] and out.index.tolist() == tests.index.tolist()
    assert np.allclose(correct(tests, "bonferroni").p_corrected[:1], 0.04)


def test_an_unknown_method_and_an_impossible_p_value_are_refused():
    with pytest.raises(ValueError, match=r"sidak.*fdr_bh"):
        adjust([0.1], "sidak")
    with pytest.raises(ValueError, match="outside"):
        adjust([1.2])
