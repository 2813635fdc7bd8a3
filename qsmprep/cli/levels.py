"""The two analysis levels, step by step."""

from __future__ import annotations

import csv
import io
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..bids.dataset import write_dataset_files
from ..bids.derivatives import atomic_write_text, derivative_path, write_json
from ..bids.model import Plan
from ..bids.names import split_name
from ..bids.plan import check_request, make_plan, nothing_to_do
from ..bids.temporary import remove_leftovers
from ..bids.validation import validate_dataset
from ..errors import NothingToDoError, QsmprepError, UsageError
from ..settings import Settings
from .environment import check_folders, check_programs, check_resources, check_writable
from .messages import console, count, current_log_file, print_plan, print_summary, start_log_file

logger = logging.getLogger("qsmprep")
FAILURE_COLUMNS = ("participant", "run", "stage", "cause", "fix", "crash_file")


@dataclass(frozen=True)
class StepFailure:
    """A step outside of the workflow that failed; read like the workflow's own failures."""

    run: str
    stage: str
    cause: str
    fix: str = ""
    crash_file: str = ""


def run_participant_level(settings: Settings) -> int:
    """Plan, check, run, report. Returns the exit code; faults are raised as QsmprepError."""
    check_request(settings)  # all that can be told without opening an image, before anything is written
    warnings = check_folders(settings) + check_programs(settings)
    if settings.reports_only and not (settings.out_dir / "logs" / "settings.toml").is_file():
        raise NothingToDoError(
            f"--reports-only: {settings.out_dir} holds no results of an earlier run. Run without --reports-only first."
        )
    if not settings.dry_run:
        _prepare_folders(settings)
    logger.info("looking at %s", settings.bids_dir)
    plan = make_plan(settings)
    if settings.dry_run:
        print_plan(plan, settings)
        for warning in warnings:
            logger.warning("warning: %s", warning)
        if not plan.runs:
            raise nothing_to_do(plan, settings)
        return 0
    _clean(settings, [f"sub-{subject}" for subject in plan.participants])
    _write_plan(plan, settings)
    if not plan.runs:
        _write_failures(settings, plan, ())
        raise nothing_to_do(plan, settings)
    if not settings.skip_bids_validation and not settings.reports_only:
        for line in validate_dataset(settings.bids_dir).lines():
            logger.info(line)
    if not settings.reports_only:
        warnings += check_resources(plan, settings)
    for warning in warnings:
        logger.warning("warning: %s", warning)
    for entry in plan.skipped:
        logger.warning("cannot be processed: %s: %s", entry.path_or_run, entry.reason)
    write_dataset_files(settings.out_dir, settings, settings.bids_dir)
    if not settings.reports_only:
        atomic_write_text(settings.out_dir / "logs" / "settings.toml", settings.to_toml())
    finished, failures = _process(plan, settings)
    _write_failures(settings, plan, failures)  # before the reports, which show them
    failures = (*failures, *_make_reports(plan, settings))
    _write_failures(settings, plan, failures)
    print_summary(plan, settings, finished, failures)
    return 1 if failures or plan.skipped else 0


def _prepare_folders(settings: Settings) -> None:
    check_writable(settings.out_dir, "OUT_DIR")
    if not settings.reports_only:
        check_writable(settings.work_dir, "--work-dir")
    start_log_file(settings)


def _clean(settings: Settings, folders: Sequence[str]) -> None:
    """Remove what killed runs left half-written in these folders of OUT_DIR and beside all of them."""
    found = remove_leftovers(settings.out_dir, deep=False)
    for name in ("logs", *folders):
        found += remove_leftovers(settings.out_dir / name)
    if found:
        logger.info("removed %s of a run that was killed", count(found, "temporary file"))


def _process(plan: Plan, settings: Settings) -> tuple[Sequence[str], tuple[Any, ...]]:
    """Names of the runs that are done, and the failures."""
    if settings.reports_only:
        maps = {r.name: derivative_path(settings.out_dir, r.entities, "Chimap") for r in plan.runs}
        return [name for name, path in maps.items() if path.is_file()], ()
    from ..workflows.run import run_participants

    logger.info("runs to process: %d, CPUs: %d", len(plan.runs), settings.nprocs)
    outcome = run_participants(plan, settings)
    return outcome.finished, tuple(outcome.failed)


