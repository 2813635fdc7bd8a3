"""All runs of a plan as one graph: anatomical images once, then every run on its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nipype.interfaces.utility import IdentityInterface, Merge
from nipype.pipeline.engine import Node, Workflow

from qsmprep import data
from qsmprep.bids.derivatives import derivative_path
from qsmprep.bids.expected import has_grey_matter, has_magnitude
from qsmprep.bids.masks import NETWORKS, mask_of_t1w
from qsmprep.bids.model import Plan, Run
from qsmprep.interfaces.masks import CompareBrain, Leakage, ReferencePriors
from qsmprep.interfaces.outputs import SaveFile
from qsmprep.interfaces.regions import QualityNumbers, RateMasks
from qsmprep.interfaces.space import RefineNuclei, Resample
from qsmprep.settings import Settings

from .anatomical import ANAT_FIELDS, init_anat_wf, init_coreg_wf
from .longitudinal import WITHIN_FIELDS, init_within_wf, save_within, visit_numbers
from .outputs import init_figures_wf, init_maps_wf, maps_of
from .recon import init_echoes_wf, init_masks_wf, init_recon_wf
from .regions import add_grey_matter, add_regions
from .spaces import add_registration_figure, chain, init_template_wf, save_transform

# a stage and the name of its output: a JSON file with numbers on quality
Numbers = tuple[Any, str]


def graph_name(text: str) -> str:
    """A name that Nipype takes: `sub-01_ses-1` -> `sub_01_ses_1`."""
    return "".join(c if c.isalnum() else "_" for c in text)


def is_normalized(run: Run, settings: Settings) -> bool:
    """Whether the run is registered to the template: a phase without magnitude cannot be."""
    return settings.normalization and has_magnitude(run)


def _anat_name(t1w: Path) -> str:
    return "anat_" + graph_name(t1w.name.split(".")[0])


def _within_name(run: Run) -> str:
    return "within_sub_" + graph_name(run.subject)


def nodes_of_runs(plan: Plan) -> dict[str, tuple[str, ...]]:
    """Top-level graph -> names of the runs that cannot do without it."""
    owners: dict[str, tuple[str, ...]] = {}
    for run in plan.runs:
        owners[graph_name(run.name)] = (run.name,)
        shared = _within_name(run) if run.visits else _anat_name(run.t1w) if run.t1w else None
        if shared is not None:
            owners[shared] = (*owners.get(shared, ()), run.name)
    return owners


def registers(run: Run, settings: Settings) -> bool:
    """Whether this call registers the run to the template: not if it ends with the masks."""
    return is_normalized(run, settings) and settings.stop_after != "mask"


def finds_brain(run: Run) -> bool:
    """Whether the brain is looked for on an image; else a mask is there, or phase quality finds it."""
    return run.mask is None and run.skull_strip != "quality"


def init_qsmprep_wf(plan: Plan, settings: Settings) -> Workflow:
    """The graph of a whole plan."""
    wf = Workflow(name="qsmprep_wf", base_dir=str(settings.work_dir))
    anatomical: dict[Path, Workflow] = {}
    within: dict[str, Workflow] = {}
    for run in plan.runs:
        run_wf = init_run_wf(run, settings)
        wf.add_nodes([run_wf])
        if run_wf.get_node("anat") is None:
            continue
        if run.visits:
            together = [other for other in plan.runs if other.visits and other.subject == run.subject]
            if run.subject not in within:
                grey = any(has_grey_matter(other, settings) for other in together)
                within[run.subject] = init_within_wf(
                    together, settings, _within_name(run), normalize=registers(run, settings), grey_matter=grey
                )
            visit = f"visit{visit_numbers(together)[run.name]}"
            fields = [(f"{visit}.{field}", f"anat.{field}") for field in _anat_fields(run, settings)]
            wf.connect([(within[run.subject], run_wf, fields)])
            continue
        if run.t1w is None:
            continue
        if run.t1w not in anatomical:
            anatomical[run.t1w] = _init_t1w_wf(run, run.t1w, settings)
        fields = [(f"outputnode.{field}", f"anat.{field}") for field in _anat_fields(run, settings)]
        wf.connect([(anatomical[run.t1w], run_wf, fields)])
    return wf


def _anat_fields(run: Run, settings: Settings) -> tuple[str, ...]:
    if not registers(run, settings):
        return ("image", "brain_mask")
    fields = (*ANAT_FIELDS, *WITHIN_FIELDS) if run.visits else ANAT_FIELDS
    return fields if has_grey_matter(run, settings) else tuple(f for f in fields if f != "grey_matter")


def _init_t1w_wf(run: Run, t1w: Path, settings: Settings) -> Workflow:
    """The T1w of a run.

    Where `--skull-strip` says nothing of it, its brain is what another program has found, or else is found by
    registration of the template.
    """
    method, mask = settings.skull_strip if settings.skull_strip in NETWORKS else "ants", mask_of_t1w(run, settings)
    method = "given" if mask is not None else method
    normalize = registers(run, settings)
    wf = init_anat_wf(
        settings, _anat_name(t1w), method=method, normalize=normalize, external=run.external,
        tissue="T1w" if has_grey_matter(run, settings) else "",
    )  # fmt: skip
    wf.inputs.inputnode.image = str(t1w)
    if mask is not None:
        wf.inputs.inputnode.brain_mask = str(mask)
    return wf


def init_run_wf(run: Run, settings: Settings) -> Workflow:
    """One run, from its echoes to its regional numbers; with `--stop-after mask` to its masks.

    A run that is registered, or whose brain is to be found, has a node `anat`, which takes what `init_anat_wf` gives of
    the participant's T1w; without a T1w the run's own magnitude takes its place, and the node is fed inside. With
    `--longitudinal` it takes what `init_within_wf` gives of the run's visit.
    """
    wf = Workflow(name=graph_name(run.name))
    stops = settings.stop_after == "mask"
    echoes, recon = init_echoes_wf(run, settings), (init_masks_wf if stops else init_recon_wf)(run, settings)
    maps, figures = init_maps_wf(run, settings), init_figures_wf(run, settings)
    measured = ["phase", "quality", "reference", "meta", *(["magnitude"] if has_magnitude(run) else [])]
    # a run without magnitude shows its phase quality instead
    shown = "reference" if has_magnitude(run) else "quality"
    masks = ["brain_mask", "qsm_mask"]
    kept = [*masks, *maps_of(run), *(["csf_mask"] if settings.reference == "csf" else [])]
    saved, drawn = [*kept, "chi_meta", "mask_meta"], [*kept, "total_field", "local_field"]
    if stops:
        saved, drawn = [*masks, "mask_meta"], masks
    wf.connect([
        (echoes, recon, [(f"outputnode.{f}", f"inputnode.{f}") for f in measured]),
        (echoes, figures, [(f"outputnode.{shown}", "inputnode.magnitude"), ("outputnode.phase", "inputnode.phase")]),
        (recon, maps, [(f"outputnode.{f}", f"inputnode.{f}") for f in saved]),
        (recon, figures, [(f"outputnode.{f}", f"inputnode.{f}") for f in drawn]),
    ])  # fmt: skip
    quality = _add_quality(wf, run, settings)
    numbers: list[Numbers] = [(recon, "outputnode.mask_numbers")]
    if run.mask is not None:
        recon.inputs.inputnode.brain_mask = str(run.mask)
    if finds_brain(run) or registers(run, settings):
        numbers += _add_anatomy(wf, run, settings)
    if registers(run, settings):
        numbers += _add_spaces(wf, run, settings)
    elif not stops:
        add_regions(wf, run, settings, None)
    if is_normalized(run, settings) and (run.skull_strip != "ants" or run.t1w is not None):
        numbers.append(_add_second_brain(wf, settings))
    _join(wf, numbers, quality)
    return wf


def _add_quality(wf: Workflow, run: Run, settings: Settings) -> Node:
    """The quality numbers and their file; `_join` feeds them what other stages have measured."""
    recon, stops = wf.get_node("recon"), settings.stop_after == "mask"
    rate = QualityNumbers(phase_sign=settings.phase_sign)
    quality = Node(RateMasks() if stops else rate, name="quality_numbers", mem_gb=1.5)
    quality.inputs.whole_brain = is_normalized(run, settings)
    path = derivative_path(settings.out_dir, run.entities, "iqms", extension=".json", desc="qc")
    save = Node(SaveFile(out_path=str(path)), name="save_quality", run_without_submitting=True)
    wf.connect(quality, "iqms", save, "in_file")
    if not stops:
        rated = ["brain_mask", "qsm_mask", "local_field", "residual", "noise"]
        rated += sorted({"chi", "r2star"}.intersection(maps_of(run)))
        wf.connect([
            (wf.get_node("echoes"), quality, [("outputnode.quality", "quality")]),
            (recon, quality, [(f"outputnode.{f}", f) for f in rated]),
            (recon, quality, [("outputnode.chi_meta", "reference")]),
        ])  # fmt: skip
    return quality


def _join(wf: Workflow, numbers: list[Numbers], quality: Node) -> None:
    """Hand the numbers that stages have measured to the quality numbers."""
    join = Node(Merge(len(numbers)), name="agreements", run_without_submitting=True)
    for place, (node, field) in enumerate(numbers, 1):
        wf.connect(node, field, join, f"in{place}")
    wf.connect(join, "out", quality, "numbers" if isinstance(quality.interface, RateMasks) else "agreement")


def _add_second_brain(wf: Workflow, settings: Settings) -> Numbers:
    """Agreement of the brain mask with a rough one that is found on the gradient echo itself."""
    compare = Node(CompareBrain(seed=settings.random_seed), name="second_brain", mem_gb=2.0)
    wf.connect([
        (wf.get_node("echoes"), compare, [("outputnode.reference", "in_file")]),
        (wf.get_node("recon"), compare, [("outputnode.brain_mask", "brain_mask")]),
    ])  # fmt: skip
    return compare, "numbers"


def _add_anatomy(wf: Workflow, run: Run, settings: Settings) -> list[Numbers]:
    """The node `anat`, the brain mask of the reconstruction, and the chains between gradient echo and template."""
    echoes, recon = wf.get_node("echoes"), wf.get_node("recon")
    anat = Node(IdentityInterface([*ANAT_FIELDS, *WITHIN_FIELDS]), name="anat")
    wf.add_nodes([anat])
    numbers: list[Numbers] = []
    if registers(run, settings):
        numbers.append((anat, "agreement"))
        to_template, from_template = chain("to_template"), chain("from_template")
        wf.connect([
            (anat, to_template, [("to_template", "in1")]),
            (anat, from_template, [("from_template", "in2")]),
        ])  # fmt: skip
    if run.t1w is None:
        _add_own_anatomy(wf, run, settings)
        return numbers
    coreg = init_coreg_wf(settings)
    figure = add_registration_figure(wf, run, settings, "coreg", ("GRE magnitude", "T1w"))
    wf.connect([
        (echoes, coreg, [("outputnode.reference", "inputnode.reference")]),
        (anat, coreg, [("image", "inputnode.t1w"), ("brain_mask", "inputnode.t1w_mask")]),
        (coreg, figure, [("outputnode.before", "before"), ("outputnode.after", "after")]),
        (anat, figure, [("image", "fixed"), ("brain_mask", "mask")]),
    ])  # fmt: skip
    if registers(run, settings):
        to_t1w = save_transform(run, settings, "save_to_t1w", "GRE", "T1w")
        wf.connect([
            (coreg, to_template, [("outputnode.to_t1w", "in2")]),
            (coreg, from_template, [("outputnode.from_t1w", "in1")]),
            (coreg, to_t1w, [("outputnode.to_t1w", "transforms")]),
        ])  # fmt: skip
    if finds_brain(run):
        wf.connect(coreg, "outputnode.brain_mask", recon, "inputnode.brain_mask")
    return [*numbers, (coreg, "outputnode.agreement")]


def _add_own_anatomy(wf: Workflow, run: Run, settings: Settings) -> None:
    """The gradient echo's magnitude in the place of a T1w."""
    anat, recon = wf.get_node("anat"), wf.get_node("recon")
    if registers(run, settings):
        wf.get_node("to_template").inputs.in2, wf.get_node("from_template").inputs.in1 = [], []
    if finds_brain(run):
        wf.connect(anat, "brain_mask", recon, "inputnode.brain_mask")
    if run.visits:
        return
    method = "given" if run.mask is not None else "synthstrip" if run.skull_strip == "synthstrip" else "ants"
    tissue = "template" if has_grey_matter(run, settings) else ""
    own = init_anat_wf(settings, "gre_anat", method=method, normalize=registers(run, settings), tissue=tissue)
    wf.connect([
        (wf.get_node("echoes"), own, [("outputnode.reference", "inputnode.image")]),
        (own, anat, [(f"outputnode.{f}", f) for f in _anat_fields(run, settings)]),
    ])  # fmt: skip
    if run.mask is not None:
        own.inputs.inputnode.brain_mask = str(run.mask)


