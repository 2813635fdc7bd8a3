"""Combine: one phase [rad] and magnitude an echo, free of what receivers and gradients add to the phase.

Coils become one image, every second slice that has π added loses it, and the offset that the phase would have at TE 0
is taken off, with the difference of odd and even echoes of a bipolar readout.
"""

from __future__ import annotations

from ._blocks import wrap
from .coils import CombinedCoils, combine_coils
from .mcpc3ds import Combined, mcpc3ds
from .slices import alternating_axis, remove_alternation

__all__ = [
    "Combined",
    "CombinedCoils",
    "alternating_axis",
    "combine_coils",
    "mcpc3ds",
    "remove_alternation",
    "wrap",
]
