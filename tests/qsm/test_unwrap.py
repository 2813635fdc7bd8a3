import numba
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.restoration import unwrap_phase

from qsmprep.qsm.unwrap import unwrap, voxel_quality

SHAPE = (24, 20, 18)
TE = (0.004, 0.009, 0.0155)


def ramp(sphere, te=TE, hertz=120.0):
    """Phase of a field that wraps several times, free of offsets; its median is near 0."""
    x, y, z = (c / n for c, n in zip(sphere.coordinates(SHAPE, (1, 1, 1)), SHAPE, strict=True))
    field = hertz * (1.5 * x + 3 * y**2 - 0.25 + 0.8 * z * x)
    return (2 * np.pi * field[..., None] * np.asarray(te)).astype(np.float32)


def everywhere():
    return np.ones(SHAPE, bool)


@pytest.mark.parametrize(
    "params", [{}, {"template_echo": 2}, {"template_echo": 3}, {"template_echo": 0}, {"mode": "individual"}]
)
def test_romeo_recovers_a_smooth_multi_echo_phase(sphere, params):
    truth = ramp(sphere)
    unwrapped = unwrap(sphere.wrap(truth), np.ones_like(truth), everywhere(), TE, **params)
    assert unwrapped.dtype == np.float32
    assert np.abs(unwrapped - truth).max() < 1e-4


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    arrays(np.float32, (7, 6, 5, 2), elements=st.floats(-3.140625, 3.140625, width=32)),
    arrays(np.bool_, (7, 6, 5)),
    st.booleans(),
)
def test_romeo_changes_phase_by_whole_turns_only(phase, mask, individual):
    if not mask.any():
        return
    magnitude = np.abs(phase) + 0.1
    unwrapped = unwrap(phase, magnitude, mask, (0.01, 0.02), mode="individual" if individual else "template")
    turns = ((unwrapped - phase) / (2 * np.pi))[mask]
    assert np.abs(turns - np.rint(turns)).max() < 1e-4
    assert not unwrapped[~mask].any()


def test_romeo_agrees_with_scikit_image_on_a_single_noisy_echo(sphere):
    rng = np.random.default_rng(3)
    truth = ramp(sphere, te=(0.012,))[..., 0] + rng.normal(0, 0.15, SHAPE)
    phase = sphere.wrap(truth).astype(np.float32)
    ours = unwrap(phase, None, everywhere(), (0.012,))[..., 0]
    theirs = unwrap_phase(phase)
    turns = np.rint((ours - theirs) / (2 * np.pi))
    assert np.mean(turns == np.median(turns)) > 0.999


def test_each_connected_part_of_the_mask_is_unwrapped_and_placed_near_zero(sphere):
    truth = ramp(sphere)
    mask = everywhere()
    mask[8:10] = False
    mask[15, :, :] = False
    mask[0, 0, 0] = mask[23, 19, 17] = True
    mask[1:3, 0, 0] = mask[0, 1, 0] = mask[0, 0, 1] = False
    unwrapped = unwrap(sphere.wrap(truth), np.ones_like(truth), mask, TE)
    for part in (np.s_[2:8, 3:, 3:], np.s_[10:15], np.s_[16:]):
        turns = ((unwrapped - truth)[part] / (2 * np.pi))[mask[part]]
        assert np.ptp(np.rint(turns[:, 0])) == 0
        assert abs(np.median(unwrapped[part][mask[part]][:, 0])) < 1.3 * np.pi
    assert not unwrapped[~mask].any()


def test_region_growing_goes_around_a_noisy_wall(sphere):
    """A wall of noise with a gap: whoever crosses it is wrong by turns."""
    rng = np.random.default_rng(0)
    truth = ramp(sphere)
    magnitude = np.ones_like(truth)
    phase = sphere.wrap(truth)
    wall = np.s_[11:13, : SHAPE[1] - 5]
    phase[wall] = rng.uniform(-np.pi, np.pi, phase[wall].shape)
    magnitude[wall] = 0.05
    unwrapped = unwrap(phase, magnitude, everywhere(), TE)
    away = everywhere()
    away[10:14] = False
    assert np.abs((unwrapped - truth)[away]).max() < 1e-3


def test_a_voxel_next_to_the_volume_edge_and_a_single_voxel_mask_are_fine(sphere):
    phase = sphere.wrap(ramp(sphere))
    mask = np.zeros(SHAPE, bool)
    mask[0, 0, 0] = True
    unwrapped = unwrap(phase, None, mask, TE)
    assert unwrapped[0, 0, 0, 0] == pytest.approx(phase[0, 0, 0, 0])


