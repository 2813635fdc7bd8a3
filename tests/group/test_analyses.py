import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from qsmprep.group import run_group

REGIONS = {"deepgrey.putamen": (60, 15), "deepgrey.SNr": (110, 20), "DK.lateral occipital": (5, 3)}


def table(dataset, name):
    return pd.read_csv(dataset.out / "group" / f"{name}.tsv", sep="\t", keep_default_na=False, na_values=["n/a"])


def ledger(dataset, effect):
    found = pd.read_csv(dataset.out / "group" / "exclusions.tsv", sep="\t", keep_default_na=False)
    return found[found["effect"] == effect]


def notes(dataset):
    return json.loads((dataset.out / "group" / "design.json").read_text())["notes"]


def write_participants(dataset, people, **columns):
    lines = ["\t".join(("participant_id", "group", *columns))]
    for number, (who, group) in enumerate(people.items()):
        lines.append("\t".join((who, group, *(str(values[number]) for values in columns.values()))))
    dataset.participants("\n".join(lines) + "\n")


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_descriptives_are_those_of_the_numbers_in_ppb(dataset, rng):
    people = dataset.cohort({"HC": 6, "PD": 5}, REGIONS, rng)
    write_participants(dataset, people)
    run_group(dataset.settings())
    found = table(dataset, "descriptives").set_index(["region", "group"])
    wide = table(dataset, "regions_wide")
    values = 1000 * wide.loc[wide["group"] == "PD", "deepgrey.SNr.L.chi_median"]
    row = found.loc[("deepgrey.SNr.L", "PD")]
    assert row["mean"] == pytest.approx(values.mean()) and row["sd"] == pytest.approx(values.std())
    assert (row["n"], row["missing"], row["unit"]) == (5, 0, "ppb")
    assert len(found) == 6 * 2
    described = json.loads((dataset.out / "group" / "descriptives.json").read_text())
    assert set(table(dataset, "descriptives").columns) <= set(described)


def test_who_is_left_out_is_written_down(dataset, rng, tmp_path):
    people = dataset.cohort({"HC": 6, "PD": 6, "MSA": 2}, REGIONS, rng)
    dataset.quality("sub-HC000", "FAIL", ["moved"])
    write_participants(dataset, people | {"sub-PD000": "n/a"})
    model = tmp_path / "design.toml"
    model.write_text('order = ["HC", "PD"]\nexclude = ["PD001"]\n')
    run_group(dataset.settings(model=model))
    excluded = ledger(dataset, "excluded").set_index("participant_id")["reason"].to_dict()
    assert excluded["sub-HC000"] == "the verdict on its quality is FAIL" and "exclude" in excluded["sub-PD001"]
    reasons = ledger(dataset, "not in this analysis").set_index("participant_id")["reason"].to_dict()
    assert reasons == {
        "sub-PD000": "has no group",
        "sub-MSA000": "the group is not in order",
        "sub-MSA001": "the group is not in order",
    }
    counts = table(dataset, "descriptives").groupby("group")["n"].max().to_dict()
    assert counts == {"HC": 5, "PD": 4, "no group": 3}


def test_outliers_are_flagged_and_kept_or_taken_out_as_asked(dataset, rng, tmp_path):
    people = dataset.cohort({"HC": 12}, REGIONS, rng, shift={})
    path = next(dataset.out.glob("sub-HC003/anat/*deepgrey*.tsv"))
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], "1\tputamen\tL\t0.9", *lines[2:]]) + "\n")
    write_participants(dataset, people)
    run_group(dataset.settings())
    flagged = ledger(dataset, "flagged")
    assert ("sub-HC003", "deepgrey.putamen.L") in set(zip(flagged["participant_id"], flagged["where"], strict=True))
    found = table(dataset, "descriptives").set_index("region")
    assert found.loc["deepgrey.putamen.L", "maximum"] == 900
    model = tmp_path / "design.toml"
    model.write_text('outliers = "exclude"\n')
    run_group(dataset.settings(model=model))
    found = table(dataset, "descriptives").set_index("region")
    assert found.loc["deepgrey.putamen.L", "maximum"] < 120 and found.loc["deepgrey.putamen.L", "missing"] == 1


