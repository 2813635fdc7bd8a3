"""How well people who drew the same regions agree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

DEFINITION_VERSION = "1"
PPB = 1000.0
_KEYS = ["index", "name", "hemisphere"]


def rater_definitions(raters: Iterable[str]) -> dict[str, dict[str, str]]:
    """Meaning and unit of every column of `rater_table`, for the JSON beside it."""
    raters = list(raters)
    columns = {
        "index": {"Description": "Value of the region in the label images of all raters"},
        "name": {"Description": "Name of the region"},
        "hemisphere": {"Description": "L: the person's left, R: the person's right, n/a: midline or both sides"},
        "n_raters": _defined("Raters that drew the region", "1"),
    }
    for rater in raters:
        text = f"Volume of the region as {rater} drew it, inside the mask or not, on the gradient echo's grid"
        columns[f"volume_mm3_{rater}"] = _defined(text, "mm^3")
        text = f"Mean of χ in the region as {rater} drew it: chi_mean of that rater's table"
        columns[f"chi_mean_{rater}"] = _defined(text, "ppm")
    for a, b in combinations(raters, 2):
        text = f"Dice coefficient of {a} and {b}: twice the voxels that both drew over the sum of the voxels of each"
        columns[f"dice_{a}_{b}"] = _defined(f"{text}; n/a unless both drew the region", "1")
        text = f"Mean of χ as {a} drew the region minus that as {b} drew it"
        columns[f"chi_difference_ppb_{a}_{b}"] = _defined(text, "ppb")
    return columns


def _defined(text: str, units: str) -> dict[str, str]:
    return {"Description": text, "Units": units, "DefinitionVersion": DEFINITION_VERSION}


def rater_table(labels: Mapping[str, NDArray[np.integer[Any]]], tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Agreement of two raters or more, region by region.

    Parameters
    ----------
    labels : rater -> (x, y, z) integer array; the same number is the same region
    tables : rater -> regional table, with index, name, hemisphere, volume_mm3 and chi_mean [ppm]

    Returns
    -------
    table : one row for each region that anybody drew, the columns of `rater_definitions`; what a rater did not draw is
        missing (NaN)

    Raises
    ------
    ValueError
        If the label images differ in shape.
    """
    shapes = {rater: volume.shape for rater, volume in labels.items()}
    if len(set(shapes.values())) > 1:
        raise ValueError(f"label images of the raters have the shapes {shapes}; expected one shape")
    every = pd.concat([table[_KEYS] for table in tables.values()]).drop_duplicates("index").sort_values("index")
    found = every.reset_index(drop=True)
    indices = found["index"].to_numpy(int)
    of_rater = {rater: table.set_index("index").reindex(indices) for rater, table in tables.items()}
    found["n_raters"] = sum(table["name"].notna().to_numpy().astype(int) for table in of_rater.values())
    for rater, table in of_rater.items():
        found[f"volume_mm3_{rater}"] = table["volume_mm3"].to_numpy(float)
        found[f"chi_mean_{rater}"] = table["chi_mean"].to_numpy(float)
    for a, b in combinations(tables, 2):
        both = (of_rater[a]["name"].notna() & of_rater[b]["name"].notna()).to_numpy()
        found[f"dice_{a}_{b}"] = np.where(both, _dice(labels[a], labels[b], indices), np.nan)
        found[f"chi_difference_ppb_{a}_{b}"] = PPB * (found[f"chi_mean_{a}"] - found[f"chi_mean_{b}"])
    return found


def _dice(
    first: NDArray[np.integer[Any]], second: NDArray[np.integer[Any]], indices: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Dice coefficient of each label; NaN where neither image holds it."""
    size = int(max(first.max(initial=0), second.max(initial=0), indices.max(initial=0))) + 1
    counts = [np.bincount(v.ravel(), minlength=size)[indices] for v in (first, second, first[first == second])]
    total = counts[0] + counts[1]
    return np.divide(2.0 * counts[2], total, out=np.full(total.shape, np.nan), where=total > 0)
