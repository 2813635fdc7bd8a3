"""Texture of χ per region: how grey levels of a fixed width in ppb stand beside each other at a distance in mm."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

Counts = NDArray[np.float64]

DEFINITION_VERSION = "1"
LEAST_PAIRS = 100
"""A matrix of fewer pairs of voxels says nothing of a texture."""
FEATURES = {
    "energy": "Angular second moment: sum of p²",
    "entropy": "Entropy of p [bit]",
    "max_probability": "Largest p",
    "contrast": "Mean squared difference of the levels",
    "dissimilarity": "Mean absolute difference of the levels",
    "homogeneity": "Inverse difference moment: mean of 1 / (1 + squared difference of the levels)",
    "correlation": "Correlation of the levels; not given where all are alike",
    "autocorrelation": "Mean product of the levels",
    "cluster_shade": "Mean of the third power of the levels' sum about its mean",
    "cluster_prominence": "Mean of the fourth power of the levels' sum about its mean",
    "variance": "Variance of the levels",
    "sum_average": "Mean sum of the levels",
    "sum_variance": "Variance of the levels' sum",
    "sum_entropy": "Entropy of the levels' sum [bit]",
    "difference_variance": "Variance of the levels' absolute difference",
    "difference_entropy": "Entropy of the levels' absolute difference [bit]",
    "imc1": "First information measure of correlation; not given where all levels are alike",
    "imc2": "Second information measure of correlation",
}


def offsets(distance_mm: float, voxel_size: Sequence[float], *, dimensions: int = 3) -> list[tuple[int, int, int]]:
    """Voxel shifts nearest to a distance along the 13 directions of a volume, or the 4 of its slices.

    Opposite directions are one. A direction whose voxels are longer than twice the distance has none.

    Parameters
    ----------
    distance_mm : float [mm]
    voxel_size : 3 floats [mm]
    dimensions : 3, or 2 for pairs within slices (x, y)

    Raises
    ------
    ValueError
        If `dimensions` is neither 2 nor 3, or the voxels are too large for the distance in every direction.
    """
    if dimensions not in (2, 3):
        raise ValueError(f"texture has 2 or 3 dimensions, not {dimensions}")
    found = []
    for direction in product((-1, 0, 1), repeat=3):
        if direction <= (0, 0, 0) or (dimensions == 2 and direction[2]):
            continue
        unit = np.array(direction) / np.linalg.norm(direction)
        shift = np.rint(distance_mm * unit / np.asarray(voxel_size, float)).astype(int)
        step = (int(shift[0]), int(shift[1]), int(shift[2]))
        if any(step) and step not in found and tuple(-s for s in step) not in found:
            found.append(step)
    if not found:
        raise ValueError(
            f"no two voxels of {' x '.join(f'{v:g}' for v in voxel_size)} mm lie about {distance_mm:g} mm apart"
        )
    return found


def cooccurrence(
    levels: NDArray[np.integer[Any]], inside: NDArray[np.bool_], shifts: Sequence[tuple[int, int, int]]
) -> Counts:
    """Grey-level co-occurrence matrix: how often level i and level j lie a shift apart, in either order.

    Parameters
    ----------
    levels : (x, y, z) array of whole numbers from 0
    inside : (x, y, z) bool array; both voxels of a pair have to be
    shifts : pairs of all of them are counted together

    Returns
    -------
    counts : (level, level) symmetric array
    """
    n = int(levels[inside].max()) + 1 if inside.any() else 1
    counts = np.zeros(n * n)
    for shift in shifts:
        here = tuple(slice(max(0, -s), min(k, k - s)) for s, k in zip(shift, levels.shape, strict=True))
        there = tuple(slice(max(0, s), min(k, k + s)) for s, k in zip(shift, levels.shape, strict=True))
        both = inside[here] & inside[there]
        counts += np.bincount(levels[here][both] * n + levels[there][both], minlength=n * n)
    matrix = counts.reshape(n, n)
    return matrix + matrix.T


def _entropy(p: NDArray[np.float64]) -> float:
    seen = p[p > 0]
    return float(-(seen * np.log2(seen)).sum()) + 0.0


def haralick(counts: Counts) -> dict[str, float]:
    """The features of `FEATURES` of a symmetric co-occurrence matrix; levels count from 1.

    References
    ----------
    Haralick RM, et al. IEEE Trans Syst Man Cybern 1973;3:610. https://doi.org/10.1109/TSMC.1973.4309314
    Zwanenburg A, et al. Radiology 2020;295:328 (definitions). https://doi.org/10.1148/radiol.2020191145
    """
    p = counts / counts.sum()
    n = len(p)
    level = np.arange(1, n + 1, dtype=np.float64)
    i, j = level[:, None], level[None, :]
    single = p.sum(axis=1)
    mean = float(single @ level)
    variance = float(single @ (level - mean) ** 2)
    rows, columns = np.indices(p.shape)
    total: NDArray[np.float64] = np.bincount((rows + columns).ravel(), p.ravel()).astype(np.float64)
    gap: NDArray[np.float64] = np.bincount(np.abs(rows - columns).ravel(), p.ravel()).astype(np.float64)
    sums, gaps = np.arange(len(total)) + 2.0, np.arange(len(gap), dtype=np.float64)
    centred = i + j - 2 * mean
    entropy, single_entropy = _entropy(p), _entropy(single)
    # for a symmetric matrix both entropies of independence are twice that of one level
    alike = variance <= 0
    return {
        "energy": float((p**2).sum()),
        "entropy": entropy,
        "max_probability": float(p.max()),
        "contrast": float(gap @ gaps**2),
        "dissimilarity": float(gap @ gaps),
        "homogeneity": float(gap @ (1 / (1 + gaps**2))),
        "correlation": float("nan") if alike else float((p * (i - mean) * (j - mean)).sum() / variance),
        "autocorrelation": float((p * i * j).sum()),
        "cluster_shade": float((p * centred**3).sum()),
        "cluster_prominence": float((p * centred**4).sum()),
        "variance": variance,
        "sum_average": float(total @ sums),
        "sum_variance": float(total @ (sums - 2 * mean) ** 2),
        "sum_entropy": _entropy(total),
        "difference_variance": float(gap @ gaps**2 - (gap @ gaps) ** 2),
        "difference_entropy": _entropy(gap),
        "imc1": float("nan") if alike else (entropy - 2 * single_entropy) / single_entropy,
        "imc2": float(np.sqrt(max(0.0, 1 - np.exp(-2 * (2 * single_entropy - entropy))))),
    }


def texture_definitions(bin_width_ppb: float, distance_mm: float) -> dict[str, dict[str, str]]:
    """Meaning of every column of `texture_table`, for the JSON beside it."""
    columns = {
        "index": {"Description": "Value of the region in the label image"},
        "name": {"Description": "Name of the region"},
        "hemisphere": {"Description": "L: the person's left, R: the person's right, n/a: midline or both sides"},
    }
    for dimensions, where in ((3, "in the volume, all 13 directions"), (2, "within slices, all 4 directions")):
        columns[f"pairs_{dimensions}d"] = {"Description": f"Pairs of voxels that were counted, {where}", "Units": "1"}
        for name, text in FEATURES.items():
            columns[f"{name}_{dimensions}d"] = {
                "Description": f"{text}, of the co-occurrence matrix {where} together. Levels are {bin_width_ppb:g} "
                f"ppb wide and count from the region's lowest; pairs are about {distance_mm:g} mm apart",
                "DefinitionVersion": DEFINITION_VERSION,
            }
    return columns


def texture_table(
    labels: NDArray[np.integer[Any]],
    lookup: pd.DataFrame,
    mask: NDArray[np.bool_],
    voxel_size: Sequence[float],
    chi: NDArray[np.floating[Any]],
    *,
    bin_width_ppb: float = 10.0,
    distance_mm: float = 1.0,
) -> pd.DataFrame:
    """Texture of χ in every region of `lookup`, in three dimensions and within slices.

    Parameters
    ----------
    labels : (x, y, z) integer array
    lookup : table with the columns index, name, hemisphere
    mask : (x, y, z) bool array, where χ is known
    voxel_size : 3 floats [mm]
    chi : (x, y, z) array [ppm]
    bin_width_ppb : float [ppb]
        Width of a grey level: fixed, so that the numbers of two persons can be compared.
    distance_mm : float [mm]
        Distance of the two voxels of a pair; at least the shortest side of a voxel is taken.

    Returns
    -------
    table : one row a region, the columns of `texture_definitions`; NaN where there are fewer than 100 pairs

    References
    ----------
    Hwang EJ, et al. Med Phys 2016;43:4718 (texture of χ in Alzheimer's disease). https://doi.org/10.1118/1.4958959
    """
    distance = max(distance_mm, min(voxel_size))
    inside = np.where(mask, labels, 0)
    boxes = ndimage.find_objects(inside)
    table = lookup[["index", "name", "hemisphere"]].reset_index(drop=True)
    columns: dict[str, list[float]] = {
        name: [] for name in texture_definitions(bin_width_ppb, distance_mm) if name not in table
    }
    shifts = {dimensions: offsets(distance, voxel_size, dimensions=dimensions) for dimensions in (3, 2)}
    for index in table["index"]:
        box = boxes[index - 1] if index <= len(boxes) else None
        for dimensions in (3, 2):
            pairs, features = 0.0, dict.fromkeys(FEATURES, float("nan"))
            if box is not None:
                region = inside[box] == index
                level = np.floor(chi[box] * (1000 / bin_width_ppb)).astype(np.int64)
                level = np.where(region, level - level[region].min(), 0)
                counts = cooccurrence(level, region, shifts[dimensions])
                pairs = counts.sum() / 2
                features = haralick(counts) if pairs >= LEAST_PAIRS else features
            columns[f"pairs_{dimensions}d"].append(pairs)
            for name, value in features.items():
                columns[f"{name}_{dimensions}d"].append(value)
    return table.assign(**columns)
