"""Parameters of the background removals."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import UsageError
from ._base import Params


@dataclass(frozen=True)
class Vsharp(Params):
    """V-SHARP: kernel radii and their step [mm], threshold of the truncated deconvolution.

    And how far the background is continued into the rim [mm]; 0 gives the rim up.
    """

    may_be_zero = ("extend_mm",)

    radius_max_mm: float = 12.0
    radius_min_mm: float = 1.0
    step_mm: float = 1.0
    threshold: float = 0.05
    extend_mm: float = 0.0

    def check(self, table: str) -> None:
        if self.radius_min_mm > self.radius_max_mm:
            raise UsageError(
                f"{table}.radius_min_mm is {self.radius_min_mm}, more than {table}.radius_max_mm "
                f"({self.radius_max_mm})."
            )


@dataclass(frozen=True)
class Sharp(Params):
    """SHARP: radius of the sphere [mm], threshold of the truncated deconvolution."""

    radius_mm: float = 5.0
    threshold: float = 0.03


@dataclass(frozen=True)
class Resharp(Params):
    """RESHARP: radius of the sphere [mm] and Tikhonov regularisation."""

    may_be_zero = ("regularization",)

    radius_mm: float = 5.0
    regularization: float = 1e-3
    max_iterations: int = 20
    tolerance: float = 0.02


@dataclass(frozen=True)
class Ismv(Params):
    """iSMV: radius of the sphere [mm]."""

    radius_mm: float = 4.0
    max_iterations: int = 40
    tolerance: float = 0.01


@dataclass(frozen=True)
class Lbv(Params):
    """LBV: layers peeled off the mask first."""

    may_be_zero = ("peel",)

    peel: int = 0
    tolerance: float = 1e-3
    max_cycles: int = 30


@dataclass(frozen=True)
class Pdf(Params):
    """PDF: room around the mask for sources [mm], iterations."""

    max_iterations: int = 60
    tolerance: float = 1e-3
    pad_mm: float = 24.0
