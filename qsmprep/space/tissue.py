"""Grey matter, white matter and fluid: of the template by its brightness, of a person by a mixture model.

The template's tissues say where to look; the person's own T1w says how much of a voxel is grey matter.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import data
from ._ants import bias_field, binary, divided, load_ants, read, resampled

TISSUES = ("CSF", "GM", "WM")
# brightness of the template's T1w where a voxel is half of both, and width of the change; white matter has 1
_FLUID_GREY, _GREY_WHITE = (0.53, 0.10), (0.865, 0.07)
_SPREAD_MM = 1.5
"""By which the template's tissues are blurred: folds differ between people more than registration tells."""
_FLOOR = 0.01
"""Nowhere is a tissue impossible."""
_ITERATIONS, _SMOOTHING, _PRIOR_WEIGHT = 3, 0.1, 0.25
_WORKING_SIZE = 2.0  # mm, for the bias field


def template_tissues() -> NDArray[np.float32]:
    """Fractions of CSF, grey and white matter of the template, (3, x, y, z) float32 on its T1w's grid; 0 off the brain.

    Brightness alone decides, so that iron-rich nuclei, which are bright, count as white matter in part.
    """
    import nibabel as nib

    t1w = np.asanyarray(nib.load(data.template("T1w")).dataobj).astype(np.float32)
    brain = np.asanyarray(nib.load(data.template("mask")).dataobj) > 0
    bright = t1w[brain]
    t1w /= np.median(bright[bright > np.percentile(bright, 70)])
    fluid, white = (
        np.clip(sign * (t1w - middle) / width + 0.5, 0, 1)
        for sign, (middle, width) in ((-1, _FLUID_GREY), (1, _GREY_WHITE))
    )
    return np.where(brain, np.stack([fluid, 1 - fluid - white, white]), 0).astype(np.float32)


def grey_matter(image: Path, mask: Path, from_template: Sequence[Path], out: Path, *, segment: bool = True) -> Path:
    """Write the fraction of grey matter in each voxel of a brain.

    A T1w is freed of its bias field (N4) and segmented by Atropos: a mixture of three Gaussians and a Markov random
    field, with the template's tissues, carried over, as priors. Without segmentation those are taken as they are.

    Parameters
    ----------
    image : path of the T1w; without segmentation, of any image that has the wanted grid
    mask : path of its brain mask, on the same grid
    from_template : transforms that bring the template to `image`
    out : path to write, float32 from 0 to 1 on the grid of `image`, 0 outside the mask
    segment : False takes the template's tissues

    Returns
    -------
    `out`

    Raises
    ------
    ValueError
        If the mask is empty.
    """
    import nibabel as nib

    ants = load_ants()
    target = nib.load(image)
    whole = read(image)
    brain = np.asanyarray(nib.load(mask).dataobj) > 0.5
    if not brain.any():
        raise ValueError(f"{mask}: the brain mask is empty")
    template, chain = (
        ants.image_read(str(data.template("T1w")), pixeltype="float"),
        [str(path) for path in from_template],
    )
    tissues = template_tissues()
    if segment:
        tissues = _blurred(tissues)
    carried = [ants.apply_transforms(whole, template.new_image_like(tissue), chain) for tissue in tissues]
    grey = _segmented(whole, brain, carried) if segment else carried[TISSUES.index("GM")].numpy()
    grey = np.where(brain, np.clip(grey, 0, 1), 0).astype(np.float32)
    result = nib.Nifti1Image(grey, target.affine)
    result.header.set_xyzt_units("mm", "sec")
    nib.save(result, out)
    return out


def _blurred(tissues: NDArray[np.float32]) -> NDArray[np.float32]:
    """Tissues whose borders are as uncertain as their place in another head."""
    from scipy import ndimage

    soft = np.stack([ndimage.gaussian_filter(tissue, _SPREAD_MM) for tissue in tissues])  # voxels of 1 mm
    return np.asarray(soft, np.float32)


def _segmented(whole: Any, brain: NDArray[np.bool_], priors: Sequence[Any]) -> NDArray[np.float32]:
    """Probability of grey matter, in the box of the brain."""
    low = resampled(whole, _WORKING_SIZE)
    inside = binary(load_ants().resample_image_to_target(whole.new_image_like(brain.astype(np.float32)), low))
    flat = divided(whole, bias_field(low, inside)).numpy()
    found = np.argwhere(brain)
    box = tuple(slice(max(a - 2, 0), b + 3) for a, b in zip(found.min(axis=0), found.max(axis=0), strict=True))
    likely = np.stack([prior.numpy()[box] for prior in priors])
    grey = np.zeros(whole.shape, np.float32)
    grey[box] = segment(flat[box], brain[box], likely, whole.spacing)[TISSUES.index("GM")]
    return grey


def segment(
    image: NDArray[np.floating[Any]],
    mask: NDArray[np.bool_],
    priors: NDArray[np.floating[Any]],
    voxel_size: Sequence[float],
) -> NDArray[np.float32]:
    """Probability of each tissue by Atropos: a mixture of Gaussians, a Markov random field, and priors.

    Parameters
    ----------
    image : (x, y, z) array without bias field, arbitrary units
    mask : (x, y, z) bool array
    priors : (tissue, x, y, z) array, how likely each tissue is in each voxel
    voxel_size : 3 floats [mm]

    Returns
    -------
    probabilities : (tissue, x, y, z) float32 array, 0 outside the mask

    References
    ----------
    Avants BB, et al. Neuroinformatics 2011;9:381. https://doi.org/10.1007/s12021-011-9109-y
    """
    ants = load_ants()
    likely = np.maximum(priors, _FLOOR)
    # without origin and direction, which priors lose a digit of on their way through files
    spacing = [float(np.float32(length)) for length in voxel_size]
    given = (np.ascontiguousarray(volume, np.float32) for volume in (image, mask, *(likely / likely.sum(axis=0))))
    first, where, *classes = (ants.from_numpy(volume, spacing=spacing) for volume in given)
    with _files_in_a_folder():
        found = ants.atropos(
            a=first, x=where, i=classes, m=f"[{_SMOOTHING},1x1x1]", c=f"[{_ITERATIONS},0]", priorweight=_PRIOR_WEIGHT
        )
    return np.stack([tissue.numpy() for tissue in found["probabilityimages"]]).astype(np.float32) * mask


@contextmanager
def _files_in_a_folder() -> Iterator[None]:
    """Temporary files that a library leaves behind, in a folder that goes with them."""
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory() as folder:
        tempfile.tempdir = folder
        try:
            yield
        finally:
            tempfile.tempdir = before
