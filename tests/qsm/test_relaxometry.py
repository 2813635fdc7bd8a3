import numba
import numpy as np
import pytest

from qsmprep.qsm.relaxometry import METHODS, fit_r2star

TE = np.array([0.004, 0.008, 0.013, 0.02, 0.026])
EVEN = np.arange(1, 7) * 0.005
SHAPE = (12, 12, 12)
ALL = np.ones(SHAPE, bool)
each = pytest.mark.parametrize("method", METHODS)


def decay(te=TE, sigma=0.0, rates=(2, 150), seed=0):
    rng = np.random.default_rng(seed)
    rate = np.linspace(*rates, np.prod(SHAPE)).reshape(SHAPE)
    signal = 500 * np.exp(-rate[..., None] * te)
    return rate, np.abs(signal + sigma * (rng.normal(size=signal.shape) + 1j * rng.normal(size=signal.shape)))


@pytest.mark.parametrize("method", ["loglinear", "nonlinear"])
@pytest.mark.parametrize("te", [TE, TE[:2], TE[[0, 2, 3]], EVEN])
def test_r2star_is_exact_without_noise(method, te):
    rate, magnitude = decay(te)
    fit = fit_r2star(magnitude, te, ALL, method=method)
    assert all(volume.dtype == np.float32 for volume in fit)
    assert np.allclose(fit.r2star, rate, rtol=1e-4, atol=2e-3)
    assert np.allclose(fit.t2star, 1 / rate, rtol=1e-3)
    assert np.allclose(fit.s0, 500, rtol=1e-4)
    assert fit.residual.max() < 0.1


@pytest.mark.parametrize(("te", "error"), [(EVEN, 0.003), (EVEN[:3], 0.003), (TE, 0.04)])
def test_arlo_errs_by_simpsons_rule_only(te, error):
    """The rule is exact to the third order for even spacing, to the second for uneven."""
    rate, magnitude = decay(te)
    fit = fit_r2star(magnitude, te, ALL, method="arlo")
    assert np.abs(fit.r2star / rate - 1).max() < error
    slow = rate < 40
    assert np.abs(fit.r2star / rate - 1)[slow].max() < error / 8
    assert np.abs(fit.s0 / 500 - 1).max() < error


def test_arlo_is_the_papers_formula_where_echoes_are_even():
    _, magnitude = decay(EVEN, sigma=5)
    a, b, c = magnitude[..., :-2], magnitude[..., 1:-1], magnitude[..., 2:]
    third = 0.005 / 3
    area, fall = third * (a + 4 * b + c), a - c
    t2star = (area**2 + third * area * fall).sum(-1) / (third * fall**2 + area * fall).sum(-1)
    fit = fit_r2star(magnitude, EVEN, ALL, method="arlo")
    within = (t2star > 0.002) & (t2star < 0.9)
    assert within.mean() > 0.95
    assert np.allclose(fit.t2star[within], t2star[within], rtol=1e-4)


@each
def test_noise_does_not_bias_r2star(method):
    rate, magnitude = decay(sigma=5)
    slow = rate < 80
    bias = (fit_r2star(magnitude, TE, ALL, method=method).r2star - rate)[slow]
    assert abs(bias.mean()) < 0.3
    assert bias.std() < 3


@pytest.mark.parametrize("coils", [1, 8])
def test_floor_takes_the_bias_off_fast_decays(coils):
    """The last echoes of a decay of 200/s are noise, which a sum of squares over coils lifts even more."""
    rng = np.random.default_rng(1)
    te, sigma = np.arange(1, 9) * 0.003, 8.0
    signal = np.zeros((*SHAPE, te.size, coils))
    signal[..., 0] = 500 * np.exp(-200 * te)
    noise = rng.normal(size=signal.shape) + 1j * rng.normal(size=signal.shape)
    magnitude = np.sqrt((np.abs(signal + sigma * noise) ** 2).sum(-1))

    def bias(**params):
        return fit_r2star(magnitude, te, ALL, method="nonlinear", **params).r2star.mean() - 200

    level = np.sqrt(2 * coils - 1) * sigma
    assert bias(floor="none") < -3
    assert abs(bias(floor="constant", floor_level=level)) < 0.2 * abs(bias(floor="none"))
    if coils == 1:
        assert abs(bias()) < 0.2 * abs(bias(floor="none"))


