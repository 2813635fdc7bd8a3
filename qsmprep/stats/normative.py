"""Every person against one's own controls of the same age and sex: a normative model, its file, and z-scores."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from . import centiles, location_scale
from ._frames import aligned
from .location_scale import Basis, LocationScale

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

METHODS = ("location-scale", "quantile")
FEWEST = {"location-scale": 15, "quantile": 100}  # controls, below which a region has no norm
EXTREME = 1.96
_FORM = "qsmprep normative models, version 2"
COLUMNS = ("region", "age", "value", "expected", "sd", "z", "z_se", "percentile", "deviates", "held_out", "note")


@dataclass(frozen=True)
class Norm:
    """One region's norm: `model` is None where `note` says why there is none."""

    n: int
    basis: Basis
    model: LocationScale | Array | None
    smoothing: tuple[float, float] = (np.nan, np.nan)
    note: str = ""


@dataclass(frozen=True)
class NormativeModel:
    """Norms of regions. `age` and `sex` name the columns of the people's table; `sex` is "" where it is not used."""

    method: str
    age: str
    sex: str
    unit: str
    norms: Mapping[str, Norm] = field(default_factory=dict)


def fit_normative(
    values: pd.DataFrame,
    people: pd.DataFrame,
    age: str = "age",
    sex: str = "sex",
    method: str = "location-scale",
    unit: str = "ppb",
) -> NormativeModel:
    """The norm of every region from the controls.

    Parameters
    ----------
    values
        Controls x regions; NaN are left out region by region.
    people
        Their columns `age` [years] and `sex`; rows are matched by index.
    age, sex
        Names of columns; sex "" for none. Sex is left out, too, where there are not two of them.
    method
        ``location-scale`` (see `location_scale`) or ``quantile`` (see `centiles`; `expected` and `sd` are then
        the median and the SD of a normal distribution with the same quartiles).
    unit
        Of the values; kept in the model's file.

    Raises
    ------
    ValueError
        If the method is unknown or a column is missing.
    """
    if method not in METHODS:
        raise ValueError(f"method {method!r} is unknown: expected {' or '.join(METHODS)}")
    years, kind = _age_sex(values, people, age, sex)
    sexes = tuple(sorted({str(s) for s in kind.dropna()})) if sex else ()
    sexes = sexes if len(sexes) == 2 else ()
    data, ages, kinds = values.to_numpy(float), years.to_numpy(float), kind.to_numpy(object)
    norms = {str(r): _norm(data[:, j], ages, kinds, sexes, method) for j, r in enumerate(values.columns)}
    return NormativeModel(method, age, sex if sexes else "", unit, norms)


def _age_sex(values: pd.DataFrame, people: pd.DataFrame, age: str, sex: str) -> tuple[pd.Series[Any], pd.Series[Any]]:
    for name in filter(None, (age, sex)):
        if name not in people:
            raise ValueError(f"the people's table has no column {name!r}; it has {', '.join(map(str, people.columns))}")
    mine = aligned(values, people)
    years = pd.to_numeric(mine[age], errors="coerce").astype(float)
    kind = mine[sex].map(str, na_action="ignore") if sex else pd.Series("", index=mine.index)
    return years, kind.astype(object)


def _norm(y: Array, age: Array, sex: NDArray[Any], sexes: tuple[str, ...], method: str) -> Norm:
    known = np.isfinite(y) & np.isfinite(age)
    known &= np.isin(sex.astype(str), sexes) if sexes else True
    n = int(known.sum())
    youngest, oldest = (float(age[known].min()), float(age[known].max())) if n else (0.0, 0.0)
    few_splines = method == "quantile" or n < location_scale.ENOUGH_FOR_SD
    basis = Basis(youngest, oldest if oldest > youngest else youngest + 1, 4 if few_splines else 10, sexes)
    if n < FEWEST[method]:
        return Norm(n, basis, None, note=f"only {n} controls: {method} needs {FEWEST[method]}")
    if np.ptp(y[known]) == 0 or oldest == youngest:
        return Norm(n, basis, None, note=f"all controls have the same {'age' if oldest == youngest else 'value'}")
    rows = basis.rows(age[known], sex[known])
    if method == "quantile":
        return Norm(n, basis, centiles.fit(y[known], rows))
    smoothing = location_scale.choose(y[known], rows, basis.penalty())
    return Norm(n, basis, location_scale.fit(y[known], rows, basis.penalty(), smoothing), smoothing)


