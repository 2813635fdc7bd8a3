"""Unit of what a test estimates: that of the measure, of its change per year or per point of a score, or none."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

NONE = "1"
PER_YEAR = ("age", "years")
# tests whose estimate is a number without a unit, by how their names begin
_PLAIN = re.compile(
    r"Pearson|Spearman|partial |ROC|AUC|DeLong|Youden index|sensitivity|specificity|accuracy|PPV|NPV|Brier|calibration"
    r"|MANCOVA|ICC|proportional bias|within-subject CV|site variance"
)


def estimate_units(table: pd.DataFrame, units: Mapping[str, str]) -> list[str]:
    """Unit of `estimate`, its interval and its standard error, a row each.

    Parameters
    ----------
    table : with `measure` and, where something is tested, `test`, `contrast`, `effect_name`, `estimate`, `effect`
    units : of each measure
    """
    columns = [table.get(name, [""] * len(table)) for name in ("measure", "test", "contrast", "effect_name")]
    return [
        _unit(units.get(str(measure), ""), *(str(x) for x in rest)) for measure, *rest in zip(*columns, strict=True)
    ]


def _unit(unit: str, test: str, contrast: str, effect: str) -> str:
    if _PLAIN.match(test) or contrast.startswith("correlation of"):
        return NONE
    if test.startswith("annual percent"):
        return "%/year"
    if test.startswith("annual") or (test.startswith("mixed model") and re.search(r"\byears\b|of slopes", contrast)):
        return f"{unit}/year"
    slope = effect == "partial r" or (test.startswith("covariate") and ": " not in contrast)
    if slope:  # its name stands before its group or level
        name = re.split(r" in |\[", contrast.strip("'"), maxsplit=1)[0]
        return f"{unit}/year" if name in PER_YEAR else f"{unit} per unit of {name}"
    return unit
