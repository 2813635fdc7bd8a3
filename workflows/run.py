"""Carry out a plan: build the graph, run it, and tell what failed and why."""

from __future__ import annotations

import gc
import hashlib
import logging
import multiprocessing
import os
import re
import shutil
import time
import tomllib
import traceback
from concurrent.futures.process import BrokenProcessPool, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from qsmprep.bids.derivatives import atomic_write_text
from qsmprep.bids.model import Plan
from qsmprep.errors import EnvironmentFault, UsageError
from qsmprep.settings import Settings

logger = logging.getLogger("qsmprep")


@dataclass(frozen=True)
class Failure:
    """One run that did not finish: at which stage, the plain cause, what to do, and where the details are."""

    run: str
    stage: str
    cause: str
    fix: str
    crash_file: str


@dataclass(frozen=True)
class Outcome:
    """What came of a plan: names of the runs that finished, and the failures of the others."""

    finished: tuple[str, ...]
    failed: tuple[Failure, ...]


def run_participants(plan: Plan, settings: Settings) -> Outcome:
    """Run every run of `plan`; a failing run does not stop the others (unless `stop_on_first_crash`).

    Raises
    ------
    EnvironmentFault
        If the work directory cannot be written, or the disk is full.
    UsageError
        If the Nipype plugin file cannot be used.
    """
    from nipype import config as nipype_config
    from nipype import logging as nipype_logging

    from .participant import init_qsmprep_wf, nodes_of_runs

    _prepare_work_dir(settings.work_dir)
    nipype_config.update_config({"execution": _execution_options(settings)})
    nipype_config.update_config({"logging": {"log_to_file": "false"}})
    nipype_logging.update_logging(nipype_config)
    _set_nipype_level(logging.INFO if settings.verbose > 1 else logging.CRITICAL)

    workflow = init_qsmprep_wf(plan, settings)
    if settings.write_graph:
        _write_graph(workflow)
    owners = nodes_of_runs(plan)
    runner = _runner(settings, len(workflow._get_all_nodes()))
    _remember_hashes()
    started = time.monotonic()
    try:
        workflow.run(plugin=runner)
    except Exception:  # the plugins end with one where a stage failed
        if not runner.crashes:
            raise
    _write_timings(settings.out_dir / "logs" / "timings.tsv", runner.seconds)
    failed = _failures(runner.crashes, owners)
    names = {failure.run for failure in failed}
    stopped = settings.stop_on_first_crash and bool(failed)
    finished = tuple(run.name for run in plan.runs if run.name not in names and not stopped)
    logger.info("%d of %d runs done in %.0f s", len(finished), len(plan.runs), time.monotonic() - started)
    if settings.clean_workdir and not failed:
        shutil.rmtree(settings.work_dir / workflow.name, ignore_errors=True)
    return Outcome(finished, failed)


def _set_nipype_level(level: int) -> None:
    for name in ("nipype.workflow", "nipype.interface", "nipype.utils"):
        logging.getLogger(name).setLevel(level)


def _start_worker(folder: str, level: int) -> None:
    """Bring a worker process to where the caller is; Nipype is imported first, since that sets the levels anew."""
    from nipype.pipeline.plugins.multiproc import process_initializer

    process_initializer(folder)
    _set_nipype_level(level)


def _write_graph(workflow) -> None:
    """Draw the workflow into its folder; without Graphviz its description is left, to be drawn elsewhere."""
    folder = Path(workflow.base_dir) / workflow.name
    try:
        workflow.write_graph(graph2use="colored", format="svg", simple_form=True)
        logger.info("graph of the workflow: %s", folder / "graph.svg")
    except OSError:
        if shutil.which("dot"):
            raise
        logger.warning("--write-graph: Graphviz (dot) is not installed, so only %s is written", folder / "graph.dot")


def _write_timings(path: Path, seconds: dict[str, float]) -> None:
    """Wall time of every stage of this call; a stage whose result was reused takes next to nothing."""
    rows = []
    for name, value in sorted(seconds.items()):
        _, place, *stage = name.split(".")
        rows.append((place, ".".join(stage), f"{value:.2f}"))
    atomic_write_text(path, "\n".join("\t".join(row) for row in [("graph", "stage", "seconds"), *rows]) + "\n")


