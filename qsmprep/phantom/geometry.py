"""Where things are: the head in the scanner, the acquired grid and the finer one, a person's shape.

Scanner axes are those of NIfTI: x to the right of the person, y to the front, z to the head, B0 along z. Coordinates
are in mm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
TURN_AXIS = np.array([1.0, 0.5, 0.0]) / np.sqrt(1.25)  # across B0, so that the angle is the angle from B0


def rotation(axis: Sequence[float] | Matrix, degrees: float) -> Matrix:
    """(3, 3) rotation about an axis by an angle, right-handed."""
    x, y, z = (np.asarray(axis, dtype=float) / np.linalg.norm(axis)).tolist()
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.deg2rad(degrees)
    matrix: Matrix = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    return matrix


def affine(linear: Matrix, origin: Matrix) -> Matrix:
    """(4, 4) matrix from a (3, 3) linear part and an origin."""
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = linear, origin
    return matrix


@dataclass(frozen=True)
class Grid:
    """A sampling grid: shape, and the affine from voxel indices to scanner mm."""

    shape: tuple[int, int, int]
    affine: Matrix

    @property
    def voxel_size(self) -> tuple[float, float, float]:
        """Edge lengths [mm]."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0).tolist()
        return x, y, z

    @property
    def b0_dir(self) -> tuple[float, float, float]:
        """Unit vector along B0 (scanner z) in voxel axes."""
        direction = (self.affine[:3, :3] / np.array(self.voxel_size)).T @ np.array([0.0, 0.0, 1.0])
        x, y, z = (direction / np.linalg.norm(direction)).tolist()
        return x, y, z

    def finer(self, factor: Sequence[int]) -> Grid:
        """The grid with every voxel split into `factor` parts along each axis."""
        parts = np.asarray(factor)
        linear = self.affine[:3, :3] / parts
        corner = self.affine[:3, 3] - self.affine[:3, :3].sum(axis=1) / 2
        x, y, z = (int(n * f) for n, f in zip(self.shape, parts, strict=True))
        return Grid((x, y, z), affine(linear, corner + linear.sum(axis=1) / 2))

    def coarser(self, factor: Sequence[int]) -> Grid:
        """The grid with `factor` voxels along each axis joined; each axis must divide."""
        joined = np.asarray(factor)
        if any(n % f for n, f in zip(self.shape, joined, strict=True)):
            raise ValueError(f"a grid of {self.shape} voxels cannot be joined by {tuple(joined)}")
        linear = self.affine[:3, :3] * joined
        corner = self.affine[:3, 3] - self.affine[:3, :3].sum(axis=1) / 2
        x, y, z = (int(n // f) for n, f in zip(self.shape, joined, strict=True))
        return Grid((x, y, z), affine(linear, corner + linear.sum(axis=1) / 2))

    def crop(self, start: Sequence[int], shape: Sequence[int]) -> Grid:
        """The grid of `shape` voxels whose first voxel is this grid's voxel `start` (which may lie outside)."""
        origin = self.affine[:3, :3] @ np.asarray(start, dtype=float) + self.affine[:3, 3]
        x, y, z = (int(n) for n in shape)
        return Grid((x, y, z), affine(self.affine[:3, :3], origin))


def grid_around(points: Matrix, voxel_size: Sequence[float], axes: Matrix, multiple: Sequence[int]) -> Grid:
    """The smallest grid that holds all points.

    Parameters
    ----------
    points : (n, 3) scanner mm
    voxel_size : 3 floats [mm]
    axes : (3, 3), the grid's axes as columns (a rotation)
    multiple : every edge has a number of voxels that this divides
    """
    along = points @ axes
    low, high = along.min(axis=0), along.max(axis=0)
    size, unit = np.asarray(voxel_size, dtype=float), np.asarray(multiple)
    shape = (np.ceil((high - low) / size / unit) * unit).astype(int)
    first = (low + high) / 2 - (shape - 1) / 2 * size
    x, y, z = (int(n) for n in shape)
    return Grid((x, y, z), affine(axes * size, axes @ first))


@dataclass(frozen=True)
class Pose:
    """Where the head lies: scanner = rotation @ head + shift [mm]."""

    rotation: Matrix
    shift: Matrix

    def to_head(self) -> Matrix:
        """(4, 4) from scanner mm to head mm."""
        inverse: Matrix = np.linalg.inv(affine(self.rotation, self.shift)).astype(np.float64)
        return inverse

    def moved(self, rng: np.random.Generator, mm: float, degrees: float) -> Pose:
        """The pose after a small random movement."""
        turn = rotation(rng.standard_normal(3), degrees * float(rng.uniform(0.5, 1.0)))
        step = rng.uniform(-mm, mm, 3)
        return Pose(turn @ self.rotation, turn @ self.shift + step)


@dataclass(frozen=True)
class Shape:
    """A person's shape: template mm = linear @ head mm + displacement(head mm).

    displacement : (x, y, z, 3) float32 [mm], on a coarse grid with `origin` and `spacing` [mm] in head mm
    """

    linear: Matrix
    displacement: NDArray[np.float32]
    origin: Matrix
    spacing: float

    def to_template(self, points: Matrix) -> Matrix:
        """(n, 3) points from head mm to template mm."""
        return points @ self.linear.T + self._displaced(points)

    def to_head(self, points: Matrix) -> Matrix:
        """(n, 3) points from template mm to head mm (by fixed-point iteration)."""
        inverse = np.linalg.inv(self.linear).T
        found = points @ inverse
        for _ in range(15):
            found = (points - self._displaced(found)) @ inverse
        return found

    def _displaced(self, points: Matrix) -> Matrix:
        from scipy.ndimage import map_coordinates

        index = ((points - self.origin) / self.spacing).T
        return np.stack(
            [map_coordinates(self.displacement[..., a], index, order=1, mode="nearest") for a in range(3)], -1
        )


def draw_shape(rng: np.random.Generator, low: Matrix, high: Matrix, strength: float = 1.0) -> Shape:
    """Draw a person's shape: a few per cent of size, and a smooth displacement of a few mm that never folds.

    Parameters
    ----------
    rng : source of the draw
    low, high : 3 floats [mm]
        The box that the displacement covers.
    strength : 0 for the template's own shape
    """
    from scipy.ndimage import gaussian_filter

    spacing = 6.0
    n = tuple(int(v) for v in np.ceil((high - low) / spacing) + 1)
    displacement = np.zeros((*n, 3), dtype=np.float32)
    for axis in range(3):
        # wide folds make a head long or narrow, fine ones make its gyri its own
        for sd, reach in ((2.2, 28.0), (0.6, 12.0)):
            noise = gaussian_filter(rng.standard_normal(n), reach / spacing, mode="wrap")
            displacement[..., axis] += strength * sd * noise / noise.std()
    size = 1 + strength * rng.normal(0, 0.025, 3)
    shear = strength * rng.normal(0, 0.01, (3, 3))
    linear = np.diag(size) + np.triu(shear, 1)
    while smallest_jacobian(displacement, spacing, linear) < 0.4:
        displacement *= 0.8
    return Shape(linear, displacement, np.asarray(low, dtype=float), spacing)


def smallest_jacobian(displacement: NDArray[np.float32], spacing: float, linear: Matrix) -> float:
    """Smallest determinant of a shape's derivative: positive where nothing folds."""
    gradient = np.stack([np.stack(np.gradient(displacement[..., a], spacing), -1) for a in range(3)], -2)
    return float(np.linalg.det(gradient + linear).min())
