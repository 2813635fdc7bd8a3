"""Phase offsets: what the phase would be at TE 0, and its removal before unwrapping and field mapping."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._grid import Float, as_echo_times, as_echoes, as_mask, as_voxel_size
from ._blocks import SmoothPhase, angles, block_factor, block_sums, smooth_phase, subtract, wrap
from .polarity import Scheme, Sums, as_echo_numbers, excess_vectors, grown_phase, offset_vectors, possible_readout

SINGLE_ECHO = "a single echo cannot tell an offset from field"
TOO_FEW = "bipolar readout without two echoes of one polarity and one of the other"


class Combined(NamedTuple):
    """What is left of the phase, and what was taken.

    Attributes
    ----------
    phase : (x, y, z, echo) float32 array [rad] within ±π
    offset : (x, y, z) float32 array [rad] that was taken from every echo; None where none could be found
    record : how, for sidecars: plain strings, numbers and lists
    """

    phase: Float
    offset: Float | None
    record: dict[str, Any]


def mcpc3ds(
    phase: NDArray[np.generic],
    magnitude: NDArray[np.generic] | None,
    te: Sequence[float],
    mask: NDArray[np.generic] | None = None,
    voxel_size: Sequence[float] = (1.0, 1.0, 1.0),
    *,
    sigma_mm: float = 7.0,
    bipolar: bool | None = False,
    echo_numbers: Sequence[int] | None = None,
) -> Combined:
    """Remove the phase offset of a multi-echo acquisition (MCPC-3D-S).

    The phase that grew from the first to the second echo is unwrapped and carried back to TE 0; what remains of the
    first echo is the offset. It is smoothed as a complex number and subtracted from every echo. Where TE1 is a whole
    multiple of TE2 - TE1, whole turns cancel and nothing is unwrapped (ASPIRE). Echo times need not be even. Whole
    turns that other echo times leave open are those that keep the median field nearest to 0.

    Of a bipolar readout, the echoes of one polarity foretell an echo of the other. What they miss it by, smoothed in
    the same way (a plane, and what bends away from it), is taken from every echo that is read backwards.

    Parameters
    ----------
    phase : (x, y, z, echo) array [rad]
    magnitude : (x, y, z, echo) array or None
        None weighs all voxels alike.
    te : echo times [s], ascending
    mask : (x, y, z) bool array, optional
        Where the offset is estimated; it is subtracted everywhere. Default: the whole volume.
    voxel_size : 3 floats [mm]
    sigma_mm : float [mm]
        Standard deviation of the Gaussian that smooths the offset. More leaves a bias at the rim of the mask, less
        takes with it what does not grow with TE for other reasons (flow, dephasing next to air).
    bipolar : bool or None
        Whether even echoes are read opposite to odd ones. None lets the data decide: whether what an echo differs by
        from what its neighbours foretell is a ramp that alternates. Three echoes cannot show that it alternates (they
        need a steeper ramp, and the doubt is recorded), and two show nothing.
    echo_numbers : ascending whole numbers, optional
        Places of the echoes in the echo train, from 1, where echoes were dropped: polarity goes by them. Default: none
        was dropped.

    Returns
    -------
    combined : Combined
        With a single echo, or a bipolar readout without three echoes that tell its polarities apart, nothing can be
        removed: the phase as it came, `offset` None, and the reason in `record`.

    Raises
    ------
    ValueError
        If shapes differ, the mask is empty, echo times or numbers are not ascending, or there is no signal.

    References
    ----------
    Eckstein K, et al. Magn Reson Med 2018;79:2996. https://doi.org/10.1002/mrm.26963
    Li J, et al. MAGMA 2015;28:347 (odd against even echoes). https://doi.org/10.1007/s10334-014-0470-3
    """
    echoes = as_echoes(phase, "phase")
    strength = None if magnitude is None else as_echoes(magnitude, "magnitude", echoes.shape)
    flags = None if mask is None else as_mask(mask, echoes.shape[:3])
    times = as_echo_times(te, echoes.shape[3])
    numbers = as_echo_numbers(echo_numbers, times.size)
    sizes = as_voxel_size(voxel_size)
    if times.size < 2:
        return Combined(wrap(echoes), None, {"Method": "none", "Reason": SINGLE_ECHO})
    readout = possible_readout(times, numbers, bipolar)
    if readout is None:
        return Combined(wrap(echoes), None, {"Method": "none", "Reason": TOO_FEW})
    factor = block_factor(sizes, sigma_mm)
    sums = dict(zip(readout.pairs, block_sums(echoes, strength, flags, readout.pairs, factor), strict=True))
    scheme, record = readout.decide(sums, times, next(iter(sums.values())).shape)
    grown = grown_phase(sums, scheme, times)
    vectors = offset_vectors(sums[-1, scheme.first], sums, scheme, times, grown)
    offset = angles(smooth_phase(vectors, sizes, factor, sigma_mm), echoes.shape[:3])
    extra, odd_even = smooth_excess(sums, scheme, times, grown, sizes, factor, sigma_mm)
    between = None if extra is None else angles(extra, echoes.shape[:3])
    used = [numbers[scheme.first], numbers[scheme.second]]
    record = {"Method": "MCPC-3D-S", "Echoes": used, "SmoothingSigma": sigma_mm, **record, **odd_even}
    return Combined(subtract(echoes, offset, between, scheme.opposite), offset, record)


def smooth_excess(
    sums: Sums, scheme: Scheme, times: NDArray[np.float64], grown: Float,
    voxel_size: Sequence[float], factor: tuple[int, int, int], sigma_mm: float,
) -> tuple[SmoothPhase | None, dict[str, Any]]:  # fmt: skip
    """What echoes of the other polarity have in excess, smoothed, and its record; None where all have one polarity."""
    if scheme.target is None:
        return None, {}
    vectors = excess_vectors(sums, scheme, times, grown)
    extra = smooth_phase(vectors, voxel_size, factor, sigma_mm)
    slope = [round(s / v, 5) for s, v in zip(extra.slope, voxel_size, strict=True)]
    bend = float(np.sqrt(np.average(np.angle(extra.curve) ** 2, weights=np.abs(vectors))))
    return extra, {"OddEvenSlopeRadPerMm": slope, "OddEvenBendRad": round(bend, 4)}
