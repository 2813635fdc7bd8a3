"""Multivariate analysis of (co)variance: a panel of regions tested as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import linalg, stats

from ._frames import aligned, frame
from ._solve import Fit, level_counts, not_answered, solve
from .contrasts import Contrast, contrast, term_contrast
from .design import DesignMatrix

Array = NDArray[np.float64]


def mancova(values: pd.DataFrame, design: DesignMatrix, panel: str, contrasts: Sequence[str] = ()) -> pd.DataFrame:
    """Whether a term, or a contrast, moves the regions of a panel as a whole.

    Parameters
    ----------
    values
        Observations x the regions of the panel; only people with all of them count.
    design
        See `design.design_matrix`.
    panel
        Name of the panel, for the column `region`.
    contrasts
        See `contrasts.contrast`; all terms are tested besides (type III).

    Returns
    -------
    pandas.DataFrame
        Four rows per term or contrast: Pillai's trace (which stands unequal covariances best), Wilks' lambda, the
        Hotelling-Lawley trace and Roy's largest root (whose F is an upper bound), each in `estimate`, with its F
        approximation (Rencher & Christensen 2012, doi:10.1002/9781118391686; McKeon 1974, doi:10.1093/biomet/61.2.381)
        and the multivariate partial η² as effect.
    """
    joined = values[values.index.isin(design.matrix.index)]
    data = joined.to_numpy(float)
    rows = np.isfinite(data).all(axis=1)
    fit = solve(aligned(joined, design.matrix).to_numpy(float)[rows], data[rows], list(range(data.shape[1])))
    tests = [contrast(text, design) for text in contrasts] + [term_contrast(name, design) for name in design.terms]
    return frame([{"region": panel, **record} for one in tests for record in _records(fit, one, design)])


def _records(fit: Fit, one: Contrast, design: DesignMatrix) -> list[dict[str, Any]]:
    head: dict[str, Any] = {"contrast": one.name, "n": len(fit.residual)}
    if one.factor or one.name in design.factors:
        head["n_groups"] = level_counts(fit, one.factor or one.name, design)
    p = fit.residual.shape[1]
    error = fit.residual.T @ fit.residual
    note = not_answered(fit, one, design)
    if fit.df < p:
        note = f"only {len(fit.residual)} people with all of {p} regions"
    elif not note and np.linalg.matrix_rank(error) < p:
        note = "a region is constant, or a combination of others"
    if note:
        return [head | {"test": "MANCOVA", "note": note}]
    moved = one.vector @ fit.beta
    inside = one.vector @ fit.inverse @ fit.inverse.T @ one.vector.T
    q = int(np.linalg.matrix_rank(inside))
    hypothesis = moved.T @ np.linalg.pinv(inside) @ moved
    roots = np.maximum(linalg.eigh(hypothesis, error, eigvals_only=True)[::-1][: min(p, q)], 0)
    return [
        head | {
            "test": f"MANCOVA, {name}", "estimate": value, "statistic_name": "F", "statistic": f, "df1": df1,
            "df2": df2, "p": stats.f.sf(f, df1, df2), "effect_name": "multivariate partial eta2", "effect": eta,
        }
        for name, value, f, df1, df2, eta in _statistics(roots, p, q, fit.df)
    ]  # fmt: skip


def _statistics(roots: Array, p: int, q: int, v: int) -> list[tuple[str, float, float, float, float, float]]:
    """(name, value, F, df1, df2, partial η²) of each statistic from the roots of E^-1 H, for p regions, q degrees of
    freedom of the hypothesis and v of the error."""
    s, m, n = min(p, q), (abs(p - q) - 1) / 2, (v - p - 1) / 2
    pillai = float((roots / (1 + roots)).sum())
    ends = s * (2 * m + s + 1), s * (2 * n + s + 1)
    out = [("Pillai", pillai, pillai / ends[0] * ends[1] / (s - pillai), *ends, pillai / s)]

    wilks = float(np.prod(1 / (1 + roots)))
    t = np.sqrt((p**2 * q**2 - 4) / (p**2 + q**2 - 5)) if p**2 + q**2 > 5 else 1.0
    df2 = (v - (p - q + 1) / 2) * t - (p * q - 2) / 2
    out.append(("Wilks", wilks, (wilks ** (-1 / t) - 1) * df2 / (p * q), p * q, df2, 1 - wilks ** (1 / s)))

    trace = float(roots.sum())
    if n > 1:
        b = (p + 2 * n) * (q + 2 * n) / (2 * (2 * n + 1) * (n - 1))
        df1, df2 = float(p * q), 4 + (p * q + 2) / (b - 1)
        f = trace * df2 / df1 * 2 * n / (df2 - 2)
    else:
        df1, df2 = ends[0], 2 * (s * n + 1)
        f = trace * df2 / df1 / s
    out.append(("Hotelling-Lawley", trace, f, df1, df2, trace / (trace + s)))

    r = max(p, q)
    out.append(
        ("Roy", float(roots[0]), float(roots[0]) * (v - r + q) / r, r, v - r + q, float(roots[0] / (1 + roots[0])))
    )
    return out
