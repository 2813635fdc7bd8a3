"""Files at the top of the output dataset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from .derivatives import atomic_write_text, dataset_links, write_json

if TYPE_CHECKING:
    from ..settings import Settings

BIDS_VERSION = "1.10.0"
# bare names: the validator still reports the folder itself for "figures/"
BIDSIGNORE = ("*.html", "logs", "figures", "*_xfm.*", "*_swi.*", "*_minIP.*", "*_iqms.json", "group", "group-*")
DESCRIPTIONS = {
    "desc-brain": "Brain mask",
    "desc-qsm": "Where the susceptibility map is valid: brain, reliable phase, eroded by background removal",
    "desc-total": "Total field: from tissue inside and sources outside the brain, with the magnitude it belongs to",
    "desc-local": "Local field: after background removal, with the magnitude it belongs to",
    "desc-noise": "Standard error of the total field, with the magnitude it belongs to",
    "desc-residual": "What a fit over the echoes misses: of the total field, or of R2* (S0map)",
    "desc-csf": "Referenced to the cerebrospinal fluid of the ventricles",
    "desc-brainref": "Referenced to the mean of the brain",
    "desc-unreferenced": "Not referenced: as the dipole inversion left it",
    "desc-paramagnetic": "Paramagnetic part of the susceptibility (iron)",
    "desc-diamagnetic": "Diamagnetic part of the susceptibility (myelin, calcium)",
    "desc-preproc": "Ready for further processing: bias corrected, or combined over echoes",
    "desc-texture": "Texture of the susceptibility per region; the JSON beside it defines every column",
    "desc-stats": "Numbers per region of the segmentation; the JSON beside it defines every column",
    "desc-excluded": "Voxels left out of the numbers per region: veins, or a field that is not to be trusted",
    "desc-within": "Within-subject template: median of all visits in the space between them, and its brain",
    "desc-qc": "Quality numbers with a verdict",
    "desc-mean": "Mean over participants",
}

README = """# qsmprep derivatives

Quantitative susceptibility maps (QSM) and what was measured on them, made by qsmprep {version}
from the dataset in `{bids_dir}`. Research use only, not for diagnosis.

- `index.html` and `sub-*.html`: reports; they open from disk, with no network.
- `sub-*/[ses-*/]anat/*_Chimap.nii.gz`: magnetic susceptibility [ppm]. It has no absolute zero: the JSON beside it
  names the reference and the offset that was taken away.
- `*_R2starmap`, `*_T2starmap`, `*_S0map`: relaxometry [1/s], [s], [arbitrary].
- `*_desc-brain_mask`, `*_desc-qsm_mask`: brain, and where the susceptibility is valid.
- `*_seg-<atlas>_dseg.nii.gz` and `.tsv`: atlas labels on the gradient echo's grid.
- `*_seg-<atlas>_desc-stats_dseg.tsv`: numbers per region; the JSON defines every column.
- `*_seg-<atlas>_desc-texture_dseg.tsv`: texture of the susceptibility per region.
- `sub-*/[ses-*/]fmap/`: total and local field [Hz].
- `*_space-<template>_res-<n>_*`: the same in template space; `*_xfm.*`: the transforms.
- `group/`, `group-<name>/`: tables and maps over participants.
- `logs/`: settings (`settings.toml` repeats the run with `--config`), plan, failures, citations.
"""


def write_dataset_files(out_dir: str | Path, settings: Settings, bids_dir: str | Path) -> None:
    """Write dataset_description.json, README.md, CHANGES, descriptions.tsv and .bidsignore.

    Raises
    ------
    OSError
        If `out_dir` cannot be written to.
    """
    out_dir, bids_dir = Path(out_dir), Path(bids_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    write_json(out_dir / "dataset_description.json", _description(settings, bids_dir))
    atomic_write_text(out_dir / "README.md", README.format(version=__version__, bids_dir=bids_dir.name))
    atomic_write_text(out_dir / ".bidsignore", "\n".join(BIDSIGNORE) + "\n")
    rows = ["desc_id\tdescription", *(f"{name}\t{text}" for name, text in DESCRIPTIONS.items())]
    atomic_write_text(out_dir / "descriptions.tsv", "\n".join(rows) + "\n")
    _add_change(out_dir / "CHANGES")


def _description(settings: Settings, bids_dir: Path) -> dict[str, Any]:
    raw = read_description(bids_dir)
    source: dict[str, str] = {"URL": bids_dir.as_uri()}
    if raw.get("DatasetDOI"):
        source["DOI"] = str(raw["DatasetDOI"])
    description: dict[str, Any] = {
        "Name": f"qsmprep: quantitative susceptibility mapping of {raw.get('Name') or bids_dir.name}",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "qsmprep", "Version": __version__}],
        "SourceDatasets": [source],
        "DatasetLinks": {name: path.as_uri() for name, path in dataset_links(settings).items()},
        "HowToAcknowledge": "Please cite what logs/CITATION.md lists.",
    }
    for key in ("License", "Authors"):
        if raw.get(key):
            description[key] = raw[key]
    return description


def read_description(dataset: Path) -> dict[str, Any]:
    """dataset_description.json as a dictionary; empty if it is absent or damaged."""
    try:
        content = json.loads((dataset / "dataset_description.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _add_change(path: Path) -> None:
    """Add this version on top, in CPAN's form, unless it is there already."""
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    if not any(line.split(" ")[0] == __version__ for line in before.splitlines()):
        import datetime

        today = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
        atomic_write_text(path, f"{__version__} {today}\n  - Processed with qsmprep {__version__}.\n{before}")
