"""Displacement fields on one grid as arrays, in voxels: where the points of an image go, and the way back.

A field d of shape (x, y, z, 3) brings the point x of its grid to x + d(x).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import ArrayLike, NDArray

Field = NDArray[np.float32]
_FLIP = np.array([-1.0, -1.0, 1.0])  # ITK counts x and y the other way
_VECTOR = 1007  # NIfTI's intent of a field of vectors


def moved(image: NDArray[np.float32], field: Field) -> NDArray[np.float32]:
    """The image at the points to which a field leads, by linear interpolation; 0 outside.

    Parameters
    ----------
    image : (x, y, z)
    field : (x, y, z, 3) [voxels]
    """
    from scipy.ndimage import map_coordinates

    result: NDArray[np.float32] = map_coordinates(image, _places(field), order=1, output=np.float32)
    return result


def composed(first: Field, second: Field) -> Field:
    """One field that leads as two after each other: points go through `first`, then through `second`.

    Parameters
    ----------
    first, second : (x, y, z, 3) [voxels]
    """
    from scipy.ndimage import map_coordinates

    places = _places(first)
    then = [map_coordinates(second[..., i], places, order=1, mode="nearest") for i in range(3)]
    return first + np.stack(then, axis=-1).astype(np.float32)


def inverted(field: Field, *, iterations: int = 50, tolerance: float = 1e-3) -> Field:
    """The way back, by iteration to a fixed point.

    Parameters
    ----------
    field : (x, y, z, 3) [voxels]; neighbours may not come closer than half a voxel, or it does not converge
    tolerance : of the largest change [voxels] at which it ends

    Raises
    ------
    ValueError
        If it does not converge.

    References
    ----------
    Chen M, et al. Med Phys 2008;35:81. https://doi.org/10.1118/1.2816107
    """
    back = -field
    for _ in range(iterations):
        # where the way there and the way back do not meet yet
        rest = composed(back, field)
        back = back - rest
        if np.abs(rest).max() < tolerance:
            return back
    raise ValueError(f"the displacement field cannot be inverted: {np.abs(rest).max():.2g} voxels are left")


def mean_field(fields: Iterable[Field]) -> Field:
    """Mean of fields, of which one at a time is held.

    Raises
    ------
    ValueError
        If there is none.
    """
    total, n = np.zeros(0), 0
    for field in fields:
        total, n = (field.astype(np.float64) if n == 0 else total + field), n + 1
    if n == 0:
        raise ValueError("there is no displacement field to take the mean of")
    return (total / n).astype(np.float32)


def length_mm(field: Field, affine: ArrayLike) -> NDArray[np.float32]:
    """How far each point is moved [mm], (x, y, z)."""
    ways = field @ np.asarray(affine, float)[:3, :3].T
    return np.linalg.norm(ways, axis=-1).astype(np.float32)


def read_field(path: Path) -> Field:
    """Read a displacement field of ITK.

    Raises
    ------
    ValueError
        If the image is none.
    """
    image = nib.load(path)
    data = np.asarray(image.dataobj, np.float32)
    if data.ndim != 5 or data.shape[3:] != (1, 3):
        raise ValueError(f"{path}: has the shape {data.shape}, a displacement field (x, y, z, 1, 3) is expected")
    to_voxels = np.linalg.inv(image.affine[:3, :3]) * _FLIP
    return (data[..., 0, :] @ to_voxels.T).astype(np.float32)


def write_field(field: Field, affine: ArrayLike, out: Path) -> Path:
    """Write a field as ITK reads it, whole or not at all; `affine` (4, 4) is that of its grid."""
    matrix = np.asarray(affine, float)
    ways = (field @ (_FLIP[:, None] * matrix[:3, :3]).T).astype(np.float32)
    image = nib.Nifti1Image(ways[..., None, :], matrix)
    image.header.set_intent(_VECTOR)
    image.header.set_xyzt_units("mm")
    temporary = out.with_name(f".tmp_{out.name}")
    nib.save(image, temporary)
    return temporary.replace(out)


def _places(field: Field) -> NDArray[np.float32]:
    return np.indices(field.shape[:3], np.float32) + np.moveaxis(field, -1, 0)
