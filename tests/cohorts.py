"""Simulated studies as the group level sees them, without files: many cohorts of one study side by side, or one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from qsmprep.group.analyses import run_analyses
from qsmprep.group.collect import GroupRun
from qsmprep.group.design import Design
from qsmprep.group.people import Ledger
from qsmprep.phantom.cohort import draw_cohort
from qsmprep.phantom.cohort_files import INSIDE_SD, regional_table


def many(study, repeats, rows, seed=0, values="chi"):
    """`repeats` cohorts of a study at their own size, persons of one age and at one scanner, as one table.

    Columns are regions of the cohorts: `deepgrey.putamen@7.L` is the putamen of the eighth.

    Parameters
    ----------
    rows : a function: table of regions -> those that are wanted (bool)
    values : chi, or r2star
    """
    age = (study.groups[0].age[0], 0.0)
    groups = tuple(replace(group, n=group.n * repeats, age=age) for group in study.groups)
    cohort = draw_cohort(replace(study, groups=groups, sites=(), visits=(0.0,), runs=1), seed)
    numbers = cohort.rows.index[rows(cohort.rows)]
    data = getattr(cohort, values)[:, numbers]
    sizes = [group.n for group in study.groups]
    blocks = np.split(data, np.cumsum([n * repeats for n in sizes])[:-1])
    blocks = [block.reshape(repeats, n, -1).transpose(1, 0, 2) for block, n in zip(blocks, sizes, strict=True)]
    table = np.concatenate(blocks).reshape(sum(sizes), -1)
    statistic, unit = ("chi_median", 1000) if values == "chi" else ("r2star_mean", 1)
    names = [
        f"{seg}.{name}@{k}.{side}.{statistic}"
        for k in range(repeats)
        for seg, name, side in cohort.rows.loc[numbers, ["seg", "name", "hemisphere"]].to_numpy()
    ]
    group = np.repeat([one.name for one in study.groups], sizes)
    return _people(pd.DataFrame({"group": group}), pd.DataFrame(table / unit, columns=names))


def one(study, statistics=("chi_median",), seed=0, participants=None):
    """One cohort as a wide table: all regions with these statistics, one row a scan."""
    cohort = draw_cohort(study, seed, participants)
    scans, parts = len(cohort.scans), []
    for seg, rows in cohort.rows.groupby("seg", sort=False):
        numbers = (
            array[:, rows.index].ravel() / scale
            for array, scale in ((cohort.chi, 1000), (cohort.r2star, 1), (cohort.volume, 1), (cohort.ring, 1000))
        )
        table = regional_table(pd.concat([rows] * scans, ignore_index=True), *numbers, INSIDE_SD[seg])
        label = seg + "." + rows["name"] + "." + rows["hemisphere"]
        for statistic in statistics:
            values = table[statistic].to_numpy(float).reshape(scans, -1)
            parts.append(pd.DataFrame(values, columns=label + "." + statistic))
    people = cohort.people.set_index("participant_id").loc[cohort.scans["participant_id"]].reset_index()
    people["age"] += cohort.scans["years"]
    return _people(people, pd.concat(parts, axis=1), [str(visit + 1) for visit in cohort.scans["visit"]])


def _people(people, numbers, sessions=None):
    people = people.copy()
    if "participant_id" not in people:
        people.insert(0, "participant_id", [f"sub-{i:05d}" for i in range(len(people))])
    people.insert(1, "session", sessions or "n/a")
    people.insert(2, "qc_verdict", "PASS")
    return pd.concat([people, numbers], axis=1)


def analyse(wide, **design):
    """The tables of the group level by name, and what it told."""
    runs = [
        GroupRun(f"{who}_ses-{visit}", {"subject": who.removeprefix("sub-"), "session": visit}, Path("none"))
        for who, visit in wide[["participant_id", "session"]].to_numpy()
    ]
    ledger = Ledger()
    results = run_analyses(wide, runs, Design(**{"sensitivity": "none"} | design), ledger)
    return dict(results.tables), ledger.notes
