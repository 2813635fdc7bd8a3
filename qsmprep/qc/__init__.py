"""Quality numbers of a run and the verdict drawn from them."""

from .metrics import metric_definitions, run_metrics
from .verdict import Verdict, judge

__all__ = ["Verdict", "judge", "metric_definitions", "run_metrics"]
