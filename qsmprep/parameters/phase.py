"""Parameters from the phase of the echoes to the total field."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import UsageError
from ._base import Params


@dataclass(frozen=True)
class Mcpc3ds(Params):
    """MCPC-3D-S: standard deviation [mm] of the Gaussian that smooths the phase offset."""

    sigma_mm: float = 7.0


@dataclass(frozen=True)
class Coils(Params):
    """Combination of single coils: standard deviation [mm] of the Gaussian that smooths their offsets."""

    sigma_mm: float = 5.0


@dataclass(frozen=True)
class Romeo(Params):
    """ROMEO: what is unwrapped in space ("template": one echo, "individual": each), and what its weights look at.

    Echoes count from 1; a template of 0 means the echo whose phase is the most reliable.
    """

    may_be_zero = ("template_echo",)

    mode: str = "template"
    template_echo: int = 1
    phase_coherence: bool = True
    gradient_coherence: bool = True
    magnitude_coherence: bool = True
    correct_jumps: bool = True

    def check(self, table: str) -> None:
        if self.mode not in ("template", "individual"):
            raise UsageError(f"{table}.mode is {self.mode!r}; it has to be 'template' or 'individual'.")
        if not (self.phase_coherence or self.gradient_coherence or self.magnitude_coherence):
            raise UsageError(f"{table} needs one of the three coherences at least.")


@dataclass(frozen=True)
class Laplacian(Params):
    """Laplacian unwrapping: how much of what surrounds the mask takes part [mm]."""

    may_be_zero = ("pad_mm",)

    pad_mm: float = 8.0


@dataclass(frozen=True)
class LinearFit(Params):
    """Field map by a straight line through the phase.

    Weight of dephasing, Gaussian [mm] of the phase offset that is left, and noise beyond which no voxel is trusted.
    """

    may_be_zero = ("dephasing", "offset_mm")

    intercept: bool = False
    dephasing: float = 0.1
    offset_mm: float = 5.0
    noise_max_ppm: float = 0.006


@dataclass(frozen=True)
class NonlinearFit(LinearFit):
    """Field map by a fit to the complex signal."""
