"""Numbers per region: labels of atlases, or drawn by hand, on the acquired grid, and their tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from nipype.interfaces.utility import IdentityInterface, Merge
from nipype.pipeline.engine import Node, Workflow

from qsmprep import data
from qsmprep.bids.derivatives import bids_uri, derivative_path, sidecar
from qsmprep.bids.expected import WITHIN, atlases, has_atlases, has_grey_matter, within_path
from qsmprep.bids.model import ManualRegions, Run, Segmentation
from qsmprep.interfaces.drawn import DrawnLabels, RaterTable, TakeLabels
from qsmprep.interfaces.figures import DrawLabels
from qsmprep.interfaces.outputs import SaveFile
from qsmprep.interfaces.regions import AddNeighbours, CountedVoxels, RegionTable, TextureTable
from qsmprep.interfaces.space import RefineDentate, Resample, TemplatePositions
from qsmprep.regions import (
    column_definitions,
    freesurfer_definitions,
    grey_matter_definitions,
    parse_neighbours,
    rater_definitions,
    texture_definitions,
)
from qsmprep.settings import Settings
from qsmprep.space.dentate import NAME as DENTATE

from .outputs import maps_of, save_figure, save_map


@dataclass(frozen=True)
class PersonAtlas(data.Atlas):
    """FreeSurfer's labels of a T1w in the form of an atlas, whose space is that of the T1w.

    stats : FreeSurfer's tables, for volume and thickness beside the other numbers
    """

    stats: tuple[Path, ...] = ()


CORTEX = "DK"
"""The packaged atlas whose cortical regions are held to grey matter."""

# where regions come from: an atlas, or what one person drew for the run
Source = data.Atlas | ManualRegions


def add_regions(wf: Workflow, run: Run, settings: Settings, from_template: Node | None) -> None:
    """Add the regions of every segmentation to the graph of a run, and their tables.

    Parameters
    ----------
    wf : has the nodes `echoes`, `recon` and `quality_numbers`, `coreg` if anything was drawn on the T1w, and
        `grey_matter` where `has_grey_matter`
    from_template : node whose output `out` are the transforms; None for a run that is not registered
    """
    sources: list[Source] = list(atlases(settings) if has_atlases(run, settings) else ())
    if run.external is not None and run.external.segmentation is not None:
        sources.append(atlas_of_person(run.external.segmentation, run.external.program, settings))
    sources += run.manual
    if not sources:
        return
    echoes, recon = wf.get_node("echoes"), wf.get_node("recon")
    measured = ["brain_mask", "qsm_mask", "noise", *(f for f in ("chi", "r2star") if f in maps_of(run))]
    counted = add_counted(wf, run, settings) if settings.excludes else None
    if counted is not None:
        wf.connect(recon, "outputnode.qsm_mask", counted, "mask")
        wf.connect([(recon, counted, [(f"outputnode.{f}", f) for f in measured if not f.endswith("_mask")])])
    parts: dict[str, Workflow] = {}
    for source in sources:
        regions = parts[seg_of(source)] = init_regions_wf(run, settings, source)
        wf.connect([
            (echoes, regions, [("outputnode.reference", "inputnode.reference")]),
            (recon, regions, [(f"outputnode.{f}", f"inputnode.{f}") for f in measured]),
        ])  # fmt: skip
        if counted is not None:
            outputs = [("counted", "inputnode.counted"), ("meta", "inputnode.counted_meta")]
            wf.connect([(counted, regions, outputs)])
        if isinstance(source, ManualRegions) and source.on_t1w:
            wf.connect(wf.get_node("coreg"), "outputnode.from_t1w", regions, "inputnode.from_t1w")
    in_template = [parts[seg_of(source)] for source in sources if is_placed(source, settings)]
    if from_template is not None and in_template:
        _add_places(wf, (from_template, "out"), data.template("T1w"), in_template, "positions")
    if run.external is not None and any(isinstance(source, PersonAtlas) for source in sources):
        on_t1w = [parts[seg_of(source)] for source in sources if isinstance(source, PersonAtlas)]
        from_t1w = (wf.get_node("coreg"), "outputnode.from_t1w")
        _add_places(wf, from_t1w, run.external.t1w, on_t1w, "positions_t1w")
    if has_grey_matter(run, settings):
        wf.connect(wf.get_node("grey_matter"), "out_file", parts[CORTEX], "inputnode.grey_matter")
    if not isinstance(sources[0], ManualRegions):
        wf.connect(parts[seg_of(sources[0])], "outputnode.table", wf.get_node("quality_numbers"), "table")
    _add_tables(wf, run, settings, parts, sources)


def add_grey_matter(wf: Workflow, run: Run, settings: Settings) -> None:
    """Bring the grey matter of the node `anat` to the acquired grid (node `grey_matter`), and write it."""
    carry = Node(Resample(), name="grey_matter", mem_gb=1.0)
    wf.connect(wf.get_node("anat"), "grey_matter", carry, "in_file")
    wf.connect(wf.get_node("echoes"), "outputnode.reference", carry, "reference")
    if run.t1w is not None:
        wf.connect(wf.get_node("coreg"), "outputnode.from_t1w", carry, "transforms")
    meta = {"description": "Fraction of grey matter in each voxel", **grey_matter_metadata(run, settings)}
    save = save_map(run, settings, "save_grey_matter", "probseg", extra={"label": "GM"}, meta=meta)
    wf.connect(carry, "out_file", save, "in_file")


def grey_matter_metadata(run: Run, settings: Settings) -> dict[str, Any]:
    """How grey matter was found: for the sidecars."""
    if run.t1w is None:
        return {"GreyMatter": {"Method": "brightness of the template's T1w, carried over by the registration"}}
    method = "Atropos (mixture of Gaussians, Markov random field) with the template's tissues as priors"
    image = within_path(settings.out_dir, run, "T1w", desc=WITHIN) if run.visits else run.t1w
    return {"GreyMatter": {"Method": method, "Image": bids_uri(image, settings)}}


def seg_of(source: Source) -> str:
    """Value of `seg-` in the names of what a source of regions gives."""
    return source.seg if isinstance(source, ManualRegions) else source.name


def is_placed(source: Source, settings: Settings) -> bool:
    """Whether regions lie in template space, from where they are carried to the run."""
    return not isinstance(source, ManualRegions | PersonAtlas) and settings.atlas_space == "template"


def atlas_of_person(found: Segmentation, program: str, settings: Settings) -> PersonAtlas:
    """FreeSurfer's labels of a T1w, with what the sidecars tell of them."""
    description: dict[str, Any] = {
        "Name": f"FreeSurfer {found.name}",
        "Source": bids_uri(found.image, settings),
        "Program": program,
        "Space": "T1w of the participant",
        "IndexScheme": "FreeSurfer's lookup table (FreeSurferColorLUT)",
        "Citation": "Fischl B. NeuroImage 2012;62:774. https://doi.org/10.1016/j.neuroimage.2012.01.021",
    }
    if found.unnamed:
        description["LabelsWithoutName"] = list(found.unnamed)
    return PersonAtlas(found.name, found.image, data.freesurfer_labels(found.name), description, tuple(found.stats))


