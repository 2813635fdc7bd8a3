"""ROMEO: region growing along the most reliable edges in space, then along the echoes.

The template echo is unwrapped in space and the other echoes follow from it by their echo times, or every echo is
unwrapped in space by itself. What is left are whole turns of single voxels and of patches that no path has seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from .._grid import Bool, Float, Slices, as_echo_times, as_echoes, as_mask, mask_box
from ._growth import Coherences, Spatial, edge_sum, edge_weights
from ._jumps import follow, settle, settle_patches

MODES = ("template", "individual")
Times = NDArray[np.float64]


def _prepare(
    phase: NDArray[np.generic],
    magnitude: NDArray[np.generic] | None,
    mask: NDArray[np.generic] | None,
    te: Sequence[float],
) -> tuple[Float, Float | None, Bool, Times]:
    echoes = as_echoes(phase, "phase")
    strength = None if magnitude is None else as_echoes(magnitude, "magnitude", echoes.shape)
    flags = np.ones(echoes.shape[:3], bool) if mask is None else as_mask(mask, echoes.shape[:3])
    return echoes, strength, flags, as_echo_times(te, echoes.shape[3])


class _Volumes(NamedTuple):
    """Echoes one by one in the box of the mask, (echo, x, y, z), with a border of one voxel that is not in the mask."""

    phase: Float
    magnitude: Float | None
    mask: Bool
    te: Times
    box: Slices


@numba.njit(parallel=True, cache=True)
def _gather(echoes, mask, out):  # type: ignore[no-untyped-def]
    """Echoes of the mask's voxels, apart and with a border; 0 elsewhere."""
    for x in numba.prange(mask.shape[0]):
        for y in range(mask.shape[1]):
            for z in range(mask.shape[2]):
                for e in range(echoes.shape[3]):
                    out[e, x + 1, y + 1, z + 1] = echoes[x, y, z, e] if mask[x, y, z] else np.float32(0)


@numba.njit(parallel=True, cache=True)
def _scatter(volumes, out):  # type: ignore[no-untyped-def]
    """The reverse of `_gather`."""
    for x in numba.prange(out.shape[0]):
        for y in range(out.shape[1]):
            for z in range(out.shape[2]):
                for e in range(out.shape[3]):
                    out[x, y, z, e] = volumes[e, x + 1, y + 1, z + 1]


def _volumes(echoes: Float, strength: Float | None, flags: Bool, times: Times) -> _Volumes:
    box = mask_box(flags)
    inside = flags[box]
    shape = (times.size, *(n + 2 for n in inside.shape))
    phase = np.zeros(shape, np.float32)
    _gather(echoes[box], inside, phase)
    magnitude = None
    if strength is not None:
        magnitude = np.zeros(shape, np.float32)
        _gather(strength[box], inside, magnitude)
    return _Volumes(phase, magnitude, np.pad(inside, 1), times, box)


def _edges(data: _Volumes, echo: int) -> tuple[Float, Float | None, float, Float | None]:
    """What the edges of an echo are weighed by: it, the echo next to it, the ratio of their times, its magnitude."""
    strength = None if data.magnitude is None else data.magnitude[echo]
    if data.te.size == 1:
        return data.phase[echo], None, 1.0, strength
    other = echo + 1 if echo + 1 < data.te.size else echo - 1
    return data.phase[echo], data.phase[other], float(data.te[echo] / data.te[other]), strength


def _rated(data: _Volumes, echo: int, use: Coherences) -> NDArray[np.uint8]:
    """Weights of the edges of one echo."""
    phase, other, ratio, strength = _edges(data, echo)
    flags = (use.phase, use.gradient and other is not None, use.magnitude and strength is not None)
    second, size = (phase if volume is None else volume for volume in (other, strength))
    return edge_weights(phase, second, ratio, size, data.mask, flags)


def _template(data: _Volumes, template_echo: int, use: Coherences) -> int:
    """Index of the template: the echo that was asked for, or the one whose edges weigh most."""
    if not 0 <= template_echo <= data.te.size:
        raise ValueError(f"template echo {template_echo} is none of the {data.te.size} echoes, which count from 1")
    if template_echo > 0:
        return template_echo - 1
    return int(np.argmax([int(_rated(data, echo, use).sum(dtype=np.int64)) for echo in range(data.te.size)]))


def unwrap_volume(phase: Float, magnitude: Float | None, mask: Bool) -> Float:
    """Unwrap a single (x, y, z) phase image [rad] in space; each connected part has its median within ±π."""
    strength = None if magnitude is None else np.ascontiguousarray(magnitude)[..., None]
    data = _volumes(np.ascontiguousarray(phase)[..., None], strength, mask, np.ones(1))
    unwrapped = np.zeros(phase.shape, np.float32)
    unwrapped[data.box] = Spatial(*_edges(data, 0), data.mask, Coherences()).result()[1:-1, 1:-1, 1:-1]
    return unwrapped


