"""Laplacian unwrapping: wrapped phase tells the Laplacian of the true one, and a Poisson equation gives it back."""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np
from numpy.typing import NDArray
from scipy import fft

from .. import _fft
from .._grid import Float, as_echo_times, as_echoes, as_mask, as_voxel_size, mask_box

TWO_PI = 2 * np.pi


@numba.njit(parallel=True, cache=True)
def _laplacian(phase, scale):  # type: ignore[no-untyped-def]
    """Sum of wrapped steps to the six neighbours over their squared distance; no step across the volume's edge."""
    nx, ny, nz = phase.shape
    out = np.zeros((nx, ny, nz), np.float32)
    for x in numba.prange(nx):
        for y in range(ny):
            for z in range(nz):
                total = 0.0
                for d in range(3):
                    for sign in (-1, 1):
                        u, v, w = x + sign * (d == 0), y + sign * (d == 1), z + sign * (d == 2)
                        if 0 <= u < nx and 0 <= v < ny and 0 <= w < nz:
                            step = phase[u, v, w] - phase[x, y, z]
                            total += scale[d] * (step - TWO_PI * np.rint(step / TWO_PI))
                out[x, y, z] = total
    return out


@numba.njit(parallel=True, cache=True)
def _excess(wrapped, smooth, inside):  # type: ignore[no-untyped-def]
    """Sums of cosine and sine of what the solution misses, plane by plane."""
    sums = np.zeros((wrapped.shape[0], 2))
    for x in numba.prange(wrapped.shape[0]):
        for y in range(wrapped.shape[1]):
            for z in range(wrapped.shape[2]):
                if inside[x, y, z]:
                    left = wrapped[x, y, z] - smooth[x, y, z]
                    sums[x, 0] += np.cos(left)
                    sums[x, 1] += np.sin(left)
    return sums


def _solve(laplacian: Float, scale: tuple[float, ...]) -> Float:
    """The volume of mean 0 with this discrete Laplacian and no slope across its edges."""
    workers = _fft.workers()
    spectrum = fft.dctn(laplacian, type=2, workers=workers, overwrite_x=True)
    axes = [
        np.float32(s) * (2 * np.cos(np.pi * np.arange(n) / n) - 2).astype(np.float32)
        for n, s in zip(laplacian.shape, scale, strict=True)
    ]
    eigenvalues = axes[0][:, None, None] + axes[1][:, None] + axes[2]
    eigenvalues[0, 0, 0] = 1
    spectrum /= eigenvalues
    spectrum[0, 0, 0] = 0
    return fft.idctn(spectrum, type=2, workers=workers, overwrite_x=True)


def unwrap_laplacian(
    phase: NDArray[np.generic],
    magnitude: NDArray[np.generic] | None,
    mask: NDArray[np.generic],
    te: Sequence[float],
    voxel_size: Sequence[float] = (1.0, 1.0, 1.0),
    *,
    pad_mm: float = 8.0,
) -> Float:
    """Unwrap each echo by solving a Poisson equation.

    The equation is solved in the box around the mask, wider by `pad_mm` where the volume allows it, with no slope
    across the box's faces. Cosine transforms keep that condition, so nothing wraps around and no room needs to be
    added beyond the volume: only measured phase takes part.

    The result is smooth and free of holes, but differs from `phase` by other than whole turns, most so near strong
    sources: good to look at, or where path-based unwrapping fails. The Laplacian is that of the wrapped steps between
    neighbours, which is cos φ ∇² sin φ - sin φ ∇² cos φ for small steps and does not flatten steep ones.

    Parameters
    ----------
    phase : (x, y, z, echo) array [rad]
        Also used outside `mask`, in the padded box around it.
    magnitude : ignored
    mask : (x, y, z) bool array
    te : echo times [s], ascending
    voxel_size : 3 floats [mm]
    pad_mm : float [mm]
        What surrounds the mask's box and takes part.

    Returns
    -------
    unwrapped : (x, y, z, echo) float32 array [rad], 0 outside `mask`

    Raises
    ------
    ValueError
        If shapes differ, the mask is empty or echo times are not ascending.

    References
    ----------
    Schofield MA, Zhu Y. Opt Lett 2003;28:1194. https://doi.org/10.1364/OL.28.001194
    """
    echoes = as_echoes(phase, "phase")
    flags = as_mask(mask, echoes.shape[:3])
    times = as_echo_times(te, echoes.shape[3])
    sizes = as_voxel_size(voxel_size)
    scale = tuple(1 / v**2 for v in sizes)
    box = mask_box(flags, margin=int(np.ceil(pad_mm / min(sizes))))
    inside = np.ascontiguousarray(flags[box])
    unwrapped = np.zeros_like(echoes)
    for echo in range(times.size):
        wrapped = np.ascontiguousarray(echoes[..., echo][box])
        smooth = _solve(_laplacian(wrapped, scale), scale)
        # the equation leaves a constant open: the one that fits the wrapped phase
        cosine, sine = _excess(wrapped, smooth, inside).sum(axis=0)
        smooth += np.float32(np.arctan2(sine, cosine))
        smooth -= np.float32(TWO_PI * np.rint(np.median(smooth[inside]) / TWO_PI))
        smooth *= inside
        unwrapped[*box, echo] = smooth
    return unwrapped
