"""`index.html`: all runs of the output dataset in one sortable table with verdict, numbers and thumbnails."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from qsmprep.bids.names import ENTITY_NAMES, split_name
from qsmprep.report.page import thumbnail_uri, write_page
from qsmprep.report.records import Record, number, plan_dict, read_json, subject_records

# the worst first when sorted upwards
RANKS = {"FAILED": 0, "FAIL": 1, "CHECK": 2, "n/a": 3, "PASS": 4}
_NUMBERS = (
    ("qsm_mask_fraction", "QSM mask / brain", "", 2),
    ("phase_quality_median", "phase quality", "", 2),
    ("chi_sd_ppb", "SD of χ", "ppb", 0),
    ("deep_grey_contrast_ppb", "deep-grey contrast", "ppb", 0),
    ("template_dice", "Dice with template", "", 3),
)
_THUMBS = ("mask", "chi")


def build_index(out_dir: Path | str, plan: Any = None, failures: Iterable[Any] | None = None) -> Path:
    """Build `index.html` over every participant that the output dataset holds (not only those of the last call).

    Parameters
    ----------
    out_dir : the output dataset
    plan : `Plan`; without it `logs/plan.json` is read
    failures : `Failure` objects or dictionaries; None reads `logs/failures.tsv`
    """
    out_dir = Path(out_dir)
    failures = None if failures is None else list(failures)
    content = plan_dict(plan, out_dir)
    labels = {path.name.removeprefix("sub-") for path in out_dir.glob("sub-*") if path.is_dir()}
    labels |= {run["entities"]["subject"] for run in content.get("runs", ())}
    records = [record for label in sorted(labels) for record in subject_records(out_dir, label, content, failures)]
    present = {key for record in records for key in record.entities if key != "subject"}
    entities = [key for key in ENTITY_NAMES.values() if key in present] + sorted(present - {*ENTITY_NAMES.values()})
    numbers = [column for column in _NUMBERS if any(column[0] in record.qc for record in records)]
    verdicts = Counter(record.verdict for record in records)
    groups = [path.relative_to(out_dir).as_posix() for path in sorted(out_dir.glob("group*/group.html"))]
    values = {
        "title": read_json(out_dir / "dataset_description.json").get("Name") or out_dir.name,
        "n_participants": len({record.entities.get("subject") for record in records}),
        "rows": [_row(record, entities, numbers, out_dir) for record in records],
        "entities": entities,
        "numbers": [(key, head, unit) for key, head, unit, _ in numbers],
        "counts": [(verdict, verdicts[verdict]) for verdict in RANKS if verdicts[verdict]],
        "skipped": [*content.get("skipped", ()), *_without_runs(content, labels)],
        "groups": [(_analysis(path), path) for path in groups],
    }
    return write_page(out_dir / "index.html", "index.html.j2", values)


def _analysis(page: str) -> str:
    """What the page of a group analysis is called: the part of its folder's name behind `group-`."""
    _, _, name = page.partition("/")[0].partition("-")
    return f"Group report: {name}" if name else "Group report"


def _without_runs(plan: Mapping[str, Any], labels: set[str]) -> list[dict[str, str]]:
    """Participants that were looked at and have neither a run nor one that was refused."""
    refused = {split_name(str(entry["path_or_run"]))[0].get("subject") for entry in plan.get("skipped", ())}
    reason = "no gradient echo with phase was found; the participant's page lists the files that were passed over"
    return [
        {"path_or_run": f"sub-{label}", "reason": reason}
        for label in plan.get("participants", ())
        if label not in labels | refused
    ]


def _row(
    record: Record, entities: list[str], numbers: list[tuple[str, str, str, int]], out_dir: Path
) -> dict[str, Any]:
    participant = f"sub-{record.entities.get('subject', '')}"
    page = f"{participant}.html"
    shown = []
    for key, _, _, decimals in numbers:
        value = number(record.qc.get(key))
        shown.append("" if value is None else f"{value:.{decimals}f}")
    thumbs = [thumbnail_uri(record.figures[what]) for what in _THUMBS if what in record.figures]
    return {
        "participant": participant,
        "page": page if (out_dir / page).is_file() else "",
        "anchor": re.sub(r"[^A-Za-z0-9_-]", "-", record.name),
        "entities": [record.entities.get(key, "") for key in entities],
        "verdict": record.verdict,
        "rank": RANKS[record.verdict],
        "reasons": record.reasons,
        "numbers": shown,
        "thumbs": [uri for uri in thumbs if uri],
    }
