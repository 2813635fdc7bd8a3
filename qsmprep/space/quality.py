"""Numbers that say how well two images or masks agree."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def dice(first: ArrayLike, second: ArrayLike) -> float:
    """Overlap of two masks of one shape: 2 |A and B| / (|A| + |B|), NaN if both are empty.

    References
    ----------
    Dice LR. Ecology 1945;26:297. https://doi.org/10.2307/1932409
    """
    a, b = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    if a.shape != b.shape:
        raise ValueError(f"masks differ in shape: {a.shape} and {b.shape}")
    total = int(a.sum()) + int(b.sum())
    return 2.0 * int((a & b).sum()) / total if total else float("nan")


def normalised_mutual_information(
    first: ArrayLike, second: ArrayLike, mask: ArrayLike | None = None, *, bins: int = 32
) -> float:
    """Normalised mutual information (H(A) + H(B)) / H(A, B): 1 for independent images, 2 for equal ones.

    Parameters
    ----------
    first, second : arrays of one shape
    mask : bool array, where to compare (everywhere if None)
    bins : number of grey levels, between the 0.5 and 99.5 percentiles of each image

    References
    ----------
    Studholme C, et al. Pattern Recognit 1999;32:71. https://doi.org/10.1016/S0031-3203(98)00091-0
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.shape != b.shape:
        raise ValueError(f"images differ in shape: {a.shape} and {b.shape}")
    where = np.ones(a.shape, bool) if mask is None else np.asarray(mask, dtype=bool)
    levels = []
    for image in (a[where], b[where]):
        if image.size == 0:
            return float("nan")
        low, high = np.percentile(image, (0.5, 99.5))
        scaled = (image - low) / (high - low) if high > low else np.zeros_like(image)
        levels.append(np.clip((scaled * bins).astype(np.int64), 0, bins - 1))
    joint = np.bincount(levels[0] * bins + levels[1], minlength=bins * bins).reshape(bins, bins)
    p = joint / joint.sum()
    joint_entropy = _entropy(p.ravel())
    if joint_entropy == 0:
        return 1.0  # two constant images tell nothing of each other
    return (_entropy(p.sum(axis=0)) + _entropy(p.sum(axis=1))) / joint_entropy


def _entropy(p: np.ndarray) -> float:
    p = p[p > 0]
    return float(-(p * np.log(p)).sum())
