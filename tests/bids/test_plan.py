"""Plans: which runs there are, with what they need."""

import json

import nibabel as nib
import numpy as np
import pytest
from conftest import SHAPE, TE, wrapped
from plans import only_reason, only_run, plan_of

from qsmprep.bids.plan import make_plan, nothing_to_do
from qsmprep.errors import EnvironmentFault, NothingToDoError, UsageError
from qsmprep.settings import Settings


def test_run_has_echoes_in_order_with_magnitude_and_phase(dataset):
    dataset.gre()
    run = only_run(dataset)
    assert run.te == TE
    assert [echo.phase.name for echo in run.echoes] == [f"sub-01_echo-{i}_part-phase_MEGRE.nii.gz" for i in (1, 2, 3)]
    assert all(echo.magnitude and echo.volume is None for echo in run.echoes)
    assert run.shape == SHAPE
    assert run.voxel_size == pytest.approx((2, 2, 2))
    assert (run.name, run.subject, run.session) == ("sub-01", "01", None)
    assert run.phase_scaling.slope == pytest.approx(np.pi / 4096, rel=0.01)
    assert "sub-01/anat/sub-01_Chimap.nii.gz" in run.outputs


def test_groups_by_every_entity_but_echo_and_part(dataset):
    dataset.gre(session="1", acq="hi", run="01")
    dataset.gre(session="1", acq="hi", run="02")
    dataset.gre(session="2", acq="lo")
    dataset.gre(session="1", acq="hi", run="01", rec="dis2d", mt="on")
    plan = plan_of(dataset)
    assert sorted(run.name for run in plan.runs) == [
        "sub-01_ses-1_acq-hi_rec-dis2d_run-01_mt-on",
        "sub-01_ses-1_acq-hi_run-01",
        "sub-01_ses-1_acq-hi_run-02",
        "sub-01_ses-2_acq-lo",
    ]
    assert all(len(run.echoes) == 3 for run in plan.runs)


@pytest.mark.parametrize("suffix", ["MEGRE", "T2starw", "T1w", "GRE"])
@pytest.mark.parametrize("extension", [".nii", ".nii.gz"])
def test_takes_any_suffix_with_phase_compressed_or_not(dataset, suffix, extension):
    dataset.gre(te=(0.02,), suffix=suffix, extension=extension, number_echoes=False)
    run = only_run(dataset)
    assert len(run.echoes) == 1
    assert run.suffix == suffix
    assert not any("R2starmap" in name for name in run.outputs)
    assert any("single echo" in note for note in run.notes)


def test_takes_legacy_swi_folder(dataset):
    dataset.gre(te=(0.02,), suffix="GRE", datatype="swi", number_echoes=False)
    dataset.image("sub-01/swi/sub-01_swi.nii.gz", np.ones(SHAPE, np.float32))
    plan = plan_of(dataset)
    assert len(plan.runs) == 1
    assert "already processed" in plan.passed_over[0].reason


def test_magnitude_without_part_entity_goes_with_its_phase(dataset):
    for path in dataset.gre():
        if "part-mag" in path.name:
            path.rename(path.with_name(path.name.replace("_part-mag", "")))
    assert all(echo.magnitude for echo in only_run(dataset).echoes)


def test_takes_real_and_imaginary_parts(dataset):
    dataset.gre(parts=("real", "imag"))
    run = only_run(dataset)
    assert all(echo.real and echo.imag and not echo.phase for echo in run.echoes)
    assert run.phase_scaling is None
    assert any("R2starmap" in name for name in run.outputs)


def test_takes_echoes_along_the_fourth_axis(dataset):
    phase = np.stack([np.rint(wrapped(te) / np.pi * 4096).astype(np.int16) for te in TE], axis=-1)
    sidecar = {"EchoTime": list(TE), "MagneticFieldStrength": 3}
    dataset.image("sub-01/anat/sub-01_part-phase_MEGRE.nii.gz", phase, sidecar)
    dataset.image("sub-01/anat/sub-01_part-mag_MEGRE.nii.gz", abs(phase) + np.int16(1), sidecar)
    run = only_run(dataset)
    assert [(echo.te, echo.volume) for echo in run.echoes] == [(te, i) for i, te in enumerate(TE)]
    assert len(run.files) == 2


def test_fourth_axis_and_echo_times_must_agree(dataset):
    phase = np.stack([wrapped(te).astype(np.float32) for te in TE], axis=-1)
    dataset.image(
        "sub-01/anat/sub-01_part-phase_MEGRE.nii.gz", phase, {"EchoTime": [0.004], "MagneticFieldStrength": 3}
    )
    assert "has 3 volumes, but EchoTime in its sidecar lists 1" in only_reason(dataset)


