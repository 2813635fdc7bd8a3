"""From the noise of the field to the weights of the data, and to the strength of a regularisation that suits them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ._grid import Bool, Float, as_echoes, as_volume, mask_box

REFERENCE_NOISE = 1e-3
"""Noise of the field [ppm] for which weights of regularisations are given."""


def noise_level(noise: NDArray[np.generic] | None, mask: Bool) -> float | None:
    """Median standard error of the field in the mask [ppm]; None where nothing is known of it."""
    if noise is None:
        return None
    values = as_volume(noise, "noise", mask.shape)[mask]
    values = values[np.isfinite(values) & (values > 0)]
    return float(np.median(values)) if values.size else None


def field_noise(field: Float, mask: Bool) -> float:
    """Noise of a field as its finest details show it [ppm]; what no model explains at that scale counts as well.

    Median absolute value of the diagonal Haar coefficients of the 2 x 2 x 2 blocks in the mask; 0 if there is none.

    References
    ----------
    Donoho DL, Johnstone IM. Biometrika 1994;81:425. https://doi.org/10.1093/biomet/81.3.425
    """
    even = tuple(slice(0, n // 2 * 2) for n in field.shape)
    blocks = tuple(v for n in field[even].shape for v in (n // 2, 2))
    signs = np.array([1, -1], np.float32)
    detail = np.einsum("aibjck,i,j,k->abc", field[even].reshape(blocks), signs, signs, signs)
    whole = mask[even].reshape(blocks).all(axis=(1, 3, 5))
    if not whole.any():
        return 0.0
    return float(np.median(np.abs(detail[whole]))) / (0.6745 * 8**0.5)


def inversion_noise(field: Float, mask: Bool, noise: NDArray[np.generic] | None = None) -> float:
    """Noise [ppm] that the regularisation of an inversion goes with, for the record.

    The median of what is known of it in the mask, but no less than the finest details of the field show.
    """
    box = mask_box(mask)
    trusted = data_weight(noise, mask)[box] > 0
    shown = field_noise(np.where(trusted, field[box], np.float32(0)), trusted)
    return max(noise_level(noise, mask) or 0.0, shown)


def effective_weight(weight: float, noise: float) -> float:
    """Strength of a regularisation in proportion to the noise [ppm]: `weight` is what suits `REFERENCE_NOISE`.

    Gradients are per mm. On digital heads of 1 and 2 mm the best strength for one noise is then the same.
    """
    return weight * noise / REFERENCE_NOISE


def data_weight(noise: NDArray[np.generic] | None, mask: Bool) -> Float:
    """Weight of every voxel of the mask: median noise over its noise, at most 1; 0 where the noise is infinite.

    A voxel quieter than the median counts no more than the median: what is left there is the model's error.
    Noise of 0 or NaN says nothing, and counts as the median.

    Parameters
    ----------
    noise : (x, y, z) array [ppm] or None
        Standard error of the field. None: all voxels of the mask weigh 1.
    mask : (x, y, z) bool array

    Returns
    -------
    weight : (x, y, z) float32 array, 0 to 1; 0 outside the mask

    Raises
    ------
    ValueError
        If shapes differ, or the noise is infinite in the whole mask: no weights could make a field of that.
    """
    weight = mask.astype(np.float32)
    if noise is None:
        return weight
    values = as_volume(noise, "noise", mask.shape)
    unknown = mask & np.isposinf(values)
    if np.array_equal(unknown, mask):
        raise ValueError("no voxel of the mask has a field that can be trusted: its noise is infinite throughout")
    weight[unknown] = 0
    median = noise_level(values, mask)
    if median is not None:
        known = mask & ~unknown & (values > np.float32(median))
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
