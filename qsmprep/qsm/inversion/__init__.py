"""Dipole inversion. One module per algorithm; `invert` picks one by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import NDArray

from .._grid import Float
from ..constants import PHASE_PER_PPM
from .hdqsm import hdqsm
from .mtv import mtv
from .nltv import nltv
from .rts import rts
from .tikhonov import tikhonov, tikhonov_iterative
from .tkd import tkd
from .tv import tv

METHODS: dict[str, Callable[..., Float]] = {
    "hdqsm": hdqsm,
    "mtv": mtv,
    "nltv": nltv,
    "rts": rts,
    "tikhonov": tikhonov,
    "tikhonov_iterative": tikhonov_iterative,
    "tkd": tkd,
    "tv": tv,
}


def invert(
    local_field: NDArray[Any],
    mask: NDArray[Any],
    voxel_size: Sequence[float],
    b0_dir: Sequence[float],
    *,
    method: str = "rts",
    noise: NDArray[Any] | None = None,
    magnitude: NDArray[Any] | None = None,
    phase_per_ppm: float = PHASE_PER_PPM,
    **params: Any,
) -> Float:
    """Susceptibility from the local field with the named method.

    Parameters
    ----------
    local_field : (x, y, z) array [ppm]
    mask : (x, y, z) bool array
        Where the local field is known.
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
        Phase that 1 ppm makes at the effective echo time, 2π γ B0 TE: non-linear methods wrap the field with it.
    **params
        Keyword arguments of that method.

    Returns
    -------
    chi : (x, y, z) float32 array [ppm], 0 outside `mask`, without a reference

    Raises
    ------
    ValueError
        If the method is unknown or the shapes differ.
    """
    if method not in METHODS:
        raise ValueError(f"unknown inversion {method!r}, expected one of {', '.join(METHODS)}")
    data = {"noise": noise, "magnitude": magnitude, "phase_per_ppm": phase_per_ppm}
    return METHODS[method](local_field, mask, voxel_size, b0_dir, **data, **params)


__all__ = ["METHODS", "hdqsm", "invert", "mtv", "nltv", "rts", "tikhonov", "tikhonov_iterative", "tkd", "tv"]
