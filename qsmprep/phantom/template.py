"""The head in template space: from the packaged T1w, mask and atlases to maps that a person's head is sampled from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .nuclei import Nuclei, complete, crop, load_nuclei

NECK = 60  # mm of neck below the template's last slice, so that the head does not end in air there
Volume = NDArray[np.float32]

# Air in the head: centre [mm], half axes [mm]; mirrored where x is not 0. It reaches the brain: the roofs of these
# cavities are often thinner than a voxel, and the phase is at its worst there.
_CAVITIES: tuple[tuple[tuple[float, float, float], tuple[float, float, float]], ...] = (
    ((10, 82, -8), (12, 6, 14)),  # frontal sinus
    ((0, 24, -33), (14, 15, 9)),  # sphenoid sinus
    ((8, 44, -30), (7, 18, 11)),  # ethmoid cells
    ((5, 52, -52), (3.5, 27, 13)),  # nasal cavity
    ((0, 12, -56), (11, 10, 12)),  # nasopharynx
    ((0, -2, -95), (9, 7, 35)),  # pharynx
    ((27, 48, -58), (11, 14, 14)),  # maxillary sinus
    ((51, -43, -44), (9, 12, 14)),  # mastoid cells
    ((44, -27, -39), (7, 6, 7)),  # middle ear
    ((64, -22, -41), (18, 3, 3)),  # ear canal
)
_TRACT = ((22, -24, 62), (25, -20, 40), (25, -17, 20), (20, -10, 4), (15, -16, -10), (8, -22, -28), (4, -32, -50))


@dataclass(frozen=True)
class Template:
    """Maps in template space, (x, y, z) on one grid, and the nuclei on their own.

    t1w : brightness relative to white matter
    brain, head, bone, air : float32, 0 to 1, blurred by 1 mm so that 0.5 is a smooth surface
    tract : float32, 0 to 1, the corticospinal tract; splenium likewise
    cortex : uint8, parcel of the nearest cortex, 0 outside cortex; `parcels` names them (position + 1)
    affine : (4, 4), voxels to mm
    """

    t1w: Volume
    brain: Volume
    head: Volume
    bone: Volume
    air: Volume
    tract: Volume
    splenium: Volume
    cortex: NDArray[np.uint8]
    parcels: tuple[tuple[str, str], ...]
    affine: NDArray[np.float64]
    nuclei: Nuclei


@lru_cache(maxsize=2)
def load_template(labels: Path | None = None, lookup: Path | None = None) -> Template:
    """Build the maps from the packaged data, with the nuclei of another label image if one is given."""
    import nibabel as nib

    from qsmprep import data

    t1w_image: Any = nib.load(data.template("T1w"))
    mask_image: Any = nib.load(data.template("mask"))
    t1w = np.asarray(t1w_image.dataobj, dtype=np.float32)
    mask = np.asarray(mask_image.dataobj) > 0
    affine = np.array(t1w_image.affine, dtype=np.float64)
    if not np.allclose(affine[:3, :3], np.eye(3)) or mask.shape != t1w.shape:
        raise ValueError("the packaged template is expected at 1 mm, in RAS order, with its mask on the same grid")
    t1w /= np.percentile(t1w[mask], 95)
    t1w = np.pad(t1w, ((0, 0), (0, 0), (NECK, 0)), mode="edge")
    mask = np.pad(mask, ((0, 0), (0, 0), (NECK, 0)))
    affine[2, 3] -= NECK
    head, bone, air = _surroundings(t1w, mask, affine)
    cortex, parcels = _cortex(mask.shape, affine)
    deep = data.atlas("deepgrey")
    packaged = load_nuclei(deep.image, deep.labels)
    nuclei = packaged if labels is None else complete(load_nuclei(labels, lookup or _beside(labels)), packaged)
    return Template(
        t1w=t1w,
        brain=_blurred(mask),
        head=_blurred(head),
        bone=_blurred(bone),
        air=_blurred(air),
        tract=_along(_TRACT, 4.5, mask.shape, affine),
        splenium=_along(((0, -38, 12), (16, -42, 16)), 6.0, mask.shape, affine),
        cortex=cortex,
        parcels=parcels,
        affine=affine,
        nuclei=crop(nuclei),
    )


def _beside(labels: Path) -> Path:
    return labels.with_name(labels.name.split(".", 1)[0] + ".tsv")


def _blurred(flags: NDArray[np.bool_]) -> Volume:
    from scipy.ndimage import gaussian_filter

    blurred: Volume = gaussian_filter(flags.astype(np.float32), 1.0, truncate=3.0)
    return blurred


def _surroundings(
    t1w: Volume, mask: NDArray[np.bool_], affine: NDArray[np.float64]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Head, bone and air cavities (bool)."""
    from scipy import ndimage

    bright = ndimage.gaussian_filter(t1w, 1.0) > 0.22
    bright |= mask
    head = ndimage.binary_closing(bright, iterations=4, border_value=0)
    groups, _ = ndimage.label(head)
    head = groups == np.argmax(np.bincount(groups[head])) if groups.max() > 1 else head
    for z in range(head.shape[2]):  # slice by slice: the neck is open below
        head[..., z] = ndimage.binary_fill_holes(head[..., z])
    head = ndimage.binary_dilation(head)
    near_brain = ndimage.binary_dilation(mask, iterations=2)
    air = _ellipsoids(head.shape, affine) & ~mask
    air &= head
    skin = head & ~ndimage.binary_erosion(head, iterations=3, border_value=1)
    z = affine[2, 3] + np.arange(head.shape[2])
    bone = head & ~near_brain & ~air & ~skin & (t1w < np.where(z > -50, 0.40, 0.26))
    bone = ndimage.binary_opening(bone)
    return head, bone & ~near_brain, air


