"""The analysis that each paper used, run by the group level on its simulated study, finds what the paper tells."""

from math import sqrt

import numpy as np
import pytest
from cohorts import analyse, many, one
from scipy import stats

from qsmprep.phantom.studies import study_named

ADJUSTED = ("age", "sex")
PARTIAL = "partial Pearson"


def row(table, **where):
    """The one row of a table where columns have these values; `region` may leave the segmentation out."""
    for column, value in where.items():
        same = table[column] == value
        table = table[same | table[column].str.endswith(f".{value}")] if column == "region" else table[same]
    assert len(table) == 1, where
    return table.iloc[0]


def partial(tables):
    """Pearson's partial correlations."""
    return tables["scores"][tables["scores"]["test"] == PARTIAL]


def near(r, n):
    """A correlation of `r` measured in `n` persons, within four standard errors."""
    return pytest.approx(r, abs=4 * (1 - r**2) / sqrt(n - 3))


def test_chi_of_the_nigra_beats_r2star_and_its_cutoff_is_the_papers():
    wide = one(study_named("PD"), ("chi_median", "r2star_mean"), seed=1, participants=100)
    design = {"statistics": ("chi_median", "r2star_mean"), "regions": ("SNr",), "tests": ("roc", "cutoff")}
    tables, _ = analyse(wide, order=("HC", "PD"), **design)
    left = tables["diagnosis"][tables["diagnosis"]["region"] == "deepgrey.SNr.L"]
    area = left[left["test"] == "ROC"].set_index("measure")["estimate"]
    # d' of the operating points that the abstract gives: 2.38 and 0.94
    assert area["chi_median"] == pytest.approx(stats.norm.cdf(2.38 / sqrt(2)), abs=0.04)
    assert area["r2star_mean"] == pytest.approx(stats.norm.cdf(0.94 / sqrt(2)), abs=0.12)
    pair = row(left, test="DeLong, paired")
    assert pair["estimate"] > 0.05 and pair["p"] < 0.01
    cut = (
        tables["cutoffs"].query("measure == 'chi_median' and region == 'deepgrey.SNr.L'").set_index("test")["estimate"]
    )
    assert cut["Youden cut-off"] == pytest.approx(210, abs=12)
    for what, share in (("sensitivity", 19 / 21), ("specificity", 18 / 21), ("accuracy", 37 / 42)):
        # the paper's own error with 21 persons a group, and ours with 100
        error = sqrt(share * (1 - share) * (1 / 21 + 1 / 100))
        assert cut[what] == pytest.approx(share, abs=2.5 * error), what


def test_r2star_of_the_nigra_tells_patients_as_well_as_the_paper_says():
    wide = many(study_named("PD"), 150, lambda rows: rows["name"] == "SNr", 2, values="r2star")
    tables, _ = analyse(wide, order=("HC", "PD"), tests=("roc",), statistics=("r2star_mean",), outlier_z=100.0)
    assert tables["diagnosis"]["estimate"].mean() == pytest.approx(stats.norm.cdf(0.94 / sqrt(2)), abs=0.03)


def test_nigra_has_fewer_voxels_below_70_ppb_in_patients():
    wide = one(study_named("PD-nigra"), ("chi_below_70ppb", "chi_median"), seed=1, participants=300)
    tables, _ = analyse(
        wide, order=("HC", "PD"), statistics=("chi_below_70ppb", "chi_median"), regions=("SNr",), tests=("roc", "welch")
    )
    medians = tables["descriptives"].set_index(["measure", "group", "region"])["median"]["chi_below_70ppb"]
    assert 100 * medians["HC"]["deepgrey.SNr.L"] == pytest.approx(10.67, abs=2.5)
    assert 100 * medians["PD"]["deepgrey.SNr.L"] < 1.5
    area = tables["diagnosis"][tables["diagnosis"]["test"] == "ROC"].set_index(["measure", "region"])
    assert set(area["direction"]["chi_below_70ppb"]) == {"lower in PD"}
    # voxels of one region are normal here, so that the fraction orders persons as their mean does
    same = area["estimate"]["chi_median"]["deepgrey.SNr.L"]
    assert area["estimate"]["chi_below_70ppb"]["deepgrey.SNr.L"] == pytest.approx(same, abs=0.002)


