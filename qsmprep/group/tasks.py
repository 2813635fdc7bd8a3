"""The analyses in the order in which they run."""

from __future__ import annotations

from qsmprep.group.analyses import Task

TASKS: tuple[Task, ...] = ()
