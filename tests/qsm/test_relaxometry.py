import numpy as np
import pytest

from qsmprep.qsm.relaxometry import fit_r2star

TE = np.array([0.004, 0.008, 0.013, 0.02, 0.026])
SHAPE = (12, 12, 12)
ALL = np.ones(SHAPE, bool)


def decay(te=TE, sigma=0.0):
    rng = np.random.default_rng(0)
    rate = np.linspace(2, 150, np.prod(SHAPE)).reshape(SHAPE)
    signal = 500 * np.exp(-rate[..., None] * te)
    return rate, np.abs(signal + sigma * (rng.normal(size=signal.shape) + 1j * rng.normal(size=signal.shape)))


@pytest.mark.parametrize("te", [TE, TE[:2], TE[[0, 2, 3]]])
def test_r2star_is_exact_without_noise(te):
    rate, magnitude = decay(te)
    fit = fit_r2star(magnitude, te, ALL)
    assert all(volume.dtype == np.float32 for volume in fit)
    assert np.allclose(fit.r2star, rate, rtol=1e-4)
    assert np.allclose(fit.t2star, 1 / rate, rtol=1e-4)
    assert np.allclose(fit.s0, 500, rtol=1e-4)
    assert fit.residual.max() < 0.1


def test_noise_does_not_bias_r2star():
    rate, magnitude = decay(sigma=5)
    slow = rate < 80
    bias = (fit_r2star(magnitude, TE, ALL).r2star - rate)[slow]
    assert abs(bias.mean()) < 0.3
    assert bias.std() < 3


def test_scale_of_the_magnitude_does_not_matter():
    rate, magnitude = decay()
    for scale in (1e-6, 1e6):
        fit = fit_r2star(magnitude * scale, TE, ALL)
        assert np.allclose(fit.r2star, rate, rtol=1e-3)
        assert np.allclose(fit.s0, 500 * scale, rtol=1e-3)


def test_results_stay_within_their_limits_whatever_the_input():
    rng = np.random.default_rng(1)
    magnitude = rng.uniform(0, 10, (*SHAPE, 5))
    magnitude[0] = 0
    magnitude[1] = 1
    magnitude[2] = [1, 2, 3, 4, 5]
    magnitude[3] = [1, 0, 0, 0, 0]
    fit = fit_r2star(magnitude, TE, ALL)
    for volume in fit:
        assert np.isfinite(volume).all() and volume.min() >= 0
    assert fit.r2star.max() <= 1000
    assert fit.t2star.max() <= 1
    assert not fit.r2star[0].any() and not fit.t2star[0].any() and not fit.s0[0].any()
    assert np.allclose(fit.t2star[1], 1)
    assert not fit.r2star[2].any()


def test_one_echo_and_bad_values_are_refused():
    _, magnitude = decay()
    with pytest.raises(ValueError, match="two echoes"):
        fit_r2star(magnitude[..., :1], TE[:1], ALL)
    magnitude[0, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        fit_r2star(magnitude, TE, ALL)
    fit_r2star(magnitude, TE, ALL & (np.arange(12) > 0)[:, None, None])
