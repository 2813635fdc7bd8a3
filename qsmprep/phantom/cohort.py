"""Cohorts of regional numbers without images: what a published study would have measured, drawn anew.

Each scan has a table as the participant level writes it. A person's deviation from the group's mean is shared by the
parts of a nucleus (three quarters of its variance) and by both sides. The SD that a study states is one of measured
means, so the error of the measurement, that of this pipeline on digital heads, is a part of it. Scanners come last:
what a study states is true of χ before they change it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import UsageError
from .nuclei import canonical
from .studies import Genotype, Group, Region, Score, Site, Study
from .tissue import IRON_R2STAR, REGIONS, WHITE, normal_chi, r2star, spread

Values = NDArray[np.float64]

NOISE_PPB = (
    3.0  # SD of a nucleus's mean χ from scan to scan: error of the pipeline on digital heads, benchmarks/README.md
)
SHARES = (0.75, 0.10, 0.15)  # of the variance between persons: a nucleus with its parts, the part, the side
VOLUME_SD = 0.10  # of the volume, between persons, as a fraction
RATE_SPREAD = 0.3  # SD of a person's rate, as a fraction of the group's
SEGMENTATIONS = ("deepgrey", "DK")


@dataclass(frozen=True)
class Cohort:
    """What was drawn.

    people : one row a participant: participant_id, age, sex, group, genotype and site (where there are any), scores
    scans : one row a scan: participant_id, visit (from 0), years, run (from 0)
    rows : one row a region: seg, index, name, hemisphere, key (name in `tissue`), family, volume [mm³]
    chi, r2star, volume : (scan, row) arrays [ppb, 1/s, mm³]
    ring : (scan, row) array [ppb], χ around each region
    """

    study: Study
    people: pd.DataFrame
    scans: pd.DataFrame
    rows: pd.DataFrame
    chi: Values
    r2star: Values
    volume: Values
    ring: Values


def draw_cohort(study: Study, seed: int = 0, participants: int | None = None) -> Cohort:
    """Draw a cohort.

    Parameters
    ----------
    study : what to draw
    seed : the same seed, the same cohort
    participants : in each group, instead of the study's own number

    Raises
    ------
    UsageError
        If a region of the study is in no packaged atlas and not drawn, or `participants` is below 1.
    """
    if participants is not None and participants < 1:
        raise UsageError(f"--participants: found {participants}, expected 1 or more")
    rng = np.random.default_rng(seed)
    rows = _rows(study)
    people = _everybody(study, participants, rng)
    places = [_places(rows, region) for region in study.regions]
    sd = _spreads(study, rows, places, people)
    noise = np.minimum(NOISE_PPB, sd / np.sqrt(2))
    deviation = _deviations(rows, len(people), rng)
    true = np.sqrt(sd**2 - noise**2) * deviation
    scans = [(p, v, r) for p in range(len(people)) for v in range(len(study.visits)) for r in range(study.runs)]
    person = np.array([p for p, *_ in scans])
    years = np.array([study.visits[v] for _, v, _ in scans])
    expected = _expected(study, rows, places, people, person, years)
    rate = _rates(study, rows, places, people) * (1 + RATE_SPREAD * rng.standard_normal((len(people), 1)))
    exact = (expected + true[person]) * (1 + rate[person]) ** years[:, None]
    error = noise[person] * rng.standard_normal(exact.shape)
    first = np.flatnonzero((years == study.visits[0]) & (np.array([r for *_, r in scans]) == 0))
    measured = (true + error[first]) / sd
    for score in study.scores:
        people[score.name] = _score(score, rows, people, measured, (noise / sd) ** 2, rng)
    iron = r2star("grey", study.field) + IRON_R2STAR * np.maximum(exact, 0) * study.field / 3.0
    relaxation = iron + study.r2star_sd * rng.standard_normal(exact.shape)
    volume = _volumes(study, rows, places, people, deviation, rng)[person]
    volume = volume * (1 + 0.01 * rng.standard_normal(volume.shape))
    table = pd.DataFrame(scans, columns=["person", "visit", "run"])
    table.insert(0, "participant_id", people["participant_id"].to_numpy()[table.pop("person").to_numpy()])
    table["years"] = years
    chi, ring = exact + error, np.tile(_rings(study, rows, places), (len(scans), 1))
    if study.sites:
        scale, shift = (one[person] for one in _sites(study.sites, rows, people, rng))
        chi, ring = scale * chi + shift, scale * ring + shift
    return Cohort(study, people, table, rows, chi, relaxation, volume, ring)


def _rows(study: Study) -> pd.DataFrame:
    """Regions of the packaged atlases, and those that the study's raters draw."""
    drawn = [(one, side) for one in study.drawn for side in one.hemispheres]
    if not drawn:
        return region_rows()
    own = pd.DataFrame(
        {
            "seg": "manual",
            "index": range(1, len(drawn) + 1),
            "name": [one.region for one, _ in drawn],
            "hemisphere": [side for _, side in drawn],
            "volume": [one.volume for one, _ in drawn],
        }
    )
    own["key"] = own["family"] = [_key(name) for name in own["name"]]
    return pd.concat([region_rows(), own], ignore_index=True)


