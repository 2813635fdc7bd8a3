"""What is used of other programs' anatomical outputs, and what is said of the rest."""

import json
import shutil

import nibabel as nib
import numpy as np
import pytest

from qsmprep.bids.plan import make_plan
from qsmprep.errors import UsageError
from qsmprep.settings import Settings

SPACE, SHAPE = "MNI152NLin2009cAsym", (12, 11, 10)
AFFINE = np.array([[1.5, 0, 0, -8], [0, 1.5, 0, -9], [0, 0, 1.5, -7], [0, 0, 0, 1]])


class Prepped:
    """A derivative dataset as fMRIPrep writes it."""

    def __init__(self, root):
        self.root = root
        made_by = [{"Name": "fMRIPrep", "Version": "23.2.1"}]
        self.write("dataset_description.json", {"Name": "x", "GeneratedBy": made_by})

    def write(self, name, content):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif isinstance(content, str | dict):
            path.write_text(content if isinstance(content, str) else json.dumps(content))
        else:
            nib.save(nib.Nifti1Image(content, AFFINE), path)
        return path

    def anat(self, stem="sub-01", session=None, leave_out=(), space=SPACE):
        """T1w, mask and both transforms; returns what was written by its last entity and suffix."""
        folder = "sub-01/" + (f"ses-{session}/" if session else "") + f"anat/{stem}_"
        mask = np.zeros(SHAPE, np.uint8)
        mask[3:9, 3:9, 3:8] = 1
        head = np.random.default_rng(0).integers(1, 900, SHAPE).astype(np.int16)
        files = {
            "desc-preproc_T1w.nii.gz": head,
            "desc-brain_mask.nii.gz": mask,
            f"from-T1w_to-{space}_mode-image_xfm.h5": hdf5(),
            f"from-{space}_to-T1w_mode-image_xfm.h5": hdf5(),
        }
        return {end: self.write(folder + end, data) for end, data in files.items() if end not in leave_out}


def hdf5(size=200, told=200):
    head = b"\x89HDF\r\n\x1a\n" + bytes(32) + told.to_bytes(8, "little")
    return head + bytes(size - len(head))


@pytest.fixture
def prepped(tmp_path):
    return Prepped(tmp_path / "fmriprep")


def plan_of(dataset, *derivatives, **options):
    out = dataset.root.parent / "out"
    return make_plan(Settings(bids_dir=dataset.root, out_dir=out, nprocs=1, derivatives=derivatives, **options))


def only_run(dataset, prepped, **options):
    plan = plan_of(dataset, prepped.root, **options)
    assert not plan.skipped, plan.skipped
    return plan.runs[0]


def notes(run):
    return " | ".join(run.notes)


def test_a_whole_set_takes_the_place_of_our_own_steps(dataset, prepped):
    dataset.gre()
    raw = dataset.t1w()
    files = prepped.anat()
    plan = plan_of(dataset, prepped.root)
    (run,) = plan.runs
    assert run.t1w == files["desc-preproc_T1w.nii.gz"]
    assert run.t1w_mask == run.external.mask == files["desc-brain_mask.nii.gz"]
    assert run.external.to_template == files[f"from-T1w_to-{SPACE}_mode-image_xfm.h5"]
    assert run.external.from_template == files[f"from-{SPACE}_to-T1w_mode-image_xfm.h5"]
    assert (run.external.program, run.skull_strip, run.mask) == ("fMRIPrep 23.2.1", "precomputed", None)
    assert "registered to the template by fMRIPrep 23.2.1, in place of sub-01_T1w.nii.gz" in run.t1w_reason
    assert "not used" not in notes(run), "the T1w's mask is no failed mask of the gradient echo"
    assert str(raw) in {entry.path_or_run for entry in plan.passed_over}
    entry = json.loads(plan.to_json())["runs"][0]["external"]
    assert entry["t1w"] == str(run.t1w)


def test_without_a_raw_t1w_that_of_the_derivatives_serves(dataset, prepped):
    dataset.gre()
    prepped.anat("sub-01_acq-mprage_run-1")
    run = only_run(dataset, prepped)
    assert run.t1w.name == "sub-01_acq-mprage_run-1_desc-preproc_T1w.nii.gz" and run.external.to_template is not None


