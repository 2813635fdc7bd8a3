"""PDF: the background is the field of dipoles outside the mask that comes nearest to the total field inside."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .. import _fft
from .._grid import Bool, Float
from .._weights import data_weight
from ..dipole import dipole_kernel
from ._spheres import Region


def pdf(
    total_field: NDArray[np.generic],
    mask: NDArray[np.generic],
    voxel_size: Sequence[float],
    b0_dir: Sequence[float],
    *,
    noise: NDArray[np.generic] | None = None,
    max_iterations: int = 60,
    tolerance: float = 1e-3,
    pad_mm: float = 24.0,
) -> tuple[Float, Bool]:
    """Remove the background field by projection onto dipole fields (PDF).

    Least squares over the susceptibility χ outside the mask: min |W (f - D χ)|² inside it, by conjugate gradients on
    the normal equations, from χ = 0. Stopping early keeps the sources weak. The mask keeps its rim.

    Parameters
    ----------
    total_field : (x, y, z) array [ppm]
        Values outside `mask` are not read.
    mask : (x, y, z) bool array
    voxel_size : 3 floats [mm]
    b0_dir : 3 floats
        Direction of B0 in voxel axes.
    noise : (x, y, z) array [ppm], optional
        Standard error of the field, infinite where it is not to be trusted: weights W = median / noise, at most 1.
    max_iterations : int
    tolerance : float
        Stop once the gradient has shrunk to this share of the first one.
    pad_mm : float [mm]
        Room for sources around the box of the mask, which also keeps dipoles from reaching around it.

    Returns
    -------
    local_field : (x, y, z) float32 array [ppm], 0 outside `valid`
    valid : (x, y, z) bool array, the whole mask

    Raises
    ------
    ValueError
        If shapes differ or the mask is empty.

    References
    ----------
    Liu T, et al. NMR Biomed 2011;24:1129. https://doi.org/10.1002/nbm.1670
    """
    region = Region(total_field, mask, voxel_size, b0_dir, noise)
    shape = region.total.shape
    grid = _fft.padded_shape(shape, region.sizes, 2 * pad_mm)
    corner = tuple(slice(0, n) for n in shape)
    dipole = dipole_kernel(grid, region.sizes, b0_dir)
    weight2 = data_weight(region.noise, region.inside) ** 2
    outside = np.ones(grid, np.float32)
    outside[corner][region.inside] = 0

    def inside_field(source: Float) -> Float:
        return _fft.inverse(_fft.forward(source) * dipole, grid)[corner]

    def adjoint(volume: Float) -> Float:
        found = _fft.inverse(_fft.forward(weight2 * volume, grid) * dipole, grid)
        found *= outside
        return found

    left = region.total.copy()
    gradient = adjoint(left)
    direction = gradient.copy()
    size = first = _dot(gradient, gradient)
    for _ in range(max_iterations):
        if not size > tolerance**2 * first:
            break
        made = inside_field(direction)
        made *= region.inside
        length = np.float32(size / _dot(weight2 * made, made))
        left -= length * made
        gradient = adjoint(left)
        size, before = _dot(gradient, gradient), size
        direction *= np.float32(size / before)
        direction += gradient
    return region.result(left, region.inside)


def _dot(a: Float, b: Float) -> float:
    """Inner product, summed plane by plane in float64."""
    return float(np.einsum("xyz,xyz->x", a, b).astype(np.float64).sum())
