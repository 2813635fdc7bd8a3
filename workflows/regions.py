"""Numbers per region: labels of atlases, or drawn by hand, on the acquired grid, and their tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from nipype.interfaces.utility import IdentityInterface, Merge
from nipype.pipeline.engine import Node, Workflow

from qsmprep import data
from qsmprep.bids.derivatives import bids_uri, derivative_path, sidecar
from qsmprep.bids.expected import atlases
from qsmprep.bids.model import Run, Segmentation
from qsmprep.interfaces.figures import DrawLabels
from qsmprep.interfaces.outputs import SaveFile
from qsmprep.interfaces.regions import AddNeighbours, CountedVoxels, RegionTable, TextureTable
from qsmprep.interfaces.space import RefineDentate, Resample, TemplatePositions
from qsmprep.regions import column_definitions, freesurfer_definitions, parse_neighbours, texture_definitions
from qsmprep.settings import Settings
from qsmprep.space.dentate import NAME as DENTATE

from .outputs import maps_of, save_figure, save_map


@dataclass(frozen=True)
class Source:
    """Where the labels of a segmentation come from.

    atlas : labels, in template space or in that of the T1w
    space : image of that space
    transforms : node and field of the chain from there to the gradient echo
    stats : FreeSurfer's tables, for volume and thickness beside the other numbers
    """

    atlas: data.Atlas
    space: Path
    transforms: tuple[Node, str]
    stats: tuple[Path, ...] = ()


def add_regions(wf: Workflow, run: Run, settings: Settings, from_template: Node) -> None:
    """Add the regions of every segmentation to the graph of a run, and their tables.

    Parameters
    ----------
    wf : has the nodes `echoes`, `recon` and `quality_numbers`
    from_template : node whose output `out` are the transforms
    """
    sources = [Source(atlas, data.template("T1w"), (from_template, "out")) for atlas in atlases(settings)]
    if run.external is not None and run.external.segmentation is not None:
        found = run.external.segmentation
        atlas = atlas_of_person(found, run.external.program, settings)
        from_t1w = (wf.get_node("coreg"), "outputnode.from_t1w")
        sources.append(Source(atlas, run.external.t1w, from_t1w, tuple(found.stats)))
    echoes, recon = wf.get_node("echoes"), wf.get_node("recon")
    measured = ["brain_mask", "qsm_mask", "noise", *(f for f in ("chi", "r2star") if f in maps_of(run))]
    counted = add_counted(wf, run, settings) if settings.excludes else None
    if counted is not None:
        wf.connect(recon, "outputnode.qsm_mask", counted, "mask")
        wf.connect([(recon, counted, [(f"outputnode.{f}", f) for f in measured if not f.endswith("_mask")])])
    tables = init_tables_wf(run, settings, sources)
    places: dict[Path, Node] = {}
    for source in sources:
        name = source.atlas.name
        regions = init_regions_wf(run, settings, source.atlas, source.stats)
        if source.space not in places:
            places[source.space] = _add_positions(wf, source, f"positions_{len(places)}")
        wf.connect(*source.transforms, regions, "inputnode.from_template")
        wf.connect([
            (places[source.space], regions, [("out_file", "inputnode.positions")]),
            (echoes, regions, [("outputnode.reference", "inputnode.reference")]),
            (recon, regions, [(f"outputnode.{f}", f"inputnode.{f}") for f in measured]),
            (regions, tables, [("outputnode.table", f"inputnode.table_{name}")]),
        ])  # fmt: skip
        if counted is not None:
            outputs = [("counted", "inputnode.counted"), ("meta", "inputnode.counted_meta")]
            wf.connect([(counted, regions, outputs)])
        if regions.get_node("refine") is not None:
            wf.connect(regions, "outputnode.meta", tables, f"inputnode.meta_{name}")
        if source is sources[0]:
            wf.connect(regions, "outputnode.table", wf.get_node("quality_numbers"), "table")
    if counted is not None:
        wf.connect(counted, "meta", tables, "inputnode.counted_meta")


def _add_positions(wf: Workflow, source: Source, name: str) -> Node:
    """Node that tells where each voxel lies in the space of an atlas."""
    places = Node(TemplatePositions(template=str(source.space)), name=name, mem_gb=1.5)
    wf.connect(wf.get_node("echoes"), "outputnode.reference", places, "reference")
    wf.connect(*source.transforms, places, "transforms")
    return places


def atlas_of_person(found: Segmentation, program: str, settings: Settings) -> data.Atlas:
    """FreeSurfer's labels of a T1w in the form of an atlas, whose space is that of the T1w."""
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
    return data.Atlas(found.name, found.image, data.freesurfer_labels(found.name), description)


