"""V-SHARP: what a harmonic field is on average over a sphere, it is at its centre; so a sphere's mean takes it away."""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .. import _fft
from .._grid import Bool, Float, as_direction, as_mask, as_volume, as_voxel_size, mask_box


def _sphere(radius: float, voxel_size: Sequence[float]) -> Float:
    """Sphere [mm] of voxels whose centre lies within the radius; its sum is 1."""
    reach = [int(radius / v + 1e-6) for v in voxel_size]
    axes = np.ogrid[tuple(slice(-n, n + 1) for n in reach)]
    distance2 = sum((axis * v) ** 2 for axis, v in zip(axes, voxel_size, strict=True))
    ball = (np.asarray(distance2) <= radius**2 * (1 + 1e-6)).astype(np.float32)
    return np.asarray(ball / ball.sum(), np.float32)


def _mean_spectrum(radius: float, voxel_size: Sequence[float], grid: Sequence[int]) -> Float:
    """Spectrum of the sphere centred on the origin; real, since the sphere is symmetric."""
    ball = _sphere(radius, voxel_size)
    kernel = np.zeros(tuple(grid), np.float32)
    kernel[: ball.shape[0], : ball.shape[1], : ball.shape[2]] = ball
    kernel = np.roll(kernel, [-(n // 2) for n in ball.shape], (0, 1, 2))
    return np.ascontiguousarray(_fft.forward(kernel).real)


@numba.njit(parallel=True, cache=True)
def _take(local, total, mean, distance, larger, smaller):  # type: ignore[no-untyped-def]
    """Where this sphere fits and the next larger one does not: the field less its mean."""
    for x in numba.prange(local.shape[0]):
        for y in range(local.shape[1]):
            for z in range(local.shape[2]):
                if smaller < distance[x, y, z] <= larger:
                    local[x, y, z] = total[x, y, z] - mean[x, y, z]


def _radii(largest: float, smallest: float, step: float, voxel_size: Sequence[float]) -> list[float]:
    """Radii [mm], largest first; those below one voxel hold no neighbour, so the smallest that does replaces them."""
    if not (largest >= smallest > 0 and step > 0):
        raise ValueError(f"radii must fall from largest to smallest, found {largest} to {smallest} mm by {step} mm")
    n = int((largest - smallest) / step + 1e-6)
    radii = [largest - i * step for i in range(n + 1)]
    floor = min(voxel_size)
    kept = [r for r in radii if r >= floor * (1 - 1e-6)]
    return kept if len(kept) == len(radii) else [*kept, *([floor] if not kept or kept[-1] > floor * (1 + 1e-6) else [])]


def vsharp(
    total_field: NDArray[np.generic],
    mask: NDArray[np.generic],
    voxel_size: Sequence[float],
    b0_dir: Sequence[float] = (0.0, 0.0, 1.0),
    *,
    radius_max_mm: float = 12.0,
    radius_min_mm: float = 1.0,
    step_mm: float = 1.0,
    threshold: float = 0.05,
) -> tuple[Float, Bool]:
    """Remove the background field with spherical mean values of varying radius (V-SHARP).

    Every voxel takes the largest sphere that lies wholly in the mask; the volume's edge counts as the mask's. The
    means are then undone by deconvolution with the largest sphere in use.

    Parameters
    ----------
    total_field : (x, y, z) array [ppm]
        Values outside `mask` are not read.
    mask : (x, y, z) bool array
    voxel_size : 3 floats [mm]
    b0_dir : ignored, the method does not depend on it
    radius_max_mm, radius_min_mm, step_mm : float [mm]
        Largest and smallest radius and the step between them. A radius below one voxel becomes one voxel.
    threshold : float
        Spatial frequencies of which the spheres leave less than this share are set to 0.

    Returns
    -------
    local_field : (x, y, z) float32 array [ppm], 0 outside `valid`
    valid : (x, y, z) bool array
        Where the smallest sphere fits: the mask for the dipole inversion.

    Raises
    ------
    ValueError
        If shapes differ, radii are out of order, or no voxel of `mask` can hold the smallest sphere.

    References
    ----------
    Schweser F, et al. NeuroImage 2011;54:2789. https://doi.org/10.1016/j.neuroimage.2010.10.070
    Wu B, et al. Magn Reson Med 2012;67:137. https://doi.org/10.1002/mrm.23000
    """
    field = as_volume(total_field, "total field")
    flags = as_mask(mask, field.shape)
    sizes = as_voxel_size(voxel_size)
    as_direction(b0_dir)
    radii = _radii(radius_max_mm, radius_min_mm, step_mm, sizes)
    box = mask_box(flags)
    inside = flags[box]
    # to the nearest voxel centre outside: a sphere fits if its radius is smaller
    distance = ndimage.distance_transform_edt(np.pad(inside, 1), sampling=sizes)[1:-1, 1:-1, 1:-1].astype(np.float32)
    fitting = [r for r in radii if distance.max() > r * (1 + 1e-5)]
    if not fitting:
        raise ValueError(f"the mask has no room for a sphere of {radii[-1]:g} mm, the smallest of V-SHARP")
    total = np.where(inside, field[box], np.float32(0))
    # means are taken only where the sphere lies in the box, so they never reach around it; the deconvolution does
    grid = _fft.padded_shape(total.shape, sizes, fitting[0])
    spectrum = _fft.forward(total, grid)
    high_pass = np.zeros_like(total)
    largest: Float | None = None
    larger = np.float32(np.inf)
    for radius in fitting:
        mean = _mean_spectrum(radius, sizes, grid)
        largest = mean if largest is None else largest
        bound = np.float32(radius * (1 + 1e-5))
        _take(high_pass, total, _fft.inverse(spectrum * mean, grid), distance, larger, bound)
        larger = bound
    valid = distance > larger
    assert largest is not None
    kept = np.float32(1) - largest
    usable = np.abs(kept) >= threshold
    undone = np.where(usable, 1 / np.where(usable, kept, np.float32(1)), np.float32(0))
    high_pass_spectrum = _fft.forward(high_pass, grid)
    high_pass_spectrum *= undone
    local = _fft.inverse(high_pass_spectrum, grid)[: total.shape[0], : total.shape[1], : total.shape[2]]
    local_field, valid_mask = np.zeros_like(field), np.zeros_like(flags)
    local_field[box] = np.where(valid, local, np.float32(0))
    valid_mask[box] = valid
    return local_field, valid_mask
