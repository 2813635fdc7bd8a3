"""Numbers that say how good a brain mask is: arrays in, one dictionary out. Names are those of `qsmprep.qc`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .refine import Mask, largest_part

RIM_MM = 3.0
LOW_SIGNAL = 0.2  # of the third quartile, which is tissue even in a mask that is half air: below is bone, air, a void
BEYOND_MM = 5.0  # registration and anatomy differ by less


def mask_score(
    brain: Mask,
    qsm: Mask,
    quality: NDArray[np.floating[Any]],
    voxel_size: tuple[float, float, float],
    magnitude: NDArray[np.floating[Any]] | None = None,
    *,
    quality_threshold: float = 0.3,
) -> dict[str, float]:
    """Volume, leakage, holes and rim of a brain mask.

    Parameters
    ----------
    brain : (x, y, z) bool array
    qsm : (x, y, z) bool array
        Brain with a usable phase, before background removal takes its share.
    quality : (x, y, z) array
        Phase quality, 0 (noise) to 1.
    voxel_size : 3 floats [mm]
    magnitude : (x, y, z) array, optional
        Of the first echo; without it there is no share of low signal.
    quality_threshold : below it the phase of a voxel counts as noise

    Returns
    -------
    dict from the name of a metric to its value; `qsmprep.qc.metric_definitions` tells what each is

    Raises
    ------
    ValueError
        If the brain mask is empty.
    """
    n = int(brain.sum())
    if not n:
        raise ValueError("the brain mask is empty: there is nothing to score")
    depth = _depth(brain, voxel_size)
    rim = brain & (depth <= max(RIM_MM, *voxel_size))
    filled = np.asarray(ndimage.binary_fill_holes(brain))
    out = {
        "brain_volume_ml": n * float(np.prod(voxel_size)) / 1000,
        "phase_quality_median": float(np.median(quality[brain])),
        "mask_holes_fraction": (int(filled.sum()) - n) / n,
        "mask_parts_fraction": 1 - int(largest_part(brain).sum()) / n,
        "mask_rim_trimmed_fraction": 1 - int((qsm & brain).sum()) / n,
    }
    if rim.any():  # a crop may have none
        out["mask_rim_noise"] = float((quality[rim] < quality_threshold).mean())
    if magnitude is not None:
        low = brain & (magnitude < LOW_SIGNAL * float(np.percentile(magnitude[brain], 75)))
        out["mask_low_signal_fraction"] = int(low.sum()) / n
    return out


def beyond_template(brain: Mask, template_brain: Mask, voxel_size: tuple[float, float, float]) -> float:
    """Fraction of a brain mask that lies more than 5 mm outside of the template's brain, on one grid.

    Raises
    ------
    ValueError
        If a mask is empty or their shapes differ.
    """
    if brain.shape != template_brain.shape:
        raise ValueError(f"brain mask has shape {brain.shape}, the template's brain has {template_brain.shape}")
    if not brain.any() or not template_brain.any():
        raise ValueError("a mask is empty: leakage cannot be told")
    away = ndimage.distance_transform_edt(~template_brain, voxel_size)
    return float((away[brain] > BEYOND_MM).mean())


def _depth(mask: Mask, voxel_size: tuple[float, float, float]) -> NDArray[np.float64]:
    """Distance to the outside [mm]; the object is taken to go on beyond the edges of the volume."""
    padded = np.pad(mask, 1, mode="edge")
    if padded.all():
        return np.full(mask.shape, np.inf)
    depth: NDArray[np.float64] = ndimage.distance_transform_edt(padded, voxel_size)[1:-1, 1:-1, 1:-1]
    return depth
