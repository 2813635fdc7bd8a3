"""What a run will need and write: memory, disk, file names."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .derivatives import derivative_path
from .model import Run

if TYPE_CHECKING:
    from ..data import Atlas
    from ..settings import Settings

BYTES = 4  # float32
PADDED_VOLUMES = 30  # whole images on the padded grid that the dipole inversion and its transforms hold at once
VOLUMES_PER_ECHO = 4  # magnitude, phase, unwrapped phase and one copy
BASE_GB = 0.6  # Python, its libraries, one registration at 2 mm
WITHIN = "within"  # the within-subject template, in the names of files
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


def has_magnitude(run: Run) -> bool:
    """Whether every echo has a magnitude, given or from real and imaginary part."""
    return all(echo.magnitude or echo.real for echo in run.echoes)


def expected_outputs(run: Run, settings: Settings) -> tuple[str, ...]:
    """Images, tables and transforms that will be written for a run, relative to the output folder; no sidecars."""

    def path(suffix: str, extension: str = ".nii.gz", datatype: str = "anat", **names: str | int | None) -> str:
        return derivative_path("", run.entities, suffix, datatype=datatype, extension=extension, **names).as_posix()

    if settings.stop_after == "mask":
        names = [path("mask", desc="brain"), path("mask", desc="qsm"), *within_outputs(run, settings)]
        return (*names, path("iqms", ".json", desc="qc"), f"sub-{run.subject}.html")
    maps = ["Chimap"]
    if len(run.echoes) > 1 and has_magnitude(run):
        maps += ["R2starmap", "T2starmap", "S0map"]
    names = [*(path(name) for name in maps), path("mask", desc="brain"), path("mask", desc="qsm")]
    if settings.reference == "csf":
        names.append(path("mask", label="CSF"))
    if "S0map" in maps:
        names.append(path("S0map", desc="residual"))
    for desc in ("total", "local", "noise", *(["residual"] if len(run.echoes) > 1 else [])):
        names += [path("fieldmap", datatype="fmap", desc=desc), path("magnitude", datatype="fmap", desc=desc)]
    if settings.normalization and has_magnitude(run):
        names += _normalised(path, maps, run, settings)
    names += _regional(path, run, settings)
    return (*names, path("iqms", ".json", desc="qc"), f"sub-{run.subject}.html")


def _normalised(path: Callable[..., str], maps: list[str], run: Run, settings: Settings) -> list[str]:
    """What registration to the template adds."""
    space = settings.template
    names = [path(name, space=space, res=1) for name in maps]
    names += [path("mask", space=space, res=1, desc=desc) for desc in ("brain", "qsm")]
    ways = [("GRE", space), (space, "GRE"), *([("GRE", "T1w")] if run.t1w else [])]
    ways += [("GRE", WITHIN), (WITHIN, "GRE")] if run.visits else []
    names += [path("xfm", ".h5", from_=start, to=end, mode="image") for start, end in ways]
    return names + within_outputs(run, settings)


def within_path(out_dir: str | Path, run: Run, suffix: str, extension: str = ".nii.gz", **names: str) -> Path:
    """Path of what belongs to the within-subject template of a run's participant, and so to no session."""
    return derivative_path(out_dir, {"subject": run.subject}, suffix, extension=extension, **names)


def within_suffix(run: Run) -> str:
    """Suffix of the within-subject template of a run's participant."""
    return "T1w" if run.t1w else "T2starw"


def within_outputs(run: Run, settings: Settings) -> list[str]:
    """The within-subject template, its brain, and its transforms to the group template and back; [] without one."""
    if not run.visits:
        return []
    paths = [within_path("", run, suffix, desc=WITHIN) for suffix in (within_suffix(run), "mask")]
    if settings.stop_after != "mask":
        for start, end in ((WITHIN, settings.template), (settings.template, WITHIN)):
            paths.append(within_path("", run, "xfm", ".h5", from_=start, to=end, mode="image"))
    return [path.as_posix() for path in paths]


def _regional(path: Callable[..., str], run: Run, settings: Settings) -> list[str]:
    """Labels and tables of every segmentation."""
    segs = segmentations(run, settings)
    names = [path("mask", desc="excluded")] if settings.excludes and segs else []
    names += [path("probseg", label="GM")] if has_grey_matter(run, settings) else []
    for seg in segs:
        names += [path("dseg", seg=seg), path("dseg", ".tsv", seg=seg), path("dseg", ".tsv", seg=seg, desc="stats")]
        names.append(path("dseg", ".tsv", seg=seg, desc="texture"))
    return names + ([path("dseg", ".tsv", seg="manual", desc="raters")] if len(run.manual) > 1 else [])


def has_atlases(run: Run, settings: Settings) -> bool:
    """Whether a run gets the regions of atlases: those in template space need its registration."""
    return settings.atlas_space == "native" or (settings.normalization and has_magnitude(run))


def has_grey_matter(run: Run, settings: Settings) -> bool:
    """Whether cortical regions of the packaged atlas are held to grey matter; FreeSurfer's own parcels already are."""
    own = run.external.segmentation if run.external else None
    packaged = settings.atlas is None and has_atlases(run, settings)
    return packaged and settings.stop_after != "mask" and (own is None or own.name != "aparcaseg")


def segmentations(run: Run, settings: Settings) -> tuple[str, ...]:
    """Values of `seg-` in the names of a run's label images: atlases, FreeSurfer's regions, what was drawn for it."""
    own = run.external.segmentation if run.external else None
    names = [atlas.name for atlas in atlases(settings)] if has_atlases(run, settings) else []
    return (*names, *([own.name] if own else []), *(manual.seg for manual in run.manual))


def atlases(settings: Settings) -> tuple[Atlas, ...]:
    """The user's atlas if one is given, else the packaged ones."""
    from ..data import ATLASES, atlas

    if settings.atlas is None:
        return tuple(atlas(name) for name in ATLASES)
    from ..space.atlas import user_atlas

    assert settings.atlas_labels is not None  # Settings sees to it
    return (user_atlas(settings.atlas, settings.atlas_labels, settings.atlas_space),)


def region_names(runs: Sequence[Run], settings: Settings) -> dict[str, set[str]]:
    """Segmentation -> names of its regions, over all runs."""
    from ..data import freesurfer_labels
    from ..regions import read_labels

    names = {}
    if any(has_atlases(run, settings) for run in runs):
        names = {atlas.name: set(read_labels(atlas.labels)["name"]) for atlas in atlases(settings)}
    for own in (run.external.segmentation for run in runs if run.external):
        if own is not None:
            names[own.name] = set(read_labels(freesurfer_labels(own.name))["name"])
    for manual in (manual for run in runs for manual in run.manual):
        names.setdefault(manual.seg, set()).update(region.name for region in manual.regions)
    return names
