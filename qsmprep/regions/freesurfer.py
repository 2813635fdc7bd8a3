"""What FreeSurfer measured of its regions: volumes and cortical thickness, from its tables of statistics."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError

if TYPE_CHECKING:
    import pandas as pd

STATS = ("aseg.stats", "lh.aparc.stats", "rh.aparc.stats")
VOLUME, THICKNESS = "fs_volume", "fs_thickness"
# of a table: its column that names the region, and those with volume [mm³] and thickness [mm]
_ASEG = ("StructName", "Volume_mm3", None)
_APARC = ("StructName", "GrayVol", "ThickAvg")


def freesurfer_definitions() -> dict[str, dict[str, str]]:
    """Meaning and unit of the columns that `add_freesurfer` adds."""
    return {
        VOLUME: {
            "Description": "Volume of the region as FreeSurfer measured it on the T1w (Volume_mm3 of aseg.stats; "
            "GrayVol of lh.aparc.stats and rh.aparc.stats); n/a where it gives none",
            "Units": "mm^3",
        },
        THICKNESS: {
            "Description": "Mean thickness of the cortex as FreeSurfer measured it (ThickAvg of lh.aparc.stats and "
            "rh.aparc.stats); n/a outside the cortex",
            "Units": "mm",
        },
    }


def add_freesurfer(table: pd.DataFrame, lookup: Path | str, stats: Sequence[Path]) -> pd.DataFrame:
    """A regional table with the columns fs_volume [mm³] and fs_thickness [mm].

    Parameters
    ----------
    table : as `region_table` gives it; its indices are FreeSurfer's
    lookup : TSV with the columns index and abbreviation, which holds FreeSurfer's own names
    stats : aseg.stats, lh.aparc.stats, rh.aparc.stats, as far as they are there

    Raises
    ------
    InputError
        If a table of statistics cannot be read.
    """
    import numpy as np
    import pandas as pd

    known = pd.read_csv(lookup, sep="\t", keep_default_na=False).set_index("index")["abbreviation"]
    measured: dict[str, tuple[float, float]] = {}
    for path in stats:
        measured |= read_stats(path)
    absent = (np.nan, np.nan)
    found = [measured.get(_key(known[i]), absent) for i in table["index"]]
    return table.assign(**{VOLUME: [volume for volume, _ in found], THICKNESS: [thick for _, thick in found]})


def read_stats(path: Path) -> dict[str, tuple[float, float]]:
    """Volume [mm³] and thickness [mm] of every region of a table of statistics, under FreeSurfer's name.

    Cortical regions are named as in its lookup table (`ctx-lh-insula`); without thickness it is NaN.

    Raises
    ------
    InputError
        If the file has no table, or lacks a column; the message says what was found and what was expected.
    """
    name, volume, thickness = _APARC if ".aparc" in path.name else _ASEG
    prefix = f"ctx-{path.name[:2]}-" if thickness else ""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    heads = next((line.split()[2:] for line in lines if line.startswith("# ColHeaders")), [])
    missing = [column for column in (name, volume, thickness) if column and column not in heads]
    if missing:
        raise InputError(f"{path} is no table of FreeSurfer: found the columns {heads}, expected {', '.join(missing)}")
    found: dict[str, tuple[float, float]] = {}
    for line in lines:
        cells = line.split()
        if not cells or line.startswith("#"):
            continue
        try:
            row = dict(zip(heads, cells, strict=True))
            thick = float(row[thickness]) if thickness else float("nan")
            found[_key(prefix + row[name])] = (float(row[volume]), thick)
        except ValueError:
            raise InputError(f"{path}: found the row {line!r}, expected {len(heads)} columns of numbers") from None
    return found


def _key(name: str) -> str:
    """FreeSurfer's name of a region, the same for all its versions (6 has Left-Thalamus-Proper)."""
    return name.replace("-Thalamus-Proper", "-Thalamus").removesuffix("*")