def test_a_region_column_or_statistic_that_is_not_there_is_told_and_the_rest_computed(dataset, rng, tmp_path):
    people = dataset.cohort({"HC": 5, "PD": 5}, REGIONS, rng)
    write_participants(dataset, people, age=rng.integers(50, 80, 10))
    model = tmp_path / "design.toml"
    model.write_text(
        'regions = ["putamen", "deepgrey.SNR"]\nstatistics = ["chi_median", "chi_meen"]\ncovariates = ["agee"]\n'
    )
    run_group(dataset.settings(model=model))
    told = " ".join(notes(dataset))
    assert "no region 'deepgrey.SNR'" in told and "Did you mean deepgrey.SNr" in told
    assert "no column 'agee'" in told and "Did you mean age" in told
    assert "no column 'chi_meen'. " not in told and "'chi_meen'; left out. Did you mean chi_median" in told
    assert set(table(dataset, "descriptives")["region"]) == {"deepgrey.putamen.L", "deepgrey.putamen.R"}


def test_a_label_whose_border_was_not_found_has_no_number(dataset):
    for who, refined in (("sub-01", 1), ("sub-02", 0), ("sub-03", 1)):
        text = (
            f"index\tname\themisphere\tchi_median\trefined\n20\tdentate\tL\t0.08\t{refined}\n1\tputamen\tL\t0.06\tn/a\n"
        )
        (dataset.folder(who) / f"{who}_seg-deepgrey_desc-stats_dseg.tsv").write_text(text)
    run_group(dataset.settings())
    found = table(dataset, "descriptives").set_index("region")["n"].to_dict()
    assert found == {"deepgrey.dentate.L": 2, "deepgrey.putamen.L": 3}
    assert ledger(dataset, "value missing")["participant_id"].tolist() == ["sub-02"]


def test_runs_of_a_visit_are_averaged_and_persons_compared_at_their_first_visit(dataset):
    for name, chi in (("1_run-1", 0.04), ("1_run-2", 0.06), ("2_run-1", 0.09)):
        run = f"sub-01_ses-{name}"
        text = f"index\tname\themisphere\tchi_median\n1\tputamen\tL\t{chi}\n"
        (dataset.folder(run) / f"{run}_seg-deepgrey_desc-stats_dseg.tsv").write_text(text)
    run_group(dataset.settings())
    assert table(dataset, "descriptives")[["n", "mean"]].to_numpy().tolist() == [[1, pytest.approx(50)]]
    assert any("1 visit has more than one run" in note for note in notes(dataset))


def test_regions_of_the_disease_are_found_under_both_references(dataset, rng):
    people = dataset.cohort({"HC": 25, "PD": 25}, REGIONS, rng, shift={("PD", "deepgrey.SNr"): 40})
    write_participants(dataset, people)
    run_group(dataset.settings())
    found = table(dataset, "comparisons")
    assert found["family_size"].unique().tolist() == [6] and found["contrast"].unique().tolist() == ["PD - HC"]
    for test in ("Welch t", "Mann-Whitney"):
        mine = found[found["test"] == test].set_index("region")
        assert mine.loc["deepgrey.SNr.L", "estimate"] == pytest.approx(40, abs=15)
        assert mine.loc["deepgrey.SNr.L", "p_corrected"] < 0.001 < 0.05 < mine.loc["deepgrey.putamen.L", "p_corrected"]
    area = table(dataset, "diagnosis").set_index("region")
    assert area.loc["deepgrey.SNr.L", "estimate"] == pytest.approx(0.921, abs=0.08)  # Φ(d/√2), d = 2
    assert area.loc["deepgrey.SNr.L", "direction"] == "higher in PD"
    second = table(dataset, "sensitivity")
    assert second["second_reference"].unique().tolist() == ["DK.lateral occipital"]
    mine = second[second["region"] == "deepgrey.SNr.L"]
    assert set(mine["agrees"]) == {"yes"} and (mine["p_corrected_second"] < 0.001).all()


