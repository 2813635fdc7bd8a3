"""One row a region: how large it is, how much of it is known, and how its values are spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from .partial_volume import partial_volume_means
from .statistics import SIGNED, SPREAD, UNITLESS, left_minus_right, mean_of, rim_distance, ring, ring_box

DEFINITION_VERSION = "4"
"""Of the numbers' definitions; it goes up whenever one is changed or added."""

MAPS = {"chi": ("susceptibility χ", "ppm"), "r2star": ("R2*", "1/s")}
# columns that look at more than the values of one region
WIDER = {
    "chi_pv_mean": (
        "Mean of χ, each voxel that counts weighted by the fraction of it that the region of the atlas fills (linear "
        "interpolation of the region's indicator); not given for a region whose border was found on χ or drawn by hand",
        "ppm",
    ),
    "chi_total": ("Total susceptibility: mean times volume of the n_voxels voxels", "ppm*mm^3"),
    "chi_left_minus_right": ("Mean on the left minus mean on the right; the same in both rows", "ppm"),
    "chi_asymmetry": (
        "Left minus right over the mean of both; not given where either is within 20 ppb of 0 or their signs differ",
        "1",
    ),
    "chi_ring_contrast": (
        "Mean minus the mean of what lies 2 to 5 mm around the region, inside the mask and in no other region",
        "ppm",
    ),
    "snr": (
        "Signal-to-noise ratio: absolute value of chi_mean over the median noise of the field map [ppm], that of "
        "desc-noise_fieldmap, over those of the n_voxels voxels where it is finite and above 0. It depends on the "
        "reference, and the inversion changes noise: to compare regions and runs of one protocol",
        "1",
    ),
    "rim_distance": ("Mean distance of the n_voxels voxels to the rim of the mask", "mm"),
    "outlier_fraction": (
        "Fraction of the n_voxels voxels whose field is not to be trusted (infinite noise of the field map)",
        "1",
    ),
    "refined": (
        "1: the region's border was found on χ; 0: χ could not tell it, and the region is where the atlas looks for "
        "it; n/a: the region is as the atlas has it",
        "1",
    ),
    "contrast_neighbour": ("chi_mean minus that of the neighbour on the same side", "ppm"),
}
NEIGHBOUR = (
    "Name of the region that this one is compared with, with its segmentation and a dot before it where that is "
    "another; n/a where there is none"
)


@dataclass(frozen=True)
class AtlasPlace:
    """An atlas on its own grid, and where in its space the voxels of a map lie.

    ``labels`` is an (i, j, k) integer array, ``affine`` its voxel-to-world matrix [mm], ``positions`` an (x, y, z, 3)
    array [mm].
    """

    labels: NDArray[np.integer[Any]]
    affine: NDArray[np.floating[Any]]
    positions: NDArray[np.floating[Any]]


def column_definitions() -> dict[str, dict[str, str]]:
    """Meaning and unit of every column of `region_table`, for the JSON beside it."""
    columns = {
        "index": {"Description": "Value of the region in the label image"},
        "name": {"Description": "Name of the region"},
        "hemisphere": {"Description": "L: the person's left, R: the person's right, n/a: midline or both sides"},
        "n_voxels": {
            "Description": "Voxels of the region inside the mask in which χ is known, without those that were left out",
            "Units": "1",
        },
        "volume_mm3": {"Description": "Volume of all voxels of the region, inside that mask or not", "Units": "mm^3"},
        "coverage": {"Description": "n_voxels as a fraction of all voxels of the region", "Units": "1"},
    }
    for prefix, (what, units) in MAPS.items():
        for statistic, (_, text) in SPREAD.items():
            described = f"{text} of {what} over the n_voxels voxels; zeros count"
            columns[f"{prefix}_{statistic}"] = _defined(described, "1" if statistic in UNITLESS else units)
        if prefix == "chi":
            columns |= {f"chi_{name}": _defined(text, unit) for name, (_, text, unit) in SIGNED.items()}
    wider = {name: _defined(text, unit) for name, (text, unit) in WIDER.items()}
    named = {"neighbour": {"Description": NEIGHBOUR, "DefinitionVersion": DEFINITION_VERSION}}
    contrast = {"contrast_neighbour": wider.pop("contrast_neighbour")}
    return columns | wider | named | contrast


def _defined(text: str, units: str) -> dict[str, str]:
    return {"Description": text, "Units": units, "DefinitionVersion": DEFINITION_VERSION}


