import inspect
from dataclasses import asdict

import numpy as np
import pytest

from qsmprep.parameters import Coils, Mcpc3ds
from qsmprep.qsm.combine import alternating_axis, combine_coils, mcpc3ds, remove_alternation

B0 = 42.577478518 * 3
SNR = 100.0


def acquisition(sphere, head, te, bipolar=False, numbers=None, bend=0.0, seed=0, snr=SNR):
    """Phase and magnitude of the small head with a curved offset, and what has to be removed."""
    rng = np.random.default_rng(seed)
    shape = head.mask.shape
    x, y, z = (c / n for c, n in zip(sphere.coordinates(shape, (1, 1, 1)), shape, strict=True))
    offset = 0.9 + 1.4 * x - 1.2 * y**2 + 0.6 * z
    plane = 0.3 * x + 2.0 * y + 0.1 + bend * (y**2 + y**3)
    field = B0 * (head.local + head.background)
    echoes = []
    for number, t in zip(numbers or range(1, len(te) + 1), te, strict=True):
        alternating = plane * (-1) ** (number + 1) if bipolar else 0
        signal = head.mask * np.exp(-20 * t) * np.exp(1j * (2 * np.pi * field * t + offset + alternating))
        echoes.append(signal + (rng.normal(size=shape) + 1j * rng.normal(size=shape)) / snr)
    vectors = np.stack(echoes, axis=-1)
    truth = 2 * np.pi * field[..., None] * np.asarray(te)
    return np.angle(vectors).astype(np.float32), np.abs(vectors).astype(np.float32), truth, offset


def error(phase, truth, mask):
    return np.angle(np.exp(1j * (phase - truth)))[mask]


@pytest.mark.parametrize("te", [(0.004, 0.008, 0.012), (0.005, 0.0117), (0.0075, 0.012, 0.02, 0.026)])
def test_known_offset_is_removed_with_even_and_uneven_echo_times(sphere, head, te):
    h = head()
    phase, magnitude, truth, offset = acquisition(sphere, h, te)
    combined = mcpc3ds(phase, magnitude, te, h.mask)
    assert combined.phase.dtype == combined.offset.dtype == np.float32
    assert np.abs(combined.phase).max() <= np.float32(np.pi)
    wrong = error(combined.offset, offset, h.mask)
    assert abs(wrong.mean()) < 0.01
    assert wrong.std() < 0.03
    assert abs(np.median(error(combined.phase, truth, h.mask))) < 0.01


def test_phase_rises_with_echo_time_where_the_field_is_positive(sphere, head):
    h = head()
    te = (0.004, 0.008, 0.012)
    phase, magnitude, *_ = acquisition(sphere, h, te)
    combined = mcpc3ds(phase, magnitude, te, h.mask)
    grown = np.angle(np.exp(1j * (combined.phase[..., 1] - combined.phase[..., 0])))
    field = h.local + h.background
    strong = h.mask & (np.abs(field) > 0.02) & (np.abs(field) < 0.4)
    assert np.mean(np.sign(grown[strong]) == np.sign(field[strong])) > 0.99


def field_error(phase, magnitude, truth, te, mask):
    """Error of the field [Hz] fitted to the echoes, and what the noise alone makes of it (both as standard deviation).

    The fit has an intercept, so that nothing but differences between echoes counts.
    """
    te = np.asarray(te)
    wrong = np.angle(np.exp(1j * (phase - truth)))[mask] / (2 * np.pi)
    weight = magnitude[mask] ** 2
    mean = (weight * te).sum(1) / weight.sum(1)
    lever = weight * (te - mean[:, None])
    spread = (lever * (te - mean[:, None])).sum(1)
    noise = 1 / (2 * np.pi * SNR * np.sqrt(spread))
    return (lever * wrong).sum(1) / spread, noise


BIPOLAR = [
    ((0.004, 0.008, 0.012, 0.016), None),
    ((0.004, 0.0072, 0.013, 0.0171), None),
    ((0.004, 0.008, 0.012), None),
    ((0.004, 0.008, 0.016, 0.020), (1, 2, 4, 5)),  # the third was dropped
    ((0.008, 0.012, 0.016), (2, 3, 4)),  # the first was dropped
    ((0.004, 0.008, 0.016), (1, 2, 4)),
    ((0.004, 0.012, 0.020), (1, 3, 5)),  # all of one polarity
]


