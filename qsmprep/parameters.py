"""Parameters of every algorithm: one frozen dataclass each, with the names and defaults of the function's keywords.

They stand apart from the functions so that the command line need not import the numerics to know them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields

from .errors import UsageError

UNWRAP_METHODS = ("romeo", "laplacian")
BACKGROUND_METHODS = ("vsharp",)
SINGLE_STEP_METHODS: tuple[str, ...] = ()  # from the total field at once; they take the place of both stages
INVERSION_METHODS = ("rts", "tv", *SINGLE_STEP_METHODS)


class Params:
    """What all tables check: numbers are finite and above 0, or at least 0 where `may_be_zero` names them."""

    may_be_zero: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        table = table_of(type(self))
        for f in fields(self):  # type: ignore[arg-type]
            value = getattr(self, f.name)
            if isinstance(value, bool | str):
                continue
            if not math.isfinite(value) or value < 0 or (value == 0 and f.name not in self.may_be_zero):
                least = "0 or more" if f.name in self.may_be_zero else "above 0"
                raise UsageError(f"{table}.{f.name} is {value}; it has to be {least}.")
        self.check(table)

    def check(self, table: str) -> None:
        """Further rules of one table."""


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
class Vsharp(Params):
    """V-SHARP: kernel radii and their step [mm], threshold of the truncated deconvolution."""

    radius_max_mm: float = 12.0
    radius_min_mm: float = 1.0
    step_mm: float = 1.0
    threshold: float = 0.05

    def check(self, table: str) -> None:
        if self.radius_min_mm > self.radius_max_mm:
            raise UsageError(
                f"{table}.radius_min_mm is {self.radius_min_mm}, more than {table}.radius_max_mm "
                f"({self.radius_max_mm})."
            )


@dataclass(frozen=True)
class Rts(Params):
    """RTS (rapid two-step inversion)."""

    delta: float = 0.15
    cg_iterations: int = 10
    mu: float = 10.0
    gradient_step: float = 0.02
    max_iterations: int = 20
    tolerance: float = 3e-3
    pad_mm: float = 16.0


@dataclass(frozen=True)
class Tv(Params):
    """Total-variation inversion."""

    weight: float = 2e-4
    gradient_step: float = 1 / 60
    mu_data: float = 0.2
    max_iterations: int = 100
    tolerance: float = 6e-3
    pad_mm: float = 16.0


@dataclass(frozen=True)
class Mask(Params):
    """Mask for the inversion: least phase quality (0 to 1) a voxel at the rim needs to stay in."""

    may_be_zero = ("quality_threshold",)

    quality_threshold: float = 0.5

    def check(self, table: str) -> None:
        if self.quality_threshold > 1:
            raise UsageError(f"{table}.quality_threshold is {self.quality_threshold}; it has to lie between 0 and 1.")


@dataclass(frozen=True, kw_only=True)
class Tables:
    """One table of parameters an algorithm, under the algorithm's name."""

    mask: Mask = field(default_factory=Mask)
    romeo: Romeo = field(default_factory=Romeo)
    laplacian: Laplacian = field(default_factory=Laplacian)
    vsharp: Vsharp = field(default_factory=Vsharp)
    rts: Rts = field(default_factory=Rts)
    tv: Tv = field(default_factory=Tv)


def table_of(cls: type) -> str:
    """Name of the table whose parameters `cls` holds."""
    return next((f.name for f in fields(Tables) if f.default_factory is cls), cls.__name__.lower())
