"""Parameters of every algorithm: one frozen dataclass each, with the names and defaults of the function's keywords.

They stand apart from the functions so that the command line need not import the numerics to know them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields

from .errors import UsageError

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


@dataclass(frozen=True)
class Rts(Params):
    """RTS (rapid two-step inversion)."""

    delta: float = 0.1
    cg_iterations: int = 6
    mu: float = 10.0
    gradient_step: float = 0.02
    max_iterations: int = 30
    tolerance: float = 0.08
    pad_mm: float = 16.0


@dataclass(frozen=True)
class Tv(Params):
    """Total-variation inversion."""

    may_be_zero = ("outside_weight",)

    weight: float = 1e-4
    outside_weight: float = 0.3
    isotropic: bool = True
    gradient_step: float = 1 / 60
    mu_data: float = 0.04
    max_iterations: int = 60
    tolerance: float = 0.08
    pad_mm: float = 16.0


@dataclass(frozen=True)
class Nltv(Params):
    """Non-linear total-variation inversion (FANSI)."""

    may_be_zero = ("outside_weight",)

    weight: float = 1e-4
    outside_weight: float = 0.3
    isotropic: bool = False
    gradient_step: float = 1 / 60
    mu_data: float = 0.04
    max_iterations: int = 60
    tolerance: float = 0.06
    pad_mm: float = 16.0


@dataclass(frozen=True)
class Whqsm(Params):
    """WH-QSM: non-linear total variation beside a field that is harmonic in the mask."""

    weight: float = 8e-5
    harmonic_weight: float = 3000.0
    isotropic: bool = False
    gradient_step: float = 1 / 60
    mu_data: float = 0.04
    mu_harmonic: float = 5.0
    max_iterations: int = 60
    tolerance: float = 0.06
    pad_mm: float = 16.0


@dataclass(frozen=True)
class Hdqsm(Params):
    """HD-QSM: total variation with absolute residuals first, squared ones then."""

    may_be_zero = ("outside_weight",)

    weight: float = 8e-5
    weight_absolute: float = 0.12
    outlier: float = 20.0
    outside_weight: float = 0.3
    isotropic: bool = False
    gradient_step: float = 1 / 60
    mu_data: float = 0.04
    penalty_absolute: float = 0.1
    iterations_absolute: int = 8
    max_iterations: int = 60
    tolerance: float = 0.06
    pad_mm: float = 16.0


@dataclass(frozen=True)
class Tkd(Params):
    """Truncated k-space division."""

    threshold: float = 0.15
    correct: bool = True
    pad_mm: float = 16.0


@dataclass(frozen=True)
class Tikhonov(Params):
    """Tikhonov regularisation with gradients, in closed form."""

    weight: float = 0.006
    pad_mm: float = 16.0


@dataclass(frozen=True)
class TikhonovIterative(Params):
    """Tikhonov regularisation with gradients and weighted data."""

    weight: float = 0.002
    max_iterations: int = 30
    tolerance: float = 0.02
    pad_mm: float = 16.0


@dataclass(frozen=True)
class Mtv(Params):
    """Total variation with the magnitude's edges and free sources outside the mask."""

    may_be_zero = ("outside_weight", "edge_share", "edge_weight")

    weight: float = 1.2e-4
    outside_weight: float = 0.0
    edge_share: float = 0.4
    edge_weight: float = 0.3
    gradient_step: float = 1 / 60
    mu_data: float = 0.02
    max_iterations: int = 60
    tolerance: float = 0.025
    pad_mm: float = 16.0

    def check(self, table: str) -> None:
        if self.edge_share >= 1:
            raise UsageError(f"{table}.edge_share is {self.edge_share}; it has to be 0 or more and less than 1.")


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
class Tfi(Params):
    """Total-field inversion: as `mtv`, and how far the harmonic function that it starts from is solved."""

    may_be_zero = ("outside_weight", "edge_share", "edge_weight")

    weight: float = 1e-4
    outside_weight: float = 0.0
    edge_share: float = 0.4
    edge_weight: float = 0.3
    gradient_step: float = 1 / 60
    mu_data: float = 0.02
    max_iterations: int = 60
    tolerance: float = 0.025
    pad_mm: float = 16.0
    start_tolerance: float = 1e-3

    def check(self, table: str) -> None:
        if self.edge_share >= 1:
            raise UsageError(f"{table}.edge_share is {self.edge_share}; it has to be 0 or more and less than 1.")


