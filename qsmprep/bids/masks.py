"""Brain masks that are there already: from other programs, from other hands, and those that qsmprep wrote itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from .derivatives import derivative_path, sidecar_path
from .expected import has_magnitude
from .images import Grid, check_varies, read_grid, read_values
from .index import BidsFile
from .model import Run
from .names import split_name

if TYPE_CHECKING:
    from ..settings import Settings

DESCRIPTION = "brain"
NETWORKS = ("deepbet", "synthstrip")
CHECKSUM_KEY, REPLACED_KEY = "VoxelChecksum", "ReplacedByUser"
# entities that a mask's name may have beyond those of the image it belongs to
_OF_DERIVATIVES = ("description", "space", "label", "resolution", "echo", "part")


@dataclass(frozen=True)
class FoundMasks:
    """Masks of a run: on the grid of the gradient echo, on that of its T1w, and why others were not taken."""

    gre: Path | None = None
    t1w: Path | None = None
    faults: tuple[str, ...] = ()


def find_masks(
    entities: Mapping[str, str],
    grid: Grid,
    images: Sequence[BidsFile],
    t1w: tuple[Mapping[str, str], Grid] | None = None,
) -> FoundMasks:
    """Brain masks (`desc-brain_mask`) that belong to a run by name and lie on the grid of its images.

    A mask belongs to an image if none of its entities is missing from, or differs in, the image's name; of several the
    one that shares most entities counts. Axes may be permuted or flipped: nothing has to be interpolated.

    Parameters
    ----------
    entities, grid : of the run
    images : where to look
    t1w : entities and grid of the T1w image of the run; without it only masks of the gradient echo are looked for
    """
    named = [file for file in images if _is_brain_mask(file)]
    faults: dict[Path, list[str]] = {}
    gre = _first_that_fits(named, entities, grid, faults)
    other = _first_that_fits(named, *t1w, faults) if t1w is not None else None
    told = tuple("; ".join(dict.fromkeys(words)) for path, words in faults.items() if path not in (gre, other))
    return FoundMasks(gre, other, told)


def _first_that_fits(
    masks: Sequence[BidsFile], entities: Mapping[str, str], grid: Grid, faults: dict[Path, list[str]]
) -> Path | None:
    fitting = [file for file in masks if belongs(file, entities)]
    fitting.sort(key=lambda f: (-sum(f.entities.get(k) == v for k, v in entities.items()), str(f.path)))
    for file in fitting:
        try:
            check_mask(file.path, grid)
        except InputError as error:
            faults.setdefault(file.path, []).append(str(error))
            continue
        return file.path
    return None


def check_mask(path: Path, grid: Grid) -> None:
    """Make sure that a mask has two values and lies on a grid.

    Raises
    ------
    InputError
        If it does not; the message names the file, what was found and what was expected.
    """
    own = read_grid(path)
    if own.volumes not in (None, 1):
        raise InputError(f"{path} has {own.volumes} volumes; expected one mask")
    straight = own.difference(grid)
    if straight and own.turned_like(grid).difference(grid):
        raise InputError(f"{path} {straight}; expected a mask on the same grid")
    values = read_values(path)
    check_varies(path, values)
    if values.maximum <= 0.5:
        raise InputError(f"{path} has no voxel above 0.5 (its largest value is {values.maximum:g}); expected 0 and 1")


def _is_brain_mask(file: BidsFile) -> bool:
    entities = file.entities
    return (
        file.suffix == "mask"
        and entities.get("description") == DESCRIPTION
        and entities.get("label", DESCRIPTION) == DESCRIPTION
        and not entities.get("space", "").startswith(("MNI", "fs"))
    )


def belongs(file: BidsFile, entities: Mapping[str, str]) -> bool:
    """Whether no entity of a derivative's name is missing from, or differs in, those of an image."""
    own = {key: value for key, value in file.entities.items() if key not in _OF_DERIVATIVES}
    return own.get("subject") == entities["subject"] and own.items() <= entities.items()


def voxel_checksum(mask: npt.NDArray[Any]) -> str:
    """SHA-256 of what a mask marks (shape, and voxels above 0.5), whatever its data type, compression or header."""
    marked = np.ascontiguousarray(np.asarray(mask) > 0.5)
    digest = hashlib.sha256(repr(tuple(int(n) for n in marked.shape)).encode())
    digest.update(np.packbits(marked).tobytes())
    return f"sha256:{digest.hexdigest()}"