@pytest.mark.parametrize("told", [True, None])
@pytest.mark.parametrize(("te", "numbers"), BIPOLAR)
def test_bipolar_readout_gives_the_field_within_noise_also_with_dropped_echoes(sphere, head, te, numbers, told):
    h = head()
    phase, magnitude, truth, _ = acquisition(sphere, h, te, bipolar=True, numbers=numbers, bend=0.5)
    combined = mcpc3ds(phase, magnitude, te, h.mask, bipolar=told, echo_numbers=numbers)
    wrong, noise = field_error(combined.phase, magnitude, truth, te, h.mask)
    # what smoothing leaves of the bend on a head of 64 mm: 0.15 Hz, 1.2 ppb
    assert np.std(wrong) < np.hypot(1.02 * np.sqrt(np.mean(noise**2)), 0.15)
    assert abs(np.median(wrong)) < 0.1  # Hz: 0.8 ppb
    if len({n % 2 for n in numbers or range(1, 3)}) == 2:
        assert combined.record["Readout"] == "bipolar"
        slope = np.array([0.3, 2.0, 0.0]) / np.array(h.mask.shape)
        assert np.abs(combined.record["OddEvenSlopeRadPerMm"]) == pytest.approx(2 * slope, rel=0.15, abs=3e-4)


def test_polarity_goes_by_echo_number_not_by_place(sphere, head):
    """Counted by place, the echoes behind a dropped one are corrected the wrong way."""
    h, te = head(), (0.004, 0.008, 0.016, 0.020)
    phase, magnitude, truth, _ = acquisition(sphere, h, te, bipolar=True, numbers=(1, 2, 4, 5))
    right = mcpc3ds(phase, magnitude, te, h.mask, bipolar=True, echo_numbers=(1, 2, 4, 5))
    wrong = mcpc3ds(phase, magnitude, te, h.mask, bipolar=True)
    good, bad = (field_error(c.phase, magnitude, truth, te, h.mask)[0].std() for c in (right, wrong))
    assert good < 0.3 * bad  # what is left is noise


@pytest.mark.parametrize("te", [(0.004, 0.008, 0.012), (0.004, 0.008, 0.012, 0.016, 0.020), (0.003, 0.0091, 0.0143)])
def test_monopolar_echoes_are_not_taken_for_bipolar_ones(sphere, head, te):
    h = head()
    phase, magnitude, *_ = acquisition(sphere, h, te)
    combined = mcpc3ds(phase, magnitude, te, h.mask, bipolar=None)
    assert combined.record["Readout"] == "monopolar" and combined.record["OddEvenRamp"] < 0.1
    assert np.array_equal(combined.phase, mcpc3ds(phase, magnitude, te, h.mask, bipolar=False).phase)


def test_a_ramp_in_the_first_echo_alone_is_no_bipolar_readout(sphere, head):
    h, te = head(), (0.004, 0.008, 0.012, 0.016)
    phase, magnitude, *_ = acquisition(sphere, h, te)
    _, y, _ = sphere.coordinates(h.mask.shape, (1, 1, 1))
    phase[..., 0] = sphere.wrap(phase[..., 0] + 0.05 * y)
    combined = mcpc3ds(phase, magnitude, te, h.mask, bipolar=None)
    assert combined.record["Readout"] == "monopolar"
    assert "does not alternate" in combined.record["ReadoutDoubt"]


def test_two_bipolar_echoes_come_back_as_they_were_and_say_why(sphere, head):
    h, te = head(), (0.004, 0.008)
    phase, magnitude, *_ = acquisition(sphere, h, te, bipolar=True)
    combined = mcpc3ds(phase, magnitude, te, h.mask, bipolar=True)
    assert combined.offset is None and "bipolar" in combined.record["Reason"]
    assert np.allclose(combined.phase, phase, atol=1e-6)


@pytest.mark.parametrize("numbers", [(1, 2), (2, 1, 3), (0, 1, 2), (1, 1, 2)])
def test_echo_numbers_that_cannot_be_are_refused(sphere, head, numbers):
    h, te = head(), (0.004, 0.008, 0.012)
    phase, magnitude, *_ = acquisition(sphere, h, te)
    with pytest.raises(ValueError, match="echo numbers"):
        mcpc3ds(phase, magnitude, te, h.mask, echo_numbers=numbers)


