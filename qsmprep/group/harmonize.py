"""Sites brought together before anything is tested (ComBat), with what that changed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from qsmprep.errors import InputError
from qsmprep.group.design import Design
from qsmprep.group.people import Ledger
from qsmprep.group.sample import Sample

if TYPE_CHECKING:
    import pandas as pd


def harmonised(sample: Sample, design: Design, ledger: Ledger) -> tuple[Sample, pd.DataFrame]:
    """The sample with the sites' effects taken out, and the tests of sites and covariates before and after.

    Groups and covariates are kept. Effects are learned at the visit that is compared, and taken out of all visits. A
    person without site or covariates cannot be harmonised and has no numbers from here on.
    """
    import pandas as pd

    from qsmprep.stats import harmonize
    from qsmprep.stats.sites import site_effects

    named = [name for name in dict.fromkeys((design.groups, *design.covariates)) if name]
    known = sample.people[[design.site, *named]].notna().all(axis=1)
    for who, session in sample.people.index[~known]:
        reason = f"cannot be harmonised without {', '.join((design.site, *named))}"
        ledger.add(who, "not in this analysis", "harmonize", reason, session=session)
    rows = sample.people[known]
    if design.groups:  # the reference first, so that the coefficient is that of the others
        levels = dict.fromkeys([*sample.groups, *sorted(rows[design.groups].unique())])
        rows = rows.assign(**{design.groups: pd.Categorical(rows[design.groups], list(levels))})
    learn = rows[sample.baseline[known].to_numpy()]
    tables, effects = {}, []
    for measure, table in sample.tables.items():
        covariates = rows[named] if named else None
        try:
            model = harmonize.fit(table.loc[learn.index], learn[design.site], learn[named] if named else None)
            after = model.apply(table.loc[rows.index], rows[design.site], covariates, unknown="keep")
        except InputError as error:
            ledger.note(f"harmonize: {measure}: not done: {error}")
            tables[measure] = table
            continue
        for name, text in model.notes.items():
            ledger.note(f"harmonize: {measure}: {name}: {text}")
        tables[measure] = after.reindex(table.index)
        tested = site_effects(
            table.loc[learn.index], after.loc[learn.index], learn[design.site], learn[named] if named else None
        )
        effects.append(tested.assign(measure=measure))
    return replace(sample, tables=tables), pd.concat(effects, ignore_index=True) if effects else pd.DataFrame()