def add_counted(wf: Workflow, run: Run, settings: Settings) -> Node:
    """Node that tells which voxels count, and its mask of those that do not."""
    left_out = {"veins": settings.exclude_veins, "gradients": settings.exclude_gradients}
    counted = Node(CountedVoxels(**left_out, params=asdict(settings.veins)), name="counted", mem_gb=1.5)
    meta = {"description": "Voxels left out of the numbers per region", "Type": "ROI"}
    save = save_map(run, settings, "save_excluded", "mask", extra={"desc": "excluded"}, meta=meta, dtype="uint8")
    wf.connect([(counted, save, [("excluded", "in_file"), ("meta", "meta")])])
    return counted


def init_regions_wf(run: Run, settings: Settings, atlas: data.Atlas, stats: Sequence[Path] = ()) -> Workflow:
    """One atlas: its labels on the acquired grid, and the numbers per region.

    Parameters
    ----------
    atlas : labels in template space, or in that of the T1w
    stats : FreeSurfer's tables, for volume and thickness beside the other numbers

    Inputs
    ------
    reference, brain_mask, qsm_mask, chi, r2star, noise : on the acquired grid
    from_template : transforms from the atlas' space
    positions : place of each voxel in that space [mm]
    counted : mask of the voxels that count, and `counted_meta`, where some are left out

    Outputs
    -------
    table : TSV file, still without neighbours
    meta : for its sidecar, where a label was refined
    """
    fields = ["reference", "brain_mask", "qsm_mask", "chi", "r2star", "noise", "from_template", "positions"]
    inputs = Node(IdentityInterface([*fields, "counted", "counted_meta"]), name="inputnode")
    wf = Workflow(name=f"seg_{atlas.name}")
    measured = [f for f in ("chi", "r2star") if f in maps_of(run)]
    labels, field = _add_labels(wf, inputs, run, atlas, measured)
    counting: dict[str, Any] = {"lookup": str(atlas.labels), "erode_mm": settings.erode_labels}
    table = Node(RegionTable(atlas=str(atlas.image), **counting), name="table", mem_gb=1.5)
    if stats:
        table.inputs.freesurfer_stats = [str(path) for path in stats]
    texture = Node(TextureTable(params=asdict(settings.texture), **counting), name="texture", mem_gb=1.0)
    draw = Node(DrawLabels(lookup=str(atlas.labels), title=f"{atlas.name} on χ"), name="draw", mem_gb=1.0)
    out = Node(IdentityInterface(["table", "meta"]), name="outputnode")
    save_labels, save_lookup, save_texture = _save_labels(run, settings, atlas)
    save_drawing = save_figure(run, settings, f"atlas{atlas.name}")
    known = [("qsm_mask", "mask"), *([("counted", "counted")] if settings.excludes else [])]
    wf.connect([
        (labels, table, [(field, "labels")]),
        (inputs, table, [*known, ("noise", "noise"), ("positions", "positions"), *((f, f) for f in measured)]),
        (labels, texture, [(field, "labels")]),
        (inputs, texture, [*known, ("chi", "chi")]),
        (texture, save_texture, [("table", "in_file")]),
        (labels, draw, [(field, "labels")]),
        (inputs, draw, [("brain_mask", "mask"), ("chi", "chi")]),
        (draw, save_drawing, [("figure", "in_file")]),
        (labels, save_labels, [(field, "in_file")]),
        (table, out, [("table", "table")]),
    ])  # fmt: skip
    if labels.name == "refine":
        wf.connect([(labels, table, [("refined", "refined")]), (labels, out, [("meta", "meta")])])
        wf.connect([(labels, save, [("meta", "meta")]) for save in (save_labels, save_texture)])
    if settings.excludes:
        wf.connect(inputs, "counted_meta", save_texture, "counted_meta")
    wf.add_nodes([save_lookup])
    return wf


