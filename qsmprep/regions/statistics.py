"""What is told of the values in one region, and of where the region lies: each number with its definition."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Values = NDArray[np.float64]

TRIM = 0.1
CUT_OFF_PPM = 0.070
"""Nigrosome 1 stands out of the substantia nigra below this: what is a fraction of iron-poor voxels."""
HIGH_IRON_PERCENTILE = 75.0
FAR_FROM_ZERO_PPM = 0.020
"""A ratio of susceptibilities means something only where both sides are far from 0 against their errors."""
RING_MM = (2.0, 5.0)


def trimmed_mean(values: Values) -> float:
    """Mean without the lowest and the highest tenth (rounded down) of the values."""
    from scipy.stats import trim_mean

    return float(trim_mean(values, TRIM))


def skewness(values: Values) -> float:
    """Bias-corrected skewness; NaN of fewer than three values or of equal ones."""
    from scipy.stats import skew

    return float(skew(values, bias=False)) if values.size > 2 and np.ptp(values) > 0 else float("nan")


def kurtosis(values: Values) -> float:
    """Bias-corrected excess kurtosis, 0 of a normal distribution; NaN of fewer than four values or of equal ones."""
    from scipy.stats import kurtosis as of

    return float(of(values, bias=False)) if values.size > 3 and np.ptp(values) > 0 else float("nan")


def mean_of(values: Values) -> float:
    """Mean; NaN of none."""
    return float(values.mean()) if values.size else float("nan")


def high_iron_mean(values: Values) -> float:
    """Mean of the values at or above the 75th percentile of all."""
    return mean_of(values[values >= np.percentile(values, HIGH_IRON_PERCENTILE)])


# statistic -> function of a region's values, what it is; of every map, in its unit but for the two without one
SPREAD: dict[str, tuple[Callable[[Values], float], str]] = {
    "mean": (mean_of, "Arithmetic mean"),
    "median": (lambda v: float(np.median(v)), "Median"),
    "sd": (lambda v: float(v.std(ddof=1)) if v.size > 1 else float("nan"), "Standard deviation (of the sample: n - 1)"),
    "mad": (
        lambda v: float(np.median(np.abs(v - np.median(v)))),
        "Median absolute deviation from the median, not scaled to the normal distribution",
    ),
    "p1": (lambda v: float(np.percentile(v, 1)), "1st percentile (linear interpolation)"),
    "p5": (lambda v: float(np.percentile(v, 5)), "5th percentile (linear interpolation)"),
    "p95": (lambda v: float(np.percentile(v, 95)), "95th percentile (linear interpolation)"),
    "p99": (lambda v: float(np.percentile(v, 99)), "99th percentile (linear interpolation)"),
    "trimmed_mean": (trimmed_mean, "Mean without the lowest and the highest tenth of the voxels"),
    "skewness": (skewness, "Bias-corrected skewness"),
    "kurtosis": (kurtosis, "Bias-corrected excess kurtosis (0 for a normal distribution)"),
}
UNITLESS = ("skewness", "kurtosis")

# of χ [ppm] alone, since only there the sign means iron or myelin
SIGNED: dict[str, tuple[Callable[[Values], float], str, str]] = {
    "positive_mean": (lambda v: mean_of(v[v > 0]), "Mean over the voxels with χ > 0", "ppm"),
    "negative_mean": (lambda v: mean_of(v[v < 0]), "Mean over the voxels with χ < 0", "ppm"),
    "below_70ppb": (
        lambda v: float((v < CUT_OFF_PPM).mean()),
        "Fraction of the voxels with χ < 0.070 ppm; depends on the reference",
        "1",
    ),
    "high_mean": (high_iron_mean, "Mean over the voxels at or above the 75th percentile: the part rich in iron", "ppm"),
}


def left_minus_right(
    names: Sequence[str], hemispheres: Sequence[str], means: NDArray[np.float64]
) -> tuple[Values, Values]:
    """Difference and asymmetry index of regions that occur on both sides.

    Parameters
    ----------
    names, hemispheres : of the rows; "L", "R" or "n/a"
    means : (row,) array [ppm]

    Returns
    -------
    difference : (row,) array [ppm], left minus right, the same in both rows of a pair
    index : (row,) array, the difference over the mean of both sides; NaN where either is nearer to 0 than 20 ppb or
        their signs differ, since χ has no absolute zero
    """
    rows: dict[tuple[str, str], int] = {}
    for row, key in enumerate(zip(names, hemispheres, strict=True)):
        rows.setdefault(key, row)
    difference, index = np.full(len(means), np.nan), np.full(len(means), np.nan)
    for row, name in enumerate(names):
        left, right = (means[rows[name, side]] if (name, side) in rows else np.nan for side in "LR")
        if hemispheres[row] not in ("L", "R"):
            continue
        difference[row] = left - right
        if left * right > 0 and min(abs(left), abs(right)) >= FAR_FROM_ZERO_PPM:
            index[row] = 2 * (left - right) / (left + right)
    return difference, index


def ring_box(box: Sequence[slice], shape: Sequence[int], voxel_size: Sequence[float]) -> tuple[slice, ...]:
    """The box of a region, wide enough to hold its ring."""
    reach = [int(np.ceil(RING_MM[1] / v)) for v in voxel_size]
    return tuple(slice(max(s.start - r, 0), min(s.stop + r, n)) for s, r, n in zip(box, reach, shape, strict=True))


def ring(region: NDArray[np.bool_], voxel_size: Sequence[float]) -> NDArray[np.bool_]:
    """What lies 2 to 5 mm from a region, so that its partial volumes stay out.

    Parameters
    ----------
    region : (x, y, z) bool array, not empty
    voxel_size : 3 floats [mm]
    """
    distance = ndimage.distance_transform_edt(~region, sampling=tuple(voxel_size))
    return np.asarray((distance > RING_MM[0]) & (distance <= RING_MM[1]))


def rim_distance(mask: NDArray[np.bool_], voxel_size: Sequence[float]) -> NDArray[np.float32]:
    """Distance [mm] of every voxel of the mask to the nearest one outside it; the volume's edge counts as outside."""
    depth = np.zeros(mask.shape, np.float32)
    if mask.any():
        box = ndimage.find_objects(mask.astype(np.uint8))[0]
        distance = ndimage.distance_transform_edt(np.pad(mask[box], 1), sampling=tuple(voxel_size))
        depth[box] = distance[1:-1, 1:-1, 1:-1]
    return depth
