"""What a run leaves of its fits, and what the sidecars say was done."""

import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from qsmprep.bids.model import Coil
from qsmprep.bids.plan import make_plan
from qsmprep.bids.validation import find_validator, validate_dataset
from qsmprep.cli.main import run
from qsmprep.parameters import Nonlinear
from qsmprep.settings import Settings

TE, SHAPE, SIGMA, R2STAR = (0.004, 0.008, 0.012, 0.016), (26, 24, 22), 8.0, 30.0
HZ = 60.0  # change of the field from the middle to the end of the volume


def write(dataset, subject, te, *, loud=None, **told):
    """A ramp of the field under noise of known size; voxels of the block `loud` hold nothing but noise."""
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij")
    rng = np.random.default_rng(int(subject))
    for number, t in enumerate(te, 1):
        noise = SIGMA * (rng.standard_normal(SHAPE) + 1j * rng.standard_normal(SHAPE))
        signal = 1000 * np.exp(-t * R2STAR + 2j * np.pi * HZ * t * (x + 0.5 * y)) * (1 + 0.1 * np.cos(5 * z))
        if loud is not None:
            signal[loud] = 0
        image = signal + noise
        for part, data in (("mag", np.abs(image)), ("phase", np.angle(image))):
            name = dataset.name(subject, echo=number, part=part) + "_MEGRE.nii.gz"
            meta = {"EchoTime": t, "MagneticFieldStrength": 3, **({"Units": "rad"} if part == "phase" else {}), **told}
            dataset.image(name, data.astype(np.float32), meta)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """sub-01: four echoes with a hole; sub-02: two bipolar echoes; sub-03: one echo."""
    from tests.conftest import DatasetMaker

    base = tmp_path_factory.mktemp("outputs")
    dataset = DatasetMaker(base / "bids")
    write(dataset, "01", TE, loud=np.s_[11:15, 10:14, 9:13])
    write(dataset, "02", TE[:2], BipolarReadout=True)
    write(dataset, "03", TE[-1:])
    arguments = [str(dataset.root), str(base / "out"), "participant", "--no-normalization", "-w", str(base / "work")]
    assert run([*arguments, "--skip-bids-validation"]) == 0
    return base / "out"


def load(out, name):
    subject, folder = name[:6], "fmap" if name.endswith(("fieldmap", "magnitude")) else "anat"
    path = out / subject / folder / f"{name}.nii.gz"
    return nib.load(path).get_fdata(), json.loads((path.parent / f"{name}.json").read_text())


def test_noise_of_the_field_is_written_in_hz_and_nan_where_it_is_not_trusted(out):
    noise, sidecar = load(out, "sub-01_desc-noise_fieldmap")
    mask, _ = load(out, "sub-01_desc-brain_mask")
    assert sidecar["Units"] == "Hz" and "NaN" in sidecar["Description"]
    assert sidecar["FieldMapping"]["Method"] == "nonlinear_fit" and "noise_max_ppm" in sidecar["FieldMapping"]
    assert not np.isinf(noise).any() and (noise[mask == 0] == 0).all()
    hole = np.isnan(noise)
    assert hole[11:15, 10:14, 9:13].mean() > 0.5, "where there is noise alone the field is not trusted"
    # Cramér and Rao: σ / (2π sqrt(Σ m² TE²)) with m the magnitude
    times, signal = np.array(TE), 1000 * np.exp(-R2STAR * np.array(TE))
    bound = SIGMA / (2 * np.pi * np.sqrt(np.sum((signal * times) ** 2)))
    assert bound < np.median(noise[(mask > 0) & ~hole]) < 3 * bound


def test_residual_of_the_field_is_that_of_the_noise_in_radians(out):
    residual, sidecar = load(out, "sub-01_desc-residual_fieldmap")
    mask, _ = load(out, "sub-01_desc-qsm_mask")
    assert sidecar["Units"] == "rad" and sidecar["FieldMapping"]["Method"] == "nonlinear_fit"
    assert 0.4 * SIGMA / 1000 < np.median(residual[mask > 0]) < 2.5 * SIGMA / 600
    assert not list(out.rglob("sub-03_desc-residual_*")), "through one echo every fit passes"
    assert list(out.rglob("sub-03_desc-noise_fieldmap.nii.gz"))


def test_residual_of_r2star_is_that_of_the_noise_in_units_of_the_magnitude(out):
    residual, sidecar = load(out, "sub-01_desc-residual_S0map")
    mask, _ = load(out, "sub-01_desc-qsm_mask")
    assert sidecar["Units"] == "arbitrary" and sidecar["Relaxometry"]["Method"] == "loglinear"
    expected = SIGMA * np.sqrt(1 - 2 / len(TE))  # two of the echoes' degrees of freedom went into the fit
    assert np.median(residual[mask > 0]) == pytest.approx(expected, rel=0.25)
    _, r2star = load(out, "sub-01_R2starmap")
    assert r2star["Relaxometry"] == sidecar["Relaxometry"]


