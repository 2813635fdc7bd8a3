"""Region growing along the most reliable edges, in space.

An edge joins two neighbouring voxels. Its weight is the product of three coherences (phase, phase gradient between two
echoes, magnitude), each 1 for a step that is certainly no wrap. Regions grow from the best voxel of every connected
part of the mask, always along the best edge at hand.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from .._grid import Bool, Float, mask_box

TWO_PI = 2 * np.pi


class Coherences(NamedTuple):
    """What the weight of an edge looks at."""

    phase: bool = True
    gradient: bool = True
    magnitude: bool = True


@numba.njit(inline="always")
def _wrap(angle):  # type: ignore[no-untyped-def]
    return angle - np.float32(TWO_PI) * np.rint(angle / np.float32(TWO_PI))


@numba.njit(parallel=True, cache=True)
def edge_weights(phase, other, te_ratio, magnitude, mask, use):  # type: ignore[no-untyped-def]
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
                    quality = 1.0 - abs(step) / np.pi if use[0] else 1.0
                    if use[1]:
                        second = _wrap(other[u, v, w] - other[x, y, z])
                        quality *= max(0.0, 1.0 - abs(step - second * te_ratio))
                    if use[2]:
                        a, b = magnitude[x, y, z], magnitude[u, v, w]
                        if max(a, b) > 0:
                            quality *= (min(a, b) / max(a, b)) ** 2
                        else:
                            quality = 0.0
                    weights[d, x, y, z] = max(1, int(255.0 * quality + 0.5))
    return weights


@numba.njit(parallel=True, cache=True)
def edge_sum(weights):  # type: ignore[no-untyped-def]
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


def bordered(volume: NDArray[Any], box: tuple[slice, slice, slice]) -> NDArray[Any]:
    """The box of a volume, with one voxel of zeros around it so that no neighbour lies outside the array."""
    return np.pad(volume[box], 1)


class Spatial:
    """One echo, unwrapped in space inside the box of the mask."""

    def __init__(
        self, phase: Float, other: Float | None, te_ratio: float, magnitude: Float | None, mask: Bool, use: Coherences
    ) -> None:
        self.box = mask_box(mask)
        inside = bordered(mask, self.box)
        self.shape = inside.shape
        wrapped = bordered(phase, self.box)
        second = wrapped if other is None else bordered(other, self.box)
        strength = wrapped if magnitude is None else bordered(magnitude, self.box)
        flags = (use.phase, use.gradient and other is not None, use.magnitude and magnitude is not None)
        weights = edge_weights(wrapped, second, te_ratio, strength, inside, flags)
        voxels = np.flatnonzero(inside)
        # best voxel first; a stable sort keeps the choice among equals, and so the result, reproducible
        quality = edge_sum(weights).ravel()[voxels]
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
