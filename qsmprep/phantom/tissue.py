"""Susceptibility, relaxation and contrast of the head's tissues: normal values, age, and what diseases do to them.

Susceptibility is in ppb relative to soft tissue (muscle and water 0) and at 3 T, near a whole-brain reference. The
values are summaries of the literature for simulation, not measurements: Hallgren and Sourander's iron curves (J
Neurochem 1958;3:41, doi 10.1111/j.1471-4159.1958.tb12607.x) times `PPB_PER_IRON`, the second reconstruction challenge's
head (Marques 2021, doi 10.1002/mrm.28716), and effect sizes of group studies. Where a study gives a
direction only, the size is a plausible one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

CSF, WHITE, BONE, AIR, VEIN = 10.0, -20.0, -2100.0, 9200.0, 300.0  # ppb
CORTICOSPINAL, SPLENIUM = -20.0, -15.0  # ppb, on top of white matter
CEREBELLAR_CORTEX = 5.0
# T2* of cortex, white matter, fluid, marrow-free bone and venous blood as R2* [1/s] at 1.5, 3 and 7 T
_R2STAR = {
    "grey": (11.9, 15.2, 30.1),
    "white": (15.1, 18.8, 37.3),
    "csf": (4.0, 5.0, 8.0),
    "bone": (300.0, 400.0, 600.0),
    "soft": (25.0, 30.0, 50.0),
    "vein": (18.0, 47.0, 110.0),
}
# χ [ppb] for each µg of iron per g of wet tissue, as maps of living persons show it: the slope between this table's own
# pallidum and caudate at 65 years, (135 - 42) ppb over (217 - 96) µg/g. What iron does is more: 1.10 ± 0.08 by X-ray
# fluorescence and mass spectrometry, much as in unfixed brains (Zheng 2013, NeuroImage, Measuring iron in the brain
# using quantitative susceptibility mapping and X-ray fluorescence imaging), where χ of grey matter is linear in iron
# with r = 0.84 (Langkammer 2012, doi 10.1016/j.neuroimage.2012.05.049).
PPB_PER_IRON = 0.75
IRON_R2STAR = 0.17  # 1/s per ppb at 3 T, in grey matter


@dataclass(frozen=True)
class Region:
    """One structure: χ at 65 years and its spread between persons [ppb], its course with age, T1w brightness."""

    chi: float
    sd: float
    age: str
    t1w: float
    family: str


def _region(chi: float, sd: float, age: str = "growth", t1w: float = 0.80, family: str = "") -> Region:
    return Region(chi, sd, age, t1w, family)


# T1w is relative to white matter. Structures of a family (parts of one nucleus) share their deviation from the norm.
REGIONS: dict[str, Region] = {
    "caudate": _region(42, 11, "caudate", 0.76),
    "putamen": _region(72, 18, "putamen", 0.80),
    "accumbens": _region(10, 12, "flat", 0.76),
    "GP": _region(135, 25, "pallidum", 0.92, "GP"),
    "GPe": _region(132, 25, "pallidum", 0.91, "GP"),
    "GPi": _region(138, 25, "pallidum", 0.93, "GP"),
    "SN": _region(110, 25, "growth", 0.88, "SN"),
    "SNc-PBP-VTA": _region(95, 25, "growth", 0.87, "SN"),
    "SNr": _region(120, 25, "growth", 0.89, "SN"),
    "red nucleus": _region(90, 25, "growth", 0.92),
    "STN": _region(85, 25, "growth", 0.90),
    "dentate": _region(85, 30, "growth", 0.86),
    "thalamus": _region(5, 8, "thalamus", 0.86),
    "pulvinar": _region(30, 12, "thalamus", 0.84),
    "hippocampus": _region(-2, 6, "flat", 0.77),
    "amygdala": _region(-5, 8, "flat", 0.77),
    "ventral pallidum": _region(60, 20, "growth", 0.86),
    "extended amygdala": _region(0, 8, "flat", 0.78),
    "habenula": _region(15, 10, "flat", 0.80),
    "hypothalamus": _region(0, 8, "flat", 0.78),
    "mammillary": _region(0, 8, "flat", 0.82),
    "claustrum": _region(20, 8, "flat", 0.77),
}
# a label of one of these stands for all of its set: an atlas that has one needs none of the others from elsewhere
SAME_PLACE = ({"GP", "GPe", "GPi"}, {"SN", "SNc-PBP-VTA", "SNr"}, {"thalamus", "pulvinar"})

# Cortex: χ [ppb] at 65 years and its growth per ten years; the other parcels have DEFAULT_CORTEX
DEFAULT_CORTEX = (4.0, 3.0, 0.2)  # mean, sd, slope
CORTEX: dict[str, tuple[float, float, float]] = {
    "precentral": (8.0, 3.0, 0.5),
    "postcentral": (6.0, 3.0, 0.3),
    "paracentral": (7.0, 3.0, 0.4),
    "pericalcarine": (9.0, 3.0, 0.0),
    "cuneus": (7.0, 3.0, 0.0),
    "lateraloccipital": (6.0, 3.0, 0.0),
    "lingual": (6.0, 3.0, 0.0),
    "superiorfrontal": (4.0, 3.0, 0.5),
    "medialorbitofrontal": (0.0, 3.0, 0.4),
    "lateralorbitofrontal": (0.0, 3.0, 0.4),
    "parahippocampal": (0.0, 3.7, 0.1),
    "inferiortemporal": (-1.0, 1.5, 0.2),
    "entorhinal": (-1.0, 3.0, 0.1),
    "temporalpole": (0.0, 3.0, 0.2),
    "insula": (2.0, 3.0, 0.2),
}

Effect = tuple[float, float | None]  # patient minus control [ppb], spread between persons [ppb] where a study gives it
_PD: dict[str, Effect] = {"SN": (27.4, 14.2)}
_AD: dict[str, Effect] = {
    "putamen": (7.4, 14.8),
    "caudate": (6.0, 10.0),
    "amygdala": (5.0, 8.0),
    "hippocampus": (3.0, 6.0),
    "GP": (12.0, 25.0),
    "SN": (12.0, 25.0),
    "precentral": (1.5, 2.3),
    "superiorfrontal": (1.6, 3.0),
    "medialorbitofrontal": (1.5, 3.0),
    "lateralorbitofrontal": (1.5, 3.0),
    "parahippocampal": (1.8, 3.7),
    "inferiortemporal": (1.0, 1.5),
    "precuneus": (2.0, 3.0),
    "entorhinal": (2.0, 3.0),
}
_WD: dict[str, Effect] = {
    "putamen": (60.0, 45.0),
    "GP": (60.0, 50.0),
    "caudate": (40.0, 35.0),
    "SN": (40.0, 35.0),
    "red nucleus": (30.0, 35.0),
    "dentate": (25.0, 30.0),
    "thalamus": (15.0, 12.0),
}
_HD: dict[str, Effect] = {"caudate": (30.0, 15.0), "putamen": (25.0, 16.0), "GP": (25.0, 25.0)}
_FTD: dict[str, Effect] = {
    "superiorfrontal": (4.0, 6.0),
    "superiortemporal": (4.0, 6.0),
    "rostralanteriorcingulate": (4.0, 6.0),
    "insula": (4.0, 6.0),
    "hippocampus": (4.0, 6.0),
    "putamen": (12.0, 18.0),
    "red nucleus": (20.0, 30.0),
}
DISEASES: dict[str, dict[str, Effect]] = {
    "CONTROL": {},
    "HC": {},
    "AD": _AD,
    "MCI": {name: (delta / 2, sd) for name, (delta, sd) in _AD.items()},
    "PD": _PD,
    "PDTD": {**_PD, "dentate": (40.5, 58.0)},
    "ALS": {
        "precentral": (11.0, 6.6),
        "SN": (15.0, 25.0),
        "GP": (15.0, 25.0),
        "red nucleus": (15.0, 25.0),
        "corticospinal": (-5.0, 8.0),
    },
    "PREHD": {
        "caudate": (15.0, 15.0),
        "putamen": (15.0, 16.0),
        "GP": (18.0, 25.0),
        "SN": (-15.0, 22.0),
        "hippocampus": (-5.0, 6.0),
    },
    "HD": _HD,
    "FTD": _FTD,
    "BVFTD": _FTD,
    "PPA": {"superiortemporal": (5.0, 6.0)},
    "VAD": {"hippocampus": (5.0, 7.0), "putamen": (12.0, 18.0)},
    "WD": _WD,
    "WDHEPATIC": {},
    # what `patient` means where no disease is named: mixed parkinsonism, seen in a handful of persons
    "PATIENT": {"SN": (27.4, 14.2), "putamen": (15.0, 14.8), "caudate": (8.0, 10.0), "red nucleus": (15.0, 25.0)},
}
RATES = {"HD": {"caudate": 0.119, "GP": 0.061}}  # growth a year, of the value itself
ONE_SIDED = {("PPA", "superiortemporal"): "L", ("BVFTD", "insula"): "R", ("FTD", "insula"): "R"}


def disease_of(group: str) -> str:
    """The disease that a group's name stands for; CONTROL for a name that is none."""
    key = "".join(c for c in group.upper() if c.isalnum())
    return key if key in DISEASES else "CONTROL"