def test_sidecars_in_the_root_are_inherited(dataset):
    for number, path in enumerate(dataset.gre(parts=("phase", "mag"), sidecar={})):
        dataset.json(str(path.relative_to(dataset.root)).replace(".nii.gz", ".json"), {"EchoTime": TE[number // 2]})
    dataset.json("MEGRE.json", {"MagneticFieldStrength": 7})
    run = only_run(dataset)
    assert run.b0 == 7
    assert run.te == TE


def test_indexes_only_the_participants_that_were_asked_for(dataset):
    dataset.gre("01")
    dataset.gre("02")
    plan = plan_of(dataset, participant_label=("sub-02",))
    assert plan.participants == ("02",)
    assert [run.subject for run in plan.runs] == ["02"]


def test_database_is_kept_and_serves_other_participants(dataset, tmp_path):
    dataset.gre("01")
    dataset.gre("02")
    kept = tmp_path / "database"
    assert plan_of(dataset, participant_label=("01",), bids_database_dir=kept, dry_run=True).runs
    assert not kept.exists()
    plan_of(dataset, participant_label=("01",), bids_database_dir=kept)
    assert kept.exists()
    plan = plan_of(dataset, participant_label=("02",), bids_database_dir=kept)
    assert [run.subject for run in plan.runs] == ["02"]
    assert any("delete it" in note for note in plan.notes)


def test_database_that_cannot_be_used_is_told_and_a_dry_run_makes_none(dataset, tmp_path):
    dataset.gre()
    kept = tmp_path / "database"
    kept.mkdir()
    assert plan_of(dataset, bids_database_dir=kept, dry_run=True).runs
    assert not list(kept.iterdir())
    (kept / "layout_index.sqlite").write_text("no database")
    with pytest.raises(UsageError, match=r"--bids-database-dir .* Delete it"):
        plan_of(dataset, bids_database_dir=kept)
    with pytest.raises(EnvironmentFault, match=r"--bids-database-dir .* Name another"):
        plan_of(dataset, bids_database_dir=dataset.root / "README")


def test_only_wanted_sessions_are_planned_but_t1w_may_come_from_another(dataset):
    dataset.gre(session="1")
    dataset.gre(session="2")
    dataset.t1w(session="1")
    run = only_run(dataset, session_label=("ses-2",))
    assert run.session == "2"
    assert run.t1w.name == "sub-01_ses-1_T1w.nii.gz"
    assert "ses-1" in run.t1w_reason


# orientation


def rotation(axis, degrees):
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    i, j = [k for k in range(3) if k != axis]
    matrix = np.eye(3)
    matrix[i, i] = matrix[j, j] = c
    matrix[i, j], matrix[j, i] = -s, s
    return matrix


@pytest.mark.parametrize(
    ("axes", "expected"),
    [
        (np.diag([1.0, 1, 1]), (0, 0, 1)),
        (np.diag([-1.0, 1, 1]), (0, 0, 1)),  # LAS
        (np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]]), (0, 1, 0)),  # sagittal: voxel axes A, S, R
        (np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]), (0, -1, 0)),  # coronal: R, I, A
    ],
)
def test_b0_direction_is_scanner_z_in_voxel_axes(dataset, axes, expected):
    affine = np.eye(4)
    affine[:3, :3] = axes @ np.diag([0.8, 1.0, 2.0])
    dataset.gre(affine=affine)
    run = only_run(dataset)
    assert run.b0_dir == pytest.approx(expected)
    assert run.obliquity == pytest.approx(0, abs=1e-4)
    assert run.voxel_size == pytest.approx((0.8, 1.0, 2.0))


def test_oblique_slices_give_tilted_b0_and_its_angle(dataset):
    affine = np.eye(4)
    affine[:3, :3] = rotation(0, 20) @ np.diag([0.8, 0.8, 2.0])
    dataset.gre(affine=affine)
    run = only_run(dataset)
    assert run.obliquity == pytest.approx(20, abs=1e-3)
    assert run.b0_dir == pytest.approx((0, np.sin(np.radians(20)), np.cos(np.radians(20))), abs=1e-5)
    assert np.linalg.norm(run.b0_dir) == pytest.approx(1)


# device and field strength


