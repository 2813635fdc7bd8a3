"""Which way each echo was read, and which echoes tell what: odd against even echoes of a bipolar readout."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._grid import Float
from ._blocks import Complex, find_plane, unwrapped

Times = NDArray[np.float64]
Pair = tuple[int, int]
Sums = Mapping[Pair, Complex]

WHOLE = 1e-3
"""Distance from a whole number within which a ratio of echo times counts as one: whole turns then change nothing."""
LEAST_SLOPE = 0.3
"""Ramp between odd and even echoes [rad over the volume] below which they count as read alike."""
SURE_SLOPE = 1.0
"""Ramp [rad over the volume] above which they are taken as read in opposite directions though nothing can check it."""
AGREEMENT = 0.3
"""Part of that ramp by which two measurements of it may differ."""


@dataclass(frozen=True)
class Scheme:
    """Which echoes tell the offset.

    Attributes
    ----------
    first, second : indices of two echoes of one polarity; their difference is carried back to TE 0
    target : index of an echo of the other polarity, which they foretell; None where all have one polarity
    opposite : whether each echo has the other polarity than `first`
    """

    first: int
    second: int
    target: int | None
    opposite: tuple[bool, ...]

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """What has to be summed; see `block_sums`."""
        step = (self.first, self.second)
        return ((-1, self.first), step) if self.target is None else ((-1, self.first), step, (self.first, self.target))

    def ratios(self, times: Times) -> tuple[float, float]:
        """Multiples of the step between the two echoes: from TE 0 to the first, and from there to the target."""
        step = times[self.second] - times[self.first]
        ahead = 0.0 if self.target is None else float((times[self.target] - times[self.first]) / step)
        return float(times[self.first] / step), ahead


def as_echo_numbers(numbers: Sequence[int] | None, n_echoes: int) -> tuple[int, ...]:
    """Places of the echoes in the echo train, from 1; ValueError unless one an echo and ascending.

    A dropped echo leaves a gap, and the polarity of the echoes behind it stays what it was.
    """
    if numbers is None:
        return tuple(range(1, n_echoes + 1))
    found = tuple(int(n) for n in numbers)
    if len(found) != n_echoes:
        raise ValueError(f"{len(found)} echo numbers for {n_echoes} echoes")
    if found[0] < 1 or any(b <= a for a, b in itertools.pairwise(found)):
        raise ValueError(f"echo numbers must be ascending, the first at least 1, found {list(found)}")
    return found


def monopolar_scheme(n_echoes: int) -> Scheme:
    """The first two echoes, all read alike."""
    return Scheme(0, 1, None, (False,) * n_echoes)


def bipolar_scheme(times: Times, numbers: Sequence[int], *, first_backwards: bool | None = None) -> Scheme | None:
    """The earliest echoes that tell both polarities apart, and of those the ones with the least noise.

    None if there are none: it takes two echoes of one polarity and one of the other. Where all echoes left have one
    polarity, they are as good as monopolar. `first_backwards` asks for a polarity of the two.
    """
    back = [n % 2 == 0 for n in numbers]
    if len(set(back)) == 1 and first_backwards is None:
        return monopolar_scheme(len(back))
    found = []
    for a, b in itertools.combinations(range(len(back)), 2):
        for c in range(len(back)):
            if back[a] == back[b] != back[c] and first_backwards in (None, back[a]):
                k = (times[c] - times[a]) / (times[b] - times[a])
                found.append((max(b, c), (1 - k) ** 2 + k**2, a, b, c))
    if not found:
        return None
    _, _, a, b, c = min(found)
    return Scheme(a, b, c, tuple(one != back[a] for one in back))


def grown_phase(sums: Sums, scheme: Scheme, times: Times) -> Float:
    """Phase that grew between the two echoes [rad], on blocks.

    It is unwrapped unless all that is made of it are whole multiples, for which turns do not matter.
    """
    step = sums[scheme.first, scheme.second]
    if all(abs(r - round(r)) < WHOLE for r in scheme.ratios(times)):
        return np.angle(step)
    return unwrapped(step)


def offset_vectors(first: Complex, sums: Sums, scheme: Scheme, times: Times, grown: Float) -> Complex:
    """Vectors on blocks whose angle is the phase at TE 0; `first` holds the sums (-1, scheme.first)."""
    unit = first / np.maximum(np.abs(first), np.float32(1e-30))
    return _turned(unit * np.abs(sums[scheme.first, scheme.second]), grown, scheme.ratios(times)[0])


def excess_vectors(sums: Sums, scheme: Scheme, times: Times, grown: Float) -> Complex:
    """Vectors on blocks whose angle is what the target echo has beyond what the other two foretell."""
    assert scheme.target is not None
    return _turned(sums[scheme.first, scheme.target], grown, scheme.ratios(times)[1])


def _turned(vectors: Complex, angle: Float, factor: float) -> Complex:
    turned: Complex = vectors * np.exp(np.complex64(-1j * factor) * angle)
    return turned


@dataclass(frozen=True)
class Readout:
    """How an acquisition may have been read, before its data are looked at.

    Attributes
    ----------
    alike : scheme for echoes that are all read alike; None where that is ruled out
    alternating : scheme for odd and even echoes read in opposite directions
    check : a second one, from two echoes of the other polarity, that has to agree with it
    """

    alike: Scheme | None
    alternating: Scheme | None = None
    check: Scheme | None = None

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """All sums that may be needed."""
        schemes = (self.alike, self.alternating, self.check)
        return tuple(dict.fromkeys(pair for scheme in schemes if scheme is not None for pair in scheme.pairs))

    def decide(self, sums: Sums, times: Times, shape: Sequence[int]) -> tuple[Scheme, dict[str, Any]]:
        """The scheme that fits the data, and how that was found; `shape` is the volume in blocks."""
        if self.alike is None or self.alternating is None or self.alternating.target is None:
            scheme = self.alike or self.alternating
            assert scheme is not None
            return scheme, {"Readout": "monopolar" if scheme is self.alike else "bipolar", "ReadoutSource": "given"}
        ramp = self._ramp(self.alternating, sums, times, shape)
        size = float(np.linalg.norm(ramp))
        record: dict[str, Any] = {"Readout": "monopolar", "ReadoutSource": "data", "OddEvenRamp": round(size, 3)}
        if size < LEAST_SLOPE:
            return self.alike, record
        if self.check is None:
            record["ReadoutDoubt"] = "the second echo differs by a ramp; too few echoes to check that it alternates"
            return (self.alternating, record | {"Readout": "bipolar"}) if size > SURE_SLOPE else (self.alike, record)
        # an odd echo differs from even ones by the opposite of what an even one differs by from odd ones
        if np.linalg.norm(ramp + self._ramp(self.check, sums, times, shape)) > AGREEMENT * size:
            return self.alike, record | {"ReadoutDoubt": "echoes differ by a ramp that does not alternate"}
        return self.alternating, record | {"Readout": "bipolar"}

    @staticmethod
    def _ramp(scheme: Scheme, sums: Sums, times: Times, shape: Sequence[int]) -> NDArray[np.float64]:
        """Ramp of the excess along each axis [rad over the volume]."""
        slopes, _ = find_plane(excess_vectors(sums, scheme, times, grown_phase(sums, scheme, times)))
        return np.asarray(slopes) * shape


def possible_readout(times: Times, numbers: Sequence[int], bipolar: bool | None) -> Readout | None:
    """What `bipolar` (None: the data decide) leaves possible; None where too few echoes are there to tell."""
    if bipolar is False:
        return Readout(monopolar_scheme(times.size))
    alternating = bipolar_scheme(times, numbers)
    if bipolar:
        return None if alternating is None else Readout(None, alternating)
    if alternating is None or alternating.target is None:
        return Readout(monopolar_scheme(times.size))
    other = numbers[alternating.target] % 2 == 0
    return Readout(monopolar_scheme(times.size), alternating, bipolar_scheme(times, numbers, first_backwards=other))
