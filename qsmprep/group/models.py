"""Linear models of every region: groups adjusted for covariates, interactions, slopes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from qsmprep.errors import InputError
from qsmprep.group.contrasts import Contrast, contrasts_of, model_contrasts
from qsmprep.group.design import Design
from qsmprep.group.people import Ledger
from qsmprep.group.sample import Sample

if TYPE_CHECKING:
    import pandas as pd

    from qsmprep.stats.design import DesignMatrix

GROUP_ALIAS = "group"  # what a formula may call the column of groups, whatever its name


def glm(sample: Sample, design: Design, ledger: Ledger) -> pd.DataFrame:
    """Contrasts, slopes and terms of the linear model, with the errors and sums of squares of the design.

    Contrasts of groups come from the model of the design. One that names levels of `subtype`, or joins groups of both
    columns, has a model of its own, in which the two sides take the place of the groups.

    Raises
    ------
    InputError
        If there is nothing to model: no formula, no groups and no covariates.
    """
    import pandas as pd

    from qsmprep.stats.glm import fit_glm

    here = sample.at_baseline()
    formula = formula_of(here, design)
    if not here.tables:
        return pd.DataFrame()
    if not formula:
        raise InputError("there are no groups, covariates or formula to model.")
    people = model_people(here, design)
    model = _matrix(formula, people, design.groups, ledger)
    contrasts = contrasts_of(here, design, ledger)
    inside, texts = _texts(model, contrasts, here, design, ledger)
    tables = [
        _named(fit_glm(table, model, list(texts), "I" * design.squares, design.errors), texts).assign(measure=measure)
        for measure, table in here.tables.items()
    ]
    if design.groups and not design.formula:
        for contrast in contrasts:
            if contrast not in inside:
                tables += _own_model(contrast, here, people, design, ledger)
    return pd.concat(tables, ignore_index=True)


def adjusted_means(sample: Sample, design: Design, ledger: Ledger) -> pd.DataFrame:
    """Mean of each group at equal weights of the other factors and the mean of each covariate."""
    import pandas as pd

    from qsmprep.stats import glm as models

    here = sample.at_baseline()
    formula = formula_of(here, design)
    if not formula or not design.groups or not here.tables:
        return pd.DataFrame()
    model = _matrix(formula, model_people(here, design), design.groups, Ledger())
    column = group_factor(model, design)
    if not column:
        return pd.DataFrame()
    tables = [
        models.adjusted_means(table, model, column, design.errors).assign(measure=measure)
        for measure, table in here.tables.items()
    ]
    # whether a mean is 0 says nothing: χ has no absolute zero
    keep = ["measure", "region", "contrast", "n", "estimate", "estimate_low", "estimate_high", "estimate_se", "note"]
    return pd.concat(tables, ignore_index=True)[keep].rename(columns={"contrast": "group"})


def mancova(sample: Sample, design: Design, ledger: Ledger) -> pd.DataFrame:
    """Whether groups, covariates and contrasts move all regions of the panel, or of `regions`, together."""
    import pandas as pd

    from qsmprep.stats import mancova as of

    here = sample.at_baseline()
    formula = formula_of(here, design)
    if not formula or not here.tables or not (design.panel or design.regions):
        return pd.DataFrame()
    model = _matrix(formula, model_people(here, design), design.groups, Ledger())
    _, texts = _texts(model, contrasts_of(here, design, Ledger()), here, design, Ledger())
    tables = []
    for measure, table in here.tables.items():
        known = table.loc[:, table.max() > table.min()]
        whole = int(known.notna().all(axis=1).sum())
        if known.shape[1] < 2 or whole <= known.shape[1] + model.matrix.shape[1]:
            ledger.note(f"mancova: {measure}: {whole} persons have all {known.shape[1]} regions: too few to test them.")
            continue
        found = of.mancova(known, model, design.panel or "regions of the design", list(texts))
        tables.append(_named(found, texts).assign(measure=measure))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def power(sample: Sample, design: Design, ledger: Ledger) -> pd.DataFrame:
    """Smallest difference and slope that the sample finds in each region, four times in five."""
    import pandas as pd

    from qsmprep.stats.power import detectable

    here = sample.at_baseline()
    formula = formula_of(here, design)
    if not formula or not here.tables:
        return pd.DataFrame()
    model = _matrix(formula, model_people(here, design), design.groups, Ledger())
    _, texts = _texts(model, contrasts_of(here, design, Ledger()), here, design, Ledger())
    tables = [
        _named(detectable(table, model, list(texts), alpha=design.alpha), texts).assign(measure=measure)
        for measure, table in here.tables.items()
    ]
    return pd.concat(tables, ignore_index=True)


def _texts(
    model: DesignMatrix, contrasts: list[Contrast], sample: Sample, design: Design, ledger: Ledger
) -> tuple[list[Contrast], dict[str, str]]:
    """Contrasts whose groups are levels of the model; and, with the design's contrasts of the model and the slopes, as
    the model reads them -> their names. What the model cannot answer is told."""
    from qsmprep.stats.contrasts import contrast

    column = group_factor(model, design)
    inside = [c for c in contrasts if column and {*c.left, *c.right} <= set(model.factors[column])]
    texts = {_text(contrast): contrast.name for contrast in inside}
    for text in model_contrasts(sample, design):
        try:
            read = as_model_reads(text, model, design)
            contrast(read, model)
            texts[read] = text.strip()
        except ValueError as error:
            ledger.note(f"{design.source}: {error} Left out.")
    return inside, texts | {f"'{name}'": name for name in model.numbers if name in model.terms}


def formula_of(sample: Sample, design: Design) -> str:
    """The formula of the design, or groups (times genotype), covariates and site."""
    if design.formula:
        return design.formula
    groups = quoted(design.groups) if len(sample.groups) > 1 else ""
    if groups and design.genotype:
        groups = f"{groups} * {quoted(design.genotype)}"
    rest = [quoted(name) for name in dict.fromkeys((*design.covariates, design.site)) if name]
    return " + ".join([part for part in (groups, *rest) if part])


def quoted(name: str) -> str:
    """A name as formulas take it: in backticks unless it is a word."""
    return name if name.isidentifier() else f"`{name}`"


def model_people(sample: Sample, design: Design) -> pd.DataFrame:
    """People with groups that count only; `group` means the column of groups where no column has that name."""
    people = sample.people.copy()
    if design.groups:
        people[design.groups] = people[design.groups].where(people[design.groups].isin(sample.groups))
        if GROUP_ALIAS not in people:
            people[GROUP_ALIAS] = people[design.groups]
    return people


def _matrix(formula: str, people: pd.DataFrame, groups: str, ledger: Ledger) -> DesignMatrix:
    """The design matrix; who is left out of it and what is collinear goes to the ledger."""
    from qsmprep.stats.design import design_matrix

    model = design_matrix(formula, people)
    for who, reason in model.excluded[model.excluded != f"{groups} missing"].items():  # that is told already
        ledger.add(str(who), "not in this analysis", f"model {formula}", str(reason))
    for column, others in model.collinear.items():
        ledger.note(
            f"model {formula}: {column} is a combination of {', '.join(others)}: its own effect cannot be told."
        )
    return model


def group_factor(model: DesignMatrix, design: Design) -> str:
    """The factor of the model that holds the groups; "" without one."""
    return next((name for name in (design.groups, GROUP_ALIAS) if name in model.factors), "")


def as_model_reads(text: str, model: DesignMatrix, design: Design) -> str:
    """A contrast of the model in which `group` is the column of groups, whatever its name."""
    column = group_factor(model, design)
    if not column or GROUP_ALIAS in model.people:
        return text
    return re.sub(rf"(?<![\w.'\"]){GROUP_ALIAS}(?![\w.'\"])", lambda _: column, text)


def _text(contrast: Contrast) -> str:
    """The contrast for `stats.contrasts.contrast`: names between quotes, since they may hold signs."""
    return " - ".join(
        "(" + " + ".join(f"'{name}'" for name in side) + f")/{len(side)}" for side in (contrast.left, contrast.right)
    )


def _named(table: pd.DataFrame, names: dict[str, str]) -> pd.DataFrame:
    return table.assign(contrast=table["contrast"].replace(names))


def _own_model(
    contrast: Contrast, sample: Sample, people: pd.DataFrame, design: Design, ledger: Ledger
) -> list[pd.DataFrame]:
    """Tables of a contrast whose sides are no groups of the model."""
    from qsmprep.stats.glm import fit_glm

    sides = people.assign(**{design.groups: contrast.sides})
    try:
        model = _matrix(formula_of(sample, design), sides, design.groups, ledger)
        text = f"'{contrast.first}' - '{contrast.second}'"
        return [
            _named(fit_glm(table, model, [text], "", design.errors), {text: contrast.name}).assign(measure=measure)
            for measure, table in sample.tables.items()
        ]
    except ValueError as error:
        ledger.note(f"glm: {contrast.name}: {error}")
        return []
