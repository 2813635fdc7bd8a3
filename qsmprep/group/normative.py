"""Each person against the controls of the same age and sex."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qsmprep.errors import InputError
from qsmprep.group.design import CONTROL_NAMES, Design
from qsmprep.group.people import Ledger
from qsmprep.group.sample import Sample

if TYPE_CHECKING:
    import pandas as pd

    from qsmprep.stats.normative import NormativeModel

MIN_CONTROLS = 20  # of fewer, a norm over age says little; a user's model needs none


@dataclass(frozen=True)
class Norms:
    """z-scores of every person and region, and the models that they come from: measure -> model."""

    table: pd.DataFrame
    models: dict[str, NormativeModel]


def normative(sample: Sample, design: Design, ledger: Ledger) -> Norms:
    """z-scores for age and sex: controls by a norm that was fitted without them, the others by that of all controls.

    `normative` of the design may name a model file, which then takes the place of the controls for its unit.

    Raises
    ------
    InputError
        If there is no age, or there are too few controls and no model file.
    """
    import pandas as pd

    from qsmprep.stats import normative as of

    here = sample.at_baseline()
    if not here.tables:
        return Norms(pd.DataFrame(), {})
    if not design.age:
        raise InputError("there is no column of ages: name it with age in the model file.")
    path = Path(design.normative)
    if path.suffix == ".json":
        try:
            model = of.from_json(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"normative: {path} cannot be used: {error}") from None
        measure, table = next(iter(here.tables.items()))
        if model.unit != here.units[measure]:
            raise InputError(f"normative: {path} is in {model.unit}, and {measure} in {here.units[measure]}.")
        people = here.people.assign(**{model.age: here.people[design.age]})
        people = people.assign(**{model.sex: people[design.sex]}) if model.sex and design.sex else people
        return Norms(of.score(model, table, people).assign(measure=measure, norm=path.name), {})
    controls = _controls(here, design)
    if controls.sum() < MIN_CONTROLS:
        raise InputError(f"{int(controls.sum())} controls with an age; a norm needs {MIN_CONTROLS}.")
    tables, models = [], {}
    for measure, table in here.tables.items():
        model = of.fit_normative(
            table[controls], here.people[controls], design.age, design.sex, design.normative, here.units[measure]
        )
        own = of.score_controls(model, table[controls], here.people[controls])
        others = of.score(model, table[~controls], here.people[~controls]) if (~controls).any() else own.iloc[:0]
        tables.append(pd.concat([own.assign(norm="the other controls"), others.assign(norm="all controls")]))
        tables[-1] = tables[-1].assign(measure=measure)
        models[measure] = model
    return Norms(pd.concat(tables, ignore_index=True), models)


def _controls(sample: Sample, design: Design) -> pd.Series:
    """Who is a control: the reference group; everybody where there are no groups."""
    import pandas as pd

    aged = sample.people[design.age].notna()
    if not sample.groups:
        return aged
    first = sample.groups[0]
    is_control = bool(design.reference) or bool(design.order) or first.lower() in CONTROL_NAMES
    return aged & (sample.people[design.groups] == first) if is_control else pd.Series(False, index=aged.index)