def test_the_device_is_told_as_far_as_the_sidecar_knows_it(dataset):
    dataset.gre(te=(0.02,), sidecar={"EchoTime": 0.02, "MagneticFieldStrength": 3, "ManufacturersModelName": "Prisma"})
    assert only_run(dataset).scanner == {"ManufacturersModelName": "Prisma"}


def test_imaging_frequency_wins_within_five_percent(dataset):
    dataset.gre(te=(0.02,), sidecar={"EchoTime": 0.02, "MagneticFieldStrength": 3, "ImagingFrequency": 123.25})
    run = only_run(dataset)
    assert run.b0 == pytest.approx(123.25 / 42.577478518)
    assert run.nominal_field == 3
    assert "ImagingFrequency" in run.b0_source


def test_imaging_frequency_that_contradicts_the_field_is_not_used(dataset):
    dataset.gre(te=(0.02,), sidecar={"EchoTime": 0.02, "MagneticFieldStrength": 3, "ImagingFrequency": 63.9})
    run = only_run(dataset)
    assert run.b0 == 3
    assert any("not used" in note for note in run.notes)


def test_missing_field_strength_is_asked_for_and_can_be_given(dataset):
    dataset.gre(te=(0.02,), sidecar={"EchoTime": 0.02})
    assert "give --field-strength" in only_reason(dataset)
    assert only_run(dataset, field_strength=1.5).b0 == 1.5


# which T1w


def test_prefers_t1w_of_the_session_then_normalised_then_latest(dataset):
    dataset.gre(session="2")
    dataset.t1w(session="1", run="3", rec="norm")
    dataset.t1w(session="2", run="1", sidecar={"ImageType": ["ORIGINAL", "PRIMARY", "M", "NORM"]})
    dataset.t1w(session="2", run="2", sidecar={"ImageType": ["ORIGINAL", "PRIMARY", "M", "NORM"]})
    dataset.t1w(session="2", run="9")
    run = only_run(dataset)
    assert run.t1w.name == "sub-01_ses-2_run-2_T1w.nii.gz"
    assert run.t1w_reason == "1 of 4 T1w images: pre-scan normalised, the latest run"


def test_t1w_with_phase_is_a_gradient_echo_not_an_anatomical_image(dataset):
    dataset.gre(te=(0.008,), suffix="T1w", number_echoes=False)
    run = only_run(dataset)
    assert run.t1w is None
    assert "no T1w image" in run.t1w_reason


def test_damaged_t1w_is_left_aside_and_said_so(dataset):
    dataset.gre()
    dataset.t1w(run="1")
    dataset.t1w(run="2").write_bytes(b"")
    run = only_run(dataset)
    assert run.t1w.name == "sub-01_run-1_T1w.nii.gz"
    assert "left aside" in run.t1w_reason
    assert "zero bytes" in run.t1w_reason


@pytest.mark.parametrize(
    ("parts", "options"), [(("mag", "phase"), {"normalization": False}), (("phase",), {"normalization": True})]
)
def test_t1w_is_not_taken_where_nothing_is_registered(dataset, parts, options):
    dataset.gre(parts=parts)
    dataset.t1w()
    run = only_run(dataset, **options)
    assert run.t1w is None
    assert "nothing" in run.t1w_reason and "registered" in run.t1w_reason
    assert [e.reason for e in plan_of(dataset, **options).passed_over if "T1w image that no run needs" in e.reason]


# masks from elsewhere


def test_takes_brain_mask_on_the_same_grid_from_derivatives(dataset, tmp_path):
    dataset.gre(acq="hi")
    folder = tmp_path / "masks" / "sub-01" / "anat"
    folder.mkdir(parents=True)
    mask = np.zeros(SHAPE, np.uint8)
    mask[3:9, 3:9, 3:9] = 1
    nib.save(nib.Nifti1Image(mask, np.diag([2.0, 2, 2, 1])), folder / "sub-01_acq-hi_desc-brain_mask.nii.gz")
    nib.save(nib.Nifti1Image(mask, np.diag([1.0, 1, 1, 1])), folder / "sub-01_space-T1w_desc-brain_mask.nii.gz")
    run = only_run(dataset, derivatives=(tmp_path / "masks",))
    assert run.mask.name == "sub-01_acq-hi_desc-brain_mask.nii.gz"
    (folder / "sub-01_acq-hi_desc-brain_mask.nii.gz").unlink()
    run = only_run(dataset, derivatives=(tmp_path / "masks",))
    assert run.mask is None
    assert any("precomputed mask not used" in note for note in run.notes)


# faults: a plain reason, the others go on


