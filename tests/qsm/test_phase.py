from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qsmprep.qsm.phase import find_phase_scaling, from_real_imag, to_radians

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"
PI = np.pi


def wrapped(seed=0, n=20000):
    """Wrapped phase as a run has it: noise all around, and a brain of which some is near 0."""
    rng = np.random.default_rng(seed)
    phase = np.concatenate([rng.uniform(-PI, PI, n // 2), rng.normal(0.5, 1.2, n // 2)])
    return (phase + PI) % (2 * PI) - PI


def scaling_of(values, metadata=None):
    return find_phase_scaling(values.min(), values.max(), values, metadata)


STORED = {
    "radians": ("radians", lambda p: p),
    "radians_0_2pi": ("radians_0_2pi", lambda p: p % (2 * PI)),
    "siemens": ("integer_4096", lambda p: 2 * np.floor((p + PI) / (2 * PI) * 4096).clip(0, 4095) - 4096),
    "siemens_raw": ("integer_0_4095", lambda p: np.floor((p + PI) / (2 * PI) * 4096).clip(0, 4095)),
    "0_to_4096": ("integer_0_4095", lambda p: np.rint((p + PI) / (2 * PI) * 4096)),
    "milliradian": ("integer_1000pi", lambda p: np.rint(p * 1000)),
    "milliradian_float": ("scaled", lambda p: p * 1000.0001),
    "plus_minus_1": ("scaled", lambda p: p / PI),
    "tiny_floats": ("scaled", lambda p: p / PI * 0.00367),
    "12_bit_signed": ("integer_2048", lambda p: np.floor(p / PI * 2048)),
    "16_bit": ("integer_0_65535", lambda p: np.floor((p + PI) / (2 * PI) * 65535)),
}


@pytest.mark.parametrize("name", STORED)
def test_stored_phase_becomes_the_radians_it_stands_for(name):
    kind, store = STORED[name]
    phase = wrapped()
    scaling = scaling_of(store(phase))
    assert scaling.kind == kind
    assert scaling.source == "histogram"
    radians = to_radians(store(phase), scaling)
    assert radians.dtype == np.float32
    error = np.angle(np.exp(1j * (radians - phase)))
    assert np.abs(error).max() < 0.02
    assert np.abs(radians).max() <= np.float32(PI)


def test_units_in_the_sidecar_are_believed_only_if_the_range_agrees():
    phase = wrapped()
    assert scaling_of(phase, {"Units": "rad"}).source == "metadata"
    lying = scaling_of(np.rint(phase / PI * 4096), {"Units": "rad"})
    assert (lying.kind, lying.source) == ("integer_4096", "histogram")
    assert "contradicts" in lying.description
    assert scaling_of(phase, {"Units": "arbitrary"}).kind == "radians"


def test_phase_that_does_not_quite_reach_its_limits_is_still_known():
    integers = np.rint(wrapped() / PI * 4096)
    assert scaling_of(integers.clip(-4050, 4060)).kind == "integer_4096"
    assert scaling_of(wrapped() * 0.995).kind == "radians"


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.zeros(500), "constant"),
        (np.full(500, 7.0), "constant"),
        (np.array([0.0, 1.0] * 300), "different values"),
        (np.random.default_rng(0).normal(0, 0.1, 5000).clip(-0.4, 0.4), "less than one turn"),
        (np.random.default_rng(0).normal(0, 4, 50000), "already unwrapped"),
        (np.random.default_rng(0).normal(6, 3, 50000), "already unwrapped"),
        (np.random.default_rng(0).gamma(2, 300, 50000), "no known scaling"),
        (np.array([0.0, np.nan] * 300), "NaN"),
        (np.array([0.0, np.inf] * 300), "NaN or infinite"),
    ],
)
def test_implausible_phase_is_refused_with_a_reason(values, reason):
    with pytest.raises(ValueError, match=reason):
        scaling_of(values)


def test_unwrapped_phase_is_refused_even_if_its_range_is_symmetric():
    values = np.random.default_rng(0).normal(0, 3, 50000).clip(-9, 9)
    values[:2] = (-9.5, 9.5)
    with pytest.raises(ValueError, match="already unwrapped"):
        scaling_of(values, {"Units": "rad"})


def test_negative_sign_turns_the_phase_around():
    phase = wrapped(n=100)
    scaling = scaling_of(wrapped())
    assert np.allclose(to_radians(phase, scaling, -1), -to_radians(phase, scaling))
    with pytest.raises(ValueError, match="1 or -1"):
        to_radians(phase, scaling, 0)


@given(st.floats(1e-6, 1e5))
def test_any_symmetric_scale_of_wrapped_phase_is_found(scale):
    phase = wrapped()
    radians = to_radians(phase * scale, scaling_of(phase * scale))
    assert np.abs(np.angle(np.exp(1j * (radians - phase)))).max() < 0.07


def test_real_and_imaginary_parts_give_magnitude_and_phase():
    phase = wrapped(n=100)
    magnitude, angle = from_real_imag(3 * np.cos(phase), 3 * np.sin(phase))
    assert magnitude.dtype == angle.dtype == np.float32
    assert np.allclose(magnitude, 3)
    assert np.allclose(angle, phase, atol=1e-6)
    with pytest.raises(ValueError, match="shape"):
        from_real_imag(np.zeros(3), np.zeros(4))


def real_phase(*names):
    import nibabel as nb

    files = [SHARED / name for name in names]
    if not all(f.exists() for f in files):
        pytest.skip(f"real images are not at {SHARED}")
    return np.concatenate([np.asarray(nb.load(f).dataobj).ravel() for f in files])


def test_real_floats_of_plus_minus_0_00367_stand_for_one_turn():
    folder = "romeo_crop/sub-01/anat/sub-01_echo-{}_part-phase_MEGRE.nii.gz"
    values = real_phase(*(folder.format(e) for e in (1, 2, 3)))
    scaling = scaling_of(values, {"Units": "arbitrary"})
    assert scaling.kind == "scaled"
    assert np.ptp(to_radians(values, scaling)) == pytest.approx(2 * PI, rel=1e-3)


def test_real_siemens_phase_is_known():
    values = real_phase("xa30/sub-01/fmap/sub-01_phasediff.nii.gz")
    scaling = scaling_of(values)
    assert scaling.kind == "integer_4096"
    assert scaling.slope == pytest.approx(PI / 4096)
