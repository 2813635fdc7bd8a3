"""Which regions that people drew belong to a run, and what is said of those that do not."""

import nibabel as nib
import numpy as np
import pytest
from conftest import SHAPE

from qsmprep.bids.images import read_grid
from qsmprep.bids.manual import label_volume
from qsmprep.bids.plan import make_plan
from qsmprep.errors import UsageError
from qsmprep.settings import Settings

GRE = np.diag([2.0, 2, 2, 1])
T1W = (10, 10, 10)


@pytest.fixture
def manual(tmp_path):
    return tmp_path / "manual"


def plan_of(dataset, manual, raters=("all",), **options):
    out = dataset.root.parent / "out"
    options = {"derivatives": (manual,), "manual_regions": raters, "nprocs": 1} | options
    return make_plan(Settings(bids_dir=dataset.root, out_dir=out, **options))


def only_run(*arguments, **options):
    plan = plan_of(*arguments, **options)
    assert not plan.skipped, plan.skipped
    return plan.runs[0]


def draw(manual, name, boxes=None, shape=SHAPE, affine=GRE, session=None):
    folder = manual.joinpath("sub-01", *([f"ses-{session}"] if session else []), "anat")
    folder.mkdir(parents=True, exist_ok=True)
    labels = np.zeros(shape, np.uint8)
    for value, box in (boxes or {1: np.s_[3:6, 3:6, 3:6]}).items():
        labels[box] = value
    nib.save(nib.Nifti1Image(labels, affine), folder / name)
    return folder / name


def names(manual):
    return [(r.index, r.name, r.hemisphere) for r in manual.regions]


def test_masks_of_two_raters_are_told_apart_and_numbered_alike(dataset, manual):
    dataset.gre()
    draw(manual, "sub-01_hemi-L_label-SN_desc-AB_mask.nii.gz")
    draw(manual, "sub-01_hemi-R_label-SN_desc-AB_mask.nii.gz", {1: np.s_[8:10, 3:6, 3:6]})
    draw(manual, "sub-01_hemi-R_label-SN_desc-CD_mask.nii.gz")
    draw(manual, "sub-01_label-brainstem_desc-CD_mask.nii.gz", {1: np.s_[:2]})
    draw(manual, "sub-01_desc-brain_mask.nii.gz", {1: np.s_[:9]})
    draw(manual, "sub-01_space-MNI152NLin2009cAsym_label-SN_desc-AB_mask.nii.gz")
    run = only_run(dataset, manual)
    assert [(m.rater, m.seg, m.on_t1w) for m in run.manual] == [
        ("AB", "manualAB", False), ("CD", "manualCD", False)
    ]  # fmt: skip
    assert names(run.manual[0]) == [(1, "SN", "L"), (101, "SN", "R")]
    assert names(run.manual[1]) == [(101, "SN", "R"), (2, "brainstem", "n/a")][::-1]
    assert not any("manual regions" in note for note in run.notes)
    written = {name.rsplit("/")[-1] for name in run.outputs}
    assert "sub-01_seg-manualAB_desc-stats_dseg.tsv" in written and "sub-01_seg-manual_desc-raters_dseg.tsv" in written
    alone = only_run(dataset, manual, ("CD",))
    assert [m.rater for m in alone.manual] == ["CD"]
    assert not any("raters" in name for name in alone.outputs)
    assert only_run(dataset, manual, ()).manual == (), "only if it is asked for"


def test_a_label_image_has_its_names_from_the_tsv_beside_or_above(dataset, manual):
    dataset.gre()
    boxes = {3: np.s_[:2], 7: np.s_[4:6], 9: np.s_[8:9]}
    path = draw(manual, "sub-01_desc-AB_dseg.nii.gz", boxes)
    assert any(
        "has no table of its labels; expected sub-01_desc-AB_dseg.tsv" in n for n in only_run(dataset, manual).notes
    )
    (manual / "desc-AB_dseg.tsv").write_text("index\tname\themisphere\n3\tred nucleus\tL\n7\tSN\tR\n8\tabsent\tL\n")
    run = only_run(dataset, manual)
    assert names(run.manual[0]) == [(2, "red nucleus", "L"), (101, "SN", "R")]
    assert any(str(path) in n and "labels 9 have no name" in n for n in run.notes)
    path.with_name("sub-01_desc-AB_dseg.tsv").write_text("index\tname\n3\tSN\n")
    assert names(only_run(dataset, manual).manual[0]) == [(1, "SN", "n/a")], "the nearest table counts"


def test_turned_axes_are_put_right(dataset, manual):
    dataset.gre()
    path = draw(manual, "sub-01_label-SN_desc-AB_mask.nii.gz")
    before = nib.load(path).get_fdata()
    nib.save(nib.load(path).as_reoriented(np.array([[1, -1], [0, 1], [2, -1]])), path)
    run = only_run(dataset, manual)
    labels = label_volume(run.manual[0].regions, read_grid(run.files[0]))
    assert labels.dtype == np.int16 and np.array_equal(labels, before)


