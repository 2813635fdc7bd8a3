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
