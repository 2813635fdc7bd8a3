"""Regions that people drew on a participant's own images: which files they are, and whether they fit a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from .expected import atlases, has_magnitude
from .images import Grid, check_varies, read_grid, read_values, values_on_grid
from .index import BidsFile, shorten_list
from .masks import belongs
from .model import ManualRegion, ManualRegions, Run
from .names import split_name

if TYPE_CHECKING:
    from ..settings import Settings

ALL = "all"
_SIDES = ("L", "R")
Volume = npt.NDArray[Any]


@dataclass
class _Drawn:
    """What one rater drew on one grid: regions, which of them each voxel belongs to (from 1), what was not taken."""

    owner: npt.NDArray[np.int16]
    regions: list[ManualRegion] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def add_manual_regions(run: Run, grid: Grid, settings: Settings, images: Sequence[BidsFile]) -> Run:
    """The run with the regions that the asked-for raters drew, and a note for each file that does not fit.

    A file is `*_label-REGION_mask` (one region) or `*_dseg` with a TSV of its labels; `desc-` names the rater, `hemi-`
    the side. It belongs to the run as a brain mask does: no entity of its name is missing from, or differs in, that of
    the gradient echo or of its T1w, and it lies on the grid of one of them.

    Parameters
    ----------
    run, grid : the run with its T1w, and the grid of its images
    settings : `manual_regions` names the raters, "all" for everyone
    images : of the datasets in `--derivatives`
    """
    if not settings.manual_regions:
        return run
    targets = [(run.entities, grid)]
    if run.t1w is not None and settings.normalization and has_magnitude(run):
        targets.append((split_name(run.t1w.name)[0], read_grid(run.t1w)))
    files: dict[str, list[BidsFile]] = {}
    for file in images:
        rater = file.entities.get("description", "")
        asked = ALL in settings.manual_regions or rater in settings.manual_regions
        if asked and _is_drawn(file) and any(_fits(file, entities) for entities, _ in targets):
            files.setdefault(rater, []).append(file)
    wanted = [rater for rater in settings.manual_regions if rater != ALL]
    notes = [_none_found(run, rater, settings) for rater in wanted if rater not in files]
    if not files and not wanted:
        notes.append(_none_found(run, "", settings))
    found: list[ManualRegions] = []
    for rater, of_one in sorted(files.items()):
        drawn, on_t1w = _read_rater(of_one, targets, settings.derivatives)
        notes += [f"manual regions: {note}" for note in drawn.notes]
        if drawn.regions:
            found.append(ManualRegions(rater, tuple(drawn.regions), on_t1w))
    return replace(run, manual=_numbered(found), notes=(*run.notes, *notes))


def _is_drawn(file: BidsFile) -> bool:
    """Whether a name is that of regions in a participant's own space, and not made by an atlas or of the brain."""
    entities = file.entities
    if entities.get("space", "").startswith(("MNI", "fs")) or {"atlas", "segmentation"} & set(entities):
        return False
    return file.suffix == "dseg" or (file.suffix == "mask" and "label" in entities)


def _fits(file: BidsFile, entities: Mapping[str, str]) -> bool:
    """Whether a file is of the same participant, session, run, ...; its side is its own."""
    return belongs(replace(file, entities={k: v for k, v in file.entities.items() if k != "hemisphere"}), entities)


def _none_found(run: Run, rater: str, settings: Settings) -> str:
    places = ", ".join(str(path) for path in settings.derivatives)
    who = f" of {rater}" if rater else ""
    desc = f"_desc-{rater}" if rater else ""
    return (
        f"manual regions: none{who} for this run in {places}; expected {run.name}[_hemi-L|R]_label-REGION{desc}_mask "
        f"or {run.name}{desc}_dseg with its TSV, in anat/ (--manual-regions {' '.join(settings.manual_regions)})"
    )


