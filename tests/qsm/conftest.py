"""Objects whose field is known exactly."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest


def coordinates(shape, voxel_size, centre=None):
    """Distance [mm] from the centre of the grid (or `centre`, in mm from there) along each axis."""
    centre = (0.0, 0.0, 0.0) if centre is None else centre
    axes = [(np.arange(n) - n // 2) * v - c for n, v, c in zip(shape, voxel_size, centre, strict=True)]
    return np.meshgrid(*axes, indexing="ij")


def ball(shape, voxel_size, radius, centre=None, fine=4):
    """Share of each voxel that lies in a ball [mm], from fine³ points per voxel."""
    total = np.zeros(shape)
    steps = (np.arange(fine) - (fine - 1) / 2) / fine
    x, y, z = coordinates(shape, voxel_size, centre)
    for dx in steps * voxel_size[0]:
        for dy in steps * voxel_size[1]:
            for dz in steps * voxel_size[2]:
                total += (x + dx) ** 2 + (y + dy) ** 2 + (z + dz) ** 2 < radius**2
    return (total / fine**3).astype(np.float32)


def ball_field(shape, voxel_size, radius, b0_dir, chi=1.0, centre=None):
    """Analytic field [ppm]: χ/3 (a/r)³ (3 cos²θ - 1) outside, 0 inside."""
    x, y, z = coordinates(shape, voxel_size, centre)
    r2 = np.maximum(x**2 + y**2 + z**2, 1e-9)
    b = np.asarray(b0_dir, float) / np.linalg.norm(b0_dir)
    cos2 = (x * b[0] + y * b[1] + z * b[2]) ** 2 / r2
    field = chi / 3 * (radius**2 / r2) ** 1.5 * (3 * cos2 - 1)
    return np.where(r2 > radius**2, field, 0).astype(np.float32)


def tilted(degrees: float, axis: Sequence[float] = (1, 0, 0)):
    """B0 direction tilted from z about an axis."""
    angle, (x, y, _) = np.deg2rad(degrees), axis
    return (np.sin(angle) * y, -np.sin(angle) * x, np.cos(angle))


def wrap(angle):
    return angle - 2 * np.pi * np.rint(angle / (2 * np.pi))


@pytest.fixture(scope="session")
def sphere():
    return SimpleNamespace(coordinates=coordinates, ball=ball, field=ball_field, tilted=tilted, wrap=wrap)


@pytest.fixture(scope="session")
def head(sphere):
    """A small head: an ellipsoid with four nuclei, their field, and the field of two balls of air outside it."""

    def build(shape=(64, 64, 56), voxel_size=(1.0, 1.0, 1.0), b0_dir=(0.0, 0.0, 1.0)):
        x, y, z = coordinates(shape, voxel_size)
        extent = [n * v for n, v in zip(shape, voxel_size, strict=True)]
        inside = (x / (0.40 * extent[0])) ** 2 + (y / (0.42 * extent[1])) ** 2 + (z / (0.40 * extent[2])) ** 2 < 1
        chi, local = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        nuclei = [((9, 6, 3), 5, 0.12), ((-9, 6, 3), 5, 0.10), ((4, -9, -6), 4, -0.06), ((-5, -8, -5), 3.5, 0.18)]
        for centre, radius, value in nuclei:
            chi += value * ball(shape, voxel_size, radius, centre)
            local += ball_field(shape, voxel_size, radius, b0_dir, value, centre)
        background = 0.3 * x / extent[0] - 0.2 * z / extent[2]
        for where, radius in (((0, 0.42, -0.42), 5.0), ((0.1, -0.5, 0.4), 6.0)):
            centre = [w * e for w, e in zip(where, extent, strict=True)]
            background += ball_field(shape, voxel_size, radius, b0_dir, 9.4, centre)
        return SimpleNamespace(
            mask=inside, chi=chi, local=local * inside, background=(background * inside).astype(np.float32)
        )

    return build
