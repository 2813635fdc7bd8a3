"""How regions go with scores, and χ with volume or thickness of the same region."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from qsmprep.group.contrasts import contrasts_of
from qsmprep.group.design import Design
from qsmprep.group.models import quoted
from qsmprep.group.people import Ledger
from qsmprep.group.sample import Sample

if TYPE_CHECKING:
    import pandas as pd

METHODS = ("pearson", "spearman")
MIN_PEOPLE = 4  # a correlation of three has no interval


def scores(sample: Sample, design: Design, ledger: Ledger) -> pd.DataFrame:
    """Correlation with every score within each group, adjusted for the covariates too, and linear regression; and
    whether two groups that are compared differ in the correlation.

    Persons of all groups together would show the difference of the groups, so that they are joined only where there are
    no groups.
    """
    import pandas as pd

    from qsmprep.stats.scores import correlate, regress

    here = sample.at_baseline()
    adjusted = covariates_of(design)
    tables = []
    for score in design.scores:
        for name, people in _parts(here, design, score, ledger):
            for measure, values in here.tables.items():
                mine = values.reindex(people.index)
                found = [correlate(mine, people, [score], method=how) for how in METHODS if design.asks(how)]
                if adjusted:
                    asked = METHODS if design.asks("partial") else ()
                    found += [correlate(mine, people, [score], adjusted, how) for how in asked]
                if design.asks("regression"):
                    found.append(regress(mine, people, [score], adjusted, design.errors))
                tables += [table.assign(measure=measure, contrast=f"{score}{name}") for table in found]
        tables += _between(here, design, score, adjusted)
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _between(sample: Sample, design: Design, score: str, adjusted: str) -> list[pd.DataFrame]:
    """Each contrast of the correlations with a score, where both sides have it."""
    from qsmprep.stats.scores import compare_correlations

    tables = []
    for contrast in contrasts_of(sample, design, Ledger()):
        people = sample.people.assign(**{design.groups: contrast.sides})
        sides = (contrast.first, contrast.second)
        numbers = people[score].notna().groupby(people[design.groups]).sum()
        if numbers.reindex(sides).fillna(0).min() < MIN_PEOPLE:
            continue
        for measure, values in sample.tables.items():
            for how in (how for how in METHODS if design.asks(how)):
                found = compare_correlations(values, people, score, design.groups, [sides], adjusted, how)
                tables.append(found.assign(measure=measure, contrast=f"{score}: {contrast.name}"))
    return tables


def coupling(sample: Sample, design: Design, ledger: Ledger) -> pd.DataFrame:
    """Correlation of each measure with `coupling` (volume, thickness) of the same region, within each group."""
    import pandas as pd

    from qsmprep.stats.scores import couple

    here = sample.at_baseline()
    tables = []
    for other, numbers in here.coupled.items():
        for name, people in _parts(here, design, "", ledger):
            for measure, values in here.tables.items():
                found = couple(
                    values.reindex(people.index), numbers.reindex(people.index), other, people, covariates_of(design)
                )
                tables.append(found.assign(measure=measure, contrast=f"{other}{name}"))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def covariates_of(design: Design) -> str:
    """Right side of a formula with covariates and site."""
    return " + ".join(quoted(name) for name in dict.fromkeys((*design.covariates, design.site)) if name)


def _parts(sample: Sample, design: Design, score: str, ledger: Ledger) -> Iterator[tuple[str, pd.DataFrame]]:
    """Name and people of each group that has the score; everybody where there are no groups."""
    if not sample.groups:
        yield "", sample.people
        return
    for group in sample.groups:
        people = sample.people[sample.people[design.groups] == group]
        known = len(people) if not score else int(people[score].notna().sum())
        if known >= MIN_PEOPLE:
            yield f" in {group}", people
        elif known:
            ledger.note(f"scores: only {known} of group {group} have {score or 'numbers'}: not correlated there.")
