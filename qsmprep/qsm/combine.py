"""Phase offsets: what the phase would be at TE 0, and its removal before unwrapping and field mapping."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from . import _fft
from ._grid import Bool, Float, as_echo_times, as_echoes, as_mask, as_voxel_size
from .unwrap.romeo import unwrap_volume

TWO_PI = 2 * np.pi


class Combined(NamedTuple):
    """Phase (x, y, z, echo) [rad] within ±π, and the offset (x, y, z) [rad] taken from it; None where none could be."""

    phase: Float
    offset: Float | None


def wrap(angle: NDArray[np.generic]) -> Float:
    """`angle` [rad] moved by whole turns into ±π, as float32."""
    values = np.asarray(angle)
    return (values - TWO_PI * np.rint(values / TWO_PI)).astype(np.float32)


def _smooth(vectors: NDArray[np.complex64], voxel_size: Sequence[float], sigma_mm: float) -> NDArray[np.complex64]:
    """Gaussian smoothing of a complex volume; beyond its edges there is nothing."""
    shape = vectors.shape
    grid = _fft.padded_shape(shape, voxel_size, 3 * sigma_mm)
    spectrum = fft.fftn(vectors, grid, workers=_fft.workers())
    for axis, k in enumerate(_fft.frequencies(grid, voxel_size, real=False)):
        gauss = np.exp(-2 * (np.pi * sigma_mm * k) ** 2).astype(np.float32)
        spectrum *= gauss.reshape([-1 if a == axis else 1 for a in range(3)])
    smooth = fft.ifftn(spectrum, workers=_fft.workers(), overwrite_x=True)
    return smooth[: shape[0], : shape[1], : shape[2]]


def _difference(phase: Float, strength: Float, mask: Bool, first: int, second: int) -> Float:
    """Unwrapped phase that grew between two echoes."""
    step = wrap(phase[..., second] - phase[..., first])
    return unwrap_volume(step, np.sqrt(strength[..., first] * strength[..., second]), mask)


def _plane(vectors: NDArray[np.complex64]) -> Float:
    """The plane [rad] that the angle of `vectors` follows, wraps and all."""
    plane = np.zeros((1, 1, 1))
    for axis, n in enumerate(vectors.shape):
        if n > 1:
            ahead, behind = [(slice(None),) * axis + (s,) for s in (slice(1, None), slice(None, -1))]
            slope = np.angle(np.sum(vectors[ahead] * vectors[behind].conj(), dtype=np.complex128))
            plane = plane + slope * np.arange(n).reshape([-1 if a == axis else 1 for a in range(3)])
    constant = np.angle(np.sum(vectors * np.exp(-1j * plane), dtype=np.complex128))
    return (plane + constant).astype(np.float32)


def _block_mean(vectors: NDArray[np.complex64], factor: Sequence[int]) -> NDArray[np.complex64]:
    """Mean over blocks of voxels; blocks that stick out at the far ends are filled with 0."""
    room = [(0, -n % f) for n, f in zip(vectors.shape, factor, strict=True)]
    blocks = np.pad(vectors, room)
    x, y, z = (n // f for n, f in zip(blocks.shape, factor, strict=True))
    return blocks.reshape(x, factor[0], y, factor[1], z, factor[2]).mean(axis=(1, 3, 5))


def _stretch(blocks: NDArray[np.complex64], shape: Sequence[int], factor: Sequence[int]) -> NDArray[np.complex64]:
    """Linear interpolation from the centres of blocks to voxels."""
    for axis, (n, f) in enumerate(zip(shape, factor, strict=True)):
        place = np.clip((np.arange(n) + 0.5) / f - 0.5, 0, blocks.shape[axis] - 1)
        low = np.minimum(place.astype(int), max(blocks.shape[axis] - 2, 0))
        high = np.minimum(low + 1, blocks.shape[axis] - 1)
        share = (place - low).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
        blocks = blocks.take(low, axis) * (1 - share) + blocks.take(high, axis) * share
    return blocks


def _smooth_offset(offset: Float, weight: Float, voxel_size: Sequence[float], sigma_mm: float) -> Float:
    """Smooth phase [rad] that follows the measured offset.

    A Gaussian flattens curves, and slopes at the edge of the mask. So the plane is taken off before smoothing, and what
    one smoothing leaves behind is smoothed once more and added: the error falls to its square. Blocks much smaller
    than the Gaussian save most of the time.
    """
    vectors = (weight * np.exp(1j * offset)).astype(np.complex64)
    plane = _plane(vectors)
    vectors *= np.exp(-1j * plane)
    factor = [max(1, int(sigma_mm / (4 * v))) for v in voxel_size]
    blocks = _block_mean(vectors, factor)
    spacing = [v * f for v, f in zip(voxel_size, factor, strict=True)]
    curve = np.zeros(blocks.shape, np.float32)
    for _ in range(2):
        curve = curve + np.angle(_smooth(blocks * np.exp(-1j * curve), spacing, sigma_mm))
    return wrap(plane + np.angle(_stretch(np.exp(1j * curve), offset.shape, factor)))


def _bipolar_plane(phase: Float, strength: Float, mask: Bool, times: NDArray[np.float64]) -> Float:
    """Phase [rad] that odd echoes have, and even echoes lack, because their readout gradients are opposite.

    Echoes 1 and 3 share their polarity, so they foretell echo 2: what it differs by is minus twice the plane.
    """
    field = _difference(phase, strength, mask, 0, 2)
    foretold = phase[..., 0] + field * np.float32((times[1] - times[0]) / (times[2] - times[0]))
    vectors = (strength[..., 1] ** 2 * mask * np.exp(1j * (foretold - phase[..., 1]))).astype(np.complex64)
    return _plane(vectors) / np.float32(2)


def mcpc3ds(
    phase: NDArray[np.generic],
    magnitude: NDArray[np.generic] | None,
    te: Sequence[float],
    mask: NDArray[np.generic] | None = None,
    voxel_size: Sequence[float] = (1.0, 1.0, 1.0),
    *,
    sigma_mm: float = 10.0,
    bipolar: bool = False,
) -> Combined:
    """Remove the phase offset of a multi-echo acquisition (MCPC-3D-S).

    The phase that grew from the first to the second echo is unwrapped and carried back to TE 0; what remains of the
    first echo is the offset. It is smoothed as a complex number and subtracted from every echo. Echo times need not be
    even. Whole turns that echo times leave open are those that keep the median field nearest to 0.

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
        Standard deviation of the Gaussian that smooths the offset.
    bipolar : bool
        Readout gradients alternate: the linear phase between odd and even echoes is removed first, and the offset
        comes from echoes 1 and 3. Needs three echoes or more.

    Returns
    -------
    combined : Combined
        With a single echo (or a bipolar pair) nothing can be removed: the phase as it came, and `offset` None.

    Raises
    ------
    ValueError
        If shapes differ, the mask is empty or echo times are not ascending.

    References
    ----------
    Eckstein K, et al. Magn Reson Med 2018;79:2996. https://doi.org/10.1002/mrm.26963
    """
    echoes = as_echoes(phase, "phase")
    strength = np.ones_like(echoes) if magnitude is None else as_echoes(magnitude, "magnitude", echoes.shape)
    flags = np.ones(echoes.shape[:3], bool) if mask is None else as_mask(mask, echoes.shape[:3])
    times = as_echo_times(te, echoes.shape[3])
    sizes = as_voxel_size(voxel_size)
    if times.size < (3 if bipolar else 2):
        return Combined(wrap(echoes), None)
    if bipolar:
        plane = _bipolar_plane(echoes, strength, flags, times)
        signs = np.where(np.arange(times.size) % 2 == 0, -1, 1).astype(np.float32)
        echoes = echoes + plane[..., None] * signs
    second = 2 if bipolar else 1
    grown = _difference(echoes, strength, flags, 0, second)
    offset = echoes[..., 0] - grown * np.float32(times[0] / (times[second] - times[0]))
    weight = np.where(flags, strength[..., 0] * strength[..., second], 0)
    offset = _smooth_offset(offset, weight, sizes, sigma_mm)
    return Combined(wrap(echoes - offset[..., None]), offset)