def effect(disease: str, name: str, hemisphere: str = "") -> float:
    """Patient minus control [ppb] of a region; parts of a nucleus take the nucleus's effect."""
    family = REGIONS[name].family if name in REGIONS else ""
    found = DISEASES[disease].get(name) or (DISEASES[disease].get(family) if family else None)
    if found is None or ONE_SIDED.get((disease, name), hemisphere) != hemisphere:
        return 0.0
    return found[0]


def spread(name: str, diseases: Iterable[str] = ()) -> float:
    """Standard deviation between persons [ppb]: that of the studied diseases where one gives it, else the norm's.

    The same for patients and controls of a dataset, so that a study's effect size comes out.
    """
    family = REGIONS[name].family if name in REGIONS else ""
    for disease in diseases:
        for key in (name, family):
            sd = DISEASES[disease].get(key, (0.0, None))[1]
            if sd is not None:
                return sd
    if name in REGIONS:
        return REGIONS[name].sd
    return {"corticospinal": 8.0, "white": 4.0}.get(name) or CORTEX.get(name, DEFAULT_CORTEX)[1]


def normal_chi(name: str, age: float) -> float:
    """Mean χ [ppb] of healthy persons of an age [years]."""
    if name not in REGIONS:
        mean, _, slope = CORTEX.get(name, DEFAULT_CORTEX)
        return mean + slope * (age - 65) / 10
    region = REGIONS[name]
    return float(region.chi + _course(region, age) - _course(region, 65.0))


