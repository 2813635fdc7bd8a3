"""Spherical means, and the box of the mask in which the methods that use them work."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .. import _fft
from .._grid import Bool, Float, as_direction, as_mask, as_volume, as_voxel_size, mask_box


def sphere(radius: float, voxel_size: Sequence[float]) -> Float:
    """Sphere [mm] of voxels whose centre lies within the radius; its sum is 1."""
    reach = [int(radius / v + 1e-6) for v in voxel_size]
    axes = np.ogrid[tuple(slice(-n, n + 1) for n in reach)]
    distance2 = sum((axis * v) ** 2 for axis, v in zip(axes, voxel_size, strict=True))
    ball = (np.asarray(distance2) <= radius**2 * (1 + 1e-6)).astype(np.float32)
    return np.asarray(ball / ball.sum(), np.float32)


def mean_spectrum(radius: float, voxel_size: Sequence[float], grid: Sequence[int]) -> Float:
    """Spectrum of the sphere centred on the origin; real, since the sphere is symmetric."""
    ball = sphere(radius, voxel_size)
    kernel = np.zeros(tuple(grid), np.float32)
    kernel[: ball.shape[0], : ball.shape[1], : ball.shape[2]] = ball
    kernel = np.roll(kernel, [-(n // 2) for n in ball.shape], (0, 1, 2))
    return np.ascontiguousarray(_fft.forward(kernel).real)


class Region:
    """Total field in the box of the mask.

    Attributes
    ----------
    total : (x, y, z) float32 array [ppm], 0 outside the mask
    inside : (x, y, z) bool array
    sizes : voxel size [mm]
    """

    def __init__(
        self,
        total_field: NDArray[np.generic],
        mask: NDArray[np.generic],
        voxel_size: Sequence[float],
        b0_dir: Sequence[float],
    ) -> None:
        field = as_volume(total_field, "total field")
        flags = as_mask(mask, field.shape)
        self.shape, self.sizes = field.shape, as_voxel_size(voxel_size)
        as_direction(b0_dir)
        self.box = mask_box(flags)
        self.inside: Bool = flags[self.box]
        self.total: Float = np.where(self.inside, field[self.box], np.float32(0))

    def distance(self) -> Float:
        """Of every voxel to the nearest voxel centre outside the mask [mm]; the volume's edge counts as outside."""
        padded = np.pad(self.inside, 1)
        found = ndimage.distance_transform_edt(padded, sampling=self.sizes)[1:-1, 1:-1, 1:-1]
        return np.asarray(found, np.float32)

    def room(self, radius: float, method: str) -> Bool:
        """Voxels whose sphere lies wholly in the mask; ValueError if there is none."""
        fits: Bool = self.distance() > np.float32(radius * (1 + 1e-5))
        if not fits.any():
            raise ValueError(f"the mask has no room for a sphere of {radius:g} mm, which {method} needs")
        return fits

    def result(self, local: Float, valid: Bool) -> tuple[Float, Bool]:
        """Local field and its mask on the original grid."""
        field, mask = np.zeros(self.shape, np.float32), np.zeros(self.shape, bool)
        field[self.box] = np.where(valid, local, np.float32(0))
        mask[self.box] = valid
        return field, mask
