"""What `group.html` shows of the voxel-wise tests: maps of t and F, where they hold, and the clusters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qsmprep.bids.derivatives import sidecar_path
from qsmprep.group.quantities import QUANTITIES
from qsmprep.report.page import data_uri
from qsmprep.report.records import read_json

COLOURS = {"t": (-6.0, 6.0, "RdBu_r"), "F": (0.0, 20.0, "viridis")}  # limits and colour map
MANY_CLUSTERS = 30  # rows on the page; clusters.tsv has all
HEADS = {
    "map": "Map",
    "contrast": "Contrast",
    "region": "Region at the peak",
    "size_mm3": "mm³",
    "statistic_name": "",
    "peak_statistic": "Peak",
    "peak_x": "x",
    "peak_y": "y",
    "peak_z": "z",
    "p_tfce": "p TFCE",
    "p_mass": "p mass",
    "p_peak": "p peak",
}


def voxel_view(written: Sequence[Path], folder: Path, alpha: float) -> dict[str, Any]:
    """Pictures and rows for the page; {} where nothing was tested.

    Parameters
    ----------
    written : what `run_voxelwise` wrote
    folder : `group/`
    alpha : below it a family-wise p-value counts
    """
    import nibabel as nib

    maps = []
    for path in written:
        facts = read_json(sidecar_path(path))
        name = facts.get("Statistic", "")
        if not name or f"_desc-{name}_" not in path.name:
            continue
        image: Any = nib.load(path)
        logp: Any = nib.load(path.with_name(path.name.replace(f"_desc-{name}_", "_desc-logpTfce_")))
        values, holds = np.asanyarray(image.dataobj), np.asanyarray(logp.dataobj) > -math.log10(alpha)
        what = f"{QUANTITIES[facts['Map']].symbol}, {facts['Contrast']}: {_statistic(facts)}"
        stem = folder / "figures" / path.name.split(".")[0]
        title = f"{what}, {len(facts['Participants'])} participants, {facts['Permutations']} permutations"
        maps.append(_picture(values, image.affine, values != 0, Path(f"{stem}.webp"), title, name))
        if holds.any():
            title = f"{what} in the {int(holds.sum())} voxels with p < {alpha:g} (TFCE, family-wise)"
            brain = values != 0
            maps.append(_glass(values, image.affine, brain, holds, Path(f"{stem}_glass.webp"), title, name))
            maps.append(_picture(values, image.affine, holds, Path(f"{stem}_holds.webp"), title, name, box=brain))
    tables = [path for path in written if path.name == "clusters.tsv"]
    if not tables:
        return {}
    terms = any("_desc-F_" in path.name for path in written)
    return {"maps": maps, "heads": list(HEADS.values()), "terms": terms, **_rows(tables[0])}


def _statistic(facts: Mapping[str, Any]) -> str:
    """`t(14)`, `F(2, 57)`."""
    degrees = np.ravel(facts["DegreesOfFreedom"]).tolist()
    return f"{facts['Statistic']}({', '.join(str(one) for one in degrees)})"


def _picture(values: Any, affine: Any, shown: Any, out: Path, title: str, name: str, box: Any = None) -> dict[str, str]:
    from qsmprep.report.figures import plot_map

    low, high, cmap = COLOURS[name]
    within = shown if box is None else box
    plot_map(values, affine, within, out, vmin=low, vmax=high, cmap=cmap, unit=name, title=title, shown=shown)
    return {"title": title, "uri": data_uri(out)}


def _glass(values: Any, affine: Any, brain: Any, holds: Any, out: Path, title: str, name: str) -> dict[str, str]:
    from qsmprep.report.glass import plot_glass

    low, high, cmap = COLOURS[name]
    plot_glass(values, affine, brain, holds, out, limit=high, low=low, cmap=cmap, unit=name, title=title)
    return {"title": title, "uri": data_uri(out)}


def _rows(table: Path) -> dict[str, Any]:
    import pandas as pd

    clusters = pd.read_csv(table, sep="\t", na_values=["n/a"], keep_default_na=False)
    clusters["map"] = [QUANTITIES[name].symbol for name in clusters["map"]]
    strongest = clusters.sort_values(["p_tfce", "p_mass"]).head(MANY_CLUSTERS)
    rows = [[_cell(value) for value in row] for row in strongest[list(HEADS)].itertuples(index=False)]
    return {"rows": rows, "n_clusters": len(clusters)}


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if math.isnan(value) else f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