def test_dat_binding_falls_as_iron_of_the_nigra_rises():
    wide = one(study_named("PD-nigra"), seed=2, participants=300)
    tables, _ = analyse(
        wide, order=("HC", "PD"), scores=("dat_sbr", "updrs3"), covariates=ADJUSTED, tests=("partial", "regression"),
        regions=("SNr", "putamen"), hemispheres="mean",
    )  # fmt: skip
    found = partial(tables)
    # the parts of the nigra share most of what the score goes along with
    assert row(found, region="SNr.mean", contrast="dat_sbr in PD")["effect"] == pytest.approx(-0.38, abs=0.2)
    assert row(found, region="SNr.mean", contrast="updrs3 in PD")["effect"] == pytest.approx(0.38, abs=0.2)
    assert row(found, region="putamen.mean", contrast="updrs3 in PD")["effect"] == near(0, 300)


def test_pars_compacta_differs_more_than_reticulata_and_alone_goes_along_with_disability():
    wide = one(study_named("PD-nigral-parts"), seed=1, participants=400)
    tables, _ = analyse(
        wide, order=("HC", "PD"), covariates=ADJUSTED, scores=("updrs2",), regions=("SNc-PBP-VTA", "SNr"),
        tests=("glm", "partial"), hemispheres="mean",
    )  # fmt: skip
    models = tables["models"]
    assert row(models, region="SNc-PBP-VTA.mean", contrast="PD - HC")["estimate"] == pytest.approx(25, abs=5)
    assert row(models, region="SNr.mean", contrast="PD - HC")["estimate"] == pytest.approx(8, abs=5)
    scores = partial(tables).set_index(["region", "contrast"])["effect"]
    both = scores["deepgrey.SNc-PBP-VTA.mean"]["updrs2 in PD"], scores["deepgrey.SNr.mean"]["updrs2 in PD"]
    assert both[0] == near(0.4, 400) and both[0] > both[1]


def test_cognition_in_parkinsons_disease_goes_along_with_hippocampus_and_thalamus():
    wide = one(study_named("PD-cognition"), seed=4, participants=500)
    tables, _ = analyse(
        wide, order=("HC", "PD"), covariates=ADJUSTED, scores=("moca", "updrs3"), tests=("partial", "welch"),
        regions=("hippocampus", "thalamus", "putamen", "rostral middle frontal"), hemispheres="mean",
    )  # fmt: skip
    found = partial(tables)
    effect = found.set_index(["region", "contrast"])["effect"]
    for region, moca, updrs in (("hippocampus", -0.3, 0), ("thalamus", -0.3, 0), ("putamen", 0, 0.3)):
        assert effect[f"deepgrey.{region}.mean", "moca in PD"] == near(moca, 500), region
        assert effect[f"deepgrey.{region}.mean", "updrs3 in PD"] == near(updrs, 500), region
    welch = tables["comparisons"].set_index("region")["p_corrected"]
    assert welch["deepgrey.putamen.mean"] < 1e-6 and welch["DK.rostral middle frontal.mean"] < 1e-6
    assert welch["deepgrey.thalamus.mean"] > 0.01


def test_dentate_of_tremor_dominant_patients_by_anova_and_its_correlation_with_tremor():
    wide = one(study_named("PD-tremor"), seed=1, participants=300)
    tables, _ = analyse(
        wide, order=("HC", "TD", "AR"), contrasts=("TD - HC", "AR - HC", "TD - AR"), scores=("tremor",),
        regions=("dentate",), hemispheres="mean", tests=("anova", "games_howell", "welch", "pearson"),
    )  # fmt: skip
    tests = tables["comparisons"]
    assert row(tests, test="ANOVA")["p"] < 1e-6
    pairs = tests[tests["test"].str.contains("Games")].set_index("contrast")
    pairs.index = [" - ".join(sorted(name.split(" - "))) for name in pairs.index]
    assert pairs.loc["HC - TD", "p"] < 1e-6 and pairs.loc["AR - TD", "p"] < 1e-6
    assert row(tests, test="Welch t", contrast="AR - HC")["estimate"] == pytest.approx(-6.12, abs=13)
    scores = tables["scores"].set_index("contrast")["effect"]
    assert scores["tremor in TD"] == near(0.324, 300) and scores["tremor in AR"] == near(0.324, 300)


