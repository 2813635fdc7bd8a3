"""The total field from unwrapped multi-echo phase. One module per fit; `map_field` picks one by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import NDArray

from ._chain import FieldMap
from .linear import linear_fit
from .nonlinear import nonlinear_fit

METHODS: dict[str, Callable[..., FieldMap]] = {"nonlinear_fit": nonlinear_fit, "linear_fit": linear_fit}


def map_field(
    unwrapped: NDArray[Any],
    magnitude: NDArray[Any] | None,
    mask: NDArray[Any],
    te: Sequence[float],
    b0: float,
    voxel_size: Sequence[float] = (1.0, 1.0, 1.0),
    *,
    method: str = "nonlinear_fit",
    **params: Any,
) -> FieldMap:
    """Total field of every voxel, with the named method.

    Parameters
    ----------
    unwrapped : (x, y, z, echo) array [rad]
    magnitude : (x, y, z, echo) array or None
    mask : (x, y, z) bool array
    te : echo times [s], ascending
    b0 : field strength [T]
    voxel_size : 3 floats [mm]
    method : "nonlinear_fit" or "linear_fit"
    **params
        Keyword arguments of that method.

    Returns
    -------
    field_map : FieldMap
        `field` [ppm], `residual` [rad] and `noise` [ppm], each (x, y, z) float32 and 0 outside `mask`. `noise` is
        infinite where the field cannot be trusted.

    Raises
    ------
    ValueError
        If the method is unknown, or as that method says.
    """
    if method not in METHODS:
        raise ValueError(f"unknown field mapping {method!r}, expected one of {', '.join(METHODS)}")
    return METHODS[method](unwrapped, magnitude, mask, te, b0, voxel_size, **params)


fit_field = map_field

__all__ = ["METHODS", "FieldMap", "fit_field", "linear_fit", "map_field", "nonlinear_fit"]
