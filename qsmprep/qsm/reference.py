"""Referencing: χ has no absolute zero, so it is given relative to the mean of a region."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._grid import Float, as_mask, as_volume


class Referenced(NamedTuple):
    """χ [ppm] after the offset [ppm] was subtracted; SD [ppm] and number of voxels of the reference."""

    chi: Float
    offset: float
    sd: float
    n_voxels: int


def reference_chi(
    chi: NDArray[np.generic], ref_mask: NDArray[np.generic], mask: NDArray[np.generic] | None = None
) -> Referenced:
    """Subtract the mean χ of a reference region, where χ is defined and nowhere else.

    Parameters
    ----------
    chi : (x, y, z) array [ppm]
    ref_mask : (x, y, z) bool array
        Reference region; only its voxels inside `mask` count.
    mask : (x, y, z) bool array, optional
        Where χ is defined. Default: where it is not exactly 0.

    Returns
    -------
    referenced : Referenced
        χ is 0 outside `mask`.

    Raises
    ------
    ValueError
        If the shapes differ or no voxel of the reference lies where χ is defined.
    """
    volume = as_volume(chi, "chi")
    defined = as_mask(volume != 0 if mask is None else mask, volume.shape)
    region = as_mask(ref_mask, volume.shape) & defined
    n_voxels = int(region.sum())
    if n_voxels == 0:
        raise ValueError("the reference region has no voxel where susceptibility is defined")
    values = volume[region].astype(np.float64)
    offset = float(values.mean())
    return Referenced(
        np.where(defined, volume - np.float32(offset), np.float32(0)), offset, float(values.std()), n_voxels
    )