def _add_places(wf: Workflow, transforms: tuple[Node, str], space: Path, placed: Sequence[Workflow], name: str) -> None:
    """Tell where in the space of their atlas the voxels lie, and how to get there, to the regions of atlases."""
    places = Node(TemplatePositions(template=str(space)), name=name, mem_gb=1.5)
    wf.connect(wf.get_node("echoes"), "outputnode.reference", places, "reference")
    wf.connect(*transforms, places, "transforms")
    for regions in placed:
        wf.connect(places, "out_file", regions, "inputnode.positions")
        wf.connect(*transforms, regions, "inputnode.from_template")


def _add_tables(
    wf: Workflow, run: Run, settings: Settings, parts: Mapping[str, Workflow], sources: Sequence[Source]
) -> None:
    """The tables of all segmentations, and that of the raters' agreement."""
    tables = init_tables_wf(run, settings, list(parts))
    for source in sources:
        if isinstance(source, PersonAtlas) and source.stats:
            save = tables.get_node(f"save_{source.name}")
            uris = [bids_uri(path, settings) for path in source.stats]
            told = freesurfer_definitions() | {"FreeSurferStats": uris}
            save.inputs.sidecar = save.inputs.sidecar | told
    if has_grey_matter(run, settings):
        save = tables.get_node(f"save_{CORTEX}")
        save.inputs.sidecar = save.inputs.sidecar | grey_matter_definitions() | grey_matter_metadata(run, settings)
    for seg, regions in parts.items():
        wf.connect(regions, "outputnode.table", tables, f"inputnode.table_{seg}")
        if regions.get_node("refine") is not None:
            wf.connect(regions, "outputnode.meta", tables, f"inputnode.meta_{seg}")
    if settings.excludes:
        wf.connect(wf.get_node("counted"), "meta", tables, "inputnode.counted_meta")
    if len(run.manual) < 2:
        return
    raters = [manual.who for manual in run.manual]
    compare = Node(RaterTable(raters=raters), name="raters", mem_gb=1.0)
    for field in ("labels", "table"):
        join = Node(Merge(len(raters)), name=f"join_{field}", run_without_submitting=True)
        for place, manual in enumerate(run.manual, 1):
            wf.connect(parts[manual.seg], f"outputnode.{field}", join, f"in{place}")
        wf.connect(join, "out", compare, "labels" if field == "labels" else "tables")
    save = _save_table(
        run, settings, "manual", "raters", "Agreement of the raters", rater_definitions(raters), "save_raters"
    )
    wf.connect(compare, "table", save, "in_file")