def _read_rater(
    files: Sequence[BidsFile], targets: Sequence[tuple[Mapping[str, str], Grid]], datasets: Sequence[Path]
) -> tuple[_Drawn, bool]:
    """Regions of one rater, all on one grid: the gradient echo's if a file lies on it, else the T1w's."""
    groups: list[list[BidsFile]] = [[] for _ in targets]
    faults: list[str] = []
    for file in files:
        place, fault = _place(file, targets)
        if fault:
            faults.append(fault)
        else:
            groups[place].append(file)
    number = next((n for n, group in enumerate(groups) if group), 0)
    entities, grid = targets[number]
    drawn = _Drawn(np.zeros(grid.shape, np.int16), notes=faults)
    for file in sorted(groups[number], key=lambda f: (-_shared(f, entities), f.path)):
        try:
            _take(drawn, file, grid, datasets)
        except InputError as error:
            drawn.notes.append(f"{error}; it is not used")
    for other, (_, elsewhere) in zip(groups[number + 1 :], targets[number + 1 :], strict=True):
        drawn.notes += [
            f"{file.path} lies on the grid of {elsewhere.path.name} and others of the same rater on that of "
            f"{grid.path.name}; a rater's regions have to lie on one grid, so it is not used"
            for file in other
        ]
    return drawn, number > 0


def _shared(file: BidsFile, entities: Mapping[str, str]) -> int:
    return sum(file.entities.get(key) == value for key, value in entities.items())


def _place(file: BidsFile, targets: Sequence[tuple[Mapping[str, str], Grid]]) -> tuple[int, str]:
    """Which image a file was drawn on, or what is wrong with it."""
    try:
        own = read_grid(file.path)
    except InputError as error:
        return 0, f"{error}; it is not used"
    if own.volumes not in (None, 1):
        return 0, f"{file.path} has {own.volumes} volumes; expected one image of labels, so it is not used"
    words = []
    for number, (entities, grid) in enumerate(targets):
        if _fits(file, entities):
            if not own.difference(grid) or not own.turned_like(grid).difference(grid):
                return number, ""
            words.append(str(own.difference(grid)))
    expected = " or of ".join(grid.path.name for _, grid in targets)
    return 0, f"{file.path} {'; it '.join(words)}; expected the grid of {expected}, so it is not used"


def _take(drawn: _Drawn, file: BidsFile, grid: Grid, datasets: Sequence[Path]) -> None:
    """Add the regions of one file, if nobody has their voxels or their names."""
    check_varies(file.path, read_values(file.path))
    volume = values_on_grid(file.path, grid)
    if file.suffix == "dseg" and not np.array_equal(volume, np.rint(volume)):
        raise InputError(f"{file.path} holds fractions; expected the whole numbers of labels")
    for region in _regions_of(file, volume, datasets, drawn.notes):
        same = next((r for r in drawn.regions if (r.name, r.hemisphere) == (region.name, region.hemisphere)), None)
        if same is not None:
            drawn.notes.append(f"{file.path}: {region.told} is also in {same.file}, which is used")
            continue
        voxels = region.marks(volume)
        shared = drawn.owner[voxels]
        if shared.any():
            first = drawn.regions[int(shared.max()) - 1]
            drawn.notes.append(
                f"{file.path}: {region.told} shares {np.count_nonzero(shared)} of its {shared.size} voxels with "
                f"{first.told} of the same rater; a voxel can belong to one region only, so it is not used. Draw them "
                "apart, or give one another desc-"
            )
            continue
        drawn.regions.append(region)
        drawn.owner[voxels] = len(drawn.regions)


def _regions_of(file: BidsFile, volume: Volume, datasets: Sequence[Path], notes: list[str]) -> list[ManualRegion]:
    """Regions of a file; their index is not settled yet.

    Raises
    ------
    InputError
        If there is none.
    """
    side = file.entities.get("hemisphere", "n/a")
    if file.suffix == "mask":
        if not (volume > 0.5).any():
            raise InputError(f"{file.path} has no voxel above 0.5; expected 0 and 1")
        return [ManualRegion(0, file.entities["label"], side if side in _SIDES else "n/a", file.path)]
    from ..regions import read_labels

    table = _labels_of(file, datasets)
    try:
        names = read_labels(table)
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise InputError(f"{file.path}: its labels cannot be read: {error}") from None
    present = {int(v) for v in np.unique(volume)} - {0}
    unnamed = sorted(present - set(names["index"]))
    if unnamed:
        labels = shorten_list([str(v) for v in unnamed], 5)
        notes.append(f"{file.path}: the labels {labels} have no name in {table} and are left out")
    rows = names[names["index"].isin(present)].itertuples(index=False)
    own = [(int(index), str(name), str(where)) for index, name, where in rows]
    if not own:
        raise InputError(f"{file.path}: none of its labels is named in {table}; expected a row for each")
    return [ManualRegion(0, name, where if where in _SIDES else side, file.path, index) for index, name, where in own]


