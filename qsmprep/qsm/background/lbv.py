"""LBV: the background is the harmonic function that agrees with the total field on the mask's rim."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .._grid import Bool, Float
from .._harmonic import harmonic_extension
from ._spheres import Region


def lbv(
    total_field: NDArray[np.generic],
    mask: NDArray[np.generic],
    voxel_size: Sequence[float],
    b0_dir: Sequence[float],
    *,
    noise: NDArray[np.generic] | None = None,
    peel: int = 0,
    tolerance: float = 1e-3,
    max_cycles: int = 30,
) -> tuple[Float, Bool]:
    """Remove the background field by solving Laplace's equation with the total field on the rim (LBV).

    What the local field is on the rim counts as background. Solved by multigrid with a stencil of fourth order.

    Parameters
    ----------
    total_field : (x, y, z) array [ppm]
        Values outside `mask` are not read.
    mask : (x, y, z) bool array
    voxel_size : 3 floats [mm]
    b0_dir : 3 floats
        Not used: a harmonic function knows no direction.
    noise : (x, y, z) array [ppm], optional
        Standard error of the field; where it is infinite or large, the field is filled in from its neighbours.
    peel : int
        Layers of voxels taken off the mask first, for a rim whose field is bad.
    tolerance : float
        Stop once the largest residual is below this share of the first one.
    max_cycles : int

    Returns
    -------
    local_field : (x, y, z) float32 array [ppm], 0 outside `valid`
    valid : (x, y, z) bool array
        The mask without its rim.

    Raises
    ------
    ValueError
        If shapes differ, or nothing of the mask is left within its rim.

    References
    ----------
    Zhou D, et al. NMR Biomed 2014;27:312. https://doi.org/10.1002/nbm.3064
    """
    region = Region(total_field, mask, voxel_size, b0_dir, noise)
    inside = ndimage.binary_erosion(region.inside, iterations=peel) if peel else region.inside
    if not ndimage.binary_erosion(inside).any():
        raise ValueError(f"nothing is left of the mask within its rim (after {peel} layers), which LBV needs")
    # a margin, so that the volume's edge is no rim where the mask touches it
    padded = np.pad(inside, 1)
    harmonic, within = harmonic_extension(
        np.pad(region.total, 1), padded, region.sizes, tolerance=tolerance, max_cycles=max_cycles
    )
    core = (slice(1, -1),) * 3
    return region.result(region.total - harmonic[core], within[core])
