"""The tidy table that every test over many regions returns: one row per region and contrast, score or pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import pandas as pd

Rows = TypeVar("Rows", "pd.Series[Any]", pd.DataFrame)

COLUMNS = (
    "region", "test", "contrast", "n", "n_groups", "estimate", "estimate_low", "estimate_high", "estimate_se",
    "statistic_name", "statistic", "df1", "df2", "p", "effect_name", "effect", "effect_low", "effect_high", "note",
)  # fmt: skip
_TEXT = ("region", "test", "contrast", "n_groups", "statistic_name", "effect_name", "note")


def frame(records: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """One row per record, with all of `COLUMNS`: numbers as float64 (NaN where not given), text as str ("").

    Parameters
    ----------
    records
        Mappings from names of `COLUMNS` to values; other names raise ``KeyError``.
    """
    unknown = {key for record in records for key in record} - set(COLUMNS)
    if unknown:
        raise KeyError(f"no columns of a table of tests: {sorted(unknown)}")
    columns = {
        name: pd.Series([str(record.get(name, "")) for record in records], dtype=str)
        if name in _TEXT
        else pd.Series([record.get(name, np.nan) for record in records], dtype=float)
        for name in COLUMNS
    }
    return pd.DataFrame(columns, columns=list(COLUMNS))


def table(regions: Sequence[str], **columns: Any) -> pd.DataFrame:
    """The same from columns: each a value for all regions or one value per region."""
    wide = {name: np.broadcast_to(np.asarray(value), len(regions)) for name, value in columns.items()}
    return frame([{"region": region} | {n: v[i] for n, v in wide.items()} for i, region in enumerate(regions)])


def levels_of(column: pd.Series[Any]) -> tuple[str, ...]:
    """Names of a factor's levels that occur: in the order of its categories, or sorted."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return tuple(str(level) for level in column.cat.remove_unused_categories().cat.categories)
    return tuple(sorted(map(str, column.dropna().unique())))


def aligned(values: pd.DataFrame, other: Rows) -> Rows:
    """`other` in the order of the rows of `values`, missing where it has no such row.

    Raises
    ------
    ValueError
        If the rows differ and are not unique, so that it is open which belongs to which.
    """
    if other.index.equals(values.index):
        return other
    if not (other.index.is_unique and values.index.is_unique):
        raise ValueError("rows of two tables cannot be matched: an observation occurs more than once")
    return other.reindex(values.index)


def counts(names: Sequence[str], numbers: Sequence[np.ndarray[Any, Any]]) -> list[str]:
    """Text of the numbers of observations per region, such as "AD 20, HC 22"."""
    return [", ".join(f"{a} {int(b)}" for a, b in zip(names, row, strict=True)) for row in zip(*numbers, strict=True)]