@pytest.mark.parametrize("everywhere", [True, False], ids=["coils alike", "one coil receives"])
def test_automatic_floor_of_eight_coils_takes_the_bias_off(everywhere):
    """Tissue of 15 to 250/s: σ comes from its bright half, and the number of coils makes of it the floor of all."""
    rng = np.random.default_rng(1)
    te, sigma, coils = np.arange(1, 9) * 0.003, 8.0, 8
    rate = np.linspace(15, 250, np.prod(SHAPE)).reshape(SHAPE)
    signal = np.zeros((*SHAPE, te.size, coils))
    decays = 500 * np.exp(-rate[..., None] * te)
    if everywhere:
        signal[:] = decays[..., None] / np.sqrt(coils)
    else:
        signal[..., 0] = decays
    noise = rng.normal(size=signal.shape) + 1j * rng.normal(size=signal.shape)
    magnitude = np.sqrt((np.abs(signal + sigma * noise) ** 2).sum(-1))
    fast = rate > 150

    def bias(**params):
        return (fit_r2star(magnitude, te, ALL, method="nonlinear", **params).r2star - rate)[fast].mean()

    assert bias(floor="none") < -25
    assert bias() < -15, "the floor of one coil is far too low"
    assert abs(bias(coils=coils)) < 2


def test_noise_of_the_channel_is_found():
    from qsmprep.qsm._grid import as_echo_times
    from qsmprep.qsm.relaxometry.nonlinear import channel_noise

    _, magnitude = decay(sigma=5, rates=(10, 60))
    found = channel_noise(magnitude.astype(np.float32), ALL, as_echo_times(TE, 5))
    assert found == pytest.approx(5, rel=0.05)


@each
def test_scale_of_the_magnitude_does_not_matter(method):
    _, magnitude = decay()
    reference = fit_r2star(magnitude, TE, ALL, method=method)
    for scale in (1e-6, 1e6):
        fit = fit_r2star(magnitude * scale, TE, ALL, method=method)
        assert np.allclose(fit.r2star, reference.r2star, rtol=1e-3, atol=1e-3)
        assert np.allclose(fit.s0, reference.s0 * scale, rtol=1e-3)


@each
def test_residual_is_the_rms_of_what_the_decay_misses(method):
    _, magnitude = decay(sigma=5)
    fit = fit_r2star(magnitude, TE, ALL, method=method, **({"floor": "none"} if method == "nonlinear" else {}))
    model = fit.s0[..., None] * np.exp(-fit.r2star[..., None] * TE)
    assert np.allclose(fit.residual, np.sqrt(((magnitude - model) ** 2).mean(-1)), rtol=1e-3)


@pytest.mark.parametrize("params", [{"method": m} for m in METHODS] + [{"method": "nonlinear", "floor": "none"}])
def test_results_stay_within_their_limits_whatever_the_input(params):
    rng = np.random.default_rng(1)
    magnitude = rng.uniform(0, 10, (*SHAPE, 5))
    magnitude[0] = 0
    magnitude[1] = 1
    magnitude[2] = [1, 2, 3, 4, 5]
    magnitude[3] = [1, 0, 0, 0, 0]
    fit = fit_r2star(magnitude, TE, ALL, **params)
    for volume in fit:
        assert np.isfinite(volume).all() and volume.min() >= 0
    assert fit.r2star.max() <= 1000
    assert fit.t2star.max() <= 1
    assert not fit.r2star[0].any() and not fit.t2star[0].any() and not fit.s0[0].any()
    if params != {"method": "nonlinear"}:  # whose floor is above what these voxels have
        assert np.allclose(fit.t2star[1], 1)
        assert not fit.r2star[2].any()
    lower = fit_r2star(magnitude, TE, ALL, **params, r2star_max=100.0, t2star_max=0.2)
    assert lower.r2star.max() == 100
    assert lower.t2star.max() == pytest.approx(0.2)


@each
def test_any_number_of_threads_gives_the_same_bits(method):
    _, magnitude = decay(sigma=20)
    found, threads = [], numba.get_num_threads()
    for number in (1, threads):
        numba.set_num_threads(number)
        found.append(fit_r2star(magnitude, TE, ALL, method=method))
    numba.set_num_threads(threads)
    assert all(np.array_equal(a, b) for a, b in zip(*found, strict=True))


@each
def test_too_few_echoes_and_bad_values_are_refused(method):
    _, magnitude = decay()
    few = 2 if method == "arlo" else 1
    with pytest.raises(ValueError, match="echoes or more"):
        fit_r2star(magnitude[..., :few], TE[:few], ALL, method=method)
    magnitude[0, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        fit_r2star(magnitude, TE, ALL, method=method)
    fit_r2star(magnitude, TE, ALL & (np.arange(12) > 0)[:, None, None], method=method)


def test_unknown_choices_are_refused():
    _, magnitude = decay()
    with pytest.raises(ValueError, match="unknown relaxometry"):
        fit_r2star(magnitude, TE, ALL, method="best")
    with pytest.raises(ValueError, match="unknown floor"):
        fit_r2star(magnitude, TE, ALL, method="nonlinear", floor="high")
    with pytest.raises(ValueError, match="one coil or more"):
        fit_r2star(magnitude, TE, ALL, method="nonlinear", coils=0)
