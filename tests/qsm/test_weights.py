import numpy as np
import pytest

from qsmprep.qsm._weights import (
    REFERENCE_NOISE,
    data_weight,
    effective_weight,
    field_noise,
    inversion_noise,
    magnitude_weight,
    noise_level,
)
from qsmprep.qsm.inversion import METHODS, invert


@pytest.mark.parametrize("sd", [0.0005, 0.002, 0.01])
def test_noise_is_read_from_the_finest_details_of_a_field(head, sd):
    h = head((64, 63, 55))  # odd lengths: the last planes are in no block
    field = (h.local + np.random.default_rng(0).normal(0, sd, h.local.shape)).astype(np.float32)
    assert field_noise(field, h.mask) == pytest.approx(sd, rel=0.1)


def test_smooth_field_and_a_mask_without_a_block_have_no_noise(head):
    ramp = np.broadcast_to(np.linspace(0, 1, 32, dtype=np.float32), (32, 32, 32))
    assert field_noise(ramp, np.ones((32, 32, 32), bool)) == pytest.approx(0, abs=1e-6)
    thin = np.zeros((32, 32, 32), bool)
    thin[5] = True
    assert field_noise(np.random.default_rng(0).normal(size=(32, 32, 32)).astype(np.float32), thin) == 0


def test_strength_is_in_proportion_to_the_noise():
    assert effective_weight(2e-4, REFERENCE_NOISE) == pytest.approx(2e-4)
    assert effective_weight(2e-4, 3 * REFERENCE_NOISE) == pytest.approx(6e-4)


def test_weights_of_noise_are_median_over_noise_at_most_one():
    mask = np.ones((4, 4, 4), bool)
    mask[0] = False
    noise = np.full(mask.shape, 0.002, np.float32)
    noise[1, 0, :] = (0.001, 0.004, np.inf, np.nan)
    assert noise_level(noise, mask) == pytest.approx(0.002)
    weight = data_weight(noise, mask)
    assert np.allclose(weight[1, 0], (1, 0.5, 0, 1))
    assert not weight[0].any()
    assert np.array_equal(data_weight(None, mask), mask)


def test_nothing_to_be_trusted_has_no_weights():
    """Infinite noise throughout is refused; noise that tells nothing of the others leaves them at 1, and it at 0."""
    mask = np.ones((4, 4, 4), bool)
    mask[0] = False
    noise = np.where(mask, np.inf, 0.001).astype(np.float32)
    with pytest.raises(ValueError, match=r"no voxel of the mask .* infinite throughout"):
        data_weight(noise, mask)
    for nothing_said in (0, np.nan):
        noise[1, 0, 0] = nothing_said
        weight = data_weight(noise, mask)
        assert weight[1, 0, 0] == 1 and weight.sum() == 1
    with pytest.raises(ValueError, match="noise has shape"):
        data_weight(noise[1:], mask)


@pytest.mark.parametrize("method", METHODS)
def test_no_inversion_makes_anything_of_a_field_that_is_trusted_nowhere(head, method):
    h = head((32, 32, 32))
    noise = np.where(h.mask, np.inf, 0).astype(np.float32)
    with pytest.raises(ValueError, match="infinite throughout"):
        invert(h.local, h.mask, (1, 1, 1), (0, 0, 1), method=method, noise=noise)


@pytest.mark.parametrize("given", [None, 0.0005, 0.004])
def test_noise_on_record_is_the_one_that_inversions_go_by(head, given):
    from qsmprep.qsm.inversion._variation import Problem

    h = head((33, 35, 40))
    field = (h.local + np.random.default_rng(0).normal(0, 0.002, h.local.shape)).astype(np.float32)
    noise = None
    if given is not None:
        noise = np.full(field.shape, given, np.float32)
        noise[14:18, 14:18, 14:18] = np.inf
    expected = Problem(field, h.mask, (1, 1, 1), noise=noise).noise
    assert inversion_noise(field, h.mask, noise) == pytest.approx(expected, rel=1e-5)
    assert expected == pytest.approx(max(0.002, given or 0), rel=0.15)


def test_weights_of_magnitude_are_relative_to_its_median_at_most_one():
    mask = np.ones((4, 4, 4), bool)
    magnitude = np.full((4, 4, 4, 2), 10.0)
    magnitude[0, 0, 0], magnitude[0, 0, 1] = 2, 40
    weight = magnitude_weight(magnitude, mask)
    assert weight[0, 0, 0] == pytest.approx(0.2)
    assert (weight[0, 0, 1], weight[3, 3, 3]) == (1, 1)
    assert np.array_equal(magnitude_weight(np.zeros((4, 4, 4)), mask), mask)
    with pytest.raises(ValueError, match="magnitude has shape"):
        magnitude_weight(magnitude[1:], mask)
