"""Build an unbiased template of a study: the mean of its people, in the space in the middle of them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from ._ants import joint_syn_stage, register
from .displacement import Field, composed, inverted, length_mm, mean_field, moved, read_field, write_field

ROUNDS = 4  # of registration to the mean
# iterations, shrink factors and smoothing [voxels] at 8, 4 and 2 mm. On warped templates, whose nuclei lay 3.5 mm
# apart, it left 0.71 mm; 20 and 8 iterations 0.69 mm, in nearly twice the time
LEVELS = ("30x15x4", "4x2x1", "2x1x0")
SHARPENING = 0.25  # share of its finest detail that is added to the mean
MEAN, MASK, TEMPLATE = "mean.nii.gz", "mask.nii.gz", "template-{}.nii.gz"
Affine = NDArray[np.float64]
J = TypeVar("J")
T = TypeVar("T")


@dataclass(frozen=True)
class Member:
    """One person: images of the same contrasts as all others', on one grid; 0 where nothing is known.

    The first contrast tells where the images are compared.
    """

    name: str
    images: tuple[Path, ...]


@dataclass(frozen=True)
class Study:
    """A study template, and the ways between it and the people, in the order of their names.

    start : means of all contrasts before any registration
    templates : means of all contrasts, both sharpened a little
    mask : where at least half of the people are known
    forward, inverse : displacement fields of ITK that bring the images of a person to the study template, and back
    drift_mm : for each round how far the template lay from the middle of all, mean over the brain
    spread_mm : how far a person is moved, root mean square over brain and people
    bias_mm : largest mean displacement of all people in the end, in the brain
    """

    start: tuple[Path, ...]
    templates: tuple[Path, ...]
    mask: Path
    names: tuple[str, ...]
    forward: tuple[Path, ...]
    inverse: tuple[Path, ...]
    drift_mm: tuple[float, ...]
    spread_mm: float
    bias_mm: float


def build_study(
    members: Iterable[Member], weights: Sequence[float], out_dir: Path, *, rounds: int = ROUNDS, workers: int = 1,
    seed: int = 0, progress: Callable[[int, int, int], None] | None = None,
) -> Study:  # fmt: skip
    """Unbiased template of people whose images are roughly aligned, as they are in a standard space.

    It begins as the mean of all. In each round every person is registered to it (SyN by local cross-correlation of all
    contrasts at once); its points are moved by the inverse of the mean of all warps, so that it takes the mean shape;
    and the next mean, a little sharpened, is taken of images that were interpolated once. The result depends neither
    on the order of the members nor on `workers`. What is done already in `out_dir`, which must hold nothing that was
    made of other images, is not done again.

    Parameters
    ----------
    members : two or more, with different names
    weights : of the contrasts' correlations
    out_dir : folder for the templates of each round and for the warps
    workers : registrations side by side, each with one thread
    progress : called with the number of the round, how many people are registered, and how many there are

    Raises
    ------
    ValueError
        If there are fewer than two members.
    RuntimeError
        If a registration fails, or its process is ended.

    References
    ----------
    Avants BB, et al. NeuroImage 2010;49:2457. https://doi.org/10.1016/j.neuroimage.2009.09.062
    """
    people = sorted(members, key=lambda member: member.name)
    if len(people) < 2:
        raise ValueError(f"a study template needs two people or more, found {len(people)}")
    affine: Affine = nib.load(people[0].images[0]).affine
    folders = [out_dir / name for name in (*(f"round-{number}" for number in range(1, rounds + 1)), "final")]
    if not (folders[0] / MEAN).is_file():
        _write_template(people, None, affine, folders[0])
    for number, (folder, following) in enumerate(pairwise(folders), 1):
        if (folder / MEAN).is_file():
            continue
        jobs = [_Job(person, tuple(weights), folder, seed) for person in people]
        for done, _ in enumerate(side_by_side(_register, jobs, workers), 1):
            if progress is not None:
                progress(number, done, len(people))
        mean = mean_field(read_field(job.warp) for job in jobs)
        shape = inverted(mean)
        _write_template(people, (composed(shape, read_field(job.warp)) for job in jobs), affine, following)
        if number == rounds:
            _write_ways(jobs, mean, shape, affine, following)
        write_field(mean, affine, folder / MEAN)  # last: it tells that the round is done
        for job in jobs:  # tens of megabytes for each person, and not needed any more
            job.warp.unlink()
            job.inverse.unlink()
    return _told(people, len(weights), folders, affine)


@dataclass(frozen=True)
class _Job:
    """The registration of one person in one round."""

    person: Member
    weights: tuple[float, ...]
    folder: Path
    seed: int

    @property
    def warp(self) -> Path:
        """Points of the template to the person."""
        return self.folder / f"{self.person.name}_warp.nii.gz"

    @property
    def inverse(self) -> Path:
        """Points of the person to the template."""
        return self.folder / f"{self.person.name}_inverse.nii.gz"


def _register(job: _Job) -> None:
    """Register a person to the template of the round, unless that is done."""
    if job.warp.is_file() and job.inverse.is_file():
        return
    templates = [job.folder / TEMPLATE.format(number) for number in range(len(job.weights))]
    pairs = list(zip(templates, job.person.images, job.weights, strict=True))
    with tempfile.TemporaryDirectory(dir=job.folder, prefix=".tmp-") as folder:
        found = Path(folder) / "found"
        register(found, [], joint_syn_stage(pairs, *LEVELS, mask=job.folder / MASK), seed=job.seed)
        found.with_name("found0InverseWarp.nii.gz").replace(job.inverse)
        found.with_name("found0Warp.nii.gz").replace(job.warp)


def side_by_side(work: Callable[[J], T], jobs: Sequence[J], workers: int) -> Iterator[T]:
    """Do all jobs in `workers` processes, each with one thread of ITK, and give what they return in turn.

    Raises
    ------
    RuntimeError
        If a process is ended from outside.
    """
    if workers == 1 or len(jobs) < 2:
        yield from map(work, jobs)
        return
    # ITK's threads do not live through a fork
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=get_context("spawn")) as pool:
        try:
            yield from pool.map(work, jobs)
        except BrokenProcessPool:
            raise RuntimeError("a process was ended from outside, most likely for want of memory") from None


def _write_template(people: Sequence[Member], ways: Iterable[Field] | None, affine: Affine, folder: Path) -> None:
    """Write the mean of all people in each contrast, 0 where fewer than half are known, and where the first is not 0.

    ways : for each person from the points of the template to it; None where they stand already
    """
    folder.mkdir(parents=True, exist_ok=True)
    shape = nib.load(people[0].images[0]).shape
    sums = np.zeros((len(people[0].images), *shape))
    counts = np.zeros(sums.shape, np.int16)
    paths = iter(ways) if ways is not None else iter([None] * len(people))
    for person, way in zip(people, paths, strict=True):
        for number, path in enumerate(person.images):
            values, known = _carried(np.asarray(nib.load(path).dataobj, np.float32), way)
            sums[number] += np.where(known, values, 0)
            counts[number] += known
    for number, (total, count) in enumerate(zip(sums, counts, strict=True)):
        mean = np.where(2 * count >= len(people), total / np.maximum(count, 1), 0).astype(np.float32)
        nib.save(nib.Nifti1Image(sharpened(mean), affine), folder / TEMPLATE.format(number))
    mask = (2 * counts[0] >= len(people)).astype(np.uint8)
    nib.save(nib.Nifti1Image(mask, affine), folder / MASK)


def _carried(image: NDArray[np.float32], way: Field | None) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """An image at the points to which a field leads, and where it is known; what is not known does not mix in."""
    known = image != 0
    if way is None:
        return image, known
    share = moved(known.astype(np.float32), way)
    return moved(image, way) / np.maximum(share, np.float32(0.5)), share > 0.5


def sharpened(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Add some of the detail that a Gaussian of one voxel takes away, where the image is not 0 (unsharp mask)."""
    from scipy.ndimage import gaussian_filter

    known = image != 0
    share = gaussian_filter(known.astype(np.float32), 1.0)
    smooth = gaussian_filter(image, 1.0) / np.where(share > 0, share, 1)
    return np.where(known, image + np.float32(SHARPENING) * (image - smooth), 0).astype(np.float32)


