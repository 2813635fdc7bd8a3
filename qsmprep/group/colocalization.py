"""χ against another map of the same persons, such as amyloid PET or DAT binding: within and between persons."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qsmprep.bids.derivatives import sidecar, write_image, write_table
from qsmprep.group.design import Design
from qsmprep.group.maps import Source
from qsmprep.group.models import formula_of, model_people
from qsmprep.group.people import Ledger
from qsmprep.group.sample import PPB, Sample
from qsmprep.group.spaces import standard_space
from qsmprep.group.voxels import Stack, label_names, load_stack
from qsmprep.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

SEED = 0
PERMUTATIONS = 1000
SURROGATES = 1000
SAMPLED = 500  # places that surrogates are made for: their number squared is looked at
_LEAST_VOXELS = 10  # of a region
COLUMNS = {
    "analysis": "within: over grey matter of one person; within, all: those of all persons; between: over persons",
    "participant_id": "Participant; n/a for all",
    "region": "Region of the packaged atlas; n/a for all of grey matter",
    "n": "Voxels (within), places (within, all) or participants (between)",
    "r": "Pearson's correlation of χ with the other map; between persons with the model's columns taken out of both;"
    " within, all: mean by Fisher's z of the persons' χ with the mean of the other map",
    "p": "Two-sided p-value: by permutation (between), or by surrogates of the mean map, as smooth as it (within, all)",
    "p_fwe": "The same, family-wise over the regions, by the largest |r|",
}


def run_colocalization(
    sources: Sequence[Source], sample: Sample, design: Design, settings: Settings, ledger: Ledger
) -> list[Path]:
    """Correlate χ with the map that `design.colocalize` names; writes `group/colocalization.tsv` and a map of r.

    Parameters
    ----------
    sources : χ maps in template space of the visits that persons are compared at
    """
    persons = dict.fromkeys(source.participant for source in sources)
    found = {who: path for who in persons if (path := _other(who, design, settings))}
    for who in persons:
        if who not in found:
            ledger.add(who, "not in this analysis", "co-localisation", f"has no map {design.colocalize}")
    if len(found) < 2:
        places = ", ".join(str(path) for path in settings.derivatives) or "none given"
        ledger.note(
            f"colocalize: expected maps such as sub-01_space-{settings.template}_{design.colocalize}.nii.gz of two"
            f" persons or more in --derivatives ({places}), found {len(found)}; left out."
        )
        return []
    usable = [source for source in sources if source.participant in found]
    try:
        stack = load_stack(usable, design.fwhm, standard_space(settings), ledger)
        people = list(stack.rows)
        mask, chi = stack.common(people)
        other = np.stack([_on_grid(found[one], mask.shape, stack.affine)[mask] for one in people])
    except (ValueError, OSError) as error:
        ledger.note(f"colocalize: not computed: {error}.")
        return []
    known = np.isfinite(other).all(axis=0)
    mask[mask] = known
    chi, other = PPB * chi[:, known], other[:, known]
    table = _within(stack, mask, people, chi, other, ledger)
    table += _between_regions(stack, mask, people, chi, other, sample, design, ledger)
    paths = [found[one] for one in people]
    written = _between_voxels(stack, mask, people, chi, other, paths, sample, design, settings, ledger)
    import pandas as pd

    columns = {name: {"Description": text} for name, text in COLUMNS.items()}
    path = settings.group_dir / "colocalization.tsv"
    return [*written, write_table(path, pd.DataFrame(table, columns=list(COLUMNS)), columns)]


def _other(who: str, design: Design, settings: Settings) -> Path | None:
    """The first image in `--derivatives` whose name has the space and all parts of `colocalize`."""
    wanted = {*design.colocalize.split("_"), f"space-{settings.template}"}
    for root in settings.derivatives:
        for path in sorted((root / who).rglob(f"{who}_*.nii*")):
            if wanted <= set(path.name.split(".")[0].split("_")):
                return path
    return None


def _on_grid(path: Path, shape: tuple[int, ...], affine: NDArray[np.float64]) -> NDArray[np.float32]:
    """An image at the voxels of another grid, linearly; NaN outside of it."""
    import nibabel as nib
    from scipy.ndimage import affine_transform

    image: Any = nib.load(path)
    volume = np.asarray(image.dataobj, np.float32)
    if volume.ndim != 3:
        raise ValueError(f"{path}: expected three dimensions, found {volume.ndim}")
    step = np.linalg.inv(image.affine) @ affine
    return np.asarray(affine_transform(volume, step[:3, :3], step[:3, 3], shape, order=1, cval=np.nan), np.float32)


def _within(
    stack: Stack, mask: NDArray[np.bool_], who: Sequence[str], chi: NDArray[Any], other: NDArray[Any], ledger: Ledger
) -> list[dict[str, Any]]:
    from qsmprep.stats.colocalize import spatial_correlation, surrogate_test

    grey = np.ones(chi.shape[1], bool) if stack.atlas is None else stack.atlas[mask] > 0
    if grey.sum() < _LEAST_VOXELS:
        ledger.note("colocalize: grey matter of the atlas is not in the maps; nothing within persons.")
        return []
    r = spatial_correlation(chi[:, grey], other[:, grey])
    rows: list[dict[str, Any]] = [
        {"analysis": "within", "participant_id": one, "n": int(grey.sum()), "r": value}
        for one, value in zip(who, r, strict=True)
    ]
    places = np.flatnonzero(grey)
    if len(places) > SAMPLED:
        places = np.sort(np.random.default_rng(SEED).choice(places, SAMPLED, replace=False))
    where = np.argwhere(mask)[places] @ stack.affine[:3, :3].T
    try:
        mean, p = surrogate_test(chi[:, places], other[:, places].mean(axis=0), where, SURROGATES, SEED)
    except ValueError as error:
        ledger.note(f"colocalize: within persons: {error}.")
        return rows
    return [*rows, {"analysis": "within, all", "n": len(places), "r": mean, "p": p}]


def _nuisance(sample: Sample, who: Sequence[str], design: Design) -> pd.DataFrame:
    """Columns of the model without the other map; persons with all values."""
    import pandas as pd

    from qsmprep.stats.design import design_matrix

    formula = formula_of(sample, design)
    people = model_people(sample, design).loc[list(who)]
    return design_matrix(formula, people).matrix if formula else pd.DataFrame({"1": 1.0}, index=people.index)


def _between_regions(
    stack: Stack, mask: NDArray[np.bool_], who: Sequence[str], chi: NDArray[Any], other: NDArray[Any],
    sample: Sample, design: Design, ledger: Ledger,
) -> list[dict[str, Any]]:  # fmt: skip
    from qsmprep.stats.colocalize import across_persons
    from qsmprep.stats.shuffling import shuffles

    if stack.atlas is None:
        return []
    labels, times = np.unique(stack.atlas[mask], return_counts=True)
    labels = labels[(labels > 0) & (times >= _LEAST_VOXELS)]
    if not len(labels):
        return []
    inside = (stack.atlas[mask][None] == labels[:, None]).astype(float)
    inside /= inside.sum(axis=1, keepdims=True)
    try:
        model = _nuisance(sample, who, design)
        rows = [list(who).index(one) for one in model.index]
        drawn = shuffles(len(rows), design.permutations or PERMUTATIONS, SEED)
        found = across_persons(chi[rows] @ inside.T, other[rows] @ inside.T, model.to_numpy(float), drawn)
    except ValueError as error:
        ledger.note(f"colocalize: between persons: not computed: {error}.")
        return []
    return [
        {"analysis": "between", "region": label_names()[int(label)], "n": len(rows), "r": r, "p": p, "p_fwe": p_fwe}
        for label, r, p, p_fwe in zip(labels, found.r, found.p, found.p_fwe, strict=True)
    ]


def _between_voxels(
    stack: Stack, mask: NDArray[np.bool_], who: Sequence[str], chi: NDArray[Any], other: NDArray[Any],
    paths: Sequence[Path], sample: Sample, design: Design, settings: Settings, ledger: Ledger,
) -> list[Path]:  # fmt: skip
    """Maps of r and its family-wise p, where voxel-wise tests are asked for."""
    from qsmprep.stats.colocalize import across_persons
    from qsmprep.stats.shuffling import shuffles

    if not design.permutations:
        return []
    try:
        model = _nuisance(sample, who, design)
        rows = [list(who).index(one) for one in model.index]
        drawn = shuffles(len(rows), design.permutations, SEED)
        found = across_persons(chi[rows], other[rows], model.to_numpy(float), drawn)
    except ValueError as error:
        ledger.note(f"colocalize: voxel-wise: not computed: {error}.")
        return []
    written = []
    logp = -np.log10(np.where(np.isfinite(found.p_fwe), found.p_fwe, 1))
    for desc, values, text in (
        ("r", found.r, "Correlation over persons of χ with the other map, the model's columns taken out of both"),
        ("logpPeak", logp, "-log10 of its family-wise p by the largest |r|"),
    ):
        volume = np.zeros(mask.shape, np.float32)
        volume[mask] = np.nan_to_num(values)
        meta = sidecar(
            settings, sources=[*paths, *(path for one in who for path in stack.paths[one])], description=text,
            units="1", skull_stripped=True, resolution="that of the participants' maps, every voxel or every n-th",
            OtherMap=design.colocalize, Participants=list(model.index), DegreesOfFreedom=found.df,
            Model=formula_of(sample, design) or "1", Permutations=len(drawn), Seed=SEED,
        )  # fmt: skip
        name = f"colocalization_space-{settings.template}_desc-{desc}_Chimap.nii.gz"
        written.append(write_image(settings.group_dir / name, volume, stack.affine, meta))
    return written