def _remember_hashes() -> None:
    """Hash the content of a file once, however many stages read it: a second run is little else than hashing."""
    from nipype.interfaces.base import specs

    known: dict[tuple[object, ...], str] = {}

    def hash_infile(path, **_options) -> str | None:
        if not Path(path).is_file():
            return None
        state = Path(path).stat()
        key = (str(path), state.st_ino, state.st_size, state.st_mtime_ns)
        if key not in known:
            with Path(path).open("rb") as file:
                known[key] = hashlib.file_digest(file, "md5").hexdigest()
        return known[key]

    specs.hash_infile = hash_infile


def _execution_options(settings: Settings) -> dict[str, str]:
    return {
        "crashdump_dir": str(settings.out_dir / "logs"),
        "crashfile_format": "txt",
        "hash_method": "content",
        "stop_on_first_crash": str(settings.stop_on_first_crash).lower(),
        "remove_unnecessary_outputs": "false",
        "create_report": "false",
        "poll_sleep_duration": "0.1",
        "check_version": "false",
    }


def _prepare_work_dir(work_dir: Path) -> None:
    try:
        work_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentFault(
            f"--work-dir {work_dir} cannot be made: {error.strerror}. Name a writable folder."
        ) from None
    if not os.access(work_dir, os.W_OK):
        raise EnvironmentFault(f"--work-dir {work_dir} is not writable. Name a writable folder.")


class _Recorder:
    """Mixed into a Nipype plugin: keeps the crashes, reports progress, and survives a killed worker."""

    def __init__(self, plugin_args: dict | None = None, *, total: int = 0) -> None:
        super().__init__(plugin_args={**(plugin_args or {}), "status_callback": self._tell})
        if hasattr(self, "pool"):  # Nipype's own knows no levels of loggers; no worker of it has been started yet
            context = multiprocessing.get_context(self.plugin_args.get("mp_context"))
            begin = (os.getcwd(), logging.getLogger("nipype.workflow").level)  # noqa: PTH109
            self.pool = ProcessPoolExecutor(self.processors, context, _start_worker, begin)
        self.crashes: list[tuple[str, str, str]] = []  # node, traceback, crash file
        self.seconds: dict[str, float] = {}  # node -> wall time
        self._begun: dict[str, float] = {}
        self._done, self._total = 0, total

    def run(self, graph, config, updatehash=False):
        gc.freeze()  # the scheduler collects garbage at every step; what is loaded by now, its graph too, is none
        return super().run(graph, config, updatehash=updatehash)

    def _tell(self, node, status: str) -> None:
        if status == "start":
            self._begun[node.fullname] = time.monotonic()
            return
        self._done += 1
        seconds = time.monotonic() - self._begun.get(node.fullname, time.monotonic())
        self.seconds[node.fullname] = seconds
        if status == "end" and seconds >= 1:
            _, place, *stage = node.fullname.split(".")
            logger.info("%3.0f %%  %s %s: %.0f s", 100 * self._done / self._total, place, ".".join(stage), seconds)

    def _report_crash(self, node, result=None):
        crash_file = super()._report_crash(node, result=result)
        trace = (result or {}).get("traceback") or traceback.format_exc()
        self.crashes.append((node.fullname, trace if isinstance(trace, str) else "".join(trace), crash_file))
        return crash_file

    def _async_callback(self, args):
        try:
            super()._async_callback(args)
        except BrokenProcessPool:
            # the future of a killed worker has no result: say so to the scheduler, which would wait for ever
            for taskid, future in list(self._task_obj.items()):
                if future is args:
                    self._taskresult[taskid] = {"result": None, "traceback": [_KILLED], "taskid": taskid}

    def _submit_job(self, node, updatehash=False):
        try:
            return super()._submit_job(node, updatehash=updatehash)
        except BrokenProcessPool:
            self.pool.shutdown(wait=False)
            self.pool = type(self)({k: v for k, v in self.plugin_args.items() if k != "status_callback"}).pool
            return super()._submit_job(node, updatehash=updatehash)