def test_motor_cortex_against_its_surroundings_in_als():
    wide = one(study_named("ALS"), ("chi_ring_contrast",), seed=5, participants=400)
    tables, _ = analyse(
        wide,
        order=("HC", "ALS"),
        statistics=("chi_ring_contrast",),
        regions=("precentral",),
        tests=("roc", "cutoff", "welch"),
    )
    ppm = tables["descriptives"].set_index(["group", "region"])["mean"]
    assert 1000 * ppm["HC", "DK.precentral.L"] == pytest.approx(35, abs=1.5)
    assert 1000 * ppm["ALS", "DK.precentral.L"] == pytest.approx(46, abs=1.5)
    area = row(tables["diagnosis"], region="precentral.L", test="ROC")
    assert area["estimate"] == pytest.approx(0.88, abs=0.05)  # Φ(1.66 / √2)
    cut = row(tables["cutoffs"], region="precentral.L", test="Youden cut-off")
    assert 1000 * cut["estimate"] == pytest.approx(40.5, abs=4)


def test_whole_brain_pattern_of_als_with_lower_corticospinal_tract():
    wide = one(study_named("ALS-deep"), seed=1, participants=400)
    tables, _ = analyse(
        wide, order=("HC", "ALS"), covariates=ADJUSTED, tests=("glm",), hemispheres="mean",
        regions=("SNr", "GPe", "red nucleus", "precentral", "corticospinal tract", "putamen"),
    )  # fmt: skip
    found = tables["models"][tables["models"]["contrast"] == "ALS - HC"].set_index("region")
    expected = {"deepgrey.SNr": 15, "deepgrey.GPe": 15, "deepgrey.red nucleus": 15, "DK.precentral": 5}
    for region, delta in (expected | {"manual.corticospinal tract": -5, "deepgrey.putamen": 0}).items():
        mine = found.loc[f"{region}.mean"]
        assert mine["estimate"] == pytest.approx(delta, abs=4 * mine["estimate_se"]), region
        assert (mine["p_corrected"] < 0.001) == (delta != 0), region


def test_premanifest_huntington_has_less_volume_where_there_is_more_iron():
    statistics = ("chi_median", "volume_mm3", "r2star_mean")
    wide = one(study_named("HD-premanifest"), statistics, seed=2, participants=400)
    tables, _ = analyse(
        wide, order=("HC", "preHD"), covariates=ADJUSTED, scores=("cap",), statistics=statistics, hemispheres="mean",
        coupling=("volume_mm3",), tests=("glm", "partial", "coupling"),
        regions=("caudate", "putamen", "GPe", "SNr", "hippocampus"),
    )  # fmt: skip
    models = tables["models"][tables["models"]["contrast"] == "preHD - HC"].set_index(["measure", "region"])
    for region, delta in (("caudate", 15), ("putamen", 15), ("GPe", 18), ("SNr", -15), ("hippocampus", -5)):
        mine = models.loc[("chi_median", f"deepgrey.{region}.mean")]
        assert mine["estimate"] == pytest.approx(delta, abs=4 * mine["estimate_se"]) and mine["p_corrected"] < 0.001
    for region in ("caudate", "putamen"):
        volume = models.loc[("volume_mm3", f"deepgrey.{region}.mean")]
        assert volume["estimate"] < 0 and volume["p_corrected"] < 1e-6
        assert models.loc[("r2star_mean", f"deepgrey.{region}.mean"), "estimate"] > 0
    volume = models.loc[("volume_mm3", "deepgrey.GPe.mean")]
    assert abs(volume["estimate"]) < 4 * volume["estimate_se"]
    chi = tables["scores"][tables["scores"]["measure"] == "chi_median"]
    cap = chi[chi["test"] == PARTIAL].set_index(["region", "contrast"])["effect"]
    assert cap["deepgrey.caudate.mean", "cap in preHD"] == near(0.6, 400)
    with_volume = chi[chi["contrast"].str.startswith("volume_mm3") & (chi["region"] == "deepgrey.caudate.mean")]
    assert (with_volume["effect"] < -0.3).all() and len(with_volume)


