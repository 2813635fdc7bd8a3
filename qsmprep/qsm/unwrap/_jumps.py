"""Whole turns: how later echoes follow from the template, and voxels that disagree with those around them."""

from __future__ import annotations

import numba
import numpy as np

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


@numba.njit(parallel=True, cache=True)
def _settle_colour(echoes, magnitude, mask, echo, template, ratio, colour):  # type: ignore[no-untyped-def]
    """One half of a sweep of `settle`: voxels whose neighbours are all of the other colour."""
    nx, ny, nz = mask.shape
    moved = np.zeros(nx, np.int64)
    for x in numba.prange(nx):
        ballots = np.zeros(6)
        turns = np.zeros(6)
        for y in range(ny):
            for z in range((x + y + colour) % 2, nz, 2):
                if not mask[x, y, z]:
                    continue
                here = echoes[x, y, z, echo] - ratio * echoes[x, y, z, template]
                total, settled = 0.0, 0.0
                for i in range(6):
                    d, sign = i // 2, 2 * (i % 2) - 1
                    u, v, w = x + sign * (d == 0), y + sign * (d == 1), z + sign * (d == 2)
                    ballots[i] = 0.0
                    if not (0 <= u < nx and 0 <= v < ny and 0 <= w < nz) or not mask[u, v, w]:
                        continue
                    there = echoes[u, v, w, echo] - ratio * echoes[u, v, w, template]
                    ballots[i] = magnitude[u, v, w, echo] ** 2
                    turns[i] = np.rint((there - here) / TWO_PI)
                    total += ballots[i]
                    if turns[i] == 0.0:
                        settled += ballots[i]
                if 2.0 * settled >= total:
                    continue
                for i in range(6):
                    votes = 0.0
                    for j in range(6):
                        if ballots[j] > 0.0 and turns[j] == turns[i]:
                            votes += ballots[j]
                    if ballots[i] > 0.0 and 2.0 * votes > total:
                        echoes[x, y, z, echo] += np.float32(TWO_PI * turns[i])
                        moved[x] += 1
                        break
    return moved.sum()


def settle(echoes, magnitude, mask, echo, template, ratio, sweeps=4):  # type: ignore[no-untyped-def]
    """Turn voxels of one echo, in place, where most of the neighbours (by magnitude²) ask for the same turns.

    What is compared is the echo minus `ratio` times the template, so that a steep field is no reason to turn; with a
    ratio of 0 it is the echo itself. The voxels of one colour of a chessboard move at once: no order of threads shows.
    """
    for _ in range(sweeps):
        moved = 0
        for colour in (0, 1):
            moved += _settle_colour(echoes, magnitude, mask, echo, template, np.float32(ratio), colour)
        if moved == 0:
            break
