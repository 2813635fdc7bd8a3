"""What `group.html` shows of the analyses: text, and figures of the strongest results."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qsmprep.group import graphs
from qsmprep.group.analyses import Results
from qsmprep.group.contrasts import contrasts_of
from qsmprep.group.people import Ledger
from qsmprep.group.reliability import pairs_of
from qsmprep.group.sample import Sample
from qsmprep.group.units import NONE
from qsmprep.group.writeup import overview, region_text
from qsmprep.report.page import data_uri

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

STRONGEST = 6  # regions that are drawn one by one
MANY_FIGURES = 24  # of forest plots; the tables have everything
ICC = "ICC(2,1)"  # that of the figures: absolute agreement of single measurements
EXTREMES = 3  # regions with the lowest, and as many with the highest agreement, that are drawn one by one
ALWAYS_SHOWN = 2  # figures that are open although no region in them survives the correction
MANY_PAIRS = 6  # of repeats that are drawn
FORESTS = ("models", "scores", "longitudinal", "diagnosis", "comparisons")


def results_view(results: Results, folder: Path, text: tuple[Sequence[str], Sequence[str]]) -> dict[str, Any]:
    """Paragraphs and pictures for the page; the pictures are written to `figures/` as SVG, too.

    Parameters
    ----------
    results : of one call
    folder : `group/`
    text : paragraphs of results and of methods
    """
    for old in (folder / "figures").glob("result-*.svg"):
        old.unlink()
    rows = overview(results.tables, results.design.alpha)
    quiet = {_title(row["test"], row["contrast"], row["measure"]) for row in rows if not row["found"]}
    figures: list[dict[str, Any]] = []
    for number, (title, figure) in enumerate(_figures(results), 1):
        name = re.sub(r"[^A-Za-z0-9]+", "-", title).strip("-").lower()
        path = graphs.save_svg(figure, folder / "figures" / f"result-{number:02d}_{name}.svg")
        shown = title not in quiet or number <= ALWAYS_SHOWN
        figures.append({"title": title, "uri": data_uri(path), "open": shown})
    return {"overview": rows, "paragraphs": list(text[0]), "methods": list(text[1]), "figures": figures}


def _figures(results: Results) -> Iterator[tuple[str, Figure]]:
    from qsmprep.group.normgraphs import norm_figures

    yield from _agreement(results)
    if not results.sample.tables:
        return
    yield from _forests(results)
    yield from _sites(results)
    here = results.tested.at_baseline()
    measure, table = next(iter(here.tables.items()))
    unit = f"{measure} [{here.units[measure]}]"
    groups = here.people[results.design.groups] if results.design.groups else None
    chosen = strongest(results.tables, measure, list(table.columns))
    if groups is not None and len(here.groups) > 1:
        yield "Groups", graphs.raincloud({name: table[name] for name in chosen}, groups, here.groups, unit)
        yield from _rocs(results, here, measure)
        for score in results.design.scores:
            if score in here.people and here.people[score].notna().sum() > 2:
                values = here.people[score].astype(float)
                related = table.corrwith(values).abs().sort_values(ascending=False).dropna().index[:STRONGEST]
                shown = {str(name): table[name] for name in related}
                if shown:
                    yield f"Regions and {score}", graphs.scatters(shown, values, groups, here.groups, unit)
    yield from _trajectories(results, measure, chosen, unit)
    yield from norm_figures(results, measure, chosen)


def _forests(results: Results) -> Iterator[tuple[str, Figure]]:
    drawn = 0
    for name in FORESTS:
        table = results.tables.get(name)
        if table is None or "p_corrected" not in table:
            continue
        for (measure, test, contrast), rows in table.groupby(["measure", "test", "contrast"], sort=False):
            if rows["estimate"].notna().any() and drawn < MANY_FIGURES:
                drawn += 1
                title = _title(str(test), str(contrast), str(measure))
                itself = rows["effect_name"].iloc[0] if (rows["estimate"] == rows["effect"]).any() else ""
                unit = rows["unit"].iloc[0]
                yield title, graphs.forest(rows, results.design.alpha, itself or (unit if unit != NONE else ""), title)


def _title(test: str, contrast: str, measure: str) -> str:
    return f"{test}, {contrast} ({measure})"


def strongest(tables: Mapping[str, pd.DataFrame], measure: str, columns: Sequence[str]) -> list[str]:
    """Regions with the smallest p of a comparison or model of a measure; the first ones where nothing was tested."""
    import pandas as pd

    tested = [tables[name] for name in ("comparisons", "models") if name in tables]
    if not tested:
        return [str(name) for name in columns[:STRONGEST]]
    joined = pd.concat(tested, ignore_index=True)
    joined = joined[(joined["measure"] == measure) & joined["region"].isin(columns) & joined["p"].notna()]
    order = joined.sort_values("p")["region"].drop_duplicates()
    return [str(name) for name in order[:STRONGEST]] or [str(name) for name in columns[:STRONGEST]]


def _rocs(results: Results, here: Sample, measure: str) -> Iterator[tuple[str, Figure]]:
    """Curves of the regions with the largest areas, a figure a contrast."""
    from qsmprep.stats.roc import curve

    diagnosis = results.tables.get("diagnosis")
    if diagnosis is None:
        return
    for contrast in contrasts_of(here, results.design, Ledger()):
        found = diagnosis[
            (diagnosis["contrast"] == contrast.name) & (diagnosis["test"] == "ROC") & (diagnosis["measure"] == measure)
        ]
        best = found[found["estimate"].notna()].sort_values("estimate", ascending=False).head(STRONGEST)
        curves, areas = {}, {}
        for _, row in best.iterrows():
            name = str(row["region"])
            if name not in here.tables[measure]:
                continue
            curves[name] = curve(here.tables[measure][name], contrast.sides, contrast.first, contrast.second)
            interval = (
                "" if math.isnan(row["estimate_low"]) else f" [{row['estimate_low']:.2f}, {row['estimate_high']:.2f}]"
            )
            areas[name] = f"AUC {row['estimate']:.2f}{interval}"
        if curves:
            yield f"ROC, {contrast.name}", graphs.roc_curves(curves, areas, f"{contrast.name}, {measure}")


def _trajectories(results: Results, measure: str, chosen: Sequence[str], unit: str) -> Iterator[tuple[str, Figure]]:
    """Persons over their sessions, in the strongest regions, where anybody was seen twice."""
    import pandas as pd

    sample = results.tested
    person = sample.people.index.get_level_values("participant_id")
    if not person.duplicated().any():
        return
    column = results.design.groups
    groups = sample.people[column].to_numpy() if column else "all"
    visit = sample.people.index.get_level_values("session")
    for name in chosen:
        value = sample.tables[measure][name].to_numpy(float)
        table = pd.DataFrame({"person": person, "group": groups, "visit": visit, "value": value})
        title = f"Over time, {region_text(name)}"
        yield title, graphs.trajectories(table, sample.groups or ("all",), unit, title)


def _agreement(results: Results) -> Iterator[tuple[str, Figure]]:
    """ICC of all regions, and Bland-Altman plots of those that agree least and most, for each repeated measure."""
    import pandas as pd

    table = results.tables.get("reliability")
    if table is None:
        return
    for measure, values in results.sample.repeats.items():
        mine = table[table["measure"] == measure]
        coefficients = mine[(mine["test"] == ICC) & mine["estimate"].notna()].sort_values("estimate")
        if coefficients.empty:
            continue
        title = f"{ICC}, {measure}"
        yield title, graphs.icc_forest(coefficients, title)
        order = [str(name) for name in coefficients["region"]]
        chosen = dict.fromkeys([*order[:EXTREMES], *order[-EXTREMES:]])
        unit = f"{measure} [{results.sample.units[measure]}]"
        for names, first, second in itertools.islice(pairs_of(values), MANY_PAIRS):
            found = mine[mine["contrast"] == " - ".join(names)]
            drawable = set(found.loc[(found["test"] == "bias") & found["estimate"].notna(), "region"])
            pairs = {r: pd.DataFrame({"first": first[r], "second": second[r]}) for r in chosen if r in drawable}
            if pairs:
                title = f"Bland-Altman, {' - '.join(names)} ({measure})"
                yield title, graphs.bland_altman(pairs, found, names, unit)


def _sites(results: Results) -> Iterator[tuple[str, Figure]]:
    """What harmonisation changed: the regions that the sites moved most, and all effects before and after."""
    table = results.tables.get("harmonization")
    if table is None:
        return
    before, after = results.sample.at_baseline(), results.tested.at_baseline()
    for name, rows in table[table["effect"].notna()].groupby("measure", sort=False):
        measure = str(name)
        effects = rows[rows["contrast"] == "site"].pivot_table(index="region", columns="test", values="effect")
        most = effects.sort_values("site mean, before", ascending=False).head(STRONGEST)
        told = {
            str(region): f"η² {row['site mean, before']:.2f} to {row['site mean, after']:.2f}"
            for region, row in most.iterrows()
        }
        values = {region: (before.tables[measure][region], after.tables[measure][region]) for region in told}
        site, unit = before.people[results.design.site], f"{measure} [{before.units[measure]}]"
        yield f"Sites before and after ComBat ({measure})", graphs.before_after(values, site, told, unit)
        title = f"Effects before and after ComBat ({measure})"
        yield title, graphs.effects_kept(rows, title)
