"""Each number of each simulated study comes out of the group level, and what a study does not touch stays null."""

from math import sqrt

import numpy as np
import pytest
from cohorts import analyse, many
from scipy import stats

from qsmprep.phantom.cohort import draw_cohort
from qsmprep.phantom.studies import read_studies, study_named
from qsmprep.phantom.tissue import spread

STUDIES = {name: study for name, study in read_studies().items() if len(study.groups) > 1}
TESTS = {"tests": ("welch", "roc"), "correction": "none", "outlier_z": 100.0}


def tidy(table):
    """Rows of a table of `many` cohorts with name and side of the region; a `many` label is `seg.name@k.side`."""
    parts = table["region"].str.extract(r"^(?P<seg>[^.]+)\.(?P<name>.+)@(?P<k>\d+)\.(?P<side>[^.]+)$")
    return table.assign(**parts)


def asked(study, key, family, side, group):
    """Group minus first group, SD of both [ppb] that a study asks of a region of this key and family."""
    delta, sds = 0.0, [spread(key), spread(key)]
    for region in study.regions:
        if region.region.replace(" ", "") in (key.replace(" ", ""), family) and region.hemisphere in ("", side):
            delta = region.delta.get(group, 0.0)
            sds = [region.group_sd.get(name, region.sd) for name in (study.groups[0].name, group)]
            shares = study.genotype.share if study.genotype else {}
            for i, name in enumerate((study.groups[0].name, group)):
                share = shares.get(name, 0.0)  # carriers and others of one group differ, about its mean
                sds[i] = sqrt(sds[i] ** 2 + share * (1 - share) * region.carrier.get(name, 0.0) ** 2)
    return delta, sds


def power(delta, sds, sizes, alpha=0.05):
    """Of Welch's t test, from the noncentral t distribution."""
    parts = [sd**2 / n for sd, n in zip(sds, sizes, strict=True)]
    df = sum(parts) ** 2 / sum(part**2 / (n - 1) for part, n in zip(parts, sizes, strict=True))
    limit, centre = stats.t.isf(alpha / 2, df), delta / sqrt(sum(parts))
    return stats.nct.sf(limit, df, centre) + stats.nct.cdf(-limit, df, centre)


@pytest.mark.parametrize("name", STUDIES)
def test_every_region_of_a_study_is_found_as_often_as_its_effect_allows(name):
    study = STUDIES[name]
    sizes = {group.name: group.n for group in study.groups}
    repeats = max(40, 4000 // sum(sizes.values()))
    keys = {region.region.replace(" ", "") for region in study.regions}
    wide = many(study, repeats, lambda rows: rows["key"].str.replace(" ", "").isin(keys) | rows["family"].isin(keys))
    first = study.groups[0].name
    tables, _ = analyse(wide, order=tuple(sizes), reference=first, **TESTS)
    rows = (
        draw_cohort(study, participants=1)
        .rows.drop_duplicates(["name", "hemisphere"])
        .set_index(["name", "hemisphere"])
    )
    welch = tidy(tables["comparisons"].query("test == 'Welch t'"))
    area = tidy(tables["diagnosis"].query("test == 'ROC'"))
    checked = 0
    for group in list(sizes)[1:]:
        contrast = f"{group} - {first}"
        for (region, side), mine in welch[welch["contrast"] == contrast].groupby(["name", "side"]):
            key, family = rows.loc[(region, side), ["key", "family"]]
            delta, sds = asked(study, key, family, side, group)
            error = sqrt(sds[0] ** 2 / sizes[first] + sds[1] ** 2 / sizes[group])
            where = f"{name} {contrast} {region} {side}"
            assert len(mine) == repeats, where
            assert mine["estimate"].mean() == pytest.approx(delta, abs=4.5 * error / sqrt(repeats)), where
            often = power(delta, sds, (sizes[first], sizes[group]))
            tolerance = 4.5 * sqrt(max(often * (1 - often), 0.01) / repeats) + 0.01
            assert (mine["p"] < 0.05).mean() == pytest.approx(often, abs=tolerance), where
            here = area[(area["contrast"] == contrast) & (area["name"] == region) & (area["side"] == side)]
            found = np.where(here["direction"].str.startswith("higher"), here["estimate"], 1 - here["estimate"])
            expected = stats.norm.cdf(delta / sqrt(sds[0] ** 2 + sds[1] ** 2))
            assert found.mean() == pytest.approx(expected, abs=4.5 * found.std() / sqrt(repeats) + 0.002), where
            inside = (here["estimate_low"] <= max(expected, 1 - expected)) & (
                here["estimate_high"] >= max(expected, 1 - expected)
            )
            assert inside.mean() > 0.95 - 4.5 * sqrt(0.05 * 0.95 / repeats) - 0.02, where
            checked += 1
    assert checked >= (len(sizes) - 1) * len(study.regions)


NULLS = {
    # the control regions of Murakami 2015
    ("PD", "PD"): ("caudate", "putamen", "GPe", "thalamus", "red nucleus"),
    # hepatic Wilson's disease, Clinical Radiology 2024
    ("WD", "hepaticWD"): ("caudate", "putamen", "GPe", "thalamus", "red nucleus", "dentate", "SNr"),
    # far from onset, Chen 2019
    ("HD", "far"): ("caudate", "putamen", "GPe"),
    # the side that Doganay 2018 found no difference on
    ("WD-children", "neuroWD"): ("caudate", "dentate", "hippocampus"),
}


@pytest.mark.parametrize(("study", "group"), NULLS)
def test_regions_that_do_not_differ_are_found_at_the_nominal_rate(study, group):
    names, repeats = NULLS[study, group], 300
    wide = many(study_named(study), repeats, lambda rows: (rows["seg"] == "deepgrey") & rows["name"].isin(names), 3)
    first = study_named(study).groups[0].name
    design = {"order": (first, group), "correction": "none", "outlier_z": 100.0}
    tables, _ = analyse(wide, tests=("welch", "mannwhitney", "glm", "roc"), **design)
    for table, test in (("comparisons", "Welch t"), ("comparisons", "Mann-Whitney"), ("models", "GLM t (HC3)")):
        found = tidy(tables[table].query("test == @test and contrast == @group + ' - ' + @first"))
        rate = (found["p"] < 0.05).groupby([found["name"], found["side"]]).mean()
        assert len(rate) == 2 * len(names), test
        # the sides of a nucleus share three quarters of their variance, so that the families are what counts
        assert rate.mean() == pytest.approx(0.05, abs=4 * sqrt(0.05 * 0.95 / (repeats * len(names))) + 0.004), test
        assert rate.max() < 0.05 + 4.5 * sqrt(0.05 * 0.95 / repeats), test


def test_sides_that_a_study_does_not_name_do_not_differ():
    for study, region, side in (("FTD", "insula", "L"), ("WD-children", "putamen", "L"), ("VaD", "putamen", "L")):
        wide = many(study_named(study), 300, lambda rows, name=region: rows["name"] == name, 5)
        first, second = [group.name for group in study_named(study).groups][:2]
        tables, _ = analyse(wide, order=(first, second), **{**TESTS, "tests": ("welch",)})
        found = tidy(tables["comparisons"])
        rate = (found["p"] < 0.05).groupby(found["side"]).mean()
        other = "R" if side == "L" else "L"
        assert rate[side] == pytest.approx(0.05, abs=4 * sqrt(0.05 * 0.95 / 300)), (study, region)
        assert rate[other] > 0.3, (study, region)
