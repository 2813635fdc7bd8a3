"""Numbers that say how far a run can be trusted: arrays in, one dictionary out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[np.floating]
Mask = NDArray[np.bool_]

# Nuclei that hold much iron in every adult: with the right phase sign they are brighter than the brain around them.
IRON_RICH = ("GPe", "GPi", "putamen", "red nucleus", "SNr", "SNc-PBP-VTA")

# Deep in the brain, what decays fastest is iron and venous blood, both paramagnetic; at its rim it is air.
DEEP_MM = 8.0
FAST = (98.0, 99.8)

# Without R2*, too: iron and veins stand out of a brain in which little is as strongly diamagnetic, so that the
# histogram leans to the positive side. Right on the rim the errors of background removal lean to either; a few wild
# voxels count no more than the percentiles that they are clipped to, which mean nothing of fewer voxels than these.
RIM_MM = 2.0
CLIP = (0.1, 99.9)
LEAST_VOXELS = 2000

_DEFINITIONS = {
    "brain_volume_ml": ("Volume of the brain mask on the gradient-echo grid", "mL"),
    "qsm_mask_fraction": ("Voxels of the brain mask in which χ was computed, as a fraction of the brain mask", "1"),
    "phase_quality_median": ("Median ROMEO phase quality in the brain mask, 0 (noise) to 1", "1"),
    "field_residual_median": ("Median residual of the field fit over the echoes in the mask for χ", "rad"),
    "field_noise_median_ppb": ("Median standard error of the total field in the mask for χ", "ppb"),
    "local_field_sd_ppb": ("Standard deviation of the local field in the mask for χ", "ppb"),
    "chi_sd_ppb": ("Standard deviation of χ in the mask for χ", "ppb"),
    "chi_extreme_fraction": ("Fraction of the mask for χ in which |χ| exceeds 0.5 ppm", "1"),
    "reference_offset_ppb": ("Mean χ of the reference region that was subtracted", "ppb"),
    "reference_sd_ppb": ("Standard deviation of χ in the reference region", "ppb"),
    "r2star_median": ("Median R2* in the brain mask", "1/s"),
    "deep_grey_contrast_ppb": (
        "Mean χ of the iron-rich nuclei minus the mean of the mask for χ",
        "ppb",
    ),
    "r2star_contrast_ppb": (
        "Mean χ where R2* is highest (percentile 98 to 99.8) minus the median, 8 mm or more inside the mask for χ",
        "ppb",
    ),
    "chi_skewness": (
        "Skewness of χ, clipped to its percentiles 0.1 and 99.9, where the field is trusted, 2 mm or more inside the "
        "mask for χ",
        "1",
    ),
    "deep_grey_coverage_min": ("Least coverage of an iron-rich nucleus by the mask for χ", "1"),
    "coregistration_nmi": ("Normalised mutual information of gradient echo and T1w after rigid registration", "1"),
    "coregistration_edge_agreement": (
        "Agreement of the edges of gradient echo and T1w after rigid registration: 1 if no rigid displacement nearby "
        "makes them agree better, 0 if none by 8 mm or 10 degrees makes them agree worse",
        "1",
    ),
    "nuclei_shift_mm": (
        "Mean distance by which χ moved the deep nuclei from where T1w or magnitude had put them",
        "mm",
    ),
    "mask_fallback": ("1 if the brain mask was given up for one from signal and phase quality, else 0", "1"),
    "mask_holes_fraction": ("Holes in the brain mask, as a fraction of it", "1"),
    "mask_parts_fraction": ("Fraction of the brain mask apart from its largest part", "1"),
    "mask_low_signal_fraction": (
        "Fraction of the brain mask whose magnitude (first echo) is below a fifth of its third quartile: bone or air",
        "1",
    ),
    "mask_rim_noise": ("Fraction of the outermost 3 mm of the brain mask with a phase quality of noise", "1"),
    "mask_rim_trimmed_fraction": ("Fraction of the brain mask cut off at its rim for poor phase quality", "1"),
    "mask_beyond_template_fraction": (
        "Fraction of the brain mask more than 5 mm outside of the template's brain, once that is registered",
        "1",
    ),
    "mask_agreement_dice": (
        "Dice overlap of the brain mask with a rough one: the template's, by affine registration to the gradient echo",
        "1",
    ),
    "template_dice": ("Dice overlap of the brain mask carried to template space with the template's mask", "1"),
}


def metric_definitions() -> dict[str, dict[str, str]]:
    """What each metric is and its unit, as the JSON sidecar tells it."""
    return {name: {"Description": text, "Units": unit} for name, (text, unit) in _DEFINITIONS.items()}


def run_metrics(
    *,
    brain_mask: Mask,
    qsm_mask: Mask,
    voxel_size: tuple[float, float, float],
    chi: Array,
    local_field: Array | None = None,
    quality: Array | None = None,
    residual: Array | None = None,
    noise: Array | None = None,
    r2star: Array | None = None,
    reference: Mapping[str, float] | None = None,
    regions: pd.DataFrame | None = None,
    agreement: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """Quality numbers of one run; what cannot be computed from the inputs given is left out.

    Parameters
    ----------
    brain_mask, qsm_mask : (x, y, z) bool arrays
        Brain, and the part of it in which χ was computed.
    voxel_size : 3 floats [mm]
    chi, local_field : (x, y, z) arrays [ppm]
    quality : (x, y, z) array, 0 to 1
    residual : (x, y, z) array [rad]
    noise : (x, y, z) array [ppm]
    r2star : (x, y, z) array [1/s]
    reference : {"offset", "sd"} [ppm]
    regions : table with the columns name, coverage, n_voxels, chi_mean
    agreement : further numbers, taken over as they are

    Returns
    -------
    dict from metric name to value; see `metric_definitions`.

    Raises
    ------
    ValueError
        If a mask is empty.
    """
    n_brain, n_qsm = int(brain_mask.sum()), int(qsm_mask.sum())
    if not n_brain or not n_qsm:
        raise ValueError("the mask is empty: no voxel to take quality numbers from")
    inside = chi[qsm_mask]
    out = {
        "brain_volume_ml": n_brain * float(np.prod(voxel_size)) / 1000,
        "qsm_mask_fraction": float((qsm_mask & brain_mask).sum()) / n_brain,
        "chi_sd_ppb": 1000 * float(inside.std()),
        "chi_extreme_fraction": float((np.abs(inside) > 0.5).mean()),
    }
    if quality is not None:
        out["phase_quality_median"] = float(np.median(quality[brain_mask]))
    if residual is not None:
        out["field_residual_median"] = float(np.median(residual[qsm_mask]))
    if noise is not None:
        out["field_noise_median_ppb"] = 1000 * float(np.median(noise[qsm_mask]))
    if local_field is not None:
        out["local_field_sd_ppb"] = 1000 * float(local_field[qsm_mask].std())
    if r2star is not None:
        out["r2star_median"] = float(np.median(r2star[brain_mask]))
    out |= _sign_without_labels(chi, qsm_mask, voxel_size, r2star, noise)
    if reference:
        out["reference_offset_ppb"] = 1000 * float(reference["offset"])
        out["reference_sd_ppb"] = 1000 * float(reference["sd"])
    if regions is not None:
        out |= _deep_grey(regions, float(inside.mean()))
    if agreement:
        out |= {name: float(value) for name, value in agreement.items()}
    return {name: out[name] for name in _DEFINITIONS if name in out}


def _sign_without_labels(
    chi: Array, mask: Mask, voxel_size: tuple[float, float, float], r2star: Array | None, noise: Array | None
) -> dict[str, float]:
    """What tells the sign of χ without an atlas: χ of what decays fast, and to which side the histogram leans."""
    from scipy.ndimage import distance_transform_edt

    depth = distance_transform_edt(np.pad(mask, 1), voxel_size)[1:-1, 1:-1, 1:-1]
    decay = {} if r2star is None else _fast_decay(chi, r2star, depth > DEEP_MM)
    return decay | _skewness(chi[(depth > RIM_MM) & (True if noise is None else np.isfinite(noise))])


def _fast_decay(chi: Array, r2star: Array, deep: Mask) -> dict[str, float]:
    """χ of iron and veins without an atlas: nothing if the mask is nowhere 16 mm thick."""
    if not deep.any():
        return {}
    low, high = np.percentile(r2star[deep], FAST)
    fast = deep & (r2star > low) & (r2star <= high)
    if not fast.any():
        return {}
    return {"r2star_contrast_ppb": 1000 * float(chi[fast].mean(dtype=np.float64) - np.median(chi[deep]))}


def _skewness(values: Array) -> dict[str, float]:
    """Third standardised moment of the clipped values; nothing where they are few or all alike."""
    if values.size < LEAST_VOXELS:
        return {}
    clipped = np.clip(values, *np.percentile(values, CLIP)).astype(np.float64)
    deviation = clipped - clipped.mean()
    spread = float(np.sqrt(np.mean(deviation**2)))
    return {"chi_skewness": float(np.mean((deviation / spread) ** 3))} if spread > 0 else {}


def _deep_grey(regions: pd.DataFrame, brain_mean: float) -> dict[str, float]:
    iron = regions[regions["name"].isin(IRON_RICH)]
    seen = iron[(iron["n_voxels"] > 0) & iron["chi_mean"].notna()]
    if seen.empty:
        return {}
    contrast = float(np.average(seen["chi_mean"].astype(float), weights=seen["n_voxels"].astype(float))) - brain_mean
    return {"deep_grey_contrast_ppb": 1000 * contrast, "deep_grey_coverage_min": float(iron["coverage"].min())}
