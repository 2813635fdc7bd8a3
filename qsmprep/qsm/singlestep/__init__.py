"""Susceptibility straight from the total field. One module per algorithm; `reconstruct` picks one by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import NDArray

from .._grid import Float
from ..constants import PHASE_PER_PPM
from .tfi import tfi
from .tgv import tgv

METHODS: dict[str, Callable[..., tuple[Float, Float]]] = {"tfi": tfi, "tgv": tgv}


def reconstruct(
    total_field: NDArray[Any],
    mask: NDArray[Any],
    voxel_size: Sequence[float],
    b0_dir: Sequence[float],
    *,
    method: str = "tfi",
    noise: NDArray[Any] | None = None,
    magnitude: NDArray[Any] | None = None,
    phase_per_ppm: float = PHASE_PER_PPM,
    **params: Any,
) -> tuple[Float, Float]:
    """Susceptibility from the total field with the named method, without a background removal before it.

    Parameters
    ----------
    total_field : (x, y, z) array [ppm]
        Unwrapped.
    mask : (x, y, z) bool array
    voxel_size : 3 floats [mm]
    b0_dir : 3 floats
        Direction of B0 in voxel axes.
    method : str
        One of `METHODS`.
    noise : (x, y, z) array [ppm], optional
        Standard error of the field, infinite where it is not to be trusted.
    magnitude : (x, y, z) or (x, y, z, echo) array, optional
        Weights the data where `noise` is None; tells edges to methods that look for them.
    phase_per_ppm : float [rad/ppm]
        Phase that 1 ppm makes at the effective echo time, 2π γ B0 TE.
    **params
        Keyword arguments of that method.

    Returns
    -------
    chi : (x, y, z) float32 array [ppm], 0 outside `mask`, without a reference
    local_field : (x, y, z) float32 array [ppm], the field of `chi`, 0 outside `mask`

    Raises
    ------
    ValueError
        If the method is unknown, the shapes differ or the mask is empty.
    """
    if method not in METHODS:
        raise ValueError(f"unknown single-step method {method!r}, expected one of {', '.join(METHODS)}")
    data = {"noise": noise, "magnitude": magnitude, "phase_per_ppm": phase_per_ppm}
    return METHODS[method](total_field, mask, voxel_size, b0_dir, **data, **params)


__all__ = ["METHODS", "reconstruct", "tfi", "tgv"]
