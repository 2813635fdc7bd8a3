"""Spherical means, and the box of the mask in which the methods that use them work."""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np
from numpy.typing import NDArray

from .. import _fft
from .._grid import Bool, Float, as_direction, as_mask, as_volume, as_voxel_size, mask_box
from ._repair import repair_field


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


@numba.njit(parallel=True, cache=True)
def _nearer(distance2, axis, spacing):  # type: ignore[no-untyped-def]
    """Squared distance to the nearest 0, once one more axis counts: min over the line of what is there plus the way."""
    nx, ny, nz = distance2.shape
    i, j, k = int(axis == 0), int(axis == 1), int(axis == 2)
    length = nx * i + ny * j + nz * k
    out = np.empty_like(distance2)
    for row in numba.prange(nx):
        x = np.int64(row)  # parallel loops count with unsigned numbers
        for y in range(ny):
            for z in range(nz):
                best = distance2[x, y, z]
                place = x * i + y * j + z * k
                for step in range(1, length):
                    way = (step * spacing) ** 2
                    if way >= best:
                        break
                    if place >= step:
                        best = min(best, distance2[x - step * i, y - step * j, z - step * k] + way)
                    if place + step < length:
                        best = min(best, distance2[x + step * i, y + step * j, z + step * k] + way)
                out[x, y, z] = best
    return out


class Region:
    """Total field in the box of the mask.

    Attributes
    ----------
    total : (x, y, z) float32 array [ppm], 0 outside the mask
        What cannot be trusted has been filled in from its neighbours.
    inside : (x, y, z) bool array
    noise : (x, y, z) float32 array [ppm] or None
    sizes : voxel size [mm]
    """

    def __init__(
        self,
        total_field: NDArray[np.generic],
        mask: NDArray[np.generic],
        voxel_size: Sequence[float],
        b0_dir: Sequence[float],
        noise: NDArray[np.generic] | None = None,
    ) -> None:
        field = as_volume(total_field, "total field")
        flags = as_mask(mask, field.shape)
        self.shape, self.sizes = field.shape, as_voxel_size(voxel_size)
        as_direction(b0_dir)
        self.box = mask_box(flags)
        self.inside: Bool = flags[self.box]
        self.noise: Float | None = None if noise is None else as_volume(noise, "noise", field.shape)[self.box]
        self.total: Float = repair_field(field[self.box], self.inside, self.sizes, self.noise)

    def distance(self, reach: float) -> Float:
        """Of every voxel to the nearest voxel centre outside the mask [mm]; the volume's edge counts as outside.

        Farther away than `reach` [mm], any value above it.
        """
        padded = np.pad(self.inside, 1)
        distance = np.where(padded, np.float32((1.01 * reach) ** 2), np.float32(0))
        for axis in (2, 1, 0):
            distance = _nearer(distance, axis, np.float32(self.sizes[axis]))
        return np.ascontiguousarray(np.sqrt(distance[1:-1, 1:-1, 1:-1]))

    def room(self, radius: float, method: str) -> Bool:
        """Voxels whose sphere lies wholly in the mask; ValueError if there is none."""
        bound = np.float32(radius * (1 + 1e-5))
        fits: Bool = self.distance(radius) > bound
        if not fits.any():
            raise ValueError(f"the mask has no room for a sphere of {radius:g} mm, which {method} needs")
        return fits

    def result(self, local: Float, valid: Bool) -> tuple[Float, Bool]:
        """Local field and its mask on the original grid."""
        field, mask = np.zeros(self.shape, np.float32), np.zeros(self.shape, bool)
        field[self.box] = np.where(valid, local, np.float32(0))
        mask[self.box] = valid
        return field, mask
