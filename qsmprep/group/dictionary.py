"""What every column of the group tables means: their JSON dictionaries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

TABLES = {
    "descriptives": "Count, centre and spread of each region in each group",
    "comparisons": "Tests between groups, one row a region and contrast",
    "models": "Linear models of each region on groups, covariates and interactions",
    "adjusted_means": "Mean of each group in the linear model, at the mean of the covariates",
    "panel_tests": "Tests over all regions together",
    "scores": "Correlation of each region with scores, biomarkers, volume or thickness",
    "diagnosis": "How well a region, or several, tell two groups apart",
    "cutoffs": "Youden's cut-off of each region, and what a diagnosis by it is worth",
    "classification": "Classifiers over several regions, cross-validated",
    "classification_people": "Probability that the classifiers gave each person, mean over repeats",
    "classification_regions": "How much each region counts in the classifiers",
    "classification_calibration": "Predicted against observed share of patients",
    "longitudinal": "Change over time: paired tests, rates and mixed models",
    "rates": "Change per year of each person in each region",
    "normative": "Each person at each visit against the controls",
    "reliability": "Agreement of raters, repeats or settings",
    "harmonization": "Effects of sites and covariates on each region, before and after harmonisation",
    "power": "Smallest effect that the sample could have shown",
    "sensitivity": "The same tests under a second reference of χ",
}
COLUMNS = {
    "measure": "Statistic of the regional table that is analysed",
    "unit": "Unit of the numbers of the measure; in a table of tests, of estimate, its interval and its standard error",
    "region": "Segmentation, name and hemisphere of the region",
    "group": "Group",
    "test": "Which analysis",
    "contrast": "Groups or columns that are compared: the first minus the second",
    "n": "Number of participants with a number",
    "missing": "Number of participants without a number",
    "n_groups": "Number of participants in each group",
    "mean": "Mean", "sd": "Standard deviation of the sample (n - 1)", "median": "Median",
    "q25": "Lower quartile", "q75": "Upper quartile", "minimum": "Smallest", "maximum": "Largest",
    "estimate": "Estimate: a difference or slope in the unit of the measure, or what the test estimates",
    "estimate_low": "Lower end of the 95 % interval of the estimate",
    "estimate_high": "Upper end of the 95 % interval of the estimate",
    "estimate_se": "Standard error of the estimate",
    "statistic_name": "Name of the test statistic",
    "statistic": "Test statistic",
    "df1": "Degrees of freedom, of the numerator where there are two",
    "df2": "Degrees of freedom of the denominator",
    "p": "p-value, two-sided, before correction",
    "p_corrected": "p-value after correction over the family",
    "correction": "How p was corrected: fdr_bh, fdr_by, holm, bonferroni or none",
    "family_size": "Number of p-values in the family",
    "effect_name": "Name of the effect size",
    "effect": "Effect size",
    "effect_low": "Lower end of the 95 % interval of the effect size",
    "effect_high": "Upper end of the 95 % interval of the effect size",
    "direction": "Which side high values speak for",
    "prevalence": "Share of patients for which the predictive values hold",
    "participant_id": "Participant",
    "session": "Session",
    "value": "Value of the person",
    "age": "Age at the visit [years]",
    "sex": "Sex",
    "expected": "What the norm expects at this age and sex",
    "z": "z-score: the value against what is expected, in SDs of the controls of this age and sex",
    "z_se": "How far z would move with other controls",
    "centile": "Share of controls of this age and sex below the value [%]",
    "deviates": "high or low where |z| is beyond 1.96",
    "norm": "Whom the person is compared with",
    "method": "Classifier: ridge (penalised logistic regression) or lda (discriminant analysis)",
    "probability": "Probability of the first side of the contrast, of a person that the classifier had not seen",
    "predicted": "Mean predicted probability of these persons",
    "observed": "Share of these persons that are on the first side",
    "participant": "Participant",
    "visits": "Number of visits",
    "span": "Years from the first visit to the last",
    "baseline": "Value at the first visit, by the person's line",
    "rate": "Change per year, in the unit of the measure",
    "rate_se": "Standard error of the rate, from three visits on",
    "percent": "Change per year in percent of the baseline, where that is far from 0",
    "note": "Why there is no number, or what to keep in mind",
    "table": "Table that the test is in",
    "second_reference": "What χ is 0 in, for the columns that end in _second",
    "agrees": "Whether sign and verdict are the same under both references",
}  # fmt: skip


def describe(table: str, columns: Iterable[str], context: Mapping[str, Any]) -> dict[str, Any]:
    """JSON dictionary of a table: what it is, under which design, and what each column means."""
    told: dict[str, Any] = {}
    for column in map(str, columns):
        stem = column.removesuffix("_second")
        text = COLUMNS.get(column) or (
            f"{COLUMNS[stem]}; under the second reference" if stem in COLUMNS else column.replace("_", " ")
        )
        told[column] = {"Description": text}
    return {"MeasurementToolMetadata": {"Description": TABLES[table], **context}, **told}
