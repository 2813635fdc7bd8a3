"""Build a within-subject template: the median of all visits, in the space in the middle of them."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from ._ants import bias_field, divided, load_ants, read, resampled, save
from .longitudinal import Matrix, common_grid, distance_mm, median_image, mid_space, without_drift
from .registration import WORKING_SIZE, best_start, match_rigid

ROUNDS = 2  # of registration to the median
FINEST_MM = 1.0  # of the template's voxels, since registration to the group template gains nothing below
LEVEL = 1000.0  # of the template's tissue
_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])  # ITK counts x and y the other way


@dataclass(frozen=True)
class Within:
    """A within-subject template, and how to get there.

    template : image of the whole head
    forward, inverse : for each visit the transform that brings its image to the template, and the one back
    moved_mm : for each visit how far its head lies from the common space, root mean square over a brain
    """

    template: Path
    forward: tuple[Path, ...]
    inverse: tuple[Path, ...]
    moved_mm: tuple[float, ...]


def build_within(images: Sequence[Path], out_dir: Path, *, seed: int = 0) -> Within:
    """Within-subject template of images of one contrast, in which no visit and no order of them is privileged.

    Images are freed of their bias field (N4). Every two of them are registered in both directions (rigid, mutual
    information, down to 8 mm); their middle is where the template begins. Then, twice: the median of all, to which
    each is registered anew (down to 2 mm), and what they move in common is taken off. In the end each image is
    interpolated once.

    Parameters
    ----------
    images : paths of 3-D images of the whole head, two or more
    out_dir : folder for ``within.nii.gz`` and for the transforms
    seed : seed of the sampling

    Raises
    ------
    ValueError
        If an image is not 3-D or is empty, or the fields of view have nothing in common.

    References
    ----------
    Reuter M, et al. NeuroImage 2012;61:1402. https://doi.org/10.1016/j.neuroimage.2012.02.084
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        heads, whole = [], []
        for number, path in enumerate(images):
            image = read(path)
            low = resampled(image, WORKING_SIZE)
            bias = bias_field(low)
            heads.append(save(divided(low, bias), work / f"head{number}.nii.gz"))
            whole.append(save(divided(image, bias), work / f"whole{number}.nii.gz"))
        poses = _poses(heads, work, seed)
        finest = min(float(min(nib.load(path).header.get_zooms()[:3])) for path in images)
        template = _average(whole, poses, max(finest, FINEST_MM), out_dir / "within.nii.gz")
    ways: list[tuple[Path, Path]] = []
    for number, pose in enumerate(poses):
        names = (out_dir / f"visit{number}_{way}.h5" for way in ("forward", "inverse"))
        forward, inverse = names
        ways.append((write_linear(np.linalg.inv(pose), forward), write_linear(pose, inverse)))
    middle = _middle(template)
    moved = tuple(distance_mm(np.linalg.inv(pose), np.eye(4), middle) for pose in poses)
    return Within(template, tuple(w[0] for w in ways), tuple(w[1] for w in ways), moved)


def _poses(heads: Sequence[Path], work: Path, seed: int) -> Matrix:
    """(n, 4, 4) from each visit to the common space."""
    n = len(heads)
    pairs = np.tile(np.eye(4), (n, n, 1, 1))
    for i in range(n):
        for j in range(n):
            if i != j:
                found = best_start(heads[i], heads[j], read(heads[i]), read(heads[j]), work, seed=seed)
                pairs[i, j] = read_linear(Path(found))
    poses = mid_space(pairs, [_middle(head) for head in heads])
    for _ in range(ROUNDS):
        template = _average(heads, poses, WORKING_SIZE, work / "median.nii.gz")
        matched = []
        for head, pose in zip(heads, poses, strict=True):
            start = write_linear(np.linalg.inv(pose), work / "start.mat")
            matched.append(np.linalg.inv(read_linear(match_rigid(template, head, str(start), work, seed=seed))))
        poses = without_drift(matched, poses, _middle(template))
    return poses


def _average(images: Sequence[Path], poses: Matrix, voxel_mm: float, out: Path) -> Path:
    """Write the median of all images in the common space."""
    loaded = [nib.load(path) for path in images]
    shape, affine = common_grid([image.shape for image in loaded], [image.affine for image in loaded], poses, voxel_mm)
    moved = [
        _moved(np.asarray(image.dataobj, np.float32), np.linalg.inv(image.affine) @ np.linalg.inv(pose) @ affine, shape)
        for image, pose in zip(loaded, poses, strict=True)
    ]
    nib.save(nib.Nifti1Image(LEVEL * median_image(moved), affine), out)
    return out


def _moved(image: NDArray[np.float32], voxels: Matrix, shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """An image on another grid by cubic splines, never below 0, NaN outside; `voxels` leads from there to its own."""
    from scipy.ndimage import affine_transform

    result: NDArray[np.float32] = affine_transform(
        image, voxels[:3, :3], voxels[:3, 3], shape, order=3, cval=np.nan, output=np.float32
    )
    return np.maximum(result, 0)


def _middle(path: Path) -> NDArray[np.float64]:
    """Middle of what is bright [mm]."""
    image = nib.load(path)
    data = np.asarray(image.dataobj, np.float32)
    voxel = np.argwhere(data > data.mean()).mean(axis=0)
    place: NDArray[np.float64] = (image.affine @ [*voxel, 1])[:3]
    return place


def read_linear(path: Path) -> Matrix:
    """Matrix [mm, x to the right and y to the front] of the points' way through a rigid transform of ITK."""
    transform = load_ants().read_transform(str(path))
    step = 100.0  # points far apart, since ITK keeps single precision
    start = np.array(transform.apply_to_point([0.0, 0.0, 0.0]))
    ends = [np.array(transform.apply_to_point([step * (axis == k) for axis in range(3)])) for k in range(3)]
    u, _, vt = np.linalg.svd(np.stack([(end - start) / step for end in ends], axis=-1))
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = u @ vt, start
    result: Matrix = _FLIP @ matrix @ _FLIP
    return result


def write_linear(matrix: Matrix, out: Path) -> Path:
    """Write a matrix, as `read_linear` gives it, as a transform of ITK."""
    ants = load_ants()
    moved = _FLIP @ matrix @ _FLIP
    transform = ants.create_ants_transform(
        transform_type="AffineTransform", dimension=3, matrix=moved[:3, :3], offset=moved[:3, 3]
    )
    ants.write_transform(transform, str(out))
    return out
