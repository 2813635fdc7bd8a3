"""Phase images to radians: vendors store them in many scales, and sidecars often do not say which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._grid import Float, as_echoes, as_mask
from .constants import hertz_per_ppm

PI = np.pi
TOLERANCE = 0.02
"""Share of the full range by which a range may miss a known one: real phase need not touch both ends."""


@dataclass(frozen=True)
class PhaseScaling:
    """phase [rad] = slope * value + intercept, before it is wrapped into ±π."""

    slope: float
    intercept: float
    kind: str
    source: str
    description: str


def _near(found: float, expected: float, full: float, tolerance: float = TOLERANCE) -> bool:
    return abs(found - expected) <= tolerance * full


def _spans(low: float, high: float, expected_low: float, expected_high: float, tolerance: float = TOLERANCE) -> bool:
    full = expected_high - expected_low
    return _near(low, expected_low, full, tolerance) and _near(high, expected_high, full, tolerance)


def _radians(low: float, high: float, source: str) -> PhaseScaling | None:
    if _spans(low, high, -PI, PI):
        return PhaseScaling(1.0, 0.0, "radians", source, f"radians ({low:.4g} to {high:.4g})")
    if _spans(low, high, 0, 2 * PI):
        return PhaseScaling(1.0, 0.0, "radians_0_2pi", source, f"radians from 0 to 2π ({low:.4g} to {high:.4g})")
    return None


def _integers(low: float, high: float) -> PhaseScaling | None:
    """Scales of integer images, most common first."""
    found = f"({low:.0f} to {high:.0f})"
    if _spans(low, high, -4096, 4096):
        return PhaseScaling(PI / 4096, 0.0, "integer_4096", "histogram", f"integers ±4096 {found} stand for ±π")
    if _spans(low, high, 0, 4096):
        text = f"integers 0..4095 {found} stand for -π..π"
        return PhaseScaling(PI / 2048, -PI, "integer_0_4095", "histogram", text)
    for digits in (1000, 10000):
        if _spans(low, high, -digits * PI, digits * PI, 0.005):
            text = f"integers ±{digits}π {found} stand for ±π"
            return PhaseScaling(1 / digits, 0.0, f"integer_{digits}pi", "histogram", text)
    for bits in (8, 10, 11, 12, 13, 14, 15, 16):
        full = 2**bits
        if _spans(low, high, 0, full):
            text = f"integers 0..{full - 1} {found} stand for -π..π"
            return PhaseScaling(2 * PI / full, -PI, f"integer_0_{full - 1}", "histogram", text)
        if _spans(low, high, -full / 2, full / 2):
            text = f"integers ±{full // 2} {found} stand for ±π"
            return PhaseScaling(2 * PI / full, 0.0, f"integer_{full // 2}", "histogram", text)
    return None


def _fills_its_range(values: NDArray[np.float64], low: float, high: float) -> bool:
    """Whether the values reach their ends as wrapped phase does: cut off there, not thinning out.

    Phase that was unwrapped, filtered or masked away has next to nothing in the outermost parts of its range.
    """
    if values.size < 100:
        return False
    inside = values[values != 0]
    edge = 0.04 * (high - low)
    share = min(np.mean(inside < low + edge), np.mean(inside > high - edge)) if inside.size else 0.0
    return bool(share >= 0.005)


def _symmetric(low: float, high: float, values: NDArray[np.float64]) -> PhaseScaling | None:
    """Any other symmetric range ±X stands for ±π, if it looks like that of wrapped phase."""
    reach = max(-low, high)
    if not _spans(low, high, -reach, reach):
        return None
    known = {1.0: "±1", 1000 * PI: "±1000π", 180.0: "±180 (degrees)"}
    for scale, name in known.items():
        if _spans(low, high, -scale, scale, 0.005):
            text = f"values {name} ({low:.4g} to {high:.4g}) stand for ±π"
            return PhaseScaling(PI / scale, 0.0, "scaled", "histogram", text)
    if not _fills_its_range(values, low, high):
        return None
    text = f"values ±{reach:.5g} ({low:.5g} to {high:.5g}) stand for ±π"
    return PhaseScaling(PI / reach, 0.0, "scaled", "histogram", text)


def _refusal(low: float, high: float, units: str) -> str:
    """Why no scaling was found, in words for the user."""
    found = f"phase values run from {low:.6g} to {high:.6g}"
    if units:
        found += f" (Units: {units})"
    if low > -PI and high < PI:
        why = "less than one turn in radians and no known scaling: masked, filtered or not a phase image?"
    elif (low < -PI or high > PI) and max(abs(low), abs(high)) < 200:
        why = "more than one turn in radians, without the sharp ends of wrapped phase: already unwrapped?"
    else:
        why = "no known scaling"
    return f"{found}: {why} Expected wrapped phase, such as ±π, 0..2π, ±4096 or 0..4095."


def find_phase_scaling(
    minimum: float,
    maximum: float,
    values_sample: NDArray[np.generic] | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> PhaseScaling:
    """Decide how the phase values of one run become radians.

    `Units: rad` in the metadata is believed if the range agrees; otherwise the range and the histogram decide. The
    decision is for all echoes of a run together: a single early echo need not fill the range.

    Parameters
    ----------
    minimum, maximum : float
        Over all voxels of all echoes, as the image gives them (header slope applied).
    values_sample : array, optional
        A thousand values or more drawn evenly from all echoes (or all of them). Without it only integer limits and
        well-known ranges can be told.
    metadata : mapping, optional
        The sidecar; `Units` is read.

    Returns
    -------
    scaling : PhaseScaling

    Raises
    ------
    ValueError
        With a plain reason, if the values are not finite, constant, or no plausible wrapped phase.
    """
    low, high = float(minimum), float(maximum)
    values = np.zeros(0) if values_sample is None else np.asarray(values_sample, np.float64).ravel()
    if not (np.isfinite(low) and np.isfinite(high) and np.isfinite(values).all()):
        raise ValueError("phase has NaN or infinite values")
    if low == high:
        raise ValueError(f"phase is constant: every value is {low:.6g}")
    if high < low:
        raise ValueError(f"minimum {low} is above maximum {high}")
    if values.size >= 100 and np.unique(values).size < 8:
        raise ValueError(f"phase has only {np.unique(values).size} different values: a mask or a label image?")
    units = str((metadata or {}).get("Units", ""))
    in_radians = units.lower() in {"rad", "radian", "radians"}
    # wrapped at a rounded π, or interpolated a little beyond it, is still radians
    scaling = _radians(low, high, "metadata" if in_radians else "histogram")
    if scaling is not None:
        return scaling
    whole = low == np.rint(low) and high == np.rint(high) and bool(np.all(values == np.rint(values)))
    scaling = _integers(low, high) if whole and high - low > 64 else None
    if scaling is None:
        scaling = _symmetric(low, high, values)
    if scaling is None:
        raise ValueError(_refusal(low, high, units))
    if in_radians:
        text = f"{scaling.description}; the sidecar says Units: {units}, which the range contradicts"
        return PhaseScaling(scaling.slope, scaling.intercept, scaling.kind, scaling.source, text)
    return scaling


def to_radians(data: NDArray[np.generic], scaling: PhaseScaling, sign: int = 1) -> Float:
    """Phase [rad] within ±π from stored values.

    Parameters
    ----------
    data : array of any shape
    scaling : PhaseScaling
    sign : +1 or -1
        -1 for scanners whose phase falls with the field.

    Returns
    -------
    phase : float32 array [rad] of the same shape

    Raises
    ------
    ValueError
        If `sign` is neither +1 nor -1.
    """
    if sign not in (1, -1):
        raise ValueError(f"phase sign must be 1 or -1, found {sign}")
    angle = sign * (np.asarray(data, np.float64) * scaling.slope + scaling.intercept)
    angle -= 2 * PI * np.rint(angle / (2 * PI))
    return angle.astype(np.float32)


def from_real_imag(real: NDArray[np.generic], imag: NDArray[np.generic]) -> tuple[Float, Float]:
    """Magnitude and phase [rad] of a complex image given as two.

    Parameters
    ----------
    real, imag : arrays of one shape

    Returns
    -------
    magnitude, phase : float32 arrays of that shape

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    a, b = np.asarray(real, np.float32), np.asarray(imag, np.float32)
    if a.shape != b.shape:
        raise ValueError(f"real part has shape {a.shape}, imaginary part {b.shape}")
    return np.hypot(a, b), np.arctan2(b, a)


