"""What `group.html` shows of the voxel-wise tests: maps of t, where they hold, and the clusters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qsmprep.bids.derivatives import sidecar_path
from qsmprep.report.page import data_uri
from qsmprep.report.records import read_json

T_RANGE = 6.0  # of the colours
MANY_CLUSTERS = 30  # rows on the page; clusters.tsv has all
HEADS = {
    "contrast": "Contrast",
    "region": "Region at the peak",
    "size_mm3": "mm³",
    "peak_statistic": "t",
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

    from qsmprep.report.glass import plot_glass

    maps = []
    for path in written:
        if "_desc-t_" not in path.name:
            continue
        image: Any = nib.load(path)
        logp: Any = nib.load(path.with_name(path.name.replace("_desc-t_", "_desc-logpTfce_")))
        t, affine, facts = np.asanyarray(image.dataobj), image.affine, read_json(sidecar_path(path))
        holds = np.asanyarray(logp.dataobj) > -math.log10(alpha)
        name, n = facts["Contrast"], len(facts["Participants"])
        stem = path.name.split(".")[0]
        title = f"{name}: t, {n} participants, {facts['Permutations']} permutations"
        maps.append(_picture(t, affine, t != 0, folder / "figures" / f"{stem}.webp", title))
        if holds.any():
            title = f"{name}: t in the {int(holds.sum())} voxels with p < {alpha:g} (TFCE, family-wise)"
            glass = plot_glass(
                t,
                affine,
                t != 0,
                holds,
                folder / "figures" / f"{stem}_glass.webp",
                limit=T_RANGE,
                unit="t",
                title=title,
            )
            maps.append({"title": title, "uri": data_uri(glass)})
            maps.append(_picture(t, affine, holds, folder / "figures" / f"{stem}_holds.webp", title, box=t != 0))
    tables = [path for path in written if path.name == "clusters.tsv"]
    return {"maps": maps, "heads": list(HEADS.values()), **_rows(tables[0])} if tables else {}


def _picture(t: Any, affine: Any, shown: Any, out: Path, title: str, box: Any = None) -> dict[str, str]:
    from qsmprep.report.figures import plot_map

    within = shown if box is None else box
    plot_map(
        t, affine, within, out, vmin=-T_RANGE, vmax=T_RANGE, cmap="RdBu_r", unit="t", title=title, shown=shown
    )  # fmt: skip
    return {"title": title, "uri": data_uri(out)}


def _rows(table: Path) -> dict[str, Any]:
    import pandas as pd

    clusters = pd.read_csv(table, sep="\t", na_values=["n/a"], keep_default_na=False)
    strongest = clusters.sort_values(["p_tfce", "p_mass"]).head(MANY_CLUSTERS)
    rows = [[_cell(value) for value in row] for row in strongest[list(HEADS)].itertuples(index=False)]
    return {"rows": rows, "n_clusters": len(clusters)}


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if math.isnan(value) else f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
