"""What both single-step methods begin with: the total field less a harmonic function, and the weights of its data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .._grid import Bool, Float, Slices, as_mask, as_volume, mask_box
from .._harmonic import fill_from_neighbours, harmonic_extension
from .._weights import data_weight, field_noise, magnitude_weight, noise_level
from ..dipole import forward_field

TRUSTED = 0.05  # a voxel whose weight is less says nothing of the background


@dataclass(frozen=True)
class Place:
    """Where the box of a mask lies in the image of a shape; `mask` is the box's part of it."""

    mask: Bool
    box: Slices
    shape: tuple[int, ...]

    def image(self, volume: Float) -> Float:
        """A volume of the box in the image, 0 outside the mask."""
        image = np.zeros(self.shape, np.float32)
        image[self.box] = np.where(self.mask, volume, np.float32(0))
        return image


@dataclass(frozen=True)
class Start:
    """A total field on the box of its mask, after the removal of a harmonic function.

    Attributes
    ----------
    field : (x, y, z) float32 array [ppm]
        Total field less the function that agrees with it on the rim of the trusted part of the mask and is harmonic
        within; 0 elsewhere.
    weight : (x, y, z) float32 array
        Of the data, 0 to 1; 0 on the rim, where the field has been spent on the harmonic function.
    noise : float [ppm]
        The median of what is known of it, but no less than the field's finest details show.
    """

    field: Float
    weight: Float
    noise: float


def without_harmonic(
    total_field: NDArray[np.generic],
    mask: NDArray[np.generic],
    voxel_size: Sequence[float],
    *,
    noise: NDArray[np.generic] | None,
    magnitude: NDArray[np.generic] | None,
    tolerance: float,
) -> tuple[Start, Place]:
    """The start of a single-step method, and where it lies.

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
    place = Place(flags[box], box, field.shape)
    field, flags, weights = field[box], place.mask, weights[box]
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
    return Start(local, weights, level), place


def field_in_mask(chi: Float, place: Place, voxel_size: Sequence[float], b0_dir: Sequence[float]) -> Float:
    """Field [ppm] of a susceptibility map that is 0 outside the mask, in the mask."""
    return place.image(forward_field(chi[place.box], voxel_size, b0_dir))
