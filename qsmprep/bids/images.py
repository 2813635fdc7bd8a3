"""Look into images before any work: whole files, sane values, equal grids, orientation."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InputError

SAMPLE = 50_000
# positions may differ by rounding in the headers, by this part of a voxel at the corners of the volume
GRID_TOLERANCE = 0.01

Affine = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Grid:
    """Shape (x, y, z), lengths of further axes (none for a 3-D file), affine, and whether it has any orientation."""

    path: Path
    shape: tuple[int, int, int]
    further: tuple[int, ...]
    affine: Affine
    oriented: bool

    @property
    def volumes(self) -> int | None:
        """Volumes along the fourth axis (and the fifth); None for a 3-D file."""
        return math.prod(self.further) if self.further else None

    @property
    def voxel_size(self) -> tuple[float, float, float]:
        """[mm]"""
        x, y, z = np.sqrt((self.affine[:3, :3] ** 2).sum(axis=0))
        return float(x), float(y), float(z)

    def b0_dir(self) -> tuple[tuple[float, float, float], float]:
        """Scanner z as a unit vector in voxel axes, and its angle with the nearest of them [degrees]."""
        # the nearest rotation: a header may hold a slight shear
        left, _, right = np.linalg.svd(self.affine[:3, :3] / self.voxel_size)
        direction = (left @ right)[2]
        direction = direction / np.linalg.norm(direction) + 0.0  # no negative zeros
        angle = float(np.degrees(np.arccos(min(1.0, float(np.abs(direction).max())))))
        x, y, z = (float(v) for v in direction)
        return (x, y, z), angle

    def turned_like(self, other: Grid) -> Grid:
        """The same voxels with their axes in the order and direction that is nearest to those of another grid."""
        from nibabel.orientations import inv_ornt_aff, io_orientation, ornt_transform

        turn = ornt_transform(io_orientation(self.affine), io_orientation(other.affine))
        shape = [0, 0, 0]
        for axis, (to, _) in enumerate(turn):
            shape[int(to)] = self.shape[axis]
        affine = self.affine @ inv_ornt_aff(turn, self.shape)
        return replace(self, shape=(shape[0], shape[1], shape[2]), affine=affine)

    def difference(self, other: Grid) -> str | None:
        """What differs between two grids, in words; None if they agree."""
        if self.shape != other.shape:
            return f"has {_times(self.shape)} voxels, but {other.path.name} has {_times(other.shape)}"
        corners = np.array([[x, y, z, 1] for x in (0, 1) for y in (0, 1) for z in (0, 1)], dtype=np.float64)
        corners[:, :3] *= np.array(self.shape) - 1
        shift = np.linalg.norm(corners @ (self.affine - other.affine).T, axis=1).max()
        if shift > GRID_TOLERANCE * min(self.voxel_size):
            return f"lies elsewhere than {other.path.name}: their affines put the same voxel up to {shift:.3g} mm apart"
        return None


@dataclass(frozen=True)
class Values:
    """Range of the values of an image (header slope applied) and a sample drawn evenly from it."""

    minimum: float
    maximum: float
    sample: npt.NDArray[np.float64]


def read_grid(path: Path) -> Grid:
    """Read an image's header.

    Raises
    ------
    InputError
        If the file is empty, absent or no NIfTI image, or has not 3 to 5 dimensions.
    """
    import nibabel as nib
    from nibabel.filebasedimages import ImageFileError

    try:
        if path.stat().st_size == 0:
            raise InputError(f"{path} is empty (zero bytes); expected a NIfTI image")
        image: Any = nib.load(path)
        header = image.header
        shape, affine = image.shape, np.asarray(image.affine, dtype=np.float64)
    except FileNotFoundError:
        raise InputError(f"{path} points to a file that is not there (a broken link, or data not fetched?)") from None
    except PermissionError:
        raise InputError(f"{path} may not be read: permission denied") from None
    except (ImageFileError, OSError, EOFError, zlib.error, ValueError) as error:
        raise InputError(f"{path} is no readable NIfTI image: {_one_line(error)}") from None
    if len(shape) not in (3, 4, 5):
        raise InputError(
            f"{path} has {len(shape)} dimensions; expected (x, y, z), (x, y, z, echo) or (x, y, z, echo, coil)"
        )
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise InputError(f"{path}: the affine of its header is not invertible")
    oriented = bool(int(header["qform_code"]) or int(header["sform_code"])) if "qform_code" in header else True
    x, y, z = (int(n) for n in shape[:3])
    return Grid(path, (x, y, z), tuple(int(n) for n in shape[3:]), affine, oriented)


def read_values(path: Path) -> Values:
    """Read all of an image: that it is whole, finite, and its range. One volume is held in memory at a time.

    Raises
    ------
    InputError
        If data are missing or damaged, or a voxel is NaN or infinite.
    """
    import nibabel as nib

    image: Any = nib.load(path)
    dtype, size = image.get_data_dtype(), math.prod(image.shape)
    if dtype.kind == "c":
        raise InputError(f"{path} holds complex numbers; expected part-phase and part-mag, or part-real and part-imag")
    if size == 0 or dtype.names:
        raise InputError(f"{path} holds no plain numbers (data type {dtype})")
    # a step that shares no factor with the shape visits all rows and slices
    step = max(1, size // SAMPLE) | 1
    bad, ends, samples, constant = 0, [], [], []
    try:
        for place, volume in _volumes(path, image):
            finite = np.isfinite(volume) if dtype.kind == "f" else None
            bad += 0 if finite is None else int(volume.size - finite.sum())
            ends += [float(volume.min()), float(volume.max())]
            samples.append(volume.ravel(order="K")[::step].astype(np.float64))
            if place and ends[-2] == ends[-1]:
                constant.append(" of coil ".join(str(n + 1) for n in place))
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise InputError(
            f"{path} is cut off or damaged: its header promises {_times(image.shape)} voxels, but they cannot all be "
            f"read ({_one_line(error)}). Copy or convert it again"
        ) from None
    if bad:
        raise InputError(f"{path} has {bad} of {size} voxels that are NaN or infinite; expected numbers")
    if constant:
        raise InputError(f"{path}: volume {constant[0]} is constant; expected values that vary")
    return Values(min(ends), max(ends), np.concatenate(samples))


def _volumes(path: Path, image: Any) -> Iterator[tuple[tuple[int, ...], npt.NDArray[Any]]]:
    """Index beyond the third axis and (x, y, z) volume, in the order of the file and to its very end."""
    further = image.shape[3:]
    with gzip.open(path) if path.name.endswith(".gz") else path.open("rb") as stream:
        proxy = type(image).from_stream(stream).dataobj
        for number in range(math.prod(further)):
            place = tuple(int(n) for n in np.unravel_index(number, further, order="F")) if further else ()
            yield place, np.asanyarray(proxy[(..., *place)])
        while stream.read(1 << 20):  # a compressed stream checks its sum at the end only
            pass


def values_on_grid(path: Path, target: Grid, what: str = "an image") -> npt.NDArray[Any]:
    """Values of an image as (x, y, z) array on a grid; axes are permuted and flipped where they have to be.

    Nothing is interpolated: programs that bring images to a standard orientation change the order of the voxels only.

    Raises
    ------
    InputError
        If the image lies on another grid.
    """
    import nibabel as nib
    from nibabel.orientations import io_orientation, ornt_transform

    image: Any = nib.load(path)
    found = read_grid(path)
    if found.difference(target):
        image = image.as_reoriented(ornt_transform(io_orientation(image.affine), io_orientation(target.affine)))
    difference = found.turned_like(target).difference(target)
    if difference:
        raise InputError(f"{path} {difference}; expected {what} on the same grid")
    values: npt.NDArray[Any] = np.asanyarray(image.dataobj).reshape(target.shape)
    return values


def read_volume(path: Path, index: int | None) -> npt.NDArray[np.float32]:
    """One (x, y, z) volume of an image (header slope applied); `index` counts over all axes beyond the third."""
    import nibabel as nib

    image: Any = nib.load(path)
    further = image.shape[3:]
    place = np.unravel_index(index or 0, further) if further else ()
    return np.asarray(image.dataobj[(..., *(int(n) for n in place))], np.float32)


def check_varies(path: Path, values: Values) -> None:
    """Raise an InputError if every voxel of an image is equal."""
    if values.minimum == values.maximum:
        raise InputError(f"{path} is constant: every voxel is {values.minimum:g}; expected values that vary")


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in shape)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
