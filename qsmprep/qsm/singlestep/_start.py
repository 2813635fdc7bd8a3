"""What both single-step methods begin with: the total field less a harmonic function, and the weights of its data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .._grid import Bool, Float, as_mask, as_volume, mask_box
from .._weights import data_weight, field_noise, magnitude_weight, noise_level
from ..dipole import forward_field
from .._harmonic import fill_from_neighbours, harmonic_extension

TRUSTED = 0.05  # a voxel whose weight is less says nothing of the background


@dataclass(frozen=True)
class Start:
    """A total field on the box of its mask, after the removal of a harmonic function.

    Attributes
    ----------
    field : (x, y, z) float32 array [ppm]
        Total field less the function that agrees with it on the rim of `domain` and is harmonic within; 0 elsewhere.
    weight : (x, y, z) float32 array
        Of the data, 0 to 1; 0 on the rim, where the field has been spent on the harmonic function.
    mask, domain : (x, y, z) bool arrays
        The mask; the mask without what cannot be trusted at its rim.
    noise : float [ppm]
        The median of what is known of it in the domain, but no less than the field's finest details show.
    box, shape :
        Where the box lies in the image, and the image's shape.
    """

    field: Float
    weight: Float
    mask: Bool
    domain: Bool
    noise: float
    box: tuple[slice, slice, slice]
    shape: tuple[int, ...]

    def whole(self, volume: NDArray[np.float32]) -> Float:
        """A volume of the box in the image, 0 outside the mask."""
        image = np.zeros(self.shape, np.float32)
        image[self.box] = np.where(self.mask, volume, np.float32(0))
        return image


def without_harmonic(
    total_field: NDArray[np.generic],
    mask: NDArray[np.generic],
    voxel_size: Sequence[float],
    *,
    noise: NDArray[np.generic] | None,
    magnitude: NDArray[np.generic] | None,
    tolerance: float,
) -> Start:
    """The start of a single-step method.

    Whatever sources outside the mask make is harmonic within, so nothing of them is left but what the field of the
    sources inside is on the rim. Voxels that cannot be trusted are filled in from their neighbours, or, where they
    reach the rim, count as outside.
    """
    field = as_volume(total_field, "total field")
    flags = as_mask(mask, field.shape)
    weights = magnitude_weight(magnitude, flags) if noise is None else data_weight(noise, flags)
    if noise is not None and np.isposinf(np.asarray(noise)[flags]).all():
        raise ValueError("no voxel of the mask has a field that can be trusted: its noise is infinite throughout")
    level = noise_level(noise, flags) or 0.0
    box = mask_box(flags, 1)
    image_shape, field, flags, weights = field.shape, field[box], flags[box], weights[box]
    if not np.isfinite(field[weights > 0]).all():
        raise ValueError("total field has NaN or infinite values inside the mask")
    trusted = flags & (weights > TRUSTED)
    if not trusted.any():
        raise ValueError("no voxel of the mask has a field that can be trusted")
    labels, _ = ndimage.label(np.pad(~trusted, 1, constant_values=True))
    domain: Bool = labels[1:-1, 1:-1, 1:-1] != labels[0, 0, 0]
    filled = fill_from_neighbours(np.where(trusted, field, np.float32(0)), domain, trusted)
    harmonic, within = harmonic_extension(filled, domain, voxel_size, tolerance=tolerance)
    if not (within & trusted).any():
        raise ValueError("the mask is nothing but rim: no voxel has all its neighbours inside")
    local = np.where(within & trusted, filled - harmonic, np.float32(0)).astype(np.float32)
    weights = np.where(within & trusted, weights, np.float32(0)).astype(np.float32)
    level = max(level, field_noise(local, weights > 0))
    return Start(local, weights, flags, domain, level, box, image_shape)


def field_in_mask(chi: Float, mask: NDArray[np.generic], voxel_size: Sequence[float], b0_dir: Sequence[float]) -> Float:
    """Field [ppm] of a susceptibility map, 0 outside the mask."""
    return np.where(np.asarray(mask, bool), forward_field(chi, voxel_size, b0_dir), np.float32(0)).astype(np.float32)
