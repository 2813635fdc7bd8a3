"""Which images belong together, which are no input, and why. Names only: no file is opened here."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from .filters import BidsFilter
from .index import BidsFile, in_sessions
from .model import Skipped
from .names import join_entities

DATATYPES = ("anat", "swi")
WITHIN_RUN = ("echo", "part", "coil")
COMPLEX_PARTS = ("phase", "real", "imag")
GRADIENT_ECHO_SUFFIXES = ("MEGRE", "T2starw", "GRE")
PROCESSED_SUFFIXES = {"swi": "a susceptibility-weighted image", "minIP": "a minimum-intensity projection"}


@dataclass
class Group:
    """Images of one gradient-echo acquisition: equal in suffix and in every entity but echo, part and coil."""

    entities: dict[str, str]
    suffix: str
    files: list[BidsFile] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Name in messages: entities and suffix."""
        return f"{join_entities(self.entities)}_{self.suffix}"

    def part(self, part: str) -> list[BidsFile]:
        """Files of one part; a file without `part-` counts as magnitude."""
        return [f for f in self.files if f.entities.get("part", "mag") == part]


@dataclass
class Grouping:
    """What `group_images` found."""

    groups: list[Group] = field(default_factory=list)
    anatomical: list[BidsFile] = field(default_factory=list)
    passed_over: list[Skipped] = field(default_factory=list)
    filtered: list[Skipped] = field(default_factory=list)


def group_images(files: list[BidsFile], filters: BidsFilter, sessions: tuple[str, ...] = ()) -> Grouping:
    """Sort the images of a dataset into gradient echoes, anatomical images and the rest.

    A gradient echo is what has `part-phase`, or `part-real` and `part-imag`, whatever its suffix, but no `inv-`.
    """
    result = Grouping()
    inside = []
    for file in files:
        reason = _not_looked_at(file)
        if reason is None:
            inside.append(file)
        elif in_sessions(file, sessions):
            result.passed_over.append(Skipped(str(file.path), reason))
    with_phase = {_key(f) for f in inside if f.entities.get("part") in COMPLEX_PARTS}
    groups: dict[tuple[str, ...], Group] = {}
    for file in inside:
        if _key(file) in with_phase:
            if in_sessions(file, sessions):
                _add(file, groups, filters, result)
        elif file.suffix == "T1w":
            _add_anatomical(file, filters, result)
        elif in_sessions(file, sessions):
            result.passed_over.append(Skipped(str(file.path), _no_phase(file)))
    result.groups = [groups[key] for key in sorted(groups)]
    for group in result.groups:
        _drop_repeats(group, result)
    return result


def _key(file: BidsFile) -> tuple[str, ...]:
    rest = sorted(f"{key}={value}" for key, value in file.entities.items() if key not in WITHIN_RUN)
    subject, session = file.entities.get("subject", ""), file.entities.get("session", "")
    return (subject, session, file.datatype, file.suffix, *rest)


def _not_looked_at(file: BidsFile) -> str | None:
    """Why an image is no input, by its folder and name; None if it may be."""
    phase = file.entities.get("part") in COMPLEX_PARTS
    if file.datatype not in DATATYPES:
        what = f"{file.suffix} {'phase' if phase else 'image'}"
        return f"{what} in {file.datatype}/: gradient echoes are looked for in anat/ and swi/ only"
    if "inv" in file.entities or file.suffix in ("MP2RAGE", "UNIT1"):
        return "inversion recovery (MP2RAGE): its phase holds no field at a known echo time"
    if file.suffix in PROCESSED_SUFFIXES and not phase and file.entities.get("part") != "mag":
        return f"{PROCESSED_SUFFIXES[file.suffix]}: already processed"
    return None


def _no_phase(file: BidsFile) -> str:
    if file.suffix in GRADIENT_ECHO_SUFFIXES or "part" in file.entities:
        return "magnitude without phase: no part-phase (or part-real and part-imag) has the same entities and suffix"
    return f"{file.suffix or 'image'} without phase: not a gradient echo for QSM"


def _add(file: BidsFile, groups: dict[tuple[str, ...], Group], filters: BidsFilter, result: Grouping) -> None:
    refusal = filters.refusal("gre", file)
    if refusal:
        result.filtered.append(Skipped(str(file.path), f"--bids-filter-file, gre: {refusal}"))
        return
    entities = {key: value for key, value in file.entities.items() if key not in WITHIN_RUN}
    groups.setdefault(_key(file), Group(entities, file.suffix)).files.append(file)


def _add_anatomical(file: BidsFile, filters: BidsFilter, result: Grouping) -> None:
    refusal = filters.refusal("t1w", file)
    if refusal:
        result.filtered.append(Skipped(str(file.path), f"--bids-filter-file, t1w: {refusal}"))
    else:
        result.anatomical.append(file)


def _drop_repeats(group: Group, result: Grouping) -> None:
    """Keep one file where the same echo and part is there twice: as .nii and .nii.gz, or with and without part-mag."""
    seen: dict[tuple[str, ...], list[BidsFile]] = defaultdict(list)
    for file in group.files:
        entities = file.entities
        seen[entities.get("echo", ""), entities.get("part", "mag"), entities.get("coil", "")].append(file)
    for same in seen.values():
        same.sort(key=lambda f: ("part" not in f.entities, f.extension != ".nii.gz"))
        for file in same[1:]:
            group.files.remove(file)
            result.passed_over.append(Skipped(str(file.path), f"the same image as {same[0].path.name}, which is used"))
