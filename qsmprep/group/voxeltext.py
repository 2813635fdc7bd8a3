"""What a paper says of the voxel-wise tests: how they were done, and where they hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qsmprep.bids.derivatives import sidecar_path
from qsmprep.group.design import Design
from qsmprep.group.quantities import QUANTITIES
from qsmprep.group.writeup import p_text
from qsmprep.report.records import read_json

if TYPE_CHECKING:
    import pandas as pd

NAMED = 8  # clusters that a paragraph tells one by one; clusters.tsv has them all
FREEDMAN_LANE = "Freedman and Lane 1983, doi 10.2307/1391660; Winkler 2014, doi 10.1016/j.neuroimage.2014.01.060"
TFCE = "Smith and Nichols 2009, doi 10.1016/j.neuroimage.2008.03.061"


def voxel_text(written: Sequence[Path], design: Design, space: str) -> tuple[list[str], list[str]]:
    """Results, a paragraph a map and contrast, and sentences for the methods; nothing where nothing was tested.

    Parameters
    ----------
    written : what `run_voxelwise` wrote
    space : name of the space, `study` for that of the participants' own template
    """
    import pandas as pd

    tests = [facts for path in written if (facts := _facts(path))]
    tables = [path for path in written if path.name == "clusters.tsv"]
    if not tests or not tables:
        return [], []
    clusters = pd.read_csv(tables[0], sep="\t", na_values=["n/a"], keep_default_na=False)
    results = []
    for facts in tests:
        mine = clusters[(clusters["map"] == facts["Map"]) & (clusters["contrast"] == facts["Contrast"])]
        results.append(_paragraph(facts, mine, design.alpha))
    return results, [_methods(tests, design, space)]


def _facts(path: Path) -> dict[str, Any]:
    """Sidecar of an image of t or F; empty for any other file."""
    facts = read_json(sidecar_path(path)) if path.name.endswith(".nii.gz") else {}
    name = facts.get("Statistic", "")
    return facts if name and f"_desc-{name}_" in path.name else {}


def _paragraph(facts: Mapping[str, Any], clusters: pd.DataFrame, alpha: float) -> str:
    who, symbol = len(facts["Participants"]), QUANTITIES[facts["Map"]].symbol
    head = f"Voxel-wise, {facts['Contrast']} ({symbol}, n = {who}): "
    found = clusters[clusters["p_tfce"] < alpha].sort_values(["p_tfce", "size_mm3"], ascending=[True, False])
    if found.empty:
        least = clusters["p_tfce"].min()
        closest = f"; the smallest {p_text(least)}" if least == least else ""
        return f"{head}no voxel of {facts['Voxels']} holds (family-wise p < {alpha:g} by TFCE{closest})."
    count = f"{len(found)} cluster{'s' if len(found) > 1 else ''}"
    more = f". Further: {len(found) - NAMED} in the table" if len(found) > NAMED else ""
    told = ". ".join(_cluster(row, facts) for _, row in found.head(NAMED).iterrows())
    return f"{head}{count} with a family-wise p < {alpha:g} by TFCE. {told}{more}."


def _cluster(row: pd.Series[Any], facts: Mapping[str, Any]) -> str:
    place = ", ".join(f"{row[key]:.0f}" for key in ("peak_x", "peak_y", "peak_z"))
    where = row["region"] if isinstance(row["region"], str) and row["region"] else "no labelled region"
    degrees = facts["DegreesOfFreedom"]
    df = ", ".join(f"{one:g}" for one in (degrees if isinstance(degrees, list) else [degrees]))
    peak = f"{facts['Statistic']}({df}) = {row['peak_statistic']:.2f}"
    return f"{where}: peak {peak} at ({place}) mm, {row['size_mm3']:.0f} mm³, {p_text(row['p_tfce'])}"


def _methods(tests: Sequence[Mapping[str, Any]], design: Design, space: str) -> str:
    symbols = dict.fromkeys(QUANTITIES[facts["Map"]].symbol for facts in tests)
    first = tests[0]
    where = "of the study template" if space == "study" else f"of {space}"
    smoothed = f" after smoothing by a Gaussian of {design.fwhm:g} mm inside tissues" if design.fwhm else ""
    blocks = f", within each {design.site}" if first.get("PermutedWithin") else ""
    drawn = "all permutations" if first["Exhaustive"] else f"{first['Permutations']} permutations"
    return (
        f"Maps of {' and '.join(symbols)} were tested voxel by voxel in the space {where}{smoothed}, by {drawn}"
        f"{blocks} ({FREEDMAN_LANE}) with threshold-free cluster enhancement ({TFCE}); "
        "p-values are family-wise over the voxels of one map and contrast."
    )
