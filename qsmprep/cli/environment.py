"""The machine: caches, threads and seeds set before heavy imports; folders, disk and memory checked before the work."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import tempfile
from pathlib import Path

from ..bids.model import Plan
from ..errors import EnvironmentFault, QsmprepError, UsageError
from ..settings import Settings

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def set_up_environment(settings: Settings) -> None:
    """Set the environment variables that libraries read when they are imported, for this process and its children.

    Caches go to the user's cache folder, or below the working directory where HOME is read-only (containers). One ITK
    thread and a fixed seed make registrations repeatable; ANTs takes a seed of 0 for "use the clock", hence + 1.
    """
    cache = cache_dir(settings)
    for variable, folder in (
        ("MPLCONFIGDIR", "matplotlib"),
        ("NUMBA_CACHE_DIR", "numba"),
        ("NIPYPE_CONFIG_DIR", "nipype"),
        ("DENO_DIR", "deno"),  # the BIDS validator's
    ):
        os.environ.setdefault(variable, str(cache / folder))
    if not settings.dry_run:
        _take_over(_home_cache() / "numba", cache / "numba")
    os.environ.setdefault("MPLBACKEND", "Agg")
    os.environ["NO_ET"] = "1"  # Nipype must not call home
    os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = "1"
    os.environ["ANTS_RANDOM_SEED"] = str(settings.random_seed + 1)
    for variable in THREAD_VARIABLES:
        os.environ[variable] = str(settings.omp_nthreads)


def cache_dir(settings: Settings) -> Path:
    """A folder for caches that outlives the call and can be written to."""
    candidate = _home_cache()
    if settings.dry_run:  # writes nothing that stays
        return candidate if _could_write(candidate) else Path(tempfile.gettempdir()) / f"qsmprep-{os.getuid()}"
    try:
        candidate.mkdir(parents=True, exist_ok=True)  # permissions alone do not tell, not even root's
    except OSError:
        return settings.work_dir / ".cache"
    return candidate if _could_write(candidate) else settings.work_dir / ".cache"


def _home_cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or str(Path("~").expanduser() / ".cache")
    return Path(home) / "qsmprep"


def _take_over(compiled: Path, cache: Path) -> None:
    """Copy kernels that a read-only image brings along to where they can be used: Numba reads no read-only cache."""
    if cache.exists() or not compiled.is_dir():
        return
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache.parent) as temporary:
            shutil.copytree(compiled, Path(temporary) / "numba").rename(cache)
    except OSError:  # no room, or another job was quicker: kernels are compiled anew
        return


def _could_write(folder: Path) -> bool:
    """Whether a folder can be written to, or made; nothing is made."""
    while not folder.exists():
        if folder == folder.parent:
            return False
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)


def check_folders(settings: Settings) -> list[str]:
    """Refuse folders that would mix datasets; return warnings.

    Raises
    ------
    UsageError
        If two of BIDS_DIR, OUT_DIR and the working directory are one, OUT_DIR lies among the raw data, holds another
        dataset, or a file that an option names is not there.
    """
    from ..bids.dataset import read_description

    bids, out, work = settings.bids_dir, settings.out_dir, settings.work_dir
    if out.resolve() == bids.resolve():
        raise UsageError(
            f"OUT_DIR is BIDS_DIR ({bids}). Name another folder, such as {bids / 'derivatives' / 'qsmprep'}."
        )
    if work.resolve() in (bids.resolve(), out.resolve()):
        raise UsageError(f"--work-dir {work} is also BIDS_DIR or OUT_DIR. Name a folder of its own.")
    if out.is_relative_to(bids) and out.relative_to(bids).parts[0].startswith("sub-"):
        raise UsageError(
            f"OUT_DIR {out} lies among the raw data. Name another, such as {bids / 'derivatives' / 'qsmprep'}."
        )
    description = read_description(out)
    makers = [str(entry.get("Name")) for entry in description.get("GeneratedBy", []) if isinstance(entry, dict)]
    if description and "qsmprep" not in makers:
        what = f"the output of {makers[0]}" if makers else "a dataset that qsmprep did not make"
        raise UsageError(f"OUT_DIR {out} holds {what}. Name a new folder.")
    for option, path in (
        ("--atlas", settings.atlas),
        ("--atlas-labels", settings.atlas_labels),
        ("--nipype-plugin-file", settings.nipype_plugin_file),
    ):
        if path is not None and not path.is_file():
            raise UsageError(f"{option}: there is no file {path}.")
    warnings = []
    for name, folder in (("OUT_DIR", out), ("--work-dir", work)):
        if folder.is_relative_to(bids) and folder.relative_to(bids).parts[0] not in (
            "derivatives",
            "sourcedata",
            "code",
        ):
            warnings.append(
                f"{name} {folder} lies inside BIDS_DIR but not under derivatives/: the dataset may not validate"
            )
    return warnings


def check_programs(settings: Settings) -> list[str]:
    """Make sure that what `--skull-strip` needs is installed; return warnings. A dry run may be made elsewhere.

    Raises
    ------
    EnvironmentFault
        If a program or package is not there; the message tells how to install it.
    """
    if settings.reports_only or settings.skull_strip not in ("deepbet", "synthstrip"):
        return []
    from ..mask.extract import check_program

    try:
        check_program(settings.skull_strip)
    except EnvironmentFault as fault:
        if not settings.dry_run:
            raise
        return [str(fault)]
    return []


def check_writable(folder: Path, name: str) -> None:
    """Make a folder and try to write there.

    Raises
    ------
    EnvironmentFault
        If that is not possible; the message names folder and cause.
    """
    probe = folder / f".write-test-{os.getpid()}-{secrets.token_hex(4)}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"qsmprep")
        probe.unlink()
    except OSError as error:
        raise EnvironmentFault(
            f"{name} {folder} cannot be written to: {error.strerror or error}. Name another folder, or correct its "
            "permissions."
        ) from None


def check_resources(plan: Plan, settings: Settings) -> list[str]:
    """Compare the plan's needs with the machine; return warnings.

    Raises
    ------
    EnvironmentFault
        If not even one run fits on the disk.
    """
    warnings = []
    free = shutil.disk_usage(settings.work_dir).free / 1e9
    largest = max((run.disk_gb for run in plan.runs), default=0.0)
    total = sum(run.disk_gb for run in plan.runs)
    if free < 0.3 * largest:  # files are compressed, to a third and less
        raise EnvironmentFault(
            f"--work-dir {settings.work_dir}: {free:.1f} GB are free, and one run needs up to {largest:.1f} GB. "
            "Free some space, or name a working directory on another disk with -w."
        )
    if free < total:
        warnings.append(
            f"--work-dir has {free:.1f} GB free; all runs together may need up to {total:.1f} GB (see --clean-workdir)"
        )
    warnings += [
        f"{run.name} may need {run.memory_gb:.1f} GB of memory, more than --mem-gb {settings.mem_gb:g}"
        for run in plan.runs
        if run.memory_gb > settings.mem_gb
    ]
    return warnings


def explain_os_error(error: OSError) -> QsmprepError | None:
    """An EnvironmentFault for a full disk, a missing permission or the like; None if it is something else."""
    where = f" ({error.filename})" if error.filename else ""
    known = {
        errno.ENOSPC: "the disk is full. Free some space and run again; finished stages are reused",
        errno.EDQUOT: "your disk quota is used up. Free some space and run again; finished stages are reused",
        errno.EROFS: "the file system is read-only. Name other folders",
        errno.EACCES: "permission denied. Correct the permissions, or name other folders",
        errno.EPERM: "the operation is not permitted. Correct the permissions, or name other folders",
        errno.ENOMEM: "the machine ran out of memory. Lower --nprocs, or give more memory",
        errno.EMFILE: "too many files are open. Raise the limit (ulimit -n)",
    }
    text = known.get(error.errno or 0)
    return EnvironmentFault(text + where + ".") if text else None
