"""The analyses in the order in which they run."""

from __future__ import annotations

from qsmprep.group import between, diagnosis, longitudinal, models, reliability
from qsmprep.group.analyses import Task

TASKS: tuple[Task, ...] = (
    Task(("welch", "mannwhitney"), "comparisons", between.two_groups),
    Task(("anova", "welch_anova", "kruskal"), "comparisons", between.many_groups),
    Task(("glm",), "models", models.glm),
    Task(("glm",), "adjusted_means", models.adjusted_means, tests=False),
    Task(("roc",), "diagnosis", diagnosis.roc),
    Task(("cutoff",), "cutoffs", diagnosis.cutoff, tests=False),
    Task(("paired",), "longitudinal", longitudinal.paired),
    Task(("reliability",), "reliability", reliability.reliability, tests=False),
)
