"""Find the transforms between the GRE, the T1w and the template.

Every function returns `Transforms`: ``forward`` resamples the moving image on the fixed image's grid, ``inverse`` the
fixed image on the moving image's grid. Both are lists for `qsmprep.space.resample.apply`, to be used as they are.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import data
from ._ants import bias_field, binary, divided, linear_stage, load_ants, read, register, resampled, save, syn_stage
from .quality import normalised_mutual_information

WORKING_SIZE = 2.0  # mm; at 1 mm the same registrations take ten times as long and are no better
COARSE = 2.5  # mm; images of larger voxels are matched at 4 mm only
_MARGIN = 12.0  # mm around the image in which the composed warp is still known


@dataclass(frozen=True)
class Transforms:
    """Paths of transforms in the order of ANTs, moving to fixed and back."""

    forward: tuple[Path, ...]
    inverse: tuple[Path, ...]


def rigid(
    moving: Path, fixed: Path, out_dir: Path, *, fixed_mask: Path | None = None, prefix: str = "rigid", seed: int = 0
) -> Transforms:
    """Rigid transform between two images of one head, for example GRE magnitude (moving) and T1w (fixed).

    Mutual information, so that the contrasts may differ. Three starts are tried (scanner coordinates as they are,
    centres of mass, centres of the fields of view) and the one with the best agreement is refined on the whole head, so
    the two may stand in different coordinates and have different fields of view. With a brain mask, both are then freed
    of the gain of their coils inside the brain and matched there alone: on the real head in this project's tests, scalp
    and shading had drawn the whole heads 3 mm and 2 degrees apart.

    Parameters
    ----------
    moving, fixed : paths of 3-D images
    out_dir : folder for ``<prefix>_forward.h5`` and ``<prefix>_inverse.h5``
    fixed_mask : path of the brain mask of `fixed`, on its grid
    seed : seed of the sampling

    Returns
    -------
    Transforms with one file each way

    Raises
    ------
    ValueError
        If an image is not 3-D or is empty.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        low = {name: resampled(read(path), WORKING_SIZE) for name, path in (("fixed", fixed), ("moving", moving))}
        flat = {name: divided(image, bias_field(image)) for name, image in low.items()}
        paths = {name: save(image, work / f"{name}.nii.gz") for name, image in flat.items()}
        start = best_start(paths["fixed"], paths["moving"], flat["fixed"], flat["moving"], work, seed=seed)
        found = match_rigid(paths["fixed"], paths["moving"], start, work, seed=seed)
        if fixed_mask is not None:
            mask = load_ants().resample_image_to_target(_read_mask(fixed_mask), low["fixed"], interp_type="linear")
            found = _match_brain(low["fixed"], low["moving"], binary(mask), found, work, seed=seed)
        return _save_linear(found, out_dir, prefix)


def _match_brain(fixed: Any, moving: Any, mask: Any, start: Path, work: Path, *, seed: int) -> Path:
    """Refine a rigid transform on the brain; the start is kept where the brains agree no better afterwards."""
    ants = load_ants()
    carried = binary(ants.apply_transforms(moving, mask, [str(start)], whichtoinvert=[True]))
    if not carried.numpy().any():  # the two have nothing in common: the agreement will tell
        return start
    fixed, moving = divided(fixed, bias_field(fixed, mask)), divided(moving, bias_field(moving, carried))
    flat = save(fixed, work / "flat_fixed.nii.gz"), save(moving, work / "flat_moving.nii.gz")
    where = save(mask, work / "flat_mask.nii.gz")
    coarse = start.rename(work / "whole_head.mat")
    try:
        fine = match_rigid(*flat, str(coarse), work, seed=seed, mask=where)
    except RuntimeError:  # ITK gives up where hardly any of the brain lies in the moving image
        return coarse
    inside = mask.numpy() > 0.5

    def agreement(found: Path) -> float:
        moved = ants.apply_transforms(fixed, moving, [str(found)]).numpy()
        return normalised_mutual_information(fixed.numpy(), moved, inside)

    return max((fine, coarse), key=agreement)


