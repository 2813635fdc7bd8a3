"""Whole turns: how later echoes follow from the template, and voxels that disagree with those around them."""

from __future__ import annotations

import numba
import numpy as np

from .._grid import Bool, Float

TWO_PI = 2 * np.pi


@numba.njit(parallel=True, cache=True)
def follow(echoes, magnitude, mask, te, template):  # type: ignore[no-untyped-def]
    """Unwrap the other echoes in place, outwards from the template, by the slope of the echoes already done."""
    n_echoes = te.size
    turn = np.float32(TWO_PI)
    for x in numba.prange(echoes.shape[1]):
        for y in range(echoes.shape[2]):
            for z in range(echoes.shape[3]):
                if not mask[x, y, z]:
                    continue
                weight = magnitude[template, x, y, z] ** 2 + np.float32(1e-30)
                top = weight * te[template] * echoes[template, x, y, z]
                bottom = weight * te[template] ** 2
                for i in range(1, n_echoes):
                    e = template + i if template + i < n_echoes else n_echoes - 1 - i
                    near = e - 1 if e > template else e + 1
                    expected = echoes[near, x, y, z] + top / bottom * (te[e] - te[near])
                    turns = np.rint((expected - echoes[e, x, y, z]) / TWO_PI)
                    echoes[e, x, y, z] += turn * np.float32(turns)
                    weight = magnitude[e, x, y, z] ** 2 + np.float32(1e-30)
                    top += weight * te[e] * echoes[e, x, y, z]
                    bottom += weight * te[e] ** 2


@numba.njit(inline="always")
def _foretold(excess, x, y, z, i, bend):  # type: ignore[no-untyped-def]
    """What the i-th of six neighbours expects of a voxel; NaN where it lies outside the mask."""
    d, sign = i // 2, 2 * (i % 2) - 1
    i0, j0, k0 = sign * (d == 0), sign * (d == 1), sign * (d == 2)
    near = excess[x + i0, y + j0, z + k0]
    if not bend or np.isnan(near):
        return near
    return 2 * near - excess[x + 2 * i0, y + 2 * j0, z + 2 * k0]


@numba.njit(parallel=True, cache=True)
def _doubtful(echo, template, ratio, mask, excess):  # type: ignore[no-untyped-def]
    """Voxels that at least two of their neighbours want to turn, row by row, and how many a row has.

    Fills in `excess`, what is compared; NaN outside the mask.
    """
    nx, ny, nz = excess.shape
    bend = ratio == 0
    for x in numba.prange(nx):
        for y in range(ny):
            for z in range(nz):
                if mask[x, y, z]:
                    excess[x, y, z] = echo[x, y, z] if bend else echo[x, y, z] - ratio * template[x, y, z]
                else:
                    excess[x, y, z] = np.nan
    found = np.empty((nx, ny * nz), np.int32)
    count = np.zeros(nx, np.int64)
    half_turn = np.float32(np.pi)
    for x in numba.prange(nx):
        for y in range(ny):
            for z in range(nz):
                here = excess[x, y, z]
                if np.isnan(here):
                    continue
                n = 0
                for i in range(6):
                    if abs(_foretold(excess, x, y, z, i, bend) - here) > half_turn:
                        n += 1
                if n > 1:
                    found[x, count[x]] = y * nz + z
                    count[x] += 1
    return found, count


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
    echo: Float, template: Float, magnitude: Float, mask: Bool, ratio: float, excess: Float, sweeps: int = 8
) -> None:
    """Turn voxels of one echo, in place, where most of the neighbours (by magnitude²) ask for the same turns.

    What is compared is the echo minus `ratio` times the template, so that a steep field is no reason to turn. With a
    ratio of 0 it is the echo itself, and what each neighbour foretells by the line through it and the next but one:
    next to air a field may well grow by half a turn from voxel to voxel. `excess` is scratch. All volumes have a
    border that is not in the mask.
    """
    found, count = _doubtful(echo, template, np.float32(ratio), mask, excess)
    rows = [found[x, : count[x]] for x in range(len(count))]
    x = np.repeat(np.arange(len(count)), count)
    y, z = np.divmod(np.concatenate(rows), mask.shape[2])
    turned = _vote(excess, magnitude, np.stack([x, y, z], 1), ratio == 0, sweeps)
    moved = turned != 0
    echo[x[moved], y[moved], z[moved]] += np.float32(TWO_PI) * turned[moved].astype(np.float32)


@numba.njit(cache=True)
def _drop_small(turns, least):  # type: ignore[no-untyped-def]
    """Set to 0, in place, every patch of equal turns that has fewer than `least` voxels; corners join as well.

    The border of the array is 0.
    """
    _, ny, nz = turns.shape
    seen = turns == 0
    flat, visited = turns.ravel(), seen.ravel()
    patch = np.empty(np.sum(~seen), np.int64)
    for seed in range(flat.size):
        if visited[seed]:
            continue
        visited[seed] = True
        patch[0] = seed
        done, size = 0, 1
        while done < size:
            voxel = patch[done]
            done += 1
            for i in range(27):
                other = voxel + (i // 9 - 1) * ny * nz + (i // 3 % 3 - 1) * nz + i % 3 - 1
                if not visited[other] and flat[other] == flat[seed]:
                    visited[other] = True
                    patch[size] = other
                    size += 1
        if size < least:
            for j in range(size):
                flat[patch[j]] = 0


def settle_patches(echo: Float, expected: Float, mask: Bool, least: int = 8) -> None:
    """Turn patches of `least` voxels or more that lie the same whole turns away from what is expected, in place."""
    turns = np.where(mask, np.rint((expected - echo) / np.float32(TWO_PI)), np.float32(0)).astype(np.int32)
    _drop_small(turns, least)
    echo += np.float32(TWO_PI) * turns.astype(np.float32)