def replaced_mask(out_dir: Path, entities: Mapping[str, str], grid: Grid) -> Path | None:
    """The brain mask of a run in the output dataset, if a user put another in the place of the one written there.

    The sidecar of a mask holds its checksum. A mask without one (of another program, or of an early version) counts as
    written by qsmprep.

    Raises
    ------
    InputError
        If it was replaced by what is no mask on the run's grid.
    """
    path = derivative_path(out_dir, entities, "mask", desc=DESCRIPTION)
    try:
        written = json.loads(sidecar_path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not path.exists() or not isinstance(written, dict) or CHECKSUM_KEY not in written:
        return None
    try:
        read_values(path)
        if not written.get(REPLACED_KEY) and _checksum_of(path) == written[CHECKSUM_KEY]:
            return None
        check_mask(path, grid)
    except InputError as error:
        raise InputError(
            f"the brain mask in OUT_DIR was replaced and cannot be used: {error}. Put it right, or delete it to have "
            "one made"
        ) from None
    return path


def _checksum_of(path: Path) -> str:
    import nibabel as nib

    image: Any = nib.load(path)
    return voxel_checksum(np.asanyarray(image.dataobj).reshape(image.shape[:3]))


def choose_brain(run: Run, grid: Grid, settings: Settings, images: Sequence[BidsFile]) -> Run:
    """The run with what is to find its brain.

    A mask that the user put into OUT_DIR comes first, then what `--skull-strip` says. With `ants`, a mask from
    `--derivatives` on the gradient echo's grid, or that of a preprocessed T1w, is taken rather than found anew; what
    cannot be registered has its mask from signal and phase quality.

    Raises
    ------
    InputError
        If the method cannot be had for this run; the message says what is missing.
    """
    method, registered = settings.skull_strip, settings.normalization and has_magnitude(run)
    found = FoundMasks()
    if method in ("ants", "precomputed"):
        t1w = (split_name(run.t1w.name)[0], read_grid(run.t1w)) if method == "precomputed" and run.t1w else None
        others = [f for f in images if run.external is None or not _is_of(f.path, run.external.mask, grid)]
        found = find_masks(run.entities, grid, others, t1w)
        if run.external is not None:
            found = replace(found, t1w=found.t1w or run.external.mask)
    replaced = replaced_mask(settings.out_dir, run.entities, grid)
    if replaced is not None:
        note = f"brain mask: {replaced} was replaced by the user and is taken as it is; delete it to have one made"
        return replace(run, skull_strip="precomputed", mask=replaced, mask_replaced=True, t1w_mask=found.t1w,
                       notes=(*run.notes, note))  # fmt: skip
    notes = [*run.notes, *(f"precomputed mask not used: {fault}" for fault in found.faults)]
    notes += [f"brain mask taken from {path}" for path in (found.gre or found.t1w,) if path is not None]
    if method == "precomputed" or found.gre is not None or found.t1w is not None:
        if found.gre is None and found.t1w is None:
            raise InputError(_no_mask(run, settings, found))
        return replace(run, skull_strip="precomputed", mask=found.gre, t1w_mask=found.t1w, notes=tuple(notes))
    if method == "deepbet" and run.t1w is None:
        raise InputError(
            f"--skull-strip deepbet works on a T1w image only, and there is none to use ({run.t1w_reason}); choose "
            "synthstrip, ants or quality for this run"
        )
    if method == "synthstrip" and not has_magnitude(run):
        raise InputError(
            "--skull-strip synthstrip needs a T1w image or a magnitude, and this run has phase alone; choose quality"
        )
    if method == "ants" and not registered:
        method = "quality"
    return replace(run, skull_strip=method, notes=tuple(notes))


def mask_of_t1w(run: Run, settings: Settings) -> Path | None:
    """Brain mask of a run's T1w that is there already; None if it is to be found."""
    if run.t1w_mask is None and run.external is not None and settings.skull_strip not in NETWORKS:
        return run.external.mask
    return run.t1w_mask


def _is_of(path: Path, mask: Path, grid: Grid) -> bool:
    """Whether a file is the mask of a preprocessed T1w, and so none of the gradient echo, whatever its name says."""
    return path == mask and read_grid(path).difference(grid) is not None


def _no_mask(run: Run, settings: Settings, found: FoundMasks) -> str:
    """What was looked for, what was found and what was expected."""
    places = ", ".join(str(path) for path in (*settings.derivatives, settings.bids_dir))
    voxels = " x ".join(str(n) for n in run.shape)
    expected = f"{run.name}_desc-brain_mask on the grid of {run.files[0].name} ({voxels} voxels)"
    if run.t1w is not None:
        expected += f", or {run.t1w.name.split('_T1w')[0]}_desc-brain_mask on that of {run.t1w.name}"
    faults = "; ".join(found.faults) or "no desc-brain_mask has a name that fits"
    return f"--skull-strip precomputed: no brain mask for this run in {places}. Found: {faults}. Expected: {expected}"
