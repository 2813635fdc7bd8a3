"""The masks of a run from what brain extraction gave: put right what can be, and say what was done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .object import quality_only_mask
from .refine import Mask, largest_part, qsm_mask

# a brain of whose voxels not half have a phase better than noise is none: the mask lies beside the head, or nowhere
LEAST_USABLE, NOISE = 0.5, 0.3


@dataclass(frozen=True)
class Settled:
    """Masks of a run, and what was done to them.

    Attributes
    ----------
    brain, qsm : (x, y, z) bool arrays
    actions : one sentence each; empty if the brain mask was taken as it came
    fallback : whether the brain mask was given up for one from signal and phase quality
    """

    brain: Mask
    qsm: Mask
    actions: tuple[str, ...] = ()
    fallback: bool = False


def settle_masks(
    brain: Mask | None,
    quality: NDArray[np.floating[Any]],
    voxel_size: Sequence[float],
    magnitude: NDArray[np.floating[Any]] | None = None,
    *,
    keep: bool = False,
    quality_threshold: float = 0.3,
) -> Settled:
    """Brain mask and QSM mask of a run.

    A mask that was found has its holes filled and its lesser parts taken off; if fewer than half of its voxels have a
    phase better than noise it is given up for one from signal and phase quality. A mask that a person made (`keep`) is
    taken as it is. Of either, rim voxels of poor phase are left out of the QSM mask.

    Parameters
    ----------
    brain : (x, y, z) bool array; None finds the mask from signal and phase quality alone
    quality : (x, y, z) array
        Phase quality, 0 (noise) to 1.
    voxel_size : three edges [mm]
    magnitude : (x, y, z) array, optional
    keep : the mask was made by a person
    quality_threshold : least quality of a voxel at the rim; see `qsm_mask`

    Raises
    ------
    ValueError
        If nothing can be told from noise, or no voxel of the brain is reliable.
    """
    actions: list[str] = []
    fallback = False
    if brain is None:
        brain = quality_only_mask(quality, voxel_size, magnitude)
    elif not keep:
        usable = float((quality[brain] >= NOISE).mean()) if brain.any() else 0.0
        fallback = usable < LEAST_USABLE
        if fallback:
            why = f"only {usable:.0%} of it has a phase better than noise" if brain.any() else "it is empty"
            actions.append(f"brain mask given up ({why}): one from signal and phase quality is used in its place")
            brain = quality_only_mask(quality, voxel_size, magnitude)
        else:
            brain = _repaired(brain, actions)
    qsm = qsm_mask(brain, quality, quality_threshold=quality_threshold)
    trimmed = 1 - float(qsm.sum()) / float(brain.sum())
    if trimmed > 0:
        actions.append(
            f"{100 * trimmed:.2g} % of the brain mask left out of the QSM mask: at its rim, with a phase quality below "
            f"{quality_threshold:g}"
        )
    return Settled(brain, qsm, tuple(actions), fallback)


def _repaired(brain: Mask, actions: list[str]) -> Mask:
    """One piece without holes."""
    whole = largest_part(brain)
    lost = int(brain.sum()) - int(whole.sum())
    if lost:
        actions.append(f"{lost} voxels apart from the largest part of the brain mask taken off")
    filled: Mask = np.asarray(ndimage.binary_fill_holes(whole))
    added = int(filled.sum()) - int(whole.sum())
    if added:
        actions.append(f"{added} voxels of holes in the brain mask filled")
    return filled
