"""Signal, averaging, noise and integers."""

import numpy as np
import pytest

from qsmprep.phantom import signal

GAMMA = 42.577478518


def uniform(shape=(8, 8, 8), field=0.0, r2star=0.0):
    return (np.full(shape, v, np.float32) for v in (1.0, r2star, field))


@pytest.mark.parametrize("b0", [1.5, 3.0, 7.0])
def test_phase_is_plus_two_pi_gamma_field_times_echo_time(b0):
    te = (0.003, 0.006)
    echoes = signal.acquire(*uniform(field=0.05, r2star=20.0), te, b0, (2, 2, 2))
    for e, t in enumerate(te):
        np.testing.assert_allclose(echoes[..., e], np.exp(-t * 20 + 2j * np.pi * GAMMA * b0 * 0.05 * t), atol=1e-5)


@pytest.mark.parametrize("factor", [(2, 2, 2), (4, 1, 2)])
def test_a_field_gradient_across_a_voxel_dephases_it_as_a_sinc(factor):
    magnitude, r2star, field = uniform((16, 8, 8))
    field += np.arange(16, dtype=np.float32)[:, None, None] * 0.1
    te, b0 = (0.010, 0.020), 3.0
    echoes = signal.acquire(magnitude, r2star, field, te, b0, factor)
    for e, t in enumerate(te):
        turns = GAMMA * b0 * 0.1 * factor[0] * t
        np.testing.assert_allclose(np.abs(echoes[1:-1, ..., e]), abs(np.sinc(turns)), atol=2e-3)


def test_averages_take_only_what_lies_inside():
    values = np.zeros((4, 4, 4), np.float32)
    values[:2] = 3.0
    values[2:] = 100.0
    where = np.zeros((4, 4, 4), bool)
    where[:3] = True
    mean, share = signal.block_mean(values, where, (4, 4, 4))
    assert mean.item() == pytest.approx((2 * 3 + 100) / 3) and share.item() == pytest.approx(0.75)
    labels = np.zeros((2, 2, 2), np.uint8)
    labels[0], labels[1, 0, 0] = 7, 9
    assert signal.block_label(labels, (2, 2, 2)).item() == 7


def test_stored_phase_spans_the_integers_of_one_turn():
    angles = np.linspace(-np.pi, np.pi, 5001)
    stored = signal.store_phase(np.exp(1j * angles).astype(np.complex64))
    assert stored.dtype == np.int16 and stored.min() == -4096 and stored.max() == 4094 and not (stored % 2).any()
    off = np.angle(np.exp(1j * (stored * np.pi / 4096 - angles)))
    assert np.abs(off).max() < 1.001 * np.pi / 2048


def test_bipolar_readout_gives_odd_and_even_echoes_opposite_ramps_along_x():
    echoes = np.ones((9, 4, 4, 4), np.complex64)
    signal.alternate(echoes, np.random.default_rng(0))
    phase = np.angle(echoes)
    np.testing.assert_allclose(phase[..., 0], phase[..., 2], atol=1e-6)
    np.testing.assert_allclose(phase[..., 0], -phase[..., 1], atol=1e-6)
    slope = np.diff(phase[:, 0, 0, 0])
    assert slope.min() > 0.05 and np.ptp(slope) < 1e-5
    assert np.ptp(phase[3, :, :, 0]) == 0


def test_noise_has_the_asked_size_in_both_parts():
    echoes = np.zeros((40, 40, 40, 1), np.complex64)
    signal.add_noise(echoes, 0.3, np.random.default_rng(0))
    assert echoes.real.std() == pytest.approx(0.3, rel=0.02) and echoes.imag.std() == pytest.approx(0.3, rel=0.02)
    assert abs(np.mean(echoes.real * echoes.imag)) < 0.002
