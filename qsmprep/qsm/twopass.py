"""Two passes: χ where the phase is reliable, undisturbed by the rest; and χ of the rest from a second inversion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._grid import Bool, Float, as_mask, as_volume


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


def two_pass(
    invert: Callable[[Bool], NDArray[Any]],
    mask: NDArray[np.generic],
    quality: NDArray[np.generic],
    *,
    threshold: float = 0.3,
) -> Float:
    """χ in two passes, so that bleedings and calcifications do not streak over the brain.

    Around a strong source the phase wraps and the signal is lost. What is wrong there is inverted along with the rest,
    and spreads along the cone where the dipole is blind. The first pass therefore leaves these voxels out of the mask:
    their sources are outside of it, like those of the background. The second pass is the plain inversion, from which
    only the voxels left out are taken.

    Parameters
    ----------
    invert : function of a mask, (x, y, z) bool array, that returns χ [ppm] in it, 0 outside
        From the field to χ. It has to let sources in the mask's holes be: single-step methods do, so does a background
        removal with the given mask before any inversion, or an inversion that leaves sources outside the mask free
        (`mtv`; `tv` and its kin in part).
    mask : (x, y, z) bool array
        Without holes.
    quality : (x, y, z) array
        Quality of the phase, 0 to 1, as `unwrap.voxel_quality` gives it.
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
    flags = as_mask(mask, np.shape(quality))
    reliable = reliable_mask(quality, flags, threshold=threshold)
    if np.array_equal(reliable, flags):
        return as_volume(invert(flags), "chi", flags.shape)
    first = invert(reliable)
    return combine_passes(first, invert(flags), reliable)