@dataclass(frozen=True)
class Tgv(Params):
    """Total generalised variation in a single step."""

    may_be_zero = ("edge_share", "edge_weight", "erosion_mm")

    alpha1: float = 1e-4
    alpha0: float = 5e-4
    edge_share: float = 0.4
    edge_weight: float = 0.3
    erosion_mm: float = 0.0
    max_iterations: int = 100
    coarse_iterations: int = 400
    tolerance: float = 1e-3
    start_tolerance: float = 1e-3

    def check(self, table: str) -> None:
        if self.edge_share >= 1:
            raise UsageError(f"{table}.edge_share is {self.edge_share}; it has to be 0 or more and less than 1.")


@dataclass(frozen=True)
class Medi(Params):
    """MEDI: weights of the variation off the magnitude's edges and of the CSF's uniformity; model error reduction."""

    may_be_zero = ("edge_share", "csf_weight")

    weight: float = 1.5e-4
    edge_share: float = 0.3
    csf_weight: float = 1.0
    merit: bool = True
    gradient_step: float = 1 / 60
    mu_data: float = 0.2
    max_iterations: int = 60
    tolerance: float = 0.04
    pad_mm: float = 16.0


@dataclass(frozen=True)
class Ndi(Params):
    """NDI: Tikhonov regularisation, and the iterations that stop it before it fits the noise."""

    may_be_zero = ("regularization",)

    regularization: float = 1e-4
    iterations: int = 20
    pad_mm: float = 16.0


@dataclass(frozen=True)
class Starqsm(Params):
    """STAR-QSM: weights of the variation for strong sources and for the rest."""

    weight_strong: float = 1e-2
    weight: float = 1e-4
    gradient_step: float = 1 / 60
    mu_data: float = 0.1
    iterations_strong: int = 12
    max_iterations: int = 60
    tolerance: float = 0.07
    pad_mm: float = 16.0


@dataclass(frozen=True)
class Ilsqr(Params):
    """iLSQR: smoothness of the least squares, and where in k-space streaks are looked for."""

    weight: float = 2e-3
    threshold: float = 0.1
    edge_share: float = 0.3
    lsqr_iterations: int = 30
    streak_iterations: int = 20
    tolerance: float = 0.01
    pad_mm: float = 16.0


@dataclass(frozen=True)
class TwoPass(Params):
    """Two passes: least phase quality (0 to 1) of a voxel that takes part in the first one."""

    may_be_zero = ("threshold",)

    threshold: float = 0.3

    def check(self, table: str) -> None:
        if self.threshold > 1:
            raise UsageError(f"{table}.threshold is {self.threshold}; it has to lie between 0 and 1.")


@dataclass(frozen=True)
class Mask(Params):
    """Mask for the inversion: least phase quality (0 to 1) a voxel at the rim needs to stay in."""

    may_be_zero = ("quality_threshold",)

    quality_threshold: float = 0.3

    def check(self, table: str) -> None:
        if self.quality_threshold > 1:
            raise UsageError(f"{table}.quality_threshold is {self.quality_threshold}; it has to lie between 0 and 1.")


@dataclass(frozen=True)
class Texture(Params):
    """Texture per region: width of a grey level of χ [ppb], distance between the voxels of a pair [mm]."""

    bin_width_ppb: float = 10.0
    distance_mm: float = 1.0


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


def table_of(cls: type) -> str:
    """Name of the table whose parameters `cls` holds."""
    return next((f.name for f in fields(Tables) if f.default_factory is cls), cls.__name__.lower())