def test_a_single_echo_comes_back_as_it_was_and_says_so(sphere, head):
    h = head()
    phase, magnitude, *_ = acquisition(sphere, h, (0.02,))
    combined = mcpc3ds(phase, magnitude, (0.02,), h.mask)
    assert combined.offset is None and "single echo" in combined.record["Reason"]
    assert np.allclose(combined.phase, phase, atol=1e-6)


def test_smoothing_width_is_in_millimetres(sphere, head):
    """Half the voxel size, with twice the voxels, gives the same offset."""
    te = (0.004, 0.008)
    coarse = head((32, 32, 28), (2.0, 2.0, 2.0))
    phase, magnitude, *_ = acquisition(sphere, coarse, te)
    twice = [np.repeat(np.repeat(np.repeat(a, 2, 0), 2, 1), 2, 2) for a in (phase, magnitude)]
    mask = np.repeat(np.repeat(np.repeat(coarse.mask, 2, 0), 2, 1), 2, 2)
    one = mcpc3ds(phase, magnitude, te, coarse.mask, (2, 2, 2), sigma_mm=6)
    other = mcpc3ds(*twice, te, mask, (1, 1, 1), sigma_mm=6)
    difference = np.angle(np.exp(1j * (other.offset[::2, ::2, ::2] - one.offset)))
    assert np.abs(difference[coarse.mask]).max() < 0.1


def test_works_without_magnitude_and_mask(sphere, head):
    h = head()
    te = (0.004, 0.008, 0.012)
    phase, _, _, offset = acquisition(sphere, h, te)
    combined = mcpc3ds(phase, None, te, h.mask)
    assert error(combined.offset, offset, h.mask).std() < 0.05


# coils


def coil_data(sphere, head, te, n_coils=8, bipolar=False, singular=True):
    """Coils around the head; each receives nothing along a line inside it, about which its phase turns once."""
    rng = np.random.default_rng(1)
    shape = head.mask.shape
    x, y, z = (c / n for c, n in zip(sphere.coordinates(shape, (1, 1, 1)), shape, strict=True))
    field = B0 * (head.local + head.background)
    coils, power = [], np.zeros(shape)
    for coil in range(n_coils):
        a = 2 * np.pi * coil / n_coils
        near = np.exp(-((x - 0.55 * np.cos(a)) ** 2 + (y - 0.55 * np.sin(a)) ** 2 + 0.6 * z**2) / 0.4)
        turn = np.exp(1j * (2 * a + 1.5 * z + x * np.sin(a)))
        if singular:
            sign = 1j if coil % 2 else -1j
            turn = turn * 2 * ((x - 0.22 * np.cos(a + 2.6)) + sign * (y - 0.22 * np.sin(a + 2.6)))
        power += np.abs(near * turn) ** 2
        echoes = []
        for i, t in enumerate(te):
            ramp = (-1) ** i * (2 * y + 0.1) if bipolar else 0
            signal = head.mask * np.exp(-20 * t + 1j * (2 * np.pi * field * t + 0.9 + 1.4 * x + ramp)) * near * turn
            echoes.append(signal + (rng.normal(size=shape) + 1j * rng.normal(size=shape)) / 200)
        vectors = np.stack(echoes, axis=-1)
        coils.append((np.abs(vectors).astype(np.float32), np.angle(vectors).astype(np.float32)))
    noise = np.exp(20 * np.asarray(te)) / (200 * np.sqrt(power[head.mask]))[:, None]
    return coils, 2 * np.pi * field[..., None] * np.asarray(te), noise


@pytest.mark.parametrize(
    ("te", "bipolar"),
    [((0.004, 0.008, 0.012), False), ((0.005, 0.0112, 0.0171), False), ((0.004, 0.008, 0.012, 0.016), True)],
)
def test_coils_with_singular_offsets_give_the_true_phase_with_the_noise_of_all_of_them(sphere, head, te, bipolar):
    h = head()
    coils, truth, noise = coil_data(sphere, h, te, bipolar=bipolar)
    reads = []

    def read(coil):
        reads.append(coil)
        return coils[coil]

    combined = combine_coils(read, 8, te, bipolar=None if bipolar else False)
    wrong = error(combined.phase, truth, h.mask)
    assert np.abs(np.median(wrong, axis=0)).max() < 0.01
    assert (wrong.std(axis=0) < 1.25 * np.sqrt((noise**2).mean(axis=0))).all()
    assert combined.record["Coils"] == 8 and max(map(reads.count, range(8))) <= 3
    assert np.allclose(combined.magnitude**2, sum(m**2 for m, _ in coils), rtol=1e-4)


