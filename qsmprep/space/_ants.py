"""The narrow door to antspyx: one ITK thread, a fixed seed, files in and files out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np


def load_ants() -> ModuleType:
    """Import antspyx with one ITK thread.

    ITK reads the number of threads once, when it is first used; with more than one, sums run in another order
    each time and no seed makes a registration repeatable.
    """
    os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = "1"
    import ants

    return ants


def read(path: Path) -> Any:
    """Read a 3-D image as float32 without NaN, Inf and negative values (none of which a magnitude has)."""
    ants = load_ants()
    image = ants.image_read(str(path), pixeltype="float")
    if image.dimension != 3:
        raise ValueError(f"{path}: has {image.dimension} dimensions, a 3-D image is expected")
    data = np.nan_to_num(image.numpy(), nan=0.0, posinf=0.0, neginf=0.0)
    if not np.any(data > 0):
        raise ValueError(f"{path}: has no voxel above zero")
    return image.new_image_like(np.maximum(data, 0).astype(np.float32))


def resampled(image: Any, size: float) -> Any:
    """Resample linearly to isotropic voxels of `size` mm."""
    return load_ants().resample_image(image, (size, size, size), use_voxels=False, interp_type=0)


def bias_field(image: Any, mask: Any = None) -> Any:
    """Slowly varying gain of an image of 2 mm voxels, by N4.

    Parameters
    ----------
    mask : image of 0 and 1 on the same grid: the brain. Without it (or if it is empty) bright scalp and air take part,
        and what a surface coil does to the brain stays nearly as it was: enough for a first match of heads, not for a
        fine one.

    References
    ----------
    Tustison NJ, et al. IEEE Trans Med Imaging 2010;29:1310. https://doi.org/10.1109/TMI.2010.2046908
    """
    if mask is not None and not mask.numpy().any():
        mask = None
    iterations = [20, 20] if mask is None else [50, 50, 30, 20]
    bias = load_ants().n4_bias_field_correction(
        image, mask=mask, shrink_factor=4, convergence={"iters": iterations, "tol": 1e-4}, return_bias_field=True
    )
    gain = bias.numpy()
    return bias.new_image_like(np.where(gain > 1e-3, gain, 1.0).astype(np.float32))


def divided(image: Any, bias: Any) -> Any:
    """Divide an image by a gain that may stand on a coarser grid."""
    gain = load_ants().resample_image_to_target(bias, image, interp_type="linear").numpy()
    return image.new_image_like((image.numpy() / np.where(gain > 1e-3, gain, 1.0)).astype(np.float32))


def save(image: Any, path: Path) -> Path:
    """Write an image and return its path."""
    load_ants().image_write(image, str(path))
    return path


def binary(image: Any) -> Any:
    """1 where an image is above 0.5, else 0."""
    return image.new_image_like((image.numpy() > 0.5).astype(np.float32))


def linear_stage(kind: str, fixed: Path, moving: Path, *, coarse_only: bool = False) -> list[str]:
    """Arguments of a rigid or affine stage at 16, 8 and 4 mm, for images of 2 mm; mutual information."""
    iterations = "500x250x0" if coarse_only else "1000x500x250"
    return [
        *("--transform", f"{kind}[0.1]"),
        *("--metric", f"MI[{fixed},{moving},1,32,Regular,0.25]"),
        *("--convergence", f"[{iterations},1e-6,10]"),
        *("--shrink-factors", "8x4x2"),
        *("--smoothing-sigmas", "2x1x0vox"),
    ]


def syn_stage(fixed: Path, moving: Path, iterations: str, shrink: str, sigmas: str) -> list[str]:
    """Arguments of a symmetric diffeomorphic stage by local cross-correlation, which needs no common contrast.

    In 3 x 3 x 3 voxels: on warped templates it placed small nuclei as well as the usual 5 x 5 x 5, in half the time.
    """
    return joint_syn_stage([(fixed, moving, 1.0)], iterations, shrink, sigmas)


def joint_syn_stage(
    pairs: Sequence[tuple[Path, Path, float]], iterations: str, shrink: str, sigmas: str, *, step: float = 0.2,
    mask: Path | None = None,
) -> list[str]:  # fmt: skip
    """Arguments of a stage like `syn_stage` for several contrasts at once.

    Parameters
    ----------
    pairs : fixed image, moving image, and the weight of their correlation
    mask : where the fixed images are compared
    """
    metrics = [("--metric", f"CC[{fixed},{moving},{weight:g},1]") for fixed, moving, weight in pairs]
    return [
        *("--transform", f"SyN[{step:g},3,0]"),
        *(part for metric in metrics for part in metric),
        *("--convergence", f"[{iterations},1e-6,10]"),
        *("--shrink-factors", shrink),
        *("--smoothing-sigmas", f"{sigmas}vox"),
        *(("--masks", f"[{mask}]") if mask is not None else ()),
    ]


def register(prefix: Path, start: list[str], *stages: list[str], seed: int) -> None:
    """Run antsRegistration with single precision; transforms are written as `prefix` + 0GenericAffine.mat and so on.

    Raises
    ------
    RuntimeError
        If ANTs reports a failure.
    """
    arguments = ["--dimensionality", "3", "--float", "1", "--random-seed", str(seed + 1), "--output", str(prefix)]
    for transform in start:
        arguments += ["--initial-moving-transform", transform]
    for stage in stages:
        arguments += stage
    load_ants().registration(fixed=arguments, moving=None)