def test_stages_of_huntington_by_mancova_and_what_a_year_adds():
    wide = one(study_named("HD"), seed=1, participants=60)
    tables, _ = analyse(
        wide, order=("HC", "far", "close", "early"), covariates=("age",), scores=("cap",), time="age",
        regions=("caudate", "putamen", "GPe"), hemispheres="mean", tests=("mancova", "glm", "rates"),
        contrasts=("far - HC", "close - HC", "early - HC"),
    )  # fmt: skip
    panel = tables["panel_tests"]
    panel = panel[panel["test"].str.contains("Pillai")].set_index("contrast")["p"]
    assert panel["far - HC"] > 0.01 > 1e-4 > panel["close - HC"] and panel["early - HC"] < 1e-8
    models = tables["models"].set_index(["contrast", "region"])
    for region in ("caudate", "putamen", "GPe"):
        far = models.loc[("far - HC", f"deepgrey.{region}.mean")]
        assert far["estimate"] == pytest.approx(0, abs=4 * far["estimate_se"])
        early = models.loc[("early - HC", f"deepgrey.{region}.mean")]
        assert early["estimate"] > 15 and early["p_corrected"] < 0.001
    rates = tables["longitudinal"]
    rates = rates[rates["test"].str.contains("Welch")].set_index(["contrast", "region"])
    means = tables["descriptives"].set_index(["group", "region"])["mean"]
    for region, rate in (("caudate", 0.119), ("GPe", 0.061)):
        label = f"deepgrey.{region}.mean"
        mine = rates.loc[("early - HC", label)]
        # in percent of what the group began with, over the growth of healthy ageing
        assert mine["estimate"] / means["early", label] == pytest.approx(rate, rel=0.25) and mine["p"] < 1e-6
        assert rates.loc[("far - HC", label), "p"] > 0.01
    assert rates.loc[("early - HC", "deepgrey.putamen.mean"), "p"] > 0.01


def test_right_superior_frontal_tells_the_behavioural_variant_from_aphasia():
    wide = one(study_named("FTD"), seed=3, participants=300)
    regions = ("superior frontal", "superior temporal", "insula", "precentral", "hippocampus", "putamen", "red nucleus")
    tables, _ = analyse(
        wide, order=("HC", "bvFTD", "PPA"), contrasts=("bvFTD - HC", "PPA - HC", "bvFTD - PPA"), scores=("fbi",),
        regions=(*regions, "rostral anterior cingulate"), tests=("welch", "roc", "regression"),
    )  # fmt: skip
    area = tables["diagnosis"].set_index(["contrast", "region"])
    right = area.loc[("bvFTD - PPA", "DK.superior frontal.R")]
    assert right["direction"] == "higher in bvFTD"
    assert right["estimate"] == pytest.approx(stats.norm.cdf(4 / 6 / sqrt(2)), abs=0.08)
    p = tables["comparisons"].set_index(["contrast", "region"])["p_corrected"]
    higher = ["DK.superior frontal.L", "DK.superior frontal.R", "DK.superior temporal.L", "DK.superior temporal.R"]
    higher += [
        "DK.rostral anterior cingulate.L",
        "DK.rostral anterior cingulate.R",
        "deepgrey.putamen.L",
        "deepgrey.putamen.R",
    ]
    higher += ["DK.insula.R", "DK.precentral.R", "deepgrey.hippocampus.R", "deepgrey.red nucleus.R"]
    others = [label for contrast, label in p.index if contrast == "bvFTD - HC" and label not in higher]
    assert (p["bvFTD - HC"][higher] < 1e-4).all() and (p["bvFTD - HC"][others] > 0.01).all() and len(others) == 4
    assert p["PPA - HC", "DK.superior temporal.L"] < 1e-6
    assert (p["PPA - HC"].drop("DK.superior temporal.L") > 0.01).all()
    scores = tables["scores"].set_index(["contrast", "region"])
    assert scores.loc[("fbi in bvFTD", "DK.superior frontal.R"), "p"] < 1e-4
    assert scores.loc[("fbi in bvFTD", "deepgrey.putamen.R"), "p"] > 0.01


def test_vascular_impairment_by_partial_correlation_with_domains():
    wide = one(study_named("VaD"), seed=1, participants=400)
    tables, _ = analyse(
        wide, order=("SIVD", "svMCI"), reference="SIVD", covariates=ADJUSTED, scores=("memory_z", "attention_z"),
        regions=("hippocampus", "putamen", "caudate", "GPe"), tests=("welch", "partial"),
    )  # fmt: skip
    p = tables["comparisons"].set_index("region")["p_corrected"]
    found = ["deepgrey.hippocampus.L", "deepgrey.hippocampus.R", "deepgrey.putamen.R"]
    assert (p[found] < 1e-4).all() and (p.drop(found) > 0.01).all()
    effect = partial(tables).set_index(["region", "contrast"])["effect"]
    assert effect["deepgrey.hippocampus.R", "memory_z in svMCI"] == near(-0.4, 400)
    assert effect["deepgrey.putamen.R", "attention_z in svMCI"] == near(-0.4, 400)
    assert effect["deepgrey.caudate.R", "memory_z in svMCI"] == near(0, 400)


