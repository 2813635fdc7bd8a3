"""Simulated cohorts: what a study states comes out, and what it does not touch stays as it is."""

import json
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from qsmprep.cli.phantom import main
from qsmprep.errors import UsageError
from qsmprep.group.collect import find_runs, long_table
from qsmprep.phantom.cohort import NOISE_PPB, draw_cohort, region_rows
from qsmprep.phantom.cohort_files import write_cohort
from qsmprep.phantom.studies import read_studies, study_named
from qsmprep.regions import column_definitions, read_table

MANY = 1500


def values(cohort, name, side, seg="deepgrey"):
    """χ [ppb] of each scan in a region."""
    rows = cohort.rows
    place = (rows["name"] == name) & (rows["hemisphere"] == side) & (rows["seg"] == seg)
    assert place.sum() == 1
    return cohort.chi[:, place.to_numpy()].ravel()


@pytest.fixture(scope="module")
def nigra():
    return draw_cohort(study_named("PD-nigra"), seed=1, participants=MANY)


def test_means_and_sds_are_as_the_study_states(nigra):
    group = nigra.people["group"].to_numpy()
    for name in ("SNr", "SNc-PBP-VTA"):
        chi = values(nigra, name, "L")
        adjusted = chi - np.polyval(np.polyfit(nigra.people["age"], chi, 1), nigra.people["age"])
        assert chi[group == "HC"].mean() == pytest.approx(98.41, abs=1.5)
        assert chi[group == "PD"].mean() - chi[group == "HC"].mean() == pytest.approx(27.40, abs=1.8)
        assert adjusted[group == "HC"].std(ddof=1) == pytest.approx(11.70, rel=0.06)
        assert adjusted[group == "PD"].std(ddof=1) == pytest.approx(16.27, rel=0.06)


def test_regions_that_a_study_does_not_name_do_not_differ(nigra):
    from scipy.stats import kstest, ttest_ind

    rows = nigra.rows[nigra.rows["family"] != "SN"].drop_duplicates("family").index
    group = nigra.people["group"].to_numpy()
    p = [ttest_ind(nigra.chi[group == "PD", row], nigra.chi[group == "HC", row]).pvalue for row in rows]
    assert len(p) > 30 and kstest(p, "uniform").pvalue > 0.01
    assert np.mean(np.array(p) < 0.05) < 0.2


def test_scores_have_the_asked_correlation_and_are_missing_where_a_group_has_none(nigra):
    people = nigra.people
    assert people.loc[people["group"] == "HC", "updrs3"].isna().all()
    parts = [values(nigra, name, side) for name in ("SNr", "SNc-PBP-VTA") for side in "LR"]
    mean = np.mean(parts, axis=0)
    for group in ("PD", "HC"):
        here = (people["group"] == group).to_numpy()
        r = np.corrcoef(mean[here], people["dat_sbr"][here])[0, 1]
        assert r == pytest.approx(-0.4, abs=0.07)
    other = values(nigra, "putamen", "L")
    assert abs(np.corrcoef(other[here], people["dat_sbr"][here])[0, 1]) < 0.1


def test_chi_tells_patients_better_than_r2star():
    from scipy.stats import norm
    from sklearn.metrics import roc_auc_score

    cohort = draw_cohort(study_named("PD"), seed=2, participants=MANY)
    patient = cohort.people["group"] == "PD"
    row = np.flatnonzero((cohort.rows["name"] == "SNr") & (cohort.rows["hemisphere"] == "L"))[0]
    assert roc_auc_score(patient, cohort.chi[:, row]) == pytest.approx(norm.cdf(2.38 / np.sqrt(2)), abs=0.02)
    assert roc_auc_score(patient, cohort.r2star[:, row]) == pytest.approx(norm.cdf(0.94 / np.sqrt(2)), abs=0.03)


def test_only_the_measurement_differs_between_two_scans():
    cohort = draw_cohort(study_named("retest"), seed=3, participants=MANY)
    chi = values(cohort, "caudate", "L").reshape(MANY, 2)
    assert (chi[:, 0] - chi[:, 1]).std(ddof=1) == pytest.approx(NOISE_PPB * np.sqrt(2), rel=0.06)