@cache
def region_rows() -> pd.DataFrame:
    """Regions of the packaged atlases: seg, index, name, hemisphere, key, family, volume [mm³]."""
    import nibabel as nib

    from ..data import atlas
    from ..regions import read_labels

    parts = []
    for seg in SEGMENTATIONS:
        found = atlas(seg)
        table = read_labels(found.labels)
        counts = np.bincount(np.asarray(nib.load(found.image).dataobj).astype(int).ravel())
        table["volume"] = counts[table["index"]].astype(float)
        parts.append(table.assign(seg=seg))
    rows = pd.concat(parts, ignore_index=True)
    rows["key"] = [_key(name) for name in rows["name"]]
    rows["family"] = [(REGIONS[key].family or key) if key in REGIONS else key for key in rows["key"]]
    return rows


def _key(name: str) -> str:
    """Name in `tissue`; parcels stand there without spaces."""
    return canonical(name) or {"pallidum": "GP"}.get(name) or name.replace(" ", "")


def _everybody(study: Study, participants: int | None, rng: np.random.Generator) -> pd.DataFrame:
    """participant_id, age, sex, group, and the genotype where the study has one."""
    people = pd.concat([_people(group, participants or group.n, rng) for group in study.groups], ignore_index=True)
    width = max(3, len(str(len(people))))
    people.insert(0, "participant_id", [f"sub-{n:0{width}d}" for n in range(1, len(people) + 1)])
    if study.genotype is not None:
        people[study.genotype.name] = _genotypes(study.genotype, people["group"], rng)
    return people


def _genotypes(genotype: Genotype, groups: pd.Series[Any], rng: np.random.Generator) -> pd.Series[Any]:
    found = pd.Series(genotype.other, groups.index)
    for name, members in groups.groupby(groups).groups.items():
        share = genotype.share.get(str(name), 0.0)
        found[members] = _allot({genotype.carrier: share, genotype.other: 1 - share}, len(members), rng)
    return found


def _allot(shares: Mapping[str, float], n: int, rng: np.random.Generator) -> NDArray[np.str_]:
    """`n` names in proportion to their shares, in random order."""
    ends = np.rint(n * np.cumsum(list(shares.values()))).astype(int)
    return rng.permutation(np.repeat(list(shares), np.diff(ends, prepend=0)))


def _sites(
    sites: tuple[Site, ...], rows: pd.DataFrame, people: pd.DataFrame, rng: np.random.Generator
) -> tuple[Values, Values]:
    """Scale and shift [ppb] of each (person, row), the same on both sides; who was where goes into `people`."""
    shares = {site.name: site.share for site in sites}
    where = pd.Series("", people.index)
    for members in people.groupby("group", sort=False).groups.values():
        where[members] = _allot(shares, len(members), rng)
    people.insert(4, "site", where)
    codes, unique = pd.factorize(rows["key"])
    mine = pd.Index(list(shares)).get_indexer(pd.Index(where))
    scale = np.array([site.scale + site.scale_sd * rng.standard_normal(len(unique)) for site in sites])[:, codes]
    shift = np.array([site.shift + site.shift_sd * rng.standard_normal(len(unique)) for site in sites])[:, codes]
    return scale[mine], shift[mine]


def _people(group: Group, n: int, rng: np.random.Generator) -> pd.DataFrame:
    mean, sd = group.age
    age = np.clip(rng.normal(mean, sd, n), mean - 2.5 * sd, mean + 2.5 * sd).round(1)
    sex = np.where(rng.random(n) < group.female, "F", "M")
    return pd.DataFrame({"age": age, "sex": sex, "group": group.name})


def _places(rows: pd.DataFrame, region: Region) -> NDArray[np.bool_]:
    """Rows that a region of a study means: parts of a nucleus, and the same region of each segmentation."""
    key = _key(region.region)
    found = ((rows["key"] == key) | (rows["family"] == key)).to_numpy()
    if region.hemisphere:
        found = found & (rows["hemisphere"] == region.hemisphere).to_numpy()
    if not found.any():
        raise UsageError(
            f"the region {region.region} {region.hemisphere} of the study is in no packaged atlas, nor drawn"
        )
    return found


