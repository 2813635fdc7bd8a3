"""Where to look for a structure, in template space."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def lateral_ventricles(
    t1w: NDArray[Any], brain: NDArray[np.bool_], affine: NDArray[np.floating[Any]], *, margin: int = 2
) -> NDArray[np.bool_]:
    """Prior of the lateral ventricles: the largest dark part deep in each hemisphere of the template's T1w.

    Parameters
    ----------
    t1w : (x, y, z) array, arbitrary units
    brain : (x, y, z) bool array
    affine : (4, 4), voxels to template mm
    margin : voxels by which the parts are widened, for ventricles larger than the template's

    Returns
    -------
    prior : (x, y, z) bool array

    Raises
    ------
    ValueError
        If a side has no such part.
    """
    from scipy import ndimage

    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    deep = ndimage.distance_transform_edt(brain, sampling=spacing) > 18
    # white matter is the brightest quarter; CSF has less than half of its signal
    parts, n = ndimage.label(deep & (t1w < 0.5 * np.percentile(t1w[brain], 75)))
    sizes = np.bincount(parts.ravel(), minlength=n + 1)
    centres = np.array(ndimage.center_of_mass(parts > 0, parts, range(1, n + 1))) @ affine[:3, :3].T + affine[:3, 3]
    prior = np.zeros(t1w.shape, bool)
    for side in (-1, 1):
        # the third ventricle and the cisterns lie on the midline, the Sylvian fissures farther out
        candidates = [i for i, (x, _, z) in enumerate(centres, 1) if 6 < side * x < 30 and 0 < z < 30]
        if not candidates:
            raise ValueError("the template has no lateral ventricle on one side: is it a T1w in MNI space?")
        prior |= parts == max(candidates, key=lambda i: sizes[i])
    for _ in range(margin):
        prior = ndimage.binary_dilation(prior)
    return np.asarray(prior & brain)


def white_matter(
    t1w: NDArray[Any], brain: NDArray[np.bool_], labels: NDArray[np.integer[Any]], *, margin: int = 2
) -> NDArray[np.bool_]:
    """Prior of deep white matter: the bright part of the template's T1w, off its surface and off deep grey nuclei.

    Parameters
    ----------
    t1w : (x, y, z) array, arbitrary units
    brain : (x, y, z) bool array
    labels : (x, y, z) integer array
        Deep grey nuclei; 0 is none.
    margin : voxels by which both the bright part and what surrounds the nuclei are kept away from

    Returns
    -------
    prior : (x, y, z) bool array

    Raises
    ------
    ValueError
        If nothing is left.
    """
    from scipy import ndimage

    # white matter is the brightest third of a T1w brain; its median is well inside it
    values = t1w[brain]
    white = brain & (t1w > 0.93 * np.median(values[values > np.percentile(values, 70)]))
    white = ndimage.binary_erosion(white, iterations=margin)
    white &= ~ndimage.binary_dilation(labels > 0, iterations=margin)
    if not white.any():
        raise ValueError("the template has no white matter away from its surface: is it a T1w?")
    return np.asarray(white)


CSF, WHITE_MATTER, REGION = 1, 2, 3
"""Values of `reference_priors`."""


def reference_priors(region: tuple[str, str] | None = None) -> tuple[NDArray[np.uint8], Any]:
    """Where references are looked for, in template space: one label image, and the file whose grid it is on.

    Parameters
    ----------
    region : names of a packaged atlas and of one of its regions; both hemispheres count

    Raises
    ------
    ValueError
        If there is no such atlas or region.
    """
    import nibabel as nib

    from .. import data
    from ..regions.table import read_labels

    path = data.template("T1w")
    image: Any = nib.load(path)
    t1w, affine = np.asanyarray(image.dataobj), image.affine
    brain = np.asanyarray(nib.load(data.template("mask")).dataobj) > 0
    deep = np.asanyarray(nib.load(data.atlas("deepgrey").image).dataobj)
    priors = np.zeros(t1w.shape, np.uint8)
    priors[white_matter(t1w, brain, deep)] = WHITE_MATTER
    priors[lateral_ventricles(t1w, brain, affine)] = CSF
    if region is not None:
        atlas = data.atlas(region[0])
        table = read_labels(atlas.labels)
        indices = table.loc[table["name"] == region[1], "index"]
        if indices.empty:
            known = ", ".join(dict.fromkeys(table["name"]))
            raise ValueError(f"the atlas {region[0]} has no region {region[1]!r}; it has {known}")
        priors[np.isin(np.asanyarray(nib.load(atlas.image).dataobj), indices)] = REGION
    return priors, path
