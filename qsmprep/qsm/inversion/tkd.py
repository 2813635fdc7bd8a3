"""Truncated k-space division: divide the field by the dipole where that is safe, by the threshold elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np
from numpy.typing import NDArray

from .. import _fft
from .._grid import Float, as_voxel_size
from ..constants import PHASE_PER_PPM
from ..dipole import dipole_kernel
from ._variation import Problem


@numba.njit(parallel=True, cache=True)
def _divide(spectrum, dipole, threshold, last_once):  # type: ignore[no-untyped-def]
    """Spectrum over the truncated dipole; returns the mean over k-space of what a point keeps of its strength."""
    nx, ny, nz = spectrum.shape
    t = np.float32(threshold)
    kept = np.zeros(nx)
    for x in numba.prange(nx):
        for y in range(ny):
            for z in range(nz):
                d = dipole[x, y, z]
                inverse = np.float32(1) / (d if abs(d) > t else (t if d >= 0 else -t))
                spectrum[x, y, z] *= inverse
                # half of k-space stands for the whole: planes within count twice
                kept[x] += d * inverse * (1.0 if z == 0 or (last_once and z == nz - 1) else 2.0)
    spectrum[0, 0, 0] = 0
    return kept.sum()


def tkd(
    local_field: NDArray[np.generic],
    mask: NDArray[np.generic],
    voxel_size: Sequence[float],
    b0_dir: Sequence[float],
    *,
    noise: NDArray[np.generic] | None = None,
    magnitude: NDArray[np.generic] | None = None,
    phase_per_ppm: float = PHASE_PER_PPM,
    threshold: float = 0.15,
    correct: bool = True,
    pad_mm: float = 16.0,
) -> Float:
    """Susceptibility by truncated k-space division (TKD).

    The field's spectrum over the dipole's, whose size is at least `threshold`. Truncation makes χ too small; the mean
    share that a point source keeps is known and divided out if `correct`.

    Parameters
    ----------
    local_field : (x, y, z) array [ppm]
    mask : (x, y, z) bool array
    voxel_size : 3 floats [mm]
    b0_dir : 3 floats
        Direction of B0 in voxel axes.
    noise : (x, y, z) array [ppm], optional
        Standard error of the field: where it is infinite the field counts as 0, like outside the mask.
    magnitude, phase_per_ppm
        Not used by this method.
    threshold : float
        Least size of the dipole, of 2/3 at most.
    correct : bool
        Undo the loss of a point source's strength.
    pad_mm : float [mm]
        Room behind the box of the mask, so that dipoles do not reach around it.

    Returns
    -------
    chi : (x, y, z) float32 array [ppm], 0 outside `mask`, without a reference

    Raises
    ------
    ValueError
        If shapes differ, the mask is empty, the field is not finite inside it or the threshold is not positive.

    References
    ----------
    Shmueli K, et al. Magn Reson Med 2009;62:1510. https://doi.org/10.1002/mrm.22135
    Schweser F, et al. Magn Reson Med 2013;69:1581. https://doi.org/10.1002/mrm.24405
    """
    if not threshold > 0:
        raise ValueError(f"threshold must be positive, found {threshold}")
    sizes = as_voxel_size(voxel_size)
    problem = Problem(local_field, mask, sizes, noise=noise, pad_mm=pad_mm)
    grid = problem.grid
    spectrum = _fft.forward(problem.field)
    kept = _divide(spectrum, dipole_kernel(grid, sizes, b0_dir), threshold, grid[2] % 2 == 0) / np.prod(grid)
    chi = _fft.inverse(spectrum, grid)
    if correct:
        chi /= np.float32(kept)
    return problem.result(chi)
