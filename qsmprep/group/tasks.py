"""The analyses in the order in which they run."""

from __future__ import annotations

from qsmprep.group import between, classification, diagnosis, longitudinal, models, relations, reliability
from qsmprep.group.analyses import Task

TASKS: tuple[Task, ...] = (
    Task(("welch", "mannwhitney"), "comparisons", between.two_groups),
    Task(("anova", "welch_anova", "kruskal"), "comparisons", between.many_groups),
    Task(("tukey", "games_howell", "dunn"), "comparisons", between.posthoc),
    Task(("glm",), "models", models.glm),
    Task(("mancova",), "panel_tests", models.mancova),
    Task(("power",), "power", models.power, tests=False),
    Task(("glm",), "adjusted_means", models.adjusted_means, tests=False),
    Task(("pearson", "spearman", "partial", "regression"), "scores", relations.scores),
    Task(("coupling",), "scores", relations.coupling),
    Task(("roc",), "diagnosis", diagnosis.roc),
    Task(("cutoff",), "cutoffs", diagnosis.cutoff, tests=False),
    Task(("classify",), "classification", classification.classify, tests=False, raw=True),
    Task(("paired",), "longitudinal", longitudinal.paired),
    Task(("rates",), "longitudinal", longitudinal.rates),
    Task(("rates",), "rates", longitudinal.individual_rates, tests=False),
    Task(("mixed",), "longitudinal", longitudinal.mixed),
    Task(("reliability",), "reliability", reliability.reliability, tests=False),
)
