import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from qsmprep.qsm.combine import mcpc3ds
from qsmprep.qsm.fieldmap import METHODS, map_field
from qsmprep.qsm.unwrap import unwrap

B0 = 2.895
HERTZ = 42.577478518 * B0
TE = np.array([0.004, 0.009, 0.014, 0.02])
SHAPE = (20, 20, 20)
ALL = np.ones(SHAPE, bool)
CROP = Path(__file__).resolve().parents[3] / "shared/data/romeo_crop/sub-01/anat"
both = pytest.mark.parametrize("method", METHODS)


def signal(noise=0.0, te=TE, offset=0.0, seed=0):
    """A field that changes by 1 ppb from voxel to voxel, and its phase with noise at an SNR of 1 / noise."""
    rng = np.random.default_rng(seed)
    x, y, z = np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij")
    field = 1e-3 * (x - 8 + y - 4 - z)
    magnitude = np.broadcast_to(np.exp(-40 * te), (*SHAPE, te.size))
    phase = 2 * np.pi * HERTZ * field[..., None] * te + offset + rng.normal(size=magnitude.shape) * noise / magnitude
    return field, phase.astype(np.float32), magnitude


@both
@pytest.mark.parametrize("te", [TE, TE[:2], TE[-1:]])
def test_field_is_exact_without_noise_for_any_number_of_echoes(method, te):
    field, phase, magnitude = signal(te=te)
    fit = map_field(phase, magnitude, ALL, te, B0, method=method)
    assert fit.field.dtype == fit.residual.dtype == fit.noise.dtype == np.float32
    assert np.abs(fit.field - field).max() < 1e-6
    assert np.abs(fit.residual).max() < 1e-4
    assert np.isfinite(fit.noise).all()


@both
def test_intercept_takes_up_a_phase_offset(method):
    field, phase, magnitude = signal(offset=0.7)
    fit = map_field(phase, magnitude, ALL, TE, B0, method=method, intercept=True)
    assert np.abs(fit.field - field).max() < 1e-5
    assert np.isfinite(fit.noise).all()
    without = map_field(phase, magnitude, ALL, TE, B0, method=method, offset_mm=0)
    assert np.abs(without.field - field).min() > 0.05
    with pytest.raises(ValueError, match="two echoes"):
        map_field(phase[..., :1], magnitude[..., :1], ALL, TE[:1], B0, method=method, intercept=True)


@both
def test_a_smooth_offset_that_was_left_is_found_and_costs_no_noise(method):
    """Up to 0.5 rad that bend across a volume of anisotropic voxels: 15 ppb of the field where they are left in."""
    field, phase, magnitude = signal(noise=0.01)
    along = (np.arange(20) - 10) / 10
    left = 0.1 + 0.2 * along[:, None, None] - 0.1 * along[:, None] ** 2 + 0.1 * along
    found = {}
    for name, offset, params in [("none", 0, {"offset_mm": 0}), ("left", 1, {"offset_mm": 0}), ("found", 1, {})]:
        given = phase + np.float32(offset) * left[..., None]
        fit = map_field(given, magnitude, ALL, TE, B0, (1.0, 2.0, 1.5), method=method, **params)
        found[name] = np.sqrt(((fit.field - field) ** 2).mean())
    assert found["left"] > 15 * found["none"]
    assert found["found"] < 1.15 * found["none"]


@both
@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e6])
def test_noise_map_foretells_the_scatter_of_the_field(method, intercept, scale):
    field, phase, magnitude = signal(noise=0.02)
    fit = map_field(phase, magnitude * scale, ALL, TE, B0, method=method, intercept=intercept)
    assert np.median(fit.noise) == pytest.approx((fit.field - field).std(), rel=0.1)
    assert np.isfinite(fit.noise).mean() > 0.99


def test_noise_of_a_single_echo_comes_from_its_neighbours():
    field, phase, magnitude = signal(noise=0.02, te=TE[-1:])
    fit = map_field(phase, magnitude, ALL, TE[-1:], B0)
    assert np.median(fit.noise) == pytest.approx((fit.field - field).std(), rel=0.1)


