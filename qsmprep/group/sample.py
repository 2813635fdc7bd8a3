"""The sample that a design analyses: one row an observation, one column a region; what is left out is written down."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from qsmprep.bids.derivatives import sidecar_path
from qsmprep.errors import UsageError
from qsmprep.group.collect import GroupRun, group_column
from qsmprep.group.design import Design, default_reference, find_column
from qsmprep.group.people import Ledger, numbers
from qsmprep.group.regions import choose_regions
from qsmprep.report.records import read_json

if TYPE_CHECKING:
    import pandas as pd

PPB = 1000.0
FAILED = "the verdict on its quality is FAIL"
# statistics of χ that move with its reference
_LOCATION = ("mean", "median", "trimmed_mean", "pv_mean", "p1", "p5", "p95", "p99", "high_mean")
_TO_NORMAL = 1.4826  # median absolute deviation to standard deviation of a normal distribution


@dataclass(frozen=True)
class Groups:
    """Column of the participants' table ("" without groups), participant -> group, and names in order."""

    column: str
    members: Mapping[str, str]
    names: tuple[str, ...]


@dataclass(frozen=True)
class Sample:
    """What the analyses see.

    Attributes
    ----------
    people : one row a person and visit; index (participant_id, session), columns of the design, numbers as float
    tables : statistic -> (observations, regions), same index; columns `seg.name.hemisphere`; χ in ppb
    units : statistic -> unit
    baseline : whether an observation is the visit that persons are compared at; one a person
    groups : names in order, the reference first
    coupled : what `coupling` of the design names, as `tables`
    repeats : statistic -> (measurements, regions), index (participant_id, repeat)
    """

    people: pd.DataFrame
    tables: Mapping[str, pd.DataFrame]
    units: Mapping[str, str]
    baseline: pd.Series
    groups: tuple[str, ...]
    coupled: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    repeats: Mapping[str, pd.DataFrame] = field(default_factory=dict)

    def at_baseline(self) -> Sample:
        """The observations that persons are compared at, indexed by participant_id."""

        def cut(table: Any) -> Any:
            return table[self.baseline].droplevel("session")

        tables = {name: cut(table) for name, table in self.tables.items()}
        coupled = {name: cut(table) for name, table in self.coupled.items()}
        return replace(self, people=cut(self.people), tables=tables, coupled=coupled, baseline=cut(self.baseline))


def make_sample(wide: pd.DataFrame, runs: Sequence[GroupRun], design: Design, ledger: Ledger) -> tuple[Sample, Design]:
    """Choose rows, columns and regions; returns the sample, and the design with names as the tables spell them.

    A column or region of the design that is not there is told, and the design goes on without it.

    Parameters
    ----------
    wide : one row a run, in the order of `runs`
    ledger : takes who is left out, flagged or not used
    """
    design = settle_columns(design, wide, ledger)
    table = wide.set_axis([run.name for run in runs], axis=0)
    keep = _keep_runs(table, runs, design, ledger)
    regions = choose_regions([str(c) for c in table.columns], design, ledger)
    values: dict[str, pd.DataFrame] = {}
    units: dict[str, str] = {}
    known_units = _units(runs)
    for statistic in dict.fromkeys((*design.statistics, *design.coupling)):
        columns = {label: f"{label}.{statistic}" for label in regions if f"{label}.{statistic}" in table}
        if not columns and regions:
            ledger.note(f"statistics: no regional table has a column {statistic!r}; left out.{_near(statistic, table)}")
        if not columns:
            continue
        found = table.loc[keep, list(columns.values())].set_axis(list(columns), axis=1).astype(float)
        found = _without_unrefined(found, table.loc[keep], statistic, ledger)
        unit = known_units.get(statistic, "ppm" if _moves(statistic) else "")
        values[statistic] = found * PPB if unit == "ppm" else found
        units[statistic] = "ppb" if unit == "ppm" else unit
    people = _people(table.loc[keep], design, ledger)
    people, values = _average_runs(people, values, table.loc[keep], ledger)
    if design.hemispheres == "mean":
        values = {name: _mean_of_sides(one) for name, one in values.items()}
    groups = _groups(people, design, ledger)
    repeats = {}
    for statistic in design.statistics:
        measured = _repeats(table.loc[keep], statistic, regions, design, ledger)
        if measured is not None:
            ppm = known_units.get(statistic, "ppm" if _moves(statistic) else "") == "ppm"
            repeats[statistic] = PPB * measured if ppm else measured
            units.setdefault(statistic, "ppb" if ppm else known_units.get(statistic, ""))
    tables = {name: one for name, one in values.items() if name in design.statistics}
    coupled = {name: one for name, one in values.items() if name in design.coupling}
    sample = Sample(people, tables, units, _baseline(people, design, ledger), groups, coupled, repeats)
    return _outliers(sample, design, ledger), design


