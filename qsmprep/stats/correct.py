"""Correction of p-values for the number of tests in a family."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

METHODS = {
    "fdr_bh": "false discovery rate (Benjamini-Hochberg)",
    "fdr_by": "false discovery rate under any dependence (Benjamini-Yekutieli)",
    "holm": "family-wise error (Holm)",
    "bonferroni": "family-wise error (Bonferroni)",
    "none": "none",
}


def adjust(p: ArrayLike, method: str = "fdr_bh") -> NDArray[np.float64]:
    """Adjusted p-values of one family; NaN stay NaN and do not count.

    Parameters
    ----------
    p
        P-values of any shape, all of one family.
    method
        A name of `METHODS`: Benjamini & Hochberg 1995 (doi:10.1111/j.2517-6161.1995.tb02031.x), Benjamini & Yekutieli
        2001 (doi:10.1214/aos/1013699998), Holm 1979 (https://www.jstor.org/stable/4615733), Bonferroni.

    Raises
    ------
    ValueError
        If the method is unknown or a p-value lies outside 0 to 1.
    """
    if method not in METHODS:
        raise ValueError(f"correction {method!r} is unknown: expected one of {', '.join(METHODS)}")
    p = np.asarray(p, float)
    known = np.isfinite(p)
    given = p[known]
    if ((given < 0) | (given > 1)).any():
        raise ValueError("p-values outside 0 to 1")
    out = np.full(p.shape, np.nan)
    order = np.argsort(given, kind="stable")
    ranked, count = given[order], given.size
    rank = np.arange(1, count + 1)
    if method in ("fdr_bh", "fdr_by"):
        factor = np.sum(1 / rank) if method == "fdr_by" else 1.0
        ranked = np.minimum.accumulate((factor * count * ranked / rank)[::-1])[::-1]
    elif method == "holm":
        ranked = np.maximum.accumulate((count - rank + 1) * ranked)
    elif method == "bonferroni":
        ranked = count * ranked
    adjusted = np.empty(count)
    adjusted[order] = np.minimum(ranked, 1)
    out[known] = adjusted
    return out


def correct(tests: pd.DataFrame, method: str = "fdr_bh", by: Sequence[str] = ()) -> pd.DataFrame:
    """The table of tests with `p_corrected`, `correction` and `family_size`.

    Parameters
    ----------
    tests
        A table with the column `p`.
    method
        See `adjust`.
    by
        Columns whose values set families apart, such as ``["test", "contrast"]``; by default all rows are one family.

    Returns
    -------
    pandas.DataFrame
        A copy in the same order. `family_size` counts the rows of the family that have a p-value.
    """
    out = tests.copy()
    family = tests.groupby(list(by), dropna=False, sort=False).ngroup() if by else pd.Series(0, index=tests.index)
    families, p = family.to_numpy(), tests["p"].to_numpy(float)
    corrected, size = np.full(p.size, np.nan), np.zeros(p.size, int)
    for one in np.unique(families):
        rows = families == one
        corrected[rows] = adjust(p[rows], method)
        size[rows] = np.isfinite(p[rows]).sum()
    return out.assign(p_corrected=corrected, correction=method, family_size=size)
