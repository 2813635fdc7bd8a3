"""Published group studies to simulate: who took part, what differed in which region, and what it went along with."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import UsageError

STUDIES = Path(__file__).parent.parent / "data" / "studies.toml"


@dataclass(frozen=True)
class Group:
    """A group's size, age (mean and SD, years) and fraction of women."""

    name: str
    n: int
    age: tuple[float, float]
    female: float


@dataclass(frozen=True)
class Region:
    """What is asked of one region, in ppb; `hemisphere` is "" for both sides.

    ``mean`` is that of the first group, None for the norm by age; ``sd`` that between persons as measured, ``group_sd``
    where a group has another; ``delta`` a group minus the first; ``rate`` growth a year as a fraction; ``volume`` a
    group's change of volume as a fraction; ``volume_r`` the correlation of volume and χ; ``ring`` χ around the region.
    """

    region: str
    sd: float
    evidence: str
    mean: float | None = None
    hemisphere: str = ""
    ring: float | None = None
    volume_r: float = 0.0
    delta: Mapping[str, float] = field(default_factory=dict)
    group_sd: Mapping[str, float] = field(default_factory=dict)
    rate: Mapping[str, float] = field(default_factory=dict)
    volume: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Score:
    """A column of participants.tsv that goes along with χ: mean and SD by group, r with the region's mean χ."""

    name: str
    description: str
    mean: Mapping[str, float]
    sd: Mapping[str, float]
    r: Mapping[str, float]
    limits: tuple[float, float] | None = None


@dataclass(frozen=True)
class Study:
    """A cohort to simulate; ``visits`` are years since the first, ``runs`` scans at each visit, ``field`` is B0 [T]."""

    name: str
    title: str
    reference: str
    field: float
    groups: tuple[Group, ...]
    regions: tuple[Region, ...] = ()
    scores: tuple[Score, ...] = ()
    visits: tuple[float, ...] = (0.0,)
    runs: int = 1
    r2star_sd: float = 2.0


def read_studies(path: Path = STUDIES) -> dict[str, Study]:
    """All studies of a TOML file, by name.

    Raises
    ------
    UsageError
        If a group that a region or score names is none of the study, or the correlations of a score cannot be had
        together.
    """
    with path.open("rb") as file:
        entries = tomllib.load(file)
    return {name: _study(name, entry) for name, entry in entries.items()}


def study_named(name: str) -> Study:
    """The packaged study of that name, in upper or lower case.

    Raises
    ------
    UsageError
        If there is none.
    """
    studies = read_studies()
    found = {key.lower(): study for key, study in studies.items()}.get(name.lower())
    if found is None:
        raise UsageError(f"--cohort: found {name!r}, expected one of {', '.join(studies)}")
    return found


def _study(name: str, entry: Mapping[str, Any]) -> Study:
    groups = tuple(Group(**{**group, "age": tuple(group["age"])}) for group in entry["groups"])
    regions = tuple(Region(**region) for region in entry.get("regions", ()))
    scores = tuple(Score(**score) for score in entry.get("scores", ()))
    known = {group.name for group in groups}
    named = {group for region in regions for group in (*region.delta, *region.group_sd, *region.rate, *region.volume)}
    named |= {group for score in scores for group in score.mean}
    if named - known:
        raise UsageError(f"study {name}: the groups {', '.join(sorted(named - known))} are none of its own")
    for score in scores:
        if sum(r**2 for r in score.r.values()) > 1:
            raise UsageError(f"study {name}: the correlations of {score.name} cannot be had together (Σr² above 1)")
    rest = {key: value for key, value in entry.items() if key not in ("groups", "regions", "scores", "visits")}
    return Study(name, groups=groups, regions=regions, scores=scores, visits=tuple(entry.get("visits", (0.0,))), **rest)
