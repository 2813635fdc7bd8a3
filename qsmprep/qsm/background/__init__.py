"""Background field removal. One module per algorithm; `remove_background` picks one by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import NDArray

from .._grid import Bool, Float
from .ismv import ismv
from .lbv import lbv
from .pdf import pdf
from .resharp import resharp
from .sharp import sharp
from .vsharp import vsharp

METHODS: dict[str, Callable[..., tuple[Float, Bool]]] = {
    "vsharp": vsharp,
    "sharp": sharp,
    "resharp": resharp,
    "ismv": ismv,
    "lbv": lbv,
    "pdf": pdf,
}


def remove_background(
    total_field: NDArray[Any],
    mask: NDArray[Any],
    voxel_size: Sequence[float],
    b0_dir: Sequence[float],
    *,
    method: str = "vsharp",
    noise: NDArray[Any] | None = None,
    **params: Any,
) -> tuple[Float, Bool]:
    """Remove the field of sources outside the mask with the named method.

    Parameters
    ----------
    total_field : (x, y, z) array [ppm]
    mask : (x, y, z) bool array
    voxel_size : 3 floats [mm]
    b0_dir : 3 floats
        Direction of B0 in voxel axes.
    method : str
        One of `METHODS`.
    noise : (x, y, z) array [ppm], optional
        Standard error of the field, infinite where it is not to be trusted.
    **params
        Keyword arguments of that method.

    Returns
    -------
    local_field : (x, y, z) float32 array [ppm], 0 outside `valid`
    valid : (x, y, z) bool array, the part of `mask` where the local field is known

    Raises
    ------
    ValueError
        If the method is unknown, or as that method says.
    """
    if method not in METHODS:
        raise ValueError(f"unknown background removal {method!r}, expected one of {', '.join(METHODS)}")
    return METHODS[method](total_field, mask, voxel_size, b0_dir, noise=noise, **params)


__all__ = ["METHODS", "ismv", "lbv", "pdf", "remove_background", "resharp", "sharp", "vsharp"]
