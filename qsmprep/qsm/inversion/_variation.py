"""What the inversions share: the field with its weights on a padded grid, and the adjoint of the gradient."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _fft
from .._grid import Bool, Float, as_mask, as_volume, mask_box
from .._weights import data_weight, field_noise, magnitude_weight, noise_level

LEAST_NOISE = 1e-5  # [ppm], a tenth of what the quietest of fields has


class Problem:
    """Field and weights of an inversion, cropped to the mask and zero-padded against wrap-around.

    Attributes
    ----------
    field, weight : padded float32 arrays
        Local field [ppm] and data weight (0 to 1), both 0 outside the mask.
    inside : padded bool array
        The mask.
    grid : 3 ints
        Shape of the padded arrays; `corner` is where the box of the mask lies in it, `box` where it lies in the image.
    """

    def __init__(
        self,
        local_field: NDArray[np.generic],
        mask: NDArray[np.generic],
        voxel_size: Sequence[float],
        *,
        noise: NDArray[np.generic] | None = None,
        magnitude: NDArray[np.generic] | None = None,
        pad_mm: float = 16.0,
    ) -> None:
        field = as_volume(local_field, "local field")
        self.shape = field.shape
        self.mask: Bool = as_mask(mask, field.shape)
        self.box = mask_box(self.mask)
        # noise tells how good the phase is; the magnitude is a stand-in for it
        weight = magnitude_weight(magnitude, self.mask) if noise is None else data_weight(noise, self.mask)
        weight, inside, field = weight[self.box], self.mask[self.box], field[self.box]
        if not np.isfinite(field[weight > 0]).all():
            raise ValueError("local field has NaN or infinite values inside the mask")
        field = np.where(weight > 0, field, np.float32(0))
        self._known_noise = noise_level(noise, self.mask) or 0.0
        self.grid = _fft.padded_shape(inside.shape, voxel_size, pad_mm)
        self.corner = tuple(slice(0, n) for n in inside.shape)
        self.inside: Bool = self.padded(inside)
        self.field: Float = self.padded(field)
        self.weight: Float = self.padded(weight)

    @cached_property
    def noise(self) -> float:
        """Noise of the field [ppm]: the median of what is known of it, but no less than its finest details show.

        Never 0, as in a simulation: regularisation is in proportion to it.
        """
        return max(self._known_noise, field_noise(self.field, self.weight > 0), LEAST_NOISE)

    def padded(self, volume: NDArray[Any]) -> NDArray[Any]:
        """A volume of the box (`image[problem.box]`) on the padded grid, zeros behind it."""
        whole = np.zeros(self.grid, volume.dtype)
        whole[self.corner] = volume
        return whole

    def result(self, chi: Float) -> Float:
        """χ on the original grid, 0 outside the mask."""
        whole = np.zeros(self.shape, np.float32)
        whole[self.box] = np.where(self.inside[self.corner], chi[self.corner], np.float32(0))
        return whole