def test_a_year_adds_the_stated_rate_in_the_groups_that_have_one():
    cohort = draw_cohort(study_named("HD"), seed=4, participants=400)
    chi = values(cohort, "caudate", "R").reshape(-1, 2)
    group = cohort.people["group"].to_numpy()
    growth = chi[:, 1].copy() - chi[:, 0]
    for name, rate in (("HC", 0.0), ("far", 0.0), ("early", 0.119)):
        here = group == name
        assert growth[here].mean() / chi[here, 0].mean() == pytest.approx(rate, abs=0.02)


def test_volume_falls_where_it_is_asked_and_goes_against_iron():
    cohort = draw_cohort(study_named("HD-premanifest"), seed=5, participants=MANY)
    row = np.flatnonzero((cohort.rows["name"] == "caudate") & (cohort.rows["hemisphere"] == "L"))[0]
    group = (cohort.people["group"] == "preHD").to_numpy()
    volume, chi = cohort.volume[:, row], cohort.chi[:, row]
    assert volume[group].mean() / volume[~group].mean() == pytest.approx(0.85, abs=0.01)
    assert np.corrcoef(volume[group], chi[group])[0, 1] == pytest.approx(-0.5, abs=0.08)


def test_every_number_has_its_evidence():
    for study in read_studies().values():
        assert all(region.evidence in ("stated", "plausible") for region in study.regions), study.name


def test_carriers_differ_about_the_mean_of_their_group():
    cohort = draw_cohort(study_named("AD-apoe"), seed=6, participants=MANY)
    people, chi = cohort.people, values(cohort, "precuneus", "L", "DK")
    means = {key: chi[index].mean() for key, index in people.groupby(["group", "apoe"]).groups.items()}
    assert means["MCI", "e4"] - means["MCI", "e3"] == pytest.approx(3, abs=0.6)
    assert means["HC", "e4"] - means["HC", "e3"] == pytest.approx(0, abs=0.6)
    group = people["group"].to_numpy()
    assert chi[group == "MCI"].mean() - chi[group == "HC"].mean() == pytest.approx(2, abs=0.5)


def test_scanners_scale_and_shift_what_one_scanner_would_have_measured():
    study = study_named("AD-sites")
    cohort, alone = draw_cohort(study, 7, 200), draw_cohort(replace(study, sites=()), 7, 200)
    assert cohort.people.drop(columns="site").equals(alone.people)
    for site in study.sites:
        here = (cohort.people["site"] == site.name).to_numpy()
        assert here.sum() == 2 * round(200 * site.share)
        slopes, shifts = [], []
        for row in cohort.rows.drop_duplicates("key").index:
            slope, shift = np.polyfit(alone.chi[here, row], cohort.chi[here, row], 1)
            np.testing.assert_allclose(cohort.chi[here, row], slope * alone.chi[here, row] + shift, atol=1e-6)
            np.testing.assert_allclose(cohort.ring[here, row], slope * alone.ring[here, row] + shift, atol=1e-5)
            slopes.append(slope)
            shifts.append(shift)
        error = 4 / np.sqrt(len(slopes))
        assert np.mean(slopes) == pytest.approx(site.scale, abs=error * site.scale_sd + 1e-6)
        assert np.mean(shifts) == pytest.approx(site.shift, abs=error * site.shift_sd + 1e-6)
        assert np.std(shifts) == pytest.approx(site.shift_sd, rel=0.4, abs=1e-6)


def test_scanners_genotypes_and_drawn_regions_are_on_disk(tmp_path):
    for name, column, found in (("AD-sites", "site", {"A", "B", "C"}), ("AD-apoe", "apoe", {"e3", "e4"})):
        write_cohort(tmp_path / name, study_named(name), participants=8)
        people = pd.read_csv(tmp_path / name / "participants.tsv", sep="\t")
        assert set(people[column]) == found
        assert column in json.loads((tmp_path / name / "participants.json").read_text())
    write_cohort(tmp_path / "wd", study_named("WD-children"), participants=1)
    table = read_table(tmp_path / "wd/derivatives/qsmprep/sub-001/anat/sub-001_seg-manual_desc-stats_dseg.tsv")
    assert list(zip(table["name"], table["hemisphere"], strict=True)) == [
        ("midbrain", "L"),
        ("midbrain", "R"),
        ("pons", "n/a"),
    ]


