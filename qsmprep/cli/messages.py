"""What the user sees: log lines, the plan as a table, the summary at the end."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..bids.model import Plan, Run, Skipped
from ..settings import Settings

if TYPE_CHECKING:
    from rich.console import Console

logger = logging.getLogger("qsmprep")
WIDTH_WITHOUT_TERMINAL = 160


def start_console(settings: Settings) -> None:
    """Log to standard error: warnings and progress, more with -v."""
    close_logs()
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(logging.DEBUG if settings.verbose > 1 else logging.INFO)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False


def start_log_file(settings: Settings) -> Path:
    """Log everything to a file of its own in OUT_DIR/logs as well."""
    stamp = time.strftime("%Y%m%dT%H%M%S")
    path = settings.out_dir / "logs" / f"qsmprep-{stamp}-{os.getpid()}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setLevel(logging.DEBUG)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    return path


def current_log_file() -> Path | None:
    """The file that is logged to, if there is one."""
    for handler in logger.handlers:
        if isinstance(handler, logging.FileHandler):
            return Path(handler.baseFilename)
    return None


def close_logs() -> None:
    """Take all handlers away (one process may make several calls, as tests do)."""
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()


def console() -> Console:
    """Standard output; wide enough that nothing is cut where it is no terminal."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else WIDTH_WITHOUT_TERMINAL
    return Console(file=sys.stdout, width=width, highlight=False, emoji=False, markup=False)


def print_plan(plan: Plan, settings: Settings) -> None:
    """Print every run, what will be written, what cannot be processed and what is passed over."""
    out = console()
    out.print(
        f"{settings.bids_dir}: {count(plan.participants, 'participant')}, {count(plan.runs, 'run')} to process",
        soft_wrap=True,
    )
    for note in plan.notes:
        out.print(f"  note: {note}", soft_wrap=True)
    if plan.runs:
        out.print(_run_table(plan.runs))
    for run in plan.runs:
        out.print(f"{run.name}_{run.suffix}", soft_wrap=True)
        out.print(f"  T1w: {run.t1w.name if run.t1w else 'none'} ({run.t1w_reason})", soft_wrap=True)
        for note in run.notes:
            out.print(f"  note: {note}", soft_wrap=True)
        out.print(f"  brain: {brain_in_words(run)}", soft_wrap=True)
        out.print(f"  writes: {_short_outputs(run)}", soft_wrap=True)
    _print_reasons(out, "Cannot be processed", plan.skipped, settings)
    _print_reasons(out, "Passed over", plan.passed_over, settings)
    _print_without_runs(out, plan)


def _print_without_runs(out: Console, plan: Plan) -> None:
    if plan.without_runs:
        names = _some([f"sub-{label}" for label in plan.without_runs], 20)
        out.print(f"\nNo gradient echo with phase, so nothing to process: {names}", soft_wrap=True)


def _run_table(runs: Sequence[Run]) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    for heading in ("run", "echoes: TE [ms]", "B0 [T], from", "voxels", "size [mm]", "oblique", "phase", "memory"):
        table.add_column(heading, overflow="fold")
    for run in runs:
        times = ", ".join(f"{te * 1e3:.4g}" for te in run.te)
        scaling = run.phase_scaling.description if run.phase_scaling else "from real and imaginary part"
        table.add_row(
            f"{run.name}_{run.suffix}",
            f"{len(run.echoes)}: {times}" + (" (bipolar)" if run.bipolar else ""),
            f"{run.b0:.4g}, {run.b0_source}",
            " x ".join(str(n) for n in run.shape),
            " x ".join(f"{size:.3g}" for size in run.voxel_size),
            f"{run.obliquity:.1f}°",
            scaling,
            f"{run.memory_gb:.1f} GB",
        )
    return table


def brain_in_words(run: Run) -> str:
    """What finds the brain of a run, and on which image."""
    given = run.mask or run.t1w_mask
    if run.skull_strip == "precomputed" and given is not None:
        return f"{given.name}, " + ("replaced by the user" if run.mask_replaced else "made elsewhere")
    if run.skull_strip == "quality":
        return "from signal and phase quality alone"
    own = "T1w" if run.t1w else "magnitude of the gradient echo"
    return f"{run.skull_strip}, on the {'within-subject template' if run.visits else own}"


