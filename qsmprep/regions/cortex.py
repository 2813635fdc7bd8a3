"""Cortical regions held to grey matter: a ribbon thinner than two voxels has white matter and fluid in most of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

DEFINITION_VERSION = "1"
MEAN, FRACTION = "chi_gm_mean", "gm_fraction"
LEAST_GREY = 1.0
"""Grey matter [voxels] in a region at least, for a mean of it."""


def grey_matter_definitions() -> dict[str, dict[str, str]]:
    """Meaning and unit of the columns that `add_grey_matter` adds."""
    told = {
        MEAN: (
            "Mean of χ over the n_voxels voxels of a cortical region, each weighted by its fraction of grey matter "
            "(that of label-GM_probseg); n/a outside the cortex, and where that is less than one voxel in all",
            "ppm",
        ),
        FRACTION: ("Mean fraction of grey matter over those voxels; n/a outside the cortex", "1"),
    }
    return {
        name: {"Description": text, "Units": unit, "DefinitionVersion": DEFINITION_VERSION}
        for name, (text, unit) in told.items()
    }


def cortical_regions(lookup: Path | str) -> set[int]:
    """Indices of a table of labels whose abbreviation is that of a region of FreeSurfer's cortex (Desikan-Killiany)."""
    import pandas as pd

    from .. import data

    def read(path: Path | str) -> pd.DataFrame:
        return pd.read_csv(path, sep="\t", keep_default_na=False)

    names = {str(name) for name in read(data.freesurfer_labels("aparcaseg"))["abbreviation"]}
    cortex = {name.removeprefix("ctx-lh-") for name in names if name.startswith("ctx-lh-")}
    own = read(lookup)
    return {int(index) for index in own.loc[own["abbreviation"].isin(cortex), "index"]}


def add_grey_matter(
    table: pd.DataFrame,
    cortical: set[int],
    labels: NDArray[np.integer[Any]],
    counted: NDArray[np.bool_],
    chi: NDArray[np.floating[Any]],
    grey: NDArray[np.floating[Any]],
) -> pd.DataFrame:
    """A regional table with the columns chi_gm_mean [ppm] and gm_fraction.

    Parameters
    ----------
    table : as `region_table` gives it
    cortical : indices of the regions that lie in the cortex
    labels : (x, y, z) integer array
    counted : (x, y, z) bool array, voxels that count
    chi : (x, y, z) array [ppm]
    grey : (x, y, z) array, fraction of grey matter in each voxel, 0 to 1

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    for name, values in {"counted": counted, "chi": chi, "grey": grey}.items():
        if values.shape != labels.shape:
            raise ValueError(f"labels have shape {labels.shape}, {name} has {values.shape}")
    inside, weight = labels[counted], grey[counted].astype(np.float64)
    indices = table["index"].to_numpy(int)
    size = int(max(indices.max(initial=0), inside.max(initial=0))) + 1
    voxels = np.bincount(inside, minlength=size)[indices]
    amount = np.bincount(inside, weight, minlength=size)[indices]
    total = np.bincount(inside, weight * chi[counted], minlength=size)[indices]
    cortex = np.isin(indices, list(cortical))
    missing = np.full(len(indices), np.nan)
    mean = np.divide(total, amount, out=missing.copy(), where=cortex & (amount >= LEAST_GREY))
    fraction = np.divide(amount, voxels, out=missing.copy(), where=cortex & (voxels > 0))
    return table.assign(**{MEAN: mean, FRACTION: fraction})
