"""Images of single receiver coils into one, matched in phase, one coil in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._grid import Float, as_echo_times, as_echoes, as_voxel_size
from ._blocks import Complex, SmoothPhase, add_coil, angles, block_factor, block_sums, smooth_phase
from .mcpc3ds import smooth_excess
from .polarity import as_echo_numbers, grown_phase, offset_vectors, possible_readout

ReadCoil = Callable[[int], tuple[NDArray[np.generic], NDArray[np.generic]]]
"""Number of a coil, from 0 -> its magnitude and phase [rad], (x, y, z, echo) both."""


class CombinedCoils(NamedTuple):
    """One image of all coils.

    Attributes
    ----------
    magnitude : (x, y, z, echo) float32 array, root of the sum of squares
    phase : (x, y, z, echo) float32 array [rad] within ±π
    record : how, for sidecars
    """

    magnitude: Float
    phase: Float
    record: dict[str, Any]


class _Coils:
    """Reads coils, checks their shapes, and sums what they have in common."""

    def __init__(self, read: ReadCoil, n_coils: int) -> None:
        self.read, self.n_coils = read, n_coils
        self.shape: tuple[int, ...] = ()

    def __call__(self, coil: int) -> tuple[Float, Float]:
        magnitude, phase = self.read(coil)
        echoes = as_echoes(phase, f"phase of coil {coil + 1}", self.shape or None)
        self.shape = echoes.shape
        return as_echoes(magnitude, f"magnitude of coil {coil + 1}", self.shape), echoes

    def total(
        self, offset_of: Callable[[Float, Float], SmoothPhase], extra: SmoothPhase | None, opposite: Sequence[bool]
    ) -> tuple[Float, Float]:
        """Magnitude and phase of the sum over coils, each less its own offset."""
        total, square = np.zeros(self.shape, np.complex64), np.zeros(self.shape, np.float32)
        between = None if extra is None else angles(extra, self.shape[:3])
        for coil in range(self.n_coils):
            magnitude, phase = self(coil)
            offset = angles(offset_of(magnitude, phase), self.shape[:3])
            add_coil(phase, magnitude, offset, between, opposite, total, square)
        if not square.any():
            raise ValueError("no signal: the magnitude of every coil is 0 everywhere")
        return np.sqrt(square, out=square), np.angle(total)


def combine_coils(
    read: ReadCoil,
    n_coils: int,
    te: Sequence[float],
    voxel_size: Sequence[float] = (1.0, 1.0, 1.0),
    *,
    sigma_mm: float = 5.0,
    bipolar: bool | None = False,
    echo_numbers: Sequence[int] | None = None,
) -> CombinedCoils:
    """Combine the images of single coils, matched in phase.

    With two echoes or more (MCPC-3D-S): the phase that grew between two echoes, summed over coils, is the same for all
    of them; carried back to TE 0 it leaves the offset of each coil, which is smoothed and taken off. Coils then add up,
    weighted by the square of their magnitude. Where a coil's offset has a singularity it receives nothing, so that
    others decide there. What is left has no offset, and no difference of odd and even echoes.

    With a single echo (virtual reference coil): coils are turned so that they agree where all of them receive; their
    sum is the reference that the phase of each coil is measured against. The offset of the reference stays.

    Every coil is read two or three times.

    Parameters
    ----------
    read : from the number of a coil (from 0) to its magnitude and phase [rad], (x, y, z, echo) arrays
    n_coils : number of coils
    te : echo times [s], ascending
    voxel_size : 3 floats [mm]
    sigma_mm : float [mm]
        Standard deviation of the Gaussian that smooths the coils' offsets.
    bipolar, echo_numbers
        As for `mcpc3ds`.

    Returns
    -------
    combined : CombinedCoils

    Raises
    ------
    ValueError
        If shapes differ, there is no coil or no signal, or a bipolar readout has too few echoes to tell its polarities
        apart.

    References
    ----------
    Eckstein K, et al. Magn Reson Med 2018;79:2996. https://doi.org/10.1002/mrm.26963
    Parker DL, et al. Magn Reson Med 2014;72:563 (single echo). https://doi.org/10.1002/mrm.24932
    """
    if n_coils < 1:
        raise ValueError(f"{n_coils} coils: expected 1 or more")
    coils = _Coils(read, n_coils)
    coils(0)
    times = as_echo_times(te, coils.shape[3])
    numbers = as_echo_numbers(echo_numbers, times.size)
    sizes = as_voxel_size(voxel_size)
    factor = block_factor(sizes, sigma_mm)
    if times.size == 1:
        return _virtual_reference(coils, sizes, factor, sigma_mm)
    readout = possible_readout(times, numbers, bipolar)
    if readout is None:
        raise ValueError("coils of a bipolar readout need two echoes of one polarity and one of the other")
    steps = [pair for pair in readout.pairs if pair[0] >= 0]
    added = None
    for coil in range(n_coils):
        magnitude, phase = coils(coil)
        added = block_sums(phase, magnitude, None, steps, factor, added)
    assert added is not None
    sums = dict(zip(steps, added, strict=True))
    scheme, record = readout.decide(sums, times, added.shape[1:])
    grown = grown_phase(sums, scheme, times)
    extra, odd_even = smooth_excess(sums, scheme, times, grown, sizes, factor, sigma_mm)

    def offset_of(magnitude: Float, phase: Float) -> SmoothPhase:
        first = block_sums(phase, magnitude, None, [(-1, scheme.first)], factor)[0]
        weight = np.abs(first)
        return smooth_phase(
            weight * _direction(offset_vectors(first, sums, scheme, times, grown)), sizes, factor, sigma_mm
        )

    magnitude, phase = coils.total(offset_of, extra, scheme.opposite)
    used = [numbers[scheme.first], numbers[scheme.second]]
    record = {"Method": "MCPC-3D-S", "Coils": n_coils, "Echoes": used, "SmoothingSigma": sigma_mm, **record}
    return CombinedCoils(magnitude, phase, record | odd_even)


def _direction(vectors: Complex) -> Complex:
    unit: Complex = vectors / np.maximum(np.abs(vectors), np.float32(1e-30))
    return unit


def _virtual_reference(
    coils: _Coils, voxel_size: Sequence[float], factor: tuple[int, int, int], sigma_mm: float
) -> CombinedCoils:
    """Single echo: the coils' phase against that of a sum in which they agree at one place."""

    def signal(magnitude: Float, phase: Float) -> Complex:
        first: Complex = block_sums(phase, magnitude, None, [(-1, 0)], factor)[0]
        return first

    shared: NDArray[Any] = np.zeros(1)
    for coil in range(coils.n_coils):
        shared = shared + np.log(np.abs(signal(*coils(coil))) + np.float32(1e-30))
    place = np.unravel_index(int(np.argmax(shared)), np.shape(shared))
    reference = np.zeros(np.shape(shared), np.complex64)
    for coil in range(coils.n_coils):
        one = signal(*coils(coil))
        reference += one * (one[place].conj() / max(float(np.abs(one[place])), 1e-30))

    def offset_of(magnitude: Float, phase: Float) -> SmoothPhase:
        return smooth_phase(signal(magnitude, phase) * _direction(reference).conj(), voxel_size, factor, sigma_mm)

    magnitude, phase = coils.total(offset_of, None, (False,))
    record = {"Method": "virtual reference coil", "Coils": coils.n_coils, "SmoothingSigma": sigma_mm}
    return CombinedCoils(magnitude, phase, record | {"Remains": "the offset of the reference coil"})
