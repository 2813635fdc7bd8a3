"""Which brain mask a run gets: from elsewhere, from the user's hand, or by what `--skull-strip` says."""

import json

import nibabel as nib
import numpy as np
import pytest
from conftest import SHAPE

from qsmprep.bids.images import read_grid
from qsmprep.bids.masks import CHECKSUM_KEY, REPLACED_KEY, voxel_checksum
from qsmprep.bids.plan import make_plan
from qsmprep.settings import Settings

GRE, T1W = np.diag([2.0, 2, 2, 1]), np.diag([2.0, 2, 2, 1])  # the T1w of the maker has 10 x 10 x 10 voxels


def plan_of(dataset, **options):
    return make_plan(Settings(bids_dir=dataset.root, out_dir=dataset.root.parent / "out", nprocs=1, **options))


def only_run(dataset, **options):
    plan = plan_of(dataset, **options)
    assert not plan.skipped, plan.skipped
    return plan.runs[0]


def only_reason(dataset, **options):
    (entry,) = plan_of(dataset, **options).skipped
    return entry.reason


def save_mask(folder, name, shape=SHAPE, affine=GRE, box=np.s_[3:9, 3:9, 3:9], dtype=np.uint8):
    folder.mkdir(parents=True, exist_ok=True)
    mask = np.zeros(shape, dtype)
    mask[box] = 1
    nib.save(nib.Nifti1Image(mask, affine), folder / name)
    return folder / name


@pytest.fixture
def masks(tmp_path):
    return tmp_path / "masks" / "sub-01" / "anat"


def precomputed(masks=None):
    return {"skull_strip": "precomputed", **({"derivatives": (masks.parents[1],)} if masks else {})}


def test_a_mask_of_the_gradient_echo_is_matched_by_its_entities(dataset, masks):
    for run in ("1", "2"):
        dataset.gre(acq="hi", run=run)
        save_mask(masks, f"sub-01_acq-hi_run-{run}_desc-brain_mask.nii.gz")
    save_mask(masks, "sub-01_desc-brain_mask.nii.gz")
    save_mask(masks, "sub-01_acq-lo_desc-brain_mask.nii.gz")
    found = {run.entities["run"]: run for run in plan_of(dataset, **precomputed(masks)).runs}
    for number, run in found.items():
        assert run.mask.name == f"sub-01_acq-hi_run-{number}_desc-brain_mask.nii.gz", "shares most entities"
        assert run.skull_strip == "precomputed" and any("brain mask taken from" in note for note in run.notes)


def test_a_mask_of_the_t1w_is_taken_where_there_is_none_of_the_gradient_echo(dataset, masks):
    dataset.gre()
    dataset.t1w(run="1")
    path = save_mask(masks, "sub-01_run-1_desc-brain_mask.nii.gz", (10, 10, 10), T1W, np.s_[2:8, 2:8, 2:8])
    run = only_run(dataset, **precomputed(masks))
    assert (run.mask, run.t1w_mask, run.skull_strip) == (None, path, "precomputed")
    assert not any("not used" in note for note in run.notes), "a mask that is used is no fault"


def test_a_mask_in_the_raw_dataset_is_found_and_no_longer_passed_over(dataset):
    dataset.gre()
    path = save_mask(dataset.root / "sub-01" / "anat", "sub-01_desc-brain_mask.nii.gz")
    plan = plan_of(dataset, **precomputed())
    assert plan.runs[0].mask == path
    assert str(path) not in {entry.path_or_run for entry in plan.passed_over}
    assert only_run(dataset).mask is None, "only if it is asked for"


def test_a_mask_with_turned_axes_lies_on_the_same_grid(dataset, masks):
    dataset.gre()
    path = save_mask(masks, "sub-01_desc-brain_mask.nii.gz")
    turned = nib.load(path).as_reoriented(np.array([[1, -1], [0, 1], [2, -1]]))
    nib.save(turned, path)
    assert turned.shape != SHAPE
    assert only_run(dataset, **precomputed(masks)).mask == path
    raw = read_grid(next((dataset.root / "sub-01" / "anat").glob("*.nii.gz")))
    assert read_grid(path).difference(raw) and not read_grid(path).turned_like(raw).difference(raw)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"affine": np.diag([1.0, 1, 1, 1])}, "lies elsewhere than"),
        ({"shape": (14, 12, 9)}, "has 14 x 12 x 9 voxels, but sub-01_echo-1"),
        ({"box": np.s_[:0]}, "is constant"),
        ({"name": "sub-01_acq-other_desc-brain_mask.nii.gz"}, "no desc-brain_mask has a name that fits"),
        ({"name": "sub-01_space-MNI152NLin2009cAsym_desc-brain_mask.nii.gz"}, "has a name that fits"),
    ],
)
def test_without_a_fitting_mask_the_run_is_refused_with_what_was_found_and_expected(dataset, masks, change, words):
    dataset.gre()
    dataset.gre("02")
    save_mask(masks.parents[1] / "sub-02" / "anat", "sub-02_desc-brain_mask.nii.gz")
    save_mask(masks, **({"name": "sub-01_desc-brain_mask.nii.gz"} | change))
    plan = plan_of(dataset, **precomputed(masks))
    (entry,) = plan.skipped
    assert words in entry.reason and str(masks.parents[1]) in entry.reason
    assert "Expected: sub-01_desc-brain_mask on the grid of sub-01_echo-1" in entry.reason
    assert [run.subject for run in plan.runs] == ["02"], "the others go on"


