"""The tidy table that every test over many regions returns: one row per region and contrast, score or pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

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