def test_two_measures_are_compared_in_the_same_persons(dataset, rng, tmp_path):
    statistics = ("chi_median", "r2star_mean")
    people = dataset.cohort(
        {"HC": 20, "PD": 20}, REGIONS, rng, statistics=statistics, shift={("PD", "deepgrey.SNr"): 40}
    )
    write_participants(dataset, people, DAT=[2.0 if group == "PD" else 3.5 for group in people.values()])
    model = tmp_path / "design.toml"
    model.write_text('statistics = ["chi_median", "r2star_mean"]\nmarkers = ["DAT"]\nregions = ["SNr"]\n')
    run_group(dataset.settings(model=model))
    found = table(dataset, "diagnosis")
    paired = set(found.loc[found["test"] == "DeLong, paired", "contrast"])
    assert paired == {"PD - HC: chi_median - r2star_mean", "PD - HC: chi_median - DAT"}
    assert found.loc[found["measure"] == "marker", "estimate"].tolist() == [1.0]


def test_one_person_in_a_group_and_constant_regions_are_told_and_the_rest_computed(dataset, rng):
    regions = REGIONS | {"deepgrey.STN": (80, 0)}
    people = dataset.cohort({"HC": 12, "PD": 12, "PSP": 1}, regions, rng)
    write_participants(dataset, people)
    run_group(dataset.settings())
    found = table(dataset, "comparisons")
    found = found[found["test"] == "Welch t"].set_index(["contrast", "region"])
    assert "only 1 in group PSP" in found.loc[("PSP - HC", "deepgrey.SNr.L"), "note"]
    assert "constant" in found.loc[("PD - HC", "deepgrey.STN.L"), "note"]
    assert 0 < found.loc[("PD - HC", "deepgrey.SNr.L"), "p"] <= 1


def test_groups_are_compared_by_the_tests_that_are_asked_for(dataset, rng, tmp_path):
    people = dataset.cohort({"HC": 15, "MCI": 15, "AD": 15}, REGIONS, rng, shift={("AD", "deepgrey.putamen"): 30})
    write_participants(dataset, people)
    model = tmp_path / "design.toml"
    model.write_text('tests = ["welch", "kruskal"]\ncorrection = "holm"\nhemispheres = "mean"\nfamily = "all"\n')
    run_group(dataset.settings(model=model))
    found = table(dataset, "comparisons")
    assert set(found["test"]) == {"Welch t", "Kruskal-Wallis"}
    assert found["family_size"].unique().tolist() == [3 * 4] and found["correction"].unique().tolist() == ["holm"]
    assert sorted(set(found["contrast"])) == ["AD - HC", "HC, AD, MCI", "MCI - AD", "MCI - HC"]
    row = found.set_index(["test", "contrast", "region"]).loc[("Welch t", "AD - HC", "deepgrey.putamen.mean")]
    wide = table(dataset, "regions_wide")
    chi = 500 * (wide["deepgrey.putamen.L.chi_median"] + wide["deepgrey.putamen.R.chi_median"])
    a, b = chi[wide["group"] == "AD"], chi[wide["group"] == "HC"]
    expected = stats.ttest_ind(a, b, equal_var=False)
    assert row["estimate"] == pytest.approx(a.mean() - b.mean(), rel=1e-5)
    assert row["p"] == pytest.approx(expected.pvalue, rel=1e-4) and row["unit"] == "ppb"


def test_visits_are_compared_in_the_same_persons(dataset, rng):
    people = dataset.cohort({"HC": 8, "HD": 8}, REGIONS, rng, sessions=("1", "2"))
    write_participants(dataset, people)
    run_group(dataset.settings())
    found = table(dataset, "longitudinal")
    assert set(found["contrast"]) == {"2 - 1 in HC", "2 - 1 in HD"}
    wide = table(dataset, "regions_wide")
    chi = wide[wide["group"] == "HD"].pivot(
        index="participant_id", columns="session", values="deepgrey.SNr.L.chi_median"
    )
    mine = found[(found["contrast"] == "2 - 1 in HD") & (found["region"] == "deepgrey.SNr.L")]
    assert mine["estimate"].iloc[0] == pytest.approx(1000 * (chi[2] - chi[1]).mean(), rel=1e-4)
    assert mine["p"].iloc[0] == pytest.approx(stats.ttest_rel(chi[2], chi[1]).pvalue, rel=1e-3)


