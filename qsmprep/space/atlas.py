"""Atlases that a user brings."""

from __future__ import annotations

from pathlib import Path

from ..data import Atlas
from ..errors import UsageError


def user_atlas(image: Path, labels: Path, space: str = "template") -> Atlas:
    """Check a label image and its table, and give them the form of a packaged atlas.

    Parameters
    ----------
    image : NIfTI label image
    labels : TSV with the columns index and name, and hemisphere where it is known
    space : "template", or "native" for the grid of the gradient echo

    Raises
    ------
    UsageError
        If a file cannot be read, the image holds no labels, or the table misses some of them.
    """
    import nibabel as nib
    import numpy as np
    from nibabel.filebasedimages import ImageFileError

    from ..regions import read_labels

    try:
        values = np.asanyarray(nib.load(image).dataobj)
    except (OSError, ImageFileError, EOFError) as error:
        raise UsageError(f"--atlas: {image} cannot be read as an image ({error}).") from None
    try:
        table = read_labels(labels)
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise UsageError(f"--atlas-labels: {error}") from None
    if values.ndim != 3 or not np.allclose(values, np.rint(values)):
        raise UsageError(f"--atlas: {image} is no label image: expected whole numbers in three dimensions.")
    found = set(np.unique(values).astype(int)) - {0}
    if not found & set(table["index"]):
        raise UsageError(f"--atlas: none of the labels in {image} is named in {labels}.")
    name = "".join(c for c in image.name.split(".")[0].split("_seg-")[-1].split("_")[0] if c.isalnum()) or "atlas"
    description: dict[str, object] = {"Name": name, "Source": image.name, "Space": f"{space}, as the user gave it"}
    unnamed = sorted(int(label) for label in found - set(table["index"]))
    if unnamed:  # a table may name only the regions of interest; the sidecar tells which were left out
        description["LabelsWithoutName"] = unnamed
    return Atlas(name, image, labels, description)