def test_runs_that_differ_in_suffix_only_do_not_overwrite_each_other(dataset):
    dataset.gre()
    dataset.gre(te=(0.02,), suffix="GRE", datatype="swi", number_echoes=False)
    plan = plan_of(dataset)
    assert [run.suffix for run in plan.runs] == ["MEGRE"]
    assert "the same names" in plan.skipped[0].reason


# the request


def test_unknown_participant_lists_those_that_are_there(dataset):
    dataset.gre("01")
    dataset.gre("02")
    with pytest.raises(UsageError, match=r"03 not found.*01, 02"):
        plan_of(dataset, participant_label=("03",))


def test_unknown_session_lists_those_that_are_there(dataset):
    dataset.gre(session="pre")
    with pytest.raises(UsageError, match=r"post not found.*pre"):
        plan_of(dataset, session_label=("post",))


def test_dataset_without_description_says_what_to_write(dataset):
    (dataset.root / "dataset_description.json").unlink()
    with pytest.raises(UsageError, match=r"dataset_description\.json.*write one"):
        plan_of(dataset)


def test_empty_dataset_has_nothing_to_process(dataset):
    with pytest.raises(NothingToDoError, match="no sub-"):
        plan_of(dataset)


def test_filter_chooses_runs_and_t1w(dataset, tmp_path):
    for acq in ("a", "b"):
        dataset.gre(acq=acq)
        dataset.t1w(acq=acq)
    choice = tmp_path / "filter.json"
    choice.write_text(json.dumps({"gre": {"acq": "b"}, "t1w": {"acquisition": ["a", None]}, "bold": {"task": "rest"}}))
    plan = plan_of(dataset, bids_filter_file=choice)
    assert [run.name for run in plan.runs] == ["sub-01_acq-b"]
    assert plan.runs[0].t1w.name == "sub-01_acq-a_T1w.nii.gz"
    assert any("acquisition is a, wanted b" in entry.reason for entry in plan.passed_over)
    assert "'bold'" in plan.notes[0]


def test_filter_that_matches_nothing_says_what_it_removed(dataset, tmp_path):
    dataset.gre(acq="a")
    choice = tmp_path / "filter.json"
    choice.write_text(json.dumps({"gre": {"acquisition": "z"}}))
    settings = Settings(bids_dir=dataset.root, out_dir=tmp_path / "out", bids_filter_file=choice)
    text = str(nothing_to_do(make_plan(settings), settings))
    assert "6 images were removed by --bids-filter-file" in text
    assert "acquisition is a, wanted z" in text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"gree": {}}', "Did you mean 'gre'"),
        ('{"gre": {"aquisition": "a"}}', "Did you mean 'acquisition'"),
        ('{"gre": {"part": "phase"}}', "both needed"),
        ("[1]", "expected an object"),
        ("{", "cannot be read as JSON"),
    ],
)
def test_wrong_filter_files_are_explained(dataset, tmp_path, content, words):
    dataset.gre()
    choice = tmp_path / "filter.json"
    choice.write_text(content)
    with pytest.raises(UsageError, match=words):
        plan_of(dataset, bids_filter_file=choice)


def test_plan_is_json_and_the_same_twice(dataset):
    dataset.gre()
    dataset.t1w()
    first, second = plan_of(dataset).to_json(), plan_of(dataset).to_json()
    assert first == second
    run = json.loads(first)["runs"][0]
    assert run["name"] == "sub-01"
    assert run["echoes"][0]["te"] == TE[0]
    assert run["phase_scaling"]["kind"]


def test_memory_estimate_grows_with_echoes_and_voxels(dataset):
    dataset.gre("01")
    dataset.gre("02", te=(*TE, 0.016, 0.02))
    dataset.gre("03", shape=(60, 60, 60))
    few, many, large = plan_of(dataset).runs
    assert few.memory_gb <= many.memory_gb < large.memory_gb
    assert few.disk_gb <= many.disk_gb < large.disk_gb


def test_outputs_depend_on_normalisation_echoes_and_t1w(dataset):
    dataset.gre()
    dataset.t1w()
    full = only_run(dataset).outputs
    assert "sub-01/anat/sub-01_from-GRE_to-T1w_mode-image_xfm.h5" in full
    assert "sub-01/anat/sub-01_seg-DK_desc-stats_dseg.tsv" in full
    assert len(set(full)) == len(full)
    partial = only_run(dataset, normalization=False).outputs
    assert not any(word in name for name in partial for word in ("space-", "seg-", "from-"))
    assert set(partial) < set(full)
