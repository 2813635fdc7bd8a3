"""Volumes of a run's files, one coil at a time."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import numpy as np


class EchoReader:
    """From the number of a coil to its magnitude and phase [rad], (x, y, z, echo) both.

    A compressed file with several volumes is unpacked once, since a volume in it cannot be reached without all before.

    Parameters
    ----------
    given : inputs of `ReadEchoes`
    folder : where unpacked files go until `close`
    """

    def __init__(self, given, folder):
        self.given, self.folder = given, Path(folder)
        self._images = {}
        self._unpacked = []

    def __call__(self, coil):
        from ..qsm.combine import remove_alternation
        from ..qsm.phase import PhaseScaling, from_real_imag, to_radians

        given = self.given
        if given.real:
            magnitude, phase = from_real_imag(self._stack(given.real, coil), self._stack(given.imag, coil))
            phase *= np.float32(given.phase_sign)
        else:
            scaling = PhaseScaling(**given.scaling)
            phase = self._stack(given.phase, coil, lambda volume: to_radians(volume, scaling, given.phase_sign))
            magnitude = self._stack(given.magnitude, coil) if given.magnitude else None  # type: ignore[assignment]
        if given.alternating_axis is not None:
            phase = remove_alternation(phase, given.alternating_axis)
        return magnitude, phase

    def close(self):
        """Remove unpacked files."""
        self._images.clear()
        for path in self._unpacked:
            path.unlink(missing_ok=True)

    def _stack(self, files, coil, convert=lambda volume: volume):
        """All echoes of a coil."""
        step = max(self.given.n_coils, 1)
        pairs = list(zip(files, self.given.volumes, strict=True))[coil::step]
        return np.stack([convert(self._volume(path, index)) for path, index in pairs], axis=-1)

    def _volume(self, path, index):
        image = self._open(path)
        further = image.shape[3:]
        place = np.unravel_index(max(index, 0), further) if further else ()
        return np.ascontiguousarray(image.dataobj[(..., *(int(n) for n in place))], dtype=np.float32)

    def _open(self, path):
        import nibabel as nb

        if path not in self._images:
            image = nb.load(path)
            if str(path).endswith(".gz") and np.prod(image.shape[3:]) > 1:
                plain = self.folder / f"unpacked{len(self._unpacked)}.nii"
                with gzip.open(path) as packed, plain.open("wb") as target:
                    shutil.copyfileobj(packed, target, 1 << 22)
                self._unpacked.append(plain)
                image = nb.load(plain)
            self._images[path] = image
        return self._images[path]
