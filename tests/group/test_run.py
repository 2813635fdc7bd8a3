import json
import os

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from qsmprep.errors import NothingToDoError, UsageError
from qsmprep.group import run_group
from qsmprep.report.index import build_index

SPACE = "MNI152NLin2009cAsym"
SHAPE = (20, 24, 20)


def fill(dataset, persons=4):
    brain = np.zeros(SHAPE, bool)
    brain[4:16, 4:20, 4:16] = True
    for i in range(1, persons + 1):
        name = f"sub-{i:02d}"
        dataset.stats(name, [("putamen", "L", 0.05 * i), ("putamen", "R", 0.05), ("brain <stem>", "n/a", 0.001)])
        dataset.quality(name, "FAIL" if i == persons else "PASS", ["it <moved>"] if i == persons else [])
        dataset.chi(name, 0.01 * i * brain, mask=brain)
    return brain


def test_group_level_writes_tables_maps_and_page_from_derivatives_alone(dataset):
    brain = fill(dataset)
    page = run_group(dataset.settings())
    group = dataset.out / "group"
    assert page == group / "group.html"
    long = pd.read_csv(group / "regions.tsv", sep="\t", keep_default_na=False)
    wide = pd.read_csv(group / "regions_wide.tsv", sep="\t")
    assert len(long) == 4 * 3 * 6 and len(wide) == 4
    assert wide["deepgrey.putamen.L.chi_mean"].tolist() == pytest.approx([0.05, 0.1, 0.15, 0.2])
    for table in ("regions", "regions_wide"):
        described = json.loads((group / f"{table}.json").read_text())
        header = (group / f"{table}.tsv").read_text().splitlines()[0].split("\t")
        assert set(described) == set(header)
    image = nib.load(group / f"space-{SPACE}_desc-mean_Chimap.nii.gz")
    # the run that FAILs is not in the mean
    np.testing.assert_allclose(np.asarray(image.dataobj)[brain], 0.02, rtol=1e-5)
    meta = json.loads((group / f"space-{SPACE}_desc-mean_Chimap.json").read_text())
    assert meta["Participants"] == ["sub-01", "sub-02", "sub-03"] and meta["Units"] == "ppm"
    assert not list(group.glob(".tmp*"))


def test_mean_maps_of_r2star_stand_beside_those_of_chi(dataset):
    brain = fill(dataset)
    for i in range(1, 5):  # beyond the mask of χ, too
        dataset.r2star(f"sub-{i:02d}", np.full(SHAPE, 10.0 * i))
    page = run_group(dataset.settings()).read_text()
    group = dataset.out / "group"
    for desc, inside in (("mean", 20), ("median", 20), ("sd", 10), ("n", 3)):
        values = np.asarray(nib.load(group / f"space-{SPACE}_desc-{desc}_R2starmap.nii.gz").dataobj)
        np.testing.assert_allclose(values, np.where(brain, inside, 0), rtol=1e-5, err_msg=desc)
    meta = json.loads((group / f"space-{SPACE}_desc-sd_R2starmap.json").read_text())
    assert meta["Units"] == "1/s" and "R2*" in meta["Description"] and len(meta["Sources"]) == 3
    assert all("R2starmap" in source for source in meta["Sources"])
    np.testing.assert_allclose(nib.load(group / f"space-{SPACE}_desc-mean_Chimap.nii.gz").get_fdata()[brain], 0.02)
    assert "Mean χ, all (3 participants)" in page and "Mean R2*, all (3 participants)" in page


def test_groups_of_participants_get_colours_counts_and_their_own_mean(dataset):
    brain = fill(dataset)
    dataset.participants("participant_id\tgroup\nsub-01\tcontrol\nsub-02\tcontrol\nsub-03\tpatient\nsub-04\tpatient\n")
    page = run_group(dataset.settings()).read_text()
    assert "control 2, patient 2" in page
    image = nib.load(dataset.out / "group" / f"group-control_space-{SPACE}_desc-mean_Chimap.nii.gz")
    np.testing.assert_allclose(np.asarray(image.dataobj)[brain], 0.015, rtol=1e-5)


