"""Single-step inversion with total generalised variation (TGV)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .._edges import magnitude_edges
from .._grid import Float, as_direction, as_mask, as_voxel_size
from .._weights import effective_weight
from ..constants import PHASE_PER_PPM
from ._pyramid import Level, Strengths
from ._start import field_in_mask, without_harmonic


def tgv(
    total_field: NDArray[np.generic],
    mask: NDArray[np.generic],
    voxel_size: Sequence[float],
    b0_dir: Sequence[float],
    *,
    noise: NDArray[np.generic] | None = None,
    magnitude: NDArray[np.generic] | None = None,
    phase_per_ppm: float = PHASE_PER_PPM,
    alpha1: float = 1e-4,
    alpha0: float = 5e-4,
    edge_share: float = 0.4,
    edge_weight: float = 0.3,
    erosion_mm: float = 0.0,
    max_iterations: int = 100,
    coarse_iterations: int = 400,
    tolerance: float = 1e-3,
    start_tolerance: float = 1e-3,
) -> tuple[Float, Float]:
    """Susceptibility from the total field with total generalised variation (TGV-QSM).

    Minimises ½ |W (F - field)|² + α₁ |∇χ - w| + α₀ |Ew| over χ, a vector field w with symmetric gradient Ew, and the
    modelled field F, which has to obey ΔF = (Δ/3 - (b·∇)²) χ inside the mask. Sources outside the mask make a
    field that is harmonic inside, which the equation lets F have for free: no background needs to be removed, and no
    transform is taken. Where w follows ∇χ only curvature costs, so ramps do not turn into stairs.

    Solved by the primal-dual method with over-relaxation, on grids of 8, 4 and 2 times the voxel size first: smooth
    structures, which take the longest, are there before the first iteration on the full grid. The total field enters
    after a harmonic function is taken off it, which by the equation changes nothing but the number of iterations.

    Parameters
    ----------
    total_field : (x, y, z) array [ppm]
        Unwrapped. Values outside `mask` and where the noise is infinite are not read.
    mask : (x, y, z) bool array
    voxel_size : 3 floats [mm]
        Gradients are per mm, so anisotropic voxels need no other α.
    b0_dir : 3 floats
        Direction of B0 in voxel axes.
    noise : (x, y, z) array [ppm], optional
        Standard error of the field, infinite where it is not to be trusted: weights W = median / noise, at most 1.
    magnitude : (x, y, z) or (x, y, z, echo) array, optional
        Its edges are likely edges of χ. Where `noise` is None, W is relative to its median in the mask, at most 1.
    phase_per_ppm : float [rad/ppm]
        Not used by this method.
    alpha1 : float [ppm mm]
        Weight of ∇χ - w where the noise of the field is 1 ppb; the effective one is in proportion to the noise
        (`effective_weight`): the median of `noise`, or what the field's finest details show if that is more.
    alpha0 : float [ppm mm²]
        Weight of Ew; likewise. Langkammer et al. take three times `alpha1`; five times made less of a bias in deep grey
        on digital heads (slope 0.99 instead of 0.97).
    edge_share, edge_weight : float
        Share of the mask's voxels that count as edges of the magnitude, and what `alpha1` is multiplied by there.
    erosion_mm : float [mm]
        What is taken off the mask first; not needed, since the field on the rim is not read.
    max_iterations, coarse_iterations : int
        At most, on the full grid and on each of the coarser ones.
    tolerance : float
        Stop once χ moves by less than this share of it in one iteration.
    start_tolerance : float
        Stop solving for the harmonic function once the Laplacian left is below this share of that after one cycle.

    Returns
    -------
    chi : (x, y, z) float32 array [ppm], 0 outside the eroded mask, without a reference
    local_field : (x, y, z) float32 array [ppm], the field of `chi`, 0 outside the eroded mask

    Raises
    ------
    ValueError
        If shapes differ, the (eroded) mask is empty or all rim, or the field is not finite where it is to be trusted.

    References
    ----------
    Langkammer C, et al. NeuroImage 2015;111:622. https://doi.org/10.1016/j.neuroimage.2015.02.041
    Bredies K, Kunisch K, Pock T. SIAM J Imaging Sci 2010;3:492. https://doi.org/10.1137/090769521
    Chambolle A, Pock T. J Math Imaging Vis 2011;40:120. https://doi.org/10.1007/s10851-010-0251-1
    """
    sizes, direction = as_voxel_size(voxel_size), as_direction(b0_dir)
    flags = as_mask(mask, np.shape(total_field))
    if erosion_mm > 0:
        depth = ndimage.distance_transform_edt(np.pad(flags, 1), sampling=sizes)[1:-1, 1:-1, 1:-1]
        flags = as_mask(depth > erosion_mm, flags.shape)
    start, place = without_harmonic(
        total_field, flags, sizes, noise=noise, magnitude=magnitude, tolerance=start_tolerance
    )
    edges = magnitude_edges(magnitude, flags, sizes, edge_share)[place.box]
    strengths = Strengths(effective_weight(alpha1, start.noise), effective_weight(alpha0, start.noise), edge_weight)
    rim = [(1, 1)] * 3
    field, weight, inside = np.pad(start.field, rim), np.pad(start.weight, rim), np.pad(place.mask, rim)
    del start
    level = Level(field, weight, inside, np.pad(edges, rim), sizes, direction)
    del field, weight
    level.solve(strengths, max_iterations, coarse_iterations, tolerance)
    chi = place.image(level.chi[1:-1, 1:-1, 1:-1])
    del level
    return chi, field_in_mask(chi, place, sizes, direction)
