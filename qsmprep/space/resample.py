"""Bring an image onto another grid through any number of transforms, in one interpolation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np

from ._ants import load_ants

_INTERPOLATORS = {"linear": "linear", "nearest": "nearestNeighbor", "label": "genericLabel", "spline": "bSpline"}


def apply(
    image: Path,
    reference: Path,
    transforms: Sequence[Path],
    out: Path,
    *,
    interpolation: str = "linear",
    dtype: np.dtype | type | str | None = None,
) -> Path:
    """Resample `image` on the grid of `reference`.

    Parameters
    ----------
    image : path of the image to move (3-D)
    reference : path of an image that has the wanted grid; its values are not read
    transforms : paths of ITK transforms, or none for images in one physical space
        In the order of ANTs: the one next to the reference first, the one next to `image` last. To bring the template's
        labels to the GRE: ``[*t1w_to_gre.forward, *template_to_t1w.forward]``. Each is used as it is; an inverse is a
        file of its own.
    out : path to write (.nii or .nii.gz)
    interpolation : "linear" for maps, "label" for labels (each label by itself, the largest wins), "nearest", "spline"
    dtype : type of the file; float32, or for labels that of `image`, unless given

    Returns
    -------
    `out`, with the reference's affine; outside the field of view of `image` it is 0

    Raises
    ------
    ValueError
        If the interpolation is unknown.
    """
    if interpolation not in _INTERPOLATORS:
        raise ValueError(f"interpolation is one of {', '.join(_INTERPOLATORS)}, not {interpolation!r}")
    ants = load_ants()
    target = nib.load(reference)
    labels = interpolation in ("label", "nearest")
    moved = ants.apply_transforms(
        ants.image_read(str(reference), pixeltype="float"),
        ants.image_read(str(image), pixeltype="float"),
        [str(path) for path in transforms],
        interpolator=_INTERPOLATORS[interpolation],
    )
    data = moved.numpy()
    if dtype is None:
        dtype = nib.load(image).get_data_dtype() if labels else np.dtype(np.float32)
    if labels:
        data = np.rint(data)
    # the reference's own affine and codes, not what is left of them after a turn through ITK
    result = nib.Nifti1Image(data.astype(dtype), target.affine)
    for code in ("sform", "qform"):
        getattr(result, f"set_{code}")(target.affine, int(target.header[f"{code}_code"]) or 1)
    result.header.set_xyzt_units("mm", "sec")
    nib.save(result, out)
    return out


_OFFSET_MM = 1000.0
"""Added to coordinates while they are moved: what lies outside the template comes out as 0, which none of them is."""


def positions(reference: Path, template: Path, transforms: Sequence[Path], out: Path) -> Path:
    """Write where in template space each voxel of a grid lies: shape (x, y, z, 3), mm, NaN outside the template.

    Parameters
    ----------
    reference : path of an image that has the wanted grid; its values are not read
    template : path of an image of the space; its field of view is where positions are known
    transforms : paths of ITK transforms, as for `apply`
    out : path to write (.nii or .nii.gz)
    """
    space = nib.load(template)
    grid = np.indices(space.shape[:3], dtype=np.float32)
    parts = []
    for axis in range(3):
        row = space.affine[axis]
        values = sum(np.float32(row[i]) * grid[i] for i in range(3)) + np.float32(row[3] + _OFFSET_MM)
        ramp = out.with_name(f"ramp{axis}.nii")
        nib.save(nib.Nifti1Image(values.astype(np.float32), space.affine), ramp)
        moved_ramp = apply(ramp, reference, transforms, out.with_name(f"moved{axis}.nii"))
        parts.append(np.asanyarray(nib.load(moved_ramp).dataobj).copy())
        for path in (ramp, moved_ramp):
            path.unlink()
    moved = np.stack(parts, axis=-1)
    moved[(moved == 0).any(axis=-1)] = np.nan
    result = nib.Nifti1Image(moved - np.float32(_OFFSET_MM), nib.load(reference).affine)
    nib.save(result, out)
    return out
