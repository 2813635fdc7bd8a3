"""Edges of the magnitude: where χ may have its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .._grid import Bool, as_echoes
from ._variation import Problem

OUTSIDE, INSIDE, EDGE = 0, 1, 2


def voxel_kinds(
    magnitude: NDArray[np.generic] | None, problem: Problem, voxel_size: Sequence[float], share: float
) -> NDArray[np.uint8]:
    """Of every voxel on the padded grid: outside, inside, or on an edge of the magnitude.

    Edges are the `share` of the mask's voxels where the relative gradient of the magnitude is steepest; its rim, where
    the magnitude ends, is none.
    """
    inside: Bool = problem.mask[problem.box]
    kinds = np.where(inside, np.uint8(INSIDE), np.uint8(OUTSIDE))
    if magnitude is None or share == 0:
        return problem.padded(kinds)
    echoes = as_echoes(magnitude, "magnitude")[problem.box]
    strength = np.where(inside, np.sqrt(np.mean(echoes**2, axis=3)), np.float32(0))
    steepness = np.zeros(inside.shape, np.float32)
    for axis, size in enumerate(voxel_size):
        if inside.shape[axis] > 1:
            steepness += np.gradient(strength, size, axis=axis) ** 2
    # relative to the signal, so that a bright coil makes no edges; with a floor, so that darkness does not either
    floor = 1e-3 * float(strength[inside].mean())
    if not floor > 0:
        return problem.padded(kinds)
    relative = np.sqrt(steepness) / (strength + np.float32(floor))
    # at the rim the magnitude ends, which is no edge to learn from
    core = ndimage.binary_erosion(inside)
    if core.any():
        kinds[core & (relative > np.quantile(relative[core], 1 - share))] = EDGE
    return problem.padded(kinds)
