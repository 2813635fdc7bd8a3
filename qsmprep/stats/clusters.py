"""Clusters of a statistic above a threshold: extent, mass, and a table with peaks and names of regions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "cluster", "sign", "voxels", "size_mm3", "mass", "peak_statistic", "peak_x", "peak_y", "peak_z", "region", "regions"
)  # fmt: skip


@dataclass(frozen=True)
class Clusters:
    """Connected voxels beyond a threshold, the two signs apart, the largest first.

    Attributes
    ----------
    labels : (v,) 1 to c, 0 outside
    sign : (c,) 1 or -1
    extent : (c,) voxels
    mass : (c,) sum of how far the statistic lies beyond the threshold
    """

    labels: NDArray[np.int32]
    sign: NDArray[np.int8]
    extent: NDArray[np.int64]
    mass: NDArray[np.float64]

    def maxima(self) -> dict[str, float]:
        """The largest extent and mass, 0 without a cluster."""
        return {
            "cluster_extent": float(self.extent.max(initial=0)),
            "cluster_mass": float(self.mass.max(initial=0)),
        }

    def spread(self, numbers: ArrayLike, outside: float) -> NDArray[np.float64]:
        """A number per cluster (c,) as a number per voxel (v,)."""
        return np.concatenate([[outside], np.asarray(numbers, np.float64)])[self.labels]


def find_clusters(
    statistic: NDArray[np.floating[Any]], table: NDArray[np.int32], threshold: float, *, two_sided: bool = True
) -> Clusters:
    """Clusters of voxels whose statistic is above `threshold` (or below its negative).

    Parameters
    ----------
    statistic : (v,); not finite is never above
    table : (v, k) which voxels touch, from `tfce.neighbours`
    threshold : above 0, in the unit of the statistic

    References
    ----------
    Bullmore ET et al. IEEE Trans Med Imaging 1999;18:32. https://doi.org/10.1109/42.750253
    """
    labels = np.zeros(len(statistic), np.int32)
    signs: list[int] = []
    for sign in (1, -1) if two_sided else (1,):
        with np.errstate(invalid="ignore"):
            above = sign * statistic > threshold
        more = _label(above, table)
        found = int(more.max(initial=0))
        labels[above] = more[above] + len(signs)
        signs += [sign] * found
    count = len(signs) + 1
    beyond = np.where(labels > 0, np.abs(statistic) - threshold, 0.0)
    extent = np.bincount(labels, minlength=count)[1:]
    mass = np.bincount(labels, beyond, count)[1:].astype(np.float64)
    order = np.argsort(-extent, kind="stable")
    rank = np.zeros(count, np.int32)
    rank[order + 1] = np.arange(1, count)
    return Clusters(rank[labels], np.array(signs, np.int8)[order], extent[order], mass[order])


@numba.njit(cache=True, nogil=True)
def _label(above, table):  # type: ignore[no-untyped-def]
    """Number the connected voxels, from 1."""
    labels = np.zeros(len(above), np.int32)
    waiting = np.empty(len(above), np.int32)
    number = 0
    for start in range(len(above)):
        if not above[start] or labels[start] > 0:
            continue
        number += 1
        labels[start] = number
        waiting[0] = start
        left = 1
        while left > 0:
            left -= 1
            voxel = waiting[left]
            for k in range(table.shape[1]):
                other = table[voxel, k]
                if other >= 0 and above[other] and labels[other] == 0:
                    labels[other] = number
                    waiting[left] = other
                    left += 1
    return labels


def cluster_table(
    clusters: Clusters,
    statistic: NDArray[np.floating[Any]],
    voxels: NDArray[np.integer[Any]],
    affine: NDArray[np.floating[Any]],
    atlas: NDArray[np.integer[Any]] | None = None,
    names: Mapping[int, str] | None = None,
    **lowest: NDArray[np.floating[Any]],
) -> pd.DataFrame:
    """One row a cluster, the largest first.

    Parameters
    ----------
    clusters : of `statistic` (v,)
    voxels : (v, 3) indices into the image
    affine : (4, 4) voxels to mm of the template
    atlas : (v,) label of each voxel, 0 outside
    names : of the labels
    **lowest : name of a column -> (v,) p-values of which the lowest in the cluster is told

    Returns
    -------
    table : size in mm3, peak in mm; `region` is that at the peak, `regions` those with 5 % of the cluster or more
    """
    import pandas as pd

    volume = abs(float(np.linalg.det(affine[:3, :3])))
    rows = []
    for number in range(1, len(clusters.extent) + 1):
        inside = np.flatnonzero(clusters.labels == number)
        peak = inside[np.argmax(np.abs(statistic[inside]))]
        where = affine[:3, :3] @ voxels[peak] + affine[:3, 3]
        labels = np.zeros(len(inside), int) if atlas is None else atlas[inside]
        row: dict[str, Any] = {
            "cluster": number,
            "sign": int(clusters.sign[number - 1]),
            "voxels": len(inside),
            "size_mm3": len(inside) * volume,
            "mass": clusters.mass[number - 1],
            "peak_statistic": float(statistic[peak]),
            **dict(zip(("peak_x", "peak_y", "peak_z"), where.round(1).tolist(), strict=True)),
            "region": "" if atlas is None else _name(int(atlas[peak]), names or {}),
            "regions": _shares(labels, names or {}),
        }
        rows.append(row | {name: float(np.min(p[inside])) for name, p in lowest.items()})
    return pd.DataFrame(rows, columns=[*COLUMNS, *lowest])


def _name(label: int, names: Mapping[int, str]) -> str:
    return names.get(label, f"label {label}") if label else ""


def _shares(labels: NDArray[np.integer[Any]], names: Mapping[int, str]) -> str:
    found, times = np.unique(labels[labels > 0], return_counts=True)
    order = np.argsort(-times, kind="stable")
    share = 100 * times / len(labels)
    return ", ".join(f"{_name(int(found[i]), names)} {share[i]:.0f} %" for i in order if share[i] >= 5)
