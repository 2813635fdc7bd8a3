"""Whole turns: how later echoes follow from the template, and voxels that disagree with those around them."""

from __future__ import annotations

import numba
import numpy as np
from scipy import ndimage

from .._grid import Bool, Float

TWO_PI = 2 * np.pi


@numba.njit(parallel=True, cache=True)
def follow(echoes, magnitude, mask, te, template):  # type: ignore[no-untyped-def]
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


@numba.njit(inline="always")
def _foretold(excess, x, y, z, i, bend):  # type: ignore[no-untyped-def]
    """What the i-th of six neighbours expects of a voxel; NaN where it lies outside the mask."""
    d, sign = i // 2, 2 * (i % 2) - 1
    i0, j0, k0 = sign * (d == 0), sign * (d == 1), sign * (d == 2)
    u, v, w = x + i0, y + j0, z + k0
    if not (0 <= u < excess.shape[0] and 0 <= v < excess.shape[1] and 0 <= w < excess.shape[2]):
        return np.float32(np.nan)
    if not bend:
        return excess[u, v, w]
    near = excess[u, v, w]
    u, v, w = u + i0, v + j0, w + k0
    if not (0 <= u < excess.shape[0] and 0 <= v < excess.shape[1] and 0 <= w < excess.shape[2]):
        return np.float32(np.nan)
    return 2 * near - excess[u, v, w]


@numba.njit(parallel=True, cache=True)
def _doubtful(excess, bend):  # type: ignore[no-untyped-def]
    """Voxels that at least two of their neighbours want to turn."""
    nx, ny, nz = excess.shape
    found = np.zeros((nx, ny, nz), np.bool_)
    for x in numba.prange(nx):
        for y in range(ny):
            for z in range(nz):
                here = excess[x, y, z]
                if np.isnan(here):
                    continue
                n = 0
                for i in range(6):
                    if abs(_foretold(excess, x, y, z, i, bend) - here) > np.pi:
                        n += 1
                found[x, y, z] = n > 1
    return found


@numba.njit(cache=True)
def _vote(excess, strength, voxels, bend, sweeps):  # type: ignore[no-untyped-def]
    """Turns of the listed voxels, each decided by its neighbours as they are by then."""
    turned = np.zeros(len(voxels), np.int32)
    ballots, turns = np.zeros(6), np.zeros(6)
    for _ in range(sweeps):
        moved = False
        for j in range(len(voxels)):
            x, y, z = voxels[j]
            total = 0.0
            for i in range(6):
                there = _foretold(excess, x, y, z, i, bend)
                ballots[i] = 0.0
                if np.isnan(there):
                    continue
                d, sign = i // 2, 2 * (i % 2) - 1
                ballots[i] = strength[x + sign * (d == 0), y + sign * (d == 1), z + sign * (d == 2)] ** 2
                turns[i] = np.rint((there - excess[x, y, z]) / TWO_PI)
                total += ballots[i]
            for i in range(6):
                votes = 0.0
                for k in range(6):
                    if turns[k] == turns[i]:
                        votes += ballots[k]
                if ballots[i] > 0.0 and turns[i] != 0.0 and 2.0 * votes > total:
                    excess[x, y, z] += np.float32(TWO_PI * turns[i])
                    turned[j] += np.int32(turns[i])
                    moved = True
                    break
        if not moved:
            break
    return turned


def settle(
    echoes: Float, magnitude: Float, mask: Bool, echo: int, template: int, ratio: float, sweeps: int = 8
) -> None:
    """Turn voxels of one echo, in place, where most of the neighbours (by magnitude²) ask for the same turns.

    What is compared is the echo minus `ratio` times the template, so that a steep field is no reason to turn. With a
    ratio of 0 it is the echo itself, and what each neighbour foretells by the line through it and the next but one:
    next to air a field may well grow by half a turn from voxel to voxel.
    """
    bend = ratio == 0
    excess = np.where(mask, echoes[..., echo] - np.float32(ratio) * echoes[..., template], np.float32(np.nan))
    voxels = np.argwhere(_doubtful(excess, bend))
    turned = _vote(excess, np.ascontiguousarray(magnitude[..., echo]), voxels, bend, sweeps)
    x, y, z = voxels[turned != 0].T
    echoes[x, y, z, echo] += np.float32(TWO_PI) * turned[turned != 0].astype(np.float32)


def settle_patches(echo: Float, expected: Float, mask: Bool, least: int = 8) -> None:
    """Turn patches of `least` voxels or more that lie the same whole turns away from what is expected, in place."""
    turns = np.where(mask, np.rint((expected - echo) / np.float32(TWO_PI)), np.float32(0))
    for value in np.unique(turns):
        if value == 0:
            continue
        patches, _ = ndimage.label(turns == value, np.ones((3, 3, 3)))
        large = np.bincount(patches.ravel()) >= least
        large[0] = False
        echo[large[patches]] += np.float32(TWO_PI) * value
