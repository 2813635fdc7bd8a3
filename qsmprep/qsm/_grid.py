"""Checks of arrays and geometry that every stage shares, and cropping to a mask."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
Bool = NDArray[np.bool_]
Slices = tuple[slice, slice, slice]


def as_volume(data: NDArray[np.generic], name: str, shape: tuple[int, ...] | None = None) -> Float:
    """`data` as a C-ordered (x, y, z) float32 array; ValueError if it is no volume or of another shape."""
    volume = np.ascontiguousarray(data, dtype=np.float32)
    if volume.ndim != 3:
        raise ValueError(f"{name} must have three axes, found shape {volume.shape}")
    if shape is not None and volume.shape != tuple(shape):
        raise ValueError(f"{name} has shape {volume.shape}, expected {tuple(shape)}")
    return volume


def as_mask(mask: NDArray[np.generic], shape: tuple[int, ...]) -> Bool:
    """`mask` as a C-ordered bool array of `shape`; ValueError if it is empty or of another shape."""
    flags = np.ascontiguousarray(mask, dtype=bool)
    if flags.shape != tuple(shape):
        raise ValueError(f"mask has shape {flags.shape}, expected {tuple(shape)}")
    if not flags.any():
        raise ValueError("mask is empty: no voxel is true")
    return flags


def as_echoes(data: NDArray[np.generic], name: str, shape: tuple[int, ...] | None = None) -> Float:
    """`data` as a C-ordered (x, y, z, echo) float32 array; a volume counts as one echo."""
    echoes = np.ascontiguousarray(data, dtype=np.float32)
    if echoes.ndim == 3:
        echoes = echoes[..., None]
    if echoes.ndim != 4:
        raise ValueError(f"{name} must be (x, y, z, echo), found shape {echoes.shape}")
    if shape is not None and echoes.shape != tuple(shape):
        raise ValueError(f"{name} has shape {echoes.shape}, expected {tuple(shape)}")
    return echoes


def as_echo_times(te: Sequence[float], n_echoes: int) -> NDArray[np.float64]:
    """Echo times [s] as float64; ValueError unless one per echo, positive and ascending."""
    times = np.atleast_1d(np.asarray(te, dtype=np.float64))
    if times.shape != (n_echoes,):
        raise ValueError(f"{times.size} echo times for {n_echoes} echoes")
    if not np.all(times > 0) or not np.all(np.diff(times) > 0):
        raise ValueError(f"echo times must be positive and ascending, found {times.tolist()} s")
    if times[-1] > 1:
        raise ValueError(f"echo times are in seconds, found {times.tolist()}")
    return times


def as_voxel_size(voxel_size: Sequence[float]) -> tuple[float, float, float]:
    """Three positive floats [mm]."""
    sizes = tuple(float(v) for v in voxel_size)
    if len(sizes) != 3 or not all(np.isfinite(v) and v > 0 for v in sizes):
        raise ValueError(f"voxel size must be three positive numbers [mm], found {sizes}")
    return sizes[0], sizes[1], sizes[2]


def as_direction(b0_dir: Sequence[float]) -> tuple[float, float, float]:
    """Unit vector along B0 in voxel axes."""
    vector = np.asarray(b0_dir, dtype=np.float64)
    norm = float(np.linalg.norm(vector)) if vector.shape == (3,) else 0.0
    if not np.isfinite(norm) or norm == 0:
        raise ValueError(f"B0 direction must be three numbers that are not all zero, found {list(b0_dir)}")
    x, y, z = (vector / norm).tolist()
    return x, y, z


def mask_box(mask: Bool, margin: int = 0) -> Slices:
    """Slices of the smallest box around `mask`, `margin` voxels wider where the volume allows it."""
    slices = []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        hits = np.flatnonzero(mask.any(axis=others))
        slices.append(slice(max(int(hits[0]) - margin, 0), min(int(hits[-1]) + 1 + margin, mask.shape[axis])))
    return slices[0], slices[1], slices[2]


def put_back(volume: NDArray[np.generic], box: Slices, shape: tuple[int, ...]) -> NDArray[np.generic]:
    """A volume of zeros of `shape` with `volume` in `box`."""
    whole = np.zeros(shape, dtype=volume.dtype)
    whole[box] = volume
    return whole
