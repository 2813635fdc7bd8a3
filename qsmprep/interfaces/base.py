"""What every interface shares: the code version in its hash, and reading and writing of working images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from nipype.interfaces.base import BaseInterfaceInputSpec, SimpleInterface, traits

from .. import __version__

__all__ = ["InputSpec", "StageInterface", "affine_of", "load", "load_mask", "save", "voxel_size_of"]


class InputSpec(BaseInterfaceInputSpec):
    """Inputs of a stage. The version is hashed with them, so that an upgrade never reuses an old version's results."""

    code_version = traits.Str(__version__, usedefault=True)


class StageInterface(SimpleInterface):
    """An interface that fills `self._results` and names its working files after its output fields."""

    def _out(self, runtime, name: str, suffix: str = ".nii") -> str:
        path = str(Path(runtime.cwd) / f"{name}{suffix}")
        self._results[name] = path
        return path

    def _save(self, runtime, name: str, data, like) -> None:
        """Write `data` as the output `name`, on the grid of the image file `like`."""
        save(self._out(runtime, name), data, affine_of(like))


def load(path, dtype=np.float32):
    """Array of an image file, C-ordered; None for an input that is not set."""
    if not path:
        return None
    import nibabel as nb

    return np.ascontiguousarray(np.asanyarray(nb.load(path).dataobj), dtype=dtype)


def load_mask(path):
    """Boolean array of a mask file; None for an input that is not set."""
    data = load(path)
    return None if data is None else data > 0.5


def affine_of(path):
    """Voxel-to-world matrix of an image file [mm]."""
    import nibabel as nb

    return nb.load(path).affine


def voxel_size_of(path) -> tuple[float, float, float]:
    """Voxel size of an image file [mm]."""
    x, y, z = np.linalg.norm(affine_of(path)[:3, :3], axis=0)
    return float(x), float(y), float(z)


def save(path, data, affine) -> None:
    """Write an uncompressed working image: booleans as uint8, integers as they are, the rest as float32."""
    import nibabel as nb

    data = np.asarray(data)
    dtype = np.uint8 if data.dtype == bool else data.dtype if data.dtype.kind in "iu" else np.float32
    image = nb.Nifti1Image(data.astype(dtype, copy=False), affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, 1)
    image.set_qform(affine, 1)
    nb.save(image, path)
