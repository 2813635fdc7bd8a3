"""R2*, T2* and S0 from the decay of the magnitude. One module per fit; `fit_r2star` picks one by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import NDArray

from ._common import Relaxation
from .arlo import arlo
from .loglinear import loglinear
from .nonlinear import nonlinear

METHODS: dict[str, Callable[..., Relaxation]] = {"loglinear": loglinear, "arlo": arlo, "nonlinear": nonlinear}


def fit_r2star(
    magnitude: NDArray[Any], te: Sequence[float], mask: NDArray[Any], *, method: str = "loglinear", **params: Any
) -> Relaxation:
    """Fit a single exponential decay to the magnitude of each voxel, with the named method.

    Parameters
    ----------
    magnitude : (x, y, z, echo) array
    te : echo times [s], ascending
    mask : (x, y, z) bool array
    method : "loglinear", "arlo" or "nonlinear"
    **params
        Keyword arguments of that method.

    Returns
    -------
    relaxation : Relaxation
        R2* [1/s], T2* [s], S0 and rms residual; 0 outside `mask` and where there is no signal, never NaN.

    Raises
    ------
    ValueError
        If the method is unknown, or as that method says.
    """
    if method not in METHODS:
        raise ValueError(f"unknown relaxometry {method!r}, expected one of {', '.join(METHODS)}")
    return METHODS[method](magnitude, te, mask, **params)


__all__ = ["METHODS", "Relaxation", "arlo", "fit_r2star", "loglinear", "nonlinear"]
