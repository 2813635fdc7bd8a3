"""Dipole inversion. One module per algorithm; `invert` picks one by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import NDArray

from .._grid import Float
from ..constants import PHASE_PER_PPM
from .hdqsm import hdqsm
from .ilsqr import ilsqr
from .medi import medi
from .mtv import mtv
from .ndi import ndi
from .nltv import nltv
from .rts import rts
from .starqsm import starqsm
from .tikhonov import tikhonov, tikhonov_iterative
from .tkd import tkd
from .tv import tv
from .whqsm import whqsm

METHODS: dict[str, Callable[..., Float]] = {
    "hdqsm": hdqsm,
    "ilsqr": ilsqr,
    "medi": medi,
    "mtv": mtv,
    "ndi": ndi,
    "nltv": nltv,
    "rts": rts,
    "starqsm": starqsm,
    "tikhonov": tikhonov,
    "tikhonov_iterative": tikhonov_iterative,
    "tkd": tkd,
    "tv": tv,
    "whqsm": whqsm,
}


def invert(
    local_field: NDArray[Any],
    mask: NDArray[Any],
    voxel_size: Sequence[float],
    b0_dir: Sequence[float],
    *,
    method: str = "mtv",
    noise: NDArray[Any] | None = None,
    magnitude: NDArray[Any] | None = None,
    phase_per_ppm: float = PHASE_PER_PPM,
    csf: NDArray[Any] | None = None,
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
    csf : (x, y, z) bool array, optional
        Ventricular CSF, for the one method that can make it uniform ("medi").
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
    data: dict[str, Any] = {"noise": noise, "magnitude": magnitude, "phase_per_ppm": phase_per_ppm}
    if csf is not None:
        if method != "medi":
            raise ValueError(f"only medi takes a CSF mask, not {method!r}")
        data["csf"] = csf
    return METHODS[method](local_field, mask, voxel_size, b0_dir, **data, **params)


__all__ = ["METHODS", "invert", *METHODS]