@pytest.mark.parametrize(
    ("absent", "words"),
    [
        ("desc-brain_mask.nii.gz", "sub-01_desc-brain_mask.nii.gz is not in"),
        (f"from-T1w_to-{SPACE}_mode-image_xfm.h5", f"sub-01_from-T1w_to-{SPACE}_mode-image_xfm.h5 is not in"),
        (f"from-{SPACE}_to-T1w_mode-image_xfm.h5", f"sub-01_from-{SPACE}_to-T1w_mode-image_xfm.h5 is not in"),
    ],
)
def test_what_is_missing_is_named_and_made_by_ourselves(dataset, prepped, absent, words):
    dataset.gre()
    raw = dataset.t1w()
    prepped.anat(leave_out=(absent,))
    run = only_run(dataset, prepped)
    assert words in notes(run) and "by qsmprep itself" in notes(run)
    if "mask" in absent:
        assert run.external is None and run.t1w == raw and run.skull_strip == "ants"
    else:
        assert run.external.to_template is None and run.external.from_template is None
        assert run.t1w_mask == run.external.mask


def test_another_template_is_named(dataset, prepped):
    dataset.gre()
    prepped.anat(space="MNI152NLin6Asym")
    run = only_run(dataset, prepped)
    assert run.external.to_template is None
    assert "found sub-01_from-T1w_to-MNI152NLin6Asym_mode-image_xfm.h5" in notes(run)
    assert f"Expected both transforms between T1w and {SPACE}" in notes(run)


@pytest.mark.parametrize(
    ("content", "words"), [(hdf5(150), "is cut off: it has 150 of 200 bytes"), (b"annex pointer", "is no HDF5 file")]
)
def test_a_damaged_transform_is_not_used(dataset, prepped, content, words):
    dataset.gre()
    files = prepped.anat()
    files[f"from-T1w_to-{SPACE}_mode-image_xfm.h5"].write_bytes(content)
    run = only_run(dataset, prepped)
    assert run.external.to_template is None and words in notes(run)


def test_a_mask_on_another_grid_is_not_used(dataset, prepped):
    dataset.gre()
    raw = dataset.t1w()
    mask = prepped.anat()["desc-brain_mask.nii.gz"]
    shifted = AFFINE.copy()
    shifted[0, 3] += 1
    nib.save(nib.Nifti1Image(np.asanyarray(nib.load(mask).dataobj), shifted), mask)
    run = only_run(dataset, prepped)
    assert run.external is None and run.t1w == raw
    assert "put the same voxel up to 1 mm apart" in notes(run)


def test_sessions_are_matched_and_an_average_serves_all(dataset, prepped):
    for session in ("1", "2"):
        dataset.gre(session=session)
    own = prepped.anat("sub-01_ses-1", "1")["desc-preproc_T1w.nii.gz"]
    runs = {run.session: run for run in plan_of(dataset, prepped.root).runs}
    assert runs["1"].t1w == own
    assert runs["2"].external is None
    assert "expected a desc-preproc_T1w of ses-2 or of all sessions together" in notes(runs["2"])
    average = prepped.anat()["desc-preproc_T1w.nii.gz"]
    assert {run.session: run.t1w for run in plan_of(dataset, prepped.root).runs} == {"1": own, "2": average}


def test_the_only_t1w_of_another_session_is_taken_where_the_raw_one_is(dataset, prepped):
    dataset.gre(session="2")
    dataset.t1w(session="1")
    own = prepped.anat("sub-01_ses-1", "1")["desc-preproc_T1w.nii.gz"]
    assert only_run(dataset, prepped).t1w == own


def test_the_one_that_is_most_like_the_raw_image_is_taken(dataset, prepped):
    dataset.gre()
    dataset.t1w(acq="a", run="1")
    for stem in ("sub-01_acq-a_run-1", "sub-01_acq-b_run-2"):
        prepped.anat(stem)
    assert only_run(dataset, prepped).t1w.name.startswith("sub-01_acq-a_run-1")


def test_a_mask_of_the_gradient_echo_still_goes_first(dataset, prepped, tmp_path):
    dataset.gre()
    prepped.anat()
    mask = np.zeros((14, 12, 10), np.uint8)
    mask[3:9, 3:9, 3:8] = 1
    path = tmp_path / "masks" / "sub-01" / "anat" / "sub-01_desc-brain_mask.nii.gz"
    path.parent.mkdir(parents=True)
    nib.save(nib.Nifti1Image(mask, np.diag([2.0, 2, 2, 1])), path)
    (run,) = plan_of(dataset, prepped.root, tmp_path / "masks").runs
    assert run.mask == path and run.external.to_template is not None
    assert "not used" not in notes(run)


@pytest.mark.parametrize("method", ["synthstrip", "quality"])
def test_another_way_to_find_the_brain_keeps_the_registration(dataset, prepped, method):
    dataset.gre()
    prepped.anat()
    run = only_run(dataset, prepped, skull_strip=method)
    assert (run.skull_strip, run.t1w_mask) == (method, None) and run.external.to_template is not None


