"""From the noise of the field to the weights of the data, and to the strength of a regularisation that suits them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ._grid import Bool, Float, as_echoes, as_volume


def noise_level(noise: NDArray[np.generic] | None, mask: Bool) -> float | None:
    """Median standard error of the field in the mask [ppm]; None where nothing is known of it."""
    if noise is None:
        return None
    values = as_volume(noise, "noise", mask.shape)[mask]
    values = values[np.isfinite(values) & (values > 0)]
    return float(np.median(values)) if values.size else None


def data_weight(noise: NDArray[np.generic] | None, mask: Bool) -> Float:
    """Weight of every voxel of the mask: median noise over its noise, at most 1; 0 where the noise is infinite.

    A voxel quieter than the median counts no more than the median: what is left there is the model's error.
    Noise of 0 or NaN says nothing, and counts as the median.
    """
    weight = mask.astype(np.float32)
    median = noise_level(noise, mask)
    if noise is None or median is None:
        return weight
    values = as_volume(noise, "noise", mask.shape)
    known = mask & (values > np.float32(median))
    weight[known] = np.float32(median) / values[known]
    return weight


def magnitude_weight(magnitude: NDArray[np.generic] | None, mask: Bool) -> Float:
    """Weight where only the magnitude is known: root mean square over echoes, over its median, at most 1."""
    if magnitude is None:
        return mask.astype(np.float32)
    echoes = as_echoes(magnitude, "magnitude")
    if echoes.shape[:3] != mask.shape:
        raise ValueError(f"magnitude has shape {echoes.shape[:3]}, expected {mask.shape}")
    strength = np.sqrt(np.einsum("xyze,xyze->xyz", echoes, echoes) / np.float32(echoes.shape[3]))
    median = float(np.median(strength[mask]))
    if not median > 0:
        return mask.astype(np.float32)
    return np.where(mask, np.minimum(strength / np.float32(median), np.float32(1)), np.float32(0))
