"""Larger ventricles: what a shrinking brain leaves, and what registration to a template finds hardest."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .geometry import Matrix, Shape, smallest_jacobian

REACH_MM = (
    6.0  # how far the walls' displacement reaches into the tissue: caudate and thalamus go along, cortex does not
)
LEAST_JACOBIAN = 0.1


def widen_ventricles(shape: Shape, ventricles: NDArray[np.bool_], affine: Matrix, factor: float) -> Shape:
    """A person's shape with the lateral ventricles `factor` times as large as the shape alone would make them.

    The displacement is the gradient of the blurred ventricles, so it points into them from all around, is greatest at
    their walls and turns nothing; how much of it the volume asks for is found by bisection.

    Parameters
    ----------
    shape : of the person
    ventricles : (x, y, z) bool array in template space, 1 mm voxels
    affine : (4, 4), its voxels to template mm
    factor : 1 or more

    Raises
    ------
    ValueError
        If so much cannot be reached without folding.
    """
    if factor == 1:
        return shape
    box = ndimage.find_objects(ventricles.astype(np.uint8))[0]
    reach = int(4 * REACH_MM)
    box = tuple(slice(max(s.start - reach, 0), s.stop + reach) for s in box)
    part = ventricles[box].astype(np.float32)
    origin = affine[:3, 3] + [s.start for s in box]
    inward = np.stack(np.gradient(ndimage.gaussian_filter(part, REACH_MM)), -1)
    inward = (inward / np.linalg.norm(inward, axis=-1).max()).astype(np.float32)
    corners = np.stack(np.meshgrid(*((0, n) for n in part.shape), indexing="ij"), -1).reshape(-1, 3) + origin
    around = shape.to_head(corners)
    points = np.stack(
        np.meshgrid(*(np.arange(*ends, 1.5) for ends in zip(around.min(0), around.max(0), strict=True))), -1
    ).reshape(-1, 3)

    def widened(step_mm: float) -> tuple[Shape, float]:
        wider = replace(shape, displacement=_composed(shape, np.float32(step_mm) * inward, origin))
        return wider, float(ndimage.map_coordinates(part, (wider.to_template(points) - origin).T, order=1).sum())

    low, high = 0.0, 12.0
    target = factor * widened(0.0)[1]
    for _ in range(10):
        middle = (low + high) / 2
        low, high = (middle, high) if widened(middle)[1] < target else (low, middle)
    wider, volume = widened(high)
    if volume < 0.98 * target or smallest_jacobian(wider.displacement, shape.spacing, shape.linear) <= LEAST_JACOBIAN:
        raise ValueError(f"ventricles {factor:g} times as large would fold the brain")
    return wider


def _composed(shape: Shape, step: NDArray[np.float32], origin: Matrix) -> NDArray[np.float32]:
    """The shape's displacement, followed by one in template space on 1 mm voxels from `origin` on."""
    nodes = np.stack(np.meshgrid(*(np.arange(n) for n in shape.displacement.shape[:3]), indexing="ij"), -1)
    there = (nodes * shape.spacing + shape.origin) @ shape.linear.T + shape.displacement
    index = np.moveaxis(there - origin, -1, 0)
    more = [ndimage.map_coordinates(step[..., axis], index, order=1) for axis in range(3)]
    composed: NDArray[np.float32] = (shape.displacement + np.stack(more, -1)).astype(np.float32)
    return composed
