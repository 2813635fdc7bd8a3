"""Areas under the curve against scikit-learn, SciPy, a direct O(n²) DeLong and the example of DeLong's own paper."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score, roc_curve

from qsmprep.stats import roc

# DeLong, DeLong & Clarke-Pearson, Biometrics 1988;44:837: albumin, total protein, K-G score, benefit from surgery
# (the 43 complete records, as printed in the SAS/STAT User's Guide, PROC LOGISTIC, "Comparing ROC Curves")
OVARIAN = """
3.0 5.8 10 0   3.2 6.3  5 1   3.9 6.8  3 1   2.8 4.8  6 0   3.2 5.8  3 1   0.9 4.0  5 0   2.5 5.7  8 0   1.6 5.6  5 1
3.8 5.7  5 1   3.7 6.7  6 1   3.2 5.4  4 1   3.8 6.6  6 1   4.1 6.6  5 1   3.6 5.7  5 1   4.3 7.0  4 1   3.6 6.7  4 0
2.3 4.4  6 1   4.2 7.6  4 0   4.0 6.6  6 0   3.5 5.8  6 1   3.8 6.8  7 1   3.0 4.7  8 0   4.5 7.4  5 1   3.7 7.4  5 1
3.1 6.6  6 1   4.1 8.2  6 1   4.3 7.0  5 1   4.3 6.5  4 1   3.2 5.1  5 1   2.6 4.7  6 1   3.3 6.8  6 0   1.7 4.0  7 0
3.7 6.1  5 1   3.3 6.3  7 1   4.2 7.7  6 1   3.5 6.2  5 1   2.9 5.7  9 0   2.1 4.8  7 1   2.8 6.2  8 0   4.0 7.0  7 1
3.3 5.7  6 1   3.7 6.9  5 1   3.6 6.6  5 1
"""


def ovarian():
    table = pd.DataFrame(np.array(OVARIAN.split(), float).reshape(-1, 4), columns=["albumin", "protein", "kg", "good"])
    groups = pd.Series(np.where(table.pop("good") == 1, "benefit", "none"), table.index)
    return table, groups


def cohort(seed=0, n=60, regions=5):
    rng = np.random.default_rng(seed)
    groups = pd.Series(rng.permutation(["AD"] * (n // 3) + ["HC"] * (n - n // 3)))
    values = pd.DataFrame(rng.normal(size=(n, regions)), columns=[f"r{i}" for i in range(regions)])
    values.loc[groups == "AD"] += np.linspace(-1, 1.5, regions)
    values["r1"] = values["r1"].round(0)  # ties
    values.iloc[:7, 2] = np.nan
    return values, groups


def slow_delong(x, y):
    """Area, and variance from the structural components as the paper defines them."""
    kernel = (x[:, None] > y) + 0.5 * (x[:, None] == y)
    v10, v01 = kernel.mean(axis=1), kernel.mean(axis=0)
    return kernel.mean(), v10, v01


def test_published_example_of_three_correlated_curves():
    values, groups = ovarian()
    table = roc.auc(values, groups, "benefit", "none", interval="plain").set_index("region")
    # SAS/STAT User's Guide, "ROC Association Statistics": area, standard error, 95 % Wald limits
    expected = {"albumin": (0.7366, 0.0927, 0.5549, 0.9182), "kg": (0.7258, 0.1028, 0.5243, 0.9273)}
    expected["protein"] = (0.6478, 0.1000, 0.4518, 0.8439)
    for region, numbers in expected.items():
        row = table.loc[region, ["estimate", "estimate_se", "estimate_low", "estimate_high"]]
        assert row.to_numpy(float) == pytest.approx(numbers, abs=6e-5), region
    assert table.loc["kg", "direction"] == "lower in benefit"
    assert table.loc["albumin", "direction"] == "higher in benefit"
    # "ROC Contrast Estimation": K-G less albumin -0.0108, SE 0.0953, limits -0.1976 to 0.1761, chi-square 0.0127
    kg, albumin = values[["kg"]], values[["albumin"]].rename(columns={"albumin": "kg"})
    row = roc.compare_paired(kg, albumin, groups, "benefit", "none", names=("K-G", "albumin")).iloc[0]
    found = [row[c] for c in ("estimate", "estimate_se", "estimate_low", "estimate_high", "p")]
    assert found == pytest.approx([-0.0108, 0.0953, -0.1976, 0.1761, 0.9102], abs=6e-5)
    assert row["statistic"] ** 2 == pytest.approx(0.0127, abs=6e-5)


def test_areas_ranks_and_variances_agree_with_other_software():
    values, groups = cohort()
    table = roc.auc(values, groups, "AD", "HC", direction="higher", interval="logit").set_index("region")
    for region, column in values.items():
        x, y = column[groups == "AD"].dropna().to_numpy(), column[groups == "HC"].dropna().to_numpy()
        area, v10, v01 = slow_delong(x, y)
        se = np.sqrt(v10.var(ddof=1) / len(x) + v01.var(ddof=1) / len(y))
        row = table.loc[region]
        known = column.dropna().index
        assert row["estimate"] == pytest.approx(roc_auc_score(groups[known] == "AD", column[known]), abs=1e-12)
        assert row["estimate_se"] == pytest.approx(se, abs=1e-12)
        test = stats.mannwhitneyu(x, y, method="asymptotic", use_continuity=False)
        assert row["p"] == pytest.approx(test.pvalue, rel=1e-9)
        width = stats.norm.isf(0.025) * se / (area * (1 - area))
        limits = [1 / (1 + np.exp(-(np.log(area / (1 - area)) + s * width))) for s in (-1, 1)]
        assert [row["estimate_low"], row["estimate_high"]] == pytest.approx(limits, abs=1e-12)
        assert row["n"] == len(known)
        assert row["n_groups"] == f"AD {len(x)}, HC {len(y)}"


def test_direction_turns_areas_round():
    values, groups = cohort()
    up, down, auto = (roc.auc(values, groups, "AD", "HC", direction=d).estimate for d in ("higher", "lower", "auto"))
    np.testing.assert_allclose(up, 1 - down)
    np.testing.assert_allclose(auto, np.maximum(up, down))
    turned = roc.auc(-values, groups, "AD", "HC")
    np.testing.assert_allclose(turned.estimate, auto)
    assert (turned.direction != roc.auc(values, groups, "AD", "HC").direction).all()


def test_paired_test_against_the_direct_formula():
    values, groups = cohort()
    rng = np.random.default_rng(3)
    other = values + rng.normal(size=values.shape)
    other.iloc[-3:, 0] = np.nan
    kwargs = {"names": ("chi", "R2star"), "direction": "higher"}
    table = roc.compare_paired(values, other, groups, "AD", "HC", **kwargs).set_index("region")
    for region in values:
        known = values[region].notna() & other[region].notna()
        case, well = known & (groups == "AD"), known & (groups == "HC")
        a, a10, a01 = slow_delong(values.loc[case, region].to_numpy(), values.loc[well, region].to_numpy())
        b, b10, b01 = slow_delong(other.loc[case, region].to_numpy(), other.loc[well, region].to_numpy())
        cov = np.cov(a10, b10) / case.sum() + np.cov(a01, b01) / well.sum()
        z = (a - b) / np.sqrt(cov[0, 0] + cov[1, 1] - 2 * cov[0, 1])
        assert table.loc[region, "statistic"] == pytest.approx(z, abs=1e-9)
        assert table.loc[region, "p"] == pytest.approx(2 * stats.norm.sf(abs(z)), abs=1e-9)
        assert table.loc[region, "contrast"] == "AD vs HC: chi - R2star"


def test_curve_has_the_points_of_scikit_learn_and_the_area_of_the_table():
    values, groups = cohort()
    for region in ("r0", "r1", "r4"):
        points = roc.curve(values[region], groups, "AD", "HC")
        sign = 1 if roc.auc(values[[region]], groups, "AD", "HC").direction[0].startswith("higher") else -1
        false, true, _ = roc_curve(groups == "AD", sign * values[region], drop_intermediate=False)
        np.testing.assert_allclose(points["sensitivity"], true)
        np.testing.assert_allclose(1 - points["specificity"], false, atol=1e-12)
        area = np.trapezoid(points["sensitivity"], 1 - points["specificity"])
        assert area == pytest.approx(roc.auc(values[[region]], groups, "AD", "HC").estimate[0])
        inner = points.iloc[len(points) // 2]
        beyond = sign * values.loc[groups == "AD", region] > sign * inner["threshold"]
        assert beyond.mean() == pytest.approx(inner["sensitivity"])


def test_groups_without_overlap_have_an_honest_interval():
    groups = pd.Series(["AD"] * 10 + ["HC"] * 12)
    values = pd.DataFrame({"SN": np.r_[np.arange(10) + 100.0, np.arange(12)]})
    row = roc.auc(values, groups, "AD", "HC").iloc[0]
    assert row["estimate"] == 1
    assert row["estimate_high"] == 1
    low, z, size = row["estimate_low"], stats.norm.isf(0.025), 10  # Newcombe 2006: N* = (m + n) / 2 - 1
    variance = low * (1 - low) * (1 + size * ((1 - low) / (2 - low) + low / (1 + low))) / 120
    assert (1 - low) == pytest.approx(z * np.sqrt(variance), abs=1e-8)
    assert 0.6 < low < 0.95
    assert "Newcombe" in row["note"]
    wrong = roc.auc(values, groups, "AD", "HC", direction="lower").iloc[0]
    assert wrong[["estimate", "estimate_low"]].tolist() == [0, 0]


def test_a_faulty_region_says_why_and_stops_no_other():
    values, groups = cohort()
    values["flat"] = 3.0
    values["few"] = values["r0"].where((groups == "HC") | (np.arange(len(groups)) == groups[groups == "AD"].index[0]))
    values["none"] = np.nan
    table = roc.auc(values, groups, "AD", "HC").set_index("region")
    assert table.loc["flat", "note"] == "constant"
    assert table.loc["few", "note"] == "only 1 in group AD"
    assert table.loc["none", "note"] == "only 0 in group AD"
    assert table.loc[["flat", "few", "none"], "estimate_low"].isna().all()
    assert table.loc["r0":"r4", "p"].notna().all()
    paired = roc.compare_paired(values, values, groups, "AD", "HC", names=("a", "b")).set_index("region")
    assert paired.loc["r0", "note"] == "the two markers order these people alike"
    assert paired.loc["flat", "note"] == "constant"
    nobody = roc.auc(values, groups, "PD", "HC")
    assert (nobody["note"] == "only 0 in group PD").all()


def test_interval_covers_at_its_rate_and_area_follows_from_the_effect_size():
    """Area of two normal groups d apart is Φ(d/√2); 95 % intervals hold it in about 95 of 100 studies."""
    rng = np.random.default_rng(1)
    groups = pd.Series(["PD"] * 40 + ["HC"] * 40)
    values = pd.DataFrame(rng.normal(size=(80, 2000)))
    values[:40] += 1.2
    table = roc.auc(values, groups, "PD", "HC", direction="higher")
    truth = stats.norm.cdf(1.2 / np.sqrt(2))
    covered = (table.estimate_low <= truth) & (truth <= table.estimate_high)
    assert table.estimate.mean() == pytest.approx(truth, abs=0.004)
    assert 0.93 < covered.mean() < 0.97
