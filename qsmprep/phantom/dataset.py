"""The synthetic dataset on disk: BIDS raw data, and the truth as a derivative. Finished participants are kept."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..bids.derivatives import atomic_write_text, write_json, write_table
from ..errors import EnvironmentFault, UsageError
from .subject import Options, make_subject
from .tables import PARTICIPANT_COLUMNS, README, RULES_IGNORED, TRUTH_README, descriptions
from .visit import write_visit

BIDS_VERSION = "1.10.0"
PARAMETERS = "parameters.json"
# what may change when a dataset is taken up again
FREE = ("participants", "mem_gb")


def truth_dir(out_dir: Path) -> Path:
    """Where the truth lies."""
    return Path(out_dir) / "derivatives" / "phantom"


def participants(options: Options) -> list[tuple[str, str]]:
    """(label, group) of every participant. Groups take turns, so that more can be added later."""
    groups = options.groups
    return [(f"{n + 1:02d}", groups[n % len(groups)]) for n in range(options.participants * len(groups))]


def check(options: Options) -> None:
    """Raise UsageError for options that no dataset can be made from."""
    faults = {
        "groups": not options.groups or len(set(options.groups)) < len(options.groups),
        "participants": options.participants < 1,
        "sessions": options.sessions < 1,
        "voxel-size": len(options.voxel_size) != 3 or not all(0.3 <= v <= 8 for v in options.voxel_size),
        "t1w-voxel-size": len(options.t1w_voxel_size) != 3 or not all(0.5 <= v <= 4 for v in options.t1w_voxel_size),
        "b0": not 0.1 <= options.b0 <= 14,
        "te": not options.te or min(options.te) <= 0 or max(options.te) > 0.2 or bool(np.any(np.diff(options.te) <= 0)),
        "snr": not options.snr > 0,
        "obliquity": abs(options.obliquity) > 60,
        "head-tilt": abs(options.head_tilt) > 60,
        "parts": options.parts not in ("mag-phase", "real-imag"),
        "oversampling": not 1 <= options.oversampling <= 8,
        "mem-gb": not options.mem_gb > 0,
    }
    expected = {
        "groups": "different names",
        "participants": "1 or more",
        "sessions": "1 or more",
        "voxel-size": "one or three numbers from 0.3 to 8 mm",
        "t1w-voxel-size": "one or three numbers from 0.5 to 4 mm",
        "b0": "0.1 to 14 T",
        "te": "ascending times in seconds, above 0 and at most 0.2",
        "snr": "a positive number",
        "obliquity": "-60 to 60 degrees",
        "head-tilt": "-60 to 60 degrees",
        "parts": "mag-phase or real-imag",
        "oversampling": "1 to 8",
        "mem-gb": "a positive number",
    }
    for name, wrong in faults.items():
        if wrong:
            value = getattr(options, name.replace("-", "_"))
            raise UsageError(f"--{name}: found {value}, expected {expected[name]}")
    for path in (options.labels, options.labels_table):
        if path is not None and not path.is_file():
            raise UsageError(f"{path}: no such file; expected the label image (--labels) or its names (--labels-tsv)")


def _recorded(options: Options) -> dict[str, Any]:
    """The options as they are kept beside the truth; a label image by its contents."""
    record: dict[str, Any] = json.loads(json.dumps(asdict(options), default=str))
    for name in ("labels", "labels_table"):
        path = getattr(options, name)
        if path is not None:
            record[name] = f"{path.name} sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    return record


def _claim(out_dir: Path, options: Options) -> None:
    """Make the folder this dataset's, or find that it is; UsageError if it holds anything else."""
    record, path = _recorded(options), truth_dir(out_dir) / PARAMETERS
    if path.is_file():
        found = json.loads(path.read_text(encoding="utf-8")).get("options", {})
        other = [k for k in {**record, **found} if k not in FREE and record.get(k) != found.get(k)]
        if other:
            raise UsageError(
                f"{out_dir} holds a dataset made with other options: "
                + ", ".join(f"{name} {found.get(name)} there, {record.get(name)} asked" for name in sorted(other))
                + ". Give another folder, or the same options to take it up again"
            )
    elif out_dir.is_dir() and any(out_dir.iterdir()):
        raise UsageError(f"{out_dir} is not empty and holds no dataset of qsmprep-phantom: give another folder")
    write_json(path, {"options": record, "version": __version__})