def test_nothing_is_used_where_nothing_is_registered(dataset, prepped):
    dataset.gre()
    prepped.anat()
    run = only_run(dataset, prepped, normalization=False)
    assert run.external is None and run.t1w is None


def test_a_folder_that_is_not_there_is_wrong_usage(dataset, prepped):
    dataset.gre()
    shutil.rmtree(prepped.root)
    with pytest.raises(UsageError, match=r"--derivatives .*fmriprep: there is no such folder"):
        plan_of(dataset, prepped.root)


@pytest.mark.parametrize(
    ("description", "name"),
    [
        ({"PipelineDescription": {"Name": "fMRIPrep", "Version": "1.5.0"}}, "fMRIPrep 1.5.0"),
        ({"Name": "something"}, "fmriprep"),
    ],
)
def test_the_program_is_read_from_the_dataset(dataset, prepped, description, name):
    dataset.gre()
    prepped.anat()
    prepped.write("dataset_description.json", description)
    assert only_run(dataset, prepped).external.program == name


STATS = {
    "aseg.stats": "# ColHeaders Index SegId NVoxels Volume_mm3 StructName\n1 12 10 10.0 Left-Putamen\n",
    "lh.aparc.stats": "# ColHeaders StructName GrayVol ThickAvg\ninsula 6500 2.9\n",
    "rh.aparc.stats": "# ColHeaders StructName GrayVol ThickAvg\ninsula 6400 2.8\n",
}


def label_image(*values):
    labels = np.zeros(SHAPE, np.int16)
    for place, value in enumerate(values, 2):
        labels[place, 3:6, 3:6] = value
    return labels


def test_freesurfers_labels_and_tables_are_found(dataset, prepped):
    dataset.gre()
    prepped.anat()
    prepped.write("sub-01/anat/sub-01_desc-aseg_dseg.nii.gz", label_image(12, 51))
    run = only_run(dataset, prepped)
    assert (run.external.segmentation.name, run.external.segmentation.stats) == ("aseg", ())
    path = prepped.write("sub-01/anat/sub-01_desc-aparcaseg_dseg.nii.gz", label_image(12, 51, 1035, 14175))
    stats = [prepped.write(f"sourcedata/freesurfer/sub-01/stats/{name}", text) for name, text in STATS.items()]
    run = only_run(dataset, prepped)
    found = run.external.segmentation
    assert (found.name, found.image, found.stats, found.unnamed) == ("aparcaseg", path, tuple(stats), (14175,))
    assert "sub-01/anat/sub-01_seg-aparcaseg_desc-stats_dseg.tsv" in run.outputs
    assert "not used" not in notes(run) and "left out" not in notes(run)


def test_a_session_has_freesurfer_tables_of_its_own(dataset, prepped):
    dataset.gre(session="1")
    prepped.anat("sub-01_ses-1", "1")
    prepped.write("sub-01/ses-1/anat/sub-01_ses-1_desc-aseg_dseg.nii.gz", label_image(12))
    for folder in ("sub-01", "sub-01_ses-1"):
        for name, text in STATS.items():
            prepped.write(f"sourcedata/freesurfer/{folder}/stats/{name}", text)
    assert {p.parts[-3] for p in only_run(dataset, prepped).external.segmentation.stats} == {"sub-01_ses-1"}


@pytest.mark.parametrize("text", [None, "# nothing\n"])
def test_tables_that_are_missing_or_damaged_are_named(dataset, prepped, text):
    dataset.gre()
    prepped.anat()
    prepped.write("sub-01/anat/sub-01_desc-aparcaseg_dseg.nii.gz", label_image(12))
    for name, content in STATS.items():
        content = text if name == "rh.aparc.stats" else content
        if content is not None:
            prepped.write(f"sourcedata/freesurfer/sub-01/stats/{name}", content)
    run = only_run(dataset, prepped)
    assert [path.name for path in run.external.segmentation.stats] == ["aseg.stats", "lh.aparc.stats"]
    assert "fs_thickness" in notes(run) and "rh.aparc.stats" in notes(run)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (label_image(12).astype(np.float32) + 0.5, "holds fractions"),
        (label_image(9999), "has no label of FreeSurfer's lookup table; found 9999"),
        (label_image(12)[:-1], "expected labels on the grid of the preprocessed T1w"),
    ],
)
def test_labels_that_cannot_be_used_are_named(dataset, prepped, labels, words):
    dataset.gre()
    prepped.anat()
    prepped.write("sub-01/anat/sub-01_desc-aparcaseg_dseg.nii.gz", labels)
    run = only_run(dataset, prepped)
    assert run.external.segmentation is None and run.external.to_template is not None
    assert words in notes(run)