def phase_per_ppm(
    te: Sequence[float],
    b0: float,
    magnitude: NDArray[np.generic] | None = None,
    mask: NDArray[np.generic] | None = None,
) -> float:
    """Phase [rad] that a field of 1 ppm makes at the effective echo time, 2π γ B0 TE.

    The effective echo time is the mean over the echoes, weighted by the mean signal² in the mask: what non-linear
    inversions should think the phase of the combined field was measured at.

    Parameters
    ----------
    te : echo times [s]
    b0 : field strength [T]
    magnitude : (x, y, z, echo) array, optional
        Default: all echoes count alike.
    mask : (x, y, z) bool array, optional
        Default: the whole volume.

    Raises
    ------
    ValueError
        If there is not one magnitude an echo time, or the field strength is not positive.
    """
    times = np.asarray(te, dtype=np.float64)
    power = np.ones(times.size)
    if magnitude is not None:
        echoes = as_echoes(magnitude, "magnitude")
        if echoes.shape[3] != times.size:
            raise ValueError(f"{times.size} echo times for {echoes.shape[3]} magnitudes")
        voxels = echoes.reshape(-1, times.size) if mask is None else echoes[as_mask(mask, echoes.shape[:3])]
        power = np.mean(voxels.astype(np.float64) ** 2, axis=0)
        if not power.sum() > 0:
            power = np.ones(times.size)
    return float(2 * np.pi * hertz_per_ppm(b0) * np.average(times, weights=power))
