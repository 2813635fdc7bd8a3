"""Files that are being written: under a temporary name until whole, and removed where a killed run left them."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import re
import secrets
import socket
import time
from pathlib import Path

logger = logging.getLogger("qsmprep")
# the name says who writes: on a shared disk other machines may be at work in the same folder
_NAME = ".tmp-{host}-{process}-{unique}_{name}"
_PATTERN = re.compile(r"\.tmp-(?P<host>[A-Za-z0-9]+)-(?P<process>\d+)-[0-9a-f]{8}_")
_ELSEWHERE_SECONDS = 3600  # no single file takes another machine this long, and clocks differ by less


def write_temporary(path: Path, content: bytes) -> Path:
    """Write what is to become `path` to the disk, under a name of its own beside it, which is returned."""
    path.parent.mkdir(parents=True, exist_ok=True)
    name = _NAME.format(host=_host(), process=os.getpid(), unique=secrets.token_hex(4), name=path.name)
    temporary = path.with_name(name)
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def remove_leftovers(folder: Path, *, deep: bool = True) -> list[Path]:
    """Remove the temporary files of runs that were killed; those of runs at work stay.

    A file of this machine is a leftover where the process that wrote it is gone; one of another machine or container,
    whose processes cannot be seen from here, where it is an hour old.

    Parameters
    ----------
    folder : part of the output dataset; it need not exist
    deep : look into its folders as well

    Returns
    -------
    list of Path
        What was removed.
    """
    removed = []
    for path in sorted(folder.glob("**/.tmp-*" if deep else ".tmp-*")):
        try:
            if _is_left(path):
                path.unlink()
                removed.append(path)
        except FileNotFoundError:  # renamed or removed in the meantime
            continue
        except OSError as error:  # of another user: no reason not to run
            logger.debug("the leftover %s stays: %s", path, error)
    return removed


def _is_left(path: Path) -> bool:
    writer = _PATTERN.match(path.name)
    if writer is None:
        return False
    if writer["host"] == _host():
        return not _is_alive(int(writer["process"]))
    return time.time() - path.stat().st_mtime > _ELSEWHERE_SECONDS


@functools.cache
def _host() -> str:
    """Name of this machine and container, short enough to leave room for a BIDS name."""
    name = socket.gethostname()[:24]
    with contextlib.suppress(OSError):
        # containers may share the machine's name, but not its process numbers
        name += str(Path("/proc/self/ns/pid").readlink())
    return re.sub(r"[^A-Za-z0-9]", "", name) or "localhost"


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # of another user
        return True
    return True
