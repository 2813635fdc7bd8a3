"""Change from one visit to another."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from qsmprep.group.contrasts import contrasts_of
from qsmprep.group.design import Design
from qsmprep.group.models import model_people, quoted
from qsmprep.group.people import Ledger
from qsmprep.group.sample import Sample

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger("qsmprep")


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


def rates(sample: Sample, design: Design, ledger: Ledger) -> pd.DataFrame:
    """Rate of change per year of each person: its mean in each group, and the difference between groups."""
    import pandas as pd

    from qsmprep.stats.trajectories import compare_rates

    each = individual_rates(sample, design, ledger)
    if each.empty or not sample.groups:
        return pd.DataFrame()
    groups = sample.at_baseline().people[design.groups]
    pairs = [(contrast.first, contrast.second) for contrast in contrasts_of(sample.at_baseline(), design, ledger)]
    pairs = [pair for pair in pairs if set(pair) <= set(sample.groups)]
    tables = [
        compare_rates(mine, groups, pairs).assign(measure=measure)
        for measure, mine in each.groupby("measure", sort=False)
    ]
    return pd.concat(tables, ignore_index=True)


def individual_rates(sample: Sample, design: Design, ledger: Ledger) -> pd.DataFrame:
    """Rate of change per year of every person and region; in percent only where the number is far from 0."""
    import pandas as pd

    from qsmprep.stats.trajectories import annual_rates

    years = years_of(sample, design, ledger)
    if years is None:
        return pd.DataFrame()
    who = years.index.get_level_values("participant_id").to_series(index=years.index)
    tables = [annual_rates(table, who, years).assign(measure=measure) for measure, table in sample.tables.items()]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def mixed(sample: Sample, design: Design, ledger: Ledger) -> pd.DataFrame:
    """Mixed models with a random intercept and slope: the slope of each group, and its difference between groups."""
    import pandas as pd

    from qsmprep.stats.design import design_matrix
    from qsmprep.stats.mixed import mixed_models

    years = years_of(sample, design, ledger)
    if years is None:
        return pd.DataFrame()
    flat = [" ".join(index) for index in sample.people.index]
    people = model_people(sample, design).assign(years=years).set_axis(flat, axis=0)
    who = pd.Series(sample.people.index.get_level_values("participant_id"), index=flat)
    covariates = []
    for name in dict.fromkeys((*design.covariates, design.site)):
        if name and name == design.time:  # age at each visit: its change is the years themselves
            people[f"{name} at first"] = people[name].groupby(who).transform("min")
            covariates.append(f"{name} at first")
        elif name:
            covariates.append(name)
    names = [name for name in sample.groups if len(sample.groups) > 1]
    fixed = [f"{quoted(design.groups)} * years" if names else "years", *map(quoted, covariates)]
    model = design_matrix(" + ".join(fixed), people)
    if names:
        inside = [c for c in contrasts_of(sample.at_baseline(), design, ledger) if {*c.left, *c.right} <= set(names)]
        texts = {f"'years[{name}]'": f"years in {name}" for name in names}
        single = [c for c in inside if len(c.left) == len(c.right) == 1]
        texts |= {f"'years[{c.first}]' - 'years[{c.second}]'": f"years: {c.name}" for c in single}
    else:
        texts = {"years": "years"}
    tables = []
    for measure, table in sample.tables.items():
        found = mixed_models(
            table.set_axis(flat, axis=0), model, who, list(texts), people["years"], progress=_progress(measure)
        )
        tables.append(found.assign(measure=measure, contrast=found["contrast"].replace(texts)))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def years_of(sample: Sample, design: Design, ledger: Ledger) -> pd.Series | None:
    """Years since each person's first visit; None, told, where nobody has two visits with a time."""
    from qsmprep.stats.trajectories import years_since_first

    who = sample.people.index.get_level_values("participant_id").to_series(index=sample.people.index)
    if not who.duplicated().any():
        return None
    if not design.time:
        ledger.note("There is no time of the visits (acq_time in scans.tsv, age in sessions.tsv, or `time`): no rates.")
        return None
    time = sample.people[design.time]
    is_age = time.dtype.kind == "f"
    years = years_since_first(who, None if is_age else time, time if is_age else None)
    if not (years > 0).any():
        ledger.note(f"The time of the visits ({design.time}) does not differ within persons: no rates.")
        return None
    return years


def _progress(measure: str) -> Callable[[int, int], None]:
    def tell(done: int, total: int) -> None:
        if done % max(total // 10, 1) == 0:
            logger.info("mixed models of %s: %d of %d regions", measure, done, total)

    return tell
