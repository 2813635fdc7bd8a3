"""Plans of echoes, parts and coils, and of images that are damaged or incomplete."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from conftest import SHAPE, TE, wrapped
from plans import only_reason, only_run, plan_of, rewrite


def test_missing_magnitude_is_processed_with_a_note(dataset):
    dataset.gre(parts=("phase",))
    run = only_run(dataset)
    assert all(echo.magnitude is None for echo in run.echoes)
    assert any("no magnitude" in note for note in run.notes)
    assert not any("R2starmap" in name for name in run.outputs)


@pytest.mark.parametrize("gre", [{"parts": ("phase",)}, {"te": (0.02,)}])
def test_csf_reference_without_r2star_is_told_before_the_work(dataset, gre):
    dataset.gre(**gre)
    assert "--reference csf" in only_reason(dataset, reference="csf")


def test_missing_phase_is_passed_over(dataset):
    dataset.gre(parts=("mag",))
    plan = plan_of(dataset)
    assert not plan.runs
    assert all("magnitude without phase" in entry.reason for entry in plan.passed_over)


def test_echo_that_lacks_a_part_is_left_out_with_a_note(dataset):
    paths = dataset.gre()
    next(p for p in paths if "echo-3_part-mag" in p.name).unlink()
    run = only_run(dataset)
    assert run.te == TE[:2]
    assert any("echo 3 is left out" in note for note in run.notes)


def test_real_without_imaginary_part_cannot_be_processed(dataset):
    dataset.gre(parts=("real", "mag"))
    assert "no part-imag" in only_reason(dataset)


def test_missing_echo_time_names_the_file(dataset):
    dataset.gre(te=(0.02,), sidecar={"MagneticFieldStrength": 3})
    reason = only_reason(dataset)
    assert "EchoTime" in reason
    assert "sub-01_echo-1_part-phase_MEGRE.nii.gz" in reason


def test_echo_time_in_milliseconds_is_refused(dataset):
    dataset.gre(te=(0.02,), sidecar={"MagneticFieldStrength": 3, "EchoTime": 20})
    assert "milliseconds" in only_reason(dataset)


def test_duplicate_echo_times_are_refused(dataset):
    dataset.gre(sidecar={"MagneticFieldStrength": 3, "EchoTime": 0.004})
    assert "the same EchoTime (4 ms)" in only_reason(dataset)


def test_unsorted_echo_times_are_sorted_with_a_note(dataset):
    dataset.gre(te=TE[::-1])
    run = only_run(dataset)
    assert run.te == TE
    assert any("do not follow the echo times" in note for note in run.notes)


def _nan(data, affine):
    data = data.astype(np.float32)
    data[1, 1, 1:3] = np.nan
    return data


def _moved(data, affine):
    affine[0, 3] += 1
    return data


@pytest.mark.parametrize(
    ("part", "change", "words"),
    [
        ("phase", _nan, "has 2 of 1680 voxels that are NaN or infinite"),
        ("mag", _nan, "NaN or infinite"),
        ("phase", lambda data, affine: data[:, :, :-1], "14 x 12 x 9 voxels"),
        ("phase", lambda data, affine: np.zeros_like(data), "is constant: every voxel is 0"),
        ("mag", _moved, "1 mm apart"),
    ],
)
def test_bad_image_is_refused_by_name_and_other_runs_go_on(dataset, part, change, words):
    paths = dataset.gre("01")
    dataset.gre("02")
    bad = next(p for p in paths if f"echo-2_part-{part}" in p.name)
    rewrite(bad, change)
    plan = plan_of(dataset)
    assert [run.subject for run in plan.runs] == ["02"]
    (entry,) = plan.skipped
    assert words in entry.reason
    assert bad.name in entry.reason


@pytest.mark.parametrize("part", ["mag", "phase"])
def test_truncated_gz_is_refused(dataset, part):
    bad = next(p for p in dataset.gre() if f"echo-2_part-{part}" in p.name)
    bad.write_bytes(bad.read_bytes()[: bad.stat().st_size // 2])
    reason = only_reason(dataset)
    assert bad.name in reason
    assert "cut off or damaged" in reason


def test_gz_with_wrong_checksum_is_refused(dataset):
    bad = dataset.gre()[0]
    content = bytearray(bad.read_bytes())
    content[-8] ^= 0xFF
    bad.write_bytes(bytes(content))
    assert bad.name in only_reason(dataset)


def test_truncated_nii_is_refused(dataset):
    bad = dataset.gre(extension=".nii")[1]
    bad.write_bytes(bad.read_bytes()[:-500])
    assert bad.name in only_reason(dataset)


def test_zero_byte_files_and_text_are_refused(dataset):
    first, second = dataset.gre("01")[0], dataset.gre("02")[1]
    first.write_bytes(b"")
    second.write_bytes(gzip.compress(b"no image"))
    reasons = [entry.reason for entry in plan_of(dataset).skipped]
    assert "is empty (zero bytes)" in reasons[0]
    assert "no readable NIfTI image" in reasons[1]


def test_broken_link_is_refused(dataset):
    path = dataset.gre()[0]
    path.unlink()
    path.symlink_to(dataset.root / "annex" / "gone")
    assert "a file that is not there" in only_reason(dataset)


def test_damaged_sidecar_is_refused(dataset):
    path = dataset.gre()[1]
    path.with_name(path.name.replace(".nii.gz", ".json")).write_text("{")
    assert "not readable as JSON" in only_reason(dataset)


def test_implausible_phase_is_refused(dataset):
    paths = dataset.gre(te=(0.004,))
    ramp = np.random.default_rng(0).normal(0, 30, SHAPE)
    rewrite(paths[1], lambda data, affine: ramp.astype(np.float32))
    assert "Expected wrapped phase" in only_reason(dataset)


def test_other_phase_images_are_passed_over_with_reasons(dataset):
    dataset.gre()
    data = wrapped(0.01).astype(np.float32)
    for name in (
        "sub-01/func/sub-01_task-rest_part-phase_bold",
        "sub-01/dwi/sub-01_part-phase_dwi",
        "sub-01/anat/sub-01_inv-1_part-phase_MP2RAGE",
        "sub-01/anat/sub-01_T2w",
    ):
        dataset.image(name + ".nii.gz", data, {"EchoTime": 0.01})
    plan = plan_of(dataset)
    assert len(plan.runs) == 1
    reasons = {Path(entry.path_or_run).name: entry.reason for entry in plan.passed_over}
    assert "bold phase in func/" in reasons["sub-01_task-rest_part-phase_bold.nii.gz"]
    assert "dwi phase in dwi/" in reasons["sub-01_part-phase_dwi.nii.gz"]
    assert "MP2RAGE" in reasons["sub-01_inv-1_part-phase_MP2RAGE.nii.gz"]
    assert "not a gradient echo" in reasons["sub-01_T2w.nii.gz"]


# single coils


def test_coils_with_files_of_their_own_are_found_and_told(dataset):
    dataset.gre(coil="2")
    dataset.gre(coil="10")
    run = only_run(dataset)
    assert run.n_coils == 2 and run.te == TE and run.name == "sub-01"
    assert [coil.label for coil in run.echoes[1].coils] == ["2", "10"]
    assert [image.phase.name for image in run.images[:2]] == [
        "sub-01_coil-2_echo-1_part-phase_MEGRE.nii.gz", "sub-01_coil-10_echo-1_part-phase_MEGRE.nii.gz",
    ]  # fmt: skip
    assert len(run.files) == 12
    assert any("2 single coils are found and combined" in note for note in run.notes)
    assert "coil" not in run.outputs[0]


def test_images_of_all_coils_together_win_over_single_ones(dataset):
    dataset.gre()
    dataset.gre(coil="1")
    run = only_run(dataset)
    assert run.n_coils == 0 and len(run.files) == 6
    assert any("left aside" in note for note in run.notes)


def test_coils_with_different_echoes_are_refused(dataset):
    dataset.gre(coil="1")
    dataset.gre(coil="2", te=TE[:2])
    reason = only_reason(dataset)
    assert "coil-2 has echo times 4, 8 ms, but coil-1 has 4, 8, 12 ms" in reason


def test_coils_without_magnitude_are_refused(dataset):
    dataset.gre(coil="1", parts=("phase",))
    dataset.gre(coil="2", parts=("phase",))
    assert "without magnitude cannot be weighted" in only_reason(dataset)


def many(dataset, further, sidecar, echo=None, te=TE[0]):
    """Magnitude and phase with axes beyond the third."""
    phase = np.stack([wrapped(te).astype(np.float32)] * int(np.prod(further)), axis=-1).reshape(*SHAPE, *further)
    entity = f"_echo-{echo}" if echo else ""
    for part, data in (("phase", phase), ("mag", np.abs(phase) + 1)):
        name = f"sub-01/anat/sub-01{entity}_part-{part}_MEGRE.nii.gz"
        dataset.image(name, data, {"MagneticFieldStrength": 3, **sidecar})


@pytest.mark.parametrize(
    ("further", "order"), [((3, 4), "echo first"), ((4, 3), "coil first"), ((3, 3), "echo first"), ((3, 1), None)]
)
def test_fifth_axis_holds_coils_and_the_echo_times_tell_which_axis_is_which(dataset, further, order):
    many(dataset, further, {"EchoTime": list(TE)})
    run = only_run(dataset)
    if order is None:
        assert run.n_coils == 0 and [image.volume for image in run.images] == [0, 1, 2]
        return
    n = further[1] if order == "echo first" else further[0]
    volumes = np.arange(np.prod(further)).reshape(further)
    volumes = volumes if order == "echo first" else volumes.T
    assert run.n_coils == n and [image.volume for image in run.images] == volumes.ravel().tolist()
    assert any("fourth and fifth" in note for note in run.notes) == (further == (3, 3))
    assert any("coils from the fourth" in note for note in run.notes) == (order == "coil first")


def test_fifth_axis_that_fits_no_echo_times_is_refused(dataset):
    many(dataset, (2, 4), {"EchoTime": list(TE)})
    assert "fourth axis of 2 and a fifth of 4, but EchoTime in its sidecar lists 3" in only_reason(dataset)


@pytest.mark.parametrize("echoes", [1, 3])
def test_fourth_axis_is_coils_only_if_the_sidecar_says_so(dataset, echoes):
    for n in range(echoes):
        many(dataset, (4,), {"EchoTime": TE[n], "NumberReceiveCoilActiveElements": 4}, n + 1 if echoes > 1 else None)
    run = only_run(dataset)
    assert run.n_coils == 4 and len(run.echoes) == echoes
    assert [coil.volume for coil in run.echoes[-1].coils] == [0, 1, 2, 3]
    many(dataset, (4,), {"EchoTime": TE[0]}, 1 if echoes > 1 else None)
    reason = only_reason(dataset)
    assert "Coils or repetitions?" in reason and '"NumberReceiveCoilActiveElements": 4' in reason


# polarity of the readout


def test_dropped_echo_keeps_the_numbers_of_the_others(dataset):
    for path in dataset.gre(te=(0.004, 0.008, 0.012, 0.016)):
        if "echo-3" in path.name:
            path.unlink()
    run = only_run(dataset)
    assert run.echo_numbers == (1, 2, 4)
    assert any(note.startswith("echo 3 of the echo train is not there") for note in run.notes)


def test_number_in_the_sidecar_wins_over_the_name(dataset):
    for number, path in enumerate(dataset.gre(parts=("phase", "mag"))):
        name = str(path.relative_to(dataset.root)).replace(".nii.gz", ".json")
        dataset.json(name, {"EchoTime": TE[number // 2], "EchoNumber": 2 + number // 2, "MagneticFieldStrength": 3})
    run = only_run(dataset)
    assert run.echo_numbers == (2, 3, 4)
    assert any("numbers 2, 3, 4 of the echo train (EchoNumber)" in note for note in run.notes)


def test_numbers_that_contradict_the_echo_times_are_counted_off(dataset):
    dataset.gre(te=TE[::-1])
    assert only_run(dataset).echo_numbers == (1, 2, 3)


@pytest.mark.parametrize(("told", "bipolar"), [(True, True), (False, False), (None, None)])
def test_polarity_comes_from_the_sidecar_or_is_left_to_the_data(dataset, told, bipolar):
    dataset.gre()
    if told is not None:
        dataset.json("MEGRE.json", {"BipolarReadout": told})
    run = only_run(dataset)
    assert run.bipolar is bipolar
    assert any("polarity" in note for note in run.notes) == (told is None)


# the look of the phase


@pytest.mark.parametrize("parts", [("mag", "phase"), ("phase",), ("real", "imag")])
def test_alternating_slices_are_planned_for(dataset, parts):
    paths = dataset.gre(shape=(20, 18, 16), parts=parts)
    assert only_run(dataset).alternating_axis is None
    for path in paths:
        if "part-mag" in path.name:
            continue

        def flip(data, affine, phase="part-phase" in path.name):
            odd = data[:, :, 1::2]
            data[:, :, 1::2] = np.where(odd > 0, odd - 4096, odd + 4096) if phase else -odd
            return data

        rewrite(path, flip)
    run = only_run(dataset)
    assert run.alternating_axis == 2
    assert any("every second slice has π added" in note for note in run.notes)


@pytest.mark.parametrize("filtered", [True, False])
def test_high_pass_filter_of_the_phase_is_noticed(dataset, filtered):
    for path in dataset.gre(te=(0.02,), shape=(64, 64, 20), affine=np.diag([3.0, 3, 3, 1])):
        if filtered and "part-phase" in path.name:
            # small values where there is signal, and the full range in the noise outside
            def flatten(data, affine):
                inside = np.zeros(data.shape, bool)
                inside[5:-5, 5:-5] = True
                return np.where(inside, data // 8, data).astype(np.int16)

            rewrite(path, flatten)
        elif filtered:
            rewrite(path, lambda data, affine: np.pad(data[5:-5, 5:-5], ((5, 5), (5, 5), (0, 0)), constant_values=3))
    assert any("high-pass filter" in note for note in only_run(dataset).notes) == filtered
