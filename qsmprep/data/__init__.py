"""The images that travel with the package: template, brain mask and atlases, all in MNI152NLin2009cAsym at 1 mm.

They are made by ``tools/build_data.py``; licences stand in ``licenses/``, checksums in ``SHA256SUMS``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SPACE = "MNI152NLin2009cAsym"
ATLASES = ("deepgrey", "DK", "parts")
FREESURFER = ("aparcaseg", "aseg")

_HERE = Path(__file__).parent
_TEMPLATES = {"T1w": "T1w", "mask": "desc-brain_mask"}


@dataclass(frozen=True)
class Atlas:
    """A label image in template space and what is known of its labels.

    ``image`` holds integers, 0 is no region. ``labels`` is a TSV with at least the columns index, name and
    hemisphere (L, R or n/a). ``description`` gives name, licence, citation and the source of each label.
    """

    name: str
    image: Path
    labels: Path
    description: dict[str, Any] = field(default_factory=dict, hash=False)


def template(kind: str) -> Path:
    """Path of the template's whole head (``"T1w"``, uint8) or brain mask (``"mask"``), shape (193, 229, 193).

    Raises
    ------
    ValueError
        If `kind` is neither.
    """
    if kind not in _TEMPLATES:
        raise ValueError(f"template has {sorted(_TEMPLATES)}, not {kind!r}")
    return _HERE / "template" / f"tpl-{SPACE}_res-1_{_TEMPLATES[kind]}.nii.gz"


def freesurfer_labels(name: str) -> Path:
    """Path of the TSV with FreeSurfer's numbers and names: ``"aseg"``, or ``"aparcaseg"`` with Desikan-Killiany cortex.

    Raises
    ------
    ValueError
        If `name` is neither.
    """
    if name not in FREESURFER:
        raise ValueError(f"FreeSurfer's segmentations are {', '.join(FREESURFER)}, not {name!r}")
    return _HERE / f"freesurfer_{name}.tsv"


def atlas(name: str) -> Atlas:
    """Return a packaged atlas: ``"deepgrey"``, ``"DK"`` (Desikan-Killiany), or ``"parts"`` of their regions.

    In all, a region on the left has the index n and its fellow on the right 100 + n.

    Raises
    ------
    ValueError
        If there is no atlas of that name.
    """
    if name not in ATLASES:
        raise ValueError(f"packaged atlases are {', '.join(ATLASES)}, not {name!r}")
    stem = _HERE / "atlases" / f"tpl-{SPACE}_res-1_seg-{name}_dseg"
    image, labels, description = (stem.with_name(stem.name + end) for end in (".nii.gz", ".tsv", ".json"))
    return Atlas(name, image, labels, json.loads(description.read_text(encoding="utf-8")))
