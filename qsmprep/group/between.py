"""Differences between groups, region by region."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qsmprep.group.contrasts import contrasts_of
from qsmprep.group.design import Design
from qsmprep.group.people import Ledger
from qsmprep.group.sample import Sample

if TYPE_CHECKING:
    import pandas as pd


def two_groups(sample: Sample, design: Design, ledger: Ledger) -> pd.DataFrame:
    """Welch's t and Mann-Whitney tests of every contrast."""
    import pandas as pd

    from qsmprep.stats import compare

    tests = [test for test in ("welch", "mannwhitney") if design.asks(test)]
    here = sample.at_baseline()
    tables = [
        compare.two_groups(table, contrast.sides, [(contrast.first, contrast.second)], tests).assign(measure=measure)
        for contrast in contrasts_of(here, design, ledger)
        for measure, table in here.tables.items()
    ]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def many_groups(sample: Sample, design: Design, ledger: Ledger) -> pd.DataFrame:
    """Analysis of variance, Welch's and Kruskal and Wallis', where there are three groups or more."""
    import pandas as pd

    from qsmprep.stats import compare

    if len(sample.groups) < 3 or not sample.tables:
        return pd.DataFrame()
    tests = [test for test in ("anova", "welch_anova", "kruskal") if design.asks(test)]
    here = sample.at_baseline()
    tables = [
        compare.many_groups(table, here.people[design.groups], sample.groups, tests).assign(measure=measure)
        for measure, table in here.tables.items()
    ]
    return pd.concat(tables, ignore_index=True)


def posthoc(sample: Sample, design: Design, ledger: Ledger) -> pd.DataFrame:
    """All pairs of three groups or more, with p-values that hold for all pairs of a region together."""
    import pandas as pd

    from qsmprep.stats import posthoc as of

    tests = [test for test in of.TESTS if design.asks(test)]
    if len(sample.groups) < 3 or not sample.tables:
        return pd.DataFrame()
    here = sample.at_baseline()
    tables = [
        of.posthoc(table, here.people[design.groups], sample.groups, tests).assign(measure=measure)
        for measure, table in here.tables.items()
    ]
    return pd.concat(tables, ignore_index=True)