def add_counted(wf: Workflow, run: Run, settings: Settings) -> Node:
    """Node that tells which voxels count, and its mask of those that do not."""
    left_out = {"veins": settings.exclude_veins, "gradients": settings.exclude_gradients}
    counted = Node(CountedVoxels(**left_out, params=asdict(settings.veins)), name="counted", mem_gb=1.5)
    meta = {"description": "Voxels left out of the numbers per region", "Type": "ROI"}
    save = save_map(run, settings, "save_excluded", "mask", extra={"desc": "excluded"}, meta=meta, dtype="uint8")
    wf.connect([(counted, save, [("excluded", "in_file"), ("meta", "meta")])])
    return counted


def init_regions_wf(run: Run, settings: Settings, source: Source) -> Workflow:
    """One atlas, or what one rater drew: its labels on the acquired grid, and the numbers per region.

    Inputs
    ------
    reference, brain_mask, qsm_mask, chi, r2star, noise : on the acquired grid
    from_template : transforms, and `positions`, the place of each voxel in the template [mm]; for an atlas in its space
    from_t1w : transforms; for what was drawn on the T1w
    grey_matter : fraction in each voxel; for the atlas of the cortex, where `has_grey_matter`
    counted : mask of the voxels that count, and `counted_meta`, where some are left out

    Outputs
    -------
    table : TSV file, still without neighbours
    meta : for its sidecar, where a label was refined
    labels : on the acquired grid
    """
    fields = ["reference", "brain_mask", "qsm_mask", "chi", "r2star", "noise", "from_template", "positions", "from_t1w"]
    inputs = Node(IdentityInterface([*fields, "grey_matter", "counted", "counted_meta"]), name="inputnode")
    seg, wf = seg_of(source), Workflow(name=f"seg_{seg_of(source)}")
    measured = [f for f in ("chi", "r2star") if f in maps_of(run)]
    labels, field = _add_labels(wf, inputs, run, settings, source)
    counting: dict[str, Any] = {"erode_mm": settings.erode_labels}
    table = Node(RegionTable(**counting), name="table", mem_gb=1.5)
    if isinstance(source, PersonAtlas) and source.stats:
        table.inputs.freesurfer_stats = [str(path) for path in source.stats]
    texture = Node(TextureTable(params=asdict(settings.texture), **counting), name="texture", mem_gb=1.0)
    draw = Node(DrawLabels(title=f"{seg} on χ"), name="draw", mem_gb=1.0)
    out = Node(IdentityInterface(["table", "meta", "labels"]), name="outputnode")
    save_labels, save_lookup, save_texture = _save_labels(run, settings, source)
    save_drawing = save_figure(run, settings, f"atlas{seg}")
    known = [("qsm_mask", "mask"), *([("counted", "counted")] if settings.excludes else [])]
    wf.connect([
        (labels, table, [(field, "labels")]),
        (inputs, table, [*known, ("noise", "noise"), *((f, f) for f in measured)]),
        (labels, texture, [(field, "labels")]),
        (inputs, texture, [*known, ("chi", "chi")]),
        (texture, save_texture, [("table", "in_file")]),
        (labels, draw, [(field, "labels")]),
        (inputs, draw, [("brain_mask", "mask"), ("chi", "chi")]),
        (draw, save_drawing, [("figure", "in_file")]),
        (labels, save_labels, [(field, "in_file")]),
        (table, out, [("table", "table")]),
        (labels, out, [(field, "labels")]),
    ])  # fmt: skip
    _add_names(wf, source, save_lookup)
    if isinstance(source, PersonAtlas) or is_placed(source, settings):
        table.inputs.atlas = str(source.image)
        wf.connect(inputs, "positions", table, "positions")
    if seg == CORTEX and has_grey_matter(run, settings):
        wf.connect(inputs, "grey_matter", table, "grey_matter")
    if labels.name == "refine":
        wf.connect([(labels, table, [("refined", "refined")]), (labels, out, [("meta", "meta")])])
        wf.connect([(labels, save, [("meta", "meta")]) for save in (save_labels, save_texture)])
    if settings.excludes:
        wf.connect(inputs, "counted_meta", save_texture, "counted_meta")
    return wf


