"""A simulated cohort on disk: participants.tsv, and derivatives as the participant level leaves them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .. import __version__
from ..bids.derivatives import atomic_write_text, write_json, write_table
from ..errors import EnvironmentFault, UsageError
from ..regions import column_definitions
from ..regions.statistics import CUT_OFF_PPM, left_minus_right
from .cohort import Cohort, draw_cohort
from .dataset import BIDS_VERSION, truth_dir
from .studies import Site, Study
from .tables import PARTICIPANT_COLUMNS

# ppm, of the voxels of one region; R2* has the same in 1/s per 0.001
INSIDE_SD = {"deepgrey": 0.022, "DK": 0.018, "manual": 0.020}
RECORD = "cohort.json"
README = """# A simulated cohort: {title}

`qsmprep-phantom --cohort {name}` drew these regional numbers; no person was scanned, and there are no images.
After {reference}. The group level works on them:

    qsmprep BIDS_DIR BIDS_DIR/derivatives/qsmprep group
"""


def write_cohort(out_dir: str | Path, study: Study, *, seed: int = 0, participants: int | None = None) -> Cohort:
    """Draw a cohort and write it: a BIDS dataset without images, and its derivatives in `derivatives/qsmprep`.

    Parameters
    ----------
    out_dir : the dataset
    study, seed, participants : as `draw_cohort` takes them

    Returns
    -------
    cohort : what was written

    Raises
    ------
    UsageError
        If `out_dir` holds something else.
    EnvironmentFault
        If the folder cannot be written.
    """
    out_dir = Path(out_dir)
    cohort = draw_cohort(study, seed, participants)
    asked = {"study": study.name, "seed": seed, "participants": participants}
    record = truth_dir(out_dir) / RECORD
    try:
        if out_dir.is_dir() and any(out_dir.iterdir()):
            found = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
            if {key: found.get(key, "") for key in asked} != asked:
                raise UsageError(f"{out_dir} holds something else than this cohort: give another folder")
        write_json(record, {**asked, "version": __version__})
        _write_dataset(out_dir, cohort)
        for _, scan in cohort.scans.iterrows():
            _write_scan(out_dir / "derivatives" / "qsmprep", cohort, scan)
    except OSError as error:
        raise EnvironmentFault(f"{out_dir} cannot be written: {error.strerror or error}") from error
    return cohort


def _write_dataset(out_dir: Path, cohort: Cohort) -> None:
    study = cohort.study
    generated = {
        "Name": "qsmprep-phantom",
        "Version": __version__,
        "Description": "Simulated by qsmprep-phantom; no person was scanned",
    }
    common = {"BIDSVersion": BIDS_VERSION, "GeneratedBy": [generated], "License": "CC0-1.0"}
    name = f"Simulated cohort: {study.title}"
    write_json(out_dir / "dataset_description.json", {"Name": name, "DatasetType": "raw", **common})
    # the group level takes only its own program's output
    as_program = {**generated, "Name": "qsmprep"}
    derivative: dict[str, Any] = {"Name": name, "DatasetType": "derivative", **common, "GeneratedBy": [as_program]}
    derivative["DatasetLinks"] = {"raw": "../.."}
    write_json(out_dir / "derivatives" / "qsmprep" / "dataset_description.json", derivative)
    text = README.format(title=study.title, name=study.name, reference=study.reference)
    atomic_write_text(out_dir / "README.md", text)
    columns: dict[str, Any] = {key: PARTICIPANT_COLUMNS[key] for key in ("age", "sex", "group")}
    if study.sites:
        columns["site"] = {"Description": "Scanner", "Levels": {site.name: _scanner(site) for site in study.sites}}
    if study.genotype is not None:
        columns[study.genotype.name] = {"Description": study.genotype.description}
    columns |= {score.name: {"Description": score.description} for score in study.scores}
    write_table(out_dir / "participants.tsv", cohort.people, columns)
    if len(study.visits) > 1:
        write_json(out_dir / "sessions.json", {"age": {"Description": "Age at the session", "Units": "year"}})
        for person, age in zip(cohort.people["participant_id"], cohort.people["age"], strict=True):
            labels = [f"ses-{n}" for n in range(1, len(study.visits) + 1)]
            ages = [round(float(age) + years, 2) for years in study.visits]
            table = pd.DataFrame({"session_id": labels, "age": ages})
            write_table(out_dir / str(person) / f"{person}_sessions.tsv", table)


def _scanner(site: Site) -> str:
    return f"χ times {site.scale:g} (SD {site.scale_sd:g}) plus {site.shift:g} ppb (SD {site.shift_sd:g})"


def _write_scan(derivatives: Path, cohort: Cohort, scan: pd.Series[Any]) -> None:
    row = int(scan.name)  # type: ignore[call-overload]
    parts = [str(scan["participant_id"])]
    folder = derivatives / parts[0]
    if len(cohort.study.visits) > 1:
        parts.append(f"ses-{scan['visit'] + 1}")
        folder = folder / parts[1]
    if cohort.study.runs > 1:
        parts.append(f"run-{scan['run'] + 1}")
    stem = folder / "anat" / "_".join(parts)
    for seg, rows in cohort.rows.groupby("seg", sort=False):
        chosen = rows.index.to_numpy()
        table = regional_table(
            rows.reset_index(drop=True),
            cohort.chi[row, chosen] / 1000,
            cohort.r2star[row, chosen],
            cohort.volume[row, chosen],
            cohort.ring[row, chosen] / 1000,
            INSIDE_SD[str(seg)],
        )
        write_table(stem.with_name(f"{stem.name}_seg-{seg}_desc-stats_dseg.tsv"), table, column_definitions())
    write_json(stem.with_name(f"{stem.name}_desc-qc_iqms.json"), {"verdict": "PASS", "reasons": [], "Simulated": True})


def regional_table(
    rows: pd.DataFrame,
    chi: NDArray[np.float64],
    r2star: NDArray[np.float64],
    volume: NDArray[np.float64],
    ring: NDArray[np.float64],
    inside_sd: float,
) -> pd.DataFrame:
    """A regional table with the columns of the participant level, of regions whose voxels are normally distributed.

    Parameters
    ----------
    rows : index, name and hemisphere of each region
    chi, r2star, volume, ring : (row,) arrays [ppm, 1/s, mm³, ppm]
    inside_sd : SD of χ inside a region [ppm]; that of R2* is as many 1/s as this is ppb, a fifth of it

    Returns
    -------
    table : one row a region; what has no meaning without images is missing
    """
    from scipy.stats import norm

    table = rows[["index", "name", "hemisphere"]].copy()
    table["n_voxels"] = volume.round().astype(int)
    table["volume_mm3"] = volume
    table["coverage"] = 1.0
    for prefix, mean, sd in (("chi", chi, inside_sd), ("r2star", r2star, 200 * inside_sd)):
        for name in ("mean", "median", "trimmed_mean"):
            table[f"{prefix}_{name}"] = mean
        table[f"{prefix}_sd"], table[f"{prefix}_mad"] = sd, norm.ppf(0.75) * sd
        for percent in (1, 5, 95, 99):
            table[f"{prefix}_p{percent}"] = mean + norm.ppf(percent / 100) * sd
    z = chi / inside_sd
    table["chi_positive_mean"] = chi + inside_sd * norm.pdf(z) / norm.cdf(z)
    table["chi_negative_mean"] = chi - inside_sd * norm.pdf(z) / norm.sf(z)
    table["chi_below_70ppb"] = norm.cdf((CUT_OFF_PPM - chi) / inside_sd)
    table["chi_high_mean"] = chi + inside_sd * norm.pdf(norm.ppf(0.75)) / 0.25
    table["chi_total"] = chi * volume
    table["chi_ring_contrast"] = chi - ring
    sides = left_minus_right(list(table["name"]), list(table["hemisphere"]), chi)
    table["chi_left_minus_right"], table["chi_asymmetry"] = sides
    return table.reindex(columns=list(column_definitions()))