def unwrap_romeo(
    phase: NDArray[np.generic],
    magnitude: NDArray[np.generic] | None,
    mask: NDArray[np.generic],
    te: Sequence[float],
    voxel_size: Sequence[float] = (1.0, 1.0, 1.0),
    *,
    mode: str = "template",
    template_echo: int = 1,
    phase_coherence: bool = True,
    gradient_coherence: bool = True,
    magnitude_coherence: bool = True,
    correct_jumps: bool = True,
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
    voxel_size : ignored
    mode : "template" or "individual"
        "template" unwraps one echo in space, and the others follow from it in time. "individual" unwraps every echo
        in space; only whole turns of connected parts are set between echoes. It suits phase that is not linear in
        time, and costs as many times more as there are echoes.
    template_echo : int
        Counted from 1; 0 takes the echo whose edges are the most reliable on the whole. In "individual" mode it is
        the one that the others are set by.
    phase_coherence, gradient_coherence, magnitude_coherence : bool
        What the weight of an edge is the product of: small phase steps, steps that grow with the echo time, and
        magnitudes that are alike.
    correct_jumps : bool
        Turn single voxels that disagree with most of their neighbours: in the template by its phase, in other echoes
        by how they differ from what the template foretells; in "individual" mode first whole patches by the latter.

    Returns
    -------
    unwrapped : (x, y, z, echo) float32 array [rad], 0 outside `mask`

    Raises
    ------
    ValueError
        If shapes differ, the mask is empty, echo times are not ascending, `mode` is unknown or `template_echo` is no
        echo.

    References
    ----------
    Dymerska B, et al. Magn Reson Med 2021;85:2294. https://doi.org/10.1002/mrm.28563
    """
    if mode not in MODES:
        raise ValueError(f"unknown mode {mode!r}, expected one of {', '.join(MODES)}")
    echoes, strength, flags, times = _prepare(phase, magnitude, mask, te)
    use = Coherences(phase_coherence, gradient_coherence, magnitude_coherence)
    data = _volumes(echoes, strength, flags, times)
    template = _template(data, template_echo, use)
    _unwrap_in_place(data, template, use, individual=mode == "individual", correct_jumps=correct_jumps)
    unwrapped = np.zeros_like(echoes)
    _scatter(data.phase, unwrapped[data.box])
    return unwrapped


def _unwrap_in_place(data: _Volumes, template: int, use: Coherences, *, individual: bool, correct_jumps: bool) -> None:
    """Unwrap all echoes where they are, the template first."""
    others = [echo for echo in range(data.te.size) if echo != template]
    # the weights of an edge look at the wrapped phase of two echoes: all are grown before the first one is changed
    grown = {e: Spatial(*_edges(data, e), data.mask, use) for e in ([template, *others] if individual else [template])}
    weights = np.ones_like(data.phase) if data.magnitude is None else data.magnitude
    scratch = np.empty(data.mask.shape, np.float32)
    first = data.phase[template] = grown.pop(template).result()
    if correct_jumps:
        settle(data.phase[template], first, weights[template], data.mask, 0.0, scratch)
        first = data.phase[template]
    if not individual:
        follow(data.phase, weights, data.mask, data.te, template)
    for echo in others:
        ratio = float(data.te[echo] / data.te[template])
        if individual:
            expected = first * np.float32(ratio)
            part = grown.pop(echo)
            part.shift(expected)
            data.phase[echo] = part.result()
            if correct_jumps:
                settle_patches(data.phase[echo], expected, data.mask)
        if correct_jumps:
            settle(data.phase[echo], first, weights[echo], data.mask, ratio, scratch)


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
    data = _volumes(echoes, strength, flags, times)
    sums = np.zeros(flags.shape, np.uint16)
    sums[data.box] = edge_sum(_rated(data, template, Coherences()))[1:-1, 1:-1, 1:-1]
    # voxels at the volume's edge have fewer than six neighbours
    edges = np.full(flags.shape, 6, np.uint8)
    for axis in range(3):
        for end in (0, -1):
            edges[(slice(None),) * axis + (end,)] -= 1
    # an edge in the mask never weighs less than 1/255, so that it stays an edge: take that floor off again
    mean = sums / np.maximum(edges, 1).astype(np.float32)
    return np.clip((mean - 1) / 254, 0, 1).astype(np.float32)
