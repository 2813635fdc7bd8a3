"""Smoothing that stays inside a tissue: no grey matter leaks into white matter, and nothing from outside the mask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

FWHM_PER_SD = float(np.sqrt(8 * np.log(2)))


def smooth_within(
    values: NDArray[np.floating[Any]],
    weights: Sequence[NDArray[Any]],
    fwhm: float,
    voxel_size: Sequence[float],
) -> NDArray[np.float32]:
    """Gaussian smoothing within each tissue apart: smooth(weight * value) / smooth(weight).

    Without the division values next to a border would be drawn to 0, in proportion to how near it is, and atrophy would
    look like a change of susceptibility.

    Parameters
    ----------
    values : (x, y, z); not finite counts as missing and stays so
    weights : one (x, y, z) a tissue, 0 to 1 (masks or probabilities); a voxel gets the value of its heaviest tissue
    fwhm : full width at half maximum [mm]; 0 for none
    voxel_size : [mm]

    Returns
    -------
    smoothed : (x, y, z) in the unit of `values`; NaN where it is missing or no tissue has weight

    Raises
    ------
    ValueError
        If `fwhm` is negative, or there is no tissue.

    References
    ----------
    Acosta-Cabronero J et al. J Neurosci 2016;36:364. https://doi.org/10.1523/JNEUROSCI.1907-15.2016
    Lee JE et al. NeuroImage 2009;44:870. https://doi.org/10.1016/j.neuroimage.2008.09.041
    """
    from scipy.ndimage import gaussian_filter

    if fwhm < 0 or not len(weights):
        raise ValueError(f"smoothing needs a width of 0 mm or more and a tissue, not {fwhm} mm and {len(weights)}")
    known = np.isfinite(values)
    filled = np.where(known, values, 0).astype(np.float32)
    sd = [fwhm / FWHM_PER_SD / size for size in voxel_size]
    best = np.zeros(values.shape, np.float32)
    smoothed = np.full(values.shape, np.nan, np.float32)
    for weight in weights:
        counted = np.where(known, weight, 0).astype(np.float32)
        owned = counted > best
        best[owned] = counted[owned]
        if fwhm == 0:
            smoothed[owned] = filled[owned]
            continue
        total = gaussian_filter(counted * filled, sd, mode="constant")
        smoothed[owned] = total[owned] / gaussian_filter(counted, sd, mode="constant")[owned]
    return smoothed
