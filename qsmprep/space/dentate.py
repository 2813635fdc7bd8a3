"""The dentate nucleus of one person: the packaged label says where to look, χ says where its border is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

NAME = "dentate"
REACH_MM = 5.0
"""How far from the prior the nucleus may lie: what registration and the differences between people come to."""
SHELL_MM = (5.0, 10.0)
"""Where the surroundings are taken from: cerebellar white matter mostly."""
LEAST_CONTRAST_PPM = 0.020
NOISE_FACTOR = 3.0
"""The contrast has to be this many robust standard deviations of the surroundings at least."""
VOLUME_MM3 = (150.0, 2500.0)
"""The published volume is about 1,000 mm³ a side; beyond these bounds a vein or half the cerebellum was found."""
LEAST_SHARE = 0.3
"""Of what was found, so much at least lies within 2 mm of the prior: else it is a vein or another nucleus."""
NEAR_MM = 2.0


def refine_dentate(
    labels: NDArray[np.integer[Any]],
    sides: Mapping[str, int],
    chi: NDArray[np.floating[Any]],
    mask: NDArray[np.bool_],
    voxel_size: Sequence[float],
    *,
    r2star: NDArray[np.floating[Any]] | None = None,
) -> tuple[NDArray[np.integer[Any]], dict[str, dict[str, Any]]]:
    """Replace the prior of the dentate nucleus by what χ shows, one side after the other.

    Parameters
    ----------
    labels : (x, y, z) integer array, on the grid of `chi`
    sides : hemisphere ("L", "R") -> value of its prior in `labels`
    chi : (x, y, z) array [ppm]
    mask : (x, y, z) bool array, where χ is known
    voxel_size : 3 floats [mm]
    r2star : (x, y, z) array [1/s], optional

    Returns
    -------
    labels : (x, y, z) integer array; no voxel of another label is touched, and a side without contrast keeps its prior
    record : hemisphere -> what `find_nucleus` tells

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    for name, values in {"chi": chi, "mask": mask, "r2star": r2star}.items():
        if values is not None and values.shape != labels.shape:
            raise ValueError(f"labels have shape {labels.shape}, {name} has {values.shape}")
    free = (labels == 0) | np.isin(labels, list(sides.values()))
    found: dict[str, NDArray[np.bool_]] = {}
    record: dict[str, dict[str, Any]] = {}
    for side, index in sides.items():
        prior = labels == index
        others = np.isin(labels, [i for i in sides.values() if i != index])
        allowed = mask & free & ~others
        found[side], record[side] = find_nucleus(prior, chi, allowed, voxel_size, r2star=r2star)
    refined = np.where(free, 0, labels).astype(labels.dtype)
    for side, index in sides.items():
        refined[found[side] & (refined == 0)] = index
    return refined, record


def find_nucleus(
    prior: NDArray[np.bool_],
    chi: NDArray[np.floating[Any]],
    allowed: NDArray[np.bool_],
    voxel_size: Sequence[float],
    *,
    r2star: NDArray[np.floating[Any]] | None = None,
) -> tuple[NDArray[np.bool_], dict[str, Any]]:
    """Find the connected paramagnetic body in and around a prior.

    Its level is the median of those voxels of the prior that stand out of the surroundings, and its border is half-way
    between both, where a voxel is filled by half. With R2* a voxel also needs no less of it than the surroundings have:
    iron raises both, what is left of streaks raises χ alone.

    Parameters
    ----------
    prior : (x, y, z) bool array
    chi : (x, y, z) array [ppm]
    allowed : (x, y, z) bool array, where χ is known and no other label is
    voxel_size : 3 floats [mm]
    r2star : (x, y, z) array [1/s], optional

    Returns
    -------
    nucleus : (x, y, z) bool array; the prior where nothing could be found
    record : Method ("chi" or "prior"), with Reason for the latter, contrast and cut [ppm], volumes [mm³], overlap
    """
    volume = float(np.prod(np.asarray(voxel_size, float)))
    record: dict[str, Any] = {"Method": "prior", "PriorVolume": round(float(prior.sum()) * volume, 1)}
    if not (prior & allowed).any():
        return prior, record | {"Reason": "the prior lies outside the mask"}
    box = _box(prior, voxel_size)
    distance = ndimage.distance_transform_edt(~prior[box], sampling=tuple(voxel_size))
    known, values = allowed[box], chi[box].astype(np.float64)
    shell = known & (distance > SHELL_MM[0]) & (distance <= SHELL_MM[1])
    if shell.sum() < 2:
        return prior, record | {"Reason": "nothing of the surroundings lies in the mask"}
    around = float(np.median(values[shell]))
    noise = 1.4826 * float(np.median(np.abs(values[shell] - around)))
    inside = values[prior[box] & known]
    high = inside[inside > around + max(NOISE_FACTOR * noise, LEAST_CONTRAST_PPM)]
    if high.size * volume < VOLUME_MM3[0]:
        return prior, record | {"Reason": "too little of the prior stands out of its surroundings"}
    contrast = float(np.median(high)) - around
    cut = around + contrast / 2
    record |= {"Contrast": round(contrast, 4), "Cut": round(cut, 4), "SurroundingsSD": round(noise, 4)}
    bright = known & (distance <= REACH_MM) & (values > cut)
    if r2star is not None:
        bright &= r2star[box] >= np.median(r2star[box][shell])
    body = _main_body(bright, prior[box])
    size = float(body.sum()) * volume
    if reason := _doubt(size, distance[body]):
        return prior, record | {"Reason": reason}
    nucleus = np.zeros(prior.shape, bool)
    nucleus[box] = body
    overlap = 2 * float((body & prior[box]).sum()) / float(body.sum() + prior.sum())
    return nucleus, record | {"Method": "chi", "Volume": round(size, 1), "DiceWithPrior": round(overlap, 3)}


def _doubt(size: float, distance: NDArray[np.floating[Any]]) -> str:
    """Why what was found is no dentate nucleus, from its volume [mm³] and its voxels' distances [mm] to the prior."""
    if not VOLUME_MM3[0] <= size <= VOLUME_MM3[1]:
        return f"what was found has {size:.0f} mm³"
    if (distance <= NEAR_MM).mean() < LEAST_SHARE:
        return "what was found lies too far from the prior"
    return ""


def _box(prior: NDArray[np.bool_], voxel_size: Sequence[float]) -> tuple[slice, ...]:
    """The box of the prior, wide enough for its surroundings."""
    reach = [int(np.ceil(SHELL_MM[1] / v)) for v in voxel_size]
    box = ndimage.find_objects(prior.astype(np.uint8))[0]
    return tuple(slice(max(s.start - r, 0), s.stop + r) for s, r in zip(box, reach, strict=True))


def _main_body(bright: NDArray[np.bool_], prior: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The connected part that has most in common with the prior; a folded sheet may hang together by corners."""
    parts, n = ndimage.label(bright, structure=np.ones((3, 3, 3)))
    if not n:
        return bright
    shared = np.bincount(parts[prior], minlength=n + 1)
    shared[0] = 0
    return np.asarray(parts == shared.argmax()) if shared.any() else np.zeros_like(bright)