def test_one_coil_is_as_good_as_a_combined_image(sphere, head):
    h, te = head(), (0.004, 0.008, 0.012)
    phase, magnitude, truth, _ = acquisition(sphere, h, te)
    combined = combine_coils(lambda _: (magnitude, phase), 1, te)
    assert error(combined.phase, truth, h.mask).std() < 0.035


def test_single_echo_of_coils_agrees_up_to_a_smooth_offset(sphere, head):
    h, te = head(), (0.02,)
    coils, truth, noise = coil_data(sphere, h, te, singular=False)
    combined = combine_coils(lambda coil: coils[coil], 8, te)
    left = np.exp(1j * (combined.phase - truth)[..., 0]) * h.mask
    # the offset of the reference is a polynomial of low order: taken off, noise is left
    x, y, z = (c[h.mask] / 64 for c in sphere.coordinates(h.mask.shape, (1, 1, 1)))
    terms = np.stack([x**i * y**j * z**k for i in range(5) for j in range(5 - i) for k in range(5 - i - j)], axis=-1)
    middle = left[32, 32, 28] / abs(left[32, 32, 28])
    from qsmprep.qsm.unwrap.romeo import unwrap_volume

    angle = unwrap_volume(np.angle(left * middle.conj()).astype(np.float32), None, h.mask)[h.mask]
    rest = angle - terms @ np.linalg.lstsq(terms, angle, rcond=None)[0]
    assert rest.std() < 1.5 * np.sqrt((noise**2).mean())
    assert "offset of the reference" in combined.record["Remains"]


def test_coils_of_unequal_shape_or_without_signal_are_refused(sphere, head):
    h, te = head((32, 32, 28)), (0.004, 0.008)
    phase, magnitude, *_ = acquisition(sphere, h, te)
    with pytest.raises(ValueError, match="phase of coil 2 has shape"):
        combine_coils(lambda coil: (magnitude[:, coil:], phase[:, coil:]), 2, te)
    with pytest.raises(ValueError, match="no signal"):
        combine_coils(lambda _: (magnitude * 0, phase), 2, te)


# every second slice with π added


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("with_magnitude", [True, False])
def test_alternating_slices_are_found_and_give_the_same_field(sphere, head, axis, with_magnitude):
    h, te = head(), (0.004, 0.008, 0.012)
    phase, magnitude, *_ = acquisition(sphere, h, te, snr=30)
    odd = (np.arange(phase.shape[axis]) % 2).reshape([-1 if a == axis else 1 for a in range(4)])
    written = sphere.wrap(phase + np.pi * odd).astype(np.float32)
    first = magnitude[..., 0] if with_magnitude else None
    assert alternating_axis(phase[..., 0], first) == (None, [])
    assert alternating_axis(written[..., 0], first) == (axis, [])
    restored = remove_alternation(written, axis)
    assert np.abs(sphere.wrap(restored - phase)).max() < 1e-5
    assert np.abs(restored).max() <= np.float32(np.pi)
    assert np.array_equal(remove_alternation(written[..., 0], axis), restored[..., 0])


def test_steep_fields_noise_and_few_flipped_slices_are_no_alternation(sphere, head):
    h = head()
    _, _, z = sphere.coordinates(h.mask.shape, (1, 1, 1))
    rng = np.random.default_rng(0)
    noise = rng.uniform(-np.pi, np.pi, h.mask.shape).astype(np.float32)
    assert alternating_axis(noise, None) == (None, [])
    # a third of a turn a slice
    assert alternating_axis(sphere.wrap(2 * np.pi / 3.1 * z + 0.2 * noise).astype(np.float32), h.mask * 1.0)[0] is None
    some = np.where(np.arange(56) % 7 == 3, np.pi, 0)
    assert alternating_axis(sphere.wrap(0.05 * z + some).astype(np.float32), h.mask * 1.0) == (None, [2])


@pytest.mark.parametrize(("function", "table"), [(mcpc3ds, Mcpc3ds), (combine_coils, Coils)])
def test_parameters_of_the_tables_are_the_keywords(function, table):
    data = {"bipolar", "echo_numbers"}
    found = inspect.signature(function).parameters.values()
    assert asdict(table()) == {p.name: p.default for p in found if p.kind is p.KEYWORD_ONLY and p.name not in data}