def test_panel_on_the_command_line_chooses_regions_and_tells_what_the_data_lack(dataset, rng):
    from qsmprep.cli.main import run

    people = dataset.cohort({"CN": 10, "PD": 10}, REGIONS, rng, shift={("PD", "deepgrey.SNr"): 60})
    write_participants(dataset, people, MoCA=[str(value) for value in rng.integers(18, 30, 20)])
    work = str(dataset.root / "w")
    call = [str(dataset.bids), str(dataset.out), "group", "-w", work, "--panel", "PD", "--groups", "group=CN,PD"]
    assert run(call) == 0
    found = table(dataset, "comparisons")
    assert set(found["contrast"]) == {"PD - CN"}  # HC of the panel means the controls, whatever they are called
    assert set(found["region"]) == {f"deepgrey.{name}.{side}" for name in ("putamen", "SNr") for side in "LR"}
    told = " ".join(notes(dataset))
    assert "no group TD" in told and "no region 'deepgrey.dentate'" in told and "UPDRS3" in told
    content = json.loads((dataset.out / "group" / "design.json").read_text())
    assert content["panel_references"] and content["scores"] == ["MoCA"]


def test_linear_model_adjusts_for_covariates_and_tests_the_interaction(dataset, rng, tmp_path):
    import statsmodels.formula.api as smf

    people = dataset.cohort({"HC": 20, "AD": 20}, REGIONS, rng, shift={("AD", "deepgrey.putamen"): 20})
    age = [round(float(value), 1) for value in rng.normal(70, 6, 40)]
    write_participants(dataset, people, age=[*age[:-1], "n/a"], apoe=rng.choice(["e3", "e4"], 40))
    model = tmp_path / "design.toml"
    model.write_text('genotype = "apoe"\ncovariates = ["age"]\ntests = ["glm"]\n')
    run_group(dataset.settings(model=model))
    found = table(dataset, "models").set_index(["contrast", "region"])
    wide = table(dataset, "regions_wide").dropna(subset="age")
    wide["y"] = 1000 * wide["deepgrey.putamen.L.chi_median"]
    fit = smf.ols("y ~ C(group, Sum) * C(apoe, Sum) + age", wide).fit(cov_type="HC3", use_t=True)
    row = found.loc[("AD - HC", "deepgrey.putamen.L")]
    expected = fit.t_test([0, 2, 0, 0, 0] if row["estimate"] * fit.params.iloc[1] > 0 else [0, -2, 0, 0, 0])
    assert row["estimate"] == pytest.approx(float(expected.effect[0]), rel=1e-4) and row["n"] == 39
    assert row["p"] == pytest.approx(float(expected.pvalue), rel=1e-3)
    slope = found.loc[("age", "deepgrey.putamen.L")]
    slope = slope if isinstance(slope, pd.Series) else slope[slope["estimate"].notna()].iloc[0]
    assert slope["estimate"] == pytest.approx(fit.params["age"], rel=1e-4)
    assert any("apoe" in contrast and ":" in contrast for contrast, _ in found.index)
    missing = ledger(dataset, "not in this analysis")
    assert missing["participant_id"].tolist() == [list(people)[-1]] and "age missing" in missing["reason"].iloc[0]
    means = table(dataset, "adjusted_means").set_index(["group", "region"])["estimate"]
    difference = means[("AD", "deepgrey.putamen.L")] - means[("HC", "deepgrey.putamen.L")]
    assert difference == pytest.approx(row["estimate"], rel=1e-6)


