"""How far a map is from the truth: the metrics of the field's public benchmark.

All but `relative_error` compare within a mask, after each map's mean in it was removed. Maps are in ppm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Volume = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]
NUCLEI = ("caudate", "putamen", "GPe", "GPi", "red nucleus", "SN")


def _centred(found: Volume, truth: Volume, mask: Mask) -> tuple[Volume, Volume]:
    a, b = found[mask].astype(np.float64), truth[mask].astype(np.float64)
    return a - a.mean(), b - b.mean()


def nrmse(found: Volume, truth: Volume, mask: Mask) -> float:
    """Root mean square error relative to the truth's root mean square [%]."""
    a, b = _centred(found, truth, mask)
    return float(100 * np.linalg.norm(a - b) / np.linalg.norm(b))


def relative_error(found: Volume, truth: Volume, mask: Mask) -> float:
    """As `nrmse` for what has a zero of its own, such as R2*: no mean is removed [%]."""
    a, b = found[mask].astype(np.float64), truth[mask].astype(np.float64)
    return float(100 * np.linalg.norm(a - b) / np.linalg.norm(b))


def detrended_nrmse(found: Volume, truth: Volume, mask: Mask) -> float:
    """As `nrmse`, after the slope of the map on the truth was taken out: errors that no scaling mends [%]."""
    a, b = _centred(found, truth, mask)
    slope = (a @ b) / (b @ b)
    return float(100 * np.linalg.norm(a / slope - b) / np.linalg.norm(b)) if slope else float("inf")


def xsim(found: Volume, truth: Volume, mask: Mask) -> float:
    """Structural similarity tuned to susceptibility: windows of 5³, L = 1 ppm, K1 = 0.01, K2 = 0.001.

    References
    ----------
    Milovic C, et al. Magn Reson Med 2025;93:411. https://doi.org/10.1002/mrm.30271
    """
    a, b = np.zeros(mask.shape), np.zeros(mask.shape)
    a[mask], b[mask] = _centred(found, truth, mask)
    return float(similarity(a, b)[mask].mean())


def similarity(a: Volume, b: Volume) -> Volume:
    """Structural similarity of two maps around every voxel; beyond the edge they are mirrored."""

    def mean(volume: Volume) -> Volume:
        return ndimage.uniform_filter(volume, 5)

    unbiased = 125 / 124
    mean_a, mean_b = mean(a), mean(b)
    var_a, var_b = unbiased * (mean(a * a) - mean_a**2), unbiased * (mean(b * b) - mean_b**2)
    covariance = unbiased * (mean(a * b) - mean_a * mean_b)
    c1, c2 = 0.01**2, 0.001**2
    found = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    found /= (mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)
    return np.asarray(found)


def hfen(found: Volume, truth: Volume, mask: Mask) -> float:
    """High-frequency error norm: `nrmse` of both maps' Laplacian of a Gaussian of 1.5 voxels [%]."""
    a, b = np.zeros(mask.shape), np.zeros(mask.shape)
    a[mask], b[mask] = _centred(found, truth, mask)
    sharp_a, sharp_b = ndimage.gaussian_laplace(a, 1.5)[mask], ndimage.gaussian_laplace(b, 1.5)[mask]
    return float(100 * np.linalg.norm(sharp_a - sharp_b) / np.linalg.norm(sharp_b))


def deep_grey(
    found: Volume, truth: Volume, mask: Mask, labels: NDArray[np.integer[Any]], names: Sequence[str]
) -> dict[str, float]:
    """Slope, correlation and error of the deep nuclei's means on the truth's.

    Parameters
    ----------
    found, truth : (x, y, z) arrays [ppm]
    mask : (x, y, z) bool array, where `found` is known
    labels : (x, y, z) integer array; label n belongs to `names[n - 1]`
    names : of the regions; both sides count together, and SNr as SN

    Returns
    -------
    slope, r, rmse_ppb : the last after the mean difference was taken off, which is a matter of the reference
    """
    x, y = [], []
    for nucleus in NUCLEI:
        own = [i + 1 for i, name in enumerate(names) if name == nucleus or (nucleus == "SN" and name == "SNr")]
        region = np.isin(labels, own) & mask
        if region.any():
            x.append(truth[region].mean(dtype=np.float64))
            y.append(found[region].mean(dtype=np.float64))
    if len(x) < 2:
        return {"slope": float("nan"), "r": float("nan"), "rmse_ppb": float("nan")}
    error = np.subtract(y, x)
    return {
        "slope": float(np.polyfit(x, y, 1)[0]),
        "r": float(np.corrcoef(x, y)[0, 1]),
        "rmse_ppb": float(1000 * error.std()),
    }


def scores(found: Volume, valid: Mask, head: Mapping[str, Any]) -> dict[str, float]:
    """All metrics of a χ map: on the mask that the method keeps, and on the true one with 0 where it keeps nothing."""
    truth, brain = head["chi"], head["mask"]
    kept = valid & brain
    whole = np.where(kept, found - found[kept].mean(), 0)
    return {
        "kept": float(100 * kept.sum() / brain.sum()),
        "xsim": xsim(found, truth, kept),
        "nrmse": nrmse(found, truth, kept),
        "detrended": detrended_nrmse(found, truth, kept),
        "hfen": hfen(found, truth, kept),
        **deep_grey(found, truth, kept, head["nuclei"], head["names"]),
        "xsim_brain": xsim(whole, truth, brain),
        "nrmse_brain": nrmse(whole, truth, brain),
    }
