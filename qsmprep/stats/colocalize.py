"""Whether two maps go together: across persons at each place, and across places within persons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qsmprep.stats.permutation import fwe_p
from qsmprep.stats.shuffling import Shuffles

Floats = NDArray[np.float64]
_TIE = 1e-5
_FRACTIONS = tuple(round(0.1 * k, 1) for k in range(1, 10))
_BINS = 25
_NEAR = 0.25  # share of all distances that the variogram looks at


@dataclass(frozen=True)
class Across:
    """Partial correlation over persons at each place; NaN where one of the maps is constant or not finite.

    Attributes
    ----------
    r : (v,)
    p, p_fwe : (v,) two-sided by permutation, uncorrected and by the largest |r| of all places
    df : degrees of freedom
    """

    r: Floats
    p: Floats
    p_fwe: Floats
    df: int


def across_persons(first: NDArray[Any], second: NDArray[Any], nuisance: ArrayLike, shuffles: Shuffles) -> Across:
    """Correlate two maps over persons at each voxel or region, adjusted for the columns of `nuisance`.

    The second map is a regressor that differs from place to place; residuals of the first are shuffled after Freedman
    and Lane.

    Parameters
    ----------
    first, second : (n, v)
    nuisance : (n, k), with the intercept
    shuffles : of the n persons, without sign flips

    Raises
    ------
    ValueError
        If shapes do not fit or too few persons are there.

    References
    ----------
    Casanova R et al. NeuroImage 2007;34:137. https://doi.org/10.1016/j.neuroimage.2006.09.011
    Freedman D, Lane D. J Bus Econ Stat 1983;1:292. https://doi.org/10.2307/1391660
    """
    model = np.asarray(nuisance, np.float64)
    if np.shape(first) != np.shape(second) or len(model) != len(first):
        raise ValueError(f"maps of {np.shape(first)} and {np.shape(second)} do not fit a model of {len(model)} rows")
    basis = np.linalg.svd(model, full_matrices=False)[0][:, : int(np.linalg.matrix_rank(model))]
    df = len(model) - basis.shape[1] - 1
    if df < 1:
        raise ValueError(f"{len(model)} participants are too few to correlate after {basis.shape[1]} columns")
    a, fine_a = _unit_residuals(first, basis)
    b, fine_b = _unit_residuals(second, basis)
    fine = fine_a & fine_b
    if not fine.any():
        raise ValueError("at no place do both maps vary between the participants")
    a[:, ~fine] = 0
    tops, at_least = np.empty(len(shuffles)), np.zeros(a.shape[1], np.int64)
    observed = np.abs(np.einsum("nv,nv->v", a, b))
    for k, order in enumerate(shuffles.orders):
        moved = a[order]
        left = np.maximum(1 - np.sum((basis.T @ moved) ** 2, axis=0), 1e-12)
        size = np.abs(np.einsum("nv,nv->v", moved, b)) / np.sqrt(left)
        tops[k] = size.max()
        at_least += size >= observed - _TIE
    blank = np.where(fine, 1.0, np.nan)
    r = blank * np.einsum("nv,nv->v", a, b)
    return Across(r, blank * at_least / len(shuffles), blank * fwe_p(observed, tops, _TIE), df)


def _unit_residuals(values: NDArray[Any], basis: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    data = np.array(values, np.float64)
    finite = np.isfinite(data).all(axis=0)
    data[:, ~finite] = 0
    before = np.linalg.norm(data, axis=0)
    data -= basis @ (basis.T @ data)
    scale = np.linalg.norm(data, axis=0)
    fine = finite & (scale > 1e-6 * before)
    return data / np.where(fine, scale, 1.0), fine


def spatial_correlation(first: ArrayLike, second: ArrayLike) -> Floats:
    """Pearson correlation over places of each row of `first` (n, v) with that of `second`, (n, v) or (v,): (n,)."""
    a, b = np.atleast_2d(np.asarray(first, np.float64)), np.atleast_2d(np.asarray(second, np.float64))
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    scale = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.sum(a * b, axis=1) / scale)


def surrogate_test(
    first: NDArray[Any], second: NDArray[Any], places: NDArray[Any], count: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Whether maps of persons go with one map over places more than their smoothness makes them.

    Parameters
    ----------
    first : (n, v) one map a person
    second : (v,) such as the mean of the other map
    places : (v, 3) where they are [mm]
    count : surrogates of the second map

    Returns
    -------
    r : correlation, averaged over persons by Fisher's z
    p : two-sided, by surrogates
    """
    drawn = surrogate_maps(second, places, count, seed)

    def mean_z(one: NDArray[Any]) -> float:
        return float(np.mean(np.arctanh(np.clip(spatial_correlation(first, one), -1 + 1e-12, 1 - 1e-12))))

    observed = mean_z(second)
    null = np.array([mean_z(one) for one in drawn])
    return float(np.tanh(observed)), float((1 + np.sum(np.abs(null) >= abs(observed))) / (1 + count))