def _add_spaces(wf: Workflow, run: Run, settings: Settings) -> list[Numbers]:
    """Regional numbers on the acquired grid, maps in template space, and the brain beyond that of the template."""
    echoes, recon, anat = wf.get_node("echoes"), wf.get_node("recon"), wf.get_node("anat")
    to_template, from_template = wf.get_node("to_template"), wf.get_node("from_template")
    _add_reference_priors(wf, settings, from_template)  # χ is not known before its reference
    numbers: list[Numbers] = []
    if settings.multi_contrast:
        to_template, from_template, shift = _add_nuclei_stage(wf, run, settings, to_template, from_template)
        numbers.append(shift)
    if has_grey_matter(run, settings):
        add_grey_matter(wf, run, settings)
    add_regions(wf, run, settings, from_template)
    template = init_template_wf(run, settings)
    wf.connect([
        (echoes, template, [("outputnode.reference", "inputnode.reference")]),
        (anat, template, [("image", "inputnode.anat"), ("to_template", "inputnode.anat_to_template")]),
        (to_template, template, [("out", "inputnode.to_template")]),
        (recon, template, [(f"outputnode.{f}", f"inputnode.{f}") for f in ("brain_mask", "qsm_mask", *maps_of(run))]),
    ])  # fmt: skip
    for chained, way, source, target in (
        (to_template, "to_template", "GRE", settings.template),
        (from_template, "from_template", settings.template, "GRE"),
    ):
        save = save_transform(run, settings, f"save_{way}", source, target)
        wf.connect(chained, "out", save, "transforms")
    if run.visits:
        save_within(wf, run, settings)
    carry = Node(Resample(in_file=str(data.template("mask")), interpolation="label"), name="template_brain", mem_gb=1.0)
    leakage = Node(Leakage(), name="leakage", mem_gb=1.0)
    wf.connect([
        (echoes, carry, [("outputnode.reference", "reference")]),
        (from_template, carry, [("out", "transforms")]),
        (carry, leakage, [("out_file", "template_brain")]),
        (recon, leakage, [("outputnode.brain_mask", "brain_mask")]),
    ])  # fmt: skip
    return [*numbers, (leakage, "numbers")]


