"""A second reference of χ, to see which results depend on the first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qsmprep.group.collect import GroupRun
from qsmprep.group.design import SENSITIVITY, Design
from qsmprep.group.people import Ledger
from qsmprep.group.sample import PPB
from qsmprep.report.records import read_json

if TYPE_CHECKING:
    import pandas as pd

# where nothing else is known: cortex that the diseases of the panels spare longest
FALLBACK_REGION = "DK.lateral occipital"
KEYS = ("measure", "region", "test", "contrast")


def second_reference(
    wide: pd.DataFrame, runs: Sequence[GroupRun], design: Design, ledger: Ledger
) -> tuple[str, pd.Series] | None:
    """Name of the second reference, and its χ [ppb] in each visit, to be taken off; None if there is none.

    `References` in the sidecars of χ tell the offsets of brain, csf and wm; a region is taken from the regional tables
    (mean of its sides). "auto" takes the first of csf, wm and brain that all runs know and that is not the first
    reference, else the lateral occipital cortex.

    Parameters
    ----------
    wide : one row a run, in the order of `runs`
    """
    wanted = design.sensitivity
    if wanted == "none":
        return None
    sidecars = [read_json(run.folder / f"{run.name}_Chimap.json") for run in runs]
    names = ("csf", "wm", "brain") if wanted == "auto" else (wanted,)
    for name in names:
        found = [_shift(sidecar, name) for sidecar in sidecars]
        known = [shift is not None for shift in found]
        used = {str(sidecar.get("ReferenceRegion", "")) for sidecar in sidecars}
        if all(known) and used != {name}:
            return name, _by_visit(wide, [PPB * float(shift or 0.0) for shift in found])
    if wanted in SENSITIVITY and wanted != "auto":
        ledger.note(f"sensitivity: not every sidecar of χ knows {wanted!r} as another reference: no second reference.")
        return None
    region = FALLBACK_REGION if wanted == "auto" else wanted
    for statistic in ("chi_mean", "chi_median"):
        columns = [f"{region}.{side}.{statistic}" for side in ("L", "R", "n/a")]
        columns = [column for column in columns if column in wide]
        if columns:
            return region, _by_visit(wide, (PPB * wide[columns].mean(axis=1, skipna=False)).tolist())
    ledger.note(
        f"sensitivity: neither the sidecars of χ nor the regional tables hold a second reference ({region}): results "
        "are under one reference only. Name a region with sensitivity in the model file."
    )
    return None


def _shift(sidecar: dict[str, object], name: str) -> float | None:
    """χ [ppm] of a reference in the map as it is: the difference of both offsets."""
    references = sidecar.get("References")
    other = references.get(name) if isinstance(references, dict) else None
    if not isinstance(other, dict) or other.get("Offset") is None:
        return None
    used = sidecar.get("ReferenceOffset")
    return float(other["Offset"]) - float(used if isinstance(used, int | float) else 0.0)


def _by_visit(wide: pd.DataFrame, shifts: list[float]) -> pd.Series:
    import pandas as pd

    visits = [wide["participant_id"], wide["session"]]
    return pd.Series(shifts, index=wide.index).groupby(visits).mean()


def agreement(first: pd.DataFrame, second: pd.DataFrame, alpha: float) -> pd.DataFrame:
    """Both references side by side: a row a test of `first` that has a p-value.

    `agrees` is yes where sign and verdict (corrected p below `alpha` or not) are the same under both, else no; n/a
    where one has no number.

    Parameters
    ----------
    first, second : tables of tests with `measure`, as `analyses.run_analyses` makes them
    """
    numbers = ["estimate", "effect", "p", "p_corrected"]
    keys = list(KEYS)
    tested = first[first["p"].notna()]
    joined = tested[[*keys, *numbers]].merge(second[[*keys, *numbers]], on=keys, how="left", suffixes=("", "_second"))
    same_verdict = (joined["p_corrected"] < alpha) == (joined["p_corrected_second"] < alpha)
    sign, sign_second = (joined[f"estimate{end}"].fillna(joined[f"effect{end}"]) for end in ("", "_second"))
    same_sign = sign.isna() | sign_second.isna() | (sign * sign_second >= 0)
    known = joined["p_second"].notna()
    agrees = (same_verdict & same_sign).map({True: "yes", False: "no"})
    return joined.assign(agrees=agrees.where(known, "n/a"))