def _add_names(wf: Workflow, source: Source, save_lookup: Node) -> None:
    """Give the names of the labels to all that need them."""
    wf.add_nodes([save_lookup])
    takers = [(wf.get_node(name), "lookup") for name in ("table", "texture", "draw")]
    for node, field in [*takers, (save_lookup, "in_file")]:
        if isinstance(source, ManualRegions):
            wf.connect(wf.get_node("drawn"), "lookup", node, field)
        else:
            node.set_input(field, str(source.labels))


def prior_sides(atlas: data.Atlas) -> dict[str, int]:
    """Hemisphere -> value of the dentate nucleus, if the atlas has but a prior for it."""
    lookup = pd.read_csv(atlas.labels, sep="\t", keep_default_na=False)
    if "source" not in lookup:
        return {}
    rows = lookup[(lookup["name"] == DENTATE) & (lookup["source"] == "prior")]
    return {str(side): int(index) for side, index in zip(rows["hemisphere"], rows["index"], strict=True)}


def _add_labels(wf: Workflow, inputs: Node, run: Run, settings: Settings, source: Source) -> tuple[Node, str]:
    """Labels on the acquired grid, what is a prior only put where χ shows it: the last node, and its field."""
    if isinstance(source, ManualRegions):
        return _add_drawn(wf, inputs, run, source)
    if settings.atlas_space == "native" and not isinstance(source, PersonAtlas):
        take = Node(TakeLabels(in_file=str(source.image)), name="labels", mem_gb=1.0)
        wf.connect(inputs, "reference", take, "like")
        return take, "labels"
    labels = Node(Resample(in_file=str(source.image), interpolation="label"), name="labels", mem_gb=1.5)
    wf.connect(inputs, "reference", labels, "reference")
    wf.connect(inputs, "from_template", labels, "transforms")
    sides = prior_sides(source)
    if not sides:
        return labels, "out_file"
    refine = Node(RefineDentate(sides=sides), name="refine", mem_gb=1.0)
    measured = [f for f in ("chi", "r2star") if f in maps_of(run)]
    wf.connect([
        (labels, refine, [("out_file", "labels")]),
        (inputs, refine, [("qsm_mask", "mask"), *((f, f) for f in measured)]),
    ])  # fmt: skip
    return refine, "labels"


