"""Agreement of repeated measurements: raters, scans of one day, two settings."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

from qsmprep.group.design import Design
from qsmprep.group.people import Ledger
from qsmprep.group.sample import Sample

if TYPE_CHECKING:
    import pandas as pd


def reliability(sample: Sample, design: Design, ledger: Ledger) -> pd.DataFrame:
    """Intraclass correlation, limits of agreement of each two, and variation within persons."""
    import pandas as pd

    from qsmprep.stats import reliability as of

    tables = []
    for measure, values in sample.repeats.items():
        index = values.index
        who, repeat = (index.get_level_values(name).to_series(index=index) for name in ("participant_id", "repeat"))
        tables.append(of.icc(values, who, repeat).assign(measure=measure))
        tables.append(of.within_subject(values, who).assign(measure=measure))
        for names, first, second in pairs_of(values):
            tables.append(of.bland_altman(first, second, names=names).assign(measure=measure))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def pairs_of(values: pd.DataFrame) -> Iterator[tuple[tuple[str, str], pd.DataFrame, pd.DataFrame]]:
    """Names of each two repeats, and the measurements of both: (persons, regions)."""
    repeat = values.index.get_level_values("repeat")
    for a, b in itertools.combinations(sorted(set(repeat)), 2):
        yield (str(a), str(b)), *(values[repeat == name].droplevel("repeat") for name in (a, b))
