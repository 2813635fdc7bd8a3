"""The brain, or what there is of it, from phase quality and magnitude alone: no template, no registration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .refine import FACES, Mask, largest_part, otsu

LARGEST_BRAIN = 2200.0  # mL
# What joins brain and scalp is thinner than the brain: vessels, nerves, voxels that hold skull and both its neighbours.
# Balls that pass none of them part the two; beyond 12 mm they no longer enter the poles of the lobes either.
BALLS = (2.0, 4.0, 6.0, 8.0)  # radius, mm
WIDER = (10.0, 12.0)
BIG_PART = 0.1  # of the object
STRICTER = (0.6, 0.7)  # phase quality


def quality_only_mask(
    quality: NDArray[np.floating[Any]],
    voxel_size: Sequence[float],
    magnitude: NDArray[np.floating[Any]] | None = None,
) -> Mask:
    """Mask without a template: for partial brains, and for runs without a magnitude.

    Phase quality tells tissue from air and bone; the magnitude, where there is one, takes part. If all voxels lie in
    tissue, as in a crop, Otsu's threshold would part tissue from tissue: it only counts where the two classes differ
    clearly. The object is what a ball can reach inside the good voxels: a ball of 8 mm, or the smallest one for which
    that is no big part more. If the object is larger than a brain can be, the ball is widened, then the phase has to be
    better. If nothing helps, the mask is that of the smallest ball, and its volume tells.

    Parameters
    ----------
    quality : (x, y, z) array
        Phase quality, 0 (noise) to 1.
    voxel_size : three edges [mm]
    magnitude : (x, y, z) array, optional

    Returns
    -------
    mask : (x, y, z) bool array, in one piece and without holes

    Raises
    ------
    ValueError
        If nothing can be told from noise.
    """
    border = min(_class_border(quality, ratio=2.0), 0.5)
    seen = np.ones(quality.shape, bool) if magnitude is None else magnitude > _class_border(magnitude, ratio=3.0)
    edge = min(voxel_size)
    everything = _reached(seen & (quality > border), edge, voxel_size)
    if not everything.any():
        raise ValueError("no object can be told from noise in this phase: look at phase and magnitude")
    for least in (border, *STRICTER):
        good = seen & (quality > least)
        for widest in (BALLS[-1], *WIDER):
            core = _volume(_reached(good, widest, voxel_size), voxel_size)
            if not 0 < core <= LARGEST_BRAIN:
                continue
            for radius in (edge, *(ball for ball in (*BALLS, *WIDER) if edge < ball <= widest)):
                found = _reached(good, radius, voxel_size)
                if _volume(found, voxel_size) * (1 - BIG_PART) <= core:
                    return found
    return everything


def _reached(good: Mask, radius: float, voxel_size: Sequence[float]) -> Mask:
    """The largest part of what a ball [mm] reaches inside the good voxels, with a voxel of theirs around it, filled."""
    if good.all():
        return good.copy()
    # no voxel beyond the edge of the volume is bad: the object may go on there
    core = largest_part(np.asarray(ndimage.distance_transform_edt(good, voxel_size)) > radius)
    if not core.any():
        return core
    near = np.asarray(ndimage.distance_transform_edt(~core, voxel_size)) <= radius
    found = largest_part(good & ndimage.binary_dilation(good & near, FACES))
    return np.asarray(ndimage.binary_fill_holes(found))


def _volume(mask: Mask, voxel_size: Sequence[float]) -> float:
    return float(mask.sum() * np.prod(voxel_size) / 1000)


def _class_border(values: NDArray[np.floating[Any]], ratio: float) -> float:
    """Otsu's threshold if the classes' means differ by `ratio`, else below every value."""
    threshold = otsu(values)
    high, low = values[values > threshold], values[values <= threshold]
    if not high.size or not low.size or float(high.mean()) < ratio * float(low.mean()):
        return -np.inf
    return threshold
