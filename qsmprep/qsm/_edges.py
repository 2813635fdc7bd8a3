"""Edges of the magnitude: where χ is likely to have some too."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ._grid import Bool, as_echoes


def magnitude_edges(
    magnitude: NDArray[np.generic] | None, mask: Bool, voxel_size: Sequence[float], share: float
) -> Bool:
    """The `share` of the mask's voxels where the magnitude changes most, relative to itself; none without a magnitude.

    Parameters
    ----------
    magnitude : (x, y, z) or (x, y, z, echo) array, optional
        Its root mean square over echoes is looked at.
    mask : (x, y, z) bool array
        At its rim the magnitude ends, which is no edge to learn from.
    voxel_size : 3 floats [mm]
    share : float, 0 to 1

    Raises
    ------
    ValueError
        If the shapes differ.

    References
    ----------
    Liu J, et al. NeuroImage 2012;59:2560. https://doi.org/10.1016/j.neuroimage.2011.08.082
    """
    none = np.zeros_like(mask)
    if magnitude is None or share == 0:
        return none
    echoes = as_echoes(magnitude, "magnitude")
    if echoes.shape[:3] != mask.shape:
        raise ValueError(f"magnitude has shape {echoes.shape[:3]}, expected {mask.shape}")
    strength = np.sqrt(np.einsum("xyze,xyze->xyz", echoes, echoes) / np.float32(echoes.shape[3]))
    strength[~mask] = 0
    # relative to the signal, so that a bright coil makes no edges; with a floor, so that darkness does not either
    floor = 1e-3 * float(strength[mask].mean())
    core = ndimage.binary_erosion(mask)
    if not floor > 0 or not core.any():
        return none
    steepness = np.zeros(mask.shape, np.float32)
    for axis, size in enumerate(voxel_size):
        if mask.shape[axis] > 1:
            steepness += np.gradient(strength, size, axis=axis) ** 2
    relative = np.sqrt(steepness) / (strength + np.float32(floor))
    edges: Bool = core & (relative > np.quantile(relative[core], 1 - share))
    return edges
