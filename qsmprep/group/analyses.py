"""Every analysis that a design asks for, and the tables that it leaves in `group/`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qsmprep.bids.derivatives import atomic_write_text, write_table
from qsmprep.errors import InputError
from qsmprep.group.collect import GroupRun
from qsmprep.group.design import Design
from qsmprep.group.dictionary import describe
from qsmprep.group.harmonize import harmonised
from qsmprep.group.normative import normative
from qsmprep.group.people import Ledger
from qsmprep.group.sample import Sample, make_sample, referenced
from qsmprep.group.sensitivity import agreement, second_reference
from qsmprep.group.units import estimate_units

if TYPE_CHECKING:
    import pandas as pd

    from qsmprep.stats.normative import NormativeModel

logger = logging.getLogger("qsmprep")
FAMILY_COLUMNS = {"contrast": ("measure", "test", "contrast"), "test": ("measure", "test"), "all": ("measure",)}


@dataclass(frozen=True)
class Task:
    """One analysis: its names among `design.TESTS`, the table it goes to, and what computes it.

    `compute` takes a sample (of one reference) and the design; it returns a tidy table with the column `measure`,
    or several by name. `tests` is false where that has no p-values, so that a second reference has nothing to confirm;
    `raw` is true where it wants the sample before harmonisation.
    """

    names: tuple[str, ...]
    table: str
    compute: Callable[[Sample, Design, Ledger], pd.DataFrame | dict[str, pd.DataFrame]]
    tests: bool = True
    raw: bool = False


@dataclass(frozen=True)
class Results:
    """Tables of one call by name (`comparisons`, ...), the sample and design they come from, norms by measure.

    `tested` is the sample that the tests saw: harmonised where the design asks for it.
    """

    tables: Mapping[str, pd.DataFrame]
    sample: Sample
    tested: Sample
    design: Design
    second_reference: str
    models: Mapping[str, NormativeModel] = field(default_factory=dict)


def run_analyses(wide: pd.DataFrame, runs: Sequence[GroupRun], design: Design, ledger: Ledger) -> Results:
    """Everything that the design asks for.

    An analysis that cannot be done says why in the ledger, and the others go on.

    Parameters
    ----------
    wide : one row a run, in the order of `runs`
    """
    sample, design = make_sample(wide, runs, design, ledger)
    tables = {"descriptives": descriptives(sample, design)} if sample.tables else {}
    tested, found = _tests(sample, design, ledger)
    tables |= found
    models: Mapping[str, NormativeModel] = {}
    if sample.tables and design.asks("normative") and design.normative != "none":
        try:
            norms = normative(tested, design, ledger)
            models = norms.models
            tables["normative"] = _with_measure(norms.table, sample)
        except (InputError, ValueError) as error:
            ledger.note(f"normative: not computed: {error}")
    second = second_reference(wide, runs, design, ledger) if sample.tables else None
    if second is not None and tables:
        name, offsets = second
        moved = referenced(sample, offsets.reindex(sample.people.index))
        both = [
            agreement(tables[key], table, design.alpha).assign(table=key)
            for key, table in _tests(moved, design, Ledger(), again=True)[1].items()
            if {"estimate", "effect", "p", "p_corrected"} <= set(table.columns)
        ]
        if both:
            import pandas as pd

            joined = pd.concat(both, ignore_index=True)
            joined = joined[joined["measure"].isin(list(moved.tables))]
            tables["sensitivity"] = joined.assign(second_reference=name)
    return Results(tables, sample, tested, design, second[0] if second else "", models)


def _tests(raw: Sample, design: Design, ledger: Ledger, again: bool = False) -> tuple[Sample, dict[str, pd.DataFrame]]:
    """The sample that is tested, and tables of all tasks, corrected over the family.

    `again` for those alone that a second reference can confirm.
    """
    import numpy as np
    import pandas as pd

    from qsmprep.group.tasks import TASKS
    from qsmprep.stats.correct import correct

    parts: dict[str, list[pd.DataFrame]] = {}
    sample = raw
    if design.harmonize and design.site and raw.tables:
        sample, effects = harmonised(raw, design, ledger)
        parts["harmonization"] = [effects] if len(effects) else []
    for task in TASKS:
        if not any(design.asks(name) for name in task.names) or (again and not task.tests):
            continue
        if not (sample.tables or sample.repeats):
            continue
        try:
            made = task.compute(raw if task.raw else sample, design, ledger)
        except (InputError, ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
            ledger.note(f"{', '.join(task.names)}: not computed: {error}")
            continue
        for name, table in (made if isinstance(made, dict) else {task.table: made}).items():
            if len(table):
                parts.setdefault(name, []).append(table)
    tables = {}
    for name, found in parts.items():
        if not found:
            continue
        joined = pd.concat(found, ignore_index=True)
        if "p" in joined and design.correction != "none":
            joined = correct(joined, design.correction, list(FAMILY_COLUMNS[design.family]))
        elif "p" in joined:
            joined = joined.assign(p_corrected=joined["p"], correction="none", family_size=1)
        tables[name] = _with_measure(joined, sample)
    return sample, tables


def _with_measure(table: pd.DataFrame, sample: Sample) -> pd.DataFrame:
    """The table with the measure, and the unit of what is estimated, in front."""
    rest = table.drop(columns="measure")
    rest.insert(0, "unit", estimate_units(table, sample.units))
    rest.insert(0, "measure", table["measure"])
    return rest


def descriptives(sample: Sample, design: Design) -> pd.DataFrame:
    """Count, mean, SD, median, quartiles and range of each region in each group, at the visit that is compared."""
    import pandas as pd

    here = sample.at_baseline()
    groups = here.people[design.groups] if design.groups else pd.Series("all", index=here.people.index)
    groups = groups.where(groups.isin(sample.groups), "no group") if design.groups else groups
    parts = []
    for measure, table in here.tables.items():
        for group in dict.fromkeys((*sample.groups, *groups)):
            rows = table[groups == group]
            if rows.empty:
                continue
            quartiles = rows.quantile([0.25, 0.5, 0.75])
            parts.append(
                pd.DataFrame(
                    {
                        "measure": measure,
                        "unit": sample.units[measure],
                        "region": rows.columns,
                        "group": group,
                        "n": rows.notna().sum().to_numpy(),
                        "missing": rows.isna().sum().to_numpy(),
                        "mean": rows.mean().to_numpy(),
                        "sd": rows.std().to_numpy(),
                        "median": quartiles.loc[0.5].to_numpy(),
                        "q25": quartiles.loc[0.25].to_numpy(),
                        "q75": quartiles.loc[0.75].to_numpy(),
                        "minimum": rows.min().to_numpy(),
                        "maximum": rows.max().to_numpy(),
                    }
                )
            )
    return pd.concat(parts, ignore_index=True)


def write_results(folder: Path, results: Results) -> list[Path]:
    """Write each table with its JSON dictionary into `group/`; tables of an earlier call that are not made anew go."""
    from qsmprep.group.dictionary import TABLES
    from qsmprep.stats.normative import to_json

    written = []
    for name in TABLES:
        path = folder / f"{name}.tsv"
        if name in results.tables:
            table = results.tables[name]
            written.append(write_table(path, table, describe(name, table.columns, _context(results))))
        else:
            for old in (path, path.with_suffix(".json")):
                old.unlink(missing_ok=True)
    if results.models and not results.design.normative.endswith(".json"):  # those of a user's file are there already
        written.append(atomic_write_text(folder / "normative_models.json", to_json(results.models)))
    return written


def _context(results: Results) -> dict[str, Any]:
    design = results.design
    return {
        "Groups": list(results.sample.groups),
        "Correction": design.correction,
        "Family": design.family,
        "Alpha": design.alpha,
        "StandardErrors": design.errors,
        "SumsOfSquares": "I" * design.squares,
        "SecondReference": results.second_reference or None,
    }
