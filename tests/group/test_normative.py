"""Every person at every visit against controls of the same age, and norms that are used again."""

import json

import numpy as np
import pandas as pd
import pytest

from qsmprep.group import run_group

HEAD = "index\tname\themisphere\tchi_mean\tr2star_mean"
ILL = [f"sub-{i}" for i in range(36, 40)]


@pytest.fixture
def cohort(dataset):
    """36 controls and 4 patients whose χ is 20 ppb + age, patients' 30 more; patients come again after two years."""
    rng = np.random.default_rng(0)
    lines = ["participant_id\tgroup\tage\tsex"]
    for i in range(40):
        who, (group, age) = f"sub-{i:02d}", ("HC", 40 + i) if i < 36 else ("PD", 60)
        lines.append(f"{who}\t{group}\t{age}\t{'MF'[i % 2]}")
        for visit in (1, 2) if i >= 35 else (1,):
            run = f"{who}_ses-{visit}"
            chi = 20 + age + 2 * (visit - 1) + (10 + 20 * visit if group == "PD" else 0) + rng.normal(0, 3)
            numbers = f"{HEAD}\n1\tSNr\tL\t{chi / 1000:.6f}\t{20 + chi / 5:.4f}\n"
            (dataset.folder(run) / f"{run}_seg-deepgrey_desc-stats_dseg.tsv").write_text(numbers)
            scans = f"filename\tacq_time\nanat/{run}_T1w.nii.gz\t{2018 + 2 * visit}-03-01T10:00:00\n"
            folder = dataset.bids / who / f"ses-{visit}"
            folder.mkdir(parents=True)
            (folder / f"{run}_scans.tsv").write_text(scans)
    dataset.participants("\n".join(lines) + "\n")
    return dataset


def norms_of(dataset, extra=""):
    model = dataset.root / "design.toml"
    model.write_text(f'statistics = ["chi_mean", "r2star_mean"]\ntests = ["normative"]\n{extra}')
    run_group(dataset.settings(model=model))
    found = pd.read_csv(dataset.out / "group" / "normative.tsv", sep="\t", na_values="n/a", dtype={"session": str})
    return found.set_index(["measure", "participant_id", "session"]).sort_index()


def test_persons_are_judged_at_every_visit_and_norms_can_be_used_again(cohort):
    found = norms_of(cohort)
    chi = found.loc["chi_mean"]
    assert len(chi) == 40 + 5 and (chi.loc[ILL, "z"] > 3).all()
    assert chi.loc[ILL, "age"].unstack().round(2).to_numpy().tolist() == [[60, 62]] * 4
    gap = chi.loc[ILL, "value"] - chi.loc[ILL, "expected"]
    assert gap.unstack().mean().tolist() == [pytest.approx(30, abs=5), pytest.approx(50, abs=5)]
    healthy = chi.drop(ILL)
    assert healthy["held_out"].all() and abs(healthy["z"].mean()) < 0.3
    assert healthy["z"].std() == pytest.approx(1, abs=0.35) and len(healthy.loc["sub-35"]) == 2
    names = " ".join(path.name for path in (cohort.out / "group" / "figures").glob("result-*.svg"))
    assert "against-the-norm" in names and "norm-left-snr" in names

    saved = cohort.root / "norms.json"
    saved.write_text((cohort.out / "group" / "normative_models.json").read_text())
    again = norms_of(cohort, 'normative = "norms.json"\n')
    assert sorted(set(again.index.get_level_values("measure"))) == ["chi_mean", "r2star_mean"]
    for measure in ("chi_mean", "r2star_mean"):
        np.testing.assert_allclose(again.loc[measure].loc[ILL, "z"], found.loc[measure].loc[ILL, "z"], rtol=1e-5)
    assert again["norm"].unique().tolist() == ["norms.json"]


def test_norms_are_those_of_harmonised_numbers(cohort):
    """Every other pair of persons comes from a scanner that adds 60 ppb."""
    for path in cohort.out.glob("sub-*/ses-*/anat/*_desc-stats_dseg.tsv"):
        if int(path.name[4:6]) % 4 < 2:
            header, row = (line.split("\t") for line in path.read_text().splitlines())
            row[3] = f"{float(row[3]) + 0.06:.6f}"
            path.write_text("\t".join(header) + "\n" + "\t".join(row) + "\n")
    table = pd.read_csv(cohort.bids / "participants.tsv", sep="\t")
    table["scanner"] = ["AB"[i % 4 < 2] for i in range(40)]
    table.to_csv(cohort.bids / "participants.tsv", sep="\t", index=False)
    pooled = 'site = "scanner"\nharmonize = true\n'
    alike, kept = norms_of(cohort).loc["chi_mean"], norms_of(cohort, f'{pooled}covariates = ["age", "sex"]\n')
    notes = json.loads((cohort.out / "group" / "design.json").read_text())["notes"]
    assert not any("keeps only what is a covariate" in note for note in notes)
    assert (alike.loc[ILL, "z"] < 3).any() and (kept.loc["chi_mean"].loc[ILL, "z"] > 3).all()
    norms_of(cohort, f'{pooled}covariates = ["sex"]\n')
    notes = json.loads((cohort.out / "group" / "design.json").read_text())["notes"]
    assert any("where sites differ in age, its share of χ went with them" in note for note in notes)


def test_a_measure_that_a_file_of_norms_lacks_is_told_and_the_others_judged(cohort):
    norms_of(cohort)
    content = json.loads((cohort.out / "group" / "normative_models.json").read_text())
    content["measures"]["r2star_mean"]["unit"] = "ppb"
    (cohort.root / "norms.json").write_text(json.dumps(content))
    found = norms_of(cohort, 'normative = "norms.json"\n')
    assert set(found.index.get_level_values("measure")) == {"chi_mean"}
    notes = " ".join(json.loads((cohort.out / "group" / "design.json").read_text())["notes"])
    assert "norms.json has r2star_mean in ppb" in notes
    del content["measures"]["r2star_mean"]
    (cohort.root / "norms.json").write_text(json.dumps(content))
    norms_of(cohort, 'normative = "norms.json"\n')
    notes = " ".join(json.loads((cohort.out / "group" / "design.json").read_text())["notes"])
    assert "norms.json has no norms of r2star_mean, only of chi_mean" in notes
