"""ROMEO: region growing along the most reliable edges, for single and multi-echo phase.

An edge joins two neighbouring voxels. Its weight is the product of three coherences (phase, phase gradient between two
echoes, magnitude), each 1 for a step that is certainly no wrap. Regions grow from the best voxel of every connected
part of the mask, always along the best edge at hand. Later echoes follow from the first by their echo times.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from .._grid import Bool, Float, as_echo_times, as_echoes, as_mask, mask_box

TWO_PI = 2 * np.pi


@numba.njit(inline="always")
def _wrap(angle):  # type: ignore[no-untyped-def]
    return angle - np.float32(TWO_PI) * np.rint(angle / np.float32(TWO_PI))


@numba.njit(parallel=True, cache=True)
def _edge_weights(phase, other, te_ratio, magnitude, mask, has_other, has_magnitude):  # type: ignore[no-untyped-def]
    """Weights 1..255 of the edges to the next voxel along x, y and z; 0 where there is no edge."""
    nx, ny, nz = phase.shape
    weights = np.zeros((3, nx, ny, nz), np.uint8)
    for x in numba.prange(nx):
        for y in range(ny):
            for z in range(nz):
                if not mask[x, y, z]:
                    continue
                for d in range(3):
                    u, v, w = x + (d == 0), y + (d == 1), z + (d == 2)
                    if u >= nx or v >= ny or w >= nz or not mask[u, v, w]:
                        continue
                    step = _wrap(phase[u, v, w] - phase[x, y, z])
                    quality = 1.0 - abs(step) / np.pi
                    if has_other:
                        second = _wrap(other[u, v, w] - other[x, y, z])
                        quality *= max(0.0, 1.0 - abs(step - second * te_ratio))
                    if has_magnitude:
                        a, b = magnitude[x, y, z], magnitude[u, v, w]
                        if max(a, b) > 0:
                            quality *= (min(a, b) / max(a, b)) ** 2
                        else:
                            quality = 0.0
                    weights[d, x, y, z] = max(1, int(255.0 * quality + 0.5))
    return weights


@numba.njit(parallel=True, cache=True)
def _edge_sum(weights):  # type: ignore[no-untyped-def]
    """Sum over the six edges of every voxel."""
    _, nx, ny, nz = weights.shape
    total = np.zeros((nx, ny, nz), np.uint16)
    for x in numba.prange(nx):
        for y in range(ny):
            for z in range(nz):
                s = int(weights[0, x, y, z]) + int(weights[1, x, y, z]) + int(weights[2, x, y, z])
                if x > 0:
                    s += int(weights[0, x - 1, y, z])
                if y > 0:
                    s += int(weights[1, x, y - 1, z])
                if z > 0:
                    s += int(weights[2, x, y, z - 1])
                total[x, y, z] = s
    return total


@numba.njit(cache=True)
def _grow(phase, weights, strides, seeds):  # type: ignore[no-untyped-def]
    """Unwrap flat arrays whose outermost voxels carry no edge.

    The queue is 256 stacks, one per weight, of edges chained through `below`: an edge enters at most once.
    Returns the turns [2π] to add, the voxels in the order of their visit, and where each connected part begins in it.
    """
    n = phase.size
    turns = np.zeros(n, np.int32)
    seen = np.zeros(n, np.bool_)
    top = np.full(256, -1, np.int64)
    below = np.empty(3 * n, np.int32)
    order = np.empty(seeds.size, np.int32)
    begins = [0]
    count = 0
    for seed in seeds:
        if seen[seed]:
            continue
        if count > 0:
            begins.append(count)
        seen[seed] = True
        order[count] = seed
        count += 1
        voxel = np.int64(seed)
        best = np.int64(0)
        while True:
            for d in range(3):
                for low in (voxel, voxel - strides[d]):
                    w = weights[d, low]
                    if w == 0 or seen[2 * low + strides[d] - voxel]:
                        continue
                    edge = d * n + low
                    below[edge] = top[w]
                    top[w] = edge
                    if w > best:
                        best = w
            found = False
            while best > 0 and not found:
                edge = top[best]
                if edge < 0:
                    best -= 1
                    continue
                top[best] = below[edge]
                d = edge // n
                low = edge - d * n
                high = low + strides[d]
                if seen[low] and seen[high]:
                    continue
                voxel, old = (high, low) if seen[low] else (low, high)
                known = phase[old] + np.float32(TWO_PI) * turns[old]
                turns[voxel] = np.int32(np.rint((known - phase[voxel]) / np.float32(TWO_PI)))
                seen[voxel] = True
                order[count] = voxel
                count += 1
                found = True
            if not found:
                break
    begins.append(count)
    return turns, order, np.array(begins)


@numba.njit(cache=True)
def _shift_parts(turns, excess, order, begins):  # type: ignore[no-untyped-def]
    """Turn every connected part as a whole, so that its median of `excess` [2π] comes within half a turn of 0."""
    for i in range(begins.size - 1):
        part = order[begins[i] : begins[i + 1]]
        shift = np.int32(np.rint(np.median(excess[part])))
        if shift != 0:
            for voxel in part:
                turns[voxel] -= shift


@numba.njit(parallel=True, cache=True)
def _follow(echoes, magnitude, mask, te, template):  # type: ignore[no-untyped-def]
    """Unwrap the other echoes in place, outwards from the template, by the slope of the echoes already done."""
    n_echoes = te.size
    for x in numba.prange(echoes.shape[0]):
        for y in range(echoes.shape[1]):
            for z in range(echoes.shape[2]):
                if not mask[x, y, z]:
                    continue
                weight = magnitude[x, y, z, template] ** 2 + np.float32(1e-30)
                top = weight * te[template] * echoes[x, y, z, template]
                bottom = weight * te[template] ** 2
                for i in range(1, n_echoes):
                    e = template + i if template + i < n_echoes else n_echoes - 1 - i
                    near = e - 1 if e > template else e + 1
                    expected = echoes[x, y, z, near] + top / bottom * (te[e] - te[near])
                    turns = np.rint((expected - echoes[x, y, z, e]) / TWO_PI)
                    echoes[x, y, z, e] += np.float32(TWO_PI * turns)
                    weight = magnitude[x, y, z, e] ** 2 + np.float32(1e-30)
                    top += weight * te[e] * echoes[x, y, z, e]
                    bottom += weight * te[e] ** 2


def _bordered(volume: NDArray[Any], box: tuple[slice, slice, slice]) -> NDArray[Any]:
    """The box of a volume, with one voxel of zeros around it so that no neighbour lies outside the array."""
    return np.pad(volume[box], 1)


class _Spatial:
    """One echo, unwrapped in space inside the box of the mask."""

    def __init__(self, phase: Float, other: Float | None, te_ratio: float, magnitude: Float | None, mask: Bool) -> None:
        self.box = mask_box(mask)
        inside = _bordered(mask, self.box)
        self.shape = inside.shape
        wrapped = _bordered(phase, self.box)
        second = wrapped if other is None else _bordered(other, self.box)
        strength = wrapped if magnitude is None else _bordered(magnitude, self.box)
        weights = _edge_weights(wrapped, second, te_ratio, strength, inside, other is not None, magnitude is not None)
        voxels = np.flatnonzero(inside)
        # best voxel first; a stable sort keeps the choice among equals, and so the result, reproducible
        quality = _edge_sum(weights).ravel()[voxels]
        seeds = voxels[np.argsort(np.uint16(65535) - quality, kind="stable")]
        strides = np.array([self.shape[1] * self.shape[2], self.shape[2], 1])
        self.phase = wrapped.ravel()
        self.turns, self.order, self.begins = _grow(self.phase, weights.reshape(3, -1), strides, seeds)
        self.shift(np.zeros_like(self.phase))

    def shift(self, expected: NDArray[np.float32]) -> None:
        """Add whole turns to each connected part until its median is nearest to `expected` [rad]."""
        excess = self.turns + ((self.phase - expected) / TWO_PI).astype(np.float32)
        _shift_parts(self.turns, excess, self.order, self.begins)

    def result(self, shape: tuple[int, ...]) -> Float:
        unwrapped = np.zeros_like(self.phase)
        unwrapped[self.order] = self.phase[self.order] + np.float32(TWO_PI) * self.turns[self.order]
        whole = np.zeros(shape, np.float32)
        whole[self.box] = unwrapped.reshape(self.shape)[1:-1, 1:-1, 1:-1]
        return whole


def _prepare(
    phase: NDArray[np.generic],
    magnitude: NDArray[np.generic] | None,
    mask: NDArray[np.generic] | None,
    te: Sequence[float],
) -> tuple[Float, Float | None, Bool, NDArray[np.float64]]:
    echoes = as_echoes(phase, "phase")
    strength = None if magnitude is None else as_echoes(magnitude, "magnitude", echoes.shape)
    flags = np.ones(echoes.shape[:3], bool) if mask is None else as_mask(mask, echoes.shape[:3])
    return echoes, strength, flags, as_echo_times(te, echoes.shape[3])


def _neighbour(echo: int, n_echoes: int) -> int | None:
    """The echo that the phase gradient is compared with."""
    if n_echoes == 1:
        return None
    return echo + 1 if echo + 1 < n_echoes else echo - 1


def _spatial(echoes: Float, strength: Float | None, flags: Bool, times: NDArray[np.float64], echo: int) -> _Spatial:
    other = _neighbour(echo, times.size)
    return _Spatial(
        echoes[..., echo],
        None if other is None else echoes[..., other],
        1.0 if other is None else float(times[echo] / times[other]),
        None if strength is None else strength[..., echo],
        flags,
    )


def unwrap_volume(phase: Float, magnitude: Float | None, mask: Bool) -> Float:
    """Unwrap a single (x, y, z) phase image [rad] in space; each connected part has its median within ±π."""
    return _Spatial(phase, None, 1.0, magnitude, mask).result(phase.shape)


def unwrap_romeo(
    phase: NDArray[np.generic],
    magnitude: NDArray[np.generic] | None,
    mask: NDArray[np.generic],
    te: Sequence[float],
    *,
    template: int = 0,
    individual: bool = False,
) -> Float:
    """Unwrap multi-echo phase with ROMEO.

    The result differs from `phase` by whole turns. Whole turns that a connected part of the mask could take are
    chosen so that the median of its first unwrapped echo lies within ±π: the scanner's shim makes this the likely one.

    Parameters
    ----------
    phase : (x, y, z, echo) array [rad]
        Free of phase offsets (see `mcpc3ds`): the phase at TE 0 is taken as 0.
    magnitude : (x, y, z, echo) array or None
        None leaves magnitude coherence out.
    mask : (x, y, z) bool array
    te : echo times [s], ascending
    template : int
        Echo that is unwrapped in space; the others follow from it in time.
    individual : bool
        Unwrap every echo in space instead, then set only whole turns of connected parts between echoes.

    Returns
    -------
    unwrapped : (x, y, z, echo) float32 array [rad], 0 outside `mask`

    Raises
    ------
    ValueError
        If shapes differ, the mask is empty, echo times are not ascending or `template` is no echo.

    References
    ----------
    Dymerska B, et al. Magn Reson Med 2021;85:2294. https://doi.org/10.1002/mrm.28563
    """
    echoes, strength, flags, times = _prepare(phase, magnitude, mask, te)
    if not 0 <= template < times.size:
        raise ValueError(f"template echo {template} is none of the {times.size} echoes")
    first = _spatial(echoes, strength, flags, times, template).result(flags.shape)
    unwrapped = np.where(flags[..., None], echoes, np.float32(0))
    unwrapped[..., template] = first
    if not individual:
        weights = np.ones_like(echoes) if strength is None else strength
        _follow(unwrapped, weights, flags, times, template)
        return unwrapped
    for echo in range(times.size):
        if echo == template:
            continue
        grown = _spatial(echoes, strength, flags, times, echo)
        expected = (first * np.float32(times[echo] / times[template])).astype(np.float32)
        grown.shift(_bordered(expected, grown.box).ravel())
        unwrapped[..., echo] = grown.result(flags.shape)
    return unwrapped


def voxel_quality(
    phase: NDArray[np.generic],
    magnitude: NDArray[np.generic] | None,
    te: Sequence[float],
    mask: NDArray[np.generic] | None = None,
    *,
    template: int = 0,
) -> Float:
    """How reliable the phase of each voxel is: the mean ROMEO weight of its six edges.

    Parameters
    ----------
    phase : (x, y, z, echo) array [rad]
    magnitude : (x, y, z, echo) array or None
    te : echo times [s], ascending
    mask : (x, y, z) bool array, optional
        Edges that leave it count as 0. Default: the whole volume.
    template : int
        Echo whose edges are rated.

    Returns
    -------
    quality : (x, y, z) float32 array from 0 (noise) to 1 (certain)

    Raises
    ------
    ValueError
        If shapes differ, the mask is empty or echo times are not ascending.

    References
    ----------
    Dymerska B, et al. Magn Reson Med 2021;85:2294. https://doi.org/10.1002/mrm.28563
    """
    echoes, strength, flags, times = _prepare(phase, magnitude, mask, te)
    other = _neighbour(template, times.size)
    wrapped = np.ascontiguousarray(echoes[..., template])
    weights = _edge_weights(
        wrapped,
        wrapped if other is None else np.ascontiguousarray(echoes[..., other]),
        1.0 if other is None else float(times[template] / times[other]),
        wrapped if strength is None else np.ascontiguousarray(strength[..., template]),
        flags,
        other is not None,
        strength is not None,
    )
    # voxels at the volume's edge have fewer than six neighbours
    edges = np.full(flags.shape, 6, np.uint8)
    for axis in range(3):
        for end in (0, -1):
            edges[(slice(None),) * axis + (end,)] -= 1
    # an edge in the mask never weighs less than 1/255, so that it stays an edge: take that floor off again
    mean = _edge_sum(weights) / np.maximum(edges, 1).astype(np.float32)
    return np.clip((mean - 1) / 254, 0, 1).astype(np.float32)