def _labels_of(file: BidsFile, datasets: Sequence[Path]) -> Path:
    """The TSV beside a label image, or one in a folder above whose entities all occur in the image's name.

    Raises
    ------
    InputError
        If there is none.
    """
    root = next((d for d in datasets if file.path.is_relative_to(d)), file.path.parent)
    for folder in (file.path.parent, *file.path.parent.parents):
        fitting = []
        for path in sorted(folder.glob("*dseg.tsv")):
            entities, suffix, _ = split_name(path.name)
            if suffix == "dseg" and entities.items() <= file.entities.items():
                fitting.append((len(entities), path))
        if fitting:
            return max(fitting)[1]
        if folder == root:
            break
    expected = file.path.name.split(".")[0] + ".tsv"
    raise InputError(f"{file.path} has no table of its labels; expected {expected} beside it, with index and name")


def _numbered(found: Iterable[ManualRegions]) -> tuple[ManualRegions, ...]:
    """All raters with the same number for the same region: n on the left or in the middle, 100 + n on the right."""
    found = list(found)
    names = sorted({region.name for rater in found for region in rater.regions})
    step = 100 * (1 + len(names) // 100)
    number = {name: place for place, name in enumerate(names, 1)}
    middle = {region.name for rater in found for region in rater.regions if region.hemisphere == "n/a"}

    def index(region: ManualRegion) -> int:
        right, both = region.hemisphere == "R", region.hemisphere == "L" and region.name in middle
        return number[region.name] + (step if right else 2 * step if both else 0)

    return tuple(
        replace(rater, regions=tuple(sorted((replace(r, index=index(r)) for r in rater.regions),
                                            key=lambda r: r.index)))
        for rater in found
    )  # fmt: skip


def label_volume(regions: Sequence[ManualRegion], grid: Grid) -> npt.NDArray[np.int16]:
    """(x, y, z) label image of one rater on the grid that the regions were drawn on.

    Raises
    ------
    InputError
        If a file no longer lies on it.
    """
    labels = np.zeros(grid.shape, np.int16)
    for path in dict.fromkeys(region.file for region in regions):
        values = values_on_grid(path, grid)
        for region in regions:
            if region.file == path:
                labels[region.marks(values)] = region.index
    return labels


def check_atlas_space(run: Run, grid: Grid, settings: Settings) -> Run:
    """Make sure that a user's atlas in native space lies on the run's grid; a note if one in template space does.

    Raises
    ------
    InputError
        If it does not; the message names the file, what was found and what was expected.
    UsageError
        If the atlas or its table cannot be read.
    """
    if settings.atlas is None:
        return run
    atlases(settings)  # a label image that is none ends the call, not just this run
    own = read_grid(settings.atlas)
    difference = own.difference(grid) and own.turned_like(grid).difference(grid)
    if settings.atlas_space == "native":
        if difference:
            raise InputError(
                f"--atlas-space native: {settings.atlas} {own.difference(grid)}; expected labels on this run's own "
                "grid. Draw them on its magnitude, choose the run they belong to (--participant-label, "
                "--bids-filter-file), or say --atlas-space template if they lie in template space; regions of "
                "several participants come through --manual-regions"
            )
        return run
    if difference:
        return run
    note = (
        f"--atlas: {settings.atlas} lies on this run's own grid, yet is taken for an image in template space; if it "
        "was drawn on this run, add --atlas-space native"
    )
    return replace(run, notes=(*run.notes, note))