def prior_sides(atlas: data.Atlas) -> dict[str, int]:
    """Hemisphere -> value of the dentate nucleus, if the atlas has but a prior for it."""
    lookup = pd.read_csv(atlas.labels, sep="\t", keep_default_na=False)
    if "source" not in lookup:
        return {}
    rows = lookup[(lookup["name"] == DENTATE) & (lookup["source"] == "prior")]
    return {str(side): int(index) for side, index in zip(rows["hemisphere"], rows["index"], strict=True)}


def _add_labels(wf: Workflow, inputs: Node, run: Run, atlas: data.Atlas, measured: list[str]) -> tuple[Node, str]:
    """Labels on the acquired grid, what is a prior only put where χ shows it: the last node, and its field."""
    labels = Node(Resample(in_file=str(atlas.image), interpolation="label"), name="labels", mem_gb=1.5)
    wf.connect(inputs, "reference", labels, "reference")
    wf.connect(inputs, "from_template", labels, "transforms")
    sides = prior_sides(atlas)
    if not sides:
        return labels, "out_file"
    refine = Node(RefineDentate(sides=sides), name="refine", mem_gb=1.0)
    wf.connect([
        (labels, refine, [("out_file", "labels")]),
        (inputs, refine, [("qsm_mask", "mask"), *((f, f) for f in measured)]),
    ])  # fmt: skip
    return refine, "labels"


def _save_labels(run: Run, settings: Settings, atlas: data.Atlas) -> tuple[Node, Node, Node]:
    """Nodes that write labels, their lookup and the texture of an atlas."""
    seg = {"seg": atlas.name}
    text = f"Regions of the atlas {atlas.name} on the gradient echo's grid"
    labels = save_map(run, settings, "save_labels", "dseg", extra=seg, dtype="int16",
                      meta={"description": text, "Atlas": atlas.description})  # fmt: skip
    path = derivative_path(settings.out_dir, run.entities, "dseg", extension=".tsv", **seg)
    save = SaveFile(in_file=str(atlas.labels), out_path=str(path))
    lookup = Node(save, name="save_lookup", run_without_submitting=True)
    columns = texture_definitions(settings.texture.bin_width_ppb, settings.texture.distance_mm)
    texture = _save_table(run, settings, atlas.name, "texture", "Texture of χ", columns, "save_texture")
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


def init_tables_wf(run: Run, settings: Settings, sources: Sequence[Source], name: str = "tables") -> Workflow:
    """Compare regions with their neighbours, which may be in another segmentation, and write the tables.

    Inputs
    ------
    table_<segmentation> : TSV file; `meta_<segmentation>`, for its sidecar
    counted_meta : for the sidecars, where voxels are left out
    """
    names = [source.atlas.name for source in sources]
    fields = [f"{kind}_{seg}" for kind in ("table", "meta") for seg in names]
    inputs = Node(IdentityInterface([*fields, "counted_meta"]), name="inputnode")
    wf = Workflow(name=name)
    join = Node(Merge(len(names)), name="join", run_without_submitting=True)
    pairs = parse_neighbours(settings.neighbour_pairs)
    for place, (seg, source) in enumerate(zip(names, sources, strict=True), 1):
        wf.connect(inputs, f"table_{seg}", join, f"in{place}")
        add = Node(AddNeighbours(names=list(names), own=seg, pairs=list(settings.neighbour_pairs)), name=f"add_{seg}")
        save = _save_table(run, settings, seg, "stats", "χ and R2*", column_definitions(), f"save_{seg}")
        save.inputs.sidecar = save.inputs.sidecar | {"Neighbours": pairs}
        if source.stats:
            uris = [bids_uri(path, settings) for path in source.stats]
            save.inputs.sidecar |= freesurfer_definitions() | {"FreeSurferStats": uris}
        wf.connect([
            (join, add, [("out", "tables")]),
            (add, save, [("table", "in_file")]),
            (inputs, save, [(f"meta_{seg}", "meta")]),
        ])  # fmt: skip
        if settings.excludes:
            wf.connect(inputs, "counted_meta", save, "counted_meta")
    return wf
