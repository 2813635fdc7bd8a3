"""Change over time in every person: years between visits, annualised rates, and how they differ between groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from . import compare
from ._frames import aligned, frame

FAR_FROM_ZERO = 20.0  # ppb; χ has no absolute zero: a percentage of less is a percentage of the choice of reference
_YEAR = 365.25 * 86400  # s


def years_since_first(
    participants: pd.Series[Any], dates: pd.Series[Any] | None = None, ages: pd.Series[Any] | None = None
) -> pd.Series[float]:
    """Years from each person's first visit, NaN where a visit has no time.

    Parameters
    ----------
    participants
        The participant of each visit.
    dates
        Date or date and time of each visit (BIDS' ``acq_time``; dates that were moved for anonymity are as good). Used
        for persons all of whose visits have one; a year has 365.25 days.
    ages
        Age at each visit [years], for the other persons. Ages are often rounded to whole years, so dates come first.
    """
    out = pd.Series(np.nan, index=participants.index, dtype=float)
    if dates is not None:
        when = pd.to_datetime(dates, errors="coerce", format="mixed", utc=True)
        whole = when.notna().groupby(participants).transform("all")
        since = when - when.groupby(participants).transform("min")
        out = (since.dt.total_seconds() / _YEAR).where(whole)
    if ages is not None:
        age = pd.to_numeric(ages, errors="coerce").astype(float)
        undated = out.isna().groupby(participants).transform("all")
        out = out.fillna((age - age.groupby(participants).transform("min")).where(undated))
    return out


def annual_rates(
    values: pd.DataFrame, participants: pd.Series[Any], years: pd.Series[Any], far: float = FAR_FROM_ZERO
) -> pd.DataFrame:
    """Least-squares slope of each person's values over time.

    Parameters
    ----------
    values
        Visits x regions [ppb]; NaN are left out region by region.
    participants, years
        The participant of each visit, and its time [years] from any origin.
    far
        [ppb] A percentage is given only where the line's value at the person's first visit is this far from 0.

    Returns
    -------
    pandas.DataFrame
        One row per participant and region: `participant`, `region`, `visits`, `span` [years], `baseline` (the line at
        the first visit) [ppb], `rate` [ppb/year], `rate_se` (of three visits and more), `percent` [%/year], `note`.
    """
    who = aligned(values, participants)
    long = pd.DataFrame(
        {
            "participant": np.repeat(who.to_numpy(object), values.shape[1]),
            "region": np.tile(values.columns.astype(str), len(values)),
            "y": values.to_numpy(float).ravel(),
            "t": np.repeat(aligned(values, years).to_numpy(float), values.shape[1]),
        }
    )
    pairs = ["participant", "region"]
    everyone = pd.MultiIndex.from_product([who.dropna().unique(), values.columns.astype(str)], names=pairs)
    long = long[np.isfinite(long["y"]) & np.isfinite(long["t"])]
    means = long.groupby(pairs)[["y", "t"]].transform("mean")
    ty, tt = (long["t"] - means["t"]) * (long["y"] - means["y"]), (long["t"] - means["t"]) ** 2
    yy = (long["y"] - means["y"]) ** 2
    sums = long.assign(ty=ty, tt=tt, yy=yy).groupby(pairs)
    found = sums[["ty", "tt", "yy"]].sum().join(sums[["y", "t"]].mean()).reindex(everyone)
    found["visits"] = sums.size().reindex(everyone, fill_value=0)
    found["span"] = (sums["t"].max() - sums["t"].min()).reindex(everyone)
    usable = found["tt"] > 0
    found["rate"] = (found["ty"] / found["tt"]).where(usable)
    found["baseline"] = found["y"] + found["rate"] * (sums["t"].min().reindex(everyone) - found["t"])
    left = (found["yy"] - found["rate"] * found["ty"]).clip(lower=0)
    found["rate_se"] = np.sqrt(left / (found["visits"] - 2).where(found["visits"] > 2) / found["tt"])
    found["percent"] = (100 * found["rate"] / found["baseline"].abs()).where(found["baseline"].abs() >= far)
    found["note"] = np.where(
        usable, "", np.where(found["visits"] < 2, "fewer than two visits", "all visits at one time")
    )
    near = usable & found["percent"].isna()
    found.loc[near, "note"] = f"no percentage: less than {far:g} ppb from 0"
    columns = ["visits", "span", "baseline", "rate", "rate_se", "percent", "note"]
    return found[columns].reset_index()


def compare_rates(
    rates: pd.DataFrame,
    groups: pd.Series[Any],
    pairs: Sequence[tuple[str, str]],
    tests: Sequence[str] = compare.TWO_GROUPS,
    column: str = "rate",
    level: float = 0.95,
) -> pd.DataFrame:
    """Each group's mean rate against 0, and the difference of rates between groups.

    Parameters
    ----------
    rates
        From `annual_rates`.
    groups
        Group of each participant (index).
    pairs, tests, level
        As in `compare.two_groups`.
    column
        ``rate`` [ppb/year] or ``percent`` [%/year].

    Returns
    -------
    pandas.DataFrame
        One row per region and group (one-sample t test), and per region, pair and test. Everyone's rate counts alike,
        be it of two visits or of ten: where numbers of visits differ much, use `mixed.mixed_models`.
    """
    wide = rates.set_index(["participant", "region"])[column].unstack()[list(dict.fromkeys(rates["region"]))]  # noqa: PD010
    of = groups.reindex(wide.index)
    parts = []
    for name in dict.fromkeys(group for pair in pairs for group in pair):
        mine = wide[(of == name).to_numpy()]
        alone = compare.paired(mine, mine * 0.0, f"rate in {name}", ("paired_t",), level)
        counts = [f"{name} {int(n)}" for n in alone["n"]]
        notes = [
            note.replace("complete pairs", f"in group {name}").replace("differences", "rates") for note in alone["note"]
        ]
        parts.append(alone.assign(test=f"annual {column}, one-sample t", n_groups=counts, note=notes))
    if pairs:
        between = compare.two_groups(wide, of, pairs, tests, level)
        parts.append(between.assign(test=f"annual {column}, " + between["test"]))
    return pd.concat(parts, ignore_index=True) if parts else frame([])