def _linear():
    """Nipype's Linear, with a method that writes crash files, as the other plugins have: here a function does it."""
    from nipype.pipeline.plugins import linear
    from nipype.pipeline.plugins.tools import report_crash

    class Linear(linear.LinearPlugin):
        def run(self, graph, config, updatehash=False):
            linear.report_crash = self._report_crash
            try:
                super().run(graph, config, updatehash)
            finally:
                linear.report_crash = report_crash

        def _report_crash(self, node, result=None):
            return report_crash(node)

    return Linear


_KILLED = "EnvironmentFault: the worker process was killed, most likely because the machine ran out of memory"


def _runner(settings: Settings, total: int):
    from nipype.pipeline import plugins

    name = "MultiProc"
    # workers start from a clean process: a fork of one that has already run OpenMP threads dies
    multiprocessing.set_forkserver_preload(["qsmprep.workflows.participant"])
    arguments = {
        "n_procs": settings.nprocs,
        "memory_gb": settings.mem_gb,
        "raise_insufficient": False,
        "mp_context": "forkserver",
    }
    if settings.nipype_plugin_file:
        name, arguments = _plugin_file(settings.nipype_plugin_file, arguments)
    base = _linear() if name == "Linear" else getattr(plugins, f"{name}Plugin", None)
    if base is None:
        raise UsageError(
            f"--nipype-plugin-file {settings.nipype_plugin_file}: Nipype has no plugin named {name!r}. "
            "Expected one such as MultiProc, Linear, SLURM or SGE."
        )
    return type(f"Recording{name}", (_Recorder, base), {})(arguments, total=total)


def _plugin_file(path: Path, defaults: dict) -> tuple[str, dict]:
    """Name and arguments of the plugin in a YAML, JSON or TOML file with the keys `plugin` and `plugin_args`."""
    import yaml

    try:
        text = path.read_text()
        content = tomllib.loads(text) if path.suffix == ".toml" else yaml.safe_load(text)
        name, arguments = content["plugin"], content.get("plugin_args") or {}
    except OSError as error:
        raise UsageError(f"--nipype-plugin-file {path} cannot be read: {error.strerror}.") from None
    except (yaml.YAMLError, tomllib.TOMLDecodeError, TypeError, KeyError, AttributeError):
        raise UsageError(
            f"--nipype-plugin-file {path}: expected the keys 'plugin' and 'plugin_args', for example\n"
            "plugin: SLURM\nplugin_args:\n  sbatch_args: --mem=8G"
        ) from None
    return name, (defaults | arguments if name == "MultiProc" else arguments)


def _failures(crashes, owners: dict[str, tuple[str, ...]]) -> tuple[Failure, ...]:
    """One failure per affected run; the first crash of a run is the one that counts."""
    found: dict[str, Failure] = {}
    for node, trace, crash_file in crashes:
        _, group, *stage = node.split(".")
        cause, fix = _explain(trace)
        for run in owners.get(group, (group,)):
            found.setdefault(run, Failure(run, ".".join(stage), cause, fix, str(crash_file)))
    return tuple(found[run] for run in sorted(found))


_FORESEEN = re.compile(r"^(?:qsmprep\.errors\.)?(\w*(?:Error|Fault)): (.*)$")


def _explain(trace: str) -> tuple[str, str]:
    """Plain cause and advice from a traceback's last line that names an exception."""
    lines = [match for line in trace.strip().splitlines() if (match := _FORESEEN.match(line.strip()))]
    if not lines:
        return "an unexpected error", "See the crash file, and report it together with the settings."
    kind, text = lines[-1].groups()
    if "No space left" in text:
        return text, "Free disk space in the work and output directories, then run the same command again."
    if kind in ("MemoryError",) or "killed" in text:
        return text or "out of memory", "Give more memory, or lower --nprocs; finished stages are reused."
    if kind in ("InputError", "ValueError", "EnvironmentFault"):
        return text, "Correct the input or the option, then run the same command again; finished stages are reused."
    return f"{kind}: {text}", "See the crash file, and report it together with the settings."