def _spreads(study: Study, rows: pd.DataFrame, places: list[NDArray[np.bool_]], people: pd.DataFrame) -> Values:
    """SD between persons [ppb] of each (person, row)."""
    sd = np.tile([float(spread(key)) for key in rows["key"]], (len(people), 1))
    for region, place in zip(study.regions, places, strict=True):
        of_group = people["group"].map(
            {group.name: region.group_sd.get(group.name, region.sd) for group in study.groups}
        )
        sd[:, place] = of_group.to_numpy(float)[:, None]
    return sd


def _deviations(rows: pd.DataFrame, n: int, rng: np.random.Generator) -> Values:
    """Standard normal deviations (person, row), shared by what belongs together."""
    total = np.zeros((n, len(rows)))
    sided = rows["key"] + rows["hemisphere"]
    for share, names in zip(SHARES, (rows["family"], rows["key"], sided), strict=True):
        codes, unique = pd.factorize(names)
        total += np.sqrt(share) * rng.standard_normal((n, len(unique)))[:, codes]
    return total


def _by_group(people: pd.DataFrame, values: Any) -> Values:
    return people["group"].map(dict(values)).fillna(0.0).to_numpy(float)


def _expected(
    study: Study,
    rows: pd.DataFrame,
    places: list[NDArray[np.bool_]],
    people: pd.DataFrame,
    person: NDArray[np.int64],
    years: Values,
) -> Values:
    """Mean χ [ppb] of persons of this group and age, (scan, row)."""
    ages = people["age"].to_numpy(float)[person] + years
    keys, unique = pd.factorize(rows["key"])
    known, age = np.unique(ages, return_inverse=True)
    course = np.array([[normal_chi(str(key), float(one)) for key in unique] for one in known])[age][:, keys]
    for region, place in zip(study.regions, places, strict=True):
        if region.mean is not None:
            middle = [normal_chi(key, study.groups[0].age[0]) for key in rows["key"][place]]
            course[:, place] += region.mean - np.array(middle)
        effect = _by_group(people, region.delta)
        if study.genotype is not None:  # about the group's mean, which stays as it is
            carries = (people[study.genotype.name] == study.genotype.carrier).to_numpy(float)
            effect = effect + _by_group(people, region.carrier) * (carries - _by_group(people, study.genotype.share))
        course[:, place] += effect[person][:, None]
    return course


def _rates(study: Study, rows: pd.DataFrame, places: list[NDArray[np.bool_]], people: pd.DataFrame) -> Values:
    rate = np.zeros((len(people), len(rows)))
    for region, place in zip(study.regions, places, strict=True):
        rate[:, place] = _by_group(people, region.rate)[:, None]
    return rate


def _volumes(
    study: Study,
    rows: pd.DataFrame,
    places: list[NDArray[np.bool_]],
    people: pd.DataFrame,
    deviation: Values,
    rng: np.random.Generator,
) -> Values:
    """Volume [mm³] of each (person, row)."""
    other = rng.standard_normal(deviation.shape)
    change = np.ones(deviation.shape)
    for region, place in zip(study.regions, places, strict=True):
        r = region.volume_r
        other[:, place] = r * deviation[:, place] + np.sqrt(1 - r**2) * other[:, place]
        change[:, place] += _by_group(people, region.volume)[:, None]
    return np.asarray(rows["volume"].to_numpy(float) * np.maximum(1 + VOLUME_SD * other, 0.3) * change)


def _rings(study: Study, rows: pd.DataFrame, places: list[NDArray[np.bool_]]) -> Values:
    ring = np.full(len(rows), WHITE)
    for region, place in zip(study.regions, places, strict=True):
        if region.ring is not None:
            ring[place] = region.ring
    return ring


def _score(
    score: Score,
    rows: pd.DataFrame,
    people: pd.DataFrame,
    measured: Values,
    error_share: Values,
    rng: np.random.Generator,
) -> Values:
    """A score that has the asked correlation with the mean of a region's parts and sides; NaN without one."""
    total = np.zeros(len(people))
    for name, r in score.r.items():
        place = _places(rows, Region(name, 0.0, ""))
        place = place & (rows["seg"] == rows["seg"][place].iloc[0]).to_numpy()
        family, part, side = SHARES
        n, keys = int(place.sum()), rows["key"][place].nunique()
        noise = error_share[:, place].mean(axis=1)
        variance = (1 - noise) * (family + part / keys + side / n) + noise / n
        total += r * measured[:, place].mean(axis=1) / np.sqrt(variance)
    rest = np.sqrt(1 - sum(r**2 for r in score.r.values()))
    deviation = total + rest * rng.standard_normal(len(people))
    values = people["group"].map(dict(score.mean)) + people["group"].map(dict(score.sd)) * deviation
    if score.limits is not None:
        values = values.clip(*score.limits)
    return np.asarray(values.to_numpy(float).round(2))
