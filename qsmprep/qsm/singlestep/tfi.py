"""Total-field inversion: sources inside and outside the mask at once, from the total field."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .._grid import Float, as_voxel_size
from ..constants import PHASE_PER_PPM
from ..inversion.mtv import mtv
from ._start import field_in_mask, without_harmonic


def tfi(
    total_field: NDArray[np.generic],
    mask: NDArray[np.generic],
    voxel_size: Sequence[float],
    b0_dir: Sequence[float],
    *,
    noise: NDArray[np.generic] | None = None,
    magnitude: NDArray[np.generic] | None = None,
    phase_per_ppm: float = PHASE_PER_PPM,
    weight: float = 1e-4,
    outside_weight: float = 0.0,
    edge_share: float = 0.4,
    edge_weight: float = 0.3,
    gradient_step: float = 1 / 60,
    mu_data: float = 0.02,
    max_iterations: int = 60,
    tolerance: float = 0.025,
    pad_mm: float = 16.0,
    start_tolerance: float = 1e-3,
) -> tuple[Float, Float]:
    """Susceptibility from the total field (TFI): min over χ of ½ |W (Dχ - field)|² + λ |P ∇χ|, χ outside included.

    χ outside the mask takes part without a cost, and is thrown away: it makes the background. Air is a hundred times
    stronger than what is looked for, so its sources would take long to form. Liu et al. scale them (preconditioning);
    here most of their field is gone before the first iteration. Sources outside make a field that is harmonic inside,
    so the harmonic function with the field's values on the mask's rim, found by multigrid, takes all of it away. Of the
    field of the sources inside it takes what they make on the rim, continued inwards: sources outside bring that back
    in the joint fit. The field on the rim is used up by this; χ there follows from the voxels around. The mask is kept
    as it is.

    Parameters
    ----------
    total_field : (x, y, z) array [ppm]
        Unwrapped. Values outside `mask` and where the noise is infinite are not read.
    mask : (x, y, z) bool array
    voxel_size : 3 floats [mm]
        Gradients are per mm, so anisotropic voxels need no other λ.
    b0_dir : 3 floats
        Direction of B0 in voxel axes.
    noise : (x, y, z) array [ppm], optional
        Standard error of the field, infinite where it is not to be trusted: weights W = median / noise, at most 1.
        Untrusted voxels that reach the rim count as outside for the harmonic function; they keep a χ.
    magnitude : (x, y, z) or (x, y, z, echo) array, optional
        Its edges are likely edges of χ. Where `noise` is None, W is relative to its median in the mask, at most 1.
    phase_per_ppm : float [rad/ppm]
        Not used by this method.
    weight : float [ppm mm]
        λ where the noise of the field is 1 ppb; the effective one is in proportion to the noise (`effective_weight`):
        the median of `noise`, or what the field's finest details show if that is more.
    outside_weight : float
        P outside the mask. Whatever is more than 0 keeps background inside: xSIM fell from 0.67 to 0.65 at 0.3.
    edge_share, edge_weight : float
        Share of the mask's voxels that count as edges of the magnitude, and P on them.
    gradient_step : float [ppm/mm]
        Gradients shrink by this in one iteration; it sets the speed, not the solution.
    mu_data : float
        Penalty of the data's splitting; likewise.
    max_iterations : int
    tolerance : float
        Stop once the splitting of the gradient moves by less than this share of the gradient in one iteration.
    pad_mm : float [mm]
        Room behind the box of the mask: for sources, and so that dipoles do not reach around it.
    start_tolerance : float
        Stop the multigrid once the Laplacian left is below this share of that after the first cycle.

    Returns
    -------
    chi : (x, y, z) float32 array [ppm], 0 outside `mask`, without a reference
    local_field : (x, y, z) float32 array [ppm], the field of `chi`, 0 outside `mask`

    Raises
    ------
    ValueError
        If shapes differ, the mask is empty or all rim, or the field is not finite where it is to be trusted.

    References
    ----------
    Liu Z, et al. Magn Reson Med 2017;78:303. https://doi.org/10.1002/mrm.26331
    Zhou D, et al. NMR Biomed 2014;27:312 (the harmonic function). https://doi.org/10.1002/nbm.3064
    """
    sizes = as_voxel_size(voxel_size)
    start, place = without_harmonic(
        total_field, mask, sizes, noise=noise, magnitude=magnitude, tolerance=start_tolerance
    )
    known = start.weight > 0
    error = np.full(known.shape, np.inf, np.float32)
    error[known] = np.float32(start.noise) / start.weight[known]
    local = start.field
    del start, known
    inside = mtv(
        local,
        place.mask,
        sizes,
        b0_dir,
        noise=error,
        magnitude=None if magnitude is None else np.asarray(magnitude)[place.box],
        weight=weight,
        outside_weight=outside_weight,
        edge_share=edge_share,
        edge_weight=edge_weight,
        gradient_step=gradient_step,
        mu_data=mu_data,
        max_iterations=max_iterations,
        tolerance=tolerance,
        pad_mm=pad_mm,
    )
    del local, error
    chi = place.image(inside)
    return chi, field_in_mask(chi, place, sizes, b0_dir)