def test_romeo_is_deterministic(sphere):
    rng = np.random.default_rng(5)
    phase = rng.uniform(-np.pi, np.pi, (*SHAPE, 3)).astype(np.float32)
    first = unwrap(phase, np.ones_like(phase), everywhere(), TE)
    assert np.array_equal(first, unwrap(phase, np.ones_like(phase), everywhere(), TE))


def test_quality_tells_signal_from_noise(sphere):
    rng = np.random.default_rng(0)
    truth = ramp(sphere, hertz=40)
    signal = np.zeros(SHAPE, bool)
    signal[4:-4, 4:-4, 4:-4] = True
    vectors = signal[..., None] * 10 * np.exp(1j * truth)
    vectors = vectors + rng.normal(size=truth.shape) * 0.2 + 1j * rng.normal(size=truth.shape) * 0.2
    quality = voxel_quality(np.angle(vectors), np.abs(vectors), TE)
    assert quality.dtype == np.float32
    assert quality.min() >= 0 and quality.max() <= 1
    core = signal & np.roll(signal, 1, 0) & np.roll(signal, -1, 0)
    assert np.percentile(quality[core], 5) > 0.6
    assert np.percentile(quality[~signal], 95) < 0.4


def test_quality_of_a_flat_phase_is_one_even_at_the_volume_edge():
    quality = voxel_quality(np.zeros((5, 6, 7, 2)), np.ones((5, 6, 7, 2)), (0.01, 0.02))
    assert quality.min() == 1


def test_laplacian_recovers_a_smooth_phase(sphere):
    truth = ramp(sphere)
    unwrapped = unwrap(sphere.wrap(truth), None, everywhere(), TE, (1, 1, 2), method="laplacian")
    assert unwrapped.dtype == np.float32
    assert np.abs(unwrapped - truth).max() < 0.01


def test_bad_input_is_refused(sphere):
    phase = ramp(sphere)
    with pytest.raises(ValueError, match="unknown unwrapping method"):
        unwrap(phase, None, everywhere(), TE, method="best")
    with pytest.raises(ValueError, match="echo times"):
        unwrap(phase, None, everywhere(), (0.01, 0.005, 0.02))
    with pytest.raises(ValueError, match="echo times"):
        unwrap(phase, None, everywhere(), (4, 9, 15))
    with pytest.raises(ValueError, match="mask is empty"):
        unwrap(phase, None, ~everywhere(), TE)
    with pytest.raises(ValueError, match="template"):
        unwrap(phase, None, everywhere(), TE, template_echo=4)


@pytest.mark.parametrize("mode", ["template", "individual"])
def test_single_voxels_a_turn_off_are_set_right(sphere, mode):
    """Isolated voxels whose phase points elsewhere in one echo leave that echo a turn away from its neighbours."""
    truth = ramp(sphere, hertz=60.0)
    phase = sphere.wrap(truth)
    places = [(5, 5, 5, 2), (12, 9, 4, 1), (18, 14, 12, 2)]
    for place in places:
        phase[place] = sphere.wrap(truth[place] + 3.0)
    found = {c: unwrap(phase, np.ones_like(phase), everywhere(), TE, mode=mode, correct_jumps=c) for c in (True, False)}
    for place in places:
        assert abs(found[True][place] - truth[place]) < 3.2
    calm = np.ones(phase.shape, bool)
    for place in places:
        calm[place] = False
    assert np.abs((found[True] - truth)[calm]).max() < 1e-3


def test_a_field_that_passes_half_a_turn_a_voxel_is_continued_by_its_slope(sphere):
    """Around air the true step exceeds π: a path along it loses a turn, the line through two voxels does not."""
    x, y, z = sphere.coordinates(SHAPE, (1, 1, 1))
    mask = x**2 + y**2 + z**2 > 4.5**2
    truth = 4 * sphere.field(SHAPE, (1, 1, 1), 4.0, (0, 0, 1), 9.4)[..., None]
    assert np.abs(np.diff(truth[..., 0], axis=2))[mask[..., 1:] & mask[..., :-1]].max() > 1.7 * np.pi
    phase = sphere.wrap(truth)
    as_grown = unwrap(phase, None, mask, (0.01,), correct_jumps=False)
    settled = unwrap(phase, None, mask, (0.01,))
    assert (np.abs(as_grown - truth)[mask] > 1).sum() > 30
    assert np.abs(settled - truth)[mask].max() < 1e-3


