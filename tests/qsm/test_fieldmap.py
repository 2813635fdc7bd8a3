import numpy as np
import pytest

from qsmprep.qsm.fieldmap import fit_field

B0 = 2.895
HERTZ = 42.577478518 * B0
TE = np.array([0.004, 0.009, 0.014, 0.02])
SHAPE = (20, 20, 20)


def signal(noise=0.0, te=TE, offset=0.0, seed=0):
    rng = np.random.default_rng(seed)
    field = np.linspace(-0.2, 0.3, np.prod(SHAPE)).reshape(SHAPE)
    magnitude = np.broadcast_to(np.exp(-40 * te), (*SHAPE, te.size))
    phase = 2 * np.pi * HERTZ * field[..., None] * te + offset + rng.normal(size=magnitude.shape) * noise / magnitude
    return field, phase.astype(np.float32), magnitude


@pytest.mark.parametrize("te", [TE, TE[:2], TE[-1:]])
def test_field_is_exact_without_noise_for_any_number_of_echoes(te):
    field, phase, magnitude = signal(te=te)
    fit = fit_field(phase, magnitude, np.ones(SHAPE, bool), te, B0)
    assert fit.field.dtype == fit.residual.dtype == fit.noise.dtype == np.float32
    assert np.abs(fit.field - field).max() < 1e-6
    assert np.abs(fit.residual).max() < 1e-4


def test_intercept_takes_up_a_phase_offset():
    field, phase, magnitude = signal(offset=0.7)
    mask = np.ones(SHAPE, bool)
    assert np.abs(fit_field(phase, magnitude, mask, TE, B0, intercept=True).field - field).max() < 1e-5
    assert np.abs(fit_field(phase, magnitude, mask, TE, B0).field - field).min() > 0.05
    with pytest.raises(ValueError, match="two echoes"):
        fit_field(phase[..., :1], magnitude[..., :1], mask, TE[:1], B0, intercept=True)


@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e6])
def test_noise_map_foretells_the_scatter_of_the_field(intercept, scale):
    field, phase, magnitude = signal(noise=0.02)
    fit = fit_field(phase, magnitude * scale, np.ones(SHAPE, bool), TE, B0, intercept=intercept)
    assert np.median(fit.noise) == pytest.approx((fit.field - field).std(), rel=0.1)


def test_weights_are_better_than_none():
    field, phase, magnitude = signal(noise=0.02)
    mask = np.ones(SHAPE, bool)
    weighted = (fit_field(phase, magnitude**2, mask, TE, B0).field - field).std()
    best = (fit_field(phase, magnitude, mask, TE, B0).field - field).std()
    equal = (fit_field(phase, None, mask, TE, B0).field - field).std()
    assert best < equal and best < weighted


def test_an_echo_with_wrong_phase_shows_in_the_residual():
    _, phase, magnitude = signal()
    phase[5, 5, 5, 3] += 1.0
    residual = fit_field(phase, magnitude, np.ones(SHAPE, bool), TE, B0).residual
    assert residual[5, 5, 5] > 0.2
    assert np.median(residual) < 1e-4


def test_outside_the_mask_is_zero_and_voxels_without_signal_are_finite():
    _, phase, magnitude = signal()
    magnitude = magnitude.copy()
    magnitude[3, 3, 3] = 0
    mask = np.ones(SHAPE, bool)
    mask[:3] = False
    fit = fit_field(phase, magnitude, mask, TE, B0)
    for volume in fit:
        assert np.isfinite(volume).all()
        assert not volume[~mask].any()