def test_total_metal_in_wilsons_disease_rises_less_than_its_concentration():
    statistics = ("chi_median", "chi_total", "volume_mm3")
    wide = one(study_named("WD"), statistics, seed=2, participants=300)
    tables, _ = analyse(
        wide, order=("HC", "neuroWD", "hepaticWD"), statistics=statistics, covariates=ADJUSTED, scores=("uwdrs",),
        contrasts=("neuroWD - HC", "hepaticWD - HC", "neuroWD - hepaticWD"), hemispheres="mean",
        regions=("putamen", "caudate", "GPe", "SNr"), tests=("glm", "roc", "partial"),
    )  # fmt: skip
    models = tables["models"].set_index(["contrast", "measure", "region"])
    for region in ("putamen", "caudate", "GPe"):
        label = f"deepgrey.{region}.mean"
        share = models.loc[("neuroWD - HC", "chi_total", label), "effect"]
        assert 0 < share < 0.8 * models.loc[("neuroWD - HC", "chi_median", label), "effect"]
        assert models.loc[("neuroWD - HC", "volume_mm3", label), "estimate"] < 0
        hepatic = models.loc[("hepaticWD - HC", "chi_median", label)]
        assert abs(hepatic["estimate"]) < 4 * hepatic["estimate_se"]
        assert models.loc[("neuroWD - hepaticWD", "chi_median", label), "p_corrected"] < 1e-6
    area = tables["diagnosis"].set_index(["measure", "contrast", "region"])["estimate"]
    # the spread of age in the study adds to that between persons
    assert area["chi_median", "neuroWD - HC", "deepgrey.putamen.mean"] == pytest.approx(0.83, abs=0.06)
    effect = partial(tables).set_index(["measure", "region"])["effect"]
    assert effect["chi_median", "deepgrey.putamen.mean"] == near(0.5, 300)


def test_right_basal_ganglia_midbrain_and_pons_of_children_with_wilsons_disease():
    wide = one(study_named("WD-children"), seed=1, participants=300)
    tables, _ = analyse(
        wide,
        order=("HC", "neuroWD"),
        tests=("welch",),
        regions=("GPe", "putamen", "thalamus", "midbrain", "pons", "caudate"),
    )
    p = tables["comparisons"].set_index("region")
    found = [f"deepgrey.{name}.R" for name in ("GPe", "putamen", "thalamus")] + ["manual.midbrain.R", "manual.pons.n/a"]
    assert (p.loc[found, "p_corrected"] < 1e-6).all() and (p.loc[found, "estimate"] > 0).all()
    assert (p.drop(found)["p_corrected"] > 0.01).all() and len(p) == 11


def test_course_of_alzheimers_disease_by_anova_and_its_correlation_with_mmse():
    wide = one(study_named("AD"), seed=1, participants=300)
    tables, _ = analyse(
        wide, order=("HC", "MCI", "AD"), covariates=ADJUSTED, scores=("mmse",), hemispheres="mean",
        regions=("caudate", "amygdala", "hippocampus", "GPe", "SNr", "precuneus", "entorhinal", "red nucleus"),
        tests=("anova", "glm", "partial"),
    )  # fmt: skip
    anova = tables["comparisons"].set_index("region")["p_corrected"]
    assert (anova.drop("deepgrey.red nucleus.mean") < 1e-4).all() and anova["deepgrey.red nucleus.mean"] > 0.01
    means = tables["adjusted_means"].set_index(["region", "group"])["estimate"]
    for region in ("deepgrey.caudate.mean", "deepgrey.GPe.mean", "DK.precuneus.mean", "DK.entorhinal.mean"):
        assert means[region, "HC"] < means[region, "MCI"] < means[region, "AD"], region
    effect = partial(tables).set_index(["region", "contrast"])["effect"]
    assert effect["deepgrey.caudate.mean", "mmse in AD"] == near(-0.4, 300)
    assert effect["DK.precuneus.mean", "mmse in AD"] == near(0, 300)


