"""One row a region: how large it is, how much of it is known, and how its values are spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

DEFINITION_VERSION = "1"

# statistic -> what it is; of the voxels of a region that lie inside the mask
STATISTICS = {
    "mean": "Arithmetic mean",
    "median": "Median",
    "sd": "Standard deviation (of the sample: n - 1)",
    "mad": "Median absolute deviation from the median, not scaled to the normal distribution",
    "p5": "5th percentile (linear interpolation)",
    "p95": "95th percentile (linear interpolation)",
}
MAPS = {"chi": ("susceptibility χ", "ppm"), "r2star": ("R2*", "1/s")}


def column_definitions() -> dict[str, dict[str, str]]:
    """Meaning and unit of every column of `region_table`, for the JSON beside it."""
    columns = {
        "index": {"Description": "Value of the region in the label image"},
        "name": {"Description": "Name of the region"},
        "hemisphere": {"Description": "L: the person's left, R: the person's right, n/a: midline or both sides"},
        "n_voxels": {"Description": "Voxels of the region inside the mask in which χ is known", "Units": "1"},
        "volume_mm3": {"Description": "Volume of all voxels of the region, inside that mask or not", "Units": "mm^3"},
        "coverage": {"Description": "n_voxels as a fraction of all voxels of the region", "Units": "1"},
    }
    for prefix, (what, units) in MAPS.items():
        for statistic, text in STATISTICS.items():
            described = f"{text} of {what} over the n_voxels voxels; zeros count"
            columns[f"{prefix}_{statistic}"] = {
                "Description": described,
                "Units": units,
                "DefinitionVersion": DEFINITION_VERSION,
            }
    return columns


def read_labels(path: Path | str) -> pd.DataFrame:
    """The regions of a label image: columns index, name and hemisphere ("n/a" where the file has none).

    Raises
    ------
    ValueError
        If a needed column is missing, or an index is no whole number or occurs twice; the message names the file.
    """
    table = pd.read_csv(path, sep="\t", keep_default_na=False, dtype=str)
    for column in ("index", "name"):
        if column not in table.columns:
            raise ValueError(f"{path}: expected the columns index and name, found {', '.join(table.columns)}")
    index = pd.to_numeric(table["index"], errors="coerce")
    if index.isna().any() or (index != index.round()).any() or (index <= 0).any():
        raise ValueError(f"{path}: the column index has to hold whole numbers above 0")
    if index.duplicated().any():
        twice = ", ".join(str(int(i)) for i in index[index.duplicated()])
        raise ValueError(f"{path}: the index {twice} occurs more than once")
    sides = table["hemisphere"].replace("", "n/a") if "hemisphere" in table.columns else "n/a"
    return pd.DataFrame({"index": index.astype(int), "name": table["name"], "hemisphere": sides})


def region_table(
    labels: NDArray[np.integer[Any]],
    lookup: pd.DataFrame,
    mask: NDArray[np.bool_],
    voxel_size: Sequence[float],
    maps: Mapping[str, NDArray[np.floating[Any]] | None],
) -> pd.DataFrame:
    """Size, coverage and statistics of every region of `lookup`, also of those that no voxel belongs to.

    Parameters
    ----------
    labels : (x, y, z) integer array
        0 is no region; values that `lookup` does not name are left out.
    lookup : table with the columns index, name, hemisphere
    mask : (x, y, z) bool array
        Where the maps are known. Voxels outside do not count; zeros inside do.
    voxel_size : 3 floats [mm]
    maps : {"chi": (x, y, z) array [ppm], "r2star": (x, y, z) array [1/s]}
        A map that is None gives columns without values.

    Returns
    -------
    table : one row a region, the columns of `column_definitions`; what cannot be known is missing (NaN)

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    for name, values in {"mask": mask, **maps}.items():
        if values is not None and values.shape != labels.shape:
            raise ValueError(f"labels have shape {labels.shape}, {name} has {values.shape}")
    indices = lookup["index"].to_numpy(int)
    size = int(max(indices.max(initial=0), labels.max(initial=0))) + 1
    total = np.bincount(labels.ravel(), minlength=size)[indices]
    inside = np.where(mask, labels, 0)
    known = np.bincount(inside.ravel(), minlength=size)[indices]
    table = lookup[["index", "name", "hemisphere"]].reset_index(drop=True)
    table["n_voxels"] = known
    table["volume_mm3"] = total * float(np.prod(np.asarray(voxel_size, float)))
    table["coverage"] = np.divide(known, total, out=np.full(total.shape, np.nan), where=total > 0)
    voxels = _voxels_of(inside, indices)
    for prefix in MAPS:
        values = maps.get(prefix)
        columns = [_spread(values.ravel()[v]) if values is not None and v.size else _UNKNOWN for v in voxels]
        for number, statistic in enumerate(STATISTICS):
            table[f"{prefix}_{statistic}"] = [column[number] for column in columns]
    return table


_UNKNOWN = (np.nan,) * len(STATISTICS)


def _voxels_of(labels: NDArray[np.integer[Any]], indices: NDArray[np.int64]) -> list[NDArray[np.intp]]:
    """Flat positions of the voxels of each region."""
    flat = labels.ravel()
    where = np.flatnonzero(flat)
    order = where[np.argsort(flat[where], kind="stable")]
    sorted_labels = flat[order]
    return [
        order[np.searchsorted(sorted_labels, i, "left") : np.searchsorted(sorted_labels, i, "right")] for i in indices
    ]


def _spread(values: NDArray[np.floating[Any]]) -> tuple[float, ...]:
    """The statistics of `STATISTICS`, in their order."""
    values = values.astype(np.float64)
    p5, median, p95 = np.percentile(values, [5, 50, 95])
    sd = values.std(ddof=1) if values.size > 1 else np.nan
    mad = np.median(np.abs(values - median))
    return tuple(float(v) for v in (values.mean(), median, sd, mad, p5, p95))
