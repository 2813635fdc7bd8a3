"""What an output dataset holds about each run, found from file names, so that a page can follow any failure."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qsmprep.bids.names import join_entities, split_name

# entities that derivatives add to the name of the run they come from (under PyBIDS' long names)
_DERIVED = frozenset(
    (
        *("echo", "part", "proc", "hemisphere", "space", "split", "atlas", "segmentation", "scale"),
        *("from", "to", "mode", "resolution", "density", "label", "description"),
    )
)
VERDICTS = ("PASS", "CHECK", "FAIL")
_FIGURE_TYPES = frozenset((".webp", ".png"))
_MISSING = frozenset(("n/a", "", "nan"))


@dataclass
class Record:
    """One run as the derivatives and the plan tell it.

    Attributes
    ----------
    name : `sub-01_ses-1_acq-x_run-1`
    entities : PyBIDS' long names -> value
    plan : the run's entry in the plan, or {}
    sidecar : JSON beside the χ map, or {}
    mask : JSON beside the brain mask, or {}
    qc : contents of `desc-qc_iqms.json`, or {}
    figures : what (mask, phase, chi, ...) -> file
    tables : segmentation -> rows of the regional table, as text
    failures : {run, stage, cause, fix, crash_file}
    """

    name: str
    entities: dict[str, str]
    plan: dict[str, Any] = field(default_factory=dict)
    sidecar: dict[str, Any] = field(default_factory=dict)
    mask: dict[str, Any] = field(default_factory=dict)
    qc: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, Path] = field(default_factory=dict)
    tables: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    failures: list[dict[str, str]] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """PASS, CHECK or FAIL; FAILED where a stage crashed; n/a where nothing was measured."""
        if self.failures:
            return "FAILED"
        verdict = str(self.qc.get("verdict", "n/a"))
        return verdict if verdict in VERDICTS else "n/a"

    @property
    def reasons(self) -> list[str]:
        """Why the verdict is not PASS."""
        reasons = [f"{failure['stage']}: {failure['cause']}" for failure in self.failures]
        return reasons + [str(reason) for reason in self.qc.get("reasons", ())]


def run_entities(file_name: str) -> dict[str, str]:
    """Entities of the run that a derivative belongs to: those of its name without what derivatives add."""
    entities, _, _ = split_name(file_name)
    return {key: value for key, value in entities.items() if key not in _DERIVED}


def run_name(file_name: str) -> str:
    """Name of the run that a derivative belongs to: `sub-01_run-1_desc-chi_QSM.webp` -> `sub-01_run-1`."""
    return join_entities(run_entities(file_name))


def subject_records(
    out_dir: Path, subject: str, plan: Any = None, failures: Iterable[Any] | None = None
) -> list[Record]:
    """Everything known about the runs of one participant, in the order of their names.

    Parameters
    ----------
    out_dir : the output dataset
    subject : label, with or without `sub-`
    plan : `Plan`, or its dictionary; without it `logs/plan.json` is read
    failures : objects or dictionaries with run, stage, cause, fix, crash_file; None reads `logs/failures.tsv`
    """
    label = subject.removeprefix("sub-")
    root = Path(out_dir) / f"sub-{label}"
    records: dict[str, Record] = {}

    def record(name: str, entities: Mapping[str, str]) -> Record:
        return records.setdefault(name, Record(name, dict(entities)))

    for run in plan_dict(plan, Path(out_dir)).get("runs", ()):
        if run.get("entities", {}).get("subject") == label:
            record(run.get("name") or join_entities(run["entities"]), run["entities"]).plan = run
    for path in sorted([*root.glob("figures/*"), *root.glob("anat/*"), *root.glob("ses-*/anat/*")]):
        if not path.is_file() or path.name.startswith((".", "tmp")):
            continue
        entities, suffix, extension = split_name(path.name)
        what = _what(entities, suffix, extension)
        owner = run_entities(path.name)
        if what and owner.get("subject") == label:
            _take(record(join_entities(owner), owner), what, path)
    for failure in read_failures(failures, Path(out_dir)):
        if failure["run"] in records:
            records[failure["run"]].failures.append(failure)
    return [records[name] for name in sorted(records)]


def plan_dict(plan: Any, out_dir: Path) -> dict[str, Any]:
    """The plan as plain data, from the object or from `logs/plan.json`; {} if there is none."""
    if plan is None:
        plan = read_json(out_dir / "logs" / "plan.json")
    return dict(plan) if isinstance(plan, Mapping) else dict(json.loads(plan.to_json()))


def _what(entities: Mapping[str, str], suffix: str, extension: str) -> str:
    """What a file tells the report: figure:<what>, table:<segmentation>, chi, mask, qc; '' for nothing."""
    desc = entities.get("description", "")
    if extension in _FIGURE_TYPES and desc:
        name = desc + entities.get("segmentation", "") if desc == "atlas" else desc
        return f"figure:{name}"
    if suffix == "dseg" and extension == ".tsv" and desc == "stats":
        return f"table:{entities.get('segmentation', 'regions')}"
    if suffix == "iqms" and extension == ".json":
        return "qc"
    if suffix == "Chimap" and extension == ".json" and not {"description", "space"} & set(entities):
        return "chi"
    if suffix == "mask" and extension == ".json" and desc == "brain" and "space" not in entities:
        return "mask"
    return ""


def _take(record: Record, what: str, path: Path) -> None:
    kind, _, name = what.partition(":")
    if kind == "figure":
        record.figures[name] = path
    elif kind == "table":
        record.tables[name] = read_tsv(path)
    elif kind == "qc":
        record.qc = read_json(path)
    elif kind == "mask":
        record.mask = read_json(path)
    else:
        record.sidecar = read_json(path)


def read_failures(failures: Iterable[Any] | None, out_dir: Path) -> list[dict[str, str]]:
    """Failures as {run, stage, cause, fix, crash_file}, from what the caller has or from `logs/failures.tsv`."""
    if failures is None:
        rows: list[Any] = list(read_tsv(out_dir / "logs" / "failures.tsv"))
    else:
        rows = [row if isinstance(row, Mapping) else vars(row) for row in failures]
    keys = ("run", "stage", "cause", "fix", "crash_file")
    return [
        {key: _text(row.get(key) or row.get("participant" if key == "run" else key)) for key in keys} for row in rows
    ]


def _text(value: Any) -> str:
    return "" if value is None or str(value) in _MISSING else str(value)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object, or {} if the file is missing or broken: a report is built from what can be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def read_tsv(path: Path) -> list[dict[str, str]]:
    """Rows of a TSV as text; [] if the file is missing or broken."""
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream, delimiter="\t"))
    except (OSError, ValueError, csv.Error):
        return []
    return [{key: value or "" for key, value in row.items() if key} for row in rows]


def number(text: Any) -> float | None:
    """A number, or None for n/a."""
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None
    return value if value == value else None
