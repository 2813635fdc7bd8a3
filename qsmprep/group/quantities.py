"""The maps of the participant level that the group level averages and tests in template space."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Quantity:
    """What a map shows.

    Attributes
    ----------
    name : as the design's `maps` and the statistics of regions call it
    suffix : in the names of files
    symbol : in texts
    unit : of the files
    told_unit, factor : of differences, and what makes it from `unit`
    shown : limits of the colours of a mean [unit]; a mean over persons is smoother than one of them. None for the
        99th percentile: R2* grows with the field strength
    cmap : colours
    """

    name: str
    suffix: str
    symbol: str
    unit: str
    told_unit: str
    factor: float
    shown: tuple[float, float | None]
    cmap: str


CHI = Quantity("chi", "Chimap", "χ", "ppm", "ppb", 1000.0, (-0.05, 0.15), "gray")
R2STAR = Quantity("r2star", "R2starmap", "R2*", "1/s", "1/s", 1.0, (0.0, None), "magma")
QUANTITIES = {quantity.name: quantity for quantity in (CHI, R2STAR)}
