"""The dipole as a differential equation: ΔF = (Δ/3 - (b·∇)²) χ, in stencils of 3 x 3 x 3 voxels.

A field that obeys it within a mask is that of χ there, plus one that sources outside the mask could have made.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from .._harmonic import laplacian_weights

SAMPLES = 20  # spatial frequencies along an axis that the stencil is fitted to
BAND = 2.5  # [rad/voxel] width of the band that counts: at Nyquist no stencil knows a sign from its opposite


def laplace_stencil(voxel_size: Sequence[float]) -> NDArray[np.float32]:
    """Laplacian [1/mm²] over faces and edges, (3, 3, 3)."""
    weights = laplacian_weights(voxel_size, edges=True).astype(np.float64)
    stencil = np.zeros((3, 3, 3))
    for axis in range(3):
        for side in (0, 2):
            place = [1, 1, 1]
            place[axis] = side
            stencil[tuple(place)] = weights[axis]
    for weight, (i, j) in zip(weights[3:], combinations(range(3), 2), strict=True):
        for a in (0, 2):
            for b in (0, 2):
                place = [1, 1, 1]
                place[i], place[j] = a, b
                stencil[tuple(place)] = weight
    stencil[1, 1, 1] = -stencil.sum()
    return stencil.astype(np.float32)


def wave_stencil(voxel_size: Sequence[float], b0_dir: Sequence[float]) -> NDArray[np.float32]:
    """Δ/3 - (b·∇)² [1/mm²] for a unit vector b in voxel axes, (3, 3, 3).

    Second differences alone would make another dipole at every frequency but the lowest, worst with b oblique. This is
    the symmetric stencil whose spectrum, over that of `laplace_stencil`, is nearest to 1/3 - (k·b)²/k², among those
    that are right to second order.
    """
    h, b = np.asarray(voxel_size, np.float64), np.asarray(b0_dir, np.float64)
    axis = (np.arange(SAMPLES) + 0.5) / SAMPLES * 2 * np.pi - np.pi
    angle = np.stack(np.meshgrid(axis, axis, axis[SAMPLES // 2 :], indexing="ij"), -1).reshape(-1, 3)
    k = angle / h
    dipole = 1 / 3 - (k @ b) ** 2 / np.sum(k * k, axis=1)
    half = [(x, y, z) for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1) if (x, y, z) > (0, 0, 0)]
    waves = np.stack([2 * np.cos(angle @ np.array(offset)) - 2 for offset in half], axis=1)
    laplace = laplace_stencil(voxel_size).astype(np.float64)
    known = np.array([laplace[x + 1, y + 1, z + 1] for x, y, z in half])
    counts = np.exp(-0.5 * np.sum(angle * angle, axis=1) / BAND**2)[:, None]
    design = counts * waves / (waves @ known)[:, None]
    steps = np.array(half) * h
    second, target = np.eye(3) / 3 - np.outer(b, b), []
    rows = []
    for i in range(3):
        for j in range(i, 3):
            rows.append(steps[:, i] * steps[:, j])
            target.append(second[i, j])
    constraint = np.array(rows)
    system = np.block([[design.T @ design, constraint.T], [constraint, np.zeros((6, 6))]])
    right = np.concatenate([design.T @ (counts[:, 0] * dipole), target])
    fitted = np.linalg.lstsq(system, right, rcond=None)[0][: len(half)]
    stencil = np.zeros((3, 3, 3))
    for (x, y, z), value in zip(half, fitted, strict=True):
        stencil[1 + x, 1 + y, 1 + z] = stencil[1 - x, 1 - y, 1 - z] = value
    stencil[1, 1, 1] = -stencil.sum()
    return stencil.astype(np.float32)
