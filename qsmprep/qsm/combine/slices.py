"""Phase to which π is added in every second slice (GE scanners write 3-D acquisitions so), found and undone."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._grid import Float, as_volume

FLIPPED = 0.9
"""Share of the signal in pairs of slices that has to step by about π."""
NEAR_PI = -0.7
"""Cosine of a step below which it is about half a turn: steep fields step by less, or leave no signal."""
CERTAIN = 5.0
"""How much longer the sum of steps has to be than noise alone would make it."""
FEWEST = 8
"""Slices below which nothing is decided."""


class Alternation(NamedTuple):
    """What steps from slice to slice look like along one axis.

    Attributes
    ----------
    flipped : share of the signal, 0 to 1, in pairs of slices that step by about π
    certainty : how much longer the sum of steps is than that of noise
    """

    flipped: float
    certainty: float

    @property
    def found(self) -> bool:
        """Whether every second slice has π added."""
        return self.flipped > FLIPPED and self.certainty > CERTAIN

    @property
    def doubtful(self) -> bool:
        """Whether a part of the slices does, which is no known pattern."""
        return 1 - FLIPPED < self.flipped <= FLIPPED and self.certainty > CERTAIN


def steps_along(phase: NDArray[np.generic], magnitude: NDArray[np.generic] | None, axis: int) -> Alternation:
    """Look at the steps of the phase between neighbouring slices.

    Steps of real tissue scatter about 0: a shimmed field turns the phase by much less than half a turn a slice. With π
    added to every second slice they scatter about π instead.

    Parameters
    ----------
    phase : (x, y, z) array [rad]
        Of the earliest echo, which turns least.
    magnitude : (x, y, z) array or None
    axis : 0, 1 or 2
    """
    # every second row and column will do
    angle = np.moveaxis(as_volume(phase, "phase"), axis, 0)[:, ::2, ::2]
    if angle.shape[0] < FEWEST:
        return Alternation(0.0, 0.0)
    weight = (
        np.ones_like(angle)
        if magnitude is None
        else np.moveaxis(as_volume(magnitude, "magnitude"), axis, 0)[:, ::2, ::2]
    )
    steps, noise = np.zeros(angle.shape[0] - 1, np.complex128), 0.0
    for low in range(steps.size):
        pair = weight[low] * weight[low + 1]
        steps[low] = np.sum(pair * np.exp(1j * (angle[low + 1] - angle[low])), dtype=np.complex128)
        noise += float(np.sqrt(np.sum(pair**2, dtype=np.float64)))
    size = np.abs(steps)
    if not size.sum() > 0:
        return Alternation(0.0, 0.0)
    flipped = size[steps.real < NEAR_PI * size].sum() / size.sum()
    return Alternation(float(flipped), float(size.sum() / noise))


def alternating_axis(phase: NDArray[np.generic], magnitude: NDArray[np.generic] | None) -> tuple[int | None, list[int]]:
    """Axis along which every second slice has π added, if any, and axes along which some slices do.

    Parameters
    ----------
    phase : (x, y, z) array [rad]
        Of the earliest echo.
    magnitude : (x, y, z) array or None
        None weighs all voxels alike.

    Returns
    -------
    axis : 0, 1, 2 or None
    doubtful : axes along which a part of the slices is flipped: nothing is corrected there
    """
    seen = [steps_along(phase, magnitude, axis) for axis in range(3)]
    found = [axis for axis in (2, 1, 0) if seen[axis].found]  # slices mostly lie along the last axis
    return (found[0] if found else None), [axis for axis in range(3) if seen[axis].doubtful]


def remove_alternation(phase: Float, axis: int) -> Float:
    """Phase [rad] within ±π, less π in every second slice.

    Parameters
    ----------
    phase : (x, y, z[, echo]) array [rad]
    axis : 0, 1 or 2
    """
    out = np.array(phase, np.float32)
    odd = out[(slice(None),) * axis + (slice(1, None, 2),)]
    odd -= np.where(odd > 0, np.float32(np.pi), np.float32(-np.pi))
    return out
