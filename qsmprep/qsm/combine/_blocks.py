"""Offsets are smooth, so they are found on blocks of voxels: sums over blocks in, smooth phase at every voxel out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray
from scipy import fft

from .. import _fft
from .._grid import Bool, Float
from ..unwrap.romeo import unwrap_volume

TWO_PI = 2 * np.pi
BLOCK_MM = 2.0
"""Longest side of a block [mm]: within it the phase difference of two echoes turns less than half, but next to air."""
ROUNDS = 3
"""Times that what smoothing has left behind is smoothed again."""
FAINTEST = 0.01
"""Share of the 99th percentile of a signal's square that a block needs to take part in unwrapping."""

Complex = NDArray[np.complex64]


class SmoothPhase(NamedTuple):
    """A phase [rad] as a plane over voxels and, on top of it, unit vectors at the centres of blocks."""

    slope: tuple[float, float, float]
    constant: float
    curve: Complex
    factor: tuple[int, int, int]


def wrap(angle: NDArray[np.generic]) -> Float:
    """`angle` [rad] moved by whole turns into ±π, as float32."""
    values = np.asarray(angle)
    return (values - TWO_PI * np.rint(values / TWO_PI)).astype(np.float32)


def block_factor(voxel_size: Sequence[float], sigma_mm: float) -> tuple[int, int, int]:
    """Voxels along the sides of a block: as many as fit into 2 mm, and into 0.4 of the Gaussian's deviation."""
    x, y, z = (max(1, int(min(BLOCK_MM, 0.4 * sigma_mm) / v + 1e-3)) for v in voxel_size)
    return x, y, z


