from dataclasses import asdict, fields

import numpy as np
import pytest

from qsmprep.parameters import Tables
from qsmprep.qsm.constants import PHASE_PER_PPM
from qsmprep.qsm.inversion import METHODS, invert

# the speed that twice the field needs, for the same path to twice the solution; non-linear methods wrap it at half the
# phase, and the iterations of ndi fall as the noise grows
DOUBLE = {
    "hdqsm": {"gradient_step": 1 / 30},
    "medi": {"gradient_step": 1 / 30, "phase_per_ppm": PHASE_PER_PPM / 2},
    "ndi": {"iterations": 40, "phase_per_ppm": PHASE_PER_PPM / 2},
    "nltv": {"gradient_step": 1 / 30, "phase_per_ppm": PHASE_PER_PPM / 2},
    "rts": {"gradient_step": 0.04, "mu": 20.0},
    "starqsm": {"gradient_step": 1 / 30, "weight_strong": 2e-2},  # what is strong is not a matter of noise
    "tv": {"gradient_step": 1 / 30},
    "whqsm": {"gradient_step": 1 / 30, "phase_per_ppm": PHASE_PER_PPM / 2},
}
# relative to the squared dipole, so that more noise is more blur: how far twice the field falls short of twice χ
BLURRED = {"tikhonov": 0.93, "tikhonov_iterative": 0.93, "ilsqr": 1.0}


PARAMETERS = {f.name: asdict(f.default_factory()) for f in fields(Tables)}


def noisy(h, sd=0.001):
    return (h.local + np.random.default_rng(0).normal(0, sd, h.local.shape) * h.mask).astype(np.float32)


def compare(found, truth, mask):
    a, b = found[mask] - found[mask].mean(), truth[mask] - truth[mask].mean()
    return np.linalg.norm(a - b) / np.linalg.norm(b), np.polyfit(b, a, 1)[0]


@pytest.mark.parametrize("method", METHODS)
def test_wrong_b0_direction_is_worse(head, method):
    b0_dir = (0.0, 0.5, 0.87)
    h = head(b0_dir=b0_dir)
    right = compare(invert(noisy(h), h.mask, (1, 1, 1), b0_dir, method=method), h.chi, h.mask)[0]
    wrong = compare(invert(noisy(h), h.mask, (1, 1, 1), (0, 0, 1), method=method), h.chi, h.mask)[0]
    assert wrong > 1.5 * right


@pytest.mark.parametrize("method", METHODS)
def test_sign_follows_the_field(head, method):
    h = head()
    chi = invert(h.local, h.mask, (1, 1, 1), (0, 0, 1), method=method)
    assert chi[h.chi > 0.09].mean() > 0.07
    assert chi[h.chi < -0.05].mean() < -0.03


@pytest.mark.parametrize("method", [m for m in METHODS if m != "mtv"])
def test_strength_of_the_regularisation_follows_the_noise(head, method):
    """Twice the field has twice the noise: were the regularisation to keep its weight, χ would be less than twice.

    (`mtv` counts a part of the noise that is the same for every field, and is left to the next tests.)
    """
    h = head((48, 48, 48))
    field = noisy(h)
    one = invert(field, h.mask, (1, 1, 1), (0, 0, 1), method=method)
    two = invert(2 * field, h.mask, (1, 1, 1), (0, 0, 1), method=method, **DOUBLE.get(method, {}))
    if method in BLURRED:
        assert compare(two, 2 * one, h.mask)[1] == pytest.approx(BLURRED[method], abs=0.05)
    else:
        assert np.allclose(two, 2 * one, atol=1e-3)


@pytest.mark.parametrize("method", [m for m in METHODS if m != "tkd"])  # tkd does not look at the noise
def test_noise_that_is_told_or_seen_decides_how_much_is_smoothed(head, method):
    """What of the roughness is left where the noise is said to be five times as large."""
    h = head((48, 48, 48))
    field = noisy(h, 0.002)

    def roughness(told=None):
        noise = None if told is None else np.full(h.mask.shape, told, np.float32)
        chi = invert(field, h.mask, (1, 1, 1), (0, 0, 1), method=method, noise=noise)
        return np.abs(np.diff(chi, axis=0))[h.mask[1:] & h.mask[:-1]].mean()

    assert roughness(0.01) < 0.8 * roughness(0.002)
    assert roughness() == pytest.approx(roughness(0.002), rel=0.02)


@pytest.mark.parametrize("method", [m for m in METHODS if m not in ("tkd", "rts")])  # neither has such a weight
def test_what_suits_little_noise_would_be_too_weak_for_four_times_as_much(head, method):
    h = head((56, 56, 48))
    field = noisy(h, 0.004)
    own = PARAMETERS[method]
    weak = {"iterations": 2 * own["iterations"]} if method == "ndi" else {"weight": own["weight"] / 4}
    adapted, fixed = (
        compare(invert(field, h.mask, (1, 1, 1), (0, 0, 1), method=method, **more), h.chi, h.mask)[0]
        for more in ({}, weak)
    )
    assert fixed > (1.1 if method == "ilsqr" else 1.2) * adapted


