"""What a study template is made of: χ and S0 of each participant in template space, made ready for registration."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qsmprep import __version__
from qsmprep.errors import InputError
from qsmprep.group.maps import Source, same_grid, valid_voxels
from qsmprep.group.people import Ledger
from qsmprep.group.quantities import CHI
from qsmprep.settings import Settings
from qsmprep.space import study
from qsmprep.space.study import Member

SPACING = 2.0  # mm: finer maps are averaged over blocks of about this before they are registered
S0 = "S0map"  # stands for the anatomy: the participant level writes no T1w in template space
WEIGHT = 1.0  # of each contrast
CHI_RANGE = (-0.08, 0.2)  # ppm: beyond are veins and what is wrong, which should not pull
BRIGHTEST = 4.0  # of S0, whose median is 1
MARGIN = 4  # voxels around the heads


def usable_maps(sources: Sequence[Source], ledger: Ledger) -> list[Source]:
    """The readable χ maps that lie on one grid."""
    chi = [source for source in sources if source.quantity == CHI]
    if not chi:
        return []
    try:
        usable, excluded, *_ = same_grid(chi)
    except ValueError as error:
        ledger.note(f"study template: {error}.")
        return []
    for run, reason in excluded:
        ledger.add(run.split("_")[0], "not in this analysis", "study template", reason, run=run)
    return usable


def contrasts_of(usable: Sequence[Source], ledger: Ledger) -> tuple[str, ...]:
    """The contrasts that all have."""
    without = sorted({source.participant for source in usable if not _other(source, S0).is_file()})
    if without:
        more = f" and {len(without) - 3} others" if len(without) > 3 else ""
        ledger.note(
            f"study template: made of χ alone, since {', '.join(without[:3])}{more} have no {S0} in template space."
        )
        return (CHI.suffix,)
    return CHI.suffix, S0


def _other(source: Source, suffix: str) -> Path:
    """The file of another contrast beside a χ map."""
    return source.image.with_name(source.image.name.replace(f"_{CHI.suffix}.", f"_{suffix}."))


def key_of(usable: Sequence[Source], suffixes: Sequence[str], settings: Settings) -> str:
    """Stands for the contents of all images and for how the template is made of them."""
    template = (study.ROUNDS, study.LEVELS, study.SHARPENING, settings.random_seed, __version__)
    options = (*template, WEIGHT, CHI_RANGE, BRIGHTEST, SPACING, MARGIN)
    told = hashlib.sha256(json.dumps(options).encode())
    for source in sorted(usable, key=lambda source: source.run):
        told.update(source.run.encode())
        for path in (*(_other(source, suffix) for suffix in suffixes), source.mask):
            told.update(path.read_bytes() if path is not None else b"-")
    return told.hexdigest()[:16]


def prepare(usable: Sequence[Source], suffixes: Sequence[str], out_dir: Path) -> list[Member]:
    """Write for each person and contrast what is registered: runs averaged, thinned to about 2 mm, cut to the heads.

    Parameters
    ----------
    usable : χ maps on one grid
    suffixes : of the contrasts; that of χ is the first
    """
    import nibabel as nib

    out_dir.mkdir(parents=True, exist_ok=True)
    people: dict[str, list[Source]] = {}
    for source in sorted(usable, key=lambda source: source.run):
        people.setdefault(source.participant, []).append(source)
    members, anywhere = [], None
    for name in sorted(people):
        paths = tuple(out_dir / f"{name}_{suffix}.nii.gz" for suffix in suffixes)
        for suffix, path in zip(suffixes, paths, strict=True):
            values, affine = _thinned([_read(source, suffix) for source in people[name]], people[name][0].image)
            nib.save(nib.Nifti1Image(values, affine), path)
            anywhere = values != 0 if anywhere is None else anywhere | (values != 0)
        members.append(study.Member(name, paths))
    if anywhere is None or not anywhere.any():
        raise InputError("--study-template: the χ maps in template space are empty. Run the participant level anew.")
    places = np.argwhere(anywhere)
    low, high = np.maximum(places.min(axis=0) - MARGIN, 0), places.max(axis=0) + MARGIN + 1
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    for path in (path for member in members for path in member.images):
        image: Any = nib.load(path)
        cut = image.slicer[box]
        nib.save(nib.Nifti1Image(np.asarray(cut.dataobj, np.float32), cut.affine), path)
    return members


def _read(source: Source, suffix: str) -> NDArray[np.float32]:
    """One contrast of a run, (x, y, z), NaN where it is not known; S0 in units of its median.

    Raises
    ------
    InputError
        If the file cannot be read, or is not on the grid of χ.
    """
    import nibabel as nib

    path = _other(source, suffix)
    try:
        image: Any = nib.load(path)
        values = np.asarray(image.dataobj, np.float32)
        inside = valid_voxels(source, values) if suffix == CHI.suffix else values > 0
    except Exception as error:  # nibabel raises its own kinds for what is no image
        raise InputError(f"--study-template: {path} cannot be used ({error}). Run this participant anew.") from None
    expected = nib.load(source.image).shape
    if values.shape != expected:
        raise InputError(
            f"--study-template: {path} has the shape {values.shape}, and {source.image.name} {expected}. Run this "
            "participant anew."
        )
    known = np.isfinite(values) & inside
    if suffix == CHI.suffix:
        values = np.clip(values, *CHI_RANGE)
    elif known.any():
        values = np.clip(values / np.median(values[known]), 0, BRIGHTEST)
    return np.where(known, values, np.nan).astype(np.float32)


def _thinned(runs: Sequence[NDArray[np.float32]], like: Path) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Mean of runs over blocks of voxels, 0 where less than half is known, and its affine."""
    import nibabel as nib

    affine: NDArray[np.float64] = nib.load(like).affine
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    steps = np.maximum(1, np.floor(SPACING / sizes + 1e-3)).astype(int)
    shape: tuple[int, ...] = runs[0].shape
    total, count = np.zeros(shape), np.zeros(shape)
    for run in runs:
        finite = np.isfinite(run)
        total[finite] += run[finite]
        count += finite
    pads = [(0, -n % step) for n, step in zip(shape, steps.tolist(), strict=True)]
    blocks: list[int] = []  # number of them and voxels in each, along each axis
    for size, (_, pad), step in zip(shape, pads, steps.tolist(), strict=True):
        blocks += [(size + pad) // step, step]
    sums, counts, known = (
        np.pad(volume, pads).reshape(blocks).sum(axis=(1, 3, 5)) for volume in (total, count, (count > 0).astype(float))
    )
    means = np.where(2 * known >= np.prod(steps), sums / np.maximum(counts, 1), 0).astype(np.float32)
    block = np.diag([*steps.astype(float), 1.0])
    block[:3, 3] = (steps - 1) / 2
    return means, affine @ block
