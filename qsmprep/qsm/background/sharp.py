"""SHARP: a sphere's mean takes the background away, and truncated deconvolution gives back what it took of the rest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .. import _fft
from .._grid import Bool, Float
from ._spheres import Region, mean_spectrum


def sharp(
    total_field: NDArray[np.generic],
    mask: NDArray[np.generic],
    voxel_size: Sequence[float],
    b0_dir: Sequence[float],
    *,
    noise: NDArray[np.generic] | None = None,
    radius_mm: float = 5.0,
    threshold: float = 0.03,
) -> tuple[Float, Bool]:
    """Remove the background field with spherical means of one radius (SHARP).

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
    threshold : float
        Spatial frequencies of which the sphere leaves less than this share are set to 0.

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
    Schweser F, et al. NeuroImage 2011;54:2789. https://doi.org/10.1016/j.neuroimage.2010.10.070
    """
    region = Region(total_field, mask, voxel_size, b0_dir, noise)
    valid = region.room(radius_mm, "SHARP")
    grid = _fft.padded_shape(region.total.shape, region.sizes, radius_mm)
    corner = tuple(slice(0, n) for n in region.total.shape)
    kept = np.float32(1) - mean_spectrum(radius_mm, region.sizes, grid)
    high_pass = _fft.inverse(_fft.forward(region.total, grid) * kept, grid)[corner] * valid
    usable = np.abs(kept) >= threshold
    undone = np.where(usable, 1 / np.where(usable, kept, np.float32(1)), np.float32(0))
    return region.result(_fft.inverse(_fft.forward(high_pass, grid) * undone, grid)[corner], valid)
