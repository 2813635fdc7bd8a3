"""The regional table as the page shows it: a row a region, left and right side by side, χ in ppb."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qsmprep.report.records import number

LOW_COVERAGE = 0.8
_SIDES = {"L": "L", "R": "R", "n/a": "mid"}
# column, heading, unit, factor, decimals, column of its spread
_COLUMNS = (
    ("chi_mean", "χ", "ppb", 1000.0, 1, "chi_sd"),
    ("chi_median", "χ median", "ppb", 1000.0, 1, ""),
    ("chi_gm_mean", "χ of grey matter", "ppb", 1000.0, 1, ""),
    ("gm_fraction", "Grey matter", "%", 100.0, 0, ""),
    ("r2star_mean", "R2*", "1/s", 1.0, 1, "r2star_sd"),
    ("volume_mm3", "Volume", "mm³", 1.0, 0, ""),
    ("coverage", "Coverage", "%", 100.0, 0, ""),
)


def region_view(run: str, name: str, rows: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """Headings and cells of the sortable table of one segmentation.

    Parameters
    ----------
    run : name of the run
    name : name of the segmentation
    rows : of `seg-<name>_desc-stats_dseg.tsv`, as text
    """
    present = {_side(row) for row in rows}
    sides = [side for side in _SIDES.values() if side in present]
    columns = [column for column in _COLUMNS if any(column[0] in row for row in rows)]
    by_name: dict[str, dict[str, Mapping[str, str]]] = {}
    for row in rows:
        by_name.setdefault(row.get("name", ""), {})[_side(row)] = row
    return {
        "name": name,
        "file": f"{run}_seg-{name}_desc-stats_dseg.tsv",
        "n_labels": len(rows),
        "heads": [(f"{head} {side}", unit) for _, head, unit, *_ in columns for side in sides],
        "rows": [
            {"name": region, "cells": [_cell(found.get(side, {}), column) for column in columns for side in sides]}
            for region, found in by_name.items()
        ],
    }


def region_notes(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """What a reader of the table has to know: which regions are priors whose border χ could not tell."""
    return [
        f"{row.get('name', '')} {_side(row)}: χ could not tell its border; the numbers are those of the place where "
        "the atlas looks for it, white matter included"
        for row in rows
        if number(row.get("refined")) == 0
    ]


def _side(row: Mapping[str, str]) -> str:
    return _SIDES.get(row.get("hemisphere", "n/a"), "mid")


def _cell(row: Mapping[str, str], column: tuple[str, str, str, float, int, str]) -> dict[str, Any]:
    key, _, _, factor, decimals, spread = column
    value, sd = number(row.get(key)), number(row.get(spread))
    if value is None:
        return {"text": "", "key": "", "low": False}
    text = f"{factor * value:.{decimals}f}"
    if sd is not None:
        text += f" ({factor * sd:.{decimals}f})"
    return {"text": text, "key": f"{factor * value:.6g}", "low": key == "coverage" and value < LOW_COVERAGE}
