import pandas as pd
import pytest

from qsmprep.group.units import estimate_units

CASES = [
    ("Welch t", "AD - HC", "Hedges g", "ppb"),
    ("GLM t (HC3)", "AD - HC | apoe=e4", "Hedges g", "ppb"),
    ("GLM t (HC3)", "age", "partial r", "ppb/year"),
    ("GLM t (HC3)", "mmse in AD", "partial r", "ppb per unit of mmse"),
    ("GLM t (HC3)", "mmse[AD] - mmse[HC]", "partial r", "ppb per unit of mmse"),
    ("detectable with power 0.8", "age", "partial r", "ppb/year"),
    ("Pearson, difference of correlations", "mmse: AD - HC", "Cohen q", "1"),
    ("partial Spearman", "mmse in AD", "rho", "1"),
    ("ROC", "AD - HC", "AUC", "1"),
    ("DeLong, paired", "AD - HC", "", "1"),
    ("Youden cut-off", "AD - HC", "", "ppb"),
    ("Youden index, corrected for optimism", "AD - HC", "", "1"),
    ("annual rate, Welch t", "AD - HC", "Hedges g", "ppb/year"),
    ("annual percent, Welch t", "AD - HC", "Hedges g", "%/year"),
    ("mixed model t (Satterthwaite)", "years in HC", "d (total SD)", "ppb/year"),
    ("mixed model t (Satterthwaite)", "AD - HC", "d (total SD)", "ppb"),
    ("mixed model variance", "SD of slopes", "", "ppb/year"),
    ("mixed model variance", "correlation of intercepts and slopes", "", "1"),
    ("ICC(2,1)", "absolute agreement, one measurement", "ICC", "1"),
    ("upper limit of agreement", "1 - 2", "", "ppb"),
    ("site variance, before", "site", "", "1"),
    ("covariate, after", "group: PD - HC", "partial η²", "ppb"),
    ("covariate, after", "age", "partial η²", "ppb/year"),
]


@pytest.mark.parametrize(("test", "contrast", "effect", "expected"), CASES)
def test_the_unit_is_that_of_the_estimate(test, contrast, effect, expected):
    row = {"measure": "chi_median", "test": test, "contrast": contrast, "effect_name": effect}
    assert estimate_units(pd.DataFrame([row]), {"chi_median": "ppb"}) == [expected]


def test_a_table_without_tests_has_the_unit_of_the_measure():
    table = pd.DataFrame({"measure": ["chi_median", "r2star_mean"], "rate": [1.0, 2.0]})
    assert estimate_units(table, {"chi_median": "ppb", "r2star_mean": "1/s"}) == ["ppb", "1/s"]