def test_every_announced_file_is_there_and_the_dataset_is_valid(out):
    plan = json.loads((out / "logs" / "plan.json").read_text())
    for entry in plan["runs"]:
        assert not [name for name in entry["outputs"] if not (out / name).is_file()]
    images = {str(path.relative_to(out)) for path in out.glob("sub-*/**/*.nii.gz")}
    assert images == {name for entry in plan["runs"] for name in entry["outputs"] if name.endswith(".nii.gz")}
    if find_validator() is not None:
        assert validate_dataset(out).errors == ()


@pytest.mark.parametrize("desc", ["total", "local", "noise", "residual"])
def test_sidecars_of_fields_tell_what_was_removed_from_the_phase(out, desc):
    _, four = load(out, f"sub-01_desc-{desc}_fieldmap")
    assert four["PhaseOffsetRemoval"]["Method"] == "MCPC-3D-S" and four["PhaseOffsetRemoval"]["Echoes"] == [1, 2]
    _, two = load(out, f"sub-02_desc-{desc}_fieldmap")
    assert two["PhaseOffsetRemoval"]["Method"] == "none" and "bipolar" in two["PhaseOffsetRemoval"]["Reason"]
    assert two["PhaseOffsetRemoval"] == load(out, "sub-02_Chimap")[1]["PhaseOffsetRemoval"]
    assert "DipoleInversion" not in two, "a field is not inverted"


def test_consensus_in_the_sidecar_knows_what_the_data_decided(out):
    first, second, single = (load(out, f"sub-{n}_Chimap")[1]["Consensus"] for n in ("01", "02", "03"))
    assert first["monopolar readout"]["Met"] and "found from the data" in first["monopolar readout"]["Found"]
    offset = "phase offset removed (MCPC-3D-S)"
    assert [told[offset]["Met"] for told in (first, second, single)] == [True, False, False]
    assert "one echo" in single[offset]["Found"]


@pytest.fixture
def plan_of_coils(dataset, tmp_path):
    """A run of three echoes and as many coils as asked for."""
    dataset.gre("01")

    def plan(n_coils, **options):
        settings = Settings(
            bids_dir=dataset.root, out_dir=tmp_path / "out", nprocs=1, relaxometry="nonlinear", **options
        )
        (found,) = make_plan(settings).runs
        echoes = tuple(
            replace(e, coils=tuple(Coil(str(n), magnitude=e.magnitude, phase=e.phase) for n in range(n_coils)))
            for e in found.echoes
        )
        return replace(found, echoes=echoes), settings

    return plan


@pytest.mark.parametrize(("n_coils", "given", "used"), [(0, 1, 1), (12, 1, 12), (12, 4, 4), (1, 1, 1)])
def test_noise_floor_of_the_decay_knows_the_coils_unless_the_user_says_another_number(
    plan_of_coils, n_coils, given, used
):
    from qsmprep.workflows.outputs import relaxometry_metadata
    from qsmprep.workflows.recon import init_recon_wf

    found, settings = plan_of_coils(n_coils, nonlinear=Nonlinear(coils=given))
    assert init_recon_wf(found, settings).get_node("r2star").inputs.params["coils"] == used
    told = relaxometry_metadata(found, settings)["Relaxometry"]
    assert told["coils"] == used
    assert ("set by the user" in told.get("CoilsSource", "")) == (given != 1)


def test_floor_of_combined_coils_is_that_of_the_root_of_the_sum_of_squares(plan_of_coils):
    """The combined magnitude decays to the floor of L channels: with that of one channel R2* comes out too low."""
    from qsmprep.qsm.combine import combine_coils
    from qsmprep.qsm.relaxometry import fit_r2star
    from qsmprep.workflows.outputs import relaxometry_parameters

    n, te, shape = 16, np.array([0.003 * k for k in range(1, 9)]), (16, 16, 16)
    rng = np.random.default_rng(0)
    rate = np.full(shape, 20.0)  # of the tissue that the noise is told from
    rate[:5] = 200.0
    signal = 100 / np.sqrt(n) * np.exp(-rate[..., None] * te)  # of each coil, with noise of 1 in each channel
    noise = rng.standard_normal((n, 2, *signal.shape))
    images = [signal + real + 1j * imaginary for real, imaginary in noise]
    magnitude = combine_coils(lambda c: (np.abs(images[c]), np.angle(images[c])), n, te).magnitude
    found, settings = plan_of_coils(n)
    own, single = relaxometry_parameters(found, settings), settings.parameters("nonlinear")
    fits = [fit_r2star(magnitude, te, np.ones(shape, bool), method="nonlinear", **p).r2star for p in (own, single)]
    right, wrong = (np.median(fit[:5]) for fit in fits)
    assert right == pytest.approx(200, abs=2)
    assert wrong < 180