def match_rigid(fixed: Path, moving: Path, start: str, work: Path, *, seed: int, mask: Path | None = None) -> Path:
    """Rigid registration of two bias-corrected images of 2 mm voxels, from a transform that is about right.

    Returns the file of the transform: points of `fixed` go through it to those of `moving`. With a mask (of `fixed`)
    they are compared inside it only.
    """
    stage = linear_stage("Rigid", fixed, moving)
    stage[stage.index("8x4x2")] = "4x2x1"
    if mask is not None:
        stage += ["--masks", f"[{mask}]"]
    register(work / "fine", [start], stage, seed=seed)
    return work / "fine0GenericAffine.mat"


def best_start(fixed: Path, moving: Path, fixed_image: Any, moving_image: Any, work: Path, *, seed: int) -> str:
    """Coarse rigid registration from three starts; return the transform file of the one that agrees best."""
    ants = load_ants()
    scores: dict[str, float] = {}
    grid = resampled(fixed_image, 4.0)
    for name, start in (("scanner", "identity"), ("mass", f"[{fixed},{moving},1]"), ("field", f"[{fixed},{moving},0]")):
        if start == "identity":
            start = str(work / "identity.mat")
            identity = ants.create_ants_transform(transform_type="AffineTransform", dimension=3)
            ants.write_transform(identity, start)
        register(work / name, [start], linear_stage("Rigid", fixed, moving, coarse_only=True), seed=seed)
        found = f"{work / name}0GenericAffine.mat"
        moved = ants.apply_transforms(grid, moving_image, [found]).numpy()
        scores[found] = normalised_mutual_information(grid.numpy(), moved)
    return max(scores, key=scores.__getitem__)


def match_template(image: Any, work: Path, *, seed: int) -> list[Path]:
    """Match the template's whole head to a bias-corrected image of 2 mm voxels; return [warp, affine] (template moves).

    The inverse warp stands beside the warp as ``headInverseWarp.nii.gz``.
    """
    fixed = save(image, work / "head_fixed.nii.gz")
    template_image = resampled(read(data.template("T1w")), WORKING_SIZE)
    moving = save(template_image, work / "head_moving.nii.gz")
    start = best_start(fixed, moving, image, template_image, work, seed=seed)
    register(work / "affine", [start], linear_stage("Affine", fixed, moving), seed=seed)
    affine = work / "affine0GenericAffine.mat"
    # the warp is only wanted around the brain: leave out neck and air, which cost most of the time
    mask = binary(load_ants().apply_transforms(image, _read_mask(data.template("mask")), [str(affine)]))
    if mask.numpy().any():
        # now that the brain is about known, its shading can be taken off
        flat = divided(image, bias_field(image, mask))
        fixed = save(_box(np.argwhere(mask.numpy() > 0), flat, margin=25.0), work / "head_box.nii.gz")
    register(work / "syn", [str(affine)], syn_stage(fixed, moving, "80x50x25", "8x4x2", "2x1x0"), seed=seed)
    warp = (work / "syn1Warp.nii.gz").rename(work / "headWarp.nii.gz")
    (work / "syn1InverseWarp.nii.gz").rename(work / "headInverseWarp.nii.gz")
    return [warp, affine.rename(work / "headAffine.mat")]


