"""The validator, for the datasets that the phantom writes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def validator_errors():
    """A function: dataset -> what the BIDS validator calls errors."""
    validator = Path(sys.executable).with_name("bids-validator-deno")
    if not validator.exists():
        pytest.skip(f"{validator} is not installed (test extra)")

    def run(dataset):
        command = [validator, dataset, "--ignoreWarnings", "--format", "json"]
        report = json.loads(subprocess.run(command, capture_output=True, text=True).stdout)
        return [issue for issue in report["issues"]["issues"] if issue["severity"] == "error"]

    return run