def test_weights_are_better_than_none():
    field, phase, magnitude = signal(noise=0.02)
    weighted = (map_field(phase, magnitude**2, ALL, TE, B0).field - field).std()
    best = (map_field(phase, magnitude, ALL, TE, B0).field - field).std()
    equal = (map_field(phase, None, ALL, TE, B0).field - field).std()
    assert best < equal and best < weighted


def test_noise_follows_the_signal():
    _, phase, magnitude = signal(noise=0.02)
    magnitude = magnitude * np.where(np.arange(20) < 10, 1.0, 0.5)[:, None, None, None]
    noise = map_field(phase, magnitude, ALL, TE, B0).noise
    assert np.median(noise[12:]) == pytest.approx(2 * np.median(noise[:8]), rel=0.15)


@both
def test_an_echo_with_wrong_phase_shows_in_the_residual_and_is_not_trusted(method):
    _, phase, magnitude = signal(noise=0.002)
    phase[5, 5, 5, 3] += 1.0
    fit = map_field(phase, magnitude, ALL, TE, B0, method=method)
    assert fit.residual[5, 5, 5] > 0.2
    assert np.median(fit.residual) < 0.01
    assert np.isinf(fit.noise[5, 5, 5])
    assert np.isinf(fit.noise).sum() < 10


def test_misfit_that_all_voxels_share_does_not_condemn_them():
    _, phase, magnitude = signal(noise=0.002)
    phase[..., 3] += 0.1
    assert np.isfinite(map_field(phase, magnitude, ALL, TE, B0).noise).mean() > 0.99


def test_nonlinear_fit_does_not_mind_the_whole_turn_of_a_weak_echo():
    field, phase, magnitude = signal(noise=0.002)
    magnitude = magnitude * np.array([1, 1, 1, 0.3])
    phase[..., 3] += np.float32(2 * np.pi)
    errors = {m: np.abs(map_field(phase, magnitude, ALL, TE, B0, method=m).field - field) for m in METHODS}
    assert np.median(errors["linear_fit"]) > 0.01
    assert errors["nonlinear_fit"].max() < 0.004


@pytest.fixture(scope="module")
def beside_air(sphere):
    """Complex signal around a ball of air, averaged from 4 x 4 x 4 points a voxel; the mask ends at its surface."""
    shape, fine, radius, te = (36, 36, 36), 4, 6.0, np.arange(1, 6) * 0.0045
    points = [(np.arange(n * fine) + 0.5) / fine - n / 2 for n in shape]
    x, y, z = np.meshgrid(*points, indexing="ij", sparse=True)
    r2 = x**2 + y**2 + z**2
    tissue = r2 > radius**2
    field = np.where(tissue, 9.4 / 3 * (radius**2 / r2) ** 1.5 * (3 * z**2 / r2 - 1), 0).astype(np.float32)

    def mean(values):
        return values.reshape(36, fine, 36, fine, 36, fine).mean(axis=(1, 3, 5))

    share = mean(tissue)
    truth = mean(field) / np.maximum(share, 1e-6)
    vectors = [mean(tissue * np.exp((2j * np.pi * HERTZ * t) * field - 20 * t)) for t in te]
    rng = np.random.default_rng(2)
    vectors = np.stack(vectors, -1) + 0.01 * (rng.normal(size=(*shape, 5)) + 1j * rng.normal(size=(*shape, 5)))
    phase, magnitude, mask = np.angle(vectors), np.abs(vectors), share > 0.99
    return truth, unwrap(phase, magnitude, mask, te), magnitude, mask, te


@both
def test_dephased_voxels_err_less_and_are_told(beside_air, method):
    truth, phase, magnitude, mask, te = beside_air
    plain = map_field(phase, magnitude, mask, te, B0, method=method, dephasing=0)
    fit = map_field(phase, magnitude, mask, te, B0, method=method)
    error = np.abs(fit.field - truth)
    untrusted, wrong = np.isinf(fit.noise), error > 0.02
    assert wrong[mask].mean() < 0.5 * (np.abs(plain.field - truth) > 0.02)[mask].mean()
    assert untrusted[mask & wrong].mean() > 0.95
    assert untrusted[mask & ~wrong].mean() < 0.04
    kept = mask & ~untrusted
    assert 0.6 < np.percentile(error[kept] / fit.noise[kept], 68) < 1.1


