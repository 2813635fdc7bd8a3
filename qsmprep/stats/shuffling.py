"""Which rows a permutation test may exchange, and how: permutations and sign flips within or of whole blocks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import factorial, prod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Shuffles:
    """Rearrangements of n observations; the first one leaves them as they are.

    The k-th shuffled data are `signs[k] * data[orders[k]]`.

    Attributes
    ----------
    orders : (k, n) row numbers
    signs : (k, n) of 1 and -1; None where nothing is flipped
    exhaustive : whether these are all that exist, so that p-values are exact
    possible : how many distinct ones exist
    """

    orders: NDArray[np.int32]
    signs: NDArray[np.int8] | None
    exhaustive: bool
    possible: int

    def __len__(self) -> int:
        return len(self.orders)


@dataclass(frozen=True)
class _Units:
    """What moves as one: `rows[u]` are the observations of unit u; units of one stratum may trade places."""

    rows: list[NDArray[np.int64]]
    strata: list[NDArray[np.int64]]


def shuffles(
    n: int,
    count: int = 10_000,
    seed: int = 0,
    *,
    permute: bool = True,
    flip: bool = False,
    blocks: ArrayLike | None = None,
    whole: bool = False,
    design: ArrayLike | None = None,
) -> Shuffles:
    """Draw rearrangements, or list all of them where there are no more than asked for.

    Parameters
    ----------
    n : observations
    count : rearrangements wanted, the original order included; the smallest p-value is 1 / count
    seed : of the random numbers; equal seeds give equal shuffles
    permute : observations trade places (errors are exchangeable: comparisons of groups, regressions)
    flip : observations change sign (errors are symmetric around 0: one-sample tests, differences)
    blocks : (n,) name of the block of each observation (a person with several visits, a family, a site); None for
        one block
    whole : False: observations trade places only inside their block. True: blocks move as one, with the order inside
        kept, and only trade places with blocks of the same size
    design : (n, p) model; rearrangements that only swap equal rows of it count as one

    Raises
    ------
    ValueError
        If nothing may be shuffled, or `blocks` or `design` has another length.

    References
    ----------
    Winkler AM et al. NeuroImage 2014;92:381. https://doi.org/10.1016/j.neuroimage.2014.01.060
    Winkler AM et al. NeuroImage 2015;123:253. https://doi.org/10.1016/j.neuroimage.2015.05.092
    """
    if count < 1 or not (permute or flip):
        raise ValueError("a permutation test needs at least one shuffle, and permutations or sign flips")
    names = np.zeros(n, int) if blocks is None else np.unique(np.asarray(blocks), return_inverse=True)[1].ravel()
    model = np.arange(n)[:, None] if design is None else np.asarray(design, float).reshape(len(np.asarray(design)), -1)
    if len(names) != n or len(model) != n:
        raise ValueError(f"expected {n} rows in blocks and design, found {len(names)} and {len(model)}")
    alike = np.unique(model, axis=0, return_inverse=True)[1].ravel()
    units = _units(names, whole)
    labels = _unit_labels(units, alike)
    orders_possible = prod(_arrangements(labels[s]) for s in units.strata) if permute else 1
    possible = orders_possible * (2 ** len(units.rows) if flip else 1)
    if possible <= count:
        moves, flips = _all(units, labels, permute, flip)
    else:
        moves, flips = _draw(units, count, np.random.default_rng(seed), permute, flip)
    return Shuffles(*_rows_of(units, n, moves, flips), possible <= count, possible)


def _units(names: NDArray[Any], whole: bool) -> _Units:
    members = [np.flatnonzero(names == name) for name in range(int(names.max()) + 1)]
    if not whole:
        return _Units([np.array([row]) for row in range(len(names))], members)
    sizes = np.array([len(rows) for rows in members])
    return _Units(members, [np.flatnonzero(sizes == size) for size in np.unique(sizes)])


def _unit_labels(units: _Units, alike: NDArray[Any]) -> NDArray[np.int64]:
    """Units whose rows of the design are equal have the same number."""
    known: dict[tuple[int, ...], int] = {}
    return np.array([known.setdefault(tuple(alike[rows].tolist()), len(known)) for rows in units.rows])


def _arrangements(labels: NDArray[np.int64]) -> int:
    return factorial(len(labels)) // prod(factorial(times) for times in Counter(labels.tolist()).values())


def _all(
    units: _Units, labels: NDArray[np.int64], permute: bool, flip: bool
) -> tuple[NDArray[np.int64], NDArray[np.int8] | None]:
    n_units = len(units.rows)
    start = np.arange(n_units)
    orders = [start]
    if permute:
        for places in product(*(_placements(labels[stratum].tolist()) for stratum in units.strata)):
            order = start.copy()
            for stratum, place in zip(units.strata, places, strict=True):
                order[stratum] = stratum[list(place)]
            if not np.array_equal(order, start):
                orders.append(order)
    moves = np.array(orders)
    if not flip:
        return moves, None
    flips = 1 - 2 * np.array(list(product((0, 1), repeat=n_units)), np.int8)
    return np.repeat(moves, len(flips), axis=0), np.tile(flips, (len(moves), 1))


def _placements(labels: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Which member goes to each place, once for every distinct way to hand the members to the labels."""
    places = {label: [i for i, other in enumerate(labels) if other == label] for label in set(labels)}

    def hand_out(left: Counter[int], member: int) -> Iterator[list[int]]:
        if member == len(labels):
            yield []
            return
        for label in sorted(left, key=lambda name: name != labels[member]):  # first of all, everyone stays
            if left[label]:
                rest = left.copy()
                rest[label] -= 1
                for later in hand_out(rest, member + 1):
                    yield [label, *later]

    for given in hand_out(Counter(labels), 0):
        order = [0] * len(labels)
        free = {label: iter(spots) for label, spots in places.items()}
        for member, label in enumerate(given):
            order[next(free[label])] = member
        yield tuple(order)


def _draw(
    units: _Units, count: int, rng: np.random.Generator, permute: bool, flip: bool
) -> tuple[NDArray[np.int64], NDArray[np.int8] | None]:
    moves = np.tile(np.arange(len(units.rows)), (count, 1))
    if permute:
        for stratum in units.strata:
            moves[1:, stratum] = rng.permuted(moves[1:, stratum], axis=1)
    if not flip:
        return moves, None
    flips = rng.choice(np.array([1, -1], np.int8), moves.shape)
    flips[0] = 1
    return moves, flips


def _rows_of(
    units: _Units, n: int, moves: NDArray[np.int64], flips: NDArray[np.int8] | None
) -> tuple[NDArray[np.int32], NDArray[np.int8] | None]:
    """From units to observations."""
    orders = np.empty((len(moves), n), np.int32)
    signs = None if flips is None else np.empty((len(moves), n), np.int8)
    for stratum in units.strata:
        table = np.array([units.rows[unit] for unit in stratum])  # units of one stratum have the same size
        place = np.full(len(units.rows), -1)
        place[stratum] = np.arange(len(stratum))
        for k, unit in enumerate(stratum):
            orders[:, units.rows[unit]] = table[place[moves[:, stratum[k]]]]
            if signs is not None and flips is not None:
                signs[:, units.rows[unit]] = flips[:, unit, None]
    return orders, signs
