"""Agreement of repeated measurements: raters, scans of one day, two settings."""

from __future__ import annotations

import itertools
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
        for a, b in itertools.combinations(sorted(set(repeat)), 2):
            first, second = (values[(repeat == name).to_numpy()].droplevel("repeat") for name in (a, b))
            tables.append(of.bland_altman(first, second, names=(str(a), str(b))).assign(measure=measure))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
