"""What sMRIPrep, fMRIPrep and FreeSurfer have left of a participant's anatomy, and whether it can be used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data import FREESURFER, freesurfer_labels
from ..errors import InputError
from .dataset import read_description
from .images import Grid, check_varies, read_grid, read_values
from .index import BidsFile, find_derivative_images, shorten_list
from .masks import check_mask
from .model import Anatomy, Segmentation
from .names import join_entities, split_name

PREPROCESSED, T1W = "preproc", "T1w"
HDF5 = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class Derivatives:
    """A dataset of `--derivatives`, and its images of the participants that are looked at."""

    root: Path
    images: tuple[BidsFile, ...]

    @property
    def program(self) -> str:
        """What made it, with its version: `fMRIPrep 23.2.1`; the name of the folder if the dataset does not tell."""
        description = read_description(self.root)
        made_by = description.get("GeneratedBy") or [description.get("PipelineDescription")]
        first: Any = made_by[0] if isinstance(made_by, list) and made_by else made_by
        if not isinstance(first, dict) or not first.get("Name"):
            return self.root.name
        return f"{first['Name']} {first.get('Version') or ''}".strip()


def read_derivatives(datasets: Sequence[Path], participants: tuple[str, ...]) -> tuple[Derivatives, ...]:
    """The datasets of `--derivatives`; raises a UsageError for one that is not there."""
    return tuple(Derivatives(root, tuple(find_derivative_images(root, participants))) for root in datasets)


class ExternalAnatomy:
    """Chooses what other programs have made of a run's anatomy. Every image is opened once.

    Parameters
    ----------
    datasets : where to look; the first one that has something usable counts
    template : space that the transforms have to lead to
    """

    def __init__(self, datasets: Sequence[Derivatives], template: str) -> None:
        self._datasets = datasets
        self._template = template
        self._checked: dict[Path, tuple[Anatomy | None, tuple[str, ...]]] = {}

    def choose(self, subject: str, session: str | None, t1w: Path | None) -> tuple[Anatomy | None, tuple[str, ...]]:
        """What is used of a run's anatomy, or None; and notes on what was found instead of what was expected.

        The T1w is of the run's session, or outside of any (an average over sessions), or else of the session of the
        raw image.

        Parameters
        ----------
        subject, session : labels of the run
        t1w : raw T1w that would be taken otherwise
        """
        raw = split_name(t1w.name)[0] if t1w is not None else {}
        sessions = list(dict.fromkeys((session, None, raw.get("session"))))
        notes: list[str] = []
        for dataset in self._datasets:
            mine = [file for file in dataset.images if _is_preprocessed(file, subject)]
            fitting = [file for file in mine if file.entities.get("session") in sessions]
            if mine and not fitting:
                notes.append(
                    f"{dataset.program} not used: found {mine[0].path}, expected a desc-preproc_T1w of "
                    f"{f'ses-{session}' if session else 'no session'} or of all sessions together"
                )
            fitting.sort(key=lambda file: (sessions.index(file.entities.get("session")), *_likeness(file, raw)))
            for file in fitting:
                if file.path not in self._checked:
                    self._checked[file.path] = self._check(file, dataset)
                found, told = self._checked[file.path]
                notes += told
                if found is not None:
                    return found, tuple(notes)
        return None, tuple(notes)

    def _check(self, file: BidsFile, dataset: Derivatives) -> tuple[Anatomy | None, tuple[str, ...]]:
        """A preprocessed T1w with what belongs to it; None if it cannot be used."""
        mask = _beside(file, ".nii.gz", "mask", description="brain")
        try:
            grid = read_grid(file.path)
            if grid.volumes not in (None, 1):
                raise InputError(f"{file.path} has {grid.volumes} volumes; expected one T1w image")
            check_varies(file.path, read_values(file.path))
            _check_there(mask)
            check_mask(mask, grid)
        except InputError as error:
            what = f"{dataset.program}: {file.path.name} not used: {error}"
            return None, (f"{what}. The brain is found and registered by qsmprep itself",)
        ways, notes = self._transforms(file, dataset)
        labels, told = find_segmentation(file, grid, dataset.root)
        return Anatomy(dataset.program, dataset.root, file.path, mask, *ways, labels), (*notes, *told)

    def _transforms(
        self, file: BidsFile, dataset: Derivatives
    ) -> tuple[tuple[Path | None, Path | None], tuple[str, ...]]:
        """Transforms to and from the template, or two times None and what is wrong with them."""
        names = ((T1W, self._template), (self._template, T1W))
        to, back = (_beside(file, ".h5", "xfm", **{"from": a, "to": b, "mode": "image"}) for a, b in names)
        try:
            for path in (to, back):
                _check_transform(path)
        except InputError as error:
            others = sorted(p.name for p in file.path.parent.glob("*_from-T1w_to-*_xfm.h5") if p != to)
            found = f"; found {', '.join(others)}" if others else ""
            reason = f"{dataset.program}: its registration is not used: {error}{found}. Expected both transforms"
            return (None, None), (
                f"{reason} between T1w and {self._template}; its T1w and mask are registered by qsmprep itself",
            )
        return (to, back), ()


def _is_preprocessed(file: BidsFile, subject: str) -> bool:
    entities = file.entities
    named = entities.get("subject") == subject and entities.get("description") == PREPROCESSED
    return named and file.suffix == T1W and "space" not in entities and file.datatype == "anat"


def _likeness(file: BidsFile, raw: Mapping[str, str]) -> tuple[Any, ...]:
    """Sorts the file first that shares most entities with the raw image; then the latest run."""
    shared = sum(raw.get(key) == value for key, value in file.entities.items())
    run = file.entities.get("run", "")
    return -shared, -int(run) if run.isdigit() else 0, file.path.name


def _beside(file: BidsFile, extension: str, suffix: str, **entities: str) -> Path:
    """A file of the same image, with other derivative entities."""
    named = {key: value for key, value in file.entities.items() if key != "description"} | entities
    return file.path.with_name(f"{join_entities(named)}_{suffix}{extension}")


def _check_there(path: Path) -> None:
    if not path.exists():
        raise InputError(f"{path.name} is not in {path.parent}")


def _check_transform(path: Path) -> None:
    """Raise an InputError if a file is no HDF5 file or is cut off: its head tells where it ends."""
    _check_there(path)
    try:
        with path.open("rb") as stream:
            head = stream.read(48)
        size = path.stat().st_size
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    if not head.startswith(HDF5):
        raise InputError(f"{path} is no HDF5 file; expected an ITK transform")
    place = 40 if head[8] < 2 else 28
    end = int.from_bytes(head[place : place + 8], "little")
    if size < end:
        raise InputError(f"{path} is cut off: it has {size} of {end} bytes. Copy it again")


def find_segmentation(file: BidsFile, grid: Grid, root: Path) -> tuple[Segmentation | None, tuple[str, ...]]:
    """FreeSurfer's labels of a preprocessed T1w: those with cortical regions, else those without; and notes.

    Parameters
    ----------
    file, grid : of the T1w
    root : of its dataset; FreeSurfer's own folders are looked for in `sourcedata/freesurfer`
    """
    notes: list[str] = []
    for name in FREESURFER:
        path = _beside(file, ".nii.gz", "dseg", description=name)
        if not path.exists():
            continue
        try:
            unnamed = _check_labels(path, grid, name)
        except InputError as error:
            notes.append(f"{name} not used: {error}")
            continue
        stats, told = _find_stats(file, root)
        return Segmentation(name, path, stats, unnamed), (*notes, *told)
    return None, tuple(notes)


def _check_labels(path: Path, grid: Grid, name: str) -> tuple[int, ...]:
    """Labels of an image that have no name; raises an InputError if it is no label image of FreeSurfer on the grid."""
    import nibabel as nib
    import numpy as np

    from ..regions import read_labels

    own = read_grid(path)
    straight = own.difference(grid)
    if straight and own.turned_like(grid).difference(grid):
        raise InputError(f"{path} {straight}; expected labels on the grid of the preprocessed T1w")
    read_values(path)
    image: Any = nib.load(path)
    values = np.unique(np.asanyarray(image.dataobj))
    if not np.array_equal(values, np.rint(values)):
        raise InputError(f"{path} holds fractions; expected the whole numbers of FreeSurfer's lookup table")
    found, known = {int(v) for v in values} - {0}, set(read_labels(freesurfer_labels(name))["index"])
    if not found & known:
        raise InputError(f"{path} has no label of FreeSurfer's lookup table; found {shorten_list(_words(found))}")
    return tuple(sorted(found - known))


def _words(numbers: set[int]) -> list[str]:
    return [str(number) for number in sorted(numbers)] or ["none"]


def _find_stats(file: BidsFile, root: Path) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """FreeSurfer's tables of a participant; a note on those that are missing or damaged, if others are there."""
    from ..regions.freesurfer import STATS, read_stats

    subject = f"sub-{file.entities['subject']}"
    session = file.entities.get("session")
    names = [*([f"{subject}_ses-{session}"] if session else []), subject]
    folders = [root / "sourcedata" / "freesurfer" / name / "stats" for name in names]
    folder = next((place for place in folders if place.is_dir()), None)
    if folder is None:
        return (), ()
    found, notes = [], []
    for path in (folder / name for name in STATS):
        try:
            _check_there(path)
            read_stats(path)
            found.append(path)
        except InputError as error:
            notes.append(f"volume and thickness of FreeSurfer left out (fs_volume, fs_thickness): {error}")
    return tuple(found), tuple(notes)
