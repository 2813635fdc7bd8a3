"""`group/group.html`: who is in, what is missing, the mean maps, and a plot and a row per region."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qsmprep.group.collect import GroupRun
from qsmprep.group.maps import GroupMap
from qsmprep.group.plots import COLORS, Point, Summary, region_svg, summarise
from qsmprep.group.quantities import Quantity
from qsmprep.group.sample import Groups
from qsmprep.report.page import data_uri, write_page
from qsmprep.report.records import read_json
from qsmprep.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

EVERYBODY, UNKNOWN = "all", "no group given"
PPB = 1000.0
_LABELLED = re.compile(r"^(?P<seg>[^.]+)\.(?P<name>.+)\.(?P<side>L|R|n/a)\.(?P<statistic>chi_mean|r2star_mean)$")


def build_group_report(
    folder: Path,
    runs: Sequence[GroupRun],
    wide: pd.DataFrame,
    has_participants: bool,
    groups: Groups,
    means: Sequence[tuple[str, GroupMap]],
    settings: Settings,
    results: Mapping[str, Any],
    study: Mapping[str, Any],
) -> Path:
    """Write `group.html` into `folder` and return its path.

    Parameters
    ----------
    runs : as `find_runs` gives them
    wide : as `wide_table` gives it
    has_participants : whether the input dataset has a participants.tsv
    means : group and mean map, those of one quantity together; the group '' is of all participants
    results : as `results_view` gives it; empty where nothing was analysed
    study : as `study_view` gives it; empty without a study template
    """
    people = dict.fromkeys(run.participant_id for run in runs)
    fallback = UNKNOWN if groups.members else EVERYBODY
    group_of = {person: groups.members.get(person, fallback) for person in people}
    names = list(dict.fromkeys([*groups.names, *sorted(groups.members.values())])) or [EVERYBODY]
    if fallback in group_of.values() and fallback not in names:
        names.append(fallback)
    values = {
        "title": "Group report",
        "dataset": read_json(settings.out_dir / "dataset_description.json").get("Name") or settings.out_dir.name,
        "n_participants": len(people),
        "n_runs": len(runs),
        "verdicts": sorted(Counter(run.verdict for run in runs).items()),
        "facts": _facts(runs, has_participants, groups.column, group_of, names),
        "flagged": [
            {"name": run.name, "page": f"{run.participant_id}.html", "verdict": run.verdict, "reasons": _reasons(run)}
            for run in runs
            if run.verdict != "PASS" or not run.tables
        ],
        "results": results,
        "study": study,
        "space": settings.template,
        "maps": map_views(means, settings.template, folder),
        "legend": [(name, COLORS[i % len(COLORS)]) for i, name in enumerate(names)],
        "segmentations": _segmentations(runs, wide, group_of, names),
    }
    return write_page(folder / "group.html", "group.html.j2", values)


def _reasons(run: GroupRun) -> list[str]:
    lines = list(run.reasons)
    if not run.tables:
        lines.append("There is no regional table of this run.")
    if run.verdict not in ("PASS", "CHECK", "FAIL"):
        lines.append("There are no quality numbers of this run.")
    return lines


def _facts(
    runs: Sequence[GroupRun],
    has_participants: bool,
    column: str,
    group_of: Mapping[str, str],
    names: Sequence[str],
) -> list[str]:
    """What a reader has to know about the sample, one sentence each."""
    lines = []
    if not has_participants:
        lines.append("The input dataset has no participants.tsv: persons are shown together, without groups.")
    elif not column:
        lines.append("participants.tsv has no column group (or diagnosis, dx, cohort): persons are shown together.")
    else:
        counts = Counter(group_of.values())
        shown = ", ".join(f"{name} {counts[name]}" for name in names)
        lines.append(f"Groups by the column '{column}': {shown}.")
    several = [person for person, n in Counter(run.participant_id for run in runs).items() if n > 1]
    if several:
        plural = f"{len(several)} participants have" if len(several) > 1 else "One participant has"
        lines.append(f"{plural} more than one run: each run is a point, and points of one person are not independent.")
    return lines


def map_views(means: Sequence[tuple[str, GroupMap]], space: str, folder: Path) -> list[dict[str, Any]]:
    """Pictures of the means in a space; those of one quantity have the same colours."""
    from qsmprep.report.display import robust_range
    from qsmprep.report.figures import plot_map

    views: list[dict[str, Any]] = []
    tops: dict[Quantity, float] = {}
    for name, mean in means:
        quantity, n = mean.quantity, len(mean.participants)
        title = f"Mean {quantity.symbol}, {name or 'all'} ({n} participant{'s' if n != 1 else ''})"
        label = "".join(c for c in name if c.isalnum())
        stem = f"{f'group-{label}_' if name else ''}space-{space}_desc-mean_{quantity.suffix}"
        out = folder / "figures" / f"{stem}.webp"
        often = mean.n >= max(1, math.ceil(n / 2))
        low, high = quantity.shown
        top = tops.setdefault(quantity, robust_range(mean.mean[often])[1] if high is None else high)
        plot_map(
            mean.mean, mean.affine, often, out, vmin=low, vmax=top, cmap=quantity.cmap, unit=quantity.unit, title=title
        )
        excluded = [f"{run}: {why}" for run, why in mean.excluded]
        views.append({"uri": data_uri(out), "title": title, "excluded": excluded})
    return views


def _segmentations(
    runs: Sequence[GroupRun], wide: pd.DataFrame, group_of: Mapping[str, str], names: Sequence[str]
) -> list[dict[str, Any]]:
    labels = {column: match for column in wide.columns if (match := _LABELLED.match(str(column)))}
    verdicts = [run.verdict for run in runs]
    points: dict[tuple[str, str], dict[str, list[Point]]] = {}  # (segmentation, region) -> statistic -> points
    for column, match in labels.items():
        factor = PPB if match["statistic"] == "chi_mean" else 1.0
        here = points.setdefault((match["seg"], match["name"]), {"chi_mean": [], "r2star_mean": []})
        for run, value, verdict in zip(runs, wide[column], verdicts, strict=True):
            if math.isfinite(value):
                point = Point(group_of[run.participant_id], match["side"], factor * value, run.name, verdict)
                here[match["statistic"]].append(point)
    views = []
    for seg in dict.fromkeys(seg for seg, _ in points):
        regions = {name: found for (owner, name), found in points.items() if owner == seg}
        views.append(_segmentation(seg, regions, labels.values(), len(runs), names))
    return views


def _segmentation(
    seg: str, regions: Mapping[str, Mapping[str, list[Point]]], labels: Any, n_runs: int, names: Sequence[str]
) -> dict[str, Any]:
    sides_of: dict[str, list[str]] = {}
    for match in labels:
        if match["seg"] == seg and match["statistic"] == "chi_mean":
            sides_of.setdefault(match["name"], []).append(match["side"])
    heads = [f"χ {name}" for name in names] + [f"R2* {name}" for name in names] + ["n", "FAIL", "missing"]
    rows = []
    for name, found in regions.items():
        for side in sides_of.get(name, []):
            here = {statistic: [p for p in found[statistic] if p.hemisphere == side] for statistic in found}
            cells = [
                _summary_cell(summarise(point for point in here[statistic] if point.group == group))
                for statistic in ("chi_mean", "r2star_mean")
                for group in names
            ]
            n, failed = len(here["chi_mean"]), sum(point.verdict == "FAIL" for point in here["chi_mean"])
            counts = [{"text": str(count), "key": str(count)} for count in (n - failed, failed, n_runs - n)]
            rows.append({"name": name, "side": side, "cells": cells + counts})
    return {
        "name": seg,
        "id": "seg-" + re.sub(r"[^A-Za-z0-9_-]", "-", seg),
        "heads": heads,
        "rows": rows,
        "regions": [
            {"name": name, "svg": region_svg(found["chi_mean"], names, "ppb")}
            for name, found in regions.items()
            if found["chi_mean"]
        ],
    }


def _summary_cell(found: Summary) -> dict[str, str]:
    if not found.n:
        return {"text": "", "key": ""}
    spread = "" if math.isnan(found.sd) else f" ({found.sd:.1f})"
    return {"text": f"{found.mean:.1f}{spread}", "key": f"{found.mean:.6g}"}
