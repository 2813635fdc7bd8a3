"""Geometry of a within-subject template: a space in the middle of all visits, which privileges none of them.

Transforms are 4 x 4 matrices of rigid movements between scanner coordinates [mm].
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Matrix = NDArray[np.float64]

RADIUS_MM = 80.0
"""Of the ball that stands for a brain when transforms are compared."""
LEAST_MM = 0.1
"""Two estimates that differ by less are equally good."""


def distance_mm(first: ArrayLike, second: ArrayLike, centre: ArrayLike = (0, 0, 0)) -> float:
    """Root mean square distance [mm] between where two transforms bring the points of a ball.

    Parameters
    ----------
    first, second : (4, 4)
    centre : (3,) middle of the ball [mm], whose radius is `RADIUS_MM`

    References
    ----------
    Jenkinson M, et al. NeuroImage 2002;17:825. https://doi.org/10.1006/nimg.2002.1132
    """
    difference = np.asarray(first, float) - np.asarray(second, float)
    turn, middle = difference[:3, :3], difference[:3, :3] @ np.asarray(centre, float) + difference[:3, 3]
    return float(np.sqrt(RADIUS_MM**2 / 5 * np.sum(turn**2) + np.sum(middle**2)))


def rigid_mean(transforms: ArrayLike, centre: ArrayLike, weights: ArrayLike | None = None) -> Matrix:
    """Mean of rigid transforms, in which their order plays no part.

    The rotation is the one with the least sum of squared distances to all (the projected arithmetic mean); the centre
    goes to the mean of the places to which they bring it, whatever the origin of the coordinates is.

    Parameters
    ----------
    transforms : (n, 4, 4)
    centre : (3,) middle of the head before the transforms [mm]
    weights : (n,), all alike if None

    Raises
    ------
    ValueError
        If the rotations cancel each other, so that they have no mean.

    References
    ----------
    Moakher M. SIAM J Matrix Anal Appl 2002;24:1. https://doi.org/10.1137/S0895479801383877
    """
    stack, middle = np.asarray(transforms, float), np.asarray(centre, float)
    u, singular, vt = np.linalg.svd(np.average(stack[:, :3, :3], axis=0, weights=weights))
    sign = np.sign(np.linalg.det(u @ vt))
    if singular[1] + sign * singular[2] < 1e-6:
        raise ValueError("the rotations lie too far apart to have a mean")
    mean = np.eye(4)
    mean[:3, :3] = u @ np.diag([1, 1, sign]) @ vt
    places = stack[:, :3, :3] @ middle + stack[:, :3, 3]
    mean[:3, 3] = np.average(places, axis=0, weights=weights) - mean[:3, :3] @ middle
    return mean


def robust_mean(transforms: ArrayLike, centre: ArrayLike, iterations: int = 50) -> Matrix:
    """Geometric median of rigid transforms that are estimates of the same movement: a wrong one hardly counts.

    Parameters
    ----------
    transforms : (n, 4, 4)
    centre : (3,) middle of the head before the transforms [mm]

    References
    ----------
    Fletcher PT, et al. NeuroImage 2009;45:S143. https://doi.org/10.1016/j.neuroimage.2008.10.052
    """
    stack = np.asarray(transforms, float)
    mean = rigid_mean(stack, centre)
    for _ in range(iterations):
        weights = [1 / max(distance_mm(one, mean, centre), LEAST_MM) for one in stack]
        mean = rigid_mean(stack, centre, weights)
    return mean


def mid_space(pairs: ArrayLike, centres: ArrayLike) -> Matrix:
    """Transforms that bring each visit to the middle of all.

    The movement between two visits is told by its registration, by that the other way round, and by way of each other
    visit; of these the geometric median counts. A visit then goes to the mean of the places that it has in all visits.

    Parameters
    ----------
    pairs : (n, n, 4, 4), from points of the visit of the first axis to those of the visit of the second
    centres : (n, 3) middle of the head at each visit [mm]

    Returns
    -------
    (n, 4, 4) transforms from each visit to the common space

    References
    ----------
    Reuter M, et al. NeuroImage 2012;61:1402. https://doi.org/10.1016/j.neuroimage.2012.02.084
    """
    moves, middles = np.asarray(pairs, float), np.asarray(centres, float)
    n = len(moves)
    settled = np.tile(np.eye(4), (n, n, 1, 1))
    for i in range(n):
        for j in range(n):
            if i != j:
                detours = [moves[k, j] @ moves[i, k] for k in range(n) if k not in (i, j)]
                settled[i, j] = robust_mean([moves[i, j], np.linalg.inv(moves[j, i]), *detours], middles[i])
    return np.stack([rigid_mean(settled[i], middles[i]) for i in range(n)])


def without_drift(after: ArrayLike, before: ArrayLike, centre: ArrayLike) -> Matrix:
    """New transforms to the common space, less what all of them have moved in common since the last ones.

    Parameters
    ----------
    after, before : (n, 4, 4)
    centre : (3,) middle of the head in the common space [mm]
    """
    new, old = np.asarray(after, float), np.asarray(before, float)
    common = rigid_mean(new @ np.linalg.inv(old), centre)
    result: Matrix = np.linalg.inv(common) @ new
    return result


def common_grid(
    shapes: Sequence[Sequence[int]], affines: Sequence[ArrayLike], poses: ArrayLike, voxel_mm: float
) -> tuple[tuple[int, int, int], Matrix]:
    """Grid of the common space: cubes along its axes, as far as the boxes around all fields of view reach.

    Parameters
    ----------
    shapes, affines : of the visits' images
    poses : (n, 4, 4) from the visits to the common space
    voxel_mm : edge of a voxel [mm]

    Returns
    -------
    shape, affine

    Raises
    ------
    ValueError
        If the fields of view have nothing in common.
    """
    low, high = np.full(3, -np.inf), np.full(3, np.inf)
    for shape, affine, pose in zip(shapes, affines, np.asarray(poses, float), strict=True):
        corners = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in shape[:3]], indexing="ij")).reshape(3, -1)
        points = (pose @ np.asarray(affine, float) @ np.vstack([corners, np.ones(8)]))[:3]
        low, high = np.maximum(low, points.min(axis=1)), np.minimum(high, points.max(axis=1))
    if np.any(high - low < voxel_mm):
        raise ValueError("the fields of view of the visits have nothing in common")
    size = np.ceil((high - low) / voxel_mm).astype(int)
    grid = np.diag([voxel_mm, voxel_mm, voxel_mm, 1.0])
    grid[:3, 3] = (low + high - (size - 1) * voxel_mm) / 2
    return (int(size[0]), int(size[1]), int(size[2])), grid


def median_image(images: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Median of images on one grid, each first brought to the same brightness.

    Parameters
    ----------
    images : (x, y, z) float32, NaN outside of the field of view

    Returns
    -------
    (x, y, z) float32; 0 where no image reaches
    """
    stack = np.stack([image / brightness(image) for image in images])
    known = np.isfinite(stack).any(axis=0)
    result = np.zeros(stack.shape[1:], np.float32)
    result[known] = np.nanmedian(stack[:, known], axis=0)
    return result


def brightness(image: NDArray[np.float32]) -> float:
    """Median of what is brighter than the mean: the level of a head's tissue, NaN left out."""
    values = image[np.isfinite(image)]
    return float(np.median(values[values > values.mean()]))