def test_a_patch_behind_noise_or_a_jump_is_not_trusted(sphere):
    _, phase, magnitude = signal(noise=0.002)
    x, y, z = sphere.coordinates(SHAPE, (1, 1, 1))
    r = np.sqrt(x**2 + y**2 + z**2)
    core, rind = r < 3, (r >= 3) & (r < 5)
    phase[core] += np.float32(2 * np.pi) * (TE / TE[0]).round().astype(np.float32)
    jump = map_field(phase[..., :1], magnitude[..., :1], ALL, TE[:1], B0)
    assert np.isinf(jump.noise[core]).all()
    phase[rind] = np.random.default_rng(0).uniform(-3, 3, phase[rind].shape)
    rind_signal = magnitude * np.where(rind, 0.02, 1)[..., None]
    behind = map_field(phase[..., :1], rind_signal[..., :1], ALL, TE[:1], B0)
    assert np.isinf(behind.noise[core]).all()
    assert np.isfinite(behind.noise[r > 7]).mean() > 0.99


def test_parts_of_the_mask_that_do_not_touch_are_each_trusted():
    _, phase, magnitude = signal(noise=0.002)
    mask = ALL.copy()
    mask[6:8] = False
    mask[:3, :, 10:] = False
    assert np.isfinite(map_field(phase, magnitude, mask, TE, B0).noise[mask]).mean() > 0.99


def test_outside_the_mask_is_zero_and_voxels_without_signal_are_not_trusted():
    _, phase, magnitude = signal(noise=0.002)
    magnitude = magnitude.copy()
    magnitude[7, 3, 3] = 0
    mask = ALL.copy()
    mask[:3] = False
    fit = map_field(phase, magnitude, mask, TE, B0)
    assert np.isinf(fit.noise[7, 3, 3])
    assert np.isfinite(fit.field).all() and np.isfinite(fit.residual).all() and not np.isnan(fit.noise).any()
    for volume in fit:
        assert not volume[~mask].any()


def test_unknown_method_is_refused():
    _, phase, magnitude = signal()
    with pytest.raises(ValueError, match="unknown field mapping"):
        map_field(phase, magnitude, ALL, TE, B0, method="best")


@pytest.mark.skipif(not CROP.is_dir(), reason=f"{CROP} is not there")
def test_on_real_tissue_the_noise_is_the_fields_roughness_and_little_is_not_trusted():
    """7 T, 0.5 x 0.5 x 1 mm, three echoes: white matter and cortex around the falx, with veins."""
    images = {
        part: [CROP / f"sub-01_echo-{e}_part-{part}_MEGRE.nii.gz" for e in (1, 2, 3)] for part in ("mag", "phase")
    }
    magnitude, phase = (np.stack([nib.load(f).get_fdata() for f in images[part]], -1) for part in ("mag", "phase"))
    te = [json.loads(Path(str(f).replace(".nii.gz", ".json")).read_text())["EchoTime"] for f in images["phase"]]
    phase *= np.pi / np.abs(phase).max()
    mask, size = np.ones(phase.shape[:3], bool), nib.load(images["mag"][0]).header.get_zooms()[:3]
    combined = mcpc3ds(phase, magnitude, te, mask, size).phase
    fit = map_field(unwrap(combined, magnitude, mask, te), magnitude, mask, te, 7.0, size)
    assert 0.002 < np.isinf(fit.noise).mean() < 0.02
    bend = fit.field[2:] - 2 * fit.field[1:-1] + fit.field[:-2]
    roughness = 1.4826 * np.median(np.abs(bend)) / np.sqrt(6)
    assert 0.6 * roughness < np.median(fit.noise) < 1.1 * roughness