def settle_columns(design: Design, wide: pd.DataFrame, ledger: Ledger) -> Design:
    """The design with columns as the tables spell them; those that are not there are told and left out."""
    known = [str(column) for column in wide.columns if str(column).count(".") < 3]

    def settle(name: str, key: str) -> str:
        if not name:
            return ""
        try:
            found = find_column(name, known)
        except UsageError as error:
            ledger.note(f"{design.source}: {key}: {error} Left out.")
            return ""
        return found

    single: dict[str, Any] = {
        key: settle(getattr(design, key), key) for key in ("groups", "subtype", "genotype", "site", "time")
    }
    many: dict[str, Any] = {
        key: tuple(filter(None, (settle(name, key) for name in getattr(design, key))))
        for key in ("covariates", "scores", "markers")
    }
    single["groups"] = single["groups"] or group_column(wide)
    for key in ("age", "sex"):  # these have defaults, which are not told where they are missing
        wanted = getattr(design, key)
        here = [column for column in known if column.lower() == wanted.lower()]
        single[key] = here[0] if here else "" if wanted == key else settle(wanted, key)
    single["time"] = single["time"] or _time_column(wide)
    return replace(design, **single, **many)


def _time_column(wide: pd.DataFrame) -> str:
    """What tells when visits were, where persons have several: acq_time, or an age that changes within persons."""
    if not wide["participant_id"].duplicated().any():
        return ""
    for name in ("acq_time", "age"):
        if (
            name in wide
            and wide[["participant_id", name]].dropna().drop_duplicates()["participant_id"].duplicated().any()
        ):
            return name
    return ""


def left_out(runs: Sequence[GroupRun], design: Design) -> dict[str, str]:
    """Run -> why it is in no analysis and no map."""
    unwanted = {name.removeprefix("sub-") for name in design.exclude}
    reasons = {run.name: FAILED for run in runs if run.verdict == "FAIL" and design.exclude_fail}
    for run in runs:
        if unwanted & {run.participant_id.removeprefix("sub-"), run.name.removeprefix("sub-")}:
            reasons[run.name] = f"named under exclude in {design.source}"
    return reasons


def _keep_runs(table: pd.DataFrame, runs: Sequence[GroupRun], design: Design, ledger: Ledger) -> list[str]:
    """Names of the runs that count; the others are in the ledger."""
    known = set(table.index) | set(table["participant_id"])
    for name in design.exclude:
        if name not in known and f"sub-{name}" not in known:
            ledger.note(f"{design.source}: exclude: there is no participant or run {name!r}.")
    reasons = left_out(runs, design)
    for name, who, session in zip(table.index, table["participant_id"], table["session"], strict=True):
        if name in reasons:
            kind = "quality" if reasons[name] == FAILED else "design"
            ledger.add(who, "excluded", kind, reasons[name], session=session, run=name)
    return [str(name) for name in table.index if name not in reasons]


def _without_unrefined(found: pd.DataFrame, table: pd.DataFrame, statistic: str, ledger: Ledger) -> pd.DataFrame:
    """Labels that were to be refined on χ and could not be hold other tissue: their numbers are missing."""
    found = found.copy()
    for label in found.columns:
        if f"{label}.refined" not in table:
            continue
        bad = (table[f"{label}.refined"] == 0) & found[label].notna()
        for name in found.index[bad]:
            reason = f"the border of the region was not found on χ, so that {statistic} holds other tissue"
            ledger.add(str(name).split("_")[0], "value missing", label, reason, run=str(name))
        found.loc[bad, label] = np.nan
    return found


def _people(table: pd.DataFrame, design: Design, ledger: Ledger) -> pd.DataFrame:
    """Columns of the design: groups, subtype, genotype and site as text, scores as numbers, covariates as they are."""
    texts = {design.groups, design.subtype, design.genotype, design.site, design.sex} - {""}
    people = table[["participant_id", "session"]].copy()
    for column in dict.fromkeys((*design.columns, *formula_columns(design, table))):
        values = table[column]
        if column in texts:
            people[column] = [_text(value) for value in values]
        elif column in (*design.scores, *design.markers, design.age) or _mostly_numbers(values):
            people[column] = numbers(values, ledger, column)
        else:
            people[column] = [_text(value) for value in values]
    return people


