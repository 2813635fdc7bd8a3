"""Run a command and report its wall time and the peak memory of its whole process tree.

    python benchmarks/measure.py [--out FILE.json] COMMAND [ARGUMENT ...]

Memory is the sum of the proportional set sizes (shared pages counted once), read from /proc every second.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path


def _children(root: int) -> set[int]:
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        parents.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, waiting = set(), [root]
    while waiting:
        pid = waiting.pop()
        found.add(pid)
        waiting.extend(parents.get(pid, []))
    return found


def _pss_kib(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    except OSError:
        pass
    return 0


def measure(command: list[str]) -> dict[str, float]:
    """Wall time [s], peak memory [GB] and exit code of a command."""
    begun = time.monotonic()
    process = subprocess.Popen(command)
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(_pss_kib(pid) for pid in _children(process.pid)))
        time.sleep(1.0)
    return {
        "seconds": round(time.monotonic() - begun, 1),
        "peak_gb": round(peak * 1024 / 1e9, 2),
        "exit_code": process.returncode,
    }


def main(arguments: list[str]) -> int:
    out = None
    if arguments[:1] == ["--out"]:
        out, arguments = Path(arguments[1]), arguments[2:]
    if not arguments:
        print(__doc__, file=sys.stderr)
        return 2
    result = measure(arguments)
    print(json.dumps(result))
    if out:
        out.write_text(json.dumps(result) + "\n")
    return int(result["exit_code"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