def test_deepbet_refuses_a_run_without_t1w_and_takes_the_others(dataset):
    dataset.gre("01")
    dataset.gre("02")
    dataset.t1w("02")
    plan = plan_of(dataset, skull_strip="deepbet")
    assert [run.subject for run in plan.runs] == ["02"] and plan.runs[0].skull_strip == "deepbet"
    assert "works on a T1w image only" in plan.skipped[0].reason and "no T1w image" in plan.skipped[0].reason


def test_synthstrip_takes_the_magnitude_but_not_phase_alone(dataset):
    dataset.gre()
    assert only_run(dataset, skull_strip="synthstrip").skull_strip == "synthstrip"
    assert only_run(dataset, skull_strip="synthstrip", normalization=False).skull_strip == "synthstrip"
    for path in (dataset.root / "sub-01" / "anat").glob("*part-mag*"):
        path.unlink()
    assert "has phase alone" in only_reason(dataset, skull_strip="synthstrip")


def test_what_cannot_be_registered_has_its_mask_from_phase_quality(dataset):
    dataset.gre()
    assert only_run(dataset).skull_strip == "ants"
    assert only_run(dataset, normalization=False).skull_strip == "quality"
    assert only_run(dataset, skull_strip="quality").skull_strip == "quality"


def test_the_checksum_sees_voxels_and_nothing_else():
    mask = np.zeros((5, 6, 7), bool)
    mask[2, 3, 4] = True
    same = voxel_checksum(mask)
    assert voxel_checksum(mask.astype(np.float32)) == voxel_checksum(np.asfortranarray(mask)) == same
    assert voxel_checksum(~mask) != same != voxel_checksum(mask.reshape(7, 6, 5))


def written(dataset, **told):
    """A mask as an earlier run wrote it, with its sidecar."""
    folder = dataset.root.parent / "out" / "sub-01" / "anat"
    path = save_mask(folder, "sub-01_desc-brain_mask.nii.gz")
    checksum = voxel_checksum(np.asanyarray(nib.load(path).dataobj))
    (folder / "sub-01_desc-brain_mask.json").write_text(json.dumps({CHECKSUM_KEY: checksum, **told}))
    return path


def test_a_mask_that_qsmprep_wrote_is_not_taken_for_the_users(dataset):
    dataset.gre()
    path = written(dataset)
    assert only_run(dataset).mask is None
    nib.save(nib.Nifti1Image(nib.load(path).get_fdata(dtype=np.float32), GRE), path)
    assert only_run(dataset).mask is None, "the same voxels in another file"
    path.unlink()
    assert only_run(dataset).mask is None


@pytest.mark.parametrize("method", ["ants", "quality", "synthstrip"])
def test_a_mask_that_the_user_put_in_its_place_is_taken_whatever_the_method(dataset, method):
    dataset.gre()
    path = written(dataset)
    save_mask(path.parent, path.name, box=np.s_[4:9, 3:9, 3:9])
    run = only_run(dataset, skull_strip=method)
    assert (run.mask, run.mask_replaced, run.skull_strip) == (path, True, "precomputed")
    assert any("replaced by the user" in note for note in run.notes)


def test_a_replaced_mask_stays_the_users_in_later_runs(dataset):
    dataset.gre()
    path = written(dataset, **{REPLACED_KEY: True})
    assert only_run(dataset).mask == path


def test_a_replaced_mask_on_another_grid_is_refused_and_not_overwritten_in_silence(dataset):
    dataset.gre()
    path = written(dataset)
    save_mask(path.parent, path.name, shape=(14, 12, 8))
    reason = only_reason(dataset)
    assert "was replaced and cannot be used" in reason and "14 x 12 x 8" in reason and "delete it" in reason
