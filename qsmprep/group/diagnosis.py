"""How well regions tell two groups apart: ROC curves, and one measure against another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from qsmprep.group.contrasts import contrasts_of
from qsmprep.group.design import Design
from qsmprep.group.people import Ledger
from qsmprep.group.sample import Sample

if TYPE_CHECKING:
    import pandas as pd

BOOTSTRAPS = 200  # resamples for the interval of a cut-off


def roc(sample: Sample, design: Design, ledger: Ledger) -> pd.DataFrame:
    """Area under the curve of every region, and of every marker, in every contrast; then pairs of measures.

    The first measure of the design is compared with each other one (χ with R2*) in the same region, and with each
    marker (DAT binding), by DeLong's paired test.
    """
    import pandas as pd

    from qsmprep.stats.roc import auc, compare_paired

    here = sample.at_baseline()
    tables: list[pd.DataFrame] = []
    if not here.tables:
        return pd.DataFrame()
    for contrast in contrasts_of(here, design, ledger):
        sides = (contrast.sides, contrast.first, contrast.second)
        told = f"{contrast.first} vs {contrast.second}"
        tables += [auc(table, *sides).assign(measure=measure) for measure, table in here.tables.items()]
        if design.markers:
            tables.append(auc(here.people[list(design.markers)], *sides).assign(measure="marker"))
        first, base = next(iter(here.tables.items()))
        for name, other in _others(here, design):
            compared = compare_paired(base, other, *sides, names=(first, name))
            tables.append(compared.assign(measure=first))
        for table in tables:  # contrasts have one name in all tables
            table["contrast"] = table["contrast"].str.replace(told, contrast.name, regex=False)
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def cutoff(sample: Sample, design: Design, ledger: Ledger) -> pd.DataFrame:
    """Youden's cut-off of every region and marker in every contrast, and what a diagnosis by it is worth."""
    import pandas as pd

    from qsmprep.stats.cutoff import youden

    here = sample.at_baseline()
    tables = dict(here.tables)
    if design.markers:
        tables["marker"] = here.people[list(design.markers)]
    found = []
    for contrast in contrasts_of(here, design, ledger):
        told = f"{contrast.first} vs {contrast.second}"
        for measure, table in tables.items():
            rows = youden(
                table, contrast.sides, contrast.first, contrast.second,
                prevalence=design.prevalence or None, bootstraps=BOOTSTRAPS,
            )  # fmt: skip
            named = rows["contrast"].str.replace(told, contrast.name, regex=False)
            found.append(rows.assign(measure=measure, contrast=named))
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()


def _others(sample: Sample, design: Design) -> Iterator[tuple[str, pd.DataFrame]]:
    """What the first measure is compared with, as tables with its regions."""
    import pandas as pd

    first, base = next(iter(sample.tables.items()))
    for measure, table in sample.tables.items():
        if measure != first:
            yield measure, table
    for marker in design.markers:
        yield marker, pd.DataFrame(dict.fromkeys(base.columns, sample.people[marker]), index=base.index)
