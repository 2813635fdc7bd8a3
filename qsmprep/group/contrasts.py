"""The pairs of groups that a design compares, with who is on which side."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qsmprep.errors import UsageError
from qsmprep.group.design import Design, contrast_name, of_model, parse_contrast
from qsmprep.group.panels import read_panel
from qsmprep.group.people import Ledger
from qsmprep.group.sample import Sample

if TYPE_CHECKING:
    import pandas as pd

Sides = tuple[tuple[str, ...], tuple[str, ...]]
MAX_PAIRS = 15  # of groups, without `contrasts`: six groups


@dataclass(frozen=True)
class Contrast:
    """Two sides of groups: persons of several groups on one side are taken together.

    Attributes
    ----------
    name : `AD - HC`
    first, second : what each side is called, such as "TD + AR"
    left, right : groups of each side
    sides : `first` or `second` for each person, missing for the others; index: participant_id
    """

    name: str
    first: str
    second: str
    left: tuple[str, ...]
    right: tuple[str, ...]
    sides: pd.Series


def _asked_by(design: Design) -> str:
    """Where the contrasts come from: the panel, where neither the model file nor an option names any."""
    if design.panel and design.contrasts == read_panel(design.panel).contrasts:
        return f"panel {design.panel}"
    return design.source


def contrasts_of(sample: Sample, design: Design, ledger: Ledger) -> list[Contrast]:
    """Contrasts of the design between the persons of a sample at one visit; those that cannot be are told.

    Without any (those of the linear model do not count), each group against the reference, then the other pairs. Levels
    of `subtype` are groups too; a person of group PD and subtype TD is in both.
    """
    if not sample.groups:
        return []
    labels = [sample.people[design.groups].where(sample.people[design.groups].isin(sample.groups))]
    if design.subtype:
        labels.append(sample.people[design.subtype])
    wanted: list[Sides] = []
    named = [text for text in design.contrasts if text not in model_contrasts(sample, design)]
    for text in named:
        try:
            wanted.append(parse_contrast(text, _names(sample, design)))
        except UsageError as error:
            ledger.note(f"{_asked_by(design)}: {error} Left out.")
    if not named:
        pairs: list[tuple[tuple[str, ...], tuple[str, ...]]] = [
            ((b,), (a,)) for a, b in itertools.combinations(sample.groups, 2)
        ]
        if len(pairs) > MAX_PAIRS:
            ledger.note(
                f"{len(sample.groups)} groups make {len(pairs)} pairs: only those with {sample.groups[0]} are compared."
                " Name others with --contrast."
            )
            pairs = [pair for pair in pairs if pair[1] == (sample.groups[0],)]
        wanted = pairs
    return [_contrast(left, right, labels) for left, right in dict.fromkeys(wanted)]


def model_contrasts(sample: Sample, design: Design) -> list[str]:
    """Contrasts of the design that are no two sides of groups but something that a linear model can be asked."""

    def of_groups(text: str) -> bool:
        try:
            return bool(parse_contrast(text, _names(sample, design)))
        except UsageError:
            return False

    return [text for text in design.contrasts if of_model(text) and not of_groups(text)]


def _names(sample: Sample, design: Design) -> list[str]:
    """Groups, and the levels of `subtype`."""
    levels = sorted(set(sample.people[design.subtype].dropna())) if design.subtype else []
    return list(dict.fromkeys((*sample.groups, *levels)))


def _contrast(left: tuple[str, ...], right: tuple[str, ...], labels: list[pd.Series]) -> Contrast:
    import pandas as pd

    first, second = " + ".join(left), " + ".join(right)
    sides = pd.Series([None] * len(labels[0]), index=labels[0].index, dtype=object)
    for groups, side in ((left, first), (right, second)):
        for label in labels:
            sides[label.isin(groups)] = side
    return Contrast(contrast_name((left, right)), first, second, left, right, sides)
