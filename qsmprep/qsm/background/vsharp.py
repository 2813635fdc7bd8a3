"""V-SHARP: what a harmonic field is on average over a sphere, it is at its centre; so a sphere's mean takes it away."""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np
from numpy.typing import NDArray

from .. import _fft
from .._grid import Bool, Float
from ._extend import extend
from ._spheres import Region, mean_spectrum, sphere

DIRECT = 520
"""Spheres of so many voxels are summed where they are needed, in a layer of the rim: quicker than transforms."""


@numba.njit(parallel=True, cache=True)
def _take(local, total, mean, distance, larger, smaller):  # type: ignore[no-untyped-def]
    """Where this sphere fits and the next larger one does not: the field less its mean."""
    for x in numba.prange(local.shape[0]):
        for y in range(local.shape[1]):
            for z in range(local.shape[2]):
                if smaller < distance[x, y, z] <= larger:
                    local[x, y, z] = total[x, y, z] - mean[x, y, z]


@numba.njit(parallel=True, cache=True)
def _take_directly(local, total, distance, larger, smaller, offsets):  # type: ignore[no-untyped-def]
    """As `_take`, with the mean summed voxel by voxel."""
    share = np.float32(1) / np.float32(offsets.shape[0])
    for x in numba.prange(local.shape[0]):
        for y in range(local.shape[1]):
            for z in range(local.shape[2]):
                if smaller < distance[x, y, z] <= larger:
                    mean = np.float32(0)
                    for i in range(offsets.shape[0]):
                        mean += total[x + offsets[i, 0], y + offsets[i, 1], z + offsets[i, 2]]
                    local[x, y, z] = total[x, y, z] - mean * share


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
    noise: NDArray[np.generic] | None = None,
    radius_max_mm: float = 12.0,
    radius_min_mm: float = 1.0,
    step_mm: float = 1.0,
    threshold: float = 0.05,
    extend_mm: float = 0.0,
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
    b0_dir : 3 floats
        Not used: spheres look alike from everywhere.
    noise : (x, y, z) array [ppm], optional
        Standard error of the field; where it is infinite or large, the field is filled in from its neighbours.
    radius_max_mm, radius_min_mm, step_mm : float [mm]
        Largest and smallest radius and the step between them. A radius below one voxel becomes one voxel.
    threshold : float
        Spatial frequencies of which the spheres leave less than this share are set to 0.
    extend_mm : float [mm]
        More than 0: the rim in which no sphere fits is kept. Its background is continued from the known one within this
        reach, which has to hold two voxels or more (3 suits voxels of 1 mm, 5 those of 2 mm).

    Returns
    -------
    local_field : (x, y, z) float32 array [ppm], 0 outside `valid`
    valid : (x, y, z) bool array
        Where the smallest sphere fits, and with `extend_mm` nearly the whole mask: that for the dipole inversion.

    Raises
    ------
    ValueError
        If shapes differ, radii are out of order, or no voxel of `mask` can hold the smallest sphere.

    References
    ----------
    Schweser F, et al. NeuroImage 2011;54:2789. https://doi.org/10.1016/j.neuroimage.2010.10.070
    Wu B, et al. Magn Reson Med 2012;67:137. https://doi.org/10.1002/mrm.23000
    """
    region = Region(total_field, mask, voxel_size, b0_dir, noise)
    sizes, total, distance = region.sizes, region.total, region.distance(radius_max_mm)
    radii = _radii(radius_max_mm, radius_min_mm, step_mm, sizes)
    fitting = [r for r in radii if distance.max() > r * (1 + 1e-5)]
    if not fitting:
        raise ValueError(f"the mask has no room for a sphere of {radii[-1]:g} mm, the smallest of V-SHARP")
    # means are taken only where the sphere lies in the box, so they never reach around it; the deconvolution does
    grid = _fft.padded_shape(total.shape, sizes, fitting[0])
    spectrum = _fft.forward(total, grid)
    high_pass = np.zeros_like(total)
    largest: Float | None = None
    larger = np.float32(np.inf)
    for radius in fitting:
        bound = np.float32(radius * (1 + 1e-5))
        ball = sphere(radius, sizes)
        if largest is not None and np.count_nonzero(ball) <= DIRECT:
            offsets = np.argwhere(ball) - np.array(ball.shape) // 2
            _take_directly(high_pass, total, distance, larger, bound, offsets)
        else:
            mean = mean_spectrum(radius, sizes, grid)
            largest = mean if largest is None else largest
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
    if extend_mm > 0:
        local, valid = extend(np.ascontiguousarray(local), total, region.inside, valid, sizes, extend_mm)
    return region.result(local, valid)