def _make_reports(plan: Plan, settings: Settings) -> list[StepFailure]:
    """A report per participant, the index and the citations; a report that fails does not stop the others."""
    from ..report.index import build_index
    from ..report.methods import write_citations
    from ..report.subject import build_subject_report

    steps: list[tuple[str, Any]] = [
        (f"sub-{subject}", lambda subject=subject: build_subject_report(settings.out_dir, subject, plan, settings))
        for subject in plan.participants
    ]
    steps.append(("index.html", lambda: build_index(settings.out_dir)))
    steps.append(("logs/CITATION.md", lambda: write_citations(settings.out_dir, plan, settings)))
    failures = []
    for name, step in steps:
        try:
            step()
        except QsmprepError as error:
            failures.append(StepFailure(name, "report", str(error)))
        except Exception as error:
            logger.debug("report %s failed", name, exc_info=error)
            cause = f"the report could not be made: {type(error).__name__}: {error}"
            failures.append(StepFailure(name, "report", cause, "Run with --reports-only -v.", str(current_log_file())))
    return failures


def _write_plan(plan: Plan, settings: Settings) -> None:
    """Write logs/plan.json. A call for some participants keeps what earlier calls planned for others (cluster jobs)."""
    path = settings.out_dir / "logs" / "plan.json"
    content = plan.to_dict()
    if settings.participant_label:
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
            others = set(before["participants"]) - set(plan.participants)
            content["participants"] = sorted({*plan.participants, *others})
            content["runs"] += [run for run in before["runs"] if run["entities"]["subject"] in others]
            for key in ("skipped", "passed_over"):
                content[key] += [e for e in before[key] if _subject_of(e["path_or_run"]) in others]
        except (OSError, ValueError, KeyError, TypeError):
            logger.debug("no earlier plan to keep")
    write_json(path, content)


def _subject_of(path_or_run: str) -> str:
    return split_name(path_or_run)[0].get("subject", "")


def _write_failures(settings: Settings, plan: Plan, failures: Sequence[Any]) -> None:
    """Write logs/failures.tsv; rows of participants that were not part of this call stay."""
    path = settings.out_dir / "logs" / "failures.tsv"
    rows = [
        row
        for row in _read_failures(path)
        if row["participant"].removeprefix("sub-") not in plan.participants
        or (settings.reports_only and row["stage"] not in ("report", "input"))
    ]
    for failure in failures:
        participant = failure.run.split("_")[0] if failure.run.startswith("sub-") else "n/a"
        crash_file = Path(failure.crash_file)
        inside = failure.crash_file and crash_file.is_relative_to(settings.out_dir)
        shown = crash_file.relative_to(settings.out_dir) if inside else failure.crash_file
        rows.append(_row(participant, failure.run, failure.stage, failure.cause, failure.fix, str(shown)))
    for entry in plan.skipped:
        fix = "Correct the data, or leave them out with --bids-filter-file."
        rows.append(_row(entry.path_or_run.split("_")[0], entry.path_or_run, "input", entry.reason, fix, ""))
    text = io.StringIO()
    writer = csv.DictWriter(text, FAILURE_COLUMNS, delimiter="\t", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    atomic_write_text(path, text.getvalue())


def _row(*values: str) -> dict[str, str]:
    clean = (" ".join(value.split()) or "n/a" for value in values)
    return dict(zip(FAILURE_COLUMNS, clean, strict=True))


def _read_failures(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
    except (OSError, csv.Error):
        return []
    # "n/a" belongs to the index and the like: made anew by every call
    return [row for row in rows if set(FAILURE_COLUMNS) == set(row) and row["participant"] not in (None, "n/a")]


def run_group_level(settings: Settings) -> int:
    """Join the participants' derivatives in OUT_DIR. Returns the exit code."""
    if not settings.bids_dir.is_dir():
        raise UsageError(f"BIDS_DIR {settings.bids_dir} does not exist.")
    if not settings.out_dir.is_dir():
        raise NothingToDoError(
            f"OUT_DIR {settings.out_dir} does not exist. Run the participant level first: "
            f"qsmprep {settings.bids_dir} {settings.out_dir} participant"
        )
    check_folders(settings)
    kinds = ("_Chimap.nii.gz", "_desc-stats_dseg.tsv")  # either is enough: tables may have been copied without maps
    done = sorted(path for kind in kinds for path in settings.out_dir.glob(f"sub-*/**/*{kind}"))
    if not done:
        raise NothingToDoError(
            f"{settings.out_dir} holds no susceptibility maps (sub-*/anat/*_Chimap.nii.gz) and no regional tables. "
            "Run the participant level first."
        )
    if settings.dry_run:
        people = {p.relative_to(settings.out_dir).parts[0] for p in done}
        console().print(f"group level over {count(list(people), 'participant')}")
        return 0
    check_writable(settings.out_dir, "OUT_DIR")
    start_log_file(settings)
    _clean(settings, [settings.group_dir.name])
    from ..group import run_group

    report = run_group(settings)
    atomic_write_text(settings.out_dir / "logs" / f"settings_{settings.group_dir.name}.toml", settings.to_toml())
    console().print(f"Group report: {report}")
    return 0