def _short_outputs(run: Run) -> str:
    """Output names without what they all begin with."""
    return ", ".join(Path(name).name.removeprefix(run.name + "_") for name in run.outputs)


def _print_reasons(out: Console, heading: str, entries: Iterable[Skipped], settings: Settings) -> None:
    entries = list(entries)
    if not entries:
        return
    out.print(f"\n{heading} ({len(entries)}):", soft_wrap=True)
    by_reason: dict[str, list[str]] = {}
    for entry in entries:
        name = entry.path_or_run
        by_reason.setdefault(entry.reason, []).append(name.removeprefix(f"{settings.bids_dir}/"))
    for reason, names in by_reason.items():
        if len(names) == 1:
            out.print(f"  {names[0]}: {reason}", soft_wrap=True)
        else:
            out.print(f"  {reason}:", soft_wrap=True)
            for name in names:
                out.print(f"    {name}", soft_wrap=True)


def print_summary(plan: Plan, settings: Settings, finished: Sequence[str], failures: Sequence[Any]) -> None:
    """Print what was done, every fall-back, what failed and what was skipped."""
    out = console()
    out.print(f"\n{len(finished)} of {count(plan.runs, 'run')} done. Results: {settings.out_dir}", soft_wrap=True)
    if settings.stop_after == "mask":
        out.print("Stopped after the masks, as asked for (--stop-after mask): no χ was computed.", soft_wrap=True)
        out.print(
            "Look at them in the reports. To change one, save yours over *_desc-brain_mask.nii.gz.", soft_wrap=True
        )
        out.print("Then run the same command without --stop-after; finished stages are reused.", soft_wrap=True)
    by_note: dict[str, list[str]] = {}
    for run in plan.runs:
        for note in run.notes:
            by_note.setdefault(note, []).append(run.name)
    if by_note:
        out.print("Decisions and fall-backs:", soft_wrap=True)
        for note, names in by_note.items():
            out.print(f"  {note} ({_some(names)})", soft_wrap=True)
    for name, verdict, reasons in _verdicts(plan, settings, finished):
        out.print(f"  quality: {name}: {'; '.join(reasons) or verdict}", soft_wrap=True)
    if failures:
        out.print(f"Failed ({len(failures)}), also in logs/failures.tsv:", soft_wrap=True)
        for failure in failures:
            out.print(f"  {failure.run}, {failure.stage}: {failure.cause}", soft_wrap=True)
            if failure.fix:
                out.print(f"    to do: {failure.fix}", soft_wrap=True)
            if failure.crash_file:
                out.print(f"    details: {failure.crash_file}", soft_wrap=True)
    if settings.stop_on_first_crash and failures:
        left = [run.name for run in plan.runs if run.name not in {*finished, *(failure.run for failure in failures)}]
        if left:
            out.print(f"Not finished because of --stop-on-first-crash: {_some(left, 20)}", soft_wrap=True)
    _print_reasons(out, "Could not be processed", plan.skipped, settings)
    _print_without_runs(out, plan)
    index = settings.out_dir / "index.html"
    if index.is_file():
        out.print(f"Reports: {index}", soft_wrap=True)


def _verdicts(plan: Plan, settings: Settings, finished: Sequence[str]) -> list[tuple[str, str, list[str]]]:
    """Finished runs whose quality numbers say anything but PASS."""
    from ..bids.derivatives import derivative_path

    found = []
    for run in plan.runs:
        if run.name not in finished:
            continue
        path = derivative_path(settings.out_dir, run.entities, "iqms", desc="qc", extension=".json")
        try:
            quality = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        verdict = str(quality.get("verdict", "PASS"))
        if verdict != "PASS":
            found.append((run.name, verdict, [str(reason) for reason in quality.get("reasons", [])]))
    return found


def _some(names: Sequence[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def count(things: Sequence[Any], noun: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{len(things)} {noun}" + ("" if len(things) == 1 else "s")