def test_collinear_covariates_are_told_and_the_rest_computed(dataset, rng):
    people = dataset.cohort({"HC": 12, "PD": 12}, REGIONS, rng)
    age = rng.integers(50, 80, 24)
    write_participants(dataset, people, age=age, born=2020 - age)
    run_group(dataset.settings(covariates=("age", "born")))
    assert any("is a combination of" in note for note in notes(dataset))
    found = table(dataset, "models").set_index("contrast")
    assert (found.loc["PD - HC", "p"] > 0).all()
    assert found.loc["born", "p"].isna().all() and (found.loc["born", "note"] != "").all()


def test_levels_of_a_subtype_have_a_model_of_their_own(dataset, rng, tmp_path):
    people = dataset.cohort({"HC": 15, "PD": 30}, REGIONS, rng)
    forms = ["n/a"] * 15 + ["TD"] * 15 + ["AR"] * 15
    write_participants(dataset, people, form=forms, age=rng.integers(50, 80, 45))
    model = tmp_path / "design.toml"
    model.write_text('subtype = "form"\ncovariates = ["age"]\ncontrasts = ["PD - HC", "TD - HC", "TD - AR"]\n')
    run_group(dataset.settings(model=model))
    found = table(dataset, "models").set_index("contrast")["n"]
    assert found["PD - HC"].unique().tolist() == [45] and found["TD - AR"].unique().tolist() == [30]


def test_raters_and_repeated_scans_are_compared(dataset, rng, tmp_path):
    for i in range(12):
        true = rng.normal(100, 20)
        for run in ("1", "2"):
            name = f"sub-{i:02d}_run-{run}"
            for rater, bias in (("manualAB", 0), ("manualCD", 10)):
                dataset.stats(name, [("SN", "L", (true + bias + rng.normal(0, 2)) / 1000)], seg=rater)
    model = tmp_path / "design.toml"
    model.write_text('repeats = "raters"\nraters = ["manualAB", "manualCD"]\nstatistics = ["chi_mean"]\n')
    run_group(dataset.settings(model=model))
    found = table(dataset, "reliability").set_index("test")["estimate"]
    assert found["bias"] == pytest.approx(-10, abs=2.5)
    assert found["ICC(2,1)"] < found["ICC(3,1)"] and found["ICC(3,1)"] > 0.95
    model.write_text('repeats = "run"\nstatistics = ["chi_mean"]\nregions = ["manualAB.SN"]\n')
    run_group(dataset.settings(model=model))
    found = table(dataset, "reliability").set_index("test")["estimate"]
    assert found["bias"] == pytest.approx(0, abs=2.5) and found["ICC(2,1)"] > 0.95


def test_cutoffs_tell_what_a_diagnosis_is_worth(dataset, rng, tmp_path):
    people = dataset.cohort({"HC": 30, "PD": 30}, REGIONS, rng, shift={("PD", "deepgrey.SNr"): 60})
    write_participants(dataset, people)
    model = tmp_path / "design.toml"
    model.write_text('tests = ["cutoff"]\nregions = ["SNr"]\nprevalence = 0.02\n')
    run_group(dataset.settings(model=model))
    found = table(dataset, "cutoffs").set_index(["region", "test"])
    assert found.loc[("deepgrey.SNr.L", "Youden cut-off"), "estimate"] == pytest.approx(140, abs=20)
    assert found.loc[("deepgrey.SNr.L", "sensitivity"), "estimate"] > 0.75
    assert found["prevalence"].dropna().unique().tolist() == [0.02]
    assert found.loc[("deepgrey.SNr.L", "NPV"), "estimate"] > 0.99  # nearly all have no disease