def _add_nuclei_stage(
    wf: Workflow, run: Run, settings: Settings, to_template: Node, from_template: Node
) -> tuple[Node, Node, Numbers]:
    """The chains between gradient echo and template, lengthened by what χ tells of the deep nuclei."""
    nuclei = Node(RefineNuclei(seed=settings.random_seed), name="nuclei", mem_gb=1.5)
    ways = [Node(IdentityInterface(["out"]), name=f"{way}_nuclei") for way in ("to_template", "from_template")]
    wf.connect([
        (to_template, nuclei, [("out", "to_template")]),
        (from_template, nuclei, [("out", "from_template")]),
        (wf.get_node("recon"), nuclei, [("outputnode.chi", "chi")]),
        (nuclei, ways[0], [("to_template", "out")]),
        (nuclei, ways[1], [("from_template", "out")]),
    ])  # fmt: skip
    if run.t1w is not None:
        wf.connect([
            (wf.get_node("anat"), nuclei, [("image", "t1w")]),
            (wf.get_node("coreg"), nuclei, [("outputnode.from_t1w", "t1w_to_image")]),
        ])  # fmt: skip
    return ways[0], ways[1], (nuclei, "agreement")


def _add_reference_priors(wf: Workflow, settings: Settings, from_template: Node) -> None:
    """Where to look for reference regions, on the gradient echo's grid."""
    priors = Node(ReferencePriors(), name="reference_priors", mem_gb=1.0)
    if settings.reference_region:
        priors.inputs.region = list(settings.reference_region)
    carry = Node(Resample(interpolation="label"), name="carry_priors", mem_gb=1.0)
    wf.connect([
        (priors, carry, [("priors", "in_file")]),
        (wf.get_node("echoes"), carry, [("outputnode.reference", "reference")]),
        (from_template, carry, [("out", "transforms")]),
        (carry, wf.get_node("recon"), [("out_file", "inputnode.priors")]),
    ])  # fmt: skip