def test_what_was_drawn_on_the_t1w_is_carried_if_nothing_lies_on_the_gradient_echo(dataset, manual):
    dataset.gre(acq="qsm")
    dataset.t1w()
    draw(manual, "sub-01_label-SN_desc-AB_mask.nii.gz", shape=T1W)
    run = only_run(dataset, manual)
    assert run.manual[0].on_t1w
    draw(manual, "sub-01_label-RN_desc-AB_mask.nii.gz", {1: np.s_[8:]})
    run = only_run(dataset, manual)
    assert not run.manual[0].on_t1w and names(run.manual[0]) == [(1, "RN", "n/a")]
    assert any("have to lie on one grid" in note for note in run.notes)
    draw(manual, "sub-01_label-SN_desc-CD_mask.nii.gz", shape=T1W)
    assert [m.on_t1w for m in only_run(dataset, manual).manual] == [False, True]
    assert [m.rater for m in only_run(dataset, manual, normalization=False).manual] == ["AB"], "nothing is carried"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"shape": (14, 12, 9)}, "has 14 x 12 x 9 voxels, but sub-01_echo-1"),
        ({"affine": np.diag([1.0, 1, 1, 1])}, "lies elsewhere than sub-01_echo-1"),
        ({"boxes": {0: np.s_[:]}}, "is constant"),
        ({"shape": (*SHAPE, 2)}, "has 2 volumes"),
        ({"boxes": {1: np.s_[2:4, 3:6, 3:6]}}, "SN shares 9 of its 18 voxels with RN"),
    ],
)
def test_a_file_that_does_not_fit_is_a_note_with_what_was_found_and_expected(dataset, manual, change, words):
    dataset.gre()
    draw(manual, "sub-01_label-RN_desc-AB_mask.nii.gz")
    path = draw(manual, "sub-01_label-SN_desc-AB_mask.nii.gz", **change)
    run = only_run(dataset, manual)
    (note,) = [note for note in run.notes if "manual regions" in note]
    assert str(path) in note and words in note and "not used" in note
    assert names(run.manual[0]) == [(1, "RN", "n/a")]


def test_sessions_and_runs_go_by_name(dataset, manual):
    dataset.gre(session="1", run="1")
    dataset.gre(session="2", run="1")
    draw(manual, "sub-01_ses-1_run-1_label-SN_desc-AB_mask.nii.gz", session="1")
    draw(manual, "sub-01_ses-1_run-2_label-SN_desc-AB_mask.nii.gz", session="1")
    first, second = plan_of(dataset, manual, ("AB",)).runs
    assert [r.file.name for r in first.manual[0].regions] == ["sub-01_ses-1_run-1_label-SN_desc-AB_mask.nii.gz"]
    assert second.manual == ()
    (note,) = [note for note in second.notes if "manual regions" in note]
    assert str(manual) in note and "none of AB for this run" in note
    assert "expected sub-01_ses-2_run-1[_hemi-L|R]_label-REGION_desc-AB_mask" in note


def test_raters_without_a_dataset_are_refused(tmp_path):
    with pytest.raises(UsageError, match="Add --derivatives DIR"):
        Settings(tmp_path, tmp_path / "o", manual_regions=("AB",))
    with pytest.raises(UsageError, match="no --atlas is given"):
        Settings(tmp_path, tmp_path / "o", atlas_space="native")
    Settings(tmp_path, tmp_path / "o", normalization=False, erode_labels=1.0, derivatives=(tmp_path,),
             manual_regions=("AB",))  # fmt: skip


def test_an_atlas_in_native_space_has_to_lie_on_the_grid_of_the_run(dataset, manual, tmp_path):
    dataset.gre("01")
    dataset.gre("02", shape=(14, 12, 12))
    atlas = draw(manual, "mine.nii.gz", {4: np.s_[2:5]})
    table = tmp_path / "mine.tsv"
    table.write_text("index\tname\n4\tSN\n")
    given = {"atlas": atlas, "atlas_labels": table}
    plan = plan_of(dataset, manual, (), atlas_space="native", normalization=False, **given)
    assert [run.subject for run in plan.runs] == ["01"]
    reason = plan.skipped[0].reason
    assert reason.startswith(f"--atlas-space native: {atlas} has 14 x 12 x 10 voxels, but sub-02_echo-1")
    assert "--atlas-space template" in reason and "--manual-regions" in reason
    assert any("seg-mine_desc-stats" in name for name in plan.runs[0].outputs)
    notes = {run.subject: " ".join(run.notes) for run in plan_of(dataset, manual, (), **given).runs}
    assert "add --atlas-space native" in notes["01"] and "--atlas" not in notes["02"]


def test_neighbours_may_be_drawn_and_have_to_exist(dataset, manual):
    dataset.gre()
    draw(manual, "sub-01_label-SN_desc-AB_mask.nii.gz")
    assert only_run(dataset, manual, neighbours=("SN=red nucleus", "manualAB.SN=GPi"))
    with pytest.raises(UsageError, match="no region is named 'RN' in deepgrey, DK, parts, manualAB"):
        plan_of(dataset, manual, neighbours=("SN=RN",))


def test_an_atlas_that_is_no_image_ends_the_call(dataset, manual, tmp_path):
    dataset.gre()
    manual.mkdir()
    (tmp_path / "no.nii").write_text("no")
    (tmp_path / "no.tsv").write_text("index\tname\n1\ta\n")
    for space in ("native", "template"):
        with pytest.raises(UsageError, match=r"--atlas: .*no\.nii cannot be read"):
            plan_of(dataset, manual, (), atlas=tmp_path / "no.nii", atlas_labels=tmp_path / "no.tsv", atlas_space=space)