def test_mean_maps_and_colours_follow_the_design(dataset, tmp_path):
    brain = fill(dataset)
    dataset.participants("participant_id\tdx\tgroup\nsub-01\tHC\ta\nsub-02\tPD\tb\nsub-03\tPD\ta\nsub-04\tMSA\tb\n")
    model = tmp_path / "design.toml"
    model.write_text('groups = "dx"\norder = ["PD", "HC"]\nexclude = ["sub-02"]\n')
    page = run_group(dataset.settings(model=model)).read_text()
    assert "Groups by the column &#39;dx&#39;: PD 2, HC 1, MSA 1." in page
    group = dataset.out / "group"
    assert {path.name.split("_")[0] for path in group.glob("group-*.nii.gz")} == {"group-HC", "group-PD"}
    for name, expected in (("group-PD_", 0.03), ("group-HC_", 0.01), ("", 0.02)):
        image = nib.load(group / f"{name}space-{SPACE}_desc-mean_Chimap.nii.gz")
        np.testing.assert_allclose(np.asarray(image.dataobj)[brain], expected, rtol=1e-5, err_msg=name)


def test_designs_stay_side_by_side_by_name_and_a_folder_is_that_of_one_design(dataset):
    fill(dataset)
    dataset.participants("participant_id\tdx\tsex\nsub-01\tHC\tF\nsub-02\tPD\tF\nsub-03\tPD\tM\nsub-04\tPD\tM\n")

    def maps(folder):
        return {path.name.split("_")[0] for path in (dataset.out / folder).glob("group-*_space-*.nii.gz")}

    run_group(dataset.settings())
    page = run_group(dataset.settings(analysis_name="by-sex", groups="sex"))
    assert page == dataset.out / "group-by-sex" / "group.html"
    assert maps("group") == {"group-HC", "group-PD"} and maps("group-by-sex") == {"group-F", "group-M"}
    index = build_index(dataset.out).read_text()
    assert 'href="group/group.html">Group report<' in index
    assert 'href="group-by-sex/group.html">Group report: by-sex<' in index
    (dataset.out / "group" / "clusters.tsv").write_text("of an earlier call\n")
    os.utime(dataset.out / "group" / "clusters.tsv", ns=(0, 0))
    (dataset.out / "group" / "own_notes.txt").write_text("mine\n")
    run_group(dataset.settings(groups="sex"))
    assert maps("group") == {"group-F", "group-M"}
    assert not (dataset.out / "group" / "clusters.tsv").exists() and (dataset.out / "group" / "own_notes.txt").exists()
    with pytest.raises(UsageError, match="--analysis-name 'a/b' names a folder"):
        dataset.settings(analysis_name="a/b")


def test_page_without_participants_file_works_and_says_so(dataset):
    fill(dataset, persons=2)
    assert "no participants.tsv" in run_group(dataset.settings()).read_text()


def test_page_flags_failed_runs_and_escapes_what_it_shows(dataset):
    fill(dataset)
    page = run_group(dataset.settings()).read_text()
    assert "it &lt;moved&gt;" in page and "<moved>" not in page
    assert "brain &lt;stem&gt;" in page and "<stem>" not in page
    assert 'stroke="#b3261e"' in page and "sub-04: 200 (FAIL)" in page
    assert "Research use only, not for diagnosis" in page


def test_group_level_names_what_it_looked_for_when_there_is_nothing(dataset):
    with pytest.raises(NothingToDoError, match=r"desc-stats_dseg\.tsv.*participant level first"):
        run_group(dataset.settings())
    assert not (dataset.out / "group").exists()
    chi = dataset.out / "sub-01" / "anat" / "sub-01_Chimap.nii.gz"
    chi.parent.mkdir(parents=True)
    chi.touch()
    with pytest.raises(NothingToDoError, match=r"1 run without regional numbers.*without --no-normalization"):
        run_group(dataset.settings())


def test_group_level_of_an_unknown_participant_names_it(dataset):
    fill(dataset, persons=2)
    with pytest.raises(NothingToDoError, match="sub-99"):
        run_group(dataset.settings(participant_label=("99",)))


def test_regional_numbers_without_maps_still_make_a_page(dataset):
    dataset.stats("sub-01_ses-1", [("putamen", "L", 0.05)])
    dataset.stats("sub-01_ses-2", [("putamen", "L", 0.06)])
    page = run_group(dataset.settings()).read_text()
    assert "there is no mean map" in page and "more than one run" in page
