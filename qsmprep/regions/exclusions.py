"""Voxels that are left out of the numbers per region on request: veins, untrusted field, the rim of each region."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Volume = NDArray[np.floating[Any]]


def veins(
    chi: Volume,
    mask: NDArray[np.bool_],
    voxel_size: Sequence[float],
    *,
    r2star: Volume | None = None,
    chi_ppm: float = 0.12,
    ridge: float = 0.25,
    radius_mm: float = 0.7,
    r2star_excess: float = 10.0,
) -> NDArray[np.bool_]:
    """Find voxels that look like veins: thin, paramagnetic, and of short T2*.

    A tube is where χ falls off steeply in two directions and hardly along the third: of the Hessian's eigenvalues two
    are strongly negative, the third is small against them. Nuclei are thicker, layers fall off in one direction only.

    Parameters
    ----------
    chi : (x, y, z) array [ppm]
    mask : (x, y, z) bool array, where χ is known
    voxel_size : 3 floats [mm]
    r2star : (x, y, z) array [1/s], optional
    chi_ppm : least χ above the mask's median [ppm]
    ridge : least sharpness of the ridge: the weaker of its two curvatures times the squared scale, over the height.
        A tube whose profile is a Gaussian has 0.5 where that is as wide as the scale, and 0.2 where twice as wide; the
        surface of a ball has the scale over 1.25 radii, 0.1 or so for a nucleus
    radius_mm : scale [mm]: standard deviation of the Gaussian; a voxel's half at least
    r2star_excess : least R2* above the mask's median [1/s]; not asked for without R2*

    Returns
    -------
    veins : (x, y, z) bool array

    References
    ----------
    Frangi AF, et al. MICCAI 1998, LNCS 1496:130. https://doi.org/10.1007/BFb0056195
    """
    if not mask.any():
        return np.zeros(mask.shape, bool)
    middle = float(np.median(chi[mask]))
    candidate = mask & (chi > middle + chi_ppm)
    if r2star is not None:
        candidate &= r2star > np.median(r2star[mask]) + r2star_excess
    if not candidate.any():
        return candidate
    filled = np.where(mask, chi - middle, 0).astype(np.float32)  # else the mask's rim were an edge
    sigma_mm = [max(radius_mm, v / 2) for v in voxel_size]
    sigma = [s / v for s, v in zip(sigma_mm, voxel_size, strict=True)]
    curvature = _hessian(filled, candidate, sigma)
    _, second, third = np.linalg.eigvalsh(curvature).T  # ascending: the strongest first
    height = ndimage.gaussian_filter(filled, sigma)[candidate]
    found = np.zeros(mask.shape, bool)
    found[candidate] = (-second > ridge * np.maximum(height, 0)) & (np.abs(third) < 0.5 * -second)
    return found


def _hessian(volume: Volume, where: NDArray[np.bool_], sigma: Sequence[float]) -> NDArray[np.float64]:
    """Second derivatives times the squared scale, (n, 3, 3), at the voxels of `where`; `sigma` in voxels."""
    hessian = np.empty((int(where.sum()), 3, 3))
    for a in range(3):
        for b in range(a, 3):
            order = [(a == axis) + (b == axis) for axis in range(3)]
            derivative = ndimage.gaussian_filter(volume, sigma, order=order, mode="nearest")
            hessian[:, a, b] = hessian[:, b, a] = derivative[where] * sigma[a] * sigma[b]
    return hessian


def inner_voxels(labels: NDArray[np.integer[Any]], erode_mm: float, voxel_size: Sequence[float]) -> NDArray[np.bool_]:
    """Voxels of regions that are farther than `erode_mm` from every voxel that is not of the same region.

    Parameters
    ----------
    labels : (x, y, z) integer array, 0 is no region
    erode_mm : radius [mm] of the erosion; distances are between the centres of voxels
    voxel_size : 3 floats [mm]

    Returns
    -------
    inner : (x, y, z) bool array; the volume's edge counts as outside
    """
    inner = np.zeros(labels.shape, bool)
    for index, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is not None:
            region = np.pad(labels[box] == index, 1)
            distance = ndimage.distance_transform_edt(region, sampling=tuple(voxel_size))[1:-1, 1:-1, 1:-1]
            inner[box] |= distance > erode_mm
    return inner


def counted_voxels(
    mask: NDArray[np.bool_],
    chi: Volume,
    voxel_size: Sequence[float],
    *,
    r2star: Volume | None = None,
    noise: Volume | None = None,
    vein_parameters: Mapping[str, float] | None = None,
) -> tuple[NDArray[np.bool_], dict[str, Any]]:
    """Voxels of the mask that count in the numbers per region, and a record of those that do not.

    Parameters
    ----------
    mask : (x, y, z) bool array, where χ is known
    chi : (x, y, z) array [ppm]
    voxel_size : 3 floats [mm]
    r2star : (x, y, z) array [1/s], optional, for the veins
    noise : (x, y, z) array [ppm], optional: voxels in which it is infinite are left out
    vein_parameters : keyword arguments of `veins`; None leaves them in

    Returns
    -------
    counted : (x, y, z) bool array
    record : what was left out, and the fraction of the mask that it makes
    """
    counted = mask.copy()
    record: dict[str, Any] = {}
    whole = max(int(mask.sum()), 1)
    if vein_parameters is not None:
        found = veins(chi, mask, voxel_size, r2star=r2star, **vein_parameters)
        counted &= ~found
        told = {"Fraction": round(float(found.sum()) / whole, 6), "R2starUsed": r2star is not None}
        record["Veins"] = dict(vein_parameters) | told
    if noise is not None:
        wild = mask & ~np.isfinite(noise)
        counted &= ~wild
        record["Gradients"] = {
            "What": "infinite noise of the field map: steep or inconsistent field",
            "Fraction": round(float(wild.sum()) / whole, 6),
        }
    return counted, record