def _write_root_files(out_dir: Path, options: Options) -> None:
    generated = {"Name": "qsmprep-phantom", "Version": __version__, "Description": "Synthetic; no person was scanned"}
    common = {"BIDSVersion": BIDS_VERSION, "GeneratedBy": [generated], "License": "CC0-1.0"}
    truth = truth_dir(out_dir)
    write_json(out_dir / "dataset_description.json", {"Name": "qsmprep phantom", "DatasetType": "raw", **common})
    write_json(
        truth / "dataset_description.json",
        {
            "Name": "Truth of the qsmprep phantom",
            "DatasetType": "derivative",
            **common,
            "DatasetLinks": {"raw": "../.."},
            "SourceDatasets": [{"URL": "../.."}],
        },
    )
    atomic_write_text(out_dir / "README.md", README)
    atomic_write_text(truth / "README.md", TRUTH_README)
    atomic_write_text(truth / ".bidsignore", RULES_IGNORED)
    write_table(truth / "descriptions.tsv", descriptions())
    write_json(out_dir / "participants.json", PARTICIPANT_COLUMNS)
    if options.sessions > 1:
        columns = {"session_id": {"Description": "Session label"}, "age": PARTICIPANT_COLUMNS["age"]}
        write_json(out_dir / "sessions.json", columns)


def _write_participants(out_dir: Path, options: Options) -> None:
    """participants.tsv of those that are finished."""
    import pandas as pd

    rows = []
    for label, _ in participants(options):
        path = truth_dir(out_dir) / f"sub-{label}" / "person.json"
        if (out_dir / f"sub-{label}").is_dir() and path.is_file():
            rows.append({"participant_id": f"sub-{label}", **json.loads(path.read_text(encoding="utf-8"))})
    if rows:
        write_table(out_dir / "participants.tsv", pd.DataFrame(rows))


def _make_participant(out_dir: Path, options: Options, number: int) -> str:
    """Synthesise one participant in a folder of its own and move it to its place when it is whole."""
    import pandas as pd

    label, group = participants(options)[number]
    name = f"sub-{label}"
    staging = out_dir / f".{name}.part"
    shutil.rmtree(staging, ignore_errors=True)
    ages = []
    for session in range(options.sessions):
        visit = make_subject(options, number, group, session)
        entities = {"sub": label, **({"ses": str(session + 1)} if options.sessions > 1 else {})}
        write_visit(staging / "raw", staging / "truth", entities, visit, options)
        ages.append(visit.person.age)
        if session == 0:
            first = visit.person
    person = {"age": first.age, "sex": first.sex, "group": first.group, "score": first.score}
    write_json(staging / "truth" / name / "person.json", person)
    if options.sessions > 1:
        table = pd.DataFrame({"session_id": [f"ses-{n + 1}" for n in range(options.sessions)], "age": ages})
        write_table(staging / "raw" / name / f"{name}_sessions.tsv", table)
    truth = truth_dir(out_dir) / name
    shutil.rmtree(truth, ignore_errors=True)  # of a run that was killed between the two moves
    (staging / "truth" / name).replace(truth)
    (staging / "raw" / name).replace(out_dir / name)
    shutil.rmtree(staging, ignore_errors=True)
    return name


def _limit_threads(threads: int) -> None:
    import numba

    os.environ["OMP_NUM_THREADS"] = str(threads)
    numba.set_num_threads(min(threads, numba.get_num_threads()))


def _make_all(out_dir: Path, options: Options, numbers: list[int], nprocs: int) -> Iterator[str]:
    if nprocs <= 1 or len(numbers) <= 1:
        for number in numbers:
            yield _make_participant(out_dir, options, number)
        return
    import multiprocessing

    processes = min(nprocs, len(numbers))
    threads = max(1, len(os.sched_getaffinity(0)) // processes) if hasattr(os, "sched_getaffinity") else 1
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, _limit_threads, (threads,)) as pool:
        yield from pool.map(_make_participant, *zip(*((out_dir, options, n) for n in numbers), strict=True))


def write_dataset(
    out_dir: str | Path, options: Options, *, nprocs: int = 1, report: Callable[[str], None] = lambda line: None
) -> Path:
    """Synthesise a BIDS dataset, or what an interrupted run left undone.

    Parameters
    ----------
    out_dir : the dataset; the truth goes to `derivatives/phantom` in it
    options : what to synthesise
    nprocs : participants made side by side
    report : is told of each participant

    Returns
    -------
    out_dir

    Raises
    ------
    UsageError
        If an option is out of range, or `out_dir` holds something else.
    EnvironmentFault
        If the folder cannot be written, or a head does not fit in the memory.
    """
    out_dir = Path(out_dir)
    check(options)
    try:
        _claim(out_dir, options)
        _write_root_files(out_dir, options)
        labels = [label for label, _ in participants(options)]
        todo = [n for n, label in enumerate(labels) if not (out_dir / f"sub-{label}").is_dir()]
        if len(todo) < len(labels):
            report(f"{len(labels) - len(todo)} of {len(labels)} participants are there already")
        for name in _make_all(out_dir, options, todo, nprocs):
            _write_participants(out_dir, options)
            report(f"{name} written")
        _write_participants(out_dir, options)
    except OSError as error:
        raise EnvironmentFault(f"{out_dir} cannot be written: {error.strerror or error}") from error
    except MemoryError as error:
        raise EnvironmentFault("out of memory: fewer --nprocs, a smaller --mem-gb or larger voxels") from error
    return out_dir
