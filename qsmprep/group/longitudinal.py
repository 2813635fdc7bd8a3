"""Change from one visit to another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qsmprep.group.design import Design
from qsmprep.group.people import Ledger
from qsmprep.group.sample import Sample

if TYPE_CHECKING:
    import pandas as pd


def paired(sample: Sample, design: Design, ledger: Ledger) -> pd.DataFrame:
    """Later sessions against the first (or `baseline`), in each group, in the same persons."""
    import pandas as pd

    from qsmprep.stats import compare

    if not sample.tables:
        return pd.DataFrame()
    sessions = sorted(set(sample.people.index.get_level_values("session")))
    wanted = design.baseline.removeprefix("ses-")
    base = wanted if wanted in sessions else sessions[0]
    tables = []
    for measure, table in sample.tables.items():
        first = _visit(table, base)
        for session in sessions:
            if session == base:
                continue
            later = _visit(table, session)
            people = first.index.intersection(later.index)
            for group in sample.groups or ("",):
                labels = _visit(sample.people, base)[design.groups] if group else None
                mine = people if labels is None else people[(labels.reindex(people) == group).to_numpy()]
                if len(mine):
                    contrast = f"{session} - {base}" + (f" in {group}" if group else "")
                    found = compare.paired(later.loc[mine], first.loc[mine], contrast)
                    tables.append(found.assign(measure=measure))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _visit(table: pd.DataFrame, session: str) -> pd.DataFrame:
    return table[table.index.get_level_values("session") == session].droplevel("session")
