"""The design matrix of a linear model from a formula and the people's table, and what cannot be used of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ._frames import levels_of

Array = NDArray[np.float64]


@dataclass(frozen=True)
class DesignMatrix:
    """A linear model's right side, fitted to the people's table.

    Attributes
    ----------
    formula : as it was given
    matrix : people with all values x columns; factors are coded to sum to zero, so that a term's test does not depend
        on a reference level
    people : the same rows of the columns that the formula names
    excluded : why each of the other rows was left out, such as "age is missing"
    terms : term (without the intercept) -> numbers of its columns
    factors : factor -> its levels
    collinear : column -> the columns that it is a combination of; empty if the matrix has full rank
    """

    formula: str
    matrix: pd.DataFrame
    people: pd.DataFrame
    excluded: pd.Series[str]
    terms: Mapping[str, tuple[int, ...]]
    factors: Mapping[str, tuple[str, ...]]
    collinear: Mapping[str, tuple[str, ...]]
    _spec: Any
    _centres: Mapping[str, float]

    @property
    def numbers(self) -> tuple[str, ...]:
        """Names of the columns that are no factors."""
        return tuple(str(name) for name in self.people if name not in self.factors)

    def rows(self, people: pd.DataFrame) -> Array:
        """Rows of the design matrix for other people."""
        moved = people.assign(**{name: people[name] - centre for name, centre in self._centres.items()})
        return np.asarray(self._spec.get_model_matrix(moved), float)

    def grid(self) -> pd.DataFrame:
        """One row per combination of levels, with the mean of each number (the reference grid of adjusted means)."""
        names = list(self.factors)
        cells = pd.DataFrame(index=[0])
        if names:
            cells = pd.MultiIndex.from_product([self.factors[n] for n in names], names=names).to_frame(index=False)
        for name in names:
            cells[name] = pd.Categorical(cells[name], self.factors[name])
        return cells.assign(**{name: self.people[name].mean() for name in self.numbers})


def design_matrix(formula: str, people: pd.DataFrame, factors: Sequence[str] = ()) -> DesignMatrix:
    """The design matrix of a formula's right side, such as ``group * apoe + age + sex``.

    Parameters
    ----------
    formula
        In the language of R as formulaic speaks it; ``C(x)`` makes a factor of a number, names with blanks stand in
        backticks. What stands left of ``~`` is not looked at.
    people
        One row per observation.
    factors
        Columns of numbers that are factors, too.

    Raises
    ------
    ValueError
        If the formula cannot be read, names a column that is not there, or leaves no row.
    """
    from formulaic import Formula
    from formulaic.errors import FormulaicError

    right = formula.rpartition("~")[2].strip()
    try:
        named = sorted(Formula(right).required_variables)
        _has_columns(formula, named, people)
        used = people[[name for name in map(str, people.columns) if name in named]]
        missing = used.isna() | used.isin([np.inf, -np.inf])
        out = missing.any(axis=1)
        reasons = [f"{', '.join(used.columns[row])} missing" for row in missing[out].to_numpy()]
        excluded = pd.Series(reasons, index=used.index[out], dtype=str)
        used = used[~out]
        if used.empty:
            raise ValueError(f"formula {formula!r}: no row has values for all of {', '.join(named)}")
        columns = [str(name) for name in used]
        known = {n: levels_of(used[n]) for n in columns if _is_factor(n, used[n], right, factors)}
        used = used.assign(**{n: pd.Categorical(used[n].astype(str), levels) for n, levels in known.items()})
        parsed = Formula(_sum_coded(right, known))
        centres = _centres(parsed, used, known)
        matrix = parsed.get_model_matrix(used.assign(**{n: used[n] - c for n, c in centres.items()}))
    except FormulaicError as error:
        text = re.sub(r"\x1b\[[0-9;]*m|[⧛⧚]", "", str(error)).split("\n")[0]
        raise ValueError(f"formula {formula!r} cannot be read: {text}") from None
    spec = matrix.model_spec
    names = [_plain(str(c)) for c in spec.column_names]
    plain = pd.DataFrame(np.asarray(matrix, float), index=used.index, columns=names)
    terms = {_plain(str(t)): tuple(range(s.start, s.stop)) for t, s in spec.term_slices.items() if str(t) != "1"}
    return DesignMatrix(formula, plain, used, excluded, terms, known, collinear_columns(plain), spec, centres)


def _has_columns(formula: str, named: Sequence[str], people: pd.DataFrame) -> None:
    absent = [name for name in named if name not in people]
    if absent:
        raise ValueError(
            f"formula {formula!r} names {', '.join(map(repr, absent))}, which is no column; "
            f"there are: {', '.join(map(str, people.columns))}"
        )


def _is_factor(name: str, column: pd.Series[Any], formula: str, factors: Sequence[str]) -> bool:
    called = re.search(rf"\bC\(\s*`?{re.escape(name)}`?\s*[,)]", formula) is not None
    return called or name in factors or pd.api.types.is_bool_dtype(column) or not pd.api.types.is_numeric_dtype(column)


def _sum_coded(formula: str, factors: Mapping[str, Any]) -> str:
    for name in factors:
        quoted = re.escape(name)
        formula = re.sub(rf"\bC\(\s*`?{quoted}`?\s*(,[^()]*(\([^()]*\))?)?\)", f"`{name}`", formula)
        formula = re.sub(rf"`{quoted}`|(?<![\w.`]){quoted}(?![\w.(`])", f"C(`{name}`, contr.sum)", formula)
    return formula


def _plain(name: str) -> str:
    """`group[S.AD]` for what formulaic calls `C(group, contr.sum)[S.AD]`."""
    return re.sub(r"C\(`?([^`,]+)`?, contr\.sum\)", r"\1", name)


def _centres(formula: Any, people: pd.DataFrame, factors: Mapping[str, Any]) -> dict[str, float]:
    """Means of the numbers that only stand as they are: without them a group's effect in a model with group:age would
    be the one at age 0."""
    written = {factor.expr for term in formula for factor in term.factors}
    return {
        name: float(people[name].mean())
        for name in map(str, people)
        if name not in factors
        and not any(re.search(rf"(?<![\w.]){re.escape(name)}(?![\w.])", e) and e.strip("`") != name for e in written)
    }


def collinear_columns(matrix: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    """Columns that are combinations of those before them, and which these are."""
    scaled = matrix.to_numpy(float) / np.maximum(np.linalg.norm(matrix.to_numpy(float), axis=0), 1e-300)
    found: dict[str, tuple[str, ...]] = {}
    kept: list[int] = []
    for j, name in enumerate(matrix.columns):
        column: Array = scaled[:, j]
        weights = np.linalg.lstsq(scaled[:, kept], column, rcond=None)[0] if kept else np.zeros(0)
        if float(np.linalg.norm(column - scaled[:, kept] @ weights)) > 1e-7:
            kept.append(j)
        else:
            found[str(name)] = tuple(
                str(matrix.columns[k]) for k, w in zip(kept, weights, strict=True) if abs(w) > 1e-6
            )
    return found
