"""Between the acquired grid and the template: maps in its space, transforms as files, pictures of registrations."""

from __future__ import annotations

from typing import Any

from nipype.interfaces.utility import IdentityInterface, Merge
from nipype.pipeline.engine import Node, Workflow

from qsmprep import data
from qsmprep.bids.derivatives import derivative_path
from qsmprep.bids.model import Run
from qsmprep.interfaces.figures import DrawRegistration
from qsmprep.interfaces.space import Resample, SaveTransform
from qsmprep.settings import Settings

from .outputs import MAPS, maps_of, save_figure, save_map


<<<<<<< HEAD
=======
def atlases_of(settings: Settings) -> tuple[data.Atlas, ...]:
    """The user's atlas if one is given, else the packaged ones."""
    if settings.atlas is not None and settings.atlas_labels is not None:
        from qsmprep.space.atlas import user_atlas

        return (user_atlas(settings.atlas, settings.atlas_labels),)
    return tuple(data.atlas(name) for name in data.ATLASES)


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
    table : TSV file
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
    out = Node(IdentityInterface(["table"]), name="outputnode")
    saved = _save_regions(run, settings, atlas)
    if stats:
        saved["save_table"].inputs.sidecar |= freesurfer_definitions() | {"FreeSurferStats": _uris(stats, settings)}
    save_labels, save_table, save_texture = (saved[name] for name in ("save_labels", "save_table", "save_texture"))
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
        (table, save_table, [("table", "in_file")]),
        (table, out, [("table", "table")]),
    ])  # fmt: skip
    _add_records(wf, inputs, labels, saved, settings)
    wf.add_nodes([saved["save_lookup"]])
    return wf


def _uris(paths: Sequence[Path], settings: Settings) -> list[str]:
    return [bids_uri(path, settings) for path in paths]


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


def _save_regions(run: Run, settings: Settings, atlas: data.Atlas) -> dict[str, Node]:
    """Nodes that write labels, their lookup and the two tables of an atlas."""
    seg = {"seg": atlas.name}
    text = f"Regions of the atlas {atlas.name} on the gradient echo's grid"
    nodes = {"save_labels": save_map(run, settings, "save_labels", "dseg", extra=seg, dtype="int16",
                                     meta={"description": text, "Atlas": atlas.description})}  # fmt: skip
    texture = settings.texture
    left_out = {"Veins": settings.exclude_veins, "Gradients": settings.exclude_gradients}
    counting = {"LabelErosionMM": settings.erode_labels, "LeftOut": left_out}
    tables: dict[str, tuple[str, dict[str, Any]]] = {
        "stats": ("χ and R2*", column_definitions()),
        "texture": ("Texture of χ", texture_definitions(texture.bin_width_ppb, texture.distance_mm)),
    }
    for desc, (what, columns) in tables.items():
        path = derivative_path(settings.out_dir, run.entities, "dseg", extension=".tsv", desc=desc, **seg)
        meta = sidecar(settings, sources=run.files, description=f"{what} per region of the atlas {atlas.name}")
        name = "save_table" if desc == "stats" else "save_texture"
        save = SaveFile(out_path=str(path), sidecar=columns | meta | counting)
        nodes[name] = Node(save, name=name, run_without_submitting=True)
    lookup = derivative_path(settings.out_dir, run.entities, "dseg", extension=".tsv", **seg)
    nodes["save_lookup"] = Node(SaveFile(in_file=str(atlas.labels), out_path=str(lookup)), name="save_lookup",
                                run_without_submitting=True)  # fmt: skip
    return nodes


def _add_records(wf: Workflow, inputs: Node, labels: Node, saved: dict[str, Node], settings: Settings) -> None:
    """Tell the sidecars what the data decided: where labels were refined, and what was left out."""
    if labels.name == "refine":
        wf.connect([
            (labels, wf.get_node("table"), [("refined", "refined")]),
            *((labels, save, [("meta", "meta")]) for name, save in saved.items() if name != "save_lookup"),
        ])  # fmt: skip
    if settings.excludes:
        for name in ("save_table", "save_texture"):
            wf.connect(inputs, "counted_meta", saved[name], "counted_meta")


