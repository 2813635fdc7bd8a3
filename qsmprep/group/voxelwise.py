"""Voxel-wise tests in template space: maps and tables of clusters for every contrast, score and term of the design."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qsmprep.bids.derivatives import sidecar, write_image, write_table
from qsmprep.group.design import Design
from qsmprep.group.maps import Source
from qsmprep.group.people import Ledger
from qsmprep.group.quantities import QUANTITIES
from qsmprep.group.questions import Question, questions
from qsmprep.group.sample import Sample
from qsmprep.group.spaces import Space
from qsmprep.group.voxels import Stack, label_names, load_stack
from qsmprep.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

    from qsmprep.stats.spatial import SpatialTest

logger = logging.getLogger("qsmprep")
SEED = 0
CONNECTIVITY = 6
COLUMNS = {
    "map": "What was tested: chi or r2star",
    "contrast": "Groups, score or term that are tested",
    "n": "Number of participants",
    "statistic_name": "t, or F of a whole term",
    "cluster": "Number of the cluster, as in the image desc-clusters; the largest first",
    "sign": "1: higher in the first group, or rising with the score; -1: lower, or falling; n/a for F",
    "voxels": "Extent [voxels]",
    "size_mm3": "Extent [mm3]",
    "mass": "Sum over the cluster of how far |t|, or F, lies beyond the threshold",
    "peak_statistic": "t or F at the peak",
    "peak_x": "Peak in the template [mm], to the right",
    "peak_y": "Peak in the template [mm], to the front",
    "peak_z": "Peak in the template [mm], upwards",
    "region": "Region of the packaged atlas at the peak; empty outside of all",
    "regions": "Regions with 5 % of the cluster or more",
    "p_extent": "Family-wise p-value of the extent, by permutation",
    "p_mass": "Family-wise p-value of the mass, by permutation",
    "p_peak": "Lowest family-wise p-value of t or F in the cluster, by permutation",
    "p_tfce": "Lowest family-wise p-value of threshold-free cluster enhancement in the cluster, by permutation",
}
Images = dict[str, tuple[NDArray[Any], str, str]]  # desc -> values, unit, what they are


def run_voxelwise(
    sources: Sequence[Source], space: Space, sample: Sample, design: Design, settings: Settings, ledger: Ledger
) -> list[Path]:
    """Ask what the design asks at every voxel of its maps, and write maps and `group/clusters.tsv`.

    What cannot be tested is told in the ledger, and the rest goes on.

    Parameters
    ----------
    sources : maps in `space`, of all quantities
    """
    here = sample.at_baseline()
    asked = questions(here, design, ledger)
    tables, written = [], []
    for quantity in dict.fromkeys(QUANTITIES[name] for name in design.maps):
        chosen = baseline_maps([source for source in sources if source.quantity == quantity], sample)
        if not chosen or not asked:
            ledger.note(
                f"voxel-wise: there is no {quantity.symbol} map in template space, or nothing to test; left out."
            )
            continue
        try:
            stack = load_stack(chosen, design.fwhm, space, ledger)
        except ValueError as error:
            ledger.note(f"voxel-wise: not computed: {error}.")
            continue
        for question in asked:
            try:
                table, paths = _answer(question, stack, here, design, settings)
            except ValueError as error:
                ledger.note(f"voxel-wise: {quantity.symbol}, {question.name}: not computed: {error}.")
                continue
            tables.append(table)
            written += paths
    if tables:
        import pandas as pd

        path = settings.group_dir / "clusters.tsv"
        columns = {name: {"Description": text} for name, text in COLUMNS.items()}
        written.append(write_table(path, pd.concat(tables, ignore_index=True)[list(COLUMNS)], columns))
    return written


def baseline_maps(sources: Sequence[Source], sample: Sample) -> list[Source]:
    """The maps of the visits that persons are compared at."""
    visits = {(str(who), str(visit).removeprefix("ses-")) for who, visit in sample.baseline.index[sample.baseline]}

    def visit(source: Source) -> list[str]:
        return [part[4:] for part in source.run.split("_") if part.startswith("ses-")]

    people = {who for who, _ in visits}
    return [
        source
        for source in sources
        if source.participant in people
        and (not visit(source) or (source.participant, visit(source)[0]) in visits)
    ]  # fmt: skip


def _answer(
    question: Question, stack: Stack, sample: Sample, design: Design, settings: Settings
) -> tuple[pd.DataFrame, list[Path]]:
    from qsmprep.stats.clusters import cluster_table
    from qsmprep.stats.shuffling import shuffles
    from qsmprep.stats.spatial import spatial_test
    from qsmprep.stats.tfce import neighbours

    model = question.model.matrix
    who = [name for name in model.index if name in stack.rows]
    matrix = model.loc[who].to_numpy(float)
    mask, values = stack.common(who)
    blocks = sample.people.loc[who, design.site].to_numpy(str) if design.site else None
    drawn = shuffles(len(who), design.permutations, SEED, blocks=blocks, design=matrix)
    found = spatial_test(
        stack.quantity.factor * values, matrix, question.contrast, drawn, neighbours(mask, CONNECTIVITY),
        design.cluster_p, workers=settings.nprocs,
        progress=_Progress(f"{stack.quantity.symbol}, {question.name}"),
    )  # fmt: skip
    test = found.voxels
    atlas = None if stack.atlas is None else stack.atlas[mask]
    table = cluster_table(
        found.clusters, test.statistic, np.argwhere(mask), stack.affine, atlas,
        label_names() if stack.atlas is not None else None, p_peak=test.p_fwe, p_tfce=found.p_tfce,
    ).assign(
        map=stack.quantity.name, contrast=question.name, n=len(who), statistic_name=test.name,
        p_extent=found.p_extent, p_mass=found.p_mass,
    ).astype({"sign": "Int64"})  # fmt: skip
    table["sign"] = table["sign"].mask(table["statistic_name"] == "F")
    facts = _facts(question, found, stack, who, int(mask.sum()), design) | {"Permutations": len(drawn)}
    written = []
    for name, (numbers, units, text) in _images(found, stack).items():
        volume = np.zeros(mask.shape, np.int16 if name == "clusters" else np.float32)
        volume[mask] = np.nan_to_num(numbers)
        about = {"description": f"{text}: {question.name}", "units": units}
        written.append(_write(name, volume, about, question, stack, [stack.paths[one] for one in who], settings, facts))
    return table, written


@dataclass
class _Progress:
    """Tells every tenth of the shuffles."""

    name: str
    told: int = 0

    def __call__(self, done: int, total: int) -> None:
        if 10 * done // total > self.told:
            self.told = 10 * done // total
            logger.info("Voxel-wise %s: %d of %d permutations", self.name, done, total)


def _images(found: SpatialTest, stack: Stack) -> Images:
    """What is written of a test; the estimate of a whole term would be several."""
    test, symbol = found.voxels, stack.quantity.symbol
    name, size = test.name, "|t|" if test.name == "t" else "F"
    enhanced = "t" if test.name == "t" else "the square root of F"
    images: Images = {}
    if test.name == "t":
        images["estimate"] = test.estimate, stack.quantity.told_unit, f"Difference of {symbol}, or slope on the score"
    return images | {
        name: (test.statistic, "1", f"{name} statistic"),
        "tfce": (found.enhanced, "1", f"Threshold-free cluster enhancement of {enhanced}"),
        "logp": (_logp(test.p), "1", "-log10 of p, uncorrected"),
        "logpPeak": (_logp(test.p_fwe), "1", f"-log10 of the family-wise p by the largest {size}"),
        "logpTfce": (_logp(found.p_tfce), "1", "-log10 of the family-wise p by threshold-free cluster enhancement"),
        "logpMass": (
            _logp(found.clusters.spread(found.p_mass, 1.0)), "1", "-log10 of the family-wise p by cluster mass"
        ),
        "clusters": (found.clusters.labels, "1", "Numbers of the clusters in clusters.tsv"),
    }  # fmt: skip


def _logp(p: NDArray[np.float64]) -> NDArray[np.float64]:
    return -np.log10(np.where(np.isfinite(p), p, 1.0))


def _facts(
    question: Question, found: SpatialTest, stack: Stack, who: Sequence[str], voxels: int, design: Design
) -> dict[str, Any]:
    test = found.voxels
    return {
        "Map": stack.quantity.name,
        "Contrast": question.name,
        "Model": question.model.formula,
        "Participants": list(who),
        "Statistic": test.name,
        "DegreesOfFreedom": test.df[0] if test.name == "t" else list(test.df),
        "Voxels": voxels,
        "Exhaustive": test.exhaustive,
        "PermutedWithin": design.site or None,
        "Seed": SEED,
        "Smoothing": f"Gaussian of {design.fwhm:g} mm FWHM, inside grey matter and the rest of the brain apart",
        "ClusterFormingP": design.cluster_p,
        f"ClusterForming{test.name.upper()}": found.threshold,
        "Connectivity": CONNECTIVITY,
    }


def _write(
    name: str, volume: NDArray[Any], about: dict[str, str], question: Question, stack: Stack,
    sources: Sequence[Sequence[Path]], settings: Settings, facts: dict[str, Any],
) -> Path:  # fmt: skip
    label = "".join(c for c in question.name.replace(" - ", "Minus").replace(" + ", "Plus") if c.isalnum())
    meta = sidecar(
        settings, sources=[path for paths in sources for path in paths], skull_stripped=True,
        resolution="that of the participants' maps, every voxel or every n-th",
        spatial_reference=stack.space.reference, **about, **facts,
    )  # fmt: skip
    stem = f"contrast-{label}_space-{stack.space.name}_desc-{name}_{stack.quantity.suffix}.nii.gz"
    return write_image(settings.group_dir / stem, volume, stack.affine, meta)