def formula_columns(design: Design, table: pd.DataFrame) -> list[str]:
    """Columns of the people's tables that the formula names."""
    words = set(re.findall(r"[A-Za-z_]\w*", design.formula))
    return [str(column) for column in table.columns if str(column) in words]


def _text(value: Any) -> str | None:
    if value is None or value != value:
        return None
    return f"{value:g}" if isinstance(value, float) else str(value)


def _mostly_numbers(values: pd.Series) -> bool:
    import pandas as pd

    there = values.notna().sum()
    return bool(there) and pd.to_numeric(values, errors="coerce").notna().sum() > 0.5 * there


def _average_runs(
    people: pd.DataFrame, values: dict[str, pd.DataFrame], table: pd.DataFrame, ledger: Ledger
) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """One row a person and session: runs of one session are averaged."""
    keys = ["participant_id", "session"]
    several = people.groupby(keys).size()
    if (several > 1).any():
        n = int((several > 1).sum())
        ledger.note(f"{n} visit{'s have' if n > 1 else ' has'} more than one run: their numbers are averaged.")
    index = [people["participant_id"], people["session"]]
    averaged = {name: one.groupby(index, sort=True).mean() for name, one in values.items()}
    return people.groupby(keys, sort=True).first(), averaged


def _repeats(
    table: pd.DataFrame, statistic: str, regions: list[str], design: Design, ledger: Ledger
) -> pd.DataFrame | None:
    """Measurements of the same person that are to agree, by session, run, acquisition or by who drew the regions."""
    import pandas as pd

    if not design.repeats:
        return None
    if design.repeats == "raters":
        parts = []
        for rater in design.raters:
            known = [str(column) for column in table]
            columns = [c for c in known if c.startswith(f"{rater}.") and c.endswith(f".{statistic}")]
            if not columns:
                ledger.note(f"{design.source}: raters: there is no segmentation {rater!r} in the tables.")
            named = table[columns].set_axis([c.split(".", 1)[1].rpartition(".")[0] for c in columns], axis=1)
            parts.append(named.assign(participant_id=table["participant_id"], repeat=rater))
        found = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"participant_id": [], "repeat": []})
    elif design.repeats in table:
        columns = [f"{label}.{statistic}" for label in regions if f"{label}.{statistic}" in table]
        found = table[columns].rename(columns=lambda c: c.removesuffix(f".{statistic}"))
        found = found.assign(participant_id=table["participant_id"], repeat=table[design.repeats])
    else:
        ledger.note(f"{design.source}: repeats: there is nothing called {design.repeats!r} that sets runs apart.")
        return None
    return found.groupby(["participant_id", "repeat"]).mean()


def _mean_of_sides(values: pd.DataFrame) -> pd.DataFrame:
    """Mean of left and right (missing where one is); regions without sides stay."""
    import pandas as pd

    columns: dict[str, Any] = {}
    for label in values.columns:
        stem, side = label.rsplit(".", 1)
        other = f"{stem}.{'R' if side == 'L' else 'L'}"
        if side in ("L", "R") and other in values:
            columns.setdefault(f"{stem}.mean", (values[f"{stem}.L"] + values[f"{stem}.R"]) / 2)
        else:
            columns[label] = values[label]
    return pd.DataFrame(columns, index=values.index)


def _groups(people: pd.DataFrame, design: Design, ledger: Ledger) -> tuple[str, ...]:
    """Names of the groups in order; persons of none stay in what needs no groups."""
    if not design.groups:
        return ()
    found = sorted(set(people[design.groups].dropna()))
    for name in design.order:
        if name not in found:
            ledger.note(f"{design.source}: there is nobody in group {name!r} of column {design.groups}.")
    groups = group_order(found, design)
    for who, session in people.index[people[design.groups].isna()]:
        ledger.add(who, "not in this analysis", f"groups ({design.groups})", "has no group", session=session)
    for who, session in people.index[people[design.groups].notna() & ~people[design.groups].isin(groups)]:
        ledger.add(who, "not in this analysis", "groups", "the group is not in order", session=session)
    return groups


def group_order(found: Iterable[str], design: Design) -> tuple[str, ...]:
    """Groups in the order of tables and plots: those of `order`, else all, the reference first."""
    there = sorted(set(found))
    groups = [name for name in design.order if name in there] or there
    first = design.reference if design.reference in groups else default_reference(groups)
    return tuple(groups if design.order else sorted(groups, key=lambda group: group != first))


