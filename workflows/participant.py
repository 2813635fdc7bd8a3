"""All runs of a plan as one graph: anatomical images once, then every run on its own."""

from __future__ import annotations

from pathlib import Path

from nipype.interfaces.utility import IdentityInterface, Merge
from nipype.pipeline.engine import Node, Workflow

from qsmprep.bids.derivatives import derivative_path
from qsmprep.bids.expected import has_magnitude
from qsmprep.bids.model import Plan, Run
from qsmprep.interfaces.masks import ReferencePriors
from qsmprep.interfaces.outputs import SaveFile
from qsmprep.interfaces.regions import QualityNumbers
from qsmprep.interfaces.space import Resample
from qsmprep.settings import Settings

from .anatomical import ANAT_FIELDS, init_anat_wf, init_coreg_wf
from .outputs import init_figures_wf, init_maps_wf, maps_of
from .recon import init_echoes_wf, init_recon_wf
from .spaces import (
    add_region_inputs,
    add_registration_figure,
    atlases_of,
    chain,
    init_regions_wf,
    init_template_wf,
    save_transform,
)


def graph_name(text: str) -> str:
    """A name that Nipype takes: `sub-01_ses-1` -> `sub_01_ses_1`."""
    return "".join(c if c.isalnum() else "_" for c in text)


def is_normalized(run: Run, settings: Settings) -> bool:
    """Whether the run is registered to the template: a phase without magnitude cannot be."""
    return settings.normalization and has_magnitude(run)


def _anat_name(t1w: Path) -> str:
    return "anat_" + graph_name(t1w.name.split(".")[0])


def nodes_of_runs(plan: Plan) -> dict[str, tuple[str, ...]]:
    """Top-level graph -> names of the runs that cannot do without it."""
    owners: dict[str, tuple[str, ...]] = {}
    for run in plan.runs:
        owners[graph_name(run.name)] = (run.name,)
        if run.t1w is not None:
            owners[_anat_name(run.t1w)] = (*owners.get(_anat_name(run.t1w), ()), run.name)
    return owners


def init_qsmprep_wf(plan: Plan, settings: Settings) -> Workflow:
    """The graph of a whole plan."""
    wf = Workflow(name="qsmprep_wf", base_dir=str(settings.work_dir))
    anatomical: dict[Path, Workflow] = {}
    for run in plan.runs:
        run_wf = init_run_wf(run, settings)
        wf.add_nodes([run_wf])
        if run.t1w is None or not is_normalized(run, settings):
            continue
        if run.t1w not in anatomical:
            anatomical[run.t1w] = init_anat_wf(settings, _anat_name(run.t1w))
            anatomical[run.t1w].inputs.inputnode.image = str(run.t1w)
        fields = [(f"outputnode.{field}", f"anat.{field}") for field in ANAT_FIELDS]
        wf.connect([(anatomical[run.t1w], run_wf, fields)])
    return wf


def init_run_wf(run: Run, settings: Settings) -> Workflow:
    """One run, from its echoes to its regional numbers.

    A normalised run has a node `anat`, which takes what `init_anat_wf` gives of the participant's T1w; without a T1w
    the run's own magnitude takes its place, and the node is fed inside.
    """
    wf = Workflow(name=graph_name(run.name))
    echoes, recon = init_echoes_wf(run, settings), init_recon_wf(run, settings)
    maps, figures = init_maps_wf(run, settings), init_figures_wf(run, settings)
    quality = _add_quality(wf, run, settings)
    measured = ["phase", "quality", "reference", "meta", *(["magnitude"] if has_magnitude(run) else [])]
    # a run without magnitude shows its phase quality instead
    shown = "reference" if has_magnitude(run) else "quality"
    kept = ["brain_mask", "qsm_mask", *maps_of(run), *(["csf_mask"] if settings.reference == "csf" else [])]
    drawn = [*kept, "total_field", "local_field"]
    rated = ["brain_mask", "qsm_mask", "local_field", "residual", "noise", *(set(maps_of(run)) & {"chi", "r2star"})]
    wf.connect([
        (echoes, recon, [(f"outputnode.{f}", f"inputnode.{f}") for f in measured]),
        (echoes, figures, [(f"outputnode.{shown}", "inputnode.magnitude"), ("outputnode.phase", "inputnode.phase")]),
        (recon, maps, [(f"outputnode.{f}", f"inputnode.{f}") for f in [*kept, "chi_meta"]]),
        (recon, figures, [(f"outputnode.{f}", f"inputnode.{f}") for f in drawn]),
        (echoes, quality, [("outputnode.quality", "quality")]),
        (recon, quality, [(f"outputnode.{f}", f) for f in sorted(rated)]),
        (recon, quality, [("outputnode.chi_meta", "reference")]),
    ])  # fmt: skip
    if run.mask is not None:
        recon.inputs.inputnode.brain_mask = str(run.mask)
    if is_normalized(run, settings):
        _add_anatomy(wf, run, settings)
        _add_spaces(wf, run, settings)
    return wf


