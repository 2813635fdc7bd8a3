"""Voxel-wise tests of χ in template space: maps and tables of clusters for every contrast and score of the design."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qsmprep.bids.derivatives import sidecar, write_image, write_table
from qsmprep.group.contrasts import contrasts_of
from qsmprep.group.design import Design
from qsmprep.group.maps import Source
from qsmprep.group.models import GROUP_ALIAS, formula_of, model_people, quoted
from qsmprep.group.people import Ledger
from qsmprep.group.sample import PPB, Sample
from qsmprep.group.voxels import Stack, label_names, load_stack
from qsmprep.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

    from qsmprep.stats.design import DesignMatrix
    from qsmprep.stats.permutation import PermutationTest

logger = logging.getLogger("qsmprep")
SEED = 0
CONNECTIVITY = 6
COLUMNS = {
    "contrast": "Groups or score that are tested",
    "n": "Number of participants",
    "cluster": "Number of the cluster, as in the image desc-clusters; the largest first",
    "sign": "1: higher in the first group, or rising with the score; -1: lower, or falling",
    "voxels": "Extent [voxels]",
    "size_mm3": "Extent [mm3]",
    "mass": "Sum over the cluster of how far |t| lies beyond the threshold",
    "peak_statistic": "t at the peak",
    "peak_x": "Peak in the template [mm], to the right",
    "peak_y": "Peak in the template [mm], to the front",
    "peak_z": "Peak in the template [mm], upwards",
    "region": "Region of the packaged atlas at the peak; empty outside of all",
    "regions": "Regions with 5 % of the cluster or more",
    "p_extent": "Family-wise p-value of the extent, by permutation",
    "p_mass": "Family-wise p-value of the mass, by permutation",
    "p_peak": "Lowest family-wise p-value of t in the cluster, by permutation",
    "p_tfce": "Lowest family-wise p-value of threshold-free cluster enhancement in the cluster, by permutation",
}


@dataclass(frozen=True)
class Question:
    """A contrast of one model, tested at every voxel."""

    name: str
    model: DesignMatrix
    vector: NDArray[np.float64]


def run_voxelwise(
    sources: Sequence[Source], sample: Sample, design: Design, settings: Settings, ledger: Ledger
) -> list[Path]:
    """Test the contrasts and scores of the design at every voxel, and write maps and `group/clusters.tsv`.

    What cannot be tested is told in the ledger, and the rest goes on.

    Parameters
    ----------
    sources : χ maps in template space
    """
    here = sample.at_baseline()
    chosen = baseline_maps(sources, sample)
    asked = questions(here, design, ledger)
    if not chosen or not asked:
        ledger.note("voxel-wise: there is no χ map in template space, or nothing to test; left out.")
        return []
    try:
        stack = load_stack(chosen, design.fwhm, settings.template, ledger)
    except ValueError as error:
        ledger.note(f"voxel-wise: not computed: {error}.")
        return []
    tables, written = [], []
    for question in asked:
        try:
            table, paths = _answer(question, stack, here, design, settings)
        except ValueError as error:
            ledger.note(f"voxel-wise: {question.name}: not computed: {error}.")
            continue
        tables.append(table)
        written += paths
    if tables:
        import pandas as pd

        path = settings.out_dir / "group" / "clusters.tsv"
        columns = {name: {"Description": text} for name, text in COLUMNS.items()}
        written.append(write_table(path, pd.concat(tables, ignore_index=True)[list(COLUMNS)], columns))
    return written


def questions(sample: Sample, design: Design, ledger: Ledger) -> list[Question]:
    """Each contrast in a model of the persons on its two sides, then the slope of each score in the model of all."""
    from qsmprep.stats.contrasts import contrast
    from qsmprep.stats.design import design_matrix

    people, found = model_people(sample, design), []
    plans = []
    for pair in contrasts_of(sample, design, ledger):
        columns = {design.groups: pair.sides}
        if GROUP_ALIAS not in sample.people:
            columns[GROUP_ALIAS] = pair.sides
        text = f"'{pair.first}' - '{pair.second}'"
        plans.append((pair.name, text, formula_of(sample, design), people.assign(**columns)))
    for score in design.scores:
        parts = [formula_of(sample, design), quoted(score)]
        plans.append((score, f"'{score}'", " + ".join(part for part in parts if part), people))
    for name, text, formula, frame in plans:
        try:
            model = design_matrix(formula, frame)
            found.append(Question(name, model, contrast(text, model).vector))
        except ValueError as error:
            ledger.note(f"voxel-wise: {name}: not computed: {error}")
    return found


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
    from scipy.stats import t as student

    from qsmprep.stats.clusters import cluster_table, find_clusters
    from qsmprep.stats.permutation import fwe_p, permutation_test
    from qsmprep.stats.shuffling import shuffles
    from qsmprep.stats.tfce import neighbours, tfce

    model = question.model.matrix
    who = [name for name in model.index if name in stack.rows]
    matrix = model.loc[who].to_numpy(float)
    mask, values = stack.common(who)
    blocks = sample.people.loc[who, design.site].to_numpy(str) if design.site else None
    drawn = shuffles(len(who), design.permutations, SEED, blocks=blocks, design=matrix)
    table = neighbours(mask, CONNECTIVITY)
    threshold = float(student.isf(design.cluster_p / 2, len(who) - np.linalg.matrix_rank(matrix)))

    def maximum(statistic: NDArray[np.float32]) -> dict[str, float]:
        enhanced = float(np.abs(tfce(statistic, table)).max(initial=0))
        return find_clusters(statistic, table, threshold).maxima() | {"tfce": enhanced}

    test = permutation_test(
        PPB * values, matrix, np.ravel(question.vector), drawn, workers=settings.nprocs, maximum=maximum,
        progress=_Progress(question.name),
    )  # fmt: skip
    enhanced = tfce(test.statistic, table)
    p_tfce = fwe_p(np.abs(enhanced), test.maxima["tfce"], tie=1e-4 * test.maxima["tfce"][0])
    clusters = find_clusters(test.statistic, table, threshold)
    p_mass = fwe_p(clusters.mass, test.maxima["cluster_mass"], tie=1e-4 * test.maxima["cluster_mass"][0])
    p_extent = fwe_p(clusters.extent, test.maxima["cluster_extent"])
    voxels = np.argwhere(mask)
    atlas = None if stack.atlas is None else stack.atlas[mask]
    found = cluster_table(
        clusters, test.statistic, voxels, stack.affine, atlas, label_names() if stack.atlas is not None else None,
        p_peak=test.p_fwe, p_tfce=p_tfce,
    ).assign(contrast=question.name, n=len(who), p_extent=p_extent, p_mass=p_mass)  # fmt: skip
    images: dict[str, tuple[NDArray[Any], str, str]] = {
        "estimate": (test.estimate, "ppb", "Difference of χ, or slope on the score"),
        "t": (test.statistic, "1", "t statistic"),
        "tfce": (enhanced, "1", "Threshold-free cluster enhancement of t"),
        "logp": (_logp(test.p), "1", "-log10 of p, uncorrected"),
        "logpPeak": (_logp(test.p_fwe), "1", "-log10 of the family-wise p by the largest |t|"),
        "logpTfce": (_logp(p_tfce), "1", "-log10 of the family-wise p by threshold-free cluster enhancement"),
        "logpMass": (_logp(clusters.spread(p_mass, 1.0)), "1", "-log10 of the family-wise p by cluster mass"),
        "clusters": (clusters.labels, "1", "Numbers of the clusters in clusters.tsv"),
    }
    facts = _facts(question, test, who, mask, design, threshold, len(drawn))
    written = [
        _write(name, *image, question, mask, stack.affine, [stack.paths[one] for one in who], settings, facts)
        for name, image in images.items()
    ]
    return found, written


@dataclass
class _Progress:
    """Tells every tenth of the shuffles."""

    name: str
    told: int = 0

    def __call__(self, done: int, total: int) -> None:
        if 10 * done // total > self.told:
            self.told = 10 * done // total
            logger.info("Voxel-wise %s: %d of %d permutations", self.name, done, total)


def _logp(p: NDArray[np.float64]) -> NDArray[np.float64]:
    return -np.log10(np.where(np.isfinite(p), p, 1.0))


def _facts(
    question: Question, test: PermutationTest, who: Sequence[str], mask: NDArray[np.bool_], design: Design,
    threshold: float, count: int,
) -> dict[str, Any]:  # fmt: skip
    return {
        "Contrast": question.name,
        "Model": question.model.formula,
        "Participants": list(who),
        "DegreesOfFreedom": test.df[0],
        "Voxels": int(mask.sum()),
        "Permutations": count,
        "Exhaustive": test.exhaustive,
        "PermutedWithin": design.site or None,
        "Seed": SEED,
        "Smoothing": f"Gaussian of {design.fwhm:g} mm FWHM, inside grey matter and the rest of the brain apart",
        "ClusterFormingP": design.cluster_p,
        "ClusterFormingT": threshold,
        "Connectivity": CONNECTIVITY,
    }


def _write(
    name: str, values: NDArray[Any], units: str, text: str, question: Question, mask: NDArray[np.bool_],
    affine: NDArray[np.float64], sources: Sequence[Sequence[Path]], settings: Settings, facts: dict[str, Any],
) -> Path:  # fmt: skip
    volume = np.zeros(mask.shape, np.int16 if name == "clusters" else np.float32)
    volume[mask] = np.nan_to_num(values)
    label = "".join(c for c in question.name.replace(" - ", "Minus").replace(" + ", "Plus") if c.isalnum())
    meta = sidecar(
        settings, sources=[path for paths in sources for path in paths], description=f"{text}: {question.name}",
        units=units, skull_stripped=True, resolution="that of the participants' maps, every voxel or every n-th",
        **facts,
    )  # fmt: skip
    stem = f"contrast-{label}_space-{settings.template}_desc-{name}_Chimap.nii.gz"
    return write_image(settings.out_dir / "group" / stem, volume, affine, meta)
