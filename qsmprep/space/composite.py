"""Chains of transforms as one file for other programs."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from ._ants import load_ants


def write_composite(transforms: Sequence[Path], out: Path) -> Path:
    """Write a chain of transforms as one ITK composite transform, whole or not at all.

    Parameters
    ----------
    transforms : files in the order in which the points of the target grid go through them
    out : path to write (.h5), as antsApplyTransforms reads it
    """
    ants = load_ants()
    parts = []
    for path in map(str, transforms):
        if path.endswith((".nii", ".nii.gz")):
            parts.append(ants.transform_from_displacement_field(ants.image_read(path)))
        else:
            parts.append(ants.read_transform(path))
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".tmp-") as folder:
        written = Path(folder) / out.name
        # a warp by itself cannot be written, a composite of one can
        ants.write_transform(ants.compose_ants_transforms(parts), str(written))
        written.replace(out)
    return out
