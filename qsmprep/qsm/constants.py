"""Physical constants, and the one place where ppm meets Hz."""

GAMMA_BAR = 42.577478518
"""Gyromagnetic ratio of the proton over 2 pi [MHz/T], which is also [Hz/ppm/T]."""


def hertz_per_ppm(b0: float) -> float:
    """Frequency [Hz] of a field of 1 ppm at the field strength `b0` [T]."""
    if not b0 > 0:
        raise ValueError(f"field strength must be positive, found {b0} T")
    return GAMMA_BAR * b0


PHASE_PER_PPM = 16.0
"""Phase [rad] that 1 ppm makes in 20 ms at 3 T: what non-linear methods assume unless they are told."""
