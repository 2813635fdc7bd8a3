"""Cut-offs against scikit-learn's curve, intervals against statsmodels and SciPy, predictive values against Bayes."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest
from sklearn.metrics import roc_curve
from statsmodels.stats.proportion import proportion_confint

from qsmprep.errors import UsageError
from qsmprep.stats import cutoff


def cohort(seed=0, n1=30, n0=45):
    rng = np.random.default_rng(seed)
    groups = pd.Series(["PD"] * n1 + ["HC"] * n0)
    values = pd.DataFrame(rng.normal(100, 15, (n1 + n0, 3)), columns=["SN", "RN", "Pu"])
    values.loc[groups == "PD", "SN"] += 25
    values.loc[groups == "PD", "RN"] -= 20
    values["Pu"] = values["Pu"].round(-1)
    return values, groups


@pytest.mark.parametrize(("method", "other"), [("wilson", "wilson"), ("clopper-pearson", "beta")])
def test_intervals_of_shares_are_those_of_statsmodels_and_scipy(method, other):
    hits, n = np.array([0, 1, 7, 20, 81]), np.array([10, 12, 20, 20, 263])
    low, high = cutoff.proportion_interval(hits, n, method)
    np.testing.assert_allclose((low, high), proportion_confint(hits, n, method=other), atol=1e-12)
    exact = binomtest(7, 20).proportion_ci(0.95, "wilson" if method == "wilson" else "exact")
    assert (low[2], high[2]) == pytest.approx((exact.low, exact.high), abs=1e-10)
    assert np.isnan(cutoff.proportion_interval(np.array([0]), np.array([0]), method)).all()


def test_wilson_interval_of_the_published_example():
    """Newcombe, Stat Med 1998;17:857, table I: 81/263 gives 0.2553 to 0.3662, 15/148 0.0624 to 0.1605."""
    low, high = cutoff.proportion_interval(np.array([81, 15]), np.array([263, 148]))
    np.testing.assert_allclose(low, [0.2553, 0.0624], atol=5e-5)
    np.testing.assert_allclose(high, [0.3662, 0.1605], atol=5e-5)


def test_cut_off_maximises_the_index_over_the_curve_and_says_what_it_does():
    values, groups = cohort()
    table = cutoff.youden(values, groups, "PD", "HC", bootstraps=200)
    for region, sign in (("SN", 1), ("RN", -1)):
        rows = table[table.region == region].set_index("test")
        false, true, _ = roc_curve(groups == "PD", sign * values[region])
        assert rows.loc["Youden index", "estimate"] == pytest.approx((true - false).max(), abs=1e-12)
        cut = rows.loc["Youden cut-off"]
        called = sign * values[region] > sign * cut["estimate"]
        assert called[groups == "PD"].mean() == pytest.approx(rows.loc["sensitivity", "estimate"])
        assert (~called[groups == "HC"]).mean() == pytest.approx(rows.loc["specificity", "estimate"])
        assert (called == (groups == "PD")).mean() == pytest.approx(rows.loc["accuracy", "estimate"])
        # at the sample's own prevalence the predictive values are plain shares
        assert (groups[called] == "PD").mean() == pytest.approx(rows.loc["PPV", "estimate"])
        assert (groups[~called] == "HC").mean() == pytest.approx(rows.loc["NPV", "estimate"])
        assert cut["estimate_low"] <= cut["estimate"] <= cut["estimate_high"]
        assert rows["direction"].unique() == [f"{'higher' if sign > 0 else 'lower'} in PD"]
    assert set(table.loc[table.region == "SN", "n_groups"]) == {"PD 30, HC 45"}


def test_predictive_values_follow_bayes_at_the_stated_prevalence():
    values, groups = cohort()
    rows = cutoff.youden(values[["SN"]], groups, "PD", "HC", prevalence=0.02, bootstraps=50).set_index("test")
    se, sp = rows.loc["sensitivity", "estimate"], rows.loc["specificity", "estimate"]
    assert rows.loc["PPV", "estimate"] == pytest.approx(se * 0.02 / (se * 0.02 + (1 - sp) * 0.98))
    assert rows.loc["NPV", "estimate"] == pytest.approx(sp * 0.98 / (sp * 0.98 + (1 - se) * 0.02))
    assert rows.loc["PPV", "prevalence"] == 0.02
    with pytest.raises(UsageError, match="prevalence"):
        cutoff.youden(values, groups, "PD", "HC", prevalence=1.5)


def test_interval_of_predictive_values_by_the_delta_method():
    """The logit of PPV is a sum of logs; its variance by numerical derivatives of that function."""
    n1, n0, hits, rejected, prevalence = 50, 80, 41, 60, 0.1

    def logit(se, sp):
        return np.log(se * prevalence / ((1 - sp) * (1 - prevalence)))

    se, sp, h = hits / n1, rejected / n0, 1e-6
    slopes = [(logit(se + h, sp) - logit(se - h, sp)) / (2 * h), (logit(se, sp + h) - logit(se, sp - h)) / (2 * h)]
    spread = slopes[0] ** 2 * se * (1 - se) / n1 + slopes[1] ** 2 * sp * (1 - sp) / n0
    limits = [1 / (1 + np.exp(-logit(se, sp) - s * 1.959964 * np.sqrt(spread))) for s in (-1, 1)]
    (ppv, low, high), (npv, npv_low, npv_high) = cutoff.predictive_values(hits, n1, rejected, n0, prevalence)
    assert (low, high) == pytest.approx(limits, abs=1e-6)
    assert ppv == pytest.approx(1 / (1 + np.exp(-logit(se, sp))))
    assert npv_low < npv < npv_high
    (ppv, low, high), (npv, npv_low, npv_high) = cutoff.predictive_values(50, 50, 80, 80, prevalence)
    assert ppv == npv == high == npv_high == 1
    assert 0 < low < 1


def test_bootstrap_finds_the_optimism_of_a_chosen_cut_off():
    """Where groups do not differ, the apparent index is above 0 and the corrected one is nearer to it."""
    rng = np.random.default_rng(5)
    groups = pd.Series(["PD"] * 25 + ["HC"] * 25)
    values = pd.DataFrame(rng.normal(size=(50, 60)))
    table = cutoff.youden(values, groups, "PD", "HC", bootstraps=200)
    mean = table.groupby("test")["estimate"].mean()
    assert mean["Youden index"] > 0.15
    assert mean["Youden index, corrected for optimism"] < mean["Youden index"] - 0.08
    again = cutoff.youden(values, groups, "PD", "HC", bootstraps=200)
    pd.testing.assert_frame_equal(table, again)
    # and the interval of a cut-off holds the true best one (halfway between the means) at about its rate
    values[:25] += 2.0
    cuts = cutoff.youden(values, groups, "PD", "HC", bootstraps=200).query("test == 'Youden cut-off'")
    assert ((cuts.estimate_low <= 1) & (cuts.estimate_high >= 1)).mean() > 0.85


def test_regions_without_a_cut_off_say_why():
    values, groups = cohort()
    values["flat"], values["few"] = 1.0, values["SN"].where(groups == "HC")
    table = cutoff.youden(values, groups, "PD", "HC", bootstraps=50).set_index("region")
    assert table.loc["flat", "note"] == "constant"
    assert table.loc["few", "note"] == "only 0 in group PD"
    assert len(table.loc["SN"]) == 8