def surrogate_maps(
    values: NDArray[Any],
    places: NDArray[Any],
    count: int = 1000,
    seed: int = 0,
    fractions: Sequence[float] = _FRACTIONS,
) -> Floats:
    """Random maps with the values and the spatial autocorrelation of a given one.

    Values are shuffled over the places and smoothed over the nearest ones; of several numbers of neighbours the one is
    taken whose variogram, scaled and with white noise added, is nearest to that of the map. The ranks of the result are
    given the map's own values.

    Parameters
    ----------
    values : (v,)
    places : (v, d) coordinates; all pairs are looked at, so that v should not pass about a thousand
    count : maps wanted
    fractions : of the places that are smoothed over

    Returns
    -------
    maps : (count, v)

    Raises
    ------
    ValueError
        If there are fewer than ten places, or the map is constant or not finite.

    References
    ----------
    Burt JB et al. NeuroImage 2020;220:117038. https://doi.org/10.1016/j.neuroimage.2020.117038
    """
    values = np.asarray(values, np.float64)
    if len(values) < 10 or not np.isfinite(values).all() or np.ptp(values) == 0:
        raise ValueError("surrogates need ten places or more with finite values that differ")
    rng = np.random.default_rng(seed)
    distance = np.linalg.norm(places[:, None] - np.asarray(places, np.float64)[None], axis=-1)
    variogram = _Variogram(distance)
    target = variogram(values[None])[0]
    kernels = [_kernel(distance, max(2, int(fraction * len(values)))) for fraction in fractions]
    ordered, out = np.sort(values), np.empty((count, len(values)))
    for start in range(0, count, 50):
        size = min(50, count - start)
        shuffled = rng.permuted(np.tile(values, (size, 1)), axis=1)
        best, chosen = np.full(size, np.inf), np.empty_like(shuffled)
        for kernel in kernels:
            smooth = shuffled @ kernel.T
            found = variogram(smooth)
            centred = found - found.mean(axis=1, keepdims=True)
            slope = centred @ (target - target.mean()) / np.maximum(np.sum(centred**2, axis=1), 1e-300)
            offset = target.mean() - slope * found.mean(axis=1)
            error = np.sum((slope[:, None] * found + offset[:, None] - target) ** 2, axis=1)
            noise = rng.standard_normal(smooth.shape)
            made = np.sqrt(np.abs(slope))[:, None] * smooth + np.sqrt(np.abs(offset))[:, None] * noise
            better = error < best
            best[better], chosen[better] = error[better], made[better]
        out[start : start + size] = ordered[np.argsort(np.argsort(chosen, axis=1), axis=1)]
    return out


def _kernel(distance: Floats, near: int) -> Floats:
    """Weights of the nearest places, which fall exponentially with the distance; rows sum to 1."""
    reach = np.sort(distance, axis=1)[:, near - 1 : near]
    weights = np.where(distance <= reach, np.exp(-distance / np.maximum(reach, 1e-12)), 0)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


class _Variogram:
    """Half the mean squared difference at each of some distances, smoothed over distances."""

    def __init__(self, distance: Floats) -> None:
        i, j = np.triu_indices(len(distance), 1)
        far = float(np.quantile(distance[i, j], _NEAR))
        near = distance[i, j] <= far
        self.i, self.j = i[near], j[near]
        pairs = distance[self.i, self.j]
        lags = np.linspace(pairs.min(), far, _BINS)
        width = 3 * max(lags[1] - lags[0], 1e-12)
        weights = np.exp(-((2.68 * (lags[:, None] - pairs[None]) / width) ** 2) / 2)
        self.weights = weights / weights.sum(axis=1, keepdims=True)

    def __call__(self, maps: Floats) -> Floats:
        """Of each row: (k, lags)."""
        return np.asarray((0.5 * (maps[:, self.i] - maps[:, self.j]) ** 2) @ self.weights.T)
