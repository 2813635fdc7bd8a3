"""Parameters of the inversions, and of the two passes that one can make."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import UsageError
from ._base import Params


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
