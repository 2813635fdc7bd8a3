"""Maps of the participants brought to the study template."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsmprep.bids.derivatives import sidecar, sidecar_path, write_image
from qsmprep.group.maps import Source
from qsmprep.group.spaces import STUDY
from qsmprep.report.records import read_json
from qsmprep.settings import Settings
from qsmprep.space.composite import write_composite
from qsmprep.space.resample import apply
from qsmprep.space.study import Study, side_by_side


@dataclass(frozen=True)
class _Carrying:
    """One map that is brought to the study template; `chain` leads from there to it."""

    source: Source
    chain: tuple[Path, ...]
    reference: Path
    out: Source
    meta: Mapping[str, Any]
    mask_meta: Mapping[str, Any]


def carry(
    sources: Sequence[Source], found: Study, grid: Path, about: Mapping[str, Any], settings: Settings, workers: int
) -> tuple[Source, ...]:
    """Write maps in the study's space, and the ways between it and the standard one, into `group/study/`.

    Parameters
    ----------
    sources : maps in the standard space
    grid : image whose grid the result has
    about : what all sidecars tell of the space; a map that is newer than its source and whose sidecar has the same
        `StudyTemplate` is not made again
    workers : processes side by side
    """
    folder = settings.group_dir / STUDY
    folder.mkdir(parents=True, exist_ok=True)
    ways = dict(zip(found.names, zip(found.forward, found.inverse, strict=True), strict=True))
    jobs = [_job(source, ways[source.participant][0], grid, folder, about, settings) for source in sources]
    for _ in side_by_side(_carry_one, jobs, workers):
        pass
    kept = {path for job in jobs for path in (job.out.image, job.out.mask) if path is not None}
    kept |= {sidecar_path(path) for path in kept}
    for name, there_and_back in ways.items():
        for way, ends in zip(there_and_back, ((settings.template, STUDY), (STUDY, settings.template)), strict=True):
            path = folder / f"{name}_from-{ends[0]}_to-{ends[1]}_mode-image_xfm.h5"
            if not path.is_file() or path.stat().st_mtime_ns < way.stat().st_mtime_ns:
                write_composite([way], path)
            kept.add(path)
    for path in set(folder.glob("sub-*")) - kept:  # of an earlier call, with other participants
        path.unlink()
    return tuple(job.out for job in jobs)


def _job(
    source: Source, way: Path, grid: Path, folder: Path, about: Mapping[str, Any], settings: Settings
) -> _Carrying:  # fmt: skip
    start, chain = _origin(source, settings.template)
    stem, suffix = f"{source.run}_space-{STUDY}", source.quantity.suffix
    mask = folder / f"{stem}_desc-qsm_mask.nii.gz" if start.mask is not None else None
    where = f"once, from the acquired grid to that of {settings.template}" if chain else f"from {settings.template}"
    text = f"{source.quantity.symbol} in the space of the study template, interpolated {where}"
    used = [path for path in (start.image, start.mask) if path is not None]
    meta = sidecar(settings, sources=used, description=text, units=source.quantity.unit, skull_stripped=True, **about)
    text = "Where χ is known, in the space of the study template"
    mask_meta = sidecar(settings, sources=used[1:], description=text, Type="ROI", **about)
    out = replace(source, image=folder / f"{stem}_{suffix}.nii.gz", mask=mask)
    return _Carrying(start, (way, *chain), grid, out, meta, mask_meta)


def _origin(source: Source, space: str) -> tuple[Source, tuple[Path, ...]]:
    """The map on the acquired grid and the way to it where they are there, so that it is interpolated once."""
    folder, suffix = source.image.parent, source.quantity.suffix
    image, mask = folder / f"{source.run}_{suffix}.nii.gz", folder / f"{source.run}_desc-qsm_mask.nii.gz"
    way = folder / f"{source.run}_from-GRE_to-{space}_mode-image_xfm.h5"
    if source.mask is not None and image.is_file() and mask.is_file() and way.is_file():
        return replace(source, image=image, mask=mask), (way,)
    return source, ()


def _carry_one(job: _Carrying) -> None:
    """Write one map and its mask, unless they are there from the same template."""
    out, changed = job.out, job.source.image.stat().st_mtime_ns
    written = [path for path in (out.image, out.mask) if path is not None]
    if all(
        path.is_file()
        and path.stat().st_mtime_ns > changed
        and read_json(sidecar_path(path)).get("StudyTemplate") == job.meta["StudyTemplate"]
        for path in written
    ):
        return
    values, affine = _resampled(job.source.image, job, "linear")
    if out.mask is not None and job.source.mask is not None:
        mask, _ = _resampled(job.source.mask, job, "label")
        values = np.where(mask > 0, values, 0)
        write_image(out.mask, (mask > 0).astype(np.uint8), affine, job.mask_meta)
    write_image(out.image, values, affine, job.meta)


def _resampled(path: Path, job: _Carrying, kind: str) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    import nibabel as nib

    with tempfile.TemporaryDirectory() as folder:
        moved: Any = nib.load(
            apply(path, job.reference, job.chain, Path(folder) / "moved.nii", interpolation=kind)
        )  # fmt: skip
        return np.asarray(moved.dataobj, np.float32), moved.affine
