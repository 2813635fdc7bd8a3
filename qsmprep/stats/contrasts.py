"""Contrasts of a linear model by the names of groups: "AD - HC", "(AD + MCI)/2 - HC", "interaction(group:apoe)"."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .design import DesignMatrix

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Contrast:
    """What is tested: `vector` times the coefficients, one row per degree of freedom.

    `kind` is "difference" (of means, in which the weights sum to 0), "mean", "slope" or "term"; `factor` is the one
    whose levels it names, "" without one.
    """

    name: str
    vector: Array
    kind: str
    factor: str = ""


def contrast(text: str, design: DesignMatrix) -> Contrast:
    """A contrast from its text.

    Means of a level are adjusted: over the levels of the other factors with equal weight, at the mean of each number.

    ==============================  =======================================================================
    ``AD - HC``                     difference of adjusted means; ``group[AD]`` where two factors have an AD
    ``(AD + MCI)/2 - HC``           the mean of two against a third; ``AD + MCI - HC`` means the same
    ``AD - HC | apoe=e4, age=70``   within a level, and at a value
    ``age``, ``age[AD] - age[HC]``  slope; difference of the slopes in two groups
    ``interaction(AD - HC, e4 - e3)``  difference of differences
    ``interaction(group:apoe)``     the whole interaction term; any other term as ``term(group)``
    ==============================  =======================================================================

    Names that hold signs or blanks are read as they are (``PD-TD - HC``), or between quotes.

    Raises
    ------
    ValueError
        If a name is unknown or stands for two things, or the text is no sum of names.
    """
    whole = re.fullmatch(r"\s*(?:interaction|term)\(([^,]*)\)\s*", text)
    if whole:
        return _term(text, whole[1].strip(), design)
    crossed = re.fullmatch(r"\s*interaction\(([^,]*),([^|]*)\)\s*(?:\|(.*))?", text)
    if crossed:
        return _crossed(text, crossed[1], crossed[2], _condition(crossed[3] or "", text, design), design)
    body, _, condition = text.partition("|")
    weights = _weights(body, text, design)
    given = _condition(condition, text, design)
    vector = sum(
        (w * _atom(atom, given, design, text) for atom, w in weights.items()), np.zeros(design.matrix.shape[1])
    )
    names = {atom[0] for atom in weights if atom[0] in design.factors}
    factors = names or {f for atom in weights for f in _owners(atom[1], design) if atom[1]}
    kind = "slope" if not names else ("difference" if abs(sum(weights.values())) < 1e-12 else "mean")
    return Contrast(text.strip(), np.atleast_2d(vector), kind, next(iter(factors)) if len(factors) == 1 else "")


def term_contrast(name: str, design: DesignMatrix) -> Contrast:
    """All coefficients of a term at once."""
    return Contrast(name, np.eye(design.matrix.shape[1])[list(design.terms[name])], "term")


def level_mean(factor: str, level: str, design: DesignMatrix) -> Contrast:
    """The adjusted mean of one level."""
    vector = _atom((factor, level), {}, design, level)
    return Contrast(level, np.atleast_2d(vector), "mean", factor)


def _term(text: str, name: str, design: DesignMatrix) -> Contrast:
    wanted = set(re.split(r"\s*:\s*", name))
    for term in design.terms:
        if set(term.split(":")) == wanted:
            return Contrast(text.strip(), term_contrast(term, design).vector, "term")
    raise ValueError(f"contrast {text!r}: the model has no term {name}; it has {', '.join(design.terms)}")


def _crossed(text: str, one: str, other: str, given: Mapping[str, Any], design: DesignMatrix) -> Contrast:
    first, second = (_weights(part, text, design) for part in (one, other))
    vector = np.zeros(design.matrix.shape[1])
    for (factor, level), weight in second.items():
        if factor not in design.factors:
            raise ValueError(f"contrast {text!r}: the second part has to name levels of a factor, found {factor}")
        for atom, w in first.items():
            vector = vector + w * weight * _atom(atom, {**given, factor: level}, design, text)
    return Contrast(text.strip(), np.atleast_2d(vector), "difference")


def _owners(level: str, design: DesignMatrix) -> list[str]:
    return [factor for factor, levels in design.factors.items() if level in levels]


def _names(design: DesignMatrix) -> dict[str, list[tuple[str, str]]]:
    """Every name that may stand in a contrast: it means (factor, level), (number, "") or (number, level)."""
    found: dict[str, list[tuple[str, str]]] = {}
    for factor, levels in design.factors.items():
        for level in levels:
            found.setdefault(level, []).append((factor, level))
            found[f"{factor}[{level}]"] = [(factor, level)]
            found |= {f"{number}[{level}]": [(number, level)] for number in design.numbers}
    for number in design.numbers:
        found.setdefault(number, []).append((number, ""))
    return found


def _weights(body: str, text: str, design: DesignMatrix) -> dict[tuple[str, str], float]:
    """Weight of each name in a sum; where levels do not sum to 0, those of either sign are made to sum to 1."""
    names = _names(design)
    spelt = {f"{q}{name}{q}": name for name in names for q in ("'", '"', "")}
    pattern = "|".join(re.escape(s) for s in sorted(spelt, key=len, reverse=True))
    order: list[str] = []

    def replaced(match: re.Match[str]) -> str:
        order.append(spelt[match[0]])
        return f"_{len(order) - 1}_"

    try:
        tree = ast.parse(
            re.sub(rf"(?<![\w.])(?:{pattern})(?![\w\[])", replaced, body).replace("−", "-").strip(), mode="eval"
        )
        linear = _linear(tree.body)
    except (SyntaxError, TypeError, KeyError, ZeroDivisionError) as error:
        unknown = f" ({error.args[0]} is unknown)" if isinstance(error, KeyError) else ""
        raise ValueError(
            f"contrast {text!r} cannot be read{unknown}: expected a sum such as 'AD - HC' of {', '.join(names)}"
        ) from None
    out: dict[tuple[str, str], float] = {}
    for index, weight in linear.items():
        meanings = names[order[index]]
        if len(meanings) > 1:
            ways = " or ".join(f"{f}[{level}]" if level else f for f, level in meanings)
            raise ValueError(f"contrast {text!r}: {order[index]!r} has two meanings; write {ways}")
        out[meanings[0]] = out.get(meanings[0], 0.0) + weight
    plus, minus = (sum(abs(w) for w in out.values() if w * sign > 0) for sign in (1, -1))
    if plus and minus and abs(plus - minus) > 1e-12 and all(factor in design.factors for factor, _ in out):
        out = {atom: w / (plus if w > 0 else minus) for atom, w in out.items()}
    return out


def _linear(node: ast.expr) -> dict[int, float]:
    """Weights of the placeholders in a sum. Raises KeyError at other names and TypeError at what is no sum."""
    match node:
        case ast.Name(id=name):
            if not re.fullmatch(r"_\d+_", name):
                raise KeyError(name)
            return {int(name[1:-1]): 1.0}
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=operand):
            return {k: -v if isinstance(sign, ast.USub) else v for k, v in _linear(operand).items()}
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() as sign, right=right):
            out, other = _linear(left), _linear(right)
            return {k: out.get(k, 0) + (-1 if isinstance(sign, ast.Sub) else 1) * other.get(k, 0) for k in out | other}
        case ast.BinOp(left=left, op=ast.Mult(), right=ast.Constant(value=int() | float() as factor)):
            return {k: v * factor for k, v in _linear(left).items()}
        case ast.BinOp(left=ast.Constant(value=int() | float() as factor), op=ast.Mult(), right=right):
            return {k: v * factor for k, v in _linear(right).items()}
        case ast.BinOp(left=left, op=ast.Div(), right=ast.Constant(value=int() | float() as factor)):
            return {k: v / factor for k, v in _linear(left).items()}
    raise TypeError


def _condition(text: str, whole: str, design: DesignMatrix) -> dict[str, Any]:
    """`apoe=e4, age=70` as a mapping."""
    out: dict[str, Any] = {}
    for part in filter(None, (p.strip() for p in text.split(","))):
        name, _, value = (p.strip().strip("'\"") for p in part.partition("="))
        if name in design.factors and value in design.factors[name]:
            out[name] = value
        elif name in design.numbers and re.fullmatch(r"[-+]?\d*\.?\d+", value):
            out[name] = float(value)
        else:
            raise ValueError(
                f"contrast {whole!r}: condition {part!r} fits no level of a factor and no number of the model"
            )
    return out


def _atom(atom: tuple[str, str], given: Mapping[str, Any], design: DesignMatrix, text: str) -> Array:
    """Row of the design matrix whose product with the coefficients is an adjusted mean, or a slope at the mean."""
    name, level = atom
    grid = design.grid()
    wanted = dict(given)
    if name in design.factors:
        wanted[name] = level
    elif level:
        owners = _owners(level, design)
        if len(owners) > 1:
            raise ValueError(
                f"contrast {text!r}: {level!r} is a level of {' and '.join(owners)}; use a condition | instead"
            )
        wanted[owners[0]] = level
    for key, value in wanted.items():
        grid = grid[grid[key] == value] if key in design.factors else grid.assign(**{key: value})
    if name in design.factors:
        return np.asarray(design.rows(grid).mean(axis=0))
    step = float(design.people[name].std()) or 1.0
    ahead, behind = (pd.DataFrame(grid.assign(**{name: grid[name] + s * step})) for s in (0.5, -0.5))
    return np.asarray((design.rows(ahead) - design.rows(behind)).mean(axis=0) / step)