def _write_ways(jobs: Sequence[_Job], mean: Field, shape: Field, affine: Affine, folder: Path) -> None:
    """Write the ways between people and template, less what they have in common.

    mean, shape : mean of the warps of the last round, and its inverse
    """
    for job in jobs:
        forward, inverse = _ways(job.person, folder)
        write_field(composed(shape, read_field(job.warp)), affine, forward)
        write_field(composed(read_field(job.inverse), mean), affine, inverse)


def _ways(person: Member, folder: Path) -> tuple[Path, Path]:
    return folder / f"{person.name}_forward.nii.gz", folder / f"{person.name}_inverse.nii.gz"


def _told(people: Sequence[Member], contrasts: int, folders: Sequence[Path], affine: Affine) -> Study:
    final = folders[-1]
    brain = np.asarray(nib.load(final / MASK).dataobj) > 0
    drift = [length_mm(read_field(folder / MEAN), affine)[brain].mean() for folder in folders[:-1]]
    ways = [_ways(person, final) for person in people]
    squares = [np.mean(length_mm(read_field(forward), affine)[brain] ** 2) for forward, _ in ways]
    bias = length_mm(mean_field(read_field(forward) for forward, _ in ways), affine)[brain].max()
    start, templates = (
        tuple(folder / TEMPLATE.format(number) for number in range(contrasts)) for folder in (folders[0], final)
    )
    return Study(
        start, templates, final / MASK,
        tuple(person.name for person in people), tuple(way[0] for way in ways), tuple(way[1] for way in ways),
        tuple(map(float, drift)), float(np.sqrt(np.mean(squares))), float(bias),
    )  # fmt: skip
