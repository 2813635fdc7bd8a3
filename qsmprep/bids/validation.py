"""The official BIDS validator, where it is installed: summarised, never fatal."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROGRAM = "bids-validator-deno"
TIMEOUT = 600  # [s]


@dataclass(frozen=True)
class Validation:
    """Result of the validator.

    Attributes
    ----------
    note : why there is no result; empty if there is one
    errors, warnings : (code, file) pairs
    """

    note: str = ""
    errors: tuple[tuple[str, str], ...] = ()
    warnings: tuple[tuple[str, str], ...] = ()

    def lines(self, most: int = 10) -> list[str]:
        """A few lines for the log."""
        if self.note:
            return [f"BIDS validation: {self.note}"]
        if not self.errors:
            return [f"BIDS validation: no errors, {len(self.warnings)} warnings"]
        lines = [f"BIDS validation: {len(self.errors)} errors, {len(self.warnings)} warnings; processing goes on"]
        counts = Counter(code for code, _ in self.errors)
        for code, number in counts.most_common(most):
            example = next(file for other, file in self.errors if other == code)
            lines.append(f"  {code}: {number} times, for example {example}")
        return lines


def find_validator() -> str | None:
    """Path of the validator: on PATH, or beside the Python that runs."""
    beside = Path(sys.executable).parent / PROGRAM
    return shutil.which(PROGRAM) or (str(beside) if beside.is_file() else None)


def validate_dataset(
    dataset: Path,
    *,
    config: Path | None = None,
    options: Sequence[str] = (),
    timeout: float = TIMEOUT,
) -> Validation:
    """Run the validator on a dataset.

    Parameters
    ----------
    dataset : raw or derivative
    config : its configuration (bids_validator_config.json), to ignore or raise issues
    options : further options of the validator, such as --ignoreNiftiHeaders
    timeout : [s]

    Returns
    -------
    validation : with a note in place of results if the validator is absent, fails or takes too long
    """
    program = find_validator()
    if program is None:
        return Validation(f"{PROGRAM} is not installed; to have datasets checked: pip install {PROGRAM}")
    call = [program, str(dataset), "--format", "json", *(("-c", str(config)) if config else ()), *options]
    try:
        done = subprocess.run(call, capture_output=True, text=True, timeout=timeout, check=False)
        content = json.loads(done.stdout)
        issues = content["issues"]["issues"]
    except subprocess.TimeoutExpired:
        return Validation(f"{PROGRAM} was stopped after {timeout:.0f} s")
    except (OSError, ValueError, KeyError, TypeError) as error:
        return Validation(f"{PROGRAM} gave no result ({error})")
    return Validation(errors=_pick(issues, "error"), warnings=_pick(issues, "warning"))


def _pick(issues: list[dict[str, Any]], severity: str) -> tuple[tuple[str, str], ...]:
    return tuple(
        (str(issue.get("code")) + (f" {issue['subCode']}" if issue.get("subCode") else ""), str(issue.get("location")))
        for issue in issues
        if issue.get("severity") == severity
    )
