"""ROMEO: region growing along the most reliable edges in space, then along the echoes.

The template echo is unwrapped in space and the other echoes follow from it by their echo times, or every echo is
unwrapped in space by itself. What is left are whole turns of single voxels and of patches that no path has seen.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .._grid import Bool, Float, as_echo_times, as_echoes, as_mask
from ._growth import Coherences, Spatial, bordered, edge_sum, edge_weights
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


def _neighbour(echo: int, n_echoes: int) -> int | None:
    """The echo that the phase gradient is compared with."""
    if n_echoes == 1:
        return None
    return echo + 1 if echo + 1 < n_echoes else echo - 1


def _rated(
    echoes: Float, strength: Float | None, flags: Bool, times: Times, echo: int, use: Coherences
) -> NDArray[np.uint8]:
    """Weights of the edges of one echo in the whole volume."""
    other = _neighbour(echo, times.size)
    wrapped = np.ascontiguousarray(echoes[..., echo])
    return edge_weights(
        wrapped,
        wrapped if other is None else np.ascontiguousarray(echoes[..., other]),
        1.0 if other is None else float(times[echo] / times[other]),
        wrapped if strength is None else np.ascontiguousarray(strength[..., echo]),
        flags,
        (use.phase, use.gradient and other is not None, use.magnitude and strength is not None),
    )


def _spatial(echoes: Float, strength: Float | None, flags: Bool, times: Times, echo: int, use: Coherences) -> Spatial:
    other = _neighbour(echo, times.size)
    return Spatial(
        echoes[..., echo],
        None if other is None else echoes[..., other],
        1.0 if other is None else float(times[echo] / times[other]),
        None if strength is None else strength[..., echo],
        flags,
        use,
    )


def _template(
    echoes: Float, strength: Float | None, flags: Bool, times: Times, template_echo: int, use: Coherences
) -> int:
    """Index of the template: the echo that was asked for, or the one whose edges weigh most."""
    if not 0 <= template_echo <= times.size:
        raise ValueError(f"template echo {template_echo} is none of the {times.size} echoes, which count from 1")
    if template_echo > 0:
        return template_echo - 1
    sums = [int(_rated(echoes, strength, flags, times, echo, use).sum(dtype=np.int64)) for echo in range(times.size)]
    return int(np.argmax(sums))


def unwrap_volume(phase: Float, magnitude: Float | None, mask: Bool) -> Float:
    """Unwrap a single (x, y, z) phase image [rad] in space; each connected part has its median within ±π."""
    return Spatial(phase, None, 1.0, magnitude, mask, Coherences()).result(phase.shape)


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
    template = _template(echoes, strength, flags, times, template_echo, use)
    first = _spatial(echoes, strength, flags, times, template, use).result(flags.shape)
    unwrapped = np.where(flags[..., None], echoes, np.float32(0))
    unwrapped[..., template] = first
    weights = np.ones_like(echoes) if strength is None else strength
    if correct_jumps:
        settle(unwrapped, weights, flags, template, template, 0.0)
    if mode == "template":
        follow(unwrapped, weights, flags, times, template)
    for echo in range(times.size):
        if echo == template:
            continue
        ratio = float(times[echo] / times[template])
        if mode == "individual":
            grown = _spatial(echoes, strength, flags, times, echo, use)
            expected = unwrapped[..., template] * np.float32(ratio)
            grown.shift(bordered(expected, grown.box).ravel())
            unwrapped[..., echo] = grown.result(flags.shape)
            if correct_jumps:
                settle_patches(unwrapped[..., echo], expected, flags)
        if correct_jumps:
            settle(unwrapped, weights, flags, echo, template, ratio)
    return unwrapped


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
    weights = _rated(echoes, strength, flags, times, template, Coherences())
    # voxels at the volume's edge have fewer than six neighbours
    edges = np.full(flags.shape, 6, np.uint8)
    for axis in range(3):
        for end in (0, -1):
            edges[(slice(None),) * axis + (end,)] -= 1
    # an edge in the mask never weighs less than 1/255, so that it stays an edge: take that floor off again
    mean = edge_sum(weights) / np.maximum(edges, 1).astype(np.float32)
    return np.clip((mean - 1) / 254, 0, 1).astype(np.float32)
