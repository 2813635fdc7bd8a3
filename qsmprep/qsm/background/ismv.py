"""iSMV: spherical means, over and over, until the background is what its own means are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .. import _fft
from .._grid import Bool, Float
from .._harmonic import harmonic_extension
from ._spheres import Region, mean_spectrum


def ismv(
    total_field: NDArray[np.generic],
    mask: NDArray[np.generic],
    voxel_size: Sequence[float],
    b0_dir: Sequence[float],
    *,
    noise: NDArray[np.generic] | None = None,
    radius_mm: float = 4.0,
    max_iterations: int = 40,
    tolerance: float = 0.01,
) -> tuple[Float, Bool]:
    """Remove the background field by iterated spherical means (iSMV).

    The background equals the total field in a shell at the rim, as wide as the sphere; within, every voxel becomes the
    mean over its sphere until nothing changes any more. It starts from the harmonic function that agrees with the
    total field on that shell, which is nearly there.

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
    max_iterations : int
    tolerance : float
        Stop once the background changes by less than this share of the local field in one iteration (rms).

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
    Wen Y, et al. Magn Reson Med 2014;72:1065. https://doi.org/10.1002/mrm.24998
    """
    region = Region(total_field, mask, voxel_size, b0_dir, noise)
    valid = region.room(radius_mm, "iSMV")
    shape = region.total.shape
    grid = _fft.padded_shape(shape, region.sizes, radius_mm)
    corner = tuple(slice(0, n) for n in shape)
    mean = mean_spectrum(radius_mm, region.sizes, grid)
    harmonic, within = harmonic_extension(np.pad(region.total, 1), np.pad(region.inside, 1), region.sizes)
    core = (slice(1, -1),) * 3
    background = np.where(valid & within[core], harmonic[core], region.total)
    for _ in range(max_iterations):
        smooth = _fft.inverse(_fft.forward(background, grid) * mean, grid)[corner]
        moved = _size((smooth - background)[valid])
        background[valid] = smooth[valid]
        if moved < tolerance * _size((region.total - background)[valid]):
            break
    return region.result(region.total - background, valid)


def _size(values: Float) -> float:
    """Euclidean norm; its sum does not depend on the number of threads, as that of a linear algebra library may."""
    return float(np.sqrt(np.square(values, dtype=np.float64).sum()))