@numba.njit(parallel=True, cache=True)
def _add_sums(phase, magnitude, mask, pairs, factor, has_magnitude, has_mask, sums):  # type: ignore[no-untyped-def]
    nx, ny, nz, ne = phase.shape
    fx, fy, fz = factor
    used = np.zeros(ne, np.bool_)
    for p in range(pairs.shape[0]):
        used[pairs[p, 1]] = True
        if pairs[p, 0] >= 0:
            used[pairs[p, 0]] = True
    for bx in numba.prange(sums.shape[1]):
        real, imag = np.zeros(ne, np.float32), np.zeros(ne, np.float32)
        size = np.ones(ne, np.float32)
        for x in range(bx * fx, min((bx + 1) * fx, nx)):
            for y in range(ny):
                for z in range(nz):
                    if has_mask and not mask[x, y, z]:
                        continue
                    for e in range(ne):
                        if used[e]:
                            if has_magnitude:
                                size[e] = magnitude[x, y, z, e]
                            real[e] = size[e] * np.cos(phase[x, y, z, e])
                            imag[e] = size[e] * np.sin(phase[x, y, z, e])
                    for p in range(pairs.shape[0]):
                        i, j = pairs[p]
                        if i < 0:
                            value = complex(real[j] * size[j], imag[j] * size[j])
                        else:
                            value = complex(
                                real[j] * real[i] + imag[j] * imag[i], imag[j] * real[i] - real[j] * imag[i]
                            )
                        sums[p, bx, y // fy, z // fz] += np.complex64(value)


def block_sums(
    phase: Float,
    magnitude: Float | None,
    mask: Bool | None,
    pairs: Sequence[tuple[int, int]],
    factor: Sequence[int],
    add_to: Complex | None = None,
) -> Complex:
    """Sums over blocks of m_i m_j exp(i (φ_j - φ_i)) for pairs (i, j) of echoes; with i = -1, of m_j² exp(i φ_j).

    Parameters
    ----------
    phase, magnitude : (x, y, z, echo) arrays; a magnitude of None counts as 1 everywhere
    mask : (x, y, z) bool array or None: voxels that take part
    factor : voxels along the sides of a block
    add_to : (pair, x, y, z) array, optional: sums so far (of other coils), added to in place

    Returns
    -------
    sums : (pair, x, y, z) complex64 array
    """
    shape = [-(-n // f) for n, f in zip(phase.shape, factor, strict=False)]
    sums = np.zeros((len(pairs), *shape), np.complex64) if add_to is None else add_to
    flags = np.zeros((1, 1, 1), bool) if mask is None else mask
    strength = phase if magnitude is None else magnitude
    listed = np.array(pairs, np.int64).reshape(-1, 2)
    _add_sums(phase, strength, flags, listed, tuple(factor), magnitude is not None, mask is not None, sums)
    return sums


def unwrapped(vectors: Complex) -> Float:
    """Angle [rad] of the sums over blocks, unwrapped in space; 0 where there is next to no signal."""
    size = np.abs(vectors)
    present = size[size > 0]
    if not present.size:
        raise ValueError("no signal: the magnitude is 0 wherever the phase offset is looked for")
    mask = size > FAINTEST * np.percentile(present, 99)
    return unwrap_volume(np.angle(vectors), np.sqrt(size), mask)


def find_plane(vectors: Complex) -> tuple[list[float], float]:
    """Slopes [rad a block] and constant [rad] of the plane that the angle of `vectors` follows, wraps and all."""
    plane, slopes = np.zeros((1, 1, 1)), []
    for axis, n in enumerate(vectors.shape):
        ahead, behind = [(slice(None),) * axis + (s,) for s in (slice(1, None), slice(None, -1))]
        step = vectors[ahead] * vectors[behind].conj()
        slopes.append(float(np.angle(np.sum(step, dtype=np.complex128))) if n > 1 else 0.0)
        plane = plane + slopes[-1] * np.arange(n).reshape([-1 if a == axis else 1 for a in range(3)])
    return slopes, float(np.angle(np.sum(vectors * np.exp(-1j * plane), dtype=np.complex128)))


def _gaussian(vectors: Complex, spacing: Sequence[float], sigma_mm: float) -> Complex:
    """Gaussian smoothing of a complex volume; beyond its edges there is nothing."""
    shape = vectors.shape
    grid = _fft.padded_shape(shape, spacing, 3 * sigma_mm)
    spectrum = fft.fftn(vectors, grid, workers=_fft.workers())
    for axis, k in enumerate(_fft.frequencies(grid, spacing, real=False)):
        gauss = np.exp(-2 * (np.pi * sigma_mm * k) ** 2).astype(np.float32)
        spectrum *= gauss.reshape([-1 if a == axis else 1 for a in range(3)])
    smooth: Complex = fft.ifftn(spectrum, workers=_fft.workers(), overwrite_x=True)
    return smooth[: shape[0], : shape[1], : shape[2]]


def smooth_phase(
    vectors: Complex, voxel_size: Sequence[float], factor: tuple[int, int, int], sigma_mm: float
) -> SmoothPhase:
    """Smooth phase that follows the angle of `vectors` (weight x unit vector, on blocks).

    A Gaussian flattens curves, and slopes at the edge of the mask. So the plane is taken off before smoothing, and what
    one smoothing leaves behind is smoothed again and added: the error falls to its square, and to its cube.
    """
    slopes, constant = find_plane(vectors)
    plane: NDArray[Any] = np.full((1, 1, 1), constant, np.float32)
    for axis, n in enumerate(vectors.shape):
        plane = plane + slopes[axis] * np.arange(n, dtype=np.float32).reshape(
            [-1 if a == axis else 1 for a in range(3)]
        )
    rest = vectors * np.exp(-1j * plane).astype(np.complex64)
    spacing = [v * f for v, f in zip(voxel_size, factor, strict=True)]
    curve = np.ones(rest.shape, np.complex64)
    for _ in range(ROUNDS):
        left = _gaussian(rest * curve.conj(), spacing, sigma_mm)
        curve *= left / np.maximum(np.abs(left), np.float32(1e-30))
    x, y, z = (s / f for s, f in zip(slopes, factor, strict=True))
    # the first block's centre lies (factor - 1) / 2 voxels behind the first voxel's
    shift = sum(s * (f - 1) / 2 for s, f in zip((x, y, z), factor, strict=True))
    return SmoothPhase((x, y, z), constant - shift, curve, factor)


@numba.njit(inline="always")
def _place(x, factor, n):  # type: ignore[no-untyped-def]
    """Block below voxel `x` (both ends held), the block above it, and the share of the latter."""
    where = min(max((x + 0.5) / factor - 0.5, 0.0), n - 1.0)
    low = min(int(where), max(n - 2, 0))
    return low, min(low + 1, n - 1), np.float32(where - low)


@numba.njit(inline="always")
def _row(curve, factor, x, y, row):  # type: ignore[no-untyped-def]
    """The curve at one (x, y), for every block along z."""
    x0, x1, u = _place(x, factor[0], curve.shape[0])
    y0, y1, v = _place(y, factor[1], curve.shape[1])
    a, b = (1 - u) * (1 - v), (1 - u) * v
    c, d = u * (1 - v), u * v
    for z in range(curve.shape[2]):
        row[z] = a * curve[x0, y0, z] + b * curve[x0, y1, z] + c * curve[x1, y0, z] + d * curve[x1, y1, z]


@numba.njit(parallel=True, cache=True)
def _angles(slope, constant, curve, factor, out):  # type: ignore[no-untyped-def]
    for x in numba.prange(out.shape[0]):
        row = np.empty(curve.shape[2], np.complex64)
        for y in range(out.shape[1]):
            _row(curve, factor, x, y, row)
            plane = constant + slope[0] * x + slope[1] * y
            for z in range(out.shape[2]):
                low, high, share = _place(z, factor[2], row.size)
                value = (1 - share) * row[low] + share * row[high]
                angle = np.float32(plane + slope[2] * z) + np.arctan2(value.imag, value.real)
                out[x, y, z] = angle - np.float32(TWO_PI) * np.rint(angle / np.float32(TWO_PI))


def angles(smooth: SmoothPhase, shape: Sequence[int]) -> Float:
    """The smooth phase [rad] within ±π at every voxel of an (x, y, z) grid."""
    out = np.empty(tuple(shape), np.float32)
    _angles(smooth.slope, smooth.constant, smooth.curve, smooth.factor, out)
    return out


@numba.njit(parallel=True, cache=True)
def _subtract(phase, offset, extra, alternate, out):  # type: ignore[no-untyped-def]
    for x in numba.prange(phase.shape[0]):
        for y in range(phase.shape[1]):
            for z in range(phase.shape[2]):
                for e in range(phase.shape[3]):
                    angle = phase[x, y, z, e] - offset[x, y, z]
                    if alternate[e]:
                        angle -= extra[x, y, z]
                    out[x, y, z, e] = angle - np.float32(TWO_PI) * np.rint(angle / np.float32(TWO_PI))


def subtract(phase: Float, offset: Float, extra: Float | None = None, alternate: Sequence[bool] = ()) -> Float:
    """Phase less an offset, and less `extra` in the echoes of `alternate`, within ±π; all in radians."""
    out = np.empty_like(phase)
    flags = np.array([bool(a) and extra is not None for a in alternate] or [False] * phase.shape[3])
    _subtract(phase, offset, offset if extra is None else extra, flags, out)
    return out


@numba.njit(parallel=True, cache=True)
def _add_coil(phase, magnitude, one, other, alternate, total, square):  # type: ignore[no-untyped-def]
    for x in numba.prange(phase.shape[0]):
        for y in range(phase.shape[1]):
            for z in range(phase.shape[2]):
                for e in range(phase.shape[3]):
                    angle = phase[x, y, z, e] - one[x, y, z]
                    if alternate[e]:
                        angle -= other[x, y, z]
                    weight = magnitude[x, y, z, e] ** 2
                    total[x, y, z, e] += np.complex64(complex(weight * np.cos(angle), weight * np.sin(angle)))
                    square[x, y, z, e] += weight


def add_coil(
    phase: Float, magnitude: Float, offset: Float, extra: Float | None, alternate: Sequence[bool],
    total: Complex, square: Float,
) -> None:  # fmt: skip
    """Add a coil's m² exp(i (φ - offset)) to `total` and its m² to `square`, in place."""
    flags: NDArray[Any] = np.array([bool(a) and extra is not None for a in alternate])
    _add_coil(phase, magnitude, offset, offset if extra is None else extra, flags, total, square)
