"""Parameters of the masks, of relaxometry and of what is measured per region."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import UsageError
from ._base import Params


@dataclass(frozen=True)
class Mask(Params):
    """Mask for the inversion: least phase quality (0 to 1) a voxel at the rim needs to stay in."""

    may_be_zero = ("quality_threshold",)

    quality_threshold: float = 0.3

    def check(self, table: str) -> None:
        if self.quality_threshold > 1:
            raise UsageError(f"{table}.quality_threshold is {self.quality_threshold}; it has to lie between 0 and 1.")


@dataclass(frozen=True)
class Loglinear(Params):
    """R2* by a line through the logarithm: greatest R2* [1/s] and T2* [s]."""

    r2star_max: float = 1000.0
    t2star_max: float = 1.0


@dataclass(frozen=True)
class Arlo(Loglinear):
    """R2* by auto-regression on linear operations."""


@dataclass(frozen=True)
class Nonlinear(Params):
    """R2* by a non-linear fit above a floor: "rician" (from the noise and the coils), "constant" or "none"."""

    may_be_zero = ("floor_level",)

    floor: str = "rician"
    floor_level: float = 0.0
    coils: int = 1
    r2star_max: float = 1000.0
    t2star_max: float = 1.0

    def check(self, table: str) -> None:
        if self.floor not in ("rician", "constant", "none"):
            raise UsageError(f"{table}.floor is {self.floor!r}; it has to be 'rician', 'constant' or 'none'.")


@dataclass(frozen=True)
class Texture(Params):
    """Texture per region: width of a grey level of χ [ppb], distance between the voxels of a pair [mm]."""

    bin_width_ppb: float = 10.0
    distance_mm: float = 1.0


@dataclass(frozen=True)
class Veins(Params):
    """Veins to leave out: least χ [ppm], sharpness, scale [mm], least R2* [1/s]; χ and R2* above the mask's median."""

    may_be_zero = ("r2star_excess",)

    chi_ppm: float = 0.12
    ridge: float = 0.25
    radius_mm: float = 0.7
    r2star_excess: float = 10.0
