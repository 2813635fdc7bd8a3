"""The same acquisition in every form that a dataset may hold it in gives the same echoes."""

import nibabel as nib
import numpy as np
import pytest

from qsmprep.bids.plan import make_plan
from qsmprep.settings import Settings
from qsmprep.workflows.recon import init_echoes_wf, init_recon_wf

SHAPE, TE, N = (24, 22, 20), (0.004, 0.008, 0.012), 4
B0 = {"MagneticFieldStrength": 3}


@pytest.fixture(scope="module")
def coils():
    """Complex images (x, y, z, echo, coil) without noise, and the phase of the field."""
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij")
    field = 2 * np.pi * 40 * (x - 0.6 * y + 0.5 * z**2)
    phase = field[..., None] * np.array(TE)
    vectors = []
    for coil in range(N):
        a = 2 * np.pi * coil / N
        near = np.exp(-((x - np.cos(a)) ** 2 + (y - np.sin(a)) ** 2) / 3) * np.exp(
            1j * (a + 0.7 * x * np.sin(a) + 0.4 * z)
        )
        vectors.append(near[..., None] * np.exp(-20 * np.array(TE)) * np.exp(1j * phase))
    return 1000 * np.stack(vectors, axis=-1), phase


def parts_of(vectors):
    return {"mag": np.abs(vectors).astype(np.float32), "phase": np.angle(vectors).astype(np.float32)}


def write_coil_files(dataset, vectors, **_):
    for coil in range(N):
        for e, te in enumerate(TE):
            for part, data in parts_of(vectors[..., e, coil]).items():
                name = f"sub-01/anat/sub-01_echo-{e + 1}_part-{part}_coil-{coil + 1}_MEGRE.nii.gz"
                dataset.image(name, data, {"EchoTime": te, **B0})


def write_5d(dataset, vectors, order="echo first", extension=".nii.gz"):
    vectors = vectors if order == "echo first" else np.swapaxes(vectors, 3, 4)
    for part, data in parts_of(vectors).items():
        dataset.image(f"sub-01/anat/sub-01_part-{part}_MEGRE{extension}", data, {"EchoTime": list(TE), **B0})


def write_4d_echoes(dataset, vectors):
    for e, te in enumerate(TE):
        told = {"EchoTime": te, "NumberReceiveCoilActiveElements": N, **B0}
        for part, data in (("real", vectors[..., e, :].real), ("imag", vectors[..., e, :].imag)):
            dataset.image(f"sub-01/anat/sub-01_echo-{e + 1}_part-{part}_MEGRE.nii.gz", data.astype(np.float32), told)


def read(dataset, tmp_path, **options):
    """Plan, then what the first stage writes: run, magnitude, phase, record."""
    settings = Settings(bids_dir=dataset.root, out_dir=tmp_path / "out", nprocs=1, **options)
    plan = make_plan(settings)
    assert not plan.skipped
    (run,) = plan.runs
    folder = tmp_path / "read"
    folder.mkdir(exist_ok=True)
    outputs = init_echoes_wf(run, settings).get_node("read").interface.run(cwd=str(folder)).outputs
    assert sorted(path.name for path in folder.iterdir()) == ["magnitude.nii", "phase.nii", "reference.nii"]
    arrays = [np.asarray(nib.load(path).dataobj) for path in (outputs.magnitude, outputs.phase)]
    return run, *arrays, outputs.meta


@pytest.mark.parametrize(
    ("write", "options"),
    [
        (write_coil_files, {}),
        (write_5d, {}),
        (write_5d, {"order": "coil first"}),
        (write_5d, {"extension": ".nii"}),
        (write_4d_echoes, {}),
    ],
)
def test_coils_are_combined_to_the_phase_of_the_field_in_whatever_form_they_come(
    dataset, tmp_path, coils, write, options
):
    vectors, truth = coils
    write(dataset, vectors, **options)
    run, magnitude, phase, meta = read(dataset, tmp_path)
    assert run.n_coils == N and meta["CoilCombination"]["Coils"] == N
    wrong = np.angle(np.exp(1j * (phase - truth)))
    assert np.abs(wrong - np.median(wrong)).max() < 0.05 and abs(np.median(wrong)) < 0.02
    assert np.allclose(magnitude, np.sqrt((np.abs(vectors) ** 2).sum(axis=-1)), rtol=1e-4)


def test_inverted_sign_turns_the_combined_phase(dataset, tmp_path, coils):
    vectors, truth = coils
    write_5d(dataset, vectors)
    _, _, phase, _ = read(dataset, tmp_path, phase_sign=-1)
    wrong = np.angle(np.exp(1j * (phase + truth)))
    assert np.abs(wrong).max() < 0.05


@pytest.mark.parametrize("write", [write_coil_files, write_5d, write_4d_echoes])
def test_alternating_slices_make_no_difference(dataset, tmp_path, coils, write):
    vectors, truth = coils
    write(dataset, vectors * (-1.0) ** np.arange(SHAPE[2])[:, None, None])
    run, _, phase, meta = read(dataset, tmp_path)
    assert run.alternating_axis == meta["AlternatingSlicesAxis"] == 2
    assert np.abs(np.angle(np.exp(1j * (phase - truth)))).max() < 0.05


def test_dropped_echo_of_a_bipolar_readout_reaches_the_offset_with_its_number(dataset, tmp_path, coils):
    """Echoes 1, 2, 4 and 5: by their places the last two would be corrected the wrong way."""
    _, truth = coils
    te, numbers = np.array([0.004, 0.008, 0.016, 0.020]), (1, 2, 4, 5)
    field = truth[..., 0] / TE[0]
    ramp = np.linspace(-1, 1, SHAPE[0])[:, None, None] * 0.8
    for t, n in zip(te, numbers, strict=True):
        phase = field * t + 0.5 + (ramp if n % 2 else -ramp)
        for part, data in parts_of(1000 * np.exp(1j * phase)).items():
            data = data + (np.arange(SHAPE[2], dtype=np.float32) if part == "mag" else 0)
            dataset.image(f"sub-01/anat/sub-01_echo-{n}_part-{part}_MEGRE.nii.gz", data, {"EchoTime": t, **B0})
    run, _, phase, _ = read(dataset, tmp_path)
    settings = Settings(bids_dir=dataset.root, out_dir=tmp_path / "out", nprocs=1)
    offset = init_recon_wf(run, settings).get_node("phase_offset")
    offset.interface.inputs.trait_set(
        phase=str(tmp_path / "read" / "phase.nii"), magnitude=str(tmp_path / "read" / "magnitude.nii"),
        mask=str(tmp_path / "read" / "reference.nii"),
    )  # fmt: skip
    outputs = offset.interface.run(cwd=str(tmp_path)).outputs
    record = outputs.meta["PhaseOffsetRemoval"]
    assert outputs.removed and record["Readout"] == "bipolar" and record["ReadoutSource"] == "data"
    left = np.asarray(nib.load(outputs.phase).dataobj) - field[..., None] * te
    assert np.abs(np.angle(np.exp(1j * left))).max() < 0.1