def read_labels(path: Path | str) -> pd.DataFrame:
    """The regions of a label image: columns index, name and hemisphere ("n/a" where the file has none).

    Raises
    ------
    ValueError
        If a needed column is missing, or an index is no whole number or occurs twice; the message names the file.
    """
    table = pd.read_csv(path, sep="\t", keep_default_na=False, dtype=str)
    for column in ("index", "name"):
        if column not in table.columns:
            raise ValueError(f"{path}: expected the columns index and name, found {', '.join(table.columns)}")
    index = pd.to_numeric(table["index"], errors="coerce")
    if index.isna().any() or (index != index.round()).any() or (index <= 0).any():
        raise ValueError(f"{path}: the column index has to hold whole numbers above 0")
    if index.duplicated().any():
        twice = ", ".join(str(int(i)) for i in index[index.duplicated()])
        raise ValueError(f"{path}: the index {twice} occurs more than once")
    sides = table["hemisphere"].replace("", "n/a") if "hemisphere" in table.columns else "n/a"
    return pd.DataFrame({"index": index.astype(int), "name": table["name"], "hemisphere": sides})


def read_table(path: Path | str) -> pd.DataFrame:
    """A regional table as it was written: n/a is missing, but for names and hemispheres, which are text."""
    table = pd.read_csv(path, sep="\t", keep_default_na=False, na_values={}, dtype=str)
    texts = ("name", "hemisphere", "neighbour")
    for column in table.columns.difference(list(texts)):
        table[column] = pd.to_numeric(table[column], errors="coerce")
    return table


