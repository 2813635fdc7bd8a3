"""Masks from arrays: where the phase can be used, where the brain is without any template, where ventricular CSF is."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]

# voxels that touch by a face; and those that touch at all
FACES = ndimage.generate_binary_structure(3, 1)
CORNERS = ndimage.generate_binary_structure(3, 3)


def largest_part(mask: Mask) -> Mask:
    """The connected part (by faces) with the most voxels; an empty mask stays empty."""
    parts, n = ndimage.label(mask, FACES)
    if n < 2:
        return mask.copy()
    return np.asarray(parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:])))


def otsu(values: NDArray[Any], bins: int = 256) -> float:
    """Threshold that parts values into two classes with the least variance within each.

    Parameters
    ----------
    values : array of any shape, not empty

    References
    ----------
    Otsu N. IEEE Trans Syst Man Cybern 1979;9:62. https://doi.org/10.1109/TSMC.1979.4310076
    """
    counts, edges = np.histogram(values, bins=bins)
    centres = (edges[1:] + edges[:-1]) / 2
    below = np.cumsum(counts).astype(np.float64)
    above = below[-1] - below
    total = np.cumsum(counts * centres)
    with np.errstate(invalid="ignore", divide="ignore"):
        gap = total / below - (total[-1] - total) / above
        between = below * above * gap**2
    return float(edges[1 + int(np.nanargmax(np.where(np.isfinite(between), between, -1.0)))])


def qsm_mask(brain: Mask, quality: NDArray[np.floating[Any]], *, quality_threshold: float = 0.3) -> Mask:
    """The brain without the parts of its rim whose phase is unreliable.

    Voxels below the threshold are cut away only where they reach the outside of the brain, as above the sinuses; what
    is unreliable inside (a vein, a bleeding) stays: a hole there would cost more field than it holds wrong. Single thin
    spurs that this leaves at the rim are taken off.

    Parameters
    ----------
    brain : (x, y, z) bool array
    quality : (x, y, z) array
        Phase quality, 0 (noise) to 1.
    quality_threshold : least quality of a voxel at the rim; 0 keeps the whole brain

    Returns
    -------
    mask : (x, y, z) bool array, in one piece, within `brain`

    Raises
    ------
    ValueError
        If the shapes differ, or no voxel of the brain is reliable.
    """
    if brain.shape != quality.shape:
        raise ValueError(f"brain mask has shape {brain.shape}, phase quality has {quality.shape}")
    unreliable = brain & (quality < quality_threshold)
    # what can be reached from outside the brain through unreliable voxels
    outside = np.pad(~brain, 1, constant_values=True)
    reached = ndimage.binary_propagation(outside, FACES, mask=outside | np.pad(unreliable, 1))[1:-1, 1:-1, 1:-1]
    kept = brain & ~reached
    core = _opened(kept)
    # opening rounds every corner: give back what hangs on to the core
    mask = largest_part(kept & ndimage.binary_dilation(core, CORNERS))
    if not mask.any():
        raise ValueError(
            f"no voxel of the brain mask has a phase quality of {quality_threshold:g} or more: its phase is noise, "
            "or its scaling is wrong. Look at the phase, or lower mask.quality_threshold in the settings file."
        )
    return mask


def _opened(mask: Mask) -> Mask:
    """Opening that takes the object to go on beyond the edges of the volume."""
    return np.asarray(ndimage.binary_opening(np.pad(mask, 1, mode="edge"), FACES)[1:-1, 1:-1, 1:-1])


def csf_mask(r2star: NDArray[np.floating[Any]], brain: Mask, prior: Mask) -> Mask:
    """Ventricular CSF: where R2* is low within the prior of the ventricles.

    The cut is half of the brain's median R2*, which fits every field strength: R2* of CSF is about 5 1/s, that of
    tissue 15 1/s and more at 3 T. Parts of fewer than 5 voxels are left out.

    Parameters
    ----------
    r2star : (x, y, z) array [1/s]
    brain, prior : (x, y, z) bool arrays

    Returns
    -------
    mask : (x, y, z) bool array

    Raises
    ------
    ValueError
        If there is no such voxel.
    """
    cut = 0.5 * float(np.median(r2star[brain]))
    fluid = prior & brain & (r2star < cut)
    parts, _ = ndimage.label(fluid, FACES)
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    mask = np.asarray(sizes[parts] >= 5)
    if not mask.any():
        raise ValueError(
            f"no ventricular CSF was found: no voxel of the ventricles has R2* below {cut:.1f} 1/s. "
            "Choose --reference brain."
        )
    return mask


def reference_regions(
    valid: Mask, priors: NDArray[Any] | None = None, r2star: NDArray[np.floating[Any]] | None = None
) -> dict[str, Mask]:
    """Every reference region that can be found: "brain" always; "wm", "csf" and "region" from their priors.

    White matter loses what lies next to the rim of `valid`, where χ is least certain.

    Parameters
    ----------
    valid : (x, y, z) bool array
        Where χ is known.
    priors : (x, y, z) array, optional
        Labels of `qsmprep.space.priors.reference_priors`, on the same grid.
    r2star : (x, y, z) array [1/s], optional
        Without it there is no CSF: ventricles differ too much from the template's.

    Returns
    -------
    regions : name -> (x, y, z) bool array; those without any voxel are left out
    """
    from ..space.priors import CSF, REGION, WHITE_MATTER

    regions = {"brain": valid}
    if priors is not None:
        regions["wm"] = ndimage.binary_erosion(valid, iterations=2) & (priors == WHITE_MATTER)
        regions["region"] = valid & (priors == REGION)
        if r2star is not None:
            with contextlib.suppress(ValueError):  # ventricles may be too narrow to be seen
                regions["csf"] = csf_mask(r2star, valid, priors == CSF)
    return {name: np.asarray(mask) for name, mask in regions.items() if mask.any()}