@pytest.mark.parametrize("method", METHODS)
def test_one_default_holds_from_little_noise_to_much(head, method):
    h = head((56, 56, 48))
    errors = [compare(invert(noisy(h, sd), h.mask, (1, 1, 1), (0, 0, 1), method=method), h.chi, h.mask)[0]
              for sd in (0.0005, 0.001, 0.004)]  # fmt: skip
    truncated = compare(invert(noisy(h, 0.004), h.mask, (1, 1, 1), (0, 0, 1), method="tkd"), h.chi, h.mask)[0]
    assert errors[0] < 1.2 * errors[1]
    assert errors[2] <= (1 if method == "tkd" else 0.85) * truncated


@pytest.mark.parametrize("method", METHODS)
def test_mask_that_touches_the_edge_of_the_volume_gives_the_same_chi(head, method):
    h = head((48, 48, 48))
    rim = [np.flatnonzero(h.mask.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    box = tuple(slice(r[0], r[-1] + 1) for r in rim)
    whole = invert(h.local, h.mask, (1, 1, 1), (0, 0, 1), method=method)
    cropped = invert(h.local[box], h.mask[box], (1, 1, 1), (0, 0, 1), method=method)
    assert np.allclose(whole[box], cropped, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_field_where_noise_is_infinite_does_not_matter(head, method):
    h = head((48, 48, 48))
    field, noise = noisy(h), np.full(h.mask.shape, 0.001, np.float32)
    noise[20:26, 18:24, 20:26] = np.inf
    nonsense = np.where(np.isinf(noise), np.nan, field)
    plain = invert(field, h.mask, (1, 1, 1), (0, 0, 1), method=method, noise=noise)
    assert np.array_equal(invert(nonsense, h.mask, (1, 1, 1), (0, 0, 1), method=method, noise=noise), plain)


@pytest.mark.parametrize("method", [m for m in METHODS if m not in ("tkd", "tikhonov")])
def test_noise_tells_bad_field_values_from_good_ones(head, method):
    h = head()
    field, noise = noisy(h), np.full(h.mask.shape, 0.001, np.float32)
    spoiled = np.zeros_like(h.mask)
    spoiled[28:36, 14:22, 20:28] = True
    elsewhere = h.mask & ~spoiled
    clean = compare(invert(field, h.mask, (1, 1, 1), (0, 0, 1), method=method, noise=noise), h.chi, elsewhere)[0]
    field[spoiled] += np.random.default_rng(1).normal(0, 0.3, spoiled.sum())
    noise[spoiled] = 0.3
    weighted = compare(invert(field, h.mask, (1, 1, 1), (0, 0, 1), method=method, noise=noise), h.chi, elsewhere)[0]
    assert weighted < 1.3 * clean + 0.02


@pytest.mark.parametrize("method", [m for m in METHODS if m not in ("tkd", "tikhonov", "hdqsm", "medi")])
def test_magnitude_tells_bad_field_values_from_good_ones(head, method):
    h = head()
    field, magnitude = noisy(h), np.ones((*h.mask.shape, 2), np.float32)
    spoiled = np.zeros_like(h.mask)
    spoiled[28:36, 14:22, 20:28] = True
    field[spoiled] += np.random.default_rng(1).normal(0, 0.3, spoiled.sum())
    magnitude[spoiled] = 0.01
    elsewhere = h.mask & ~spoiled
    plain = invert(field, h.mask, (1, 1, 1), (0, 0, 1), method=method)
    weighted = invert(field, h.mask, (1, 1, 1), (0, 0, 1), method=method, magnitude=magnitude)
    assert compare(weighted, h.chi, elsewhere)[0] < 0.8 * compare(plain, h.chi, elsewhere)[0]


@pytest.mark.parametrize("method", METHODS)
def test_no_field_and_a_field_without_noise_are_no_special_cases(head, method):
    h = head((40, 40, 40))
    assert not invert(np.zeros_like(h.local), h.mask, (1, 1, 1), (0, 0, 1), method=method).any()
    smooth = np.broadcast_to(np.linspace(-0.01, 0.01, 40, dtype=np.float32), h.mask.shape)
    assert np.isfinite(invert(smooth, h.mask, (1, 1, 1), (0, 0, 1), method=method)).all()


@pytest.mark.parametrize("method", METHODS)
def test_bad_input_is_refused(head, method):
    h = head((32, 32, 32))
    with pytest.raises(ValueError, match="unknown inversion"):
        invert(h.local, h.mask, (1, 1, 1), (0, 0, 1), method="magic")
    with pytest.raises(ValueError, match="mask has shape"):
        invert(h.local, h.mask[1:], (1, 1, 1), (0, 0, 1), method=method)
    with pytest.raises(ValueError, match="NaN"):
        invert(np.full_like(h.local, np.nan), h.mask, (1, 1, 1), (0, 0, 1), method=method)
    if method not in ("tkd", "tikhonov"):  # they do not look at it
        with pytest.raises(ValueError, match="magnitude has shape"):
            invert(h.local, h.mask, (1, 1, 1), (0, 0, 1), method=method, magnitude=np.ones((3, 3, 3)))
