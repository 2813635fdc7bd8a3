"""Several regions and markers together: how well a classifier tells two groups apart in persons it has not seen."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from qsmprep.errors import InputError
from qsmprep.group.contrasts import contrasts_of
from qsmprep.group.design import Design
from qsmprep.group.people import Ledger
from qsmprep.group.sample import Sample

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger("qsmprep")
METHODS = ("ridge", "lda")
REPEATS = 10  # how often the folds are drawn anew


def classify(sample: Sample, design: Design, ledger: Ledger) -> dict[str, pd.DataFrame]:
    """Penalised logistic regression and discriminant analysis by nested cross-validation, for every contrast.

    All measures and markers of the regions are joined. It takes minutes, so that `tests` has to name it. The sample is
    that before harmonisation, which the folds learn themselves.
    """
    import pandas as pd

    from qsmprep.stats import classify as of

    here = sample.at_baseline()
    if not here.tables or "classify" not in design.tests:
        return {}
    values = pd.concat([table.add_suffix(f".{name}") for name, table in here.tables.items()], axis=1)
    if design.markers:
        values = values.join(here.people[list(design.markers)])
    kept = [name for name in design.covariates if name != design.groups]
    site = here.people[design.site] if design.harmonize and design.site else None
    covariates = here.people[kept] if site is not None and kept else None
    tables: dict[str, list[pd.DataFrame]] = {}
    for contrast in contrasts_of(here, design, ledger):
        for method in METHODS:
            try:
                found = of.classify(
                    values, contrast.sides, contrast.first, contrast.second, method=method, site=site,
                    covariates=covariates, repeats=REPEATS, progress=_progress(f"{method}, {contrast.name}"),
                )  # fmt: skip
            except InputError as error:
                ledger.note(f"classify: {contrast.name}: {error}")
                break
            for note in found.notes:
                ledger.note(f"classify: {contrast.name}, {method}: {note}")
            people = found.predictions.groupby(["participant", "group"])["probability"].mean().reset_index()
            parts = {
                "classification": found.summary,
                "classification_people": people,
                "classification_regions": found.coefficients,
                "classification_calibration": found.calibration,
            }
            for name, table in parts.items():
                labelled = table.assign(measure="all together", method=method, contrast=contrast.name)
                tables.setdefault(name, []).append(labelled)
    return {name: pd.concat(found, ignore_index=True) for name, found in tables.items()}


def _progress(what: str) -> Callable[[int, int], None]:
    def tell(done: int, total: int) -> None:
        if done % max(total // 5, 1) == 0:
            logger.info("cross-validation of %s: %d of %d folds", what, done, total)

    return tell
