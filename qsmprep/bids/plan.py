"""From a dataset to a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .model import Echo, Plan, Run, Skipped

if TYPE_CHECKING:
    from ..settings import Settings

__all__ = ["Echo", "Plan", "Run", "Skipped", "make_plan"]


def make_plan(settings: Settings) -> Plan:
    """Find what can be processed."""
    raise NotImplementedError
