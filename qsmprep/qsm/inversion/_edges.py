"""Edges of the magnitude: where χ may have its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .._edges import magnitude_edges
from .._grid import Bool
from ._variation import Problem

OUTSIDE, INSIDE, EDGE = 0, 1, 2


def voxel_kinds(
    magnitude: NDArray[np.generic] | None, problem: Problem, voxel_size: Sequence[float], share: float
) -> NDArray[np.uint8]:
    """Of every voxel on the padded grid: outside, inside, or on an edge of the magnitude (`magnitude_edges`)."""
    inside: Bool = problem.mask[problem.box]
    kinds = np.where(inside, np.uint8(INSIDE), np.uint8(OUTSIDE))
    cropped = None if magnitude is None else np.asarray(magnitude)[problem.box]
    kinds[magnitude_edges(cropped, inside, voxel_size, share)] = EDGE
    return problem.padded(kinds)
