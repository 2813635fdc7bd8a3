"""Least squares for many regions at once, each with the people whose values are known there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ._frames import aligned
from .contrasts import Contrast
from .design import DesignMatrix

Array = NDArray[np.float64]
TOLERANCE = 1e-7


@dataclass(frozen=True)
class Fit:
    """Regions with the same people: the solution by the pseudo-inverse, so that collinear columns do no harm.

    `inverse` is X+ (columns x n), `space` = X+ X tells which contrasts the data can answer.
    """

    regions: list[int]
    matrix: Array
    inverse: Array
    space: Array
    leverage: Array
    beta: Array
    residual: Array
    df: int
    note: str

    @property
    def alone(self) -> NDArray[np.bool_]:
        """Who alone decides a coefficient, such as the only one from a site: fitted exactly, they tell no error."""
        return self.leverage > 1 - 1e-9

    def covariance(self, k: int, errors: str) -> Array:
        """Covariance of the coefficients of the k-th of these regions (HC3: Long & Ervin 2000,
        doi:10.1080/00031305.2000.10474549; HC4: Cribari-Neto 2004, doi:10.1016/S0167-9473(02)00366-3)."""
        e = self.residual[:, k]
        if errors == "classical":
            return np.asarray(self.inverse @ self.inverse.T * (e @ e / self.df))
        power = 1.0 if errors == "hc3" else np.minimum(4, self.leverage / self.leverage.mean()) / 2
        weighted = self.inverse * np.where(self.alone, 0, e / np.where(self.alone, 1, 1 - self.leverage) ** power)
        return np.asarray(weighted @ weighted.T)


def fits(values: pd.DataFrame, design: DesignMatrix) -> Iterator[Fit]:
    """One solution for all regions that miss the same people."""
    if not (values.index.is_unique or values.index.equals(design.matrix.index)):
        raise ValueError("rows of values and design cannot be matched: an observation occurs more than once")
    joined = values[values.index.isin(design.matrix.index)]
    data = joined.to_numpy(float)
    matrix = aligned(joined, design.matrix).to_numpy(float)
    known = np.isfinite(data)
    patterns: dict[bytes, list[int]] = {}
    for j in range(data.shape[1]):
        patterns.setdefault(known[:, j].tobytes(), []).append(j)
    for regions in patterns.values():
        rows = known[:, regions[0]]
        yield solve(matrix[rows], data[np.ix_(rows, regions)], regions)


def solve(matrix: Array, data: Array, regions: list[int]) -> Fit:
    norm = np.linalg.norm(matrix, axis=0)
    norm[norm == 0] = 1
    left, size, right = np.linalg.svd(matrix / norm, full_matrices=False)
    kept = size > TOLERANCE * size.max(initial=0)
    inverse = (right[kept].T / size[kept]) @ left[:, kept].T / norm[:, None]
    rank = int(kept.sum())
    df = len(data) - rank
    note = "" if df > 0 else f"only {len(data)} people for {rank} coefficients"
    beta = inverse @ data
    leverage = np.einsum("ij,ji->i", matrix, inverse)
    return Fit(regions, matrix, inverse, inverse @ matrix, leverage, beta, data - matrix @ beta, df, note)


def level_counts(fit: Fit, factor: str, design: DesignMatrix) -> str:
    """Text of the people of each level: their rows are told by the columns of the factor."""
    levels = design.factors[factor]
    own = list(design.terms.get(factor, ()))
    if len(own) != len(levels) - 1:
        return ""
    coded = np.vstack([np.eye(len(own)), -np.ones(len(own))])
    numbers = [(np.abs(fit.matrix[:, own] - row).max(axis=1) < 0.5).sum() for row in coded]
    return ", ".join(f"{name} {number}" for name, number in zip(levels, numbers, strict=True))


def not_answered(fit: Fit, one: Contrast, design: DesignMatrix) -> str:
    """Why these people cannot answer a contrast, "" if they can: its part outside the space of their rows."""
    outside = one.vector - one.vector @ fit.space
    if np.abs(outside).max(initial=0) < 1e-6 * max(np.abs(one.vector).max(initial=0), 1e-300):
        return ""
    columns = design.matrix.columns[np.abs(outside).max(axis=0) > 1e-6]
    names = dict.fromkeys(str(c).partition("[")[0] for c in columns if c != "Intercept")
    if len(names) > 1:
        return f"cannot be told apart: {', '.join(names)} are collinear"
    return f"no data: a level or cell of {next(iter(names))} is empty or constant"