def test_scores_are_correlated_within_groups_and_adjusted(dataset, rng, tmp_path):
    people = dataset.cohort({"HC": 10, "AD": 25}, REGIONS, rng, statistics=("chi_median", "volume_mm3"))
    lines = {who: path for who in people for path in dataset.out.glob(f"{who}/anat/*deepgrey*.tsv")}
    chi = {who: float(path.read_text().splitlines()[1].split("\t")[3]) for who, path in lines.items()}
    drawn = {who: round(28 - 150 * (chi[who] - 0.06) + rng.normal(), 2) for who in people}
    mmse = [drawn[who] if group == "AD" else "n/a" for who, group in people.items()]
    write_participants(dataset, people, MMSE=mmse, age=[round(x, 1) for x in rng.normal(70, 5, 35)])
    model = tmp_path / "design.toml"
    model.write_text(
        'scores = ["MMSE"]\ncovariates = ["age"]\ncoupling = ["volume_mm3"]\n'
        'tests = ["pearson", "partial", "regression", "coupling"]\nregions = ["deepgrey"]\n'
    )
    run_group(dataset.settings(model=model))
    found = table(dataset, "scores")
    assert set(found["contrast"]) == {"MMSE in AD", "volume_mm3 in HC", "volume_mm3 in AD"}
    wide = table(dataset, "regions_wide").dropna(subset="MMSE")
    expected = stats.pearsonr(wide["deepgrey.putamen.L.chi_median"], wide["MMSE"])
    mine = found[(found["region"] == "deepgrey.putamen.L") & (found["contrast"] == "MMSE in AD")]
    assert expected.statistic < -0.6
    assert np.isclose(mine["effect"], expected.statistic, atol=1e-4).any()
    assert (mine["p_corrected"] < 0.01).all() and len(mine) == 4  # two correlations, adjusted, and the regression


def test_groups_are_compared_in_how_a_score_goes_with_a_region(dataset, rng, tmp_path):
    people = dataset.cohort({"HC": 30, "AD": 30}, REGIONS, rng)
    lines = {who: path for who in people for path in dataset.out.glob(f"{who}/anat/*deepgrey*.tsv")}
    chi = {who: float(path.read_text().splitlines()[1].split("\t")[3]) for who, path in lines.items()}
    slope = {"AD": -400, "HC": 0}
    mmse = [round(28 + slope[group] * (chi[who] - 0.06) + rng.normal(), 2) for who, group in people.items()]
    write_participants(dataset, people, MMSE=mmse)
    model = tmp_path / "design.toml"
    model.write_text('scores = ["MMSE"]\ntests = ["pearson"]\nregions = ["putamen"]\n')
    run_group(dataset.settings(model=model))
    found = table(dataset, "scores").set_index(["region", "contrast"])
    row = found.loc[("deepgrey.putamen.L", "MMSE: AD - HC")]
    within = found["effect"]["deepgrey.putamen.L"]
    assert np.isclose(row["estimate"], within["MMSE in AD"] - within["MMSE in HC"], atol=1e-3)
    assert row["estimate"] < -0.4 and row["p"] < 0.05 and row["test"] == "Pearson, difference of correlations"


def test_rates_and_mixed_models_find_the_group_that_changes(dataset, rng, tmp_path):
    lines = ["participant_id\tgroup"]
    for i in range(24):
        group = "HD" if i % 2 else "HC"
        lines.append(f"sub-{i:02d}\t{group}")
        start, sessions = rng.normal(60, 8), ["session_id\tage"]
        for visit in range(3):
            chi = start + (6.0 if group == "HD" else 0.0) * visit + rng.normal(0, 1)
            dataset.stats(f"sub-{i:02d}_ses-{visit}", [("caudate", "L", chi / 1000)])
            sessions.append(f"ses-{visit}\t{50 + visit}")
        folder = dataset.bids / f"sub-{i:02d}"
        folder.mkdir()
        (folder / f"sub-{i:02d}_sessions.tsv").write_text("\n".join(sessions) + "\n")
    dataset.participants("\n".join(lines) + "\n")
    model = tmp_path / "design.toml"
    model.write_text('statistics = ["chi_mean"]\ntests = ["rates", "mixed"]\n')
    run_group(dataset.settings(model=model))
    found = table(dataset, "longitudinal")
    slopes = found[found["contrast"] == "years: HD - HC"]
    assert slopes["estimate"].tolist() == [pytest.approx(6, abs=1.5)] and (slopes["p"] < 0.001).all()
    rates = found[(found["contrast"] == "HD - HC") & found["test"].str.contains("Welch")]
    assert rates["estimate"].tolist() == [pytest.approx(6, abs=1.5)]
    each = table(dataset, "rates")
    assert len(each) == 24 and each["span"].unique().tolist() == [2.0]


