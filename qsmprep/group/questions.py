"""What is asked at every voxel: contrasts of two sides, slopes of scores, and contrasts and terms of the model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qsmprep.group.contrasts import contrasts_of, model_contrasts
from qsmprep.group.design import Design
from qsmprep.group.models import GROUP_ALIAS, as_model_reads, formula_of, group_factor, model_people, quoted
from qsmprep.group.people import Ledger
from qsmprep.group.sample import Sample

if TYPE_CHECKING:
    import pandas as pd

    from qsmprep.stats.design import DesignMatrix

SEVERAL = 3  # groups from which on their term is asked for, too


@dataclass(frozen=True)
class Question:
    """A contrast of one model.

    Attributes
    ----------
    name : "AD - HC", "MMSE", "term(group)"
    model : of the persons that it is asked of
    contrast : (p,) of the coefficients, tested by t; (q, p) of a whole term, tested by F
    """

    name: str
    model: DesignMatrix
    contrast: NDArray[np.float64]


def questions(sample: Sample, design: Design, ledger: Ledger) -> list[Question]:
    """Each contrast in a model of the persons on its two sides, each score, and what the model of all persons is asked.

    That is those of `contrasts` that only a model can answer, the term of the groups where there are three or more, and
    their interaction with `genotype`. What cannot be asked is told in the ledger.
    """
    from qsmprep.stats.contrasts import contrast
    from qsmprep.stats.design import design_matrix

    people, formula = model_people(sample, design), formula_of(sample, design)
    asked: list[tuple[str, str, str, pd.DataFrame]] = []
    for pair in contrasts_of(sample, design, ledger):
        columns = {design.groups: pair.sides}
        if GROUP_ALIAS not in sample.people:
            columns[GROUP_ALIAS] = pair.sides
        asked.append((pair.name, f"'{pair.first}' - '{pair.second}'", formula, people.assign(**columns)))
    for score in design.scores:
        parts = [formula, quoted(score)]
        asked.append((score, f"'{score}'", " + ".join(part for part in parts if part), people))
    found = []
    for name, text, right, frame in asked:
        try:
            model = design_matrix(right, frame)
            found.append(Question(name, model, np.ravel(contrast(text, model).vector)))
        except ValueError as error:
            ledger.note(f"voxel-wise: {name}: not computed: {error}")
    return [*found, *_of_model(formula, people, sample, design, ledger)]


def _of_model(formula: str, people: pd.DataFrame, sample: Sample, design: Design, ledger: Ledger) -> Iterator[Question]:
    """What the model of all persons is asked, each question once."""
    from qsmprep.stats.contrasts import contrast
    from qsmprep.stats.design import design_matrix

    if not formula:
        return
    try:
        model = design_matrix(formula, people)
    except ValueError as error:
        ledger.note(f"voxel-wise: the model of all participants: not computed: {error}")
        return
    groups = group_factor(model, design)
    asked = [text.strip() for text in model_contrasts(sample, design)]
    if groups in model.terms and len(sample.groups) >= SEVERAL:
        asked.append(f"term({groups})")
    if groups and f"{groups}:{design.genotype}" in model.terms:
        asked.append(f"interaction({groups}:{design.genotype})")
    known = set()
    for text in asked:
        try:
            found = contrast(as_model_reads(text, model, design), model)
        except ValueError as error:
            ledger.note(f"voxel-wise: {text}: not computed: {error}")
            continue
        if (same := (found.kind, found.vector.tobytes())) not in known:
            known.add(same)
            yield Question(text, model, found.vector if found.kind == "term" else np.ravel(found.vector))
