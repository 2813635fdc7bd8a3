"""Phase unwrapping. One module per algorithm; `unwrap` picks one by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import NDArray

from .._grid import Float
from .laplacian import unwrap_laplacian
from .romeo import unwrap_romeo, voxel_quality

METHODS: dict[str, Callable[..., Float]] = {"romeo": unwrap_romeo, "laplacian": unwrap_laplacian}


def unwrap(
    phase: NDArray[Any],
    magnitude: NDArray[Any] | None,
    mask: NDArray[Any],
    te: Sequence[float],
    voxel_size: Sequence[float] = (1.0, 1.0, 1.0),
    *,
    method: str = "romeo",
    **params: Any,
) -> Float:
    """Unwrap every echo with the named method.

    Parameters
    ----------
    phase : (x, y, z, echo) array [rad]
    magnitude : (x, y, z, echo) array or None
    mask : (x, y, z) bool array
    te : echo times [s], ascending
    voxel_size : 3 floats [mm]
    method : "romeo" or "laplacian"
    **params
        Keyword arguments of that method.

    Returns
    -------
    unwrapped : (x, y, z, echo) float32 array [rad], 0 outside `mask`

    Raises
    ------
    ValueError
        If the method is unknown, or as that method says.
    """
    if method not in METHODS:
        raise ValueError(f"unknown unwrapping method {method!r}, expected one of {', '.join(METHODS)}")
    return METHODS[method](phase, magnitude, mask, te, voxel_size, **params)


__all__ = ["METHODS", "unwrap", "unwrap_laplacian", "unwrap_romeo", "voxel_quality"]