def test_sites_are_harmonised_and_what_changed_is_shown(dataset, rng, tmp_path):
    people = dataset.cohort({"HC": 20, "AD": 20}, {"deepgrey.putamen": (60, 8), "deepgrey.SNr": (110, 10)}, rng)
    site = ["one" if number % 2 else "two" for number in range(40)]
    for who, where in zip(people, site, strict=True):
        path = next(dataset.out.glob(f"{who}/anat/*deepgrey*.tsv"))
        header, *rows = [line.split("\t") for line in path.read_text().splitlines()]
        shift = 0.04 if where == "two" else 0.0
        text = ["\t".join(header)] + ["\t".join([*row[:3], f"{float(row[3]) + shift:.6f}"]) for row in rows]
        path.write_text("\n".join(text) + "\n")
    write_participants(dataset, people, scanner=site)
    model = tmp_path / "design.toml"
    model.write_text('site = "scanner"\nharmonize = true\ntests = ["welch"]\n')
    run_group(dataset.settings(model=model))
    found = table(dataset, "harmonization").set_index("test")
    p, estimate = found["p"], found["estimate"]
    assert (p["site mean, before"] < 1e-6).all() and (p["site mean, after"] > 0.2).all()
    assert found.loc["covariate, before", "contrast"].unique().tolist() == ["group: AD - HC"]
    np.testing.assert_allclose(estimate["covariate, after"], estimate["covariate, before"], atol=1.5)
    figures = {path.name.split("_", 1)[1] for path in (dataset.out / "group" / "figures").glob("result-*.svg")}
    ends = "before-and-after-combat-chi-median.svg"
    assert {f"sites-{ends}", f"effects-{ends}"} <= figures
    assert "the median partial η² of the sites" in (dataset.out / "group" / "paper" / "text.md").read_text()
    assert (table(dataset, "comparisons")["estimate_se"] < 5).all()


def test_regions_of_a_design_are_tested_together_and_the_least_effect_is_told(dataset, rng, tmp_path):
    people = dataset.cohort({"HC": 25, "HD": 25}, REGIONS, rng, shift={("HD", "deepgrey.putamen"): 20})
    write_participants(dataset, people)
    model = tmp_path / "design.toml"
    model.write_text('regions = ["putamen", "SNr"]\ntests = ["mancova", "power"]\n')
    run_group(dataset.settings(model=model))
    found = table(dataset, "panel_tests")
    assert (found["p"] < 0.001).all() and set(found["contrast"]) == {"HD - HC", "group"} and len(found) == 8
    least = table(dataset, "power").set_index("region")
    # Cohen 1988, table 2.4.1: 25 a group find d = 0.8 with power 0.8
    assert least.loc["deepgrey.putamen.L", "effect"] == pytest.approx(0.81, abs=0.015)


def test_classifier_over_the_chosen_regions_is_judged_on_unseen_persons(dataset, rng, tmp_path, monkeypatch):
    monkeypatch.setattr("qsmprep.group.classification.REPEATS", 1)
    people = dataset.cohort({"HC": 16, "PD": 16}, REGIONS, rng, shift={("PD", "deepgrey.SNr"): 60})
    write_participants(dataset, people)
    model = tmp_path / "design.toml"
    model.write_text('regions = ["putamen", "SNr"]\ntests = ["classify"]\n')
    run_group(dataset.settings(model=model))
    found = table(dataset, "classification")
    area = found[found["test"] == "AUC"] if (found["test"] == "AUC").any() else found[found["effect_name"] == "AUC"]
    assert len(area) == 2 and (area["estimate"] > 0.9).all()
    each = table(dataset, "classification_people")
    assert len(each) == 2 * 32
    assert each[each["group"] == "PD"]["probability"].mean() > 0.7
    counts = table(dataset, "classification_regions")
    assert set(counts["region"]) == {f"deepgrey.{n}.{s}.chi_median" for n in ("putamen", "SNr") for s in "LR"}
