"""Non-linear fit of the field to the complex signal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ._chain import FieldMap, fit_twice


def nonlinear_fit(
    unwrapped: NDArray[np.generic],
    magnitude: NDArray[np.generic] | None,
    mask: NDArray[np.generic],
    te: Sequence[float],
    b0: float,
    voxel_size: Sequence[float] = (1.0, 1.0, 1.0),
    *,
    intercept: bool = False,
    dephasing: float = 0.1,
    offset_mm: float = 5.0,
    noise_max_ppm: float = 0.006,
) -> FieldMap:
    """Total field by a fit of m exp(i 2π γ B0 ΔB TE) to the complex signal of each voxel's echoes.

    Noise is Gaussian in the complex signal and not in its phase, so that an echo whose phase is far off, or off by
    whole turns, pulls less than it does on a straight line. Gauss-Newton steps begin at the linear fit, on which the
    choice among solutions that are whole turns apart depends.

    Parameters
    ----------
    unwrapped : (x, y, z, echo) array [rad]
    magnitude, mask, te, b0, voxel_size, intercept, dephasing, offset_mm, noise_max_ppm
        As in `linear_fit`.

    Returns
    -------
    field_map : FieldMap
        As that of `linear_fit`; the residual is that of the complex signal over the magnitude, at most 2.

    Raises
    ------
    ValueError
        As in `linear_fit`.

    References
    ----------
    Liu T, et al. Magn Reson Med 2013;69:467. https://doi.org/10.1002/mrm.24272
    """
    return fit_twice(
        unwrapped, magnitude, mask, te, b0, voxel_size,
        nonlinear=True, intercept=intercept, dephasing=dephasing, offset_mm=offset_mm, noise_max_ppm=noise_max_ppm,
    )  # fmt: skip
