"""A second registration of the deep nuclei, by susceptibility and T1w together.

A T1w hardly tells the pallidum, the nigra or the subthalamic nucleus from what lies around them; χ does.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .. import data
from ._ants import joint_syn_stage, load_ants, read, register, resampled, save
from .tissue import template_tissues

WORKING_SIZE = 1.0  # mm
MARGIN = 6.0  # mm around the nuclei that the crop holds
NEAR = 5.0  # mm around the nuclei in which the images are compared
RANGE = (-0.08, 0.2)  # ppm: beyond are veins and what is wrong, which should not pull
T1W_WEIGHT = 0.3  # of the T1w's correlation, χ's being 1
ITERATIONS = "20x8"
STEP = 0.6
AGE = 65.0
# names of the packaged atlas that the table of normal values knows by others
_ALIASES = {"habenular nuclei": "habenula", "mammillary nucleus": "mammillary"}


@dataclass(frozen=True)
class Refined:
    """What is put at the near end of a chain between template and image.

    from_template : warps, first in the order in which points of the image's grid go through them; empty if none
    to_template : warps, last in the order in which points of the template's grid go through them
    shift_mm : mean displacement inside the nuclei, NaN where nothing was done
    """

    from_template: tuple[Path, ...]
    to_template: tuple[Path, ...]
    shift_mm: float


def template_chi() -> NDArray[np.float32]:
    """Susceptibility that the template would have, (x, y, z) float32 [ppm] on its T1w's grid.

    Nuclei have the normal value of a person of 65 years; the rest is fluid, grey and white matter, mixed by the T1w's
    brightness. Registration by local correlation asks for the pattern, not for the values.
    """
    import nibabel as nib
    from nibabel.processing import resample_from_to

    from ..phantom.tissue import REGIONS, normal_chi

    template: Any = nib.load(data.template("T1w"))
    atlas = data.atlas("deepgrey")
    nuclei = np.rint(np.asanyarray(resample_from_to(nib.load(atlas.image), template, order=0).dataobj)).astype(int)
    fluid, grey, white = template_tissues()
    chi = 0.010 * fluid + 0.004 * grey - 0.020 * white
    lookup = pd.read_csv(atlas.labels, sep="\t", keep_default_na=False)
    for index, name in zip(lookup["index"], lookup["name"], strict=True):
        known = _ALIASES.get(name, name)
        if known in REGIONS:
            chi[nuclei == index] = normal_chi(known, AGE) / 1000
    result: NDArray[np.float32] = np.where(fluid + grey + white > 0, chi, 0).astype(np.float32)
    return result


def refine_nuclei(
    chi: Path,
    from_template: Sequence[Path],
    out_dir: Path,
    *,
    t1w: Path | None = None,
    t1w_to_image: Sequence[Path] = (),
    prefix: str = "nuclei",
    seed: int = 0,
) -> Refined:
    """Match the template's nuclei to χ, from where a registration by T1w or magnitude has left them.

    Both images of the template are carried to the image's grid first; what is found is a warp of a few millimetres, 0
    beyond the nuclei and 6 mm around them. Local cross-correlation of χ, and of the T1w with less weight.

    Parameters
    ----------
    chi : path of the susceptibility map [ppm]
    from_template : transforms that bring the template to the grid of `chi`
    out_dir : folder for ``<prefix>_forward.nii.gz`` and ``<prefix>_inverse.nii.gz``
    t1w, t1w_to_image : the person's T1w, and the transforms that bring it to the grid of `chi`
    seed : seed of the registration

    Returns
    -------
    refined : no warps where no nucleus lies in the field of view

    References
    ----------
    Hanspach J, et al. J Magn Reson Imaging 2017;46:1474 (χ and T1w at once). https://doi.org/10.1002/jmri.25671
    Avants BB, et al. Med Image Anal 2008;12:26. https://doi.org/10.1016/j.media.2007.06.004
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    ants = load_ants()
    image = ants.image_read(str(chi), pixeltype="float")
    chain = [str(path) for path in from_template]
    nuclei = ants.image_read(str(data.atlas("deepgrey").image), pixeltype="float")
    there = ants.apply_transforms(image, nuclei, chain, interpolator="nearestNeighbor").numpy()
    if not (there > 0).any():
        return Refined((), (), float("nan"))
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        grid = _crop(image, there > 0)
        labels = ants.apply_transforms(grid, nuclei, chain, interpolator="nearestNeighbor").numpy() > 0
        pairs = [(_clipped(grid), ants.apply_transforms(grid, _like_template(template_chi()), chain), 1.0)]
        if t1w is not None:
            own = ants.apply_transforms(grid, read(t1w), [str(path) for path in t1w_to_image])
            pairs.append((own, ants.apply_transforms(grid, read(data.template("T1w")), chain), T1W_WEIGHT))
        mask = save(grid.new_image_like(_near(labels, NEAR / WORKING_SIZE)), work / "near.nii.gz")
        register(work / "nuclei", [], _stage(pairs, mask, work), seed=seed)
        names = ((f"{prefix}_inverse.nii.gz", "nuclei0Warp"), (f"{prefix}_forward.nii.gz", "nuclei0InverseWarp"))
        from_, to = (Path(shutil.move(work / f"{found}.nii.gz", out_dir / name)) for name, found in names)
        shift = np.linalg.norm(ants.image_read(str(from_)).numpy(), axis=-1)[labels].mean()
        return Refined((from_,), (to,), float(shift))


def _stage(images: Sequence[tuple[Any, Any, float]], mask: Path, work: Path) -> list[str]:
    """Arguments of the registration; `images` are fixed and moving ones and their weight."""
    pairs = [
        (save(fixed, work / f"fixed{number}.nii.gz"), save(moving, work / f"moving{number}.nii.gz"), weight)
        for number, (fixed, moving, weight) in enumerate(images)
    ]
    return joint_syn_stage(pairs, ITERATIONS, "2x1", "1x0", step=STEP, mask=mask)


def _crop(image: Any, where: NDArray[np.bool_]) -> Any:
    """The image around some voxels, in cubes of the working size."""
    pad = [int(np.ceil(MARGIN / size)) for size in image.spacing]
    voxels = np.argwhere(where)
    low = np.maximum(voxels.min(axis=0) - pad, 0)
    high = np.minimum(voxels.max(axis=0) + pad + 1, image.shape)
    return resampled(load_ants().crop_indices(image, low.tolist(), high.tolist()), WORKING_SIZE)


def _clipped(chi: Any) -> Any:
    return chi.new_image_like(np.clip(np.nan_to_num(chi.numpy()), *RANGE).astype(np.float32))


def _like_template(values: NDArray[np.float32]) -> Any:
    return read(data.template("T1w")).new_image_like(values)


def _near(labels: NDArray[np.bool_], voxels: float) -> NDArray[np.float32]:
    from scipy.ndimage import distance_transform_edt

    return np.asarray(distance_transform_edt(~labels) <= voxels, np.float32)