def _course(region: Region, age: float) -> float:
    iron = {"pallidum": (214.1, 0.09), "putamen": (146.2, 0.04), "caudate": (96.6, 0.05)}
    if region.age in iron:  # µg/g
        amount, rate = iron[region.age]
        return float(PPB_PER_IRON * amount * (1 - np.exp(-rate * age)))
    if region.age == "growth":
        return float(region.chi * (1 - np.exp(-0.04 * age)) / (1 - np.exp(-0.04 * 65)))
    if region.age == "thalamus":  # grows to about 35 years, then falls
        return float(8 * (1 - np.exp(-0.1 * min(age, 35))) - 0.25 * max(age - 35, 0))
    return 0.0


def r2star(kind: str, b0: float) -> float:
    """R2* [1/s] of "grey", "white", "csf", "bone", "soft" tissue or "vein" at a field strength [T]."""
    return float(np.interp(b0, (1.5, 3.0, 7.0), _R2STAR[kind]))


def iron_r2star(chi: float, b0: float) -> float:
    """R2* [1/s] of grey matter with a susceptibility [ppb] at a field strength [T]."""
    return r2star("grey", b0) + IRON_R2STAR * max(chi, 0.0) * b0 / 3.0


def flash(density: float, t1: float, tr: float = 0.040, flip: float = 15.0) -> float:
    """Steady-state signal of a spoiled gradient echo at TE = 0; `t1` and `tr` [s], `flip` [degrees]."""
    decay, angle = np.exp(-tr / t1), np.deg2rad(flip)
    return float(density * np.sin(angle) * (1 - decay) / (1 - np.cos(angle) * decay))


@dataclass(frozen=True)
class Person:
    """What is true of one participant at one visit. χ in ppb."""

    age: float
    sex: str
    group: str
    score: float
    chi: Mapping[tuple[str, str], float]  # (region or parcel, "L" or "R")
    white: float
    corticospinal: float


def draw_person(
    group: str,
    rng: np.random.Generator,
    *,
    names: Iterable[str],
    diseases: Iterable[str] = (),
    age: float | None = None,
    years: float = 0.0,
) -> Person:
    """Draw one participant; the same generator state gives the same person at every visit.

    Parameters
    ----------
    group : name of the group; a known disease, "patient", or any other name for healthy persons
    rng : source of the draw
    names : regions and parcels that the head has
    diseases : all diseases of the dataset (they set the spread between persons)
    age : at the first visit [years]; drawn from 50 to 80 without it
    years : since the first visit
    """
    disease = disease_of(group)
    drawn_age = float(rng.uniform(50, 80))
    start = round(drawn_age if age is None else age, 1)
    sex = "F" if rng.random() < 0.5 else "M"
    deviation: dict[str, float] = {}
    chi: dict[tuple[str, str], float] = {}
    for name in sorted(set(names)):
        family = (REGIONS[name].family if name in REGIONS else "") or name
        if family not in deviation:
            deviation[family] = float(np.clip(rng.standard_normal(), -2.5, 2.5))
        sd = spread(name, diseases)
        part = 0.3 * sd * rng.standard_normal() if family != name else 0.0
        for side in "LR":
            value = normal_chi(name, start + years) + effect(disease, name, side)
            value += 0.95 * sd * deviation[family] + part + 0.15 * sd * rng.standard_normal()
            rate = RATES.get(disease, {}).get(family, 0.0)
            chi[name, side] = value * (1 + rate) ** years
    white, tract = rng.standard_normal(2)
    lowered = effect(disease, "corticospinal")
    score = _score(disease, deviation, rng)
    cst = CORTICOSPINAL + lowered + spread("corticospinal", diseases) * 0.5 * tract
    return Person(round(start + years, 2), sex, group, score, chi, WHITE + 4.0 * white, cst)


def _score(disease: str, deviation: Mapping[str, float], rng: np.random.Generator) -> float:
    """A cognitive score of at most 30 that falls with the iron of the regions that the disease affects."""
    affected = [name for name in DISEASES[disease] if name in deviation]
    burden = float(np.mean([deviation[name] for name in affected])) * np.sqrt(len(affected)) if affected else 0.0
    mean = 24.0 if affected else 28.0
    return float(np.clip(round(mean - 1.2 * burden + 1.5 * rng.standard_normal()), 0, 30))
