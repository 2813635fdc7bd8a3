"""Numbers and maps over all participants, from the output dataset alone."""

from qsmprep.group.run import run_group

__all__ = ["run_group"]
