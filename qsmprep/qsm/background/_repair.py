"""Voxels whose phase cannot be trusted, put right before spheres and stencils carry them through the mask."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse
from scipy.sparse import linalg

from .._grid import Bool, Float
from .._weights import data_weight

TRUSTED = 0.05  # weight from which on a voxel keeps its own value: 20 times the median noise
DETAIL = 0.0025  # [ppm] how far the local field differs from the mean of its neighbours at most places
DOUBT = 0.02  # [ppm] error of a voxel of infinite noise, where it is not wrong altogether
FIRST_DOUBT = 0.3  # [ppm] the same before anything is known of it
ROUNDS = 6
CG_ITERATIONS = 100


def repair_field(field: Float, mask: Bool, voxel_size: Sequence[float], noise: NDArray[np.generic] | None) -> Float:
    """The total field, with the voxels that cannot be trusted pulled to where Laplace's equation wants them.

    Fields of sources outside the mask are harmonic in it, so a voxel differs from the mean of its neighbours by no
    more than the local field does: that foretells a voxel within the mask, and one on the rim through its neighbour
    within. Least squares over the untrusted voxels of that difference over `DETAIL` and of the voxel's own deviation
    over its noise; Cauchy's weights let go of a value that is wrong altogether. Next to air the background is so
    steep that many a noisy voxel knows its field better than its neighbours do: it keeps its say.

    Parameters
    ----------
    field : (x, y, z) float32 array [ppm]
    mask : (x, y, z) bool array
    voxel_size : 3 floats [mm]
    noise : (x, y, z) array [ppm] or None
        Standard error of the field, infinite where it is not to be trusted. None: every voxel is trusted.

    Returns
    -------
    repaired : (x, y, z) float32 array [ppm], 0 outside the mask

    Raises
    ------
    ValueError
        If shapes differ or no voxel of the mask can be trusted.
    """
    repaired: Float = np.where(mask, field, np.float32(0))
    if noise is None:
        return repaired
    weight = data_weight(noise, mask)
    if np.isposinf(np.asarray(noise)[mask]).all():
        raise ValueError("no voxel of the mask has a field that can be trusted: its noise is infinite throughout")
    doubtful: Bool = mask & (weight < TRUSTED)
    if not doubtful.any():
        return repaired
    known = np.isfinite(field[doubtful])
    nearest = ndimage.distance_transform_edt(
        doubtful | ~mask, sampling=voxel_size, return_distances=False, return_indices=True
    )
    around = repaired[tuple(axis[doubtful] for axis in nearest)].astype(np.float64)
    own = np.where(known, field[doubtful], around).astype(np.float64)
    spread = np.asarray(noise)[doubtful].astype(np.float64)
    spread = np.where(np.isfinite(spread), np.minimum(spread, DOUBT), DOUBT)
    repaired[doubtful] = 0
    matrix, wanted = _laplace(repaired, mask, doubtful, voxel_size)
    normal, right = matrix.T @ matrix, matrix.T @ wanted
    found, scale2 = around, np.full(own.size, FIRST_DOUBT**2)
    for _ in range(ROUNDS):
        say = known * DETAIL**2 / scale2 + 1e-9
        system = normal + sparse.diags(say)
        centre = np.where(known, own, around)
        found, _info = linalg.cg(
            system,
            right + say * centre,
            x0=found,
            rtol=1e-5,
            maxiter=CG_ITERATIONS,
            M=sparse.diags(1 / system.diagonal()),
        )
        scale2 = spread**2 + (found - own) ** 2
    repaired[doubtful] = found
    return repaired


def _laplace(
    field: Float, mask: Bool, doubtful: Bool, voxel_size: Sequence[float]
) -> tuple[sparse.csr_matrix, NDArray[np.float64]]:
    """Mean of the neighbours less the voxel, as a matrix on the doubtful voxels and what the others ask of it.

    One row a voxel that has all its neighbours in the mask, and is doubtful or has a neighbour that is. `field` is 0
    where it is doubtful.
    """
    inner = ndimage.binary_erosion(mask) & ndimage.binary_dilation(doubtful)
    rows = np.argwhere(inner)
    number = np.full(mask.shape, -1, np.int64)
    number[doubtful] = np.arange(int(doubtful.sum()))
    faces = 1 / np.square(np.asarray(voxel_size, np.float64))
    faces /= 2 * faces.sum()
    wanted = np.zeros(len(rows))
    entries: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]] = []
    stencil: list[tuple[tuple[int, ...], float]] = [((0, 0, 0), -1.0)]
    for axis in range(3):
        for step in (-1, 1):
            shift = tuple(step if a == axis else 0 for a in range(3))
            stencil.append((shift, float(faces[axis])))
    for shift, coefficient in stencil:
        place = tuple((rows + np.asarray(shift)).T)
        column = number[place]
        wanted -= coefficient * field[place]
        unknown = np.flatnonzero(column >= 0)
        entries.append((unknown, column[unknown], np.full(unknown.size, coefficient)))
    row, column, value = (np.concatenate(part) for part in zip(*entries, strict=True))
    return sparse.csr_matrix((value, (row, column)), shape=(len(rows), int(doubtful.sum()))), wanted
