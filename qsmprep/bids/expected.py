"""What a run will need and write: memory, disk, file names."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .derivatives import derivative_path
from .model import Run

if TYPE_CHECKING:
    from ..settings import Settings

BYTES = 4  # float32
PADDED_VOLUMES = 30  # whole images on the padded grid that the dipole inversion and its transforms hold at once
VOLUMES_PER_ECHO = 4  # magnitude, phase, unwrapped phase and one copy
BASE_GB = 0.6  # Python, its libraries, one registration at 2 mm
WORK_VOLUMES, WORK_VOLUMES_PER_ECHO = 40, 8  # files in the working directory, before compression


def memory_gb(
    shape: tuple[int, int, int], voxel_size: tuple[float, float, float], echoes: int, padding_mm: float
) -> float:
    """Estimated peak memory of a run [GB].

    4 bytes x (30 x voxels of the grid padded by `padding_mm` on every side + 4 x echoes x voxels) + 0.6 GB.
    """
    padded = math.prod(n + 2 * math.ceil(padding_mm / size) for n, size in zip(shape, voxel_size, strict=True))
    volumes = PADDED_VOLUMES * padded + VOLUMES_PER_ECHO * echoes * math.prod(shape)
    return round(BYTES * volumes / 1e9 + BASE_GB, 2)


def disk_gb(shape: tuple[int, int, int], echoes: int) -> float:
    """Estimated size of a run's files in the working directory [GB]: 4 bytes x (40 + 8 x echoes) x voxels."""
    return round(BYTES * (WORK_VOLUMES + WORK_VOLUMES_PER_ECHO * echoes) * math.prod(shape) / 1e9, 5)


def expected_outputs(run: Run, settings: Settings) -> tuple[str, ...]:
    """Images and tables that will be written for a run, relative to the output folder; sidecars not listed."""

    def path(suffix: str, **names: str | int | None) -> str:
        extension, datatype = str(names.pop("extension", ".nii.gz")), str(names.pop("datatype", "anat"))
        return derivative_path("", run.entities, suffix, datatype=datatype, extension=extension, **names).as_posix()

    maps = ["Chimap"]
    if len(run.echoes) > 1 and all(echo.magnitude or echo.real for echo in run.echoes):
        maps += ["R2starmap", "T2starmap", "S0map"]
    names = [path(name) for name in maps]
    names += [path("mask", desc="brain"), path("mask", desc="qsm")]
    names += [path("fieldmap", datatype="fmap", desc=desc) for desc in ("total", "local")]
    if settings.normalization:
        names += [path(name, space=settings.template, res=1) for name in maps]
        segmentations = ["custom"] if settings.atlas else ["deepgrey", "DK"]
        for seg in segmentations:
            names += [path("dseg", seg=seg), path("dseg", seg=seg, desc="stats", extension=".tsv")]
    names.append(path("iqms", desc="qc", extension=".json"))
    return (*names, f"sub-{run.subject}.html")
