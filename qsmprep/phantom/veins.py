"""Veins: tubes of deoxygenated blood along smooth paths, drawn on the fine grid."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from .geometry import Grid, Matrix, Pose, Shape
from .head import Head
from .template import Template
from .tissue import VEIN, r2star

_DEEP: tuple[tuple[tuple[tuple[float, float, float], ...], float], ...] = (  # template mm, radius [mm]; x mirrored
    (((3, 2, 7), (2.5, -10, 12), (2, -24, 13), (0.5, -36, 8)), 0.9),  # internal cerebral
    (((15, -4, -18), (18, -18, -11), (12, -32, -2), (1, -38, 6)), 0.8),  # basal
    (((3, 2, 8), (12, -2, 17), (19, -14, 22), (24, -28, 22)), 0.6),  # thalamostriate
    (((3, 2, 8), (6, 14, 12), (9, 24, 12)), 0.5),  # septal
    (((0, -36, 8), (0, -44, 9), (0, -49, 2)), 1.8),  # great cerebral
    (((0, -49, 2), (0, -66, -8), (0, -84, -14), (0, -98, -16)), 2.0),  # straight sinus
)


@dataclass(frozen=True)
class Vein:
    """A path, (n, 3) template mm, and a radius [mm]."""

    path: Matrix
    radius: float


def draw_veins(template: Template, rng: np.random.Generator) -> list[Vein]:
    """Deep veins and sinuses in their places, medullary and cortical veins at random."""
    veins = [
        Vein(_smooth(np.array(knots) * (side, 1, 1) + rng.normal(0, 0.7, (len(knots), 3))), radius)
        for knots, radius in _DEEP
        for side in ((-1, 1) if knots[1][0] else (1,))
    ]
    return [*veins, _sagittal_sinus(template), *_medullary(rng), *_cortical(template, rng)]


def _smooth(knots: Matrix) -> Matrix:
    """A spline through the knots, a point every 0.5 mm."""
    from scipy.interpolate import PchipInterpolator

    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(knots, axis=0), axis=1))])
    points: Matrix = PchipInterpolator(along, knots)(np.arange(0, along[-1], 0.5))
    return points


def _sagittal_sinus(template: Template) -> Vein:
    """Along the crest of the brain, just above it."""
    middle = int(-template.affine[0, 3])
    plane = template.brain[middle - 2 : middle + 3].max(axis=0) > 0.5
    knots = []
    for y in range(62, -99, -8):
        column = np.flatnonzero(plane[int(y - template.affine[1, 3])])
        if column.size and column[-1] + template.affine[2, 3] > -10:
            knots.append((0.0, y, column[-1] + template.affine[2, 3] + 2.5))
    return Vein(_smooth(np.array(knots)), 2.5)


def _medullary(rng: np.random.Generator) -> list[Vein]:
    """Fans from the walls of the lateral ventricles into the white matter."""
    veins = []
    for _ in range(90):
        side = 1 if rng.random() < 0.5 else -1
        start = np.array([side * rng.uniform(16, 24), rng.uniform(-50, 32), rng.uniform(14, 26)])
        way = np.array([side * rng.uniform(0.3, 1.2), rng.normal(0, 0.4), rng.uniform(0.1, 1.0)])
        length = rng.uniform(10, 26)
        end = start + way / np.linalg.norm(way) * length
        bend = (start + end) / 2 + rng.normal(0, 1.0, 3)
        veins.append(Vein(_smooth(np.stack([start, bend, end])), rng.uniform(0.18, 0.38)))
    return veins


def _cortical(template: Template, rng: np.random.Generator, number: int = 260) -> list[Vein]:
    """Walks over the surface of the cortex, where fluid meets grey matter."""
    surface = np.argwhere((template.t1w > 0.48) & (template.t1w < 0.58) & (template.brain > 0.5))
    at = surface[rng.integers(len(surface), size=number)].astype(float)
    heading = rng.standard_normal((number, 3))
    paths = [at.copy()]
    for _ in range(50):
        value, slope = _value_and_slope(template, at)
        normal = slope / np.maximum(np.linalg.norm(slope, axis=1, keepdims=True), 1e-6)
        heading += 0.25 * rng.standard_normal((number, 3))
        heading -= normal * (heading * normal).sum(axis=1, keepdims=True)  # along the surface ...
        heading /= np.maximum(np.linalg.norm(heading, axis=1, keepdims=True), 1e-6)
        back = np.clip((0.53 - value) / np.maximum(np.linalg.norm(slope, axis=1), 0.03), -0.7, 0.7)
        at = at + heading + normal * back[:, None]  # ... and back to it
        paths.append(at.copy())
    steps = rng.integers(14, 51, size=number)
    radii = rng.uniform(0.25, 0.8, size=number)
    mm = np.stack(paths, axis=1) + template.affine[:3, 3]
    return [Vein(_smooth(mm[n, : steps[n]]), float(radii[n])) for n in range(number)]


def _value_and_slope(template: Template, at: Matrix) -> tuple[Matrix, Matrix]:
    from scipy.ndimage import map_coordinates

    offsets = np.concatenate([np.zeros((1, 3)), np.eye(3), -np.eye(3)])
    points = (at[None] + offsets[:, None]).reshape(-1, 3).T
    values = map_coordinates(template.t1w, points, order=1, mode="nearest").reshape(7, -1)
    return values[0], ((values[1:4] - values[4:7]) / 2).T


@numba.njit(cache=True)
def _coverage(cover, points, radii, sizes):
    """Share of each voxel that lies in a tube. Tubes thinner than a voxel keep their volume."""
    voxel = min(sizes[0], min(sizes[1], sizes[2]))
    for n in range(points.shape[0]):
        radius = max(radii[n], 0.6 * voxel)
        full = min(1.0, (radii[n] / radius) ** 2)
        reach = radius + 0.5 * voxel
        for i in range(
            max(0, int(points[n, 0] - reach / sizes[0])), min(cover.shape[0], int(points[n, 0] + reach / sizes[0]) + 2)
        ):
            for j in range(
                max(0, int(points[n, 1] - reach / sizes[1])),
                min(cover.shape[1], int(points[n, 1] + reach / sizes[1]) + 2),
            ):
                for k in range(
                    max(0, int(points[n, 2] - reach / sizes[2])),
                    min(cover.shape[2], int(points[n, 2] + reach / sizes[2]) + 2),
                ):
                    x, y, z = (
                        (i - points[n, 0]) * sizes[0],
                        (j - points[n, 1]) * sizes[1],
                        (k - points[n, 2]) * sizes[2],
                    )
                    away = np.sqrt(x * x + y * y + z * z)
                    share = full * min(max((radius - away) / voxel + 0.5, 0.0), 1.0)
                    if share > cover[i, j, k]:
                        cover[i, j, k] = share


def add_veins(head: Head, veins: list[Vein], grid: Grid, pose: Pose, shape: Shape, b0: float) -> None:
    """Fill the veins with blood, in place; only where there is tissue."""
    path = shape.to_head(np.concatenate([vein.path for vein in veins]))
    radii = np.concatenate([np.full(len(vein.path), vein.radius) for vein in veins])
    scanner = path @ pose.rotation.T + pose.shift
    to_voxel = np.linalg.inv(grid.affine)
    cover = np.zeros(grid.shape, dtype=np.float32)
    _coverage(cover, scanner @ to_voxel[:3, :3].T + to_voxel[:3, 3], radii, np.array(grid.voxel_size))
    # a vein does not run through bone or air
    hit = np.nonzero((cover > 0) & (np.abs(head.chi) < 0.5))
    share = cover[hit]
    head.chi[hit] += share * (VEIN / 1000 - head.chi[hit])
    head.r2star[hit] += share * (r2star("vein", b0) - head.r2star[hit])
    head.signal[hit] *= 1 - 0.2 * share
