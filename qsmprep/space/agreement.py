"""How well a registration did, in the numbers that the quality report shows."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np

from .. import data
from .edges import edge_agreement
from .quality import dice, normalised_mutual_information
from .resample import apply


def template_agreement(brain_mask: Path, to_template: Sequence[Path]) -> dict[str, float]:
    """Overlap of a brain mask, brought to the template, with the template's own: {"template_dice"}."""
    template = data.template("mask")
    with tempfile.TemporaryDirectory() as folder:
        moved = apply(brain_mask, template, to_template, Path(folder) / "mask.nii", interpolation="nearest")
        return {"template_dice": dice(_load(moved) > 0, _load(template) > 0)}


def coregistration_agreement(
    moving: Path, fixed: Path, fixed_mask: Path, transforms: Sequence[Path]
) -> dict[str, float]:
    """Mutual information and edges of two images of one head after registration, in the brain.

    Returns
    -------
    {"coregistration_nmi", "coregistration_edge_agreement"}; the latter is left out where there are too few edges
    """
    with tempfile.TemporaryDirectory() as folder:
        moved = _load(apply(moving, fixed, transforms, Path(folder) / "moved.nii"))
    target, brain = _load(fixed), _load(fixed_mask) > 0
    edges = edge_agreement(target, moved, brain, nib.load(fixed).affine)
    found = {"coregistration_nmi": normalised_mutual_information(target, moved, brain)}
    return found if np.isnan(edges) else found | {"coregistration_edge_agreement": edges}


def _load(path: Path) -> np.ndarray:
    return np.asanyarray(nib.load(path).dataobj)
