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
    where a group has another; ``delta`` a group minus the first; ``carrier`` carriers of the genotype minus the others
    of their group, whose mean stays; ``rate`` growth a year as a fraction; ``volume`` a group's change of volume as a
    fraction; ``volume_r`` the correlation of volume and χ; ``ring`` χ around the region.
    """

    region: str
    sd: float
    evidence: str
    mean: float | None = None
    hemisphere: str = ""
    ring: float | None = None
    volume_r: float = 0.0
    delta: Mapping[str, float] = field(default_factory=dict)
    carrier: Mapping[str, float] = field(default_factory=dict)
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
class Drawn:
    """A region that raters draw, since no packaged atlas has it: the table `seg-manual`. ``volume`` is in mm³."""

    region: str
    volume: float
    hemispheres: tuple[str, ...] = ("L", "R")


@dataclass(frozen=True)
class Genotype:
    """A column of participants.tsv with two genotypes; ``share`` is the fraction of carriers in each group."""

    name: str
    description: str
    carrier: str
    other: str
    share: Mapping[str, float]


@dataclass(frozen=True)
class Site:
    """A scanner, the column `site`: ``share`` of each group, and what it makes of χ.

    χ becomes ``scale`` χ + ``shift`` [ppb]; ``scale_sd`` and ``shift_sd`` [ppb] are SDs of both from region to region.
    """

    name: str
    share: float
    shift: float = 0.0
    shift_sd: float = 0.0
    scale: float = 1.0
    scale_sd: float = 0.0


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
    drawn: tuple[Drawn, ...] = ()
    genotype: Genotype | None = None
    sites: tuple[Site, ...] = ()
    visits: tuple[float, ...] = (0.0,)
    runs: int = 1
    r2star_sd: float = 2.0


def read_studies(path: Path = STUDIES) -> dict[str, Study]:
    """All studies of a TOML file, by name.

    Raises
    ------
    UsageError
        If a group that is named is none of the study, the correlations of a score cannot be had together, carriers
        differ in a study without genotype, or shares are no fractions.
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
    kinds = {"regions": Region, "scores": Score, "sites": Site}
    parts: dict[str, Any] = {key: tuple(kind(**one) for one in entry.get(key, ())) for key, kind in kinds.items()}
    parts["groups"] = tuple(Group(**{**group, "age": tuple(group["age"])}) for group in entry["groups"])
    parts["drawn"] = tuple(
        Drawn(**{**one, "hemispheres": tuple(one.get("hemispheres", ("L", "R")))}) for one in entry.get("drawn", ())
    )
    parts["genotype"] = Genotype(**entry["genotype"]) if "genotype" in entry else None
    parts["visits"] = tuple(entry.get("visits", (0.0,)))
    study = Study(name, **{**entry, **parts})
    _check(study)
    return study


def _check(study: Study) -> None:
    known = {group.name for group in study.groups}
    named = {
        group
        for region in study.regions
        for where in (region.delta, region.carrier, region.group_sd, region.rate, region.volume)
        for group in where
    }
    named |= {group for score in study.scores for group in score.mean}
    shares = dict(study.genotype.share) if study.genotype else {}
    named |= set(shares)
    if named - known:
        raise UsageError(f"study {study.name}: the groups {', '.join(sorted(named - known))} are none of its own")
    for score in study.scores:
        if sum(r**2 for r in score.r.values()) > 1:
            raise UsageError(
                f"study {study.name}: the correlations of {score.name} cannot be had together (Σr² above 1)"
            )
    if study.genotype is None and any(region.carrier for region in study.regions):
        raise UsageError(f"study {study.name}: carriers differ, but there is no genotype")
    odd = [share for share in shares.values() if not 0 <= share <= 1]
    if odd:
        raise UsageError(f"study {study.name}: genotype: found a share of {odd[0]:g}, expected 0 to 1")
    if study.sites and abs(sum(site.share for site in study.sites) - 1) > 1e-6:
        total = sum(site.share for site in study.sites)
        raise UsageError(f"study {study.name}: the shares of the sites add up to {total:g}, expected 1")
