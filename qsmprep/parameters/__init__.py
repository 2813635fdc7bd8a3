"""Parameters of every algorithm: one frozen dataclass each, with the names and defaults of the function's keywords.

They stand apart from the functions so that the command line need not import the numerics to know them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from .background import Ismv, Lbv, Pdf, Resharp, Sharp, Vsharp
from .inversion import (
    Hdqsm,
    Ilsqr,
    Medi,
    Mtv,
    Ndi,
    Nltv,
    Rts,
    Starqsm,
    Tfi,
    Tgv,
    Tikhonov,
    TikhonovIterative,
    Tkd,
    Tv,
    TwoPass,
    Whqsm,
)
from .measures import Arlo, Loglinear, Mask, Nonlinear, Texture, Veins
from .phase import Coils, Laplacian, LinearFit, Mcpc3ds, NonlinearFit, Romeo

UNWRAP_METHODS = ("romeo", "laplacian")
FIELDMAP_METHODS = ("nonlinear_fit", "linear_fit")
BACKGROUND_METHODS = ("vsharp", "sharp", "resharp", "ismv", "lbv", "pdf")
# from the total field at once: they take the place of background removal and inversion
SINGLE_STEP_METHODS = ("tfi", "tgv")
INVERSION_METHODS = (
    "mtv",
    "tv",
    "rts",
    "medi",
    "hdqsm",
    "nltv",
    "whqsm",
    "starqsm",
    "ilsqr",
    "ndi",
    "tikhonov_iterative",
    "tikhonov",
    "tkd",
    *SINGLE_STEP_METHODS,
)
RELAXOMETRY_METHODS = ("loglinear", "arlo", "nonlinear")


@dataclass(frozen=True, kw_only=True)
class Tables:
    """One table of parameters an algorithm, under the algorithm's name."""

    mask: Mask = field(default_factory=Mask)
    coils: Coils = field(default_factory=Coils)
    mcpc3ds: Mcpc3ds = field(default_factory=Mcpc3ds)
    romeo: Romeo = field(default_factory=Romeo)
    laplacian: Laplacian = field(default_factory=Laplacian)
    nonlinear_fit: NonlinearFit = field(default_factory=NonlinearFit)
    linear_fit: LinearFit = field(default_factory=LinearFit)
    vsharp: Vsharp = field(default_factory=Vsharp)
    sharp: Sharp = field(default_factory=Sharp)
    resharp: Resharp = field(default_factory=Resharp)
    ismv: Ismv = field(default_factory=Ismv)
    lbv: Lbv = field(default_factory=Lbv)
    pdf: Pdf = field(default_factory=Pdf)
    rts: Rts = field(default_factory=Rts)
    tv: Tv = field(default_factory=Tv)
    nltv: Nltv = field(default_factory=Nltv)
    whqsm: Whqsm = field(default_factory=Whqsm)
    hdqsm: Hdqsm = field(default_factory=Hdqsm)
    tkd: Tkd = field(default_factory=Tkd)
    tikhonov: Tikhonov = field(default_factory=Tikhonov)
    tikhonov_iterative: TikhonovIterative = field(default_factory=TikhonovIterative)
    mtv: Mtv = field(default_factory=Mtv)
    medi: Medi = field(default_factory=Medi)
    ndi: Ndi = field(default_factory=Ndi)
    starqsm: Starqsm = field(default_factory=Starqsm)
    ilsqr: Ilsqr = field(default_factory=Ilsqr)
    tfi: Tfi = field(default_factory=Tfi)
    tgv: Tgv = field(default_factory=Tgv)
    twopass: TwoPass = field(default_factory=TwoPass)
    loglinear: Loglinear = field(default_factory=Loglinear)
    arlo: Arlo = field(default_factory=Arlo)
    nonlinear: Nonlinear = field(default_factory=Nonlinear)
    texture: Texture = field(default_factory=Texture)
    veins: Veins = field(default_factory=Veins)


def table_of(cls: type) -> str:
    """Name of the table whose parameters `cls` holds."""
    return next((f.name for f in fields(Tables) if f.default_factory is cls), cls.__name__.lower())