def groups_of(wide: pd.DataFrame, design: Design) -> Groups:
    """The groups of the design, or of the participants' table where it names none."""
    column = settle_columns(design, wide, Ledger()).groups
    if not column:
        return Groups("", {}, ())
    pairs = wide[["participant_id", column]].dropna().drop_duplicates("participant_id").to_numpy().tolist()
    members = {str(who): f"{name:g}" if isinstance(name, float) else str(name) for who, name in pairs}
    return Groups(column, members, group_order(members.values(), design))


def _baseline(people: pd.DataFrame, design: Design, ledger: Ledger) -> pd.Series:
    """The visit of each person that is compared between persons: `baseline`, else the first."""
    import pandas as pd

    frame = people.reset_index()
    wanted = design.baseline.removeprefix("ses-")
    if wanted and not (frame["session"] == wanted).any():
        ledger.note(f"{design.source}: baseline: there is no session {wanted!r}; each person's first is taken.")
        wanted = ""
    if wanted:
        chosen = frame["session"] == wanted
        for who in sorted(set(frame["participant_id"]) - set(frame.loc[chosen, "participant_id"])):
            ledger.add(who, "not in this analysis", "baseline", f"has no session {wanted}")
    else:
        order = [design.time, "session"] if design.time else ["session"]
        first = frame.sort_values(["participant_id", *order]).groupby("participant_id", sort=False).head(1).index
        chosen = pd.Series(frame.index.isin(first), index=frame.index)
    return pd.Series(chosen.to_numpy(), index=people.index)


def _outliers(sample: Sample, design: Design, ledger: Ledger) -> Sample:
    """Flag, or take out, numbers far from the median of their group in median absolute deviations."""
    n = len(sample.people)
    groups = sample.people[design.groups].fillna("n/a").to_numpy(object) if design.groups else np.full(n, "", object)
    values = {}
    for statistic, table in sample.tables.items():
        data = table.to_numpy(copy=True)
        z = np.full_like(data, np.nan)
        for group in set(groups):
            here = groups == group
            if here.sum() >= 5:
                z[here] = robust_z(data[here])
        rows, columns = np.nonzero(np.abs(z) > design.outlier_z)
        effect = "flagged" if design.outliers == "flag" else "value missing"
        for row, column in zip(rows, columns, strict=True):
            who, session = table.index[row]
            reason = f"{statistic} {data[row, column]:.4g}: robust z {z[row, column]:+.1f} in its group"
            ledger.add(who, effect, str(table.columns[column]), reason, session=session)
        if design.outliers == "exclude":
            data[rows, columns] = np.nan
        values[statistic] = type(table)(data, index=table.index, columns=table.columns)
        if len(rows):
            what = "kept" if design.outliers == "flag" else "taken as missing"
            beyond = f"beyond a robust z of {design.outlier_z:g}"
            ledger.note(f"{len(rows)} numbers of {statistic} lie {beyond} and are {what}: see exclusions.tsv.")
    return replace(sample, tables=values)


def robust_z(data: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """(persons, regions) distance from the median in scaled median absolute deviations; NaN where these are 0."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a region that nobody has
        median = np.nanmedian(data, axis=0)
        spread = _TO_NORMAL * np.nanmedian(np.abs(data - median), axis=0)
    return (data - median) / np.where(spread > 0, spread, np.nan)


def _units(runs: Sequence[GroupRun]) -> dict[str, str]:
    """statistic -> unit, from the JSON beside the first regional table of each segmentation."""
    units: dict[str, str] = {}
    seen: set[str] = set()
    for run in runs:
        for seg, path in run.tables.items():
            if seg in seen:
                continue
            content = read_json(sidecar_path(path))
            if content:
                seen.add(seg)
            for column, told in content.items():
                if isinstance(told, Mapping) and "Units" in told:
                    units.setdefault(column, str(told["Units"]))
    return units


def _moves(statistic: str) -> bool:
    """Whether a statistic moves with the reference of χ."""
    return statistic.startswith("chi_") and statistic.removeprefix("chi_") in _LOCATION


def referenced(sample: Sample, offsets: pd.Series) -> Sample:
    """χ against another reference: `offsets` [ppb] of each observation are taken off what moves with it.

    Statistics that do not move with the reference (differences, spread, R2*, volume) are left out.
    """
    values = {name: table.sub(offsets, axis=0) for name, table in sample.tables.items() if _moves(name)}
    return replace(sample, tables=values, repeats={})


def _near(statistic: str, table: pd.DataFrame) -> str:
    known = sorted({str(c).rsplit(".", 1)[1] for c in table.columns if str(c).count(".") >= 3})
    near = difflib.get_close_matches(statistic, known, n=3)
    return f" Did you mean {' or '.join(near)}?" if near else f" There are: {', '.join(known)}."
