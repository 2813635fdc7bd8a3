"""Names of BIDS files: entities in and out, under PyBIDS' long names."""

from __future__ import annotations

import re
from pathlib import Path

# short key in file names -> PyBIDS' long name, in the order in which BIDS wants them
ENTITY_NAMES = {
    "sub": "subject",
    "ses": "session",
    "sample": "sample",
    "task": "task",
    "tracksys": "tracksys",
    "acq": "acquisition",
    "nuc": "nucleus",
    "voi": "volume",
    "ce": "ceagent",
    "trc": "tracer",
    "stain": "staining",
    "rec": "reconstruction",
    "dir": "direction",
    "run": "run",
    "mod": "modality",
    "echo": "echo",
    "flip": "flip",
    "inv": "inv",
    "mt": "mt",
    "part": "part",
    "proc": "proc",
    "hemi": "hemisphere",
    "space": "space",
    "split": "split",
    "recording": "recording",
    "chunk": "chunk",
    "coil": "coil",
    "atlas": "atlas",
    "seg": "segmentation",
    "scale": "scale",
    "from": "from",
    "to": "to",
    "mode": "mode",
    "res": "resolution",
    "den": "density",
    "label": "label",
    "desc": "description",
}
SHORT_KEYS = {long: short for short, long in ENTITY_NAMES.items()}
_ENTITY = re.compile(r"^([a-zA-Z]+)-([a-zA-Z0-9+]+)$")


def split_name(name: str) -> tuple[dict[str, str], str, str]:
    """Split a file name into entities, suffix and extension.

    Parameters
    ----------
    name : file name, with or without its folders

    Returns
    -------
    entities : long name -> value, as written (`run-01` stays "01"); a key that BIDS does not know keeps its own name
    suffix : last part of the stem, "" if that is an entity too
    extension : from the first dot on, ".nii.gz"
    """
    stem, _, extension = Path(name).name.partition(".")
    entities: dict[str, str] = {}
    suffix = ""
    for part in stem.split("_"):
        match = _ENTITY.match(part)
        if match:
            entities[ENTITY_NAMES.get(match[1], match[1])] = match[2]
        else:
            suffix = part
    return entities, suffix, "." + extension if extension else ""


def join_entities(entities: dict[str, str]) -> str:
    """`sub-01_ses-1_acq-x`: the entities in the order of BIDS; unknown ones before the rest of the derivative keys."""
    order = {long: number for number, long in enumerate(ENTITY_NAMES.values())}
    unknown = order["coil"]
    keys = sorted(entities, key=lambda key: order.get(key, unknown))
    return "_".join(f"{SHORT_KEYS.get(key, key)}-{entities[key]}" for key in keys)
