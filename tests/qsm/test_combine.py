import numpy as np
import pytest

from qsmprep.qsm.combine import mcpc3ds

B0 = 42.577478518 * 3


def acquisition(sphere, head, te, bipolar=False, seed=0, snr=100.0):
    """Phase and magnitude of the small head with a curved offset, and what has to be removed."""
    rng = np.random.default_rng(seed)
    shape = head.mask.shape
    x, y, z = (c / n for c, n in zip(sphere.coordinates(shape, (1, 1, 1)), shape, strict=True))
    offset = 0.9 + 1.4 * x - 1.2 * y**2 + 0.6 * z
    plane = 0.3 * x + 2.0 * y + 0.1
    field = B0 * (head.local + head.background)
    echoes = []
    for i, t in enumerate(te):
        alternating = plane * (-1) ** i if bipolar else 0
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


@pytest.mark.parametrize("te", [(0.004, 0.008, 0.012, 0.016), (0.004, 0.0072, 0.013)])
def test_bipolar_readout_leaves_no_difference_between_odd_and_even_echoes(sphere, head, te):
    h = head()
    phase, magnitude, truth, _ = acquisition(sphere, h, te, bipolar=True)
    corrected = mcpc3ds(phase, magnitude, te, h.mask, bipolar=True)
    ignored = mcpc3ds(phase, magnitude, te, h.mask)
    good, bad = error(corrected.phase, truth, h.mask), error(ignored.phase, truth, h.mask)
    assert np.median(np.abs(good)) < 0.05
    assert np.median(np.abs(good)) < 0.2 * np.median(np.abs(bad))


def test_a_single_echo_comes_back_as_it_was_and_says_so(sphere, head):
    h = head()
    phase, magnitude, *_ = acquisition(sphere, h, (0.02,))
    combined = mcpc3ds(phase, magnitude, (0.02,), h.mask)
    assert combined.offset is None
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
