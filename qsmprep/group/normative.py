"""Each person, at each visit, against the controls of the same age and sex."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qsmprep.errors import InputError
from qsmprep.group.design import CONTROL_NAMES, Design
from qsmprep.group.longitudinal import years_of
from qsmprep.group.people import Ledger
from qsmprep.group.sample import Sample

if TYPE_CHECKING:
    import pandas as pd

    from qsmprep.stats.normative import NormativeModel

MIN_CONTROLS = 20  # of fewer, a norm over age says little; a user's model needs none


@dataclass(frozen=True)
class Norms:
    """z-scores of every person, visit and region, and the models that they come from: measure -> model."""

    table: pd.DataFrame
    models: dict[str, NormativeModel]


def normative(sample: Sample, design: Design, ledger: Ledger) -> Norms:
    """z-scores for age and sex at every visit.

    Norms are fitted to the controls at the visit that is compared; controls are judged by norms that did not see them,
    at any visit. `normative` of the design may name a file of models, which then take the place of the controls, each
    for its measure.

    Raises
    ------
    InputError
        If there is no age, or there are too few controls and no file of models.
    """
    import pandas as pd

    if not sample.tables:
        return Norms(pd.DataFrame(), {})
    if not design.age:
        raise InputError("there is no column of ages: name it with age in the model file.")
    lost = [name for name in (design.age, design.sex) if name and name not in design.covariates]
    if design.harmonize and lost:
        ledger.note(
            f"normative: harmonisation keeps only what is a covariate; where sites differ in {' and '.join(lost)}, its "
            "share of χ went with them. Add it to covariates."
        )
    people = sample.people.assign(**{design.age: visit_ages(sample, design)})
    path = Path(design.normative)
    if path.suffix == ".json":
        return _by_file(path, sample, people, design, ledger)
    return _by_controls(sample, people, design)


def visit_ages(sample: Sample, design: Design) -> pd.Series[float]:
    """Age at each visit: where the tables give a person one age for several, the years since the first are added."""
    age = sample.people[design.age]
    years = years_of(sample, design, Ledger())
    if years is None:
        return age
    who = age.index.get_level_values("participant_id")
    single = age.groupby(who).transform("nunique") == 1
    return age.groupby(who).transform("first").add(years.fillna(0.0)).where(single & age.notna(), age)


def _by_controls(sample: Sample, people: pd.DataFrame, design: Design) -> Norms:
    import pandas as pd

    from qsmprep.stats import normative as of

    fitted = sample.baseline & _controls(sample, design)
    if fitted.sum() < MIN_CONTROLS:
        raise InputError(f"{int(fitted.sum())} controls with an age; a norm needs {MIN_CONTROLS}.")
    who = people.index.get_level_values("participant_id").to_series(index=people.index)
    mine = who.isin(who[fitted])  # a control is one at all visits
    tables, models = [], {}
    for measure, table in sample.tables.items():
        model = of.fit_normative(
            table[fitted], people[fitted], design.age, design.sex, design.normative, sample.units[measure]
        )
        own = of.score_controls(model, table[mine], people[mine], who[mine], fitted[mine])
        others = of.score(model, table[~mine], people[~mine]) if (~mine).any() else own.iloc[:0]
        parts = [own.assign(norm="the other controls"), others.assign(norm="all controls")]
        tables += [part.assign(measure=measure) for part in parts]
        models[measure] = model
    return Norms(pd.concat(tables, ignore_index=True), models)


def _by_file(path: Path, sample: Sample, people: pd.DataFrame, design: Design, ledger: Ledger) -> Norms:
    """Scores by a user's models: every measure that the file has, in its unit; the others are told."""
    import pandas as pd

    from qsmprep.stats import normative as of

    try:
        found = of.from_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be used: {error}") from None
    tables, models = [], {}
    for measure, table in sample.tables.items():
        model = found.get(measure)
        if model is None:
            ledger.note(f"normative: {path} has no norms of {measure}, only of {', '.join(found)}.")
        elif model.unit != sample.units[measure]:
            ledger.note(f"normative: {path} has {measure} in {model.unit}, and the tables in {sample.units[measure]}.")
        elif model.sex and not design.sex:
            ledger.note(f"normative: {path} needs a column of sexes for {measure}: name it with sex in the model file.")
        else:
            named = people.assign(**{model.age: people[design.age]})
            named = named.assign(**{model.sex: people[design.sex]}) if model.sex else named
            tables.append(of.score(model, table, named).assign(norm=path.name, measure=measure))
            models[measure] = model
    if not tables:
        raise InputError(f"{path} has no norm of what is analysed ({', '.join(sample.tables)}).")
    return Norms(pd.concat(tables, ignore_index=True), models)


def _controls(sample: Sample, design: Design) -> pd.Series[bool]:
    """At which visits someone is a control: in the reference group; everybody where there are no groups."""
    import pandas as pd

    aged = sample.people[design.age].notna()
    if not sample.groups:
        return aged
    first = sample.groups[0]
    is_control = bool(design.reference) or bool(design.order) or first.lower() in CONTROL_NAMES
    return aged & (sample.people[design.groups] == first) if is_control else pd.Series(False, index=aged.index)