def test_individual_mode_brings_patches_of_later_echoes_to_the_template(sphere):
    truth = ramp(sphere, hertz=40.0)
    phase = sphere.wrap(truth)
    rng = np.random.default_rng(1)
    x, y, z = sphere.coordinates(SHAPE, (1, 1, 1))
    r = np.sqrt(x**2 + y**2 + z**2)
    rind = (r > 4) & (r < 6)
    magnitude = np.ones_like(phase)
    magnitude[rind, 2] = 0.05
    phase[rind, 2] = rng.uniform(-np.pi, np.pi, rind.sum())
    phase[r <= 4, 2] = sphere.wrap(phase[r <= 4, 2])
    unwrapped = unwrap(phase, magnitude, everywhere(), TE, mode="individual")
    assert np.abs((unwrapped - truth)[~rind]).max() < 1e-3


@pytest.mark.parametrize("params", [{}, {"mode": "individual"}])
def test_any_number_of_threads_gives_the_same_bits(params):
    rng = np.random.default_rng(6)
    phase = rng.uniform(-np.pi, np.pi, (*SHAPE, 3)).astype(np.float32)
    found, threads = [], numba.get_num_threads()
    for number in (1, threads):
        numba.set_num_threads(number)
        found.append(unwrap(phase, np.ones_like(phase), everywhere(), TE, **params))
    numba.set_num_threads(threads)
    assert np.array_equal(*found)


@pytest.mark.parametrize("left_out", ["phase_coherence", "gradient_coherence", "magnitude_coherence"])
def test_each_coherence_has_its_say_at_the_noisy_wall(sphere, left_out):
    rng = np.random.default_rng(0)
    phase = rng.uniform(-np.pi, np.pi, (*SHAPE, 2)).astype(np.float32)
    magnitude = rng.uniform(0.1, 1, phase.shape)
    whole = unwrap(phase, magnitude, everywhere(), TE[:2])
    assert not np.array_equal(whole, unwrap(phase, magnitude, everywhere(), TE[:2], **{left_out: False}))


def test_template_0_is_the_most_reliable_echo(sphere):
    """The first echo has so little signal that the second is the better template."""
    rng = np.random.default_rng(4)
    truth = ramp(sphere, hertz=30.0)
    magnitude = np.ones_like(truth) * np.array([0.2, 1, 1])
    phase = sphere.wrap(truth + rng.normal(size=truth.shape) * 0.15 / magnitude).astype(np.float32)
    chosen = unwrap(phase, magnitude, everywhere(), TE, template_echo=0)
    assert np.array_equal(chosen, unwrap(phase, magnitude, everywhere(), TE, template_echo=2))
    assert not np.array_equal(chosen, unwrap(phase, magnitude, everywhere(), TE, template_echo=1))


def test_laplacian_uses_what_surrounds_the_mask(sphere):
    truth = ramp(sphere)
    mask = np.zeros(SHAPE, bool)
    mask[6:-6, 6:-6, 6:-6] = True
    phase = sphere.wrap(truth)
    phase[:3] = 0  # nothing beyond the padded box takes part
    near = unwrap(phase, None, mask, TE, method="laplacian", pad_mm=3)
    assert np.abs((near - truth)[mask]).max() < 0.01
    far = unwrap(phase, None, mask, TE, method="laplacian", pad_mm=6)
    assert np.abs((far - truth)[mask]).max() > 0.05


def test_edges_that_are_certain_need_no_order_among_each_other(sphere, monkeypatch):
    """A noisy phase with singularities: the short way gives what the full order of the weights gives."""
    from qsmprep.qsm.unwrap import _growth

    rng = np.random.default_rng(8)
    truth = ramp(sphere, hertz=200.0)
    x, y, z = sphere.coordinates(SHAPE, (1, 1, 1))
    noise = np.where((x**2 + y**2 + z**2 < 25)[..., None], 1.5, 0.2)
    phase = sphere.wrap(truth + noise * rng.standard_normal(truth.shape)).astype(np.float32)
    magnitude = (1 / noise * np.ones_like(truth)).astype(np.float32)
    short = unwrap(phase, magnitude, everywhere(), TE)
    monkeypatch.setattr(_growth, "CERTAIN", 255)
    assert np.array_equal(short, unwrap(phase, magnitude, everywhere(), TE))
    monkeypatch.setattr(_growth, "CERTAIN", 1)  # no order at all: the test can tell
    assert not np.array_equal(short, unwrap(phase, magnitude, everywhere(), TE))