def score(model: NormativeModel, values: pd.DataFrame, people: pd.DataFrame) -> pd.DataFrame:
    """z-scores of people against a model that did not see them.

    Parameters
    ----------
    model
        From `fit_normative` or `from_json`.
    values
        People x regions, in the model's unit. Regions that the model lacks are told in `note`.
    people
        The model's columns of age and sex; rows are matched by index.

    Returns
    -------
    pandas.DataFrame
        One row per person and region: the levels of the index of `values`, then `COLUMNS`. `expected` and `sd`
        belong to the person's age and sex, `z_se` tells how far z would move with other controls (NaN for
        ``quantile``), `deviates` is "high" or "low" beyond ±1.96, `note` says where age lies beyond the controls' and
        why a row has no number.
    """
    years, kind = (column.to_numpy() for column in _age_sex(values, people, model.age, model.sex))
    parts = []
    for region in values.columns:
        norm = model.norms.get(str(region))
        if norm is None:
            norm = Norm(0, Basis(0.0, 1.0, 4), None, note="the model has no such region")
        y = values[region].to_numpy(float)
        found = _numbers(norm.model, y, norm.basis.rows(years, kind))
        parts.append(_table(norm, str(region), y, years, kind, found))
    return _joined(parts, values)


def curve(norm: Norm, age: Array, sex: str = "", z: float = 0.0) -> Array:
    """The value that people of a z-score have at each age; `norm` has a model, `sex` is one of its basis' or ""."""
    rows = norm.basis.rows(age, np.full(len(age), sex, object))
    if isinstance(norm.model, LocationScale):
        mean, sd = norm.model.mean_sd(rows)
        return mean + z * sd
    return centiles.at(rows, np.asarray(norm.model, float), z)


def score_controls(
    model: NormativeModel,
    values: pd.DataFrame,
    people: pd.DataFrame,
    participants: pd.Series[Any] | None = None,
    fitted: pd.Series[bool] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """z-scores of the controls, each from a norm that was fitted without the person.

    Up to 60 persons each is left out alone, of more 20 parts in turn (5 for ``quantile``); smoothing stays as all
    chose it.

    Parameters
    ----------
    model
        From `fit_normative` of the same `values` and `people`, or of the rows that are `fitted`.
    participants
        The person of each row, where persons have several: they are left out together.
    fitted
        Which rows the model was fitted to, such as each person's first visit; the others are scored only.
    progress
        Called with (regions done, regions) after each.

    Returns
    -------
    pandas.DataFrame
        As of `score`.
    """
    years, kind = (column.to_numpy() for column in _age_sex(values, people, model.age, model.sex))
    who = np.arange(len(values)) if participants is None else pd.factorize(aligned(values, participants))[0]
    seen = np.ones(len(values), bool) if fitted is None else aligned(values, fitted).to_numpy(bool)
    persons = int(who.max(initial=-1)) + 1
    folds = 5 if model.method == "quantile" else (persons if persons <= 60 else 20)
    fold = np.random.default_rng(0).permutation(persons)[who] % max(folds, 1)
    parts = []
    for done, region in enumerate(values.columns):
        norm, y = model.norms[str(region)], values[region].to_numpy(float)
        rows, found = norm.basis.rows(years, kind), np.full((4, len(y)), np.nan)
        for k in range(folds if norm.model is not None else 0):
            found[:, fold == k] = _numbers(_refitted(norm, y, rows, seen & (fold != k)), y[fold == k], rows[fold == k])
        parts.append(_table(norm, str(region), y, years, kind, found).assign(held_out=True))
        if progress is not None:
            progress(done + 1, values.shape[1])
    return _joined(parts, values)


def _refitted(norm: Norm, y: Array, rows: Array, kept: Mask) -> LocationScale | Array:
    """The model from some of the controls, with the smoothing of all."""
    kept = kept & np.isfinite(y) & np.isfinite(rows).all(axis=1)
    if isinstance(norm.model, LocationScale):
        return location_scale.fit(y[kept], rows[kept], norm.basis.penalty(), norm.smoothing, norm.model.scale)
    return centiles.fit(y[kept], rows[kept])


def _numbers(model: LocationScale | Array | None, y: Array, rows: Array) -> Array:
    """(4, n): expected value, SD, z and its standard error."""
    if model is None:
        return np.full((4, len(y)), np.nan)
    if isinstance(model, LocationScale):
        return np.array([*model.mean_sd(rows), *model.z(y, rows)])
    return np.array([*centiles.median_sd(rows, model), centiles.z(y, rows, model), np.full(len(y), np.nan)])


def _table(norm: Norm, region: str, y: Array, years: Array, kind: NDArray[Any], found: Array) -> pd.DataFrame:
    """`COLUMNS` of one region from the four numbers of each person."""
    low, high = norm.basis.low, norm.basis.high
    beyond = [f"age {a:g} lies beyond the controls' {low:g} to {high:g}: extrapolated" for a in years]
    known_sex = np.isin(kind.astype(str), norm.basis.sexes) if norm.basis.sexes else np.ones(len(y), bool)
    note = np.select(
        [~np.isfinite(y), ~np.isfinite(years), ~known_sex, (years < low) | (years > high)],
        ["value missing", "age missing", f"sex is none of {', '.join(norm.basis.sexes)}", np.array(beyond, object)],
        "",
    )
    z = found[2]
    columns: dict[str, Any] = {
        "region": region, "age": years, "value": y, "expected": found[0], "sd": found[1], "z": z, "z_se": found[3],
        "percentile": 100 * stats.norm.cdf(z), "deviates": np.select([z > EXTREME, z < -EXTREME], ["high", "low"], ""),
        "held_out": False, "note": note if norm.model is not None else norm.note,
    }  # fmt: skip
    return pd.DataFrame(columns, columns=list(COLUMNS))


def _joined(parts: list[pd.DataFrame], values: pd.DataFrame) -> pd.DataFrame:
    people = values.index.to_frame(index=False)
    people.columns = pd.Index([str(n) if n is not None else "participant" for n in values.index.names])
    whole = [pd.concat([people, part], axis=1) for part in parts]
    return pd.concat(whole, ignore_index=True) if whole else pd.DataFrame(columns=[*people.columns, *COLUMNS])


def to_json(models: Mapping[str, NormativeModel]) -> str:
    """Models by the measure that they are of, as the text of a file that `from_json` reads."""
    return json.dumps(
        {"form": _FORM, "measures": {m: _plain(one) for m, one in models.items()}}, indent=1, allow_nan=False
    )


def _plain(model: NormativeModel) -> dict[str, Any]:
    """A model as JSON has it."""
    norms = {}
    for region, norm in model.norms.items():
        basis = {
            "low": norm.basis.low,
            "high": norm.basis.high,
            "splines": norm.basis.splines,
            "sexes": norm.basis.sexes,
        }
        one: dict[str, Any] = {"n": norm.n, "basis": basis, "note": norm.note}
        if isinstance(norm.model, LocationScale):
            one |= {name: np.asarray(number).tolist() for name, number in vars(norm.model).items()}
            one["smoothing"] = [None if np.isinf(s) else s for s in norm.smoothing]
        elif norm.model is not None:
            one["quantiles"] = {str(q): row.tolist() for q, row in zip(centiles.QUANTILES, norm.model, strict=True)}
        norms[region] = one
    return {"method": model.method, "age": model.age, "sex": model.sex, "unit": model.unit, "norms": norms}


def from_json(text: str) -> dict[str, NormativeModel]:
    """Models by measure, from the text of their file.

    Raises
    ------
    ValueError
        If the text is none of `to_json`'s; the message says what was expected.
    """
    try:
        found = json.loads(text)
        if found["form"] != _FORM:
            raise ValueError(f"form {found['form']!r}")
        return {measure: _model_from(one) for measure, one in found["measures"].items()}
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"no normative model: expected {_FORM!r} as qsmprep writes it, found {error}") from None


