"""Which images a dataset has for the participants that were asked for."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import EnvironmentFault, NothingToDoError, UsageError
from .dataset import read_description
from .names import split_name

if TYPE_CHECKING:
    from ..settings import Settings

IMAGES = (".nii", ".nii.gz")


@dataclass(frozen=True)
class BidsFile:
    """An image: its path, entities (long names), suffix, extension and the folder (anat, func, ...) it lies in."""

    path: Path
    entities: dict[str, str]
    suffix: str
    extension: str
    datatype: str

    @classmethod
    def from_path(cls, path: Path) -> BidsFile:
        """Read everything off the name."""
        entities, suffix, extension = split_name(path.name)
        return cls(path, entities, suffix, extension, path.parent.name)


def check_dataset(bids_dir: Path) -> None:
    """Raise a UsageError that says what to do if `bids_dir` is no BIDS dataset."""
    if not bids_dir.is_dir():
        raise UsageError(f"BIDS_DIR {bids_dir} {'is not a folder' if bids_dir.exists() else 'does not exist'}.")
    description = bids_dir / "dataset_description.json"
    try:
        absent = not description.is_file()
    except PermissionError:
        raise EnvironmentFault(f"BIDS_DIR {bids_dir} may not be read: permission denied.") from None
    if absent:
        raise UsageError(
            f"BIDS_DIR {bids_dir} has no dataset_description.json, so it is not the top folder of a BIDS dataset. "
            'Name the folder that holds the sub-* folders, and if the file is missing there, write one: {"Name": "my '
            'study", "BIDSVersion": "1.10.0"}'
        )
    if not read_description(bids_dir):
        raise UsageError(f"{description} is damaged: it is empty or no JSON object.")


def choose_participants(bids_dir: Path, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """Labels to process: the wanted ones, or all.

    Raises
    ------
    UsageError
        If a wanted label is not in the dataset; lists those that are.
    NothingToDoError
        If the dataset has no participant.
    """
    known = sorted(path.name[4:] for path in bids_dir.glob("sub-*") if path.is_dir())
    if not known:
        raise NothingToDoError(f"{bids_dir} holds no participants: there is no sub-* folder in it.")
    unknown = [label for label in wanted if label not in known]
    if unknown:
        near = difflib.get_close_matches(unknown[0], known, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise UsageError(
            f"--participant-label: {', '.join(unknown)} not found in {bids_dir}.{hint} It has: {shorten_list(known)}."
        )
    return tuple(label for label in known if not wanted or label in wanted)


def find_images(settings: Settings, participants: tuple[str, ...]) -> list[BidsFile]:
    """Every NIfTI image of the participants, sorted by path. Sessions that were not asked for are left out.

    Raises
    ------
    UsageError
        If a wanted session occurs with none of the participants.
    """
    files = _indexed(settings.bids_dir, participants, settings)
    wanted = settings.session_label
    if wanted:
        known = sorted({f.entities["session"] for f in files if "session" in f.entities})
        unknown = [label for label in wanted if label not in known]
        if unknown:
            found = f"They have: {shorten_list(known)}." if known else "They have no sessions (ses-*)."
            raise UsageError(f"--session-label: {', '.join(unknown)} not found with these participants. {found}")
    return files


def in_sessions(file: BidsFile, sessions: tuple[str, ...]) -> bool:
    """Whether a file belongs to a wanted session (all belong if none was named)."""
    return not sessions or file.entities.get("session") in sessions


def find_derivative_images(dataset: Path, participants: tuple[str, ...]) -> list[BidsFile]:
    """Every NIfTI image of the participants in a derivative dataset."""
    if not dataset.is_dir():
        raise UsageError(f"--derivatives {dataset}: there is no such folder.")
    return _indexed(dataset, participants, None)


def _indexed(root: Path, participants: tuple[str, ...], settings: Settings | None) -> list[BidsFile]:
    from bids.layout import BIDSLayout, BIDSLayoutIndexer

    arguments: dict[str, Any] = {}
    database = settings.bids_database_dir if settings else None
    subjects = "|".join(re.escape(label) for label in participants)
    if database is not None and settings is not None:
        subjects = "[^/]*"  # a database serves later calls for other participants, so it holds all of them
        if (database / "layout_index.sqlite").exists() or not settings.dry_run:
            arguments["database_path"] = database
    # names are read by ourselves and sidecars only where needed, so nothing but the listing is asked of the index
    ignore = [re.compile(rf"^/(?!sub-({subjects})(/|$))"), re.compile(r"/\.")]
    indexer = BIDSLayoutIndexer(validate=False, index_metadata=False, ignore=ignore)
    try:
        layout = BIDSLayout(root, validate=False, is_derivative=settings is None, indexer=indexer, **arguments)
    except Exception as error:  # the database has exceptions of its own
        if database is None:
            raise
        if isinstance(error, OSError):
            raise EnvironmentFault(
                f"--bids-database-dir {database} cannot be written to: {error.strerror or error}. Name another folder."
            ) from None
        raise UsageError(
            f"--bids-database-dir {database} cannot be used: {str(error).splitlines()[0]}. Delete it to have it made "
            "anew."
        ) from None
    paths = sorted(Path(name) for name in layout.files)
    files = [BidsFile.from_path(path) for path in paths if path.name.endswith(IMAGES)]
    return [f for f in files if f.entities.get("subject") in participants and (database is None or f.path.exists())]


def shorten_list(items: list[str], most: int = 20) -> str:
    """`a, b, c and 12 more`."""
    rest = len(items) - most
    return ", ".join(items[:most]) + (f" and {rest} more" if rest > 0 else "")
