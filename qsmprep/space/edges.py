"""Whether two images of one head, brought to one grid, have their edges in the same places."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

SCALE_MM = 2.0  # standard deviation of the Gaussian whose derivative finds edges
STRONG = 80.0  # percentile of the gradient above which there is an edge
LEAST_EDGES = 500  # fewer tell nothing
FAR, REACH = 8.0, (4.0, 2.0, 1.0)  # mm; turns go with them in steps of 1.25 degrees
_STEPS = [sign * step for step in np.diag([1.0, 1, 1, 1.25, 1.25, 1.25]) for sign in (-1, 1)]
MARGIN_MM = 20.0  # what the displaced edges need around the mask


def edge_agreement(
    fixed: NDArray[Any], moving: NDArray[Any], mask: NDArray[np.bool_], affine: NDArray[np.floating[Any]]
) -> float:
    """How well the edges agree, against rigid displacements nearby: 1 if none is better, 0 if none is worse.

    The normalised gradient fields of both images are compared where `fixed` has edges: squared cosine of the angle of
    the gradients, weighted by the length of that in `moving`. How high that gets depends on contrast, voxels and noise.
    So the worst of displacements by 8 mm or 10 degrees is taken for 0, and the best that is found by climbing, in
    steps of 4 mm and 5 degrees down to 1 mm and 1.25 degrees, for 1.

    Parameters
    ----------
    fixed, moving : (x, y, z) arrays; `moving` is 0 outside its field of view, of which nothing is asked
    mask : (x, y, z) bool array, where edges are taken from
    affine : (4, 4) array, voxel-to-world matrix [mm]

    Returns
    -------
    agreement : 0 to 1, NaN where there are too few edges

    Raises
    ------
    ValueError
        If the shapes differ.

    References
    ----------
    Haber E, Modersitzki J. MICCAI 2006, LNCS 4191:726. https://doi.org/10.1007/11866763_89
    """
    if not fixed.shape == moving.shape == mask.shape:
        raise ValueError(f"fixed has shape {fixed.shape}, moving {moving.shape}, mask {mask.shape}")
    found = np.argwhere(mask)
    if len(found) < LEAST_EDGES:
        return float("nan")
    size = np.linalg.norm(affine[:3, :3], axis=0)
    pad = np.ceil(MARGIN_MM / size).astype(int)
    low, high = np.maximum(found.min(axis=0) - pad, 0), found.max(axis=0) + pad + 1
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    edges = _gradient(fixed[box], size)
    near = _gradient(moving[box], size) * _inside(moving[box] != 0, size)
    strength = np.linalg.norm(edges, axis=0)
    strong = mask[box] & (strength > np.percentile(strength[mask[box]], STRONG))
    if strong.sum() < LEAST_EDGES:
        return float("nan")
    points, directions = np.argwhere(strong) * size, edges[:, strong] / strength[strong]

    def score(pose: NDArray[np.float64]) -> float:
        return _agreement(points, directions, near, size, pose)

    here = score(np.zeros(6))
    worst = min(here, *(score(FAR * step) for step in _STEPS))
    best = _climb(score, here)
    return (here - worst) / (best - worst) if best > worst else float("nan")


def _climb(score: Callable[[NDArray[np.float64]], float], start: float) -> float:
    """The best score that is found from no displacement on, one axis after the other."""
    pose, best = np.zeros(6), start
    for reach in REACH:
        better = True
        while better:
            better = False
            for step in _STEPS:
                tried = score(pose + reach * step)
                if tried > best:
                    pose, best, better = pose + reach * step, tried, True
    return best


def _gradient(image: NDArray[Any], size: NDArray[np.float64]) -> NDArray[np.float32]:
    """Gradient of the smoothed image along the voxel axes, (3, x, y, z)."""
    image, sigma = np.asarray(image, np.float32), SCALE_MM / size
    parts = [ndimage.gaussian_filter(image, sigma, order=np.eye(3, dtype=int)[axis].tolist()) for axis in range(3)]
    return np.stack([part / np.float32(length) for part, length in zip(parts, size, strict=True)])


def _inside(known: NDArray[np.bool_], size: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Voxels so far inside the field of view that its rim makes no edge there."""
    distance = ndimage.distance_transform_edt(np.pad(known, 1), sampling=tuple(size))
    return np.asarray(distance[1:-1, 1:-1, 1:-1] > 2 * SCALE_MM)


def _agreement(
    points: NDArray[np.float64],
    directions: NDArray[np.float32],
    gradient: NDArray[np.float32],
    size: NDArray[np.float64],
    pose: NDArray[np.float64],
) -> float:
    """Weighted mean of the squared cosines for one pose: shift [mm], and turn [degrees] about the points' middle."""
    from scipy.spatial.transform import Rotation

    rotation = Rotation.from_rotvec(np.deg2rad(pose[3:])).as_matrix()
    middle = points.mean(axis=0)
    places = ((points - middle) @ rotation.T + middle + pose[:3]) / size
    there = np.stack([ndimage.map_coordinates(part, places.T, order=1) for part in gradient])
    turned = rotation.T @ there
    length = np.linalg.norm(turned, axis=0)
    weight = np.minimum(length, np.percentile(length, 95))  # a few vessels and the skull should not decide
    cosine = np.divide((turned * directions).sum(axis=0), length, out=np.zeros_like(length), where=length > 0)
    return float((weight * cosine**2).sum() / weight.sum()) if weight.any() else float("nan")
