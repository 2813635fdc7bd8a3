"""Between the acquired grid and the template: labels one way, maps the other, and the numbers per region."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from nipype.interfaces.utility import IdentityInterface, Merge
from nipype.pipeline.engine import Node, Workflow

from qsmprep import data
from qsmprep.bids.derivatives import derivative_path, sidecar
from qsmprep.bids.model import Run
from qsmprep.interfaces.figures import DrawLabels, DrawRegistration
from qsmprep.interfaces.outputs import SaveFile
from qsmprep.interfaces.regions import RegionTable, TextureTable
from qsmprep.interfaces.space import Resample, SaveTransform
from qsmprep.regions import column_definitions, texture_definitions
from qsmprep.settings import Settings

from .outputs import MAPS, maps_of, save_figure, save_map


def atlases_of(settings: Settings) -> tuple[data.Atlas, ...]:
    """The user's atlas if one is given, else the packaged ones."""
    if settings.atlas is not None and settings.atlas_labels is not None:
        from qsmprep.space.atlas import user_atlas

        return (user_atlas(settings.atlas, settings.atlas_labels),)
    return tuple(data.atlas(name) for name in data.ATLASES)


def init_regions_wf(run: Run, settings: Settings, atlas: data.Atlas) -> Workflow:
    """One atlas: its labels on the acquired grid, and the numbers per region.

    Inputs
    ------
    reference, brain_mask, qsm_mask, chi, r2star, noise : on the acquired grid
    from_template : transforms

    Outputs
    -------
    table : TSV file
    """
    inputs = Node(
        IdentityInterface(["reference", "brain_mask", "qsm_mask", "chi", "r2star", "noise", "from_template"]),
        name="inputnode",
    )
    labels = Node(Resample(in_file=str(atlas.image), interpolation="label"), name="labels", mem_gb=1.5)
    table = Node(RegionTable(lookup=str(atlas.labels)), name="table", mem_gb=1.0)
    draw = Node(DrawLabels(lookup=str(atlas.labels), title=f"{atlas.name} on χ"), name="draw", mem_gb=1.0)
    out = Node(IdentityInterface(["table"]), name="outputnode")
    seg = {"seg": atlas.name}
    text = f"Regions of the atlas {atlas.name} on the gradient echo's grid"
    save_labels = save_map(run, settings, "save_labels", "dseg", extra=seg, dtype="int16",
                           meta={"description": text, "Atlas": atlas.description})  # fmt: skip
    lookup_path = derivative_path(settings.out_dir, run.entities, "dseg", extension=".tsv", **seg)
    save_lookup = Node(SaveFile(in_file=str(atlas.labels), out_path=str(lookup_path)), name="save_lookup",
                       run_without_submitting=True)  # fmt: skip
    stats_path = derivative_path(settings.out_dir, run.entities, "dseg", extension=".tsv", desc="stats", **seg)
    meta = sidecar(settings, sources=run.files, description=f"χ and R2* per region of the atlas {atlas.name}")
    save_table = Node(SaveFile(out_path=str(stats_path), sidecar=column_definitions() | meta), name="save_table",
                      run_without_submitting=True)  # fmt: skip
    texture = Node(TextureTable(lookup=str(atlas.labels), params=asdict(settings.texture)), name="texture", mem_gb=1.0)
    texture_path = derivative_path(settings.out_dir, run.entities, "dseg", extension=".tsv", desc="texture", **seg)
    meta = sidecar(settings, sources=run.files, description=f"Texture of χ per region of the atlas {atlas.name}")
    columns = texture_definitions(settings.texture.bin_width_ppb, settings.texture.distance_mm)
    save_texture = Node(SaveFile(out_path=str(texture_path), sidecar=columns | meta), name="save_texture",
                        run_without_submitting=True)  # fmt: skip
    save_drawing = save_figure(run, settings, f"atlas{atlas.name}")
    wf = Workflow(name=f"seg_{atlas.name}")
    measured = [f for f in ("chi", "r2star") if f in maps_of(run)]
    wf.connect([
        (inputs, labels, [("reference", "reference"), ("from_template", "transforms")]),
        (labels, table, [("out_file", "labels")]),
        (inputs, table, [("qsm_mask", "mask"), ("noise", "noise"), *((f, f) for f in measured)]),
        (labels, texture, [("out_file", "labels")]),
        (inputs, texture, [("qsm_mask", "mask"), ("chi", "chi")]),
        (texture, save_texture, [("table", "in_file")]),
        (labels, draw, [("out_file", "labels")]),
        (inputs, draw, [("brain_mask", "mask"), ("chi", "chi")]),
        (draw, save_drawing, [("figure", "in_file")]),
        (labels, save_labels, [("out_file", "in_file")]),
        (table, save_table, [("table", "in_file")]),
        (table, out, [("table", "table")]),
    ])  # fmt: skip
    wf.add_nodes([save_lookup])
    return wf


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
