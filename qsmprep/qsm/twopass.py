"""Two passes: χ where the phase is reliable, undisturbed by the rest; and χ of the rest from a second inversion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _fft
from ._grid import Bool, Float, as_mask, as_volume, as_voxel_size, mask_box
from ._weights import data_weight
from .dipole import dipole_kernel

PAD_MM = 24.0  # room that keeps dipoles from reaching around the box of the mask
MAX_ITERATIONS = 60
TOLERANCE = 1e-3  # of the first gradient: about 25 iterations for a bleeding


def reliable_mask(quality: NDArray[np.generic], mask: NDArray[np.generic], *, threshold: float = 0.3) -> Bool:
    """The voxels of a mask whose phase can be relied on.

    Parameters
    ----------
    quality : (x, y, z) array
        Quality of the phase, 0 to 1, as `unwrap.voxel_quality` gives it.
    mask : (x, y, z) bool array
    threshold : float
        Least quality. Healthy tissue lies above 0.6 to 0.9, a bleeding and the voxels next to it below 0.15; with more
        than 0.3 the rim of the mask is lost, too, and the first pass is the worse for it.

    Returns
    -------
    reliable : (x, y, z) bool array, with holes

    Raises
    ------
    ValueError
        If shapes differ, or less than half of the mask is reliable: there would be no first pass to speak of.
    """
    rating = as_volume(quality, "quality")
    flags = as_mask(mask, rating.shape)
    reliable: Bool = flags & (rating >= threshold)
    if 2 * reliable.sum() < flags.sum():
        share = 100 * reliable.sum() / flags.sum()
        raise ValueError(f"only {share:.0f} % of the mask have a phase quality of {threshold:g}; two passes need half")
    return reliable


def combine_passes(
    chi_reliable: NDArray[np.generic], chi_filled: NDArray[np.generic], mask_reliable: NDArray[np.generic]
) -> Float:
    """One map of χ from two passes: the first where it is reliable, the second in the holes.

    Parameters
    ----------
    chi_reliable : (x, y, z) array [ppm]
        Inverted with the reliable voxels alone as mask.
    chi_filled : (x, y, z) array [ppm]
        Inverted with the whole mask. Its median difference from the first pass over what both have is taken off: two
        inversions know χ up to a constant each. (Stewart et al. join the maps as they are.)
    mask_reliable : (x, y, z) bool array
        Voxels of it that the first pass left at exactly 0, such as an eroded rim, count as holes.

    Returns
    -------
    chi : (x, y, z) float32 array [ppm], 0 where the chosen pass has none

    Raises
    ------
    ValueError
        If shapes differ, or no reliable voxel has a χ.
    """
    first = as_volume(chi_reliable, "chi of the reliable mask")
    second = as_volume(chi_filled, "chi of the filled mask", first.shape)
    sure: Bool = as_mask(mask_reliable, first.shape) & (first != 0)
    if not sure.any():
        raise ValueError("the first pass gave no χ in the reliable mask")
    both = sure & (second != 0)
    offset = np.float32(np.median(first[both] - second[both])) if both.any() else np.float32(0)
    return np.where(sure, first, np.where(second != 0, second + offset, np.float32(0))).astype(np.float32)


def without_holes(
    local_field: NDArray[np.generic],
    mask: NDArray[np.generic],
    reliable: NDArray[np.generic],
    voxel_size: Sequence[float],
    b0_dir: Sequence[float],
    *,
    noise: NDArray[np.generic] | None = None,
) -> Float:
    """The local field less that of the sources in the holes of the reliable mask.

    As projection onto dipole fields does it for sources outside the head: least squares over the susceptibility of the
    holes, min |W (f - D χ)|² in the reliable mask, by conjugate gradients from χ = 0. As nothing but the holes may have
    sources, next to nothing is taken of the field of those elsewhere.

    Parameters
    ----------
    local_field : (x, y, z) array [ppm]
        Values outside `reliable` are not read.
    mask, reliable : (x, y, z) bool arrays
        The holes are what `mask` has and `reliable` has not.
    voxel_size : 3 floats [mm]
    b0_dir : 3 floats
        Direction of B0 in voxel axes.
    noise : (x, y, z) array [ppm], optional
        Standard error of the field, infinite where it is not to be trusted: weights W = median / noise, at most 1.

    Returns
    -------
    field : (x, y, z) float32 array [ppm], 0 outside `reliable` and where the noise is infinite

    Raises
    ------
    ValueError
        If shapes differ, a mask is empty, or no reliable voxel has a field that can be trusted.

    References
    ----------
    Liu T, et al. NMR Biomed 2011;24:1129. https://doi.org/10.1002/nbm.1670
    """
    field = as_volume(local_field, "local field")
    flags, sizes = as_mask(mask, field.shape), as_voxel_size(voxel_size)
    sure: Bool = as_mask(reliable, field.shape) & flags
    weight2 = data_weight(noise, sure) ** 2
    box = mask_box(flags)
    holes, weight2 = (flags & ~sure)[box], weight2[box]
    left: Float = np.where(weight2 > 0, field[box], np.float32(0))
    grid = _fft.padded_shape(holes.shape, sizes, PAD_MM)
    corner = tuple(slice(0, n) for n in holes.shape)
    dipole = dipole_kernel(grid, sizes, b0_dir)

    def field_of(volume: Float) -> Float:
        return _fft.inverse(_fft.forward(volume, grid) * dipole, grid)[corner]

    gradient = field_of(weight2 * left) * holes
    direction = gradient.copy()
    size = first = _dot(gradient, gradient)
    for _ in range(MAX_ITERATIONS):
        if not size > TOLERANCE**2 * first:
            break
        made = field_of(direction)
        length = np.float32(size / _dot(weight2 * made, made))
        left -= length * made
        gradient = field_of(weight2 * left) * holes
        size, before = _dot(gradient, gradient), size
        direction *= np.float32(size / before)
        direction += gradient
    whole = np.zeros(field.shape, np.float32)
    whole[box] = np.where(weight2 > 0, left, np.float32(0))
    return whole


def _dot(a: Float, b: Float) -> float:
    """Inner product, summed plane by plane in float64: the same for any number of threads."""
    return float(np.einsum("xyz,xyz->x", a, b).astype(np.float64).sum())


def two_pass(
    invert: Callable[[Float, Bool], NDArray[Any]],
    field: NDArray[np.generic],
    mask: NDArray[np.generic],
    quality: NDArray[np.generic],
    voxel_size: Sequence[float],
    b0_dir: Sequence[float],
    *,
    noise: NDArray[np.generic] | None = None,
    single_step: bool = False,
    threshold: float = 0.3,
) -> Float:
    """χ in two passes, so that bleedings and calcifications do not streak over the brain.

    Around a strong source the phase wraps and the signal is lost. What is wrong there is inverted along with the rest,
    and spreads along the cone where the dipole is blind. The first pass therefore leaves these voxels out of the mask:
    their sources are outside of it, and their field is taken off, like those of the background. The second pass is the
    plain inversion, from which only the voxels left out are taken. Any inversion will do: on a digital head with a
    bleeding, the first pass of each is as good as without the bleeding. What the second one gives for the bleeding
    itself is as good as the method is for strong sources (`ndi`, which stops early, finds a tenth of 2 ppm).

    Parameters
    ----------
    invert : function of field and mask that returns χ [ppm] in that mask, 0 outside
    field : (x, y, z) array [ppm]
        What `invert` takes: the local field, or the total one of a single step.
    mask : (x, y, z) bool array
        Without holes.
    quality : (x, y, z) array
        Quality of the phase, 0 to 1, as `unwrap.voxel_quality` gives it.
    voxel_size : 3 floats [mm]
    b0_dir : 3 floats
        Direction of B0 in voxel axes.
    noise : (x, y, z) array [ppm], optional
        Standard error of the field, infinite where it is not to be trusted.
    single_step : bool
        Whether `invert` takes off by itself what sources outside its mask make, those in the holes included. Otherwise
        `without_holes` does so before the first pass.
    threshold : float
        Least quality of a reliable voxel, see `reliable_mask`.

    Returns
    -------
    chi : (x, y, z) float32 array [ppm], without a reference
        Of one pass if every voxel is reliable: then both would be the same.

    Raises
    ------
    ValueError
        If shapes differ, or less than half of the mask is reliable.

    References
    ----------
    Stewart AW, et al. Magn Reson Med 2022;87:1289. https://doi.org/10.1002/mrm.29048
    """
    values = as_volume(field, "field")
    flags = as_mask(mask, values.shape)
    reliable = reliable_mask(quality, flags, threshold=threshold)
    if np.array_equal(reliable, flags):
        return as_volume(invert(values, flags), "chi", flags.shape)
    own = values if single_step else without_holes(values, flags, reliable, voxel_size, b0_dir, noise=noise)
    first = invert(own, reliable)
    return combine_passes(first, invert(values, flags), reliable)
