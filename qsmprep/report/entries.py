"""Facts that the entries of a plan tell, and how runs are counted in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def has_magnitude(run: Mapping[str, Any]) -> bool:
    """Whether an entry of the plan has a magnitude, given or from real and imaginary part."""
    return all(echo.get("magnitude") or echo.get("real") for echo in run["echoes"])


def has_r2star(run: Mapping[str, Any]) -> bool:
    """Whether R2* can be told of an entry of the plan."""
    return len(run["echoes"]) > 1 and has_magnitude(run)


def offset_removable(run: Mapping[str, Any]) -> bool:
    """Whether the phase at TE 0 can be told of an entry of the plan: not by one echo, nor by one of each polarity."""
    echoes = run["echoes"]
    polarities = {int(echo.get("number", place)) % 2 for place, echo in enumerate(echoes, 1)}
    return len(echoes) > 1 and not (run.get("bipolar") and len(echoes) == len(polarities))


def brain_finder(settings: Mapping[str, Any], run: Mapping[str, Any]) -> tuple[str, str]:
    """What found the brain of an entry of the plan, and on which image: (method, "T1w", "gre" or "")."""
    if run.get("mask") or run.get("t1w_mask"):
        return "precomputed", "gre" if run.get("mask") else "T1w"
    extracts = settings.get("normalization", True) and has_magnitude(run)
    method = str(run.get("skull_strip") or ("ants" if extracts else "quality"))
    return method, "" if method == "quality" else "T1w" if run.get("t1w") else "gre"


def count(n: int, noun: str) -> str:
    """A number with its noun, in the plural where it has to be."""
    return f"{n} {noun}{'' if n == 1 else 'es' if noun.endswith('o') else 's'}"


def count_runs(n: int) -> str:
    """A number of runs."""
    return count(n, "run")
