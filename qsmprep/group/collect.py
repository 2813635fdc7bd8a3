"""Numbers of all runs of an output dataset, as a long and a wide table: from derivatives and participants.tsv."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qsmprep.bids.names import ENTITY_NAMES, SHORT_KEYS, join_entities, split_name
from qsmprep.errors import InputError
from qsmprep.report.records import read_json, run_entities

if TYPE_CHECKING:
    import pandas as pd

# columns of a regional table that say which region it is; all others are statistics
REGION_KEYS = ("index", "name", "hemisphere")
# columns that hold names
_TEXTS = ("neighbour",)
_ALWAYS = ("participant_id", "session", "run")


@dataclass(frozen=True)
class GroupRun:
    """One run as its derivatives tell it.

    Attributes
    ----------
    name : `sub-01_ses-1_run-1`
    entities : PyBIDS' long names -> value
    tables : segmentation -> regional table
    verdict : PASS, CHECK, FAIL or n/a
    reasons : why the verdict is not PASS
    folder : the `anat` folder it lies in
    """

    name: str
    entities: Mapping[str, str]
    folder: Path
    tables: Mapping[str, Path] = field(default_factory=dict)
    verdict: str = "n/a"
    reasons: tuple[str, ...] = ()

    @property
    def participant_id(self) -> str:
        """`sub-01`."""
        return f"sub-{self.entities['subject']}"


def find_runs(out_dir: Path, participants: Iterable[str] = (), sessions: Iterable[str] = ()) -> tuple[GroupRun, ...]:
    """All runs that left quality numbers, a χ map or a regional table, in the order of their names.

    Parameters
    ----------
    out_dir : the output dataset
    participants, sessions : labels to keep, without `sub-` and `ses-`; empty for all
    """
    wanted, visits = set(participants), set(sessions)
    found: dict[str, dict[str, Any]] = {}
    for path in sorted([*out_dir.glob("sub-*/anat/sub-*"), *out_dir.glob("sub-*/ses-*/anat/sub-*")]):
        entities, suffix, extension = split_name(path.name)
        owner = run_entities(path.name)
        kind = (suffix, entities.get("description"), extension)
        is_table = kind == ("dseg", "stats", ".tsv")
        is_quality = kind == ("iqms", "qc", ".json")
        is_map = suffix == "Chimap" and extension.startswith(".nii")
        if not (is_table or is_quality or is_map) or (wanted and owner.get("subject") not in wanted):
            continue
        if visits and owner.get("session") not in visits:
            continue
        run = found.setdefault(join_entities(owner), {"entities": owner, "folder": path.parent, "tables": {}})
        if is_table:
            run["tables"][entities.get("segmentation", "regions")] = path
        elif is_quality:
            quality = read_json(path)
            run["verdict"] = str(quality.get("verdict", "n/a"))
            run["reasons"] = tuple(str(reason) for reason in quality.get("reasons", ()))
    return tuple(GroupRun(name=name, **found[name]) for name in sorted(found))


def long_table(runs: Iterable[GroupRun]) -> pd.DataFrame:
    """One row a number: participant_id, session, ..., run, seg, region, hemisphere, statistic, value.

    Entities beyond session and run (acquisition, ...) have a column where any run has them.

    Raises
    ------
    InputError
        If a regional table has no column index, name or hemisphere, or one region twice.
    """
    import pandas as pd

    runs = [run for run in runs if run.tables]
    entities = _entity_columns(runs)
    parts = []
    for run in runs:
        for segmentation, path in sorted(run.tables.items()):
            table = _read_region_table(path)
            statistics = [column for column in table.columns if column not in (*REGION_KEYS, *_TEXTS)]
            long = table.melt(["name", "hemisphere"], statistics, "statistic", "value")
            for column in entities:
                long[column] = run.participant_id if column == "participant_id" else _entity(run, column)
            parts.append(long.assign(seg=segmentation).rename(columns={"name": "region"}))
    columns = [*entities, "seg", "region", "hemisphere", "statistic", "value"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def wide_table(runs: Iterable[GroupRun], long: pd.DataFrame, people: pd.DataFrame | None = None) -> pd.DataFrame:
    """One row a run: entities, verdict, what is known of the person, then `<seg>.<name>.<hemisphere>.<statistic>`.

    A run without numbers has a row too, so that what is missing shows.

    Parameters
    ----------
    people : one row a run (index: its name), as `people.read_people` gives it; a column whose name is taken becomes
        `participants.<name>`
    """
    import pandas as pd

    runs = list(runs)
    entities = _entity_columns(runs)
    rows = pd.DataFrame(
        [[run.participant_id if column == "participant_id" else _entity(run, column) for column in entities]
         + [run.verdict] for run in runs],
        columns=[*entities, "qc_verdict"],
    )  # fmt: skip
    if people is not None:
        known = people.reindex([run.name for run in runs]).reset_index(drop=True)
        rows = pd.concat([rows, known.rename(columns={c: f"participants.{c}" for c in rows if c in known})], axis=1)
    if long.empty:
        return rows
    keys = [column for column in entities if column in long.columns]
    label = long["seg"] + "." + long["region"] + "." + long["hemisphere"] + "." + long["statistic"]
    values = long.assign(column=label).pivot_table(
        index=keys, columns="column", values="value", aggfunc="first", sort=False, dropna=False
    )
    order = [column for column in dict.fromkeys(label) if column in values.columns]
    return rows.merge(values[order].reset_index(), on=keys, how="left")


def group_column(wide: pd.DataFrame) -> str:
    """Column of participants.tsv that tells the groups; '' if there is none."""
    return next((column for column in ("group", "diagnosis", "dx", "cohort") if column in wide), "")


def _entity_columns(runs: Iterable[GroupRun]) -> list[str]:
    """participant_id, session, what else occurs in the order of BIDS, run."""
    present = {key for run in runs for key in run.entities} - {"subject", "session", "run"}
    known = [key for key in ENTITY_NAMES.values() if key in present]
    return ["participant_id", "session", *known, *sorted(present - set(known)), "run"]


def _entity(run: GroupRun, column: str) -> str:
    # BIDS' tables say n/a for what is missing, and a text column compares well
    return run.entities.get(column, "n/a")


def _read_region_table(path: Path) -> pd.DataFrame:
    import pandas as pd

    table = pd.read_csv(path, sep="\t", na_values={}, keep_default_na=False, dtype=str, encoding="utf-8")
    absent = [key for key in REGION_KEYS if key not in table]
    if absent:
        raise InputError(f"{path}: no column {', '.join(absent)}; found {', '.join(table.columns)}. Make it anew.")
    if table.duplicated(["name", "hemisphere"]).any():
        name, side = table.loc[table.duplicated(["name", "hemisphere"]), ["name", "hemisphere"]].iloc[0]
        raise InputError(f"{path}: the region {name} ({side}) stands there twice. Name every label differently.")
    for column in table.columns:
        if column not in ("name", "hemisphere", *_TEXTS):
            table[column] = pd.to_numeric(table[column], errors="coerce")
    return table


def long_columns(columns: Iterable[str]) -> dict[str, dict[str, str]]:
    """What the columns of the long table mean, for `regions.json`."""
    meanings = {
        "participant_id": "Participant",
        "seg": "Segmentation that the region belongs to",
        "region": "Name of the region",
        "hemisphere": "L: the person's left, R: right, n/a: neither",
        "statistic": "Which number of the region; defined in the JSON beside *_desc-stats_dseg.tsv",
        "value": "The number: in the unit that the JSON beside each regional table gives for its statistic",
    }
    return {
        column: {"Description": meanings.get(column, f"BIDS entity {SHORT_KEYS.get(column, column)}-, n/a if absent")}
        for column in columns
    }


def wide_columns(
    columns: Iterable[str], entities: Iterable[str], origins: Mapping[str, Mapping[str, Any]]
) -> dict[str, Mapping[str, Any]]:
    """What the columns of the wide table mean, for `regions_wide.json`; `origins` tells of those of the people."""
    known = set(entities)
    meanings: dict[str, Mapping[str, Any]] = {}
    for column in columns:
        parts = str(column).rsplit(".", 3)
        if column in known:
            meanings[column] = long_columns([column])[column]
        elif column == "qc_verdict":
            meanings[column] = {"Description": "Verdict of the quality numbers: PASS, CHECK, FAIL or n/a"}
        elif (person := column.removeprefix("participants.")) in origins:
            meanings[column] = origins[person]
        elif len(parts) == 4:
            seg, name, side, statistic = parts
            meanings[column] = {"Description": f"{statistic} of {name} ({side}) in segmentation {seg}"}
    return meanings
