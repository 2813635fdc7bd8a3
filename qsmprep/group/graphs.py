"""Figures of a group analysis: each a pure function of a tidy table. Colours are those of Okabe and Ito."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qsmprep.group.plots import COLORS
from qsmprep.group.writeup import region_text

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FAINT, BEYOND = "#1d2530", "#8a94a0", "#d55e00"
MANY_ROWS = 50  # of a forest plot; the strongest are drawn, the table has them all
GRADES = (0.5, 0.75, 0.9)  # where poor, moderate and good ICC end (Koo and Li 2016, doi:10.1016/j.jcm.2016.02.012)
MANY_POINTS = 300  # of a cloud; beyond, every n-th is drawn, and the density tells the rest


def save_svg(figure: Figure, path: Path) -> Path:
    """Write a figure as SVG with text as text: small, and the same bytes from the same numbers."""
    from io import BytesIO

    import matplotlib as mpl

    from qsmprep.bids.derivatives import atomic_write_bytes

    buffer = BytesIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "qsmprep"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return atomic_write_bytes(path, buffer.getvalue())


def _figure(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = list(np.ravel(figure.subplots(rows, columns, squeeze=False)))
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
    return figure, axes


def forest(table: pd.DataFrame, alpha: float, unit: str, title: str) -> Figure:
    """Estimate with its interval, one row a region; those that survive the correction are filled and coloured.

    Parameters
    ----------
    table : rows of one test and contrast, with estimate (its interval), p and p_corrected
    alpha : level of significance
    unit : of the estimate
    """
    known = table[table["estimate"].notna()]
    shown = known.loc[known["p"].sort_values().index[:MANY_ROWS]].sort_values("estimate") if len(known) else known
    figure, (axis,) = _figure(6.4, 1.1 + 0.19 * max(len(shown), 1))
    at = np.arange(len(shown))
    beyond = (shown["p_corrected"] < alpha).to_numpy(bool)
    for select, color, fill in ((~beyond, FAINT, "white"), (beyond, BEYOND, BEYOND)):
        rows = shown[select]
        ends = np.abs(rows[["estimate_low", "estimate_high"]].to_numpy(float).T - rows["estimate"].to_numpy(float))
        axis.errorbar(
            rows["estimate"], at[select], xerr=ends, fmt="o", ms=4, color=color, mfc=fill, lw=1.2, label="_"
        )  # fmt: skip
    axis.axvline(float("AUC" in set(table["effect_name"])) / 2, color=INK, lw=0.8, ls=":")
    axis.set_yticks(at, [region_text(str(name)) for name in shown["region"]])
    axis.set_xlabel(
        f"estimate and 95 % interval{f' [{unit}]' if unit else ''}; filled: p corrected < {alpha:g}", size=8
    )
    axis.set_ylim(-0.7, len(shown) - 0.3)
    axis.set_title(title + (f", {len(shown)} of {len(known)} regions" if len(shown) < len(known) else ""), size=9)
    return figure


def icc_forest(table: pd.DataFrame, title: str) -> Figure:
    """Intraclass correlation with its interval, one row a region, over bands of poor to excellent agreement.

    Parameters
    ----------
    table : rows of one form, with region, estimate and its interval; of many regions the lowest are drawn
    """
    known = table[table["estimate"].notna()].sort_values("estimate")
    shown = known.head(MANY_ROWS)
    figure, (axis,) = _figure(6.4, 1.1 + 0.19 * max(len(shown), 1))
    at, middle = np.arange(len(shown)), shown["estimate"].to_numpy(float)
    ends = np.abs(shown[["estimate_low", "estimate_high"]].to_numpy(float).T - middle)
    axis.errorbar(middle, at, xerr=ends, fmt="o", ms=4, color=COLORS[0], lw=1.2)
    low = min(0.0, float(np.nanmin(middle - ends[0], initial=0.0)))
    edges = (low - 0.02, *GRADES, 1.01)
    for shade, (left, right) in enumerate(itertools.pairwise(edges)):
        axis.axvspan(left, right, color=INK, alpha=0.12 - 0.04 * shade, lw=0)
    axis.set_yticks(at, [region_text(str(name)) for name in shown["region"]])
    axis.set(xlim=(edges[0], edges[-1]), ylim=(-0.7, len(shown) - 0.3))
    axis.set_xlabel("ICC and 95 % interval; from dark to white: poor, moderate, good, excellent", size=8)
    axis.set_title(title + (f", the lowest {len(shown)} of {len(known)}" if len(shown) < len(known) else ""), size=9)
    return figure


def bland_altman(
    pairs: Mapping[str, pd.DataFrame], agreement: pd.DataFrame, names: tuple[str, str], unit: str
) -> Figure:
    """Difference of two measurements over their mean, a point a person, with bias, limits of agreement and intervals.

    Persons beyond the limits are named.

    Parameters
    ----------
    pairs : region -> the two measurements of each person, columns first and second, index participant_id
    agreement : rows of these two measurements by region and test, as `stats.reliability.bland_altman` gives them
    names : what the measurements are called
    """
    columns = min(3, len(pairs))
    rows = -(-len(pairs) // columns)
    figure, axes = _figure(3.1 * columns, 2.7 * rows, rows, columns)
    for axis in axes[len(pairs) :]:
        axis.set_visible(False)
    lines = {"bias": "-", "lower limit of agreement": "--", "upper limit of agreement": "--"}
    numbers = agreement[["estimate", "estimate_low", "estimate_high"]].to_numpy(float)
    found = dict(zip(zip(agreement["region"], agreement["test"], strict=True), numbers, strict=True))
    for axis, (region, pair) in zip(axes, pairs.items(), strict=False):
        known = pair.dropna()
        middle, difference = known.mean(axis=1), known["first"] - known["second"]
        axis.plot(middle, difference, "o", ms=3.4, mec="none", alpha=0.8, color=COLORS[0])
        axis.axhline(0, color=FAINT, lw=0.8, ls=":")
        for test, style in lines.items():
            value, low, high = found[(region, test)]
            axis.axhspan(low, high, color=BEYOND if test == "bias" else INK, alpha=0.12, lw=0)
            axis.axhline(value, color=BEYOND if test == "bias" else INK, lw=1.2, ls=style)
            axis.text(1.01, value, f"{value:.3g}", size=7, va="center", transform=axis.get_yaxis_transform())
        limits = [found[(region, test)][0] for test in list(lines)[1:]]
        for who in known.index[(difference < limits[0]) | (difference > limits[1])]:
            axis.annotate(str(who).removeprefix("sub-"), (middle[who], difference[who]), size=6, color=INK)
        axis.set_title(f"{region_text(region)}, n {len(known)}", size=9)
        axis.set_xlabel(f"mean of both, {unit}", size=8)
        axis.set_ylabel(f"difference, {names[0]} - {names[1]}", size=8)
    return figure


def raincloud(values: Mapping[str, pd.Series[Any]], groups: pd.Series[Any], order: Sequence[str], unit: str) -> Figure:
    """Density, box and a point a person, of each group in each region.

    Parameters
    ----------
    values : region -> numbers, index as that of `groups`
    groups : group of each person
    order : groups in the order of their colours
    """
    columns = min(3, len(values))
    rows = -(-len(values) // columns)
    figure, axes = _figure(3.1 * columns, 2.5 * rows, rows, columns)
    for axis in axes[len(values) :]:
        axis.set_visible(False)
    for axis, (region, series) in zip(axes, values.items(), strict=False):
        for position, group in enumerate(order):
            here = series[groups == group].dropna().to_numpy(float)
            _cloud(axis, here, position, COLORS[position % len(COLORS)])
        counts = [int(series[groups == group].notna().sum()) for group in order]
        axis.set_xticks(range(len(order)), [f"{group}\nn {n}" for group, n in zip(order, counts, strict=True)])
        axis.set_title(region_text(region), size=9)
        axis.set_ylabel(unit, size=8)
    return figure


def _cloud(axis: Axes, here: np.ndarray[Any, np.dtype[np.float64]], position: int, color: str) -> None:
    if not here.size:
        return
    spread = 0.18 * ((np.arange(here.size) * 0.618034) % 1 - 0.5)  # even, and the same in every build
    step = -(-here.size // MANY_POINTS)
    axis.plot(position - 0.22 + spread[::step], here[::step], "o", ms=2.6, mec="none", color=color, alpha=0.75)
    box = {"color": INK, "lw": 1}
    axis.boxplot(
        here, positions=[position], widths=0.12, showfliers=False, manage_ticks=False, boxprops=box, whiskerprops=box,
        capprops=box, medianprops={"color": INK, "lw": 1.6},
    )  # fmt: skip
    if here.size > 2 and np.ptp(here) > 0:
        from scipy.stats import gaussian_kde

        grid = np.linspace(here.min() - 0.15 * np.ptp(here), here.max() + 0.15 * np.ptp(here), 80)
        density = gaussian_kde(here)(grid)
        edge = position + 0.12
        axis.fill_betweenx(grid, edge, edge + 0.32 * density / density.max(), color=color, alpha=0.45, lw=0)


def before_after(
    values: Mapping[str, tuple[pd.Series[Any], pd.Series[Any]]],
    site: pd.Series[Any],
    titles: Mapping[str, str],
    unit: str,
) -> Figure:
    """Each site before (grey) and after (coloured) harmonisation: density, box and a point a person.

    Parameters
    ----------
    values : region -> numbers before and after, index as that of `site`
    titles : region -> what to tell of it beside its name
    """
    sites = sorted(site.dropna().unique())
    width = max(3.1, 0.6 + 0.7 * len(sites))
    columns = min(len(values), max(1, int(9.4 // width)))
    rows = -(-len(values) // columns)
    figure, axes = _figure(width * columns, 2.6 * rows, rows, columns)
    for axis in axes[len(values) :]:
        axis.set_visible(False)
    for axis, (region, both) in zip(axes, values.items(), strict=False):
        for number, name in enumerate(sites):
            for later, series in enumerate(both):
                here = series[(site == name).reindex(series.index)].dropna().to_numpy(float)
                _cloud(axis, here, 2 * number + later, COLORS[number % len(COLORS)] if later else FAINT)
        axis.set_xticks(2 * np.arange(len(sites)) + 0.5, sites)
        axis.set_xlabel(f"{site.name}; grey: before", size=8)
        axis.set_title(f"{region_text(region)}, {titles[region]}", size=9)
        axis.set_ylabel(unit, size=8)
    return figure


def effects_kept(table: pd.DataFrame, title: str) -> Figure:
    """Partial η² after over before harmonisation, a point a region: of the sites, and of what was to be kept.

    Parameters
    ----------
    table : rows of `stats.sites.site_effects` with an effect
    """
    figure, (axis,) = _figure(4.6, 4.2)
    for number, (contrast, rows) in enumerate(table.groupby("contrast", sort=False)):
        when = rows["test"].str.rpartition(", ")[2]
        points = rows.assign(when=when).pivot_table(index="region", columns="when", values="effect")
        marker = "x" if contrast == "site" else "o"
        color = COLORS[number % len(COLORS)]
        axis.plot(points["before"], points["after"], marker, ms=4, alpha=0.8, color=color, label=str(contrast))
    end = 1.05 * float(np.nanmax(table["effect"].to_numpy(float), initial=1e-3))
    axis.plot([0, end], [0, end], ":", color=FAINT, lw=1, label="_same")
    axis.set(xlim=(-0.02 * end, end), ylim=(-0.02 * end, end), aspect="equal")
    axis.set_xlabel("partial η² before harmonisation", size=8)
    axis.set_ylabel("partial η² after", size=8)
    axis.legend(fontsize=7, frameon=False)
    axis.set_title(title, size=9)
    return figure


def roc_curves(curves: Mapping[str, pd.DataFrame], areas: Mapping[str, str], title: str) -> Figure:
    """ROC curves with chance as a dotted line.

    Parameters
    ----------
    curves : name -> points in order, columns sensitivity and specificity
    areas : name -> what the legend tells of its area
    """
    figure, (axis,) = _figure(4.6, 4.2)
    for number, (name, points) in enumerate(curves.items()):
        color, style = COLORS[number % len(COLORS)], "-" if number < len(COLORS) else "--"
        label = f"{region_text(name)}: {areas[name]}"
        axis.plot(1 - points["specificity"], points["sensitivity"], style, color=color, lw=1.6, label=label)
    axis.plot([0, 1], [0, 1], ":", color=FAINT, lw=1, label="_chance")
    axis.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    axis.set_xlabel("1 - specificity", size=8)
    axis.set_ylabel("sensitivity", size=8)
    axis.legend(fontsize=7, loc="lower right", frameon=False)
    axis.set_title(title, size=9)
    return figure


def scatters(
    values: Mapping[str, pd.Series[Any]], score: pd.Series[Any], groups: pd.Series[Any], order: Sequence[str], unit: str
) -> Figure:
    """A region's numbers against a score, with the straight line through all persons and its 95 % band.

    Parameters
    ----------
    values : region -> numbers; score, groups : of the same persons
    """
    columns = min(3, len(values))
    rows = -(-len(values) // columns)
    figure, axes = _figure(3.1 * columns, 2.6 * rows, rows, columns)
    for axis in axes[len(values) :]:
        axis.set_visible(False)
    for axis, (region, series) in zip(axes, values.items(), strict=False):
        known = series.notna() & score.notna()
        for position, group in enumerate(order):
            here = known & (groups == group)
            if here.any():
                color = COLORS[position % len(COLORS)]
                axis.plot(score[here], series[here], "o", ms=3.4, mec="none", alpha=0.8, color=color, label=group)
        _line_and_band(axis, score[known].to_numpy(float), series[known].to_numpy(float))
        axis.set_title(f"{region_text(region)}, n {int(known.sum())}", size=9)
        axis.set_xlabel(str(score.name), size=8)
        axis.set_ylabel(unit, size=8)
    axes[0].legend(fontsize=7, frameon=False)
    return figure


def _line_and_band(axis: Axes, x: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> None:
    """Least squares, with the interval of the mean; nothing where no line can be drawn."""
    from scipy.stats import linregress, t

    if x.size < 3 or np.ptp(x) == 0:
        return
    fit = linregress(x, y)
    grid = np.linspace(x.min(), x.max(), 60)
    rest = np.sum((y - fit.intercept - fit.slope * x) ** 2) / (x.size - 2)
    error = np.sqrt(rest * (1 / x.size + (grid - x.mean()) ** 2 / np.sum((x - x.mean()) ** 2)))
    middle, half = fit.intercept + fit.slope * grid, t.ppf(0.975, x.size - 2) * error
    axis.plot(grid, middle, color=INK, lw=1.4, label="_fit")
    axis.fill_between(grid, middle - half, middle + half, color=INK, alpha=0.15, lw=0)


def trajectories(table: pd.DataFrame, order: Sequence[str], unit: str, title: str) -> Figure:
    """A thin line a person, a thick one for the mean of each group at each visit.

    Parameters
    ----------
    table : columns person, group, visit (in order, text) and value
    """
    figure, (axis,) = _figure(4.6, 3.2)
    visits = list(dict.fromkeys(sorted(table["visit"])))
    place = {visit: number for number, visit in enumerate(visits)}
    for position, group in enumerate(order):
        here = table[(table["group"] == group) & table["value"].notna()]
        color = COLORS[position % len(COLORS)]
        for _, one in here.sort_values("visit").groupby("person"):
            axis.plot(one["visit"].map(place), one["value"], "-", color=color, lw=0.6, alpha=0.4, label="_person")
        mean = here.groupby("visit")["value"].mean()
        axis.plot(mean.index.map(place), mean, "o-", color=color, lw=2.4, ms=5, label=group)
    axis.set_xticks(range(len(visits)), [str(visit) for visit in visits])
    axis.set_ylabel(unit, size=8)
    axis.set_title(title, size=9)
    axis.legend(fontsize=7, frameon=False)
    return figure
