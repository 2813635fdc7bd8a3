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
