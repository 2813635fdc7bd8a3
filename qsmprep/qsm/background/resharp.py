"""RESHARP: as SHARP, but the deconvolution is the smallest field that has the measured spherical means."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .. import _fft
from .._grid import Bool, Float
from ._spheres import Region, mean_spectrum


def resharp(
    total_field: NDArray[np.generic],
    mask: NDArray[np.generic],
    voxel_size: Sequence[float],
    b0_dir: Sequence[float],
    *,
    noise: NDArray[np.generic] | None = None,
    radius_mm: float = 5.0,
    regularization: float = 1e-3,
    max_iterations: int = 20,
    tolerance: float = 0.02,
) -> tuple[Float, Bool]:
    """Remove the background field with spherical means and Tikhonov regularisation (RESHARP).

    The local field b is the minimum of |M (b - S b) - M (f - S f)|² + λ |b|²; S is the mean over a sphere, M the mask
    of voxels that hold one. Solved by conjugate gradients, which start from the solution for a mask without end.

    Parameters
    ----------
    total_field : (x, y, z) array [ppm]
        Values outside `mask` are not read.
    mask : (x, y, z) bool array
    voxel_size : 3 floats [mm]
    b0_dir : 3 floats
        Not used: spheres look alike from everywhere.
    noise : (x, y, z) array [ppm], optional
        Standard error of the field; where it is infinite or large, the field is filled in from its neighbours.
    radius_mm : float [mm]
        The mask loses a rim of this width.
    regularization : float
        λ.
    max_iterations : int
    tolerance : float
        Stop once the residual has shrunk to this share of the first one.

    Returns
    -------
    local_field : (x, y, z) float32 array [ppm], 0 outside `valid`
    valid : (x, y, z) bool array

    Raises
    ------
    ValueError
        If shapes differ or no voxel of `mask` can hold the sphere.

    References
    ----------
    Sun H, Wilman AH. Magn Reson Med 2014;71:1151. https://doi.org/10.1002/mrm.24765
    """
    region = Region(total_field, mask, voxel_size, b0_dir, noise)
    valid = region.room(radius_mm, "RESHARP")
    shape = region.total.shape
    grid = _fft.padded_shape(shape, region.sizes, radius_mm)
    corner = tuple(slice(0, n) for n in shape)
    kept = np.float32(1) - mean_spectrum(radius_mm, region.sizes, grid)

    def high_pass(volume: Float) -> Float:
        return _fft.inverse(_fft.forward(volume, grid) * kept, grid)[corner]

    def normal(volume: Float) -> Float:
        return high_pass(high_pass(volume) * valid) + np.float32(regularization) * volume

    means = high_pass(region.total) * valid
    residual = high_pass(means)
    first = _dot(residual, residual)
    # the closed solution, if the mask were everywhere, is nearly there
    local = _fft.inverse(_fft.forward(means, grid) * (kept / (kept**2 + np.float32(regularization))), grid)[corner]
    residual -= normal(local)
    direction = residual.copy()
    size = _dot(residual, residual)
    for _ in range(max_iterations):
        if not size > tolerance**2 * first:
            break
        step = normal(direction)
        length = np.float32(size / _dot(direction, step))
        local += length * direction
        residual -= length * step
        size, before = _dot(residual, residual), size
        direction = residual + np.float32(size / before) * direction
    return region.result(local, valid)


def _dot(a: Float, b: Float) -> float:
    """Inner product, summed plane by plane in float64."""
    return float(np.einsum("xyz,xyz->x", a, b).astype(np.float64).sum())
