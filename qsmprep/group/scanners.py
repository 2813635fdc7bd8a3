"""On what device each run was acquired, as the sidecars of χ tell it: columns `scanner` and `field_strength`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from qsmprep.bids.model import SCANNER_KEYS
from qsmprep.group.people import People
from qsmprep.report.records import read_json

if TYPE_CHECKING:
    import pandas as pd

    from qsmprep.group.collect import GroupRun
    from qsmprep.group.design import Design

COLUMNS = {
    "scanner": {
        "Description": "Device of the run: manufacturer, model, station and serial number, as far as they are told"
    },
    "field_strength": {"Description": "Nominal field strength of the run", "Units": "T"},
}
SOURCE = "the sidecars of χ"


def with_scanners(people: People, runs: Sequence[GroupRun]) -> People:
    """People with the columns `scanner` and `field_strength` where sidecars tell them and no table has them already."""
    import pandas as pd

    found = pd.DataFrame({run.name: _of_run(run) for run in runs}, dtype=object).T
    new = [name for name in COLUMNS if name in found and name not in people.columns and found[name].notna().any()]
    columns = people.columns.join(found[new])
    if "field_strength" in new:
        columns["field_strength"] = columns["field_strength"].astype(float)
    origins = {**people.origins, **{label: {**COLUMNS[label], "Source": SOURCE} for label in new}}
    return replace(people, columns=columns, origins=origins)


def unmodelled(table: pd.DataFrame, design: Design) -> list[str]:
    """Sentences on devices that differ between runs without a model that knows of it.

    Parameters
    ----------
    table : one row a run, with the columns of the people
    """
    told = [design.site, *design.covariates, design.formula]
    notes = []
    for name, what in (("scanner", "scanners"), ("field_strength", "field strengths")):
        if name not in table or design.site or any(name in text for text in told):
            continue
        counts = table[name].dropna().value_counts()
        if len(counts) > 1:
            names = [f"{key:g} T" if isinstance(key, float) else str(key) for key in counts.index]
            runs = ", ".join(f"{name}: {n}" for name, n in zip(names, counts, strict=True))
            notes.append(
                f"The runs come from {len(counts)} {what} ({runs}), and no model takes account of it, although χ and "
                f"R2* differ between them. Add --covariates {name}, or site = {name!r} in the model file, with "
                "harmonize = true to take it out by ComBat."
            )
    return notes


def _of_run(run: GroupRun) -> dict[str, object]:
    """{} without a sidecar that can be read."""
    meta = read_json(run.folder / f"{run.name}_Chimap.json")
    parts = dict.fromkeys(str(meta[key]) for key in SCANNER_KEYS if meta.get(key))
    strength = meta.get("MagneticFieldStrength") or meta.get("MagneticFieldStrengthUsed")
    return {
        "scanner": " ".join(parts) or None,
        "field_strength": round(float(strength), 1) if isinstance(strength, int | float) else None,
    }