def _model_from(found: Mapping[str, Any]) -> NormativeModel:
    if found["method"] not in METHODS:
        raise ValueError(f"method {found['method']!r}")
    norms = {region: _norm_from(one) for region, one in found["norms"].items()}
    return NormativeModel(found["method"], found["age"], found["sex"], found["unit"], norms)


def _norm_from(one: Mapping[str, Any]) -> Norm:
    b = one["basis"]
    basis = Basis(float(b["low"]), float(b["high"]), int(b["splines"]), tuple(b["sexes"]))
    columns = basis.splines + bool(basis.sexes)
    model: LocationScale | Array | None = None
    smoothing = (np.nan, np.nan)
    if "location" in one:
        names = ("location", "scale", "location_covariance", "scale_covariance")
        arrays = [np.array(one[name], float) for name in names]
        if [a.shape for a in arrays] != [(columns,)] * 2 + [(columns, columns)] * 2:
            raise ValueError(f"coefficients of other shapes than {columns} columns")
        model = LocationScale(arrays[0], arrays[1], arrays[2], arrays[3], float(one["df"]))
        location, scale = (np.inf if s is None else float(s) for s in one["smoothing"])
        smoothing = (location, scale)
    elif "quantiles" in one:
        model = np.array([one["quantiles"][str(q)] for q in centiles.QUANTILES], float)
        if model.shape[1] != columns:
            raise ValueError(f"coefficients of other shapes than {columns} columns")
    return Norm(int(one["n"]), basis, model, smoothing, str(one["note"]))