def add_region_inputs(wf: Workflow, run: Run, settings: Settings) -> tuple[Node, Node | None]:
    """Nodes that all atlases share: where the voxels lie in the template, and which of them count."""
    reference = str(data.template("T1w"))
    positions = Node(TemplatePositions(template=reference), name="positions", mem_gb=1.5)
    if not settings.excludes:
        return positions, None
    left_out = {"veins": settings.exclude_veins, "gradients": settings.exclude_gradients}
    counted = Node(CountedVoxels(**left_out, params=asdict(settings.veins)), name="counted", mem_gb=1.5)
    meta = {"description": "Voxels left out of the numbers per region", "Type": "ROI"}
    save = save_map(run, settings, "save_excluded", "mask", extra={"desc": "excluded"}, meta=meta, dtype="uint8")
    wf.connect(counted, "excluded", save, "in_file")
    wf.connect(counted, "meta", save, "meta")
    return positions, counted


>>>>>>> external
def init_template_wf(run: Run, settings: Settings, name: str = "template") -> Workflow:
    """Maps and brain mask in template space, and the figure of the registration.

    Inputs
    ------
    reference, brain_mask, qsm_mask, and the maps of the run
    anat : image that was registered; `anat_to_template`, its transforms
    to_template : transforms of the gradient echo
    """
    fields = ["reference", "brain_mask", "qsm_mask", *maps_of(run), "to_template", "anat", "anat_to_template"]
    inputs = Node(IdentityInterface(fields), name="inputnode")
    wf = Workflow(name=name)
    grid = str(data.template("T1w"))
    space: dict[str, str] = {"space": settings.template, "res": "1"}
    common: dict[str, Any] = {"resolution": "1 mm isotropic, the grid of the packaged template"}
    for field in (*maps_of(run), "brain_mask", "qsm_mask"):
        is_mask = field.endswith("_mask")
        suffix, units, text = ("mask", None, "Mask") if is_mask else MAPS[field]
        extra = space | ({"desc": field.removesuffix("_mask")} if is_mask else {})
        meta = common | {"description": f"{text} in template space"}
        meta |= {"Type": "Brain"} if is_mask else {"units": units, "skull_stripped": True}
        kind = "label" if is_mask else "linear"
        resample = Node(Resample(reference=grid, interpolation=kind), name=field, mem_gb=1.5)
        save = save_map(run, settings, f"save_{field}", suffix, extra=extra, meta=meta, like=False,
                        dtype="uint8" if is_mask else "float32")  # fmt: skip
        wf.connect([
            (inputs, resample, [(field, "in_file"), ("to_template", "transforms")]),
            (resample, save, [("out_file", "in_file")]),
        ])  # fmt: skip
    before, after = (Node(Resample(reference=grid), name=n, mem_gb=1.0) for n in ("before", "after"))
    names = ("T1w" if run.t1w else "GRE magnitude", settings.template)
    draw = add_registration_figure(wf, run, settings, "norm", names)
    draw.inputs.fixed, draw.inputs.mask = grid, str(data.template("mask"))
    wf.connect([
        (inputs, before, [("anat", "in_file")]),
        (inputs, after, [("anat", "in_file"), ("anat_to_template", "transforms")]),
        (before, draw, [("out_file", "before")]),
        (after, draw, [("out_file", "after")]),
    ])  # fmt: skip
    return wf


def add_registration_figure(wf: Workflow, run: Run, settings: Settings, kind: str, names: tuple[str, str]) -> Node:
    """Draw and save a registration; `names` are the moving image and the target."""
    draw = Node(DrawRegistration(names=names), name=f"draw_{kind}", mem_gb=1.0)
    for which in ("before", "after", "target"):
        wf.connect(draw, which, save_figure(run, settings, f"{kind}{which}"), "in_file")
    return draw


def save_transform(run: Run, settings: Settings, name: str, from_: str, to: str) -> Node:
    """Node that writes a chain of transforms as one file."""
    path = derivative_path(settings.out_dir, run.entities, "xfm", extension=".h5",
                           from_=from_, to=to, mode="image")  # fmt: skip
    return Node(SaveTransform(out_path=str(path)), name=name, mem_gb=1.0)


def chain(name: str) -> Node:
    """Node that joins two lists of transforms, in the order in which points of the target grid go through them."""
    return Node(Merge(2), name=name, run_without_submitting=True)