def test_the_tables_are_those_of_the_participant_level(tmp_path):
    cohort = write_cohort(tmp_path / "bids", study_named("HD"), seed=7, participants=2)
    out = tmp_path / "bids/derivatives/qsmprep"
    path = out / "sub-001/ses-2/anat/sub-001_ses-2_seg-deepgrey_desc-stats_dseg.tsv"
    table = read_table(path)
    assert list(table.columns) == list(column_definitions())
    definitions = json.loads(path.with_suffix(".json").read_text())
    assert definitions["chi_mean"]["Units"] == "ppm" and set(definitions) == set(table.columns)
    row = table[(table["name"] == "caudate") & (table["hemisphere"] == "L")].iloc[0]
    assert 1000 * row["chi_mean"] == pytest.approx(values(cohort, "caudate", "L")[1], abs=1e-4)
    assert row["chi_p5"] < row["chi_mean"] < row["chi_high_mean"] < row["chi_p99"]
    runs = find_runs(out)
    assert len(runs) == 16 and {run.verdict for run in runs} == {"PASS"}
    assert set(long_table(runs)["seg"]) == {"deepgrey", "DK"}
    people = pd.read_csv(tmp_path / "bids/participants.tsv", sep="\t")
    assert list(people.columns) == ["participant_id", "age", "sex", "group", "cap"]
    sessions = pd.read_csv(tmp_path / "bids/sub-001/sub-001_sessions.tsv", sep="\t")
    assert sessions["age"].diff().iloc[1] == pytest.approx(1.0)


def call(monkeypatch, *args):
    monkeypatch.setattr(sys, "argv", ["qsmprep-phantom", *map(str, args)])
    try:
        main()
    except SystemExit as leave:
        return leave.code
    return 0


def test_the_command_writes_a_cohort_and_refuses_another_in_its_place(tmp_path, monkeypatch, capsys):
    out = tmp_path / "pd"
    assert call(monkeypatch, out, "--cohort", "pd", "--participants", 3, "--seed", 5) == 0
    assert "HC 3, PD 3" in capsys.readouterr().out
    table = out / "derivatives/qsmprep/sub-006/anat/sub-006_seg-DK_desc-stats_dseg.tsv"
    before = table.read_bytes()
    assert call(monkeypatch, out, "--cohort", "PD", "--participants", 3, "--seed", 5) == 0
    assert table.read_bytes() == before
    assert call(monkeypatch, out, "--cohort", "PD", "--seed", 6) == 2
    assert "give another folder" in capsys.readouterr().err
    assert call(monkeypatch, tmp_path / "no", "--cohort", "nothing") == 2
    assert "PD-tremor" in capsys.readouterr().err
    assert call(monkeypatch, tmp_path / "no", "--cohort", "PD", "--participants", 0) == 2


def test_a_study_with_impossible_requests_is_refused(tmp_path):
    path = tmp_path / "studies.toml"
    head = '[X]\ntitle="t"\nreference="r"\nfield=3.0\ngroups=[{name="A", n=5, age=[60, 5], female=0.5}]\n'
    path.write_text(head + 'regions=[{region="SN", sd=1, evidence="plausible", delta={B=1}}]\n')
    with pytest.raises(UsageError, match="groups B"):
        read_studies(path)
    path.write_text(head + 'scores=[{name="s", description="", mean={A=1}, sd={A=1}, r={SN=0.9, GP=0.9}}]\n')
    with pytest.raises(UsageError, match="together"):
        read_studies(path)
    path.write_text(head + 'regions=[{region="SN", sd=1, evidence="plausible", carrier={A=1}}]\n')
    with pytest.raises(UsageError, match="no genotype"):
        read_studies(path)
    path.write_text(head + 'genotype={name="g", description="", carrier="x", other="y", share={A=1.5}}\n')
    with pytest.raises(UsageError, match=r"share of 1\.5"):
        read_studies(path)
    path.write_text(head + 'sites=[{name="A", share=0.5}, {name="B", share=0.4}]\n')
    with pytest.raises(UsageError, match=r"add up to 0\.9"):
        read_studies(path)
    path.write_text(head + 'regions=[{region="liver", sd=1, evidence="plausible"}]\n')
    with pytest.raises(UsageError, match="liver"):
        draw_cohort(read_studies(path)["X"])
    assert {"deepgrey", "DK"} == set(region_rows()["seg"])
