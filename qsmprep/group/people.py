"""Who the people are: participants.tsv, sessions, scans and phenotype tables of the input dataset, joined to the runs.

Nothing is dropped in silence: what cannot be read, matched or used is a row of the ledger (`exclusions.tsv`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qsmprep.bids.names import split_name
from qsmprep.errors import InputError
from qsmprep.report.records import read_json, run_entities

if TYPE_CHECKING:
    import pandas as pd

    from qsmprep.group.collect import GroupRun

MISSING = ("n/a", "N/A", "NA", "NaN", "nan", "")
EXCLUSION_COLUMNS = {
    "participant_id": {"Description": "Participant"},
    "session": {"Description": "Session, n/a for all or none"},
    "run": {"Description": "Run, n/a for all"},
    "effect": {
        "Description": "What follows",
        "Levels": {
            "excluded": "not in any analysis",
            "not in this analysis": "not in the analysis that `where` names",
            "flagged": "an unusual number that is kept",
            "not matched": "stands in one of two tables only",
            "value missing": "a value that cannot be used counts as missing",
        },
    },
    "where": {"Description": "File, column, region or analysis"},
    "reason": {"Description": "Why"},
}
LEDGER_COLUMNS = tuple(EXCLUSION_COLUMNS)
_COMMA = re.compile(r"^[+-]?\d+,\d+$")
_KEYS = ("participant_id", "session_id", "filename")


@dataclass
class Ledger:
    """Who or what was left out, flagged or not matched, and why; and sentences that concern whole files."""

    _rows: dict[tuple[str, ...], None] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, who: str, effect: str, where: str, reason: str, *, session: str = "n/a", run: str = "n/a") -> None:
        """Add a row; the same row is never added twice."""
        self._rows[(who, session, run, effect, where, reason)] = None

    def note(self, text: str) -> None:
        """Add a sentence."""
        if text not in self.notes:
            self.notes.append(text)

    @property
    def rows(self) -> list[dict[str, str]]:
        """The rows in the order in which they came."""
        return [dict(zip(LEDGER_COLUMNS, row, strict=True)) for row in self._rows]

    def table(self) -> pd.DataFrame:
        """The ledger as it is written."""
        import pandas as pd

        return pd.DataFrame(self.rows, columns=list(LEDGER_COLUMNS))


@dataclass(frozen=True)
class People:
    """What is known of each run's participant and session.

    Attributes
    ----------
    columns : one row a run (index: the run's name), one column a variable; numbers as float, the rest as text
    origins : column -> {"Description", "Source", ...}, from the JSON beside the file where there is one
    ledger : what could not be used
    has_participants : whether there is a participants.tsv
    """

    columns: pd.DataFrame
    origins: Mapping[str, Mapping[str, Any]]
    ledger: Ledger
    has_participants: bool


def read_people(bids_dir: Path, runs: Sequence[GroupRun], asked: Iterable[str] = ()) -> People:
    """Join the tables of the input dataset to the runs.

    Where sessions.tsv and participants.tsv have a column of the same name, the value of the session stands before
    that of the participant. Columns of two phenotype files with one name become `<file>.<column>`.

    Parameters
    ----------
    bids_dir : the input dataset
    runs : of the output dataset
    asked : labels of the participants that the user asked for; () for all. Others are not told as unmatched

    Raises
    ------
    InputError
        If a table has not its key column, or participants.tsv a participant twice.
    """
    import pandas as pd

    ledger = Ledger()
    frame = pd.DataFrame(index=pd.Index([run.name for run in runs], name="run_name"))
    origins: dict[str, Mapping[str, Any]] = {}
    wanted = {f"sub-{label.removeprefix('sub-')}" for label in asked}
    participants = _read(bids_dir / "participants.tsv", "participant_id", ledger)
    for name, path in {"participants": bids_dir / "participants.tsv", **_phenotype(bids_dir)}.items():
        table = participants if name == "participants" else _read(path, "participant_id", ledger)
        if table is None:
            continue
        if name == "participants":
            _refuse_twice(table, path)
            _tell_unmatched(table, runs, wanted, ledger)
        joined = _by_person(table, runs, path.relative_to(bids_dir).as_posix(), ledger)
        frame = _add(frame, joined, name, path, origins)
    for kind, (rows, source) in (
        ("sessions", _sessions(bids_dir, runs, ledger)),
        ("scans", _scans(bids_dir, runs, ledger)),
    ):
        if rows is not None and source is not None:
            frame = _add(frame, rows, kind, source, origins, specific=True)
    return People(_typed(frame, ledger), origins, ledger, participants is not None)


def numbers(values: pd.Series, ledger: Ledger, where: str) -> pd.Series:
    """A column as numbers; what is text there becomes missing, and is told.

    Parameters
    ----------
    values : index: anything that begins with the participant, as `sub-01_ses-1`
    where : what to call the column
    """
    import pandas as pd

    found = pd.to_numeric(values, errors="coerce").astype(float)
    for who, text in values[found.isna() & values.notna()].items():
        reason = f"found {text!r}, expected a number; taken as missing"
        ledger.add(str(who).split("_")[0], "value missing", where, reason, run=str(who))
    return found


def _phenotype(bids_dir: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted((bids_dir / "phenotype").glob("*.tsv"))}


def _read(path: Path, key: str, ledger: Ledger) -> pd.DataFrame | None:
    """A table as text with its key; None if there is none. Ids get their `sub-`, sessions lose their `ses-`."""
    import pandas as pd

    if not path.is_file():
        return None
    try:
        table = pd.read_csv(
            path, sep="\t", dtype=str, na_values=list(MISSING), keep_default_na=False, encoding="utf-8-sig"
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as a table ({error}). Expected text in UTF-8 with tabs.") from None
    table.columns = [str(column).strip() for column in table.columns]
    if key not in table:
        raise InputError(
            f"{path}: found the columns {', '.join(table.columns)}, expected one named {key}. "
            f"Add it{' (sub-01, sub-02, ...)' if key == 'participant_id' else ''}, separated by tabs."
        )
    empty = table[key].isna()
    if empty.any():
        ledger.note(f"{path.name}: {_count(empty.sum(), 'row')} without {key} not used.")
        table = table[~empty].copy()
    table[key] = table[key].str.strip()
    if key == "participant_id":
        table[key] = "sub-" + table[key].str.removeprefix("sub-")
    if "session_id" in table:
        table["session_id"] = table["session_id"].str.removeprefix("ses-")
    return table


def _refuse_twice(table: pd.DataFrame, path: Path) -> None:
    twice = table.loc[table["participant_id"].duplicated(), "participant_id"]
    if len(twice):
        raise InputError(f"{path}: {twice.iloc[0]} stands there more than once. Leave one row per participant.")


def _tell_unmatched(table: pd.DataFrame, runs: Sequence[GroupRun], wanted: set[str], ledger: Ledger) -> None:
    """Ids that only one of participants.tsv and the output dataset has."""
    listed = set(table["participant_id"])
    here = {run.participant_id for run in runs}
    for who in sorted(listed - here):
        if not wanted or who in wanted:
            ledger.add(who, "not matched", "participants.tsv", "has no results in the output dataset")
    for who in sorted(here - listed):
        ledger.add(who, "not matched", "participants.tsv", "has results, but no row in participants.tsv")
    for only, text in (
        (listed - here, "without results"),
        (here - listed, "with results, but not in participants.tsv"),
    ):
        count = len(only & wanted) if wanted else len(only)
        if count:
            ledger.note(f"{_count(count, 'participant')} {text}: see exclusions.tsv.")


def _by_person(table: pd.DataFrame, runs: Sequence[GroupRun], source: str, ledger: Ledger) -> pd.DataFrame:
    """Rows of a table with one row a participant, or one a participant and session, for each run."""
    keys = ["participant_id"]
    if "session_id" in table and table["session_id"].notna().any():
        keys.append("session_id")
    table = _unique(table, keys, source, ledger)
    if len(keys) == 1:
        return _take(table.set_index("participant_id"), [run.participant_id for run in runs], runs)
    single = table[~table["participant_id"].duplicated(keep=False)].set_index("participant_id")
    indexed = table.set_index(keys)
    wanted = [(run.participant_id, run.entities.get("session", "n/a")) for run in runs]
    found = _take(indexed, wanted, runs)
    for number, (who, session) in enumerate(wanted):
        # a run without session belongs to the only visit that the table has
        if session == "n/a" and who in single.index:
            found.iloc[number] = single.loc[who].reindex(found.columns)
        elif (who, session) not in indexed.index:
            name = runs[number].name
            reason = f"no row of session {session}" if who in set(table["participant_id"]) else "no row"
            ledger.add(who, "not matched", source, reason, session=session, run=name)
    return found


def _unique(table: pd.DataFrame, keys: list[str], source: str, ledger: Ledger) -> pd.DataFrame:
    """Equal rows count once; rows that contradict each other are not used, and told."""
    table = table.drop_duplicates()
    twice = table.duplicated(keys, keep=False)
    for row in table.loc[twice, keys].drop_duplicates().to_dict("records"):
        who, session = str(row["participant_id"]), str(row.get("session_id", "n/a"))
        what = f"session {session}" if "session_id" in row else "the participant"
        reason = f"{what} stands there more than once with different values; none of them is used"
        ledger.add(who, "value missing", source, reason, session=session)
    if twice.any():
        ledger.note(
            f"{source}: {_count(int(twice.sum()), 'row')} contradict another row of the same key; none is used."
        )
    return table[~twice]


def _take(indexed: pd.DataFrame, wanted: list[Any], runs: Sequence[GroupRun]) -> pd.DataFrame:
    found = indexed.reindex(wanted)
    found = found.set_axis([run.name for run in runs], axis=0)
    return found.drop(columns=[column for column in _KEYS if column in found])


def _sessions(bids_dir: Path, runs: Sequence[GroupRun], ledger: Ledger) -> tuple[pd.DataFrame | None, Path | None]:
    """`sub-*_sessions.tsv` for each run."""
    import pandas as pd

    tables, path = [], None
    for who in dict.fromkeys(run.participant_id for run in runs):
        here = bids_dir / who / f"{who}_sessions.tsv"
        table = _read(here, "session_id", ledger)
        if table is not None:
            path = here
            tables.append(
                _unique(table.assign(participant_id=who), ["participant_id", "session_id"], here.name, ledger)
            )
    if not tables:
        return None, None
    joined = pd.concat(tables, ignore_index=True).set_index(["participant_id", "session_id"])
    return _take(joined, [(run.participant_id, run.entities.get("session", "n/a")) for run in runs], runs), path


def _scans(bids_dir: Path, runs: Sequence[GroupRun], ledger: Ledger) -> tuple[pd.DataFrame | None, Path | None]:
    """`*_scans.tsv`: the first row whose file belongs to the run (all entities of the run, any echo and part)."""
    import pandas as pd

    rows: dict[str, dict[str, Any]] = {}
    path = None
    for folder in dict.fromkeys(_raw_folder(bids_dir, run) for run in runs):
        here = folder / ("_".join(folder.relative_to(bids_dir).parts) + "_scans.tsv")
        table = _read(here, "filename", ledger)
        if table is None:
            continue
        path = here
        mine = {tuple(sorted(run.entities.items())): run.name for run in runs if _raw_folder(bids_dir, run) == folder}
        for row in table.to_dict("records"):
            entities = run_entities(str(row["filename"]))
            # only gradient echoes leave results; an image with the same entities but another suffix comes after them
            name = mine.get(tuple(sorted(entities.items())))
            is_echo = bool({"echo", "part"} & set(split_name(str(row["filename"]))[0]))
            if name is not None and (name not in rows or (is_echo and not rows[name]["_echo"])):
                rows[name] = {str(key): value for key, value in row.items() if key not in _KEYS} | {"_echo": is_echo}
    if not rows:
        return None, None
    found = pd.DataFrame.from_dict(rows, orient="index").drop(columns="_echo")
    return found.reindex([run.name for run in runs]), path


def _raw_folder(bids_dir: Path, run: GroupRun) -> Path:
    session = run.entities.get("session")
    return bids_dir / run.participant_id / f"ses-{session}" if session else bids_dir / run.participant_id


def _add(
    frame: pd.DataFrame,
    joined: pd.DataFrame,
    name: str,
    path: Path,
    origins: dict[str, Mapping[str, Any]],
    specific: bool = False,
) -> pd.DataFrame:
    """Join columns; a taken name is filled up (`specific`) or becomes `<name>.<column>`."""
    meanings = read_json(path.with_suffix(".json"))
    for column in joined.columns:
        label = str(column)
        if label in frame and specific:
            frame[label] = joined[column].where(joined[column].notna(), frame[label])
            source = f"{name}.tsv, else {origins[label]['Source']}"
        else:
            label = f"{name}.{label}" if label in frame else label
            frame[label] = joined[column]
            source = f"phenotype/{path.name}" if path.parent.name == "phenotype" else f"{name}.tsv"
        told = meanings.get(str(column), {})
        known = dict(told) if isinstance(told, Mapping) else {}
        origins[label] = {"Description": f"From {source} of the input dataset", **known, "Source": source}
    return frame


def _typed(frame: pd.DataFrame, ledger: Ledger) -> pd.DataFrame:
    """Columns whose every value is a number become numbers, also those with decimal commas."""
    import pandas as pd

    columns = {}
    for column in frame.columns:
        values = frame[column].str.strip() if frame[column].dtype == object else frame[column].astype("string")
        commas = values.str.match(_COMMA).fillna(False).astype(bool)
        plain = values.where(~commas, values.str.replace(",", ".", regex=False))
        found = pd.to_numeric(plain, errors="coerce")
        if found.notna().sum() == values.notna().sum() and values.notna().any():
            columns[column] = found.astype(float)
            if commas.any():
                example = values[commas].iloc[0]
                ledger.note(
                    f"Column {column}: {_count(int(commas.sum()), 'value')} with a decimal comma ({example}) read as "
                    "numbers."
                )
        else:
            columns[column] = values.astype(object).where(values.notna(), None)
    return pd.DataFrame(columns, index=frame.index)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number != 1 else ''}"
