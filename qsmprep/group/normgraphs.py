"""Figures of norms and of persons against them: pure functions of a norm or a table of z-scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from qsmprep.group.plots import COLORS
from qsmprep.group.writeup import region_text
from qsmprep.stats import literature
from qsmprep.stats.normative import EXTREME, Norm, curve

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from qsmprep.group.analyses import Results

INK, FAINT, BEYOND = "#1d2530", "#8a94a0", "#d55e00"
PERSONS = 6  # those with the most regions beyond the norm are drawn, the table has everybody
MANY_REGIONS = 40  # of a person
MANY_LINES = 6  # of regions over a person's visits
_CURVES = {"putamen": "putamen", "caudate": "caudate", "pallid": "globus pallidus", "gpe": "globus pallidus",
           "gpi": "globus pallidus"}  # fmt: skip


def norm_figures(results: Results, measure: str, regions: Sequence[str]) -> Iterator[tuple[str, Figure]]:
    """Title and figure of each region's norm, then of the persons who deviate most; nothing without norms."""
    table = results.tables.get("normative")
    if table is None or not len(table):
        return
    here = results.tested.at_baseline()
    model = results.models.get(measure)
    unit = f"{measure} [{here.units[measure]}]"
    for region in regions if model is not None else ():
        norm = model.norms.get(region) if model is not None else None
        if norm is None or norm.model is None:
            continue
        people = here.people.assign(value=here.tables[measure][region], age=here.people[results.design.age])
        people["group"] = people[results.design.groups] if results.design.groups else "all"
        title = f"Norm, {region_text(region)}"
        yield title, norm_chart(norm, people, here.groups or ("all",), region, unit, title)
    mine = table[table["measure"] == measure]
    sized = mine.assign(beyond=mine["deviates"] != "", size=mine["z"].abs())
    visits = sized.groupby(["participant_id", "session"], sort=False).agg({"beyond": "sum", "size": "max"})
    order = visits.groupby("participant_id", sort=False).max().sort_values(["beyond", "size"], ascending=False)
    for person in order.index[order["beyond"] > 0][:PERSONS]:
        title = f"{person} against the norm"
        yield title, person_chart(mine[mine["participant_id"] == person], title)


def norm_chart(norm: Norm, people: pd.DataFrame, order: Sequence[str], region: str, unit: str, title: str) -> Figure:
    """Persons over the norm's curves: what is expected at each age, and the middle 95 %.

    Globus pallidus, putamen and caudate have the shape of iron over age after Hallgren & Sourander (1958) beside it,
    moved to the norm in the middle of its ages: an illustration, as χ has no absolute zero.

    Parameters
    ----------
    norm : with a model
    people : columns age, value and group
    order : groups in the order of their colours
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, 3.4), layout="constrained")
    axis = figure.subplots()
    axis.spines[["top", "right"]].set_visible(False)
    ages = np.linspace(norm.basis.low, norm.basis.high, 80)
    for sex, style in zip(norm.basis.sexes or ("",), ("-", "--"), strict=False):
        axis.plot(ages, curve(norm, ages, sex), style, color=INK, lw=1.6, label=f"expected {sex}".strip())
        low, high = (curve(norm, ages, sex, z) for z in (-EXTREME, EXTREME))
        axis.fill_between(ages, low, high, color=INK, alpha=0.08, lw=0)
    known = next((name for part, name in _CURVES.items() if part in region.lower()), "")
    if known:
        middle = np.array([(norm.basis.low + norm.basis.high) / 2])
        expected = np.mean([curve(norm, middle, sex) for sex in norm.basis.sexes or ("",)])
        shape = literature.illustrative_chi(known, ages) - literature.illustrative_chi(known, middle)
        label = "iron after Hallgren & Sourander 1958, moved (illustration)"
        axis.plot(ages, expected + shape, ":", color=FAINT, lw=1.4, label=label)
    for position, group in enumerate(order):
        rows = people[people["group"] == group]
        axis.plot(rows["age"], rows["value"], "o", ms=3, alpha=0.7, color=COLORS[position % len(COLORS)], label=group)
    axis.set_xlabel("age [years]", size=8)
    axis.set_ylabel(unit, size=8)
    axis.tick_params(labelsize=8)
    axis.set_title(title, size=9)
    axis.legend(fontsize=6, frameon=False)
    return figure


def person_chart(table: pd.DataFrame, title: str) -> Figure:
    """z of one person in each region at the last visit, and the way there where there were several.

    Bars tell what z would move by with other controls; regions beyond ±1.96 are filled and coloured.

    Parameters
    ----------
    table : rows of one person and measure, with region, age, z, z_se and deviates, and session where there are several
    """
    from matplotlib.figure import Figure

    ages = table.groupby("session")["age"].first().sort_values() if "session" in table else table["age"][:1]
    last = table[table["session"] == ages.index[-1]] if len(ages) > 1 else table
    known = last[last["z"].notna()]
    shown = known.loc[known["z"].abs().sort_values(ascending=False).index[:MANY_REGIONS]].sort_values("z")
    columns = 2 if len(ages) > 1 else 1
    figure = Figure(figsize=(5.6 + 3.8 * (columns - 1), max(1.1 + 0.19 * len(shown), 3.0 * (columns - 1) + 1.3)))
    figure.set_layout_engine("constrained")
    axes = figure.subplots(1, columns, squeeze=False)[0]
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=7)
    _z_of_regions(axes[0], shown)
    more = f", {len(shown)} of {len(known)} regions" if len(shown) < len(known) else ""
    axes[0].set_title(title + more + (f", session {ages.index[-1]}" if columns > 1 else ""), size=9)
    if columns > 1:
        _z_over_time(axes[1], table)
    return figure


def _z_of_regions(axis: Axes, shown: pd.DataFrame) -> None:
    axis.axvspan(-EXTREME, EXTREME, color=INK, alpha=0.08, lw=0)
    at = np.arange(len(shown))
    beyond = (shown["deviates"] != "").to_numpy(bool)
    for select, color, fill in ((~beyond, FAINT, "white"), (beyond, BEYOND, BEYOND)):
        rows = shown[select]
        reach = EXTREME * rows["z_se"].fillna(0.0)
        axis.errorbar(rows["z"], at[select], xerr=reach, fmt="o", ms=4, color=color, mfc=fill, lw=1.0)
    axis.set_yticks(at, [region_text(str(name)) for name in shown["region"]])
    axis.set_xlabel("z for age and sex; grey: 95 % of controls", size=8)


def _z_over_time(axis: Axes, table: pd.DataFrame) -> None:
    """z of the regions that deviate most at any visit, over the person's age."""
    axis.axhspan(-EXTREME, EXTREME, color=INK, alpha=0.08, lw=0)
    largest = table.assign(size=table["z"].abs()).groupby("region")["size"].max().sort_values(ascending=False)
    for number, region in enumerate(largest.dropna().index[:MANY_LINES]):
        rows = table[table["region"] == region].sort_values("age")
        label = region_text(str(region))
        axis.plot(rows["age"], rows["z"], "o-", ms=4, lw=1.4, color=COLORS[number % len(COLORS)], label=label)
    axis.set_xlabel("age [years]", size=8)
    axis.set_ylabel("z", size=8)
    axis.set_title("over time", size=9)
    axis.legend(fontsize=6, frameon=False)
