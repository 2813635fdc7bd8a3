"""Permutation inference on many voxels or regions at once: Freedman-Lane, uncorrected and family-wise p-values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qsmprep.machine import available_cpus
from qsmprep.stats.shuffling import Shuffles

Floats = NDArray[np.float64]
Maximum = Callable[[NDArray[np.float32]], Mapping[str, float]]
_TIE = 1e-5  # partial correlations nearer than this are equal: single precision, and ties of exhaustive permutations


@dataclass(frozen=True)
class Partition:
    """A model split into what is tested and what is not.

    Attributes
    ----------
    weights : (n, q) whose product with the data is the contrast's estimate
    tested : (n, q) orthonormal, orthogonal to `nuisance`
    nuisance : (n, k) orthonormal
    df : degrees of freedom of the residuals
    signed : whether the statistic is t; else it is F
    """

    weights: Floats
    tested: Floats
    nuisance: Floats
    df: int
    signed: bool


@dataclass(frozen=True)
class PermutationTest:
    """Statistic and p-values per voxel; NaN where a voxel is constant or not finite.

    Attributes
    ----------
    estimate, se : (v,) contrast of parameters and its standard error, in the data's unit; NaN for an F test
    statistic : (v,) t, or F of all rows of the contrast together
    name : "t" or "F"
    df : degrees of freedom, (residual,) or (contrast, residual)
    p : (v,) uncorrected, by permutation
    p_fwe : (v,) family-wise, by the maximum statistic
    maxima : name -> (k,) the maximum of each shuffle, the unshuffled first; "statistic" and those of `maximum`
    tested : (v,) voxels that could be tested
    exhaustive : whether all rearrangements were used
    """

    estimate: Floats
    se: Floats
    statistic: Floats
    name: str
    df: tuple[int, ...]
    p: Floats
    p_fwe: Floats
    maxima: Mapping[str, Floats]
    tested: NDArray[np.bool_]
    exhaustive: bool


def partition(design: ArrayLike, contrast: ArrayLike) -> Partition:
    """Split a model by a contrast, so that tested and nuisance columns are orthogonal.

    Parameters
    ----------
    design : (n, p)
    contrast : (p,) for t, (q, p) for F, also where q is 1

    Raises
    ------
    ValueError
        If the shapes do not fit, the contrast cannot be estimated, or no degree of freedom is left.

    References
    ----------
    Winkler AM et al. NeuroImage 2014;92:381. https://doi.org/10.1016/j.neuroimage.2014.01.060
    """
    model = np.asarray(design, np.float64)
    rows = np.atleast_2d(np.asarray(contrast, np.float64))
    if model.ndim != 2 or rows.shape[1] != model.shape[1]:
        raise ValueError(f"contrast has {rows.shape[1]} columns, design has the shape {model.shape}")
    inverse = np.linalg.pinv(model)
    if not np.allclose(rows @ inverse @ model, rows, atol=1e-8 * np.abs(rows).max()):
        raise ValueError("the contrast cannot be estimated: columns of the design are collinear")
    if np.linalg.matrix_rank(rows) < len(rows):
        raise ValueError("rows of the contrast depend on each other")
    weights = (rows @ inverse).T
    tested, upper = np.linalg.qr(weights)
    tested *= np.sign(np.diag(upper))
    svd: tuple[Floats, Floats, Floats] = np.linalg.svd(model - tested @ (tested.T @ model), full_matrices=False)
    nuisance = svd[0][:, svd[1] > 1e-10 * float(np.linalg.norm(model))]
    df = len(model) - len(rows) - nuisance.shape[1]
    if df < 1:
        raise ValueError(f"{len(model)} observations are too few for a model of {len(model) - df} parameters")
    return Partition(weights, tested, nuisance, df, np.ndim(contrast) < 2)


def permutation_test(
    values: NDArray[np.floating[Any]],
    design: ArrayLike,
    contrast: ArrayLike,
    shuffles: Shuffles,
    *,
    two_sided: bool = True,
    maximum: Maximum | None = None,
    workers: int | None = None,
    memory_gb: float = 0.5,
    progress: Callable[[int, int], None] | None = None,
) -> PermutationTest:
    """Test a contrast at every voxel after Freedman and Lane.

    The residuals of the nuisance model are formed once. A shuffle of them is tested by the projections onto the tested
    and the nuisance columns alone, so that many shuffles are one matrix product.

    Parameters
    ----------
    values : (n, v), any unit
    design : (n, p) model, with its intercept
    contrast : (p,) for t, (q, p) for F, also where q is 1
    shuffles : of the n observations
    two_sided : whether t counts by its size; F always does
    maximum : further statistics to correct by: takes the (v,) statistic of a shuffle, 0 where a voxel is not tested,
        and returns the maximum over voxels by name (cluster extent, TFCE, ...). Called from several threads
    workers : threads; None for the CPUs of this machine
    memory_gb : for all threads together, beyond 8 bytes a value
    progress : called with shuffles done and shuffles in all

    Raises
    ------
    ValueError
        If the model is not usable (see `partition`), or no voxel can be tested.

    References
    ----------
    Freedman D, Lane D. J Bus Econ Stat 1983;1:292. https://doi.org/10.2307/1391660
    """
    split = partition(design, contrast)
    values = np.asarray(values)
    if values.ndim != 2 or len(values) != len(split.tested) or shuffles.orders.shape[1] != len(values):
        raise ValueError(f"values {values.shape} do not fit {len(split.tested)} rows of the design and the shuffles")
    unit, scale, tested = _residuals(values, split)
    if not tested.any():
        raise ValueError("no voxel can be tested: all are constant or hold missing values")
    q, signed = split.tested.shape[1], split.signed
    observed = _association(unit, split, shuffles, slice(0, 1))[0]
    ranked = np.abs(observed) if two_sided or not signed else observed
    workers = workers or available_cpus()
    size = int(memory_gb * 1e9 / (workers * 4 * unit.shape[1] * (q + split.nuisance.shape[1] + 4)))
    size = min(max(1, size), 512)

    def batch(start: int) -> tuple[NDArray[np.intp], list[dict[str, float]]]:
        part = _association(unit, split, shuffles, slice(start, start + size))
        extra = [] if maximum is None else [dict(maximum(_statistic(row, split))) for row in part]
        part = np.abs(part) if two_sided or not signed else part
        tops = [{"statistic": float(row.max())} for row in part[:, tested]]
        more = extra or [{} for _ in tops]
        return np.count_nonzero(part >= ranked - np.float32(_TIE), axis=0), [
            top | other for top, other in zip(tops, more, strict=True)
        ]

    at_least = np.zeros(unit.shape[1], np.int64)
    tops: list[dict[str, float]] = []
    for counts, found in _in_order(batch, range(0, len(shuffles), size), workers):
        at_least += counts
        tops += found
        if progress is not None:
            progress(len(tops), len(shuffles))
    null = {name: np.array([top[name] for top in tops]) for name in tops[0]}
    p_fwe = fwe_p(ranked, null["statistic"], tie=_TIE)
    null["statistic"] = _statistic(null["statistic"], split).astype(np.float64)

    estimate, se, statistic = _exact(values, scale, split, tested)
    blank = np.where(tested, 1.0, np.nan)
    return PermutationTest(
        estimate, se, statistic, "t" if signed else "F", (split.df,) if signed else (q, split.df),
        blank * at_least / len(shuffles), blank * p_fwe, null, tested, shuffles.exhaustive,
    )  # fmt: skip


def fwe_p(observed: NDArray[Any], maxima: NDArray[Any], tie: float = 0.0) -> Floats:
    """Family-wise p-value: how many shuffles have a maximum as large as what was observed.

    Parameters
    ----------
    observed : any shape
    maxima : (k,) one a shuffle, the unshuffled included
    tie : smaller differences count as equal
    """
    ordered = np.sort(np.asarray(maxima, np.float64))
    below = np.searchsorted(ordered, np.asarray(observed, np.float64) - tie, side="left")
    return np.asarray((len(ordered) - below) / len(ordered), np.float64)


def _in_order(work: Callable[[int], Any], jobs: Iterable[int], workers: int) -> Iterator[Any]:
    if workers == 1:
        yield from map(work, jobs)
        return
    with ThreadPoolExecutor(workers) as pool:
        yield from pool.map(work, jobs)


def _residuals(values: NDArray[Any], split: Partition) -> tuple[NDArray[np.float32], Floats, NDArray[np.bool_]]:
    """Residuals of the nuisance model at unit norm (0 where not tested), their norm, and which voxels are tested."""
    data = values.astype(np.float64)
    finite = np.isfinite(data).all(axis=0)
    data[:, ~finite] = 0
    before = np.linalg.norm(data, axis=0)
    data -= split.nuisance @ (split.nuisance.T @ data)
    scale = np.linalg.norm(data, axis=0)
    tested = finite & (scale > 1e-6 * before)  # data in single precision: what is constant leaves its rounding
    data[:, ~tested] = 0
    data /= np.where(tested, scale, 1.0)
    return data.astype(np.float32), scale, tested


def _association(unit: NDArray[np.float32], split: Partition, shuffles: Shuffles, part: slice) -> NDArray[np.float32]:
    """Partial correlation (t), or multiple partial correlation (F), of every shuffle and voxel: (k, v)."""
    orders = shuffles.orders[part]
    n_tested, n = split.tested.shape[1], len(unit)
    basis = np.hstack([split.tested, split.nuisance]).T.astype(np.float32)
    if shuffles.signs is None:
        shuffled = np.broadcast_to(basis, (len(orders), *basis.shape))
    else:
        shuffled = basis * shuffles.signs[part][:, None, :]
    # the projections of shuffled data are those of the data onto columns shuffled the other way round
    weights = np.empty((len(orders), len(basis), n), np.float32)
    np.put_along_axis(weights, np.broadcast_to(orders[:, None, :], weights.shape), shuffled, axis=2)
    projected = (weights.reshape(-1, n) @ unit).reshape(len(orders), len(basis), -1)
    left = 1 - np.einsum("kbv,kbv->kv", projected[:, n_tested:], projected[:, n_tested:])
    np.maximum(left, 1e-12, out=left)
    if split.signed:
        return np.asarray(projected[:, 0] / np.sqrt(left))
    explained = np.einsum("kbv,kbv->kv", projected[:, :n_tested], projected[:, :n_tested])
    return np.asarray(np.sqrt(explained / left))


def _statistic(association: NDArray[Any], split: Partition) -> NDArray[Any]:
    """T or F from correlations."""
    rest = np.maximum(1 - association**2, 1e-12)
    if split.signed:
        return association * np.sqrt(split.df / rest)
    return association**2 * (split.df / split.tested.shape[1]) / rest


def _exact(
    values: NDArray[Any], scale: Floats, split: Partition, tested: NDArray[np.bool_]
) -> tuple[Floats, Floats, Floats]:
    """Estimate, standard error and statistic of the data as they are, in double precision."""
    data = np.where(tested, values, 0).astype(np.float64)
    projected = split.tested.T @ data
    explained = np.sum(projected**2, axis=0)
    error = np.maximum(scale**2 - explained, 0) / split.df
    missing = np.full(len(scale), np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        if not split.signed:
            return missing, missing, np.where(tested, explained / split.tested.shape[1] / error, np.nan)
        length = float(np.linalg.norm(split.weights))
        estimate = np.where(tested, projected[0] * length, np.nan)
        se = np.where(tested, np.sqrt(error) * length, np.nan)
        return estimate, se, np.where(tested, projected[0] / np.sqrt(error), np.nan)