def region_table(
    labels: NDArray[np.integer[Any]],
    lookup: pd.DataFrame,
    mask: NDArray[np.bool_],
    voxel_size: Sequence[float],
    maps: Mapping[str, NDArray[np.floating[Any]] | None],
    *,
    noise: NDArray[np.floating[Any]] | None = None,
    counted: NDArray[np.bool_] | None = None,
    place: AtlasPlace | None = None,
    refined: Mapping[int, bool] | None = None,
) -> pd.DataFrame:
    """Size, coverage and statistics of every region of `lookup`, also of those that no voxel belongs to.

    Parameters
    ----------
    labels : (x, y, z) integer array
        0 is no region; values that `lookup` does not name are left out.
    lookup : table with the columns index, name, hemisphere
    mask : (x, y, z) bool array
        Where the maps are known. Voxels outside do not count; zeros inside do.
    voxel_size : 3 floats [mm]
    maps : {"chi": (x, y, z) array [ppm], "r2star": (x, y, z) array [1/s]}
        A map that is None gives columns without values.
    noise : (x, y, z) array [ppm], optional
        Of the field, infinite where it is not to be trusted.
    counted : (x, y, z) bool array, optional
        Voxels of the mask that count; those left out stay part of the mask, as far as its rim is concerned.
    place : the atlas on its own grid, for the means over partial volumes; without it these are missing
    refined : value of a label -> whether its border was found on χ, of those for which that was tried

    Returns
    -------
    table : one row a region, the columns of `column_definitions` but for the two that `add_neighbours` adds; what
        cannot be known is missing (NaN)

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    for name, values in {"mask": mask, "noise": noise, "counted": counted, **maps}.items():
        if values is not None and values.shape != labels.shape:
            raise ValueError(f"labels have shape {labels.shape}, {name} has {values.shape}")
    used = mask if counted is None else mask & counted
    indices, chi = lookup["index"].to_numpy(int), maps.get("chi")
    inside = np.where(used, labels, 0)
    voxels = _voxels_of(inside, indices)
    table = _sizes(labels, inside, lookup, voxel_size).assign(**_spread(voxels, maps))
    table["chi_pv_mean"] = _filled_means(place, used, chi, indices, refined or {})
    table["chi_total"] = table["chi_mean"] * table["n_voxels"] * float(np.prod(np.asarray(voxel_size, float)))
    sides = left_minus_right(list(table["name"]), list(table["hemisphere"]), table["chi_mean"].to_numpy(float))
    table["chi_left_minus_right"], table["chi_asymmetry"] = sides
    table["chi_ring_contrast"] = table["chi_mean"] - _around(labels, inside, indices, used, voxel_size, chi)
    table["snr"] = table["chi_mean"].abs() / [_median_noise(noise, v) for v in voxels]
    depth = rim_distance(mask, voxel_size).ravel()
    table["rim_distance"] = [mean_of(depth[v].astype(np.float64)) for v in voxels]
    wild = None if noise is None else ~np.isfinite(noise).ravel()
    table["outlier_fraction"] = [np.nan if wild is None else mean_of(wild[v].astype(np.float64)) for v in voxels]
    table["refined"] = [float(refined[i]) if refined and i in refined else np.nan for i in indices]
    return table


def _median_noise(noise: NDArray[np.floating[Any]] | None, voxels: NDArray[np.intp]) -> float:
    """Median of the noise [ppm] where it is finite and above 0; NaN where it is nowhere."""
    values = np.empty(0) if noise is None else noise.ravel()[voxels].astype(np.float64)
    known = values[np.isfinite(values) & (values > 0)]
    return float(np.median(known)) if known.size else float("nan")


def _sizes(
    labels: NDArray[np.integer[Any]],
    inside: NDArray[np.integer[Any]],
    lookup: pd.DataFrame,
    voxel_size: Sequence[float],
) -> pd.DataFrame:
    """Which regions there are, how large they are, and how much of them counts."""
    table = lookup[["index", "name", "hemisphere"]].reset_index(drop=True)
    indices = table["index"].to_numpy(int)
    size = int(max(indices.max(initial=0), labels.max(initial=0))) + 1
    total, known = (np.bincount(values.ravel(), minlength=size)[indices] for values in (labels, inside))
    table["n_voxels"] = known
    table["volume_mm3"] = total * float(np.prod(np.asarray(voxel_size, float)))
    table["coverage"] = np.divide(known, total, out=np.full(total.shape, np.nan), where=total > 0)
    return table


def _spread(
    voxels: Sequence[NDArray[np.intp]], maps: Mapping[str, NDArray[np.floating[Any]] | None]
) -> dict[str, list[float]]:
    """Columns that tell how the values of each region are spread."""
    columns: dict[str, list[float]] = {}
    for prefix in MAPS:
        values = maps.get(prefix)
        flat = None if values is None else values.ravel()
        taken = [None if flat is None else flat[v].astype(np.float64) for v in voxels]
        wanted = {name: function for name, (function, _) in SPREAD.items()}
        if prefix == "chi":
            wanted |= {name: function for name, (function, *_) in SIGNED.items()}
        for name, function in wanted.items():
            columns[f"{prefix}_{name}"] = [np.nan if v is None or not v.size else function(v) for v in taken]
    return columns


def _filled_means(
    place: AtlasPlace | None,
    used: NDArray[np.bool_],
    chi: NDArray[np.floating[Any]] | None,
    indices: NDArray[np.int64],
    refined: Mapping[int, bool],
) -> NDArray[np.float64]:
    """Mean χ over partial volumes; NaN where the atlas does not tell what a region's voxels hold."""
    if place is None or chi is None:
        return np.full(len(indices), np.nan)
    means = partial_volume_means(place.labels, place.affine, place.positions, used, chi, indices)
    means[[bool(refined.get(int(i), False)) for i in indices]] = np.nan
    return means


def _around(
    labels: NDArray[np.integer[Any]],
    inside: NDArray[np.integer[Any]],
    indices: NDArray[np.int64],
    mask: NDArray[np.bool_],
    voxel_size: Sequence[float],
    chi: NDArray[np.floating[Any]] | None,
) -> NDArray[np.float64]:
    """Mean χ of the ring around each region; NaN where there is none."""
    free = mask & (labels == 0)
    means = np.full(len(indices), np.nan)
    boxes = ndimage.find_objects(inside)
    for row, index in enumerate(indices):
        if chi is None or index > len(boxes) or boxes[index - 1] is None:
            continue
        box = ring_box(boxes[index - 1], inside.shape, voxel_size)
        near = ring(inside[box] == index, voxel_size) & free[box]
        means[row] = mean_of(chi[box][near].astype(np.float64))
    return means


def _voxels_of(labels: NDArray[np.integer[Any]], indices: NDArray[np.int64]) -> list[NDArray[np.intp]]:
    """Flat positions of the voxels of each region."""
    flat = labels.ravel()
    where = np.flatnonzero(flat)
    order = where[np.argsort(flat[where], kind="stable")]
    sorted_labels = flat[order]
    return [
        order[np.searchsorted(sorted_labels, i, "left") : np.searchsorted(sorted_labels, i, "right")] for i in indices
    ]