def _ellipsoids(shape: tuple[int, ...], affine: NDArray[np.float64]) -> NDArray[np.bool_]:
    x, y, z = (affine[a, 3] + np.arange(n, dtype=np.float32) for a, n in enumerate(shape))
    inside = np.zeros(shape, dtype=bool)
    for centre, half in _CAVITIES:
        for side in (-1, 1) if centre[0] else (1,):
            centres = (side * centre[0], centre[1], centre[2])
            parts = [((v - c) / h) ** 2 for v, c, h in zip((x, y, z), centres, half, strict=True)]
            inside |= parts[0][:, None, None] + parts[1][:, None] + parts[2] < 1
    return inside


def _along(
    path: tuple[tuple[float, float, float], ...], sd: float, shape: tuple[int, ...], affine: NDArray[np.float64]
) -> Volume:
    """1 along a path and its mirror image, falling off like a Gaussian [mm]."""
    weight = np.zeros(shape, dtype=np.float32)
    for side in (-1.0, 1.0):
        knots = np.array(path) * (side, 1, 1)
        low = np.floor(knots.min(axis=0) - 3 * sd - affine[:3, 3]).astype(int).clip(0)
        high = np.ceil(knots.max(axis=0) + 3 * sd - affine[:3, 3]).astype(int) + 1
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        part = weight[box]
        index = np.indices(part.shape, dtype=np.float32) + (low + affine[:3, 3]).astype(np.float32)[:, None, None, None]
        nearest = np.full(part.shape, np.inf, dtype=np.float32)
        for start, end in pairwise(knots):
            step = end - start
            t = np.clip(np.tensordot(step, index - start.reshape(3, 1, 1, 1), 1) / (step @ step), 0, 1)
            off = index - start.reshape(3, 1, 1, 1) - step.reshape(3, 1, 1, 1) * t
            np.minimum(nearest, (off**2).sum(axis=0), out=nearest)
        np.maximum(part, np.exp(-nearest / (2 * sd * sd)), out=part)
    return weight


def _cortex(
    shape: tuple[int, ...], affine: NDArray[np.float64]
) -> tuple[NDArray[np.uint8], tuple[tuple[str, str], ...]]:
    """Every voxel within 4 mm of a parcel takes the nearest parcel."""
    import nibabel as nib
    from scipy.ndimage import distance_transform_edt

    from qsmprep import data

    from .nuclei import _side, canonical, read_lookup

    atlas = data.atlas("DK")
    image: Any = nib.load(atlas.image)
    found = np.rint(np.asarray(image.dataobj)).astype(np.int32)
    parcels: list[tuple[str, str]] = []
    table = np.zeros(int(found.max()) + 1, dtype=np.uint8)
    for index, name, hemisphere in read_lookup(atlas.labels):
        side = _side(name, hemisphere)
        if side and canonical(name) is None and index < len(table):
            parcels.append((name, side))
            table[index] = len(parcels)
    offset = np.rint(image.affine[:3, 3] - affine[:3, 3]).astype(int)
    whole = np.zeros(shape, dtype=np.uint8)
    box = tuple(slice(int(a), int(a) + n) for a, n in zip(offset, found.shape, strict=True))
    whole[box] = table[found]
    wider = tuple(slice(max(s.start - 4, 0), s.stop + 4) for s in box)
    part = whole[wider]
    distance, nearest = distance_transform_edt(part == 0, return_indices=True)
    whole[wider] = np.where(distance > 4, 0, part[tuple(nearest)])
    return whole, tuple(parcels)
