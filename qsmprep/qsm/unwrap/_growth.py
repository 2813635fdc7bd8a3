"""Region growing along the most reliable edges, in space.

An edge joins two neighbouring voxels. Its weight is the product of three coherences (phase, phase gradient between two
echoes, magnitude), each 1 for a step that is certainly no wrap. Regions grow from the best voxel of every connected
part of the mask, always along the best edge at hand.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from .._grid import Bool, Float

TWO_PI = 2 * np.pi
CERTAIN = 160
"""Edges that weigh at least this much count alike in the queue.

A product of coherences above 0.5 means a step below a quarter turn, so that no four such edges around a face can
disagree: in which order they are taken makes no difference there. To take them as they come keeps the path local in
memory, which is six times as fast.
"""


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
    """Weights 1..255 of the edges to the next voxel along x, y and z, (x, y, z, 4); 0 where there is no edge.

    The fourth column is 0: `_grow` marks there what it has visited.
    """
    nx, ny, nz = phase.shape
    weights = np.zeros((nx, ny, nz, 4), np.uint8)
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
                    weights[x, y, z, d] = max(1, int(255.0 * quality + 0.5))
    return weights


@numba.njit(parallel=True, cache=True)
def edge_sum(weights):  # type: ignore[no-untyped-def]
    """Sum over the six edges of every voxel."""
    nx, ny, nz, _ = weights.shape
    total = np.zeros((nx, ny, nz), np.uint16)
    for x in numba.prange(nx):
        for y in range(ny):
            for z in range(nz):
                s = int(weights[x, y, z, 0]) + int(weights[x, y, z, 1]) + int(weights[x, y, z, 2])
                if x > 0:
                    s += int(weights[x - 1, y, z, 0])
                if y > 0:
                    s += int(weights[x, y - 1, z, 1])
                if z > 0:
                    s += int(weights[x, y, z - 1, 2])
                total[x, y, z] = s
    return total


@numba.njit(cache=True)
def _grow(phase, edges, strides, seeds, certain):  # type: ignore[no-untyped-def]
    """Unwrap flat arrays whose outermost voxels carry no edge.

    `edges` (voxel, 4) holds the weights of a voxel's edges to the next one along x, y and z, and is marked in its last
    column once the voxel was visited: what a visit reads lies side by side in memory. The queue is 256 stacks, one per
    weight, of edges chained through `below`: an edge enters at most once.
    Returns the turns [2π] to add, the voxels in the order of their visit, and where each connected part begins in it.
    """
    n = phase.size
    turns = np.zeros(n, np.int32)
    top = np.full(256, -1, np.int32)
    below = np.empty(4 * n, np.int32)
    order = np.empty(seeds.size, np.int32)
    begins = [0]
    count = 0
    for seed in seeds:
        if edges[seed, 3]:
            continue
        if count > 0:
            begins.append(count)
        edges[seed, 3] = 1
        order[count] = seed
        count += 1
        voxel = np.int64(seed)
        best = np.int64(0)
        while True:
            for d in range(3):
                for low in (voxel, voxel - strides[d]):
                    w = edges[low, d]
                    if w == 0 or edges[2 * low + strides[d] - voxel, 3]:
                        continue
                    w = min(w, certain)
                    edge = 4 * low + d
                    below[edge] = top[w]
                    top[w] = edge
                    if w > best:
                        best = np.int64(w)
            found = False
            while best > 0 and not found:
                edge = np.int64(top[best])
                if edge < 0:
                    best -= 1
                    continue
                top[best] = below[edge]
                low = edge >> 2
                high = low + strides[edge & 3]
                if edges[low, 3] and edges[high, 3]:
                    continue
                voxel, old = (high, low) if edges[low, 3] else (low, high)
                known = phase[old] + np.float32(TWO_PI) * turns[old]
                turns[voxel] = np.int32(np.rint((known - phase[voxel]) / np.float32(TWO_PI)))
                edges[voxel, 3] = 1
                order[count] = voxel
                count += 1
                found = True
            if not found:
                break
    begins.append(count)
    return turns, order, np.array(begins)


@numba.njit(cache=True)
def _shift_parts(turns, phase, expected, order, begins):  # type: ignore[no-untyped-def]
    """Turn every connected part as a whole, so that its median comes within half a turn of what is expected."""
    for i in range(begins.size - 1):
        part = order[begins[i] : begins[i + 1]]
        excess = turns[part] + (phase[part] - expected[part]) / np.float32(TWO_PI)
        shift = np.int32(np.rint(np.median(excess)))
        if shift != 0:
            for voxel in part:
                turns[voxel] -= shift


class Spatial:
    """One echo, unwrapped in space.

    All volumes have a border that is not in the mask, so that no neighbour lies outside the array.
    """

    def __init__(
        self, phase: Float, other: Float | None, te_ratio: float, magnitude: Float | None, mask: Bool, use: Coherences
    ) -> None:
        flags = (use.phase, use.gradient and other is not None, use.magnitude and magnitude is not None)
        second, strength = (phase if volume is None else volume for volume in (other, magnitude))
        edges = edge_weights(phase, second, te_ratio, strength, mask, flags)
        voxels = np.flatnonzero(mask)
        # best voxel first; a stable sort keeps the choice among equals, and so the result, reproducible
        quality = edge_sum(edges).ravel()[voxels]
        seeds = voxels[np.argsort(np.uint16(65535) - quality, kind="stable")]
        strides = np.array([mask.shape[1] * mask.shape[2], mask.shape[2], 1])
        self.wrapped, self.phase = phase, phase.ravel()
        # without phase coherence a weight says nothing of the step, and the order is kept to the last
        certain = np.uint8(CERTAIN if use.phase else 255)
        self.turns, self.order, self.begins = _grow(self.phase, edges.reshape(-1, 4), strides, seeds, certain)
        self.shift(np.zeros_like(self.phase))

    def shift(self, expected: NDArray[np.float32]) -> None:
        """Add whole turns to each connected part until its median is nearest to `expected` [rad]."""
        _shift_parts(self.turns, self.phase, expected.ravel(), self.order, self.begins)

    def result(self) -> Float:
        """Unwrapped phase [rad]; the turns of voxels outside the mask are 0."""
        turned: Float = self.wrapped + np.float32(TWO_PI) * self.turns.reshape(self.wrapped.shape).astype(np.float32)
        return turned