def normalize(
    image: Path, brain_mask: Path, out_dir: Path, *, start: Path | None = None, prefix: str = "template", seed: int = 0
) -> Transforms:
    """Nonlinear transform between an image of the head (moving) and the template (fixed).

    The match of the whole head (`match_template`, 4 mm) is refined on the brain at 4 and 2 mm, then on the deep grey
    matter alone at 2 and 1 mm, where the labels have to be exact: each if the voxels are that fine. The steps become
    one warp each way.

    Parameters
    ----------
    image : path of the T1w or the GRE magnitude
    brain_mask : path of its brain mask, on the grid of `image`
    out_dir : folder for ``<prefix>_forward.nii.gz`` and ``<prefix>_inverse.nii.gz``
    start : `transforms_dir` of `qsmprep.mask.brain.extract_brain` run on the same image; it saves the first step
    seed : seed of the sampling

    Returns
    -------
    Transforms: forward brings `image` to the template, inverse the template and its labels to `image`

    References
    ----------
    Avants BB, et al. Med Image Anal 2008;12:26. https://doi.org/10.1016/j.media.2007.06.004
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    ants = load_ants()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        whole = read(image)
        low = resampled(whole, WORKING_SIZE)
        if start is not None:
            for name in ("headWarp.nii.gz", "headInverseWarp.nii.gz", "headAffine.mat"):
                shutil.copy(start / name, work / name)
        else:
            match_template(divided(low, bias_field(low)), work, seed=seed)
        mask = ants.resample_image_to_target(_read_mask(brain_mask), whole, interp_type="linear")
        inside = binary(ants.resample_image_to_target(mask, low, interp_type="linear"))
        brain = divided(whole, bias_field(low, inside))
        brain = brain.new_image_like(np.where(mask.numpy() > 0.5, brain.numpy(), 0).astype(np.float32))
        steps = _refine(brain, low, work, seed=seed)
        return _compose(steps, low, work, out_dir, prefix)


def _refine(brain: Any, low: Any, work: Path, *, seed: int) -> list[str]:
    """Refine `head*` on the brain, then on the deep grey matter; return the stems of the warps, finest first.

    An image is matched no finer than it is: on the magnitude of 3.4 mm of a real head, refinement moved nuclei that lay
    right.
    """
    if min(brain.spacing) > COARSE:
        return ["head"]
    ants = load_ants()
    template_brain = read(data.template("T1w")) * _read_mask(data.template("mask"))
    fine = save(template_brain, work / "template_1mm.nii.gz")
    coarse = save(resampled(template_brain, WORKING_SIZE), work / "template_2mm.nii.gz")
    low = ants.resample_image_to_target(brain, low, interp_type="linear")
    low = _box(np.argwhere(low.numpy() > 0), low)
    fixed = save(low, work / "brain.nii.gz")
    head = [str(work / "headWarp.nii.gz"), str(work / "headAffine.mat")]
    register(work / "brain", head, syn_stage(fixed, coarse, "20x5", "2x1", "1x0"), seed=seed)
    _keep_last(work, "brain")
    chain = [str(work / "brainWarp.nii.gz"), *head]

    nuclei = ants.image_read(str(data.atlas("deepgrey").image), pixeltype="float")
    there = ants.apply_transforms(low, nuclei, chain, interpolator="nearestNeighbor").numpy()
    voxels = np.argwhere((there > 0) & (there % 100 != 20))  # the dentate is only a prior and far away
    if not len(voxels):
        return ["brain", "head"]
    target = resampled(_box(voxels, low), 1.0)
    crop = save(ants.resample_image_to_target(brain, target, interp_type="linear"), work / "crop.nii.gz")
    # warps on different grids cannot both start a registration: make them one
    joined = ants.apply_transforms(low, template_brain, chain, compose=str(work / "joined_"))
    # an image of 2 mm has nothing to say at 1 mm
    levels = ("30x10", "2x1", "1x0") if min(brain.spacing) < 1.75 else ("30", "2", "1")
    register(work / "crop", [joined], syn_stage(crop, fine, *levels), seed=seed)
    _keep_last(work, "crop")
    return ["crop", "brain", "head"]


def _box(voxels: np.ndarray, image: Any, margin: float = 10.0) -> Any:
    """Cut the box around `voxels` and `margin` mm out of `image`."""
    pad = round(margin / WORKING_SIZE)
    low = np.maximum(voxels.min(axis=0) - pad, 0)
    high = np.minimum(voxels.max(axis=0) + pad + 1, image.shape)
    return load_ants().crop_indices(image, low.tolist(), high.tolist())


def _keep_last(work: Path, stem: str) -> None:
    """Rename the last warp that a registration wrote (earlier ones repeat its start)."""
    last = sorted(work.glob(f"{stem}[0-9]Warp.nii.gz"))[-1]
    number = last.name[len(stem)]
    last.rename(work / f"{stem}Warp.nii.gz")
    (work / f"{stem}{number}InverseWarp.nii.gz").rename(work / f"{stem}InverseWarp.nii.gz")


def _compose(steps: list[str], low: Any, work: Path, out_dir: Path, prefix: str) -> Transforms:
    """Make one displacement field each way, in voxels of 2 mm and with a margin around the image."""
    affine = str(work / "headAffine.mat")
    to_image = [*(str(work / f"{step}Warp.nii.gz") for step in steps), affine]
    to_template = [affine, *(str(work / f"{step}InverseWarp.nii.gz") for step in reversed(steps))]
    template_grid = resampled(read(data.template("T1w")), WORKING_SIZE)
    result = []
    for name, grid, chain in (("forward", template_grid, to_template), ("inverse", low, to_image)):
        inverted = [name == "forward" and path == affine for path in chain]
        result.append(_as_warp(chain, inverted, grid, work, out_dir / f"{prefix}_{name}.nii.gz"))
    return Transforms((result[0],), (result[1],))


def take(to_template: Path, from_template: Path, image: Path, out_dir: Path, *, prefix: str = "template") -> Transforms:
    """Transforms that another program has found, in the form of those that `normalize` gives.

    Composite transforms cannot be joined to further ones in one file, so each becomes a displacement field, in voxels
    of 2 mm and with a margin around the image.

    Parameters
    ----------
    to_template, from_template : paths of ITK transforms, as antsApplyTransforms takes them without inversion
    image : path of the image that was registered
    out_dir : folder for ``<prefix>_forward.nii.gz`` and ``<prefix>_inverse.nii.gz``

    Raises
    ------
    ValueError
        If a file is no transform; the message names it.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    grids = {"forward": read(data.template("T1w")), "inverse": read(image)}
    result = []
    with tempfile.TemporaryDirectory() as folder:
        for (name, grid), path in zip(grids.items(), (to_template, from_template), strict=True):
            out = out_dir / f"{prefix}_{name}.nii.gz"
            try:
                result.append(_as_warp([str(path)], [False], resampled(grid, WORKING_SIZE), Path(folder), out))
            except (RuntimeError, OSError, TypeError) as error:
                raise ValueError(
                    f"{path} cannot be used: expected an ITK transform as antsApplyTransforms takes it, found "
                    f"{' '.join(str(error).split())[:200]}. Copy it again, or leave its dataset out of --derivatives"
                ) from None
    return Transforms((result[0],), (result[1],))


def _as_warp(chain: list[str], inverted: list[bool], grid: Any, work: Path, out: Path) -> Path:
    """Write a chain of transforms as one displacement field, on a grid and a margin around it."""
    ants = load_ants()
    margin = round(_MARGIN / WORKING_SIZE)
    padded = ants.pad_image(grid, pad_width=[(margin, margin)] * 3)
    stem = str(work / f"{out.name.split('.')[0]}_")
    composed = ants.apply_transforms(padded, padded, chain, whichtoinvert=inverted, compose=stem)
    return Path(shutil.move(composed, out))


def _save_linear(found: Path, out_dir: Path, prefix: str) -> Transforms:
    """Write a linear transform and its inverse as files that need no flag."""
    ants = load_ants()
    transform = ants.read_transform(str(found))
    forward, inverse = (out_dir / f"{prefix}_{name}.h5" for name in ("forward", "inverse"))
    ants.write_transform(transform, str(forward))
    ants.write_transform(ants.invert_ants_transform(transform), str(inverse))
    return Transforms((forward,), (inverse,))


def _read_mask(path: Path) -> Any:
    """Read a mask as an ANTs image of 0 and 1."""
    return binary(load_ants().image_read(str(path), pixeltype="float"))