def _add_quality(wf: Workflow, run: Run, settings: Settings) -> Node:
    rate = QualityNumbers(whole_brain=is_normalized(run, settings), phase_sign=settings.phase_sign)
    quality = Node(rate, name="quality_numbers", mem_gb=1.5)
    path = derivative_path(settings.out_dir, run.entities, "iqms", extension=".json", desc="qc")
    save = Node(SaveFile(out_path=str(path)), name="save_quality", run_without_submitting=True)
    wf.connect(quality, "iqms", save, "in_file")
    return quality


def _add_anatomy(wf: Workflow, run: Run, settings: Settings) -> None:
    """The node `anat`, the chains between gradient echo and template, and the brain mask of the reconstruction."""
    echoes, recon = wf.get_node("echoes"), wf.get_node("recon")
    anat = Node(IdentityInterface(list(ANAT_FIELDS)), name="anat")
    to_template, from_template = chain("to_template"), chain("from_template")
    wf.connect([
        (anat, to_template, [("to_template", "in1")]),
        (anat, from_template, [("from_template", "in2")]),
    ])  # fmt: skip
    agreements = Node(Merge(2), name="agreements", run_without_submitting=True)
    wf.connect([
        (anat, agreements, [("agreement", "in1")]),
        (agreements, wf.get_node("quality_numbers"), [("out", "agreement")]),
    ])  # fmt: skip
    if run.t1w is None:
        to_template.inputs.in2, from_template.inputs.in1, agreements.inputs.in2 = [], [], []
        own = init_anat_wf(settings, "gre_anat", masked=run.mask is not None)
        wf.connect([
            (echoes, own, [("outputnode.reference", "inputnode.image")]),
            (own, anat, [(f"outputnode.{f}", f) for f in ANAT_FIELDS]),
        ])  # fmt: skip
        if run.mask is not None:
            own.inputs.inputnode.brain_mask = str(run.mask)
        else:
            wf.connect(anat, "brain_mask", recon, "inputnode.brain_mask")
        return
    coreg = init_coreg_wf(settings)
    figure = add_registration_figure(wf, run, settings, "coreg", ("GRE magnitude", "T1w"))
    to_t1w = save_transform(run, settings, "save_to_t1w", "GRE", "T1w")
    wf.connect([
        (echoes, coreg, [("outputnode.reference", "inputnode.reference")]),
        (anat, coreg, [("image", "inputnode.t1w"), ("brain_mask", "inputnode.t1w_mask")]),
        (coreg, agreements, [("outputnode.agreement", "in2")]),
        (coreg, to_template, [("outputnode.to_t1w", "in2")]),
        (coreg, from_template, [("outputnode.from_t1w", "in1")]),
        (coreg, figure, [("outputnode.before", "before"), ("outputnode.after", "after")]),
        (anat, figure, [("image", "fixed"), ("brain_mask", "mask")]),
        (coreg, to_t1w, [("outputnode.to_t1w", "transforms")]),
    ])  # fmt: skip
    if run.mask is None:
        wf.connect(coreg, "outputnode.brain_mask", recon, "inputnode.brain_mask")


def _add_spaces(wf: Workflow, run: Run, settings: Settings) -> None:
    """Regional numbers on the acquired grid and maps in template space."""
    echoes, recon, anat = wf.get_node("echoes"), wf.get_node("recon"), wf.get_node("anat")
    to_template, from_template = wf.get_node("to_template"), wf.get_node("from_template")
    measured = ["brain_mask", "qsm_mask", "noise", *(f for f in ("chi", "r2star") if f in maps_of(run))]
    places, counted = add_region_inputs(wf, run, settings)
    wf.connect([
        (echoes, places, [("outputnode.reference", "reference")]),
        (from_template, places, [("out", "transforms")]),
    ])  # fmt: skip
    if counted is not None:
        wf.connect(recon, "outputnode.qsm_mask", counted, "mask")
        wf.connect([(recon, counted, [(f"outputnode.{f}", f) for f in measured if not f.endswith("_mask")])])
    for number, atlas in enumerate(atlases_of(settings)):
        regions = init_regions_wf(run, settings, atlas)
        if counted is not None:
            outputs = [("counted", "inputnode.counted"), ("meta", "inputnode.counted_meta")]
            wf.connect([(counted, regions, outputs)])
        wf.connect([
            (places, regions, [("out_file", "inputnode.positions")]),
            (echoes, regions, [("outputnode.reference", "inputnode.reference")]),
            (from_template, regions, [("out", "inputnode.from_template")]),
            (recon, regions, [(f"outputnode.{f}", f"inputnode.{f}") for f in measured]),
        ])  # fmt: skip
        if number == 0:
            wf.connect(regions, "outputnode.table", wf.get_node("quality_numbers"), "table")
    _add_reference_priors(wf, settings, from_template)
    template = init_template_wf(run, settings)
    wf.connect([
        (echoes, template, [("outputnode.reference", "inputnode.reference")]),
        (anat, template, [("image", "inputnode.anat"), ("to_template", "inputnode.anat_to_template")]),
        (to_template, template, [("out", "inputnode.to_template")]),
        (recon, template, [(f"outputnode.{f}", f"inputnode.{f}") for f in ("brain_mask", "qsm_mask", *maps_of(run))]),
    ])  # fmt: skip
    for chained, source, target in ((to_template, "GRE", settings.template), (from_template, settings.template, "GRE")):
        save = save_transform(run, settings, f"save_{chained.name}", source, target)
        wf.connect(chained, "out", save, "transforms")


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
