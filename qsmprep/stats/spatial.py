"""A contrast at every voxel of a volume, family-wise by peak, by clusters and by threshold-free cluster enhancement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qsmprep.stats.clusters import Clusters, find_clusters
from qsmprep.stats.permutation import PermutationTest, fwe_p, partition, permutation_test
from qsmprep.stats.shuffling import Shuffles
from qsmprep.stats.tfce import tfce

Floats = NDArray[np.float64]
_TIE = 1e-4  # of what was observed: sums in single precision that are nearer than this are equal


@dataclass(frozen=True)
class SpatialTest:
    """Statistics of the voxels, their clusters, and family-wise p-values of both.

    Attributes
    ----------
    voxels : statistic and p-values per voxel; `p_fwe` is by the peak
    threshold : of the statistic (t: of its size) that forms the clusters
    clusters : of t the two signs apart, of F above the threshold
    enhanced : (v,) by threshold-free cluster enhancement of t (negative where t is), or of the square root of F
    p_extent, p_mass : (c,) of the clusters
    p_tfce : (v,)
    """

    voxels: PermutationTest
    threshold: float
    clusters: Clusters
    enhanced: Floats
    p_extent: Floats
    p_mass: Floats
    p_tfce: Floats


def spatial_test(
    values: NDArray[np.floating[Any]],
    design: ArrayLike,
    contrast: ArrayLike,
    shuffles: Shuffles,
    table: NDArray[np.int32],
    cluster_p: float,
    *,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> SpatialTest:
    """Test a contrast by permutation and correct it over the voxels in four ways.

    F is enhanced as its square root, which for one row is |t|: the exponents of `tfce` are meant for that scale. On F
    itself they make height count so much that fewer voxels of a wide difference are found.

    Parameters
    ----------
    values : (n, v), any unit
    design : (n, p) model, with its intercept
    contrast : (p,) for t, two-sided; (q, p) for F
    shuffles : of the n observations
    table : (v, k) which voxels touch, from `tfce.neighbours`
    cluster_p : p-value that forms the clusters, two-sided for t
    workers, progress : as `permutation_test` has them

    Raises
    ------
    ValueError
        If the model is not usable, or no voxel can be tested (see `permutation_test`).

    References
    ----------
    Winkler AM et al. NeuroImage 2014;92:381. https://doi.org/10.1016/j.neuroimage.2014.01.060
    """
    from scipy import stats

    split = partition(design, contrast)
    if split.signed:
        threshold = float(stats.t.isf(cluster_p / 2, split.df))
    else:
        threshold = float(stats.f.isf(cluster_p, split.tested.shape[1], split.df))

    def enhance(statistic: NDArray[Any]) -> Floats:
        if split.signed:
            return tfce(statistic, table)
        return tfce(np.sqrt(statistic), table, two_sided=False)

    def clusters_of(statistic: NDArray[Any]) -> Clusters:
        return find_clusters(statistic, table, threshold, two_sided=split.signed)

    def maximum(statistic: NDArray[np.float32]) -> dict[str, float]:
        return clusters_of(statistic).maxima() | {"tfce": float(np.abs(enhance(statistic)).max(initial=0))}

    test = permutation_test(values, design, contrast, shuffles, workers=workers, maximum=maximum, progress=progress)
    clusters, enhanced = clusters_of(test.statistic), enhance(test.statistic)

    def corrected(observed: NDArray[Any], name: str) -> Floats:
        return fwe_p(observed, test.maxima[name], tie=_TIE * test.maxima[name][0])

    return SpatialTest(
        test, threshold, clusters, enhanced,
        p_extent=fwe_p(clusters.extent, test.maxima["cluster_extent"]),
        p_mass=corrected(clusters.mass, "cluster_mass"),
        p_tfce=corrected(np.abs(enhanced), "tfce"),
    )  # fmt: skip