def _add_drawn(wf: Workflow, inputs: Node, run: Run, manual: ManualRegions) -> tuple[Node, str]:
    """What one rater drew, carried over from the T1w if it was drawn there."""
    told = [{"index": r.index, "name": r.name, "hemisphere": r.hemisphere, "value": r.value} for r in manual.regions]
    files = [str(region.file) for region in manual.regions]
    drawn = Node(DrawnLabels(files=files, regions=told), name="drawn", mem_gb=1.0)
    if not manual.on_t1w:
        wf.connect(inputs, "reference", drawn, "like")
        return drawn, "labels"
    drawn.inputs.like = str(run.t1w)
    carry = Node(Resample(interpolation="label"), name="labels", mem_gb=1.5)
    wf.connect([
        (drawn, carry, [("labels", "in_file")]),
        (inputs, carry, [("reference", "reference"), ("from_t1w", "transforms")]),
    ])  # fmt: skip
    return carry, "out_file"


def _save_labels(run: Run, settings: Settings, source: Source) -> tuple[Node, Node, Node]:
    """Nodes that write labels, their lookup and the texture of a source of regions."""
    seg = {"seg": seg_of(source)}
    if isinstance(source, ManualRegions):
        files = dict.fromkeys(region.file for region in source.regions)
        text = f"Regions drawn by {source.rater or 'a rater without a name'}, on the gradient echo's grid"
        meta: dict[str, Any] = {"description": text, "Manual": True, "Rater": source.rater or None,
                                "DrawnOn": bids_uri(run.t1w or "", settings) if source.on_t1w else "gradient echo",
                                "DrawnRegions": [bids_uri(path, settings) for path in files]}  # fmt: skip
    else:
        text = f"Regions of the atlas {source.name} on the gradient echo's grid"
        meta = {"description": text, "Atlas": source.description}
    labels = save_map(run, settings, "save_labels", "dseg", extra=seg, dtype="int16", meta=meta)
    path = derivative_path(settings.out_dir, run.entities, "dseg", extension=".tsv", **seg)
    lookup = Node(SaveFile(out_path=str(path)), name="save_lookup", run_without_submitting=True)
    columns = texture_definitions(settings.texture.bin_width_ppb, settings.texture.distance_mm)
    texture = _save_table(run, settings, seg["seg"], "texture", "Texture of χ", columns, "save_texture")
    return labels, lookup, texture


def _save_table(
    run: Run, settings: Settings, seg: str, desc: str, what: str, columns: dict[str, Any], name: str
) -> Node:
    """Node that writes a table of one segmentation with the definitions of its columns."""
    path = derivative_path(settings.out_dir, run.entities, "dseg", extension=".tsv", seg=seg, desc=desc)
    meta = sidecar(settings, sources=run.files, description=f"{what} per region of the segmentation {seg}")
    left_out = {"Veins": settings.exclude_veins, "Gradients": settings.exclude_gradients}
    counting = {"LabelErosionMM": settings.erode_labels, "LeftOut": left_out}
    save = SaveFile(out_path=str(path), sidecar=columns | meta | counting)
    return Node(save, name=name, run_without_submitting=True)


def init_tables_wf(run: Run, settings: Settings, names: Sequence[str], name: str = "tables") -> Workflow:
    """Compare regions with their neighbours, which may be in another segmentation, and write the tables.

    Inputs
    ------
    table_<segmentation> : TSV file; `meta_<segmentation>`, for its sidecar
    counted_meta : for the sidecars, where voxels are left out
    """
    fields = [f"{kind}_{seg}" for kind in ("table", "meta") for seg in names]
    inputs = Node(IdentityInterface([*fields, "counted_meta"]), name="inputnode")
    wf = Workflow(name=name)
    join = Node(Merge(len(names)), name="join", run_without_submitting=True)
    pairs = parse_neighbours(settings.neighbour_pairs)
    for place, seg in enumerate(names, 1):
        wf.connect(inputs, f"table_{seg}", join, f"in{place}")
        add = Node(AddNeighbours(names=list(names), own=seg, pairs=list(settings.neighbour_pairs)), name=f"add_{seg}")
        save = _save_table(run, settings, seg, "stats", "χ and R2*", column_definitions(), f"save_{seg}")
        save.inputs.sidecar = save.inputs.sidecar | {"Neighbours": pairs}
        wf.connect([
            (join, add, [("out", "tables")]),
            (add, save, [("table", "in_file")]),
            (inputs, save, [(f"meta_{seg}", "meta")]),
        ])  # fmt: skip
        if settings.excludes:
            wf.connect(inputs, "counted_meta", save, "counted_meta")
    return wf
