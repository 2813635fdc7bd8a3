"""What this machine, or the container we are in, has to give."""

from __future__ import annotations

import os
from pathlib import Path


def available_cpus() -> int:
    """CPUs this process may use: the affinity mask and a container's (cgroup v2) quota both count."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    quota = _cgroup_value("cpu.max")
    if quota and quota[0] != "max":
        cpus = min(cpus, max(1, int(quota[0]) // int(quota[1])))
    return max(1, cpus)


def available_memory_gb() -> float:
    """90 % of the memory this machine, or the container (cgroup v2) we are in, has [GB]."""
    total = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    limit = _cgroup_value("memory.max")
    if limit and limit[0] != "max":
        total = min(total, float(limit[0]))
    return round(0.9 * total / 1e9, 1)


def _cgroup_value(name: str) -> list[str] | None:
    try:
        return (Path("/sys/fs/cgroup") / name).read_text().split() or None
    except OSError:
        return None