def test_amyloid_goes_along_with_iron_of_pallidum_and_putamen():
    wide = one(study_named("AD-amyloid"), seed=1, participants=1200)
    tables, _ = analyse(
        wide, order=("CU", "MCI", "dementia"), covariates=("pib_steps", *ADJUSTED), tests=("glm",),
        regions=("GPe", "putamen", "SNr"), hemispheres="mean",
    )  # fmt: skip
    slopes = tables["models"][tables["models"]["contrast"] == "pib_steps"].dropna(subset="estimate").set_index("region")
    for region, slope in (("GPe", 2.9), ("putamen", 1.2), ("SNr", 0.0)):
        mine = slopes.loc[f"deepgrey.{region}.mean"]
        assert mine["estimate"] == pytest.approx(slope, abs=4 * mine["estimate_se"]), region
    assert slopes.loc["deepgrey.GPe.mean", "p"] < 1e-6 and slopes.loc["deepgrey.putamen.mean", "p"] < 1e-3


@pytest.mark.parametrize("carriers", [True, False])
def test_the_interaction_of_genotype_and_group_is_found_only_where_there_is_one(carriers):
    from dataclasses import replace

    study = study_named("AD-apoe")
    if not carriers:
        study = replace(study, regions=tuple(replace(region, carrier={}) for region in study.regions))
    wide = one(study, seed=1, participants=400)
    assert set(wide["apoe"]) == {"e3", "e4"}
    assert (wide.loc[wide["group"] == "MCI", "apoe"] == "e4").mean() == pytest.approx(0.47, abs=0.01)
    regions = ("superior frontal", "middle temporal", "inferior parietal", "precuneus", "lingual")
    tables, _ = analyse(
        wide, order=("HC", "MCI"), genotype="apoe", covariates=ADJUSTED, scores=("pib",), regions=regions,
        hemispheres="mean", tests=("glm", "pearson"),
    )  # fmt: skip
    models = tables["models"]
    term = models[models["contrast"].str.contains("apoe") & models["contrast"].str.contains(":")]
    p = term.dropna(subset="p").set_index("region")["p_corrected"]
    affected = p.drop("DK.lingual.mean")
    assert len(affected) == 4 and ((affected < 1e-6).all() if carriers else (affected > 0.01).all())
    assert p["DK.lingual.mean"] > 0.01
    group = models[models["contrast"] == "MCI - HC"].set_index("region")
    # at equal weights of the genotypes: the mean over carriers and others moves by half of what carriers have
    expected = 2.0 + (0.5 - 0.47) * 3.0 * carriers
    assert group.loc["DK.precuneus.mean", "estimate"] == pytest.approx(expected, abs=0.8)
    scores = tables["scores"].set_index("region")["effect"]
    assert np.square(scores["DK.precuneus.mean"]) == pytest.approx(0.9**2 / (1 + carriers * 0.25), abs=0.12)


def test_scanners_are_taken_out_and_the_disease_stays():
    from dataclasses import replace

    study = study_named("AD-sites")
    wide, alone = one(study, seed=1, participants=400), one(replace(study, sites=()), seed=1, participants=400)
    assert wide["site"].value_counts(normalize=True)[["A", "B", "C"]].to_numpy() == pytest.approx([0.4, 0.35, 0.25])
    design = {"order": ("HC", "AD"), "covariates": ADJUSTED, "tests": ("glm",), "hemispheres": "mean"}
    design["regions"] = ("putamen", "precentral", "superior frontal", "inferior temporal", "caudate", "red nucleus")
    ignored, _ = analyse(wide, **design)
    taken, _ = analyse(wide, site="site", harmonize=True, **design)
    truth, _ = analyse(alone, **design)
    effects = taken["harmonization"]
    for what, limit in (("mean", 1e-6), ("variance", 1e-3)):
        p = effects[effects["test"] == f"site {what}, before"].set_index("region")["p"]
        assert p["deepgrey.putamen.mean"] < limit
        assert (effects[effects["test"] == f"site {what}, after"]["p"] > 0.05).all()
    one_scanner, three, cleaned = (
        tables["models"][tables["models"]["contrast"] == "AD - HC"].set_index("region")
        for tables in (truth, ignored, taken)
    )
    for label, found in cleaned.iterrows():
        true = one_scanner.loc[label]
        assert found["effect"] == pytest.approx(true["effect"], abs=0.08), label
        assert (found["p_corrected"] < 0.001) == (true["p_corrected"] < 0.001), label
        assert (
            found["estimate_se"] < 1.1 * true["estimate_se"] * 1.1
            and found["estimate_se"] < three.loc[label, "estimate_se"]
        )
    assert (cleaned["p_corrected"] < 0.001).sum() == 4
