"""The unit dipole: from susceptibility to the field that it makes.

Sign: a paramagnetic (χ > 0) sphere of radius a makes the field (χ / 3) (a / r)³ (3 cos²θ - 1) outside and, with the
Lorentz correction, 0 inside; θ is the angle from B0. A field of ΔB [ppm] makes the phase + 2π γ ΔB B0 TE.
"""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np
from numpy.typing import NDArray

from . import _fft
from ._grid import Float, as_direction, as_volume, as_voxel_size


@numba.njit(inline="always")
def _dipole_value(kx, ky, kz, cx, cy, cz, bx, by, bz, radius):  # type: ignore[no-untyped-def]
    """1/3 - (k·b)²/k², of a dipole that reaches no farther than `radius` (0: without end)."""
    k2 = kx * kx + ky * ky + kz * kz
    if k2 == 0.0:
        return 0.0
    # c is k without its Nyquist terms: their sign is undefined, and the kernel has to be that of a real field
    cross = cx * cy * bx * by + cx * cz * bx * bz + cy * cz * by * bz
    value = 1.0 / 3.0 - (kx * kx * bx * bx + ky * ky * by * by + kz * kz * bz * bz + 2.0 * cross) / k2
    if radius > 0.0:
        x = 2.0 * np.pi * np.sqrt(k2) * radius
        value *= 1.0 - 3.0 * (np.sin(x) - x * np.cos(x)) / (x * x * x)
    return value


@numba.njit(parallel=True, cache=True)
def _fill(out, k, c, b, radius):  # type: ignore[no-untyped-def]
    for x in numba.prange(out.shape[0]):
        for y in range(out.shape[1]):
            for z in range(out.shape[2]):
                out[x, y, z] = _dipole_value(
                    k[0][x], k[1][y], k[2][z], c[0][x], c[1][y], c[2][z], b[0], b[1], b[2], radius
                )


@numba.njit(parallel=True, cache=True)
def _multiply(spectrum, k, c, b, radius):  # type: ignore[no-untyped-def]
    for x in numba.prange(spectrum.shape[0]):
        for y in range(spectrum.shape[1]):
            for z in range(spectrum.shape[2]):
                spectrum[x, y, z] *= np.float32(
                    _dipole_value(k[0][x], k[1][y], k[2][z], c[0][x], c[1][y], c[2][z], b[0], b[1], b[2], radius)
                )


Axes = tuple[NDArray[np.float64], ...]
SLAB_BYTES = 1 << 27  # of k-space, worked on at a time


def _axes(shape: Sequence[int], voxel_size: Sequence[float], real: bool) -> tuple[Axes, Axes]:
    """Frequencies of the axes, and the same with 0 at Nyquist."""
    k = _fft.frequencies(shape, voxel_size, real=real)
    c = [axis.copy() for axis in k]
    for axis, n in zip(c, shape, strict=True):
        if n % 2 == 0:
            axis[n // 2] = 0.0
    return tuple(k), tuple(c)


def dipole_kernel(
    shape: Sequence[int], voxel_size: Sequence[float], b0_dir: Sequence[float], *, real: bool = True
) -> Float:
    """Spectrum of the unit dipole with the Lorentz correction, 1/3 - (k·b)²/k².

    Parameters
    ----------
    shape : 3 ints
        Grid (x, y, z) of the image.
    voxel_size : 3 floats [mm]
    b0_dir : 3 floats
        Direction of B0 in voxel axes; any length but zero.
    real : bool
        True: layout of `scipy.fft.rfftn`, (x, y, z // 2 + 1). False: layout of `fftn`, (x, y, z).

    Returns
    -------
    kernel : float32 array, 0 at k = 0

    Raises
    ------
    ValueError
        If a voxel size is not positive or the direction is zero.

    References
    ----------
    Marques JP, Bowtell R. Concepts Magn Reson B 2005;25:65. https://doi.org/10.1002/cmr.b.20034
    """
    sizes, b = as_voxel_size(voxel_size), as_direction(b0_dir)
    k, c = _axes(shape, sizes, real)
    kernel = np.empty(tuple(axis.size for axis in k), dtype=np.float32)
    _fill(kernel, k, c, b, 0.0)
    return kernel


def forward_field(
    chi: NDArray[np.generic], voxel_size: Sequence[float], b0_dir: Sequence[float], *, pad: float = 2.0
) -> Float:
    """Field of a susceptibility map in free space, without sources that wrap around.

    Every dipole is cut at `pad - 1` times the longest edge of the volume, and the grid is zero-padded by as much: no
    copy of the volume reaches it.

    Parameters
    ----------
    chi : (x, y, z) array [ppm]
        0 outside the object.
    voxel_size : 3 floats [mm]
    b0_dir : 3 floats
        Direction of B0 in voxel axes.
    pad : float
        Padded over original length of the longest edge, more than 1. From 1 + √3 on no dipole is cut inside the
        volume.

    Returns
    -------
    field : (x, y, z) float32 array [ppm]

    Raises
    ------
    ValueError
        If `chi` is no volume, or `pad` is not more than 1.

    Notes
    -----
    Voxels are band-limited points. With B0 oblique to the axes a surface as sharp as one voxel rings by about 1 % of
    its step along the axes; compute on a finer grid and average where that matters.

    References
    ----------
    Jenkinson M, et al. Magn Reson Med 2004;52:471. https://doi.org/10.1002/mrm.20194
    Vico F, et al. J Comput Phys 2016;323:191. https://doi.org/10.1016/j.jcp.2016.07.028
    """
    volume = as_volume(chi, "chi")
    sizes, b = as_voxel_size(voxel_size), as_direction(b0_dir)
    if not pad > 1:
        raise ValueError(f"pad must be more than 1, found {pad}")
    radius = (pad - 1) * max(n * v for n, v in zip(volume.shape, sizes, strict=True))
    return _convolve(volume, sizes, b, radius)


def _convolve(volume: Float, sizes: Sequence[float], b: Sequence[float], radius: float) -> Float:
    """Field of dipoles cut at `radius`, a few planes of k-space at a time.

    Most of the padded grid is zero before the transform and unread after it. Only z is transformed as a whole; x and y
    are padded, transformed, weighted and cropped plane by plane, so that the padded grid is never in memory.
    """
    from scipy import fft

    nx, ny, nz = volume.shape
    grid = _fft.padded_shape(volume.shape, sizes, radius)
    (kx, ky, kz), (cx, cy, cz) = _axes(grid, sizes, True)
    threads = _fft.workers()
    lines = fft.rfft(volume, n=grid[2], axis=2, workers=threads)
    planes = max(1, SLAB_BYTES // (8 * grid[0] * grid[1]))
    for start in range(0, lines.shape[2], planes):
        part = slice(start, start + planes)
        slab = fft.fft(lines[:, :, part], n=grid[1], axis=1, workers=threads)
        slab = fft.fft(slab, n=grid[0], axis=0, workers=threads, overwrite_x=True)
        _multiply(slab, (kx, ky, kz[part]), (cx, cy, cz[part]), b, radius)
        slab = fft.ifft(slab, axis=0, workers=threads, overwrite_x=True)[:nx]
        lines[:, :, part] = fft.ifft(slab, axis=1, workers=threads, overwrite_x=True)[:, :ny]
    return np.ascontiguousarray(fft.irfft(lines, n=grid[2], axis=2, workers=threads, overwrite_x=True)[:, :, :nz])
