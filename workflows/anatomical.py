"""One anatomical image: brain mask and the way to the template. Shared by all runs that use the image."""

from __future__ import annotations

from nipype.interfaces.utility import IdentityInterface
from nipype.pipeline.engine import Node, Workflow

from qsmprep.bids.model import Anatomy
from qsmprep.interfaces.masks import ExtractBrain, ExtractByProgram, TakeMask
from qsmprep.interfaces.space import GreyMatter, Normalize, RegisterRigid, Resample, TakeRegistration
from qsmprep.mask.extract import find_synthstrip
from qsmprep.settings import Settings

ANAT_FIELDS = ("image", "brain_mask", "to_template", "from_template", "agreement", "grey_matter")


def init_anat_wf(
    settings: Settings, name: str, *, method: str = "ants", normalize: bool = True, external: Anatomy | None = None,
    tissue: str = "",
) -> Workflow:  # fmt: skip
    """Brain mask and registration to the template, of a T1w or, where there is none, of a gradient-echo magnitude.

    Parameters
    ----------
    method : what finds the brain: "ants", "deepbet", "synthstrip", or "given" for a mask that is an input
    normalize : False leaves out the registration, and with it all outputs but the first two
    external : what another program made of the image; its transforms are taken if it has any
    tissue : what tells grey matter: "T1w" for a segmentation of the image, "template", or "" for nothing

    Inputs
    ------
    image : whole head
    brain_mask : only if it is given

    Outputs
    -------
    image, brain_mask
    to_template, from_template : transforms, as `Resample` takes them
    agreement : JSON file with numbers on the registration
    grey_matter : fraction in each voxel, on the grid of the image
    """
    inputs = Node(IdentityInterface(["image", "brain_mask"]), name="inputnode")
    out = Node(IdentityInterface(list(ANAT_FIELDS)), name="outputnode")
    wf = Workflow(name=name)
    wf.connect(inputs, "image", out, "image")
    if method == "given":
        brain = Node(TakeMask(), name="brain_mask", mem_gb=1.0)
        wf.connect(inputs, "image", brain, "like")
        wf.connect(inputs, "brain_mask", brain, "in_file")
    else:
        finder = ExtractBrain(seed=settings.random_seed) if method == "ants" else ExtractByProgram(method=method)
        if method == "synthstrip":  # found here: on another machine of a cluster PATH may differ
            finder.inputs.program = find_synthstrip() or ""
        # a network holds activations of a whole head
        brain = Node(finder, name="brain_extraction", mem_gb=2.0 if method == "ants" else 8.0)
        wf.connect(inputs, "image", brain, "in_file")
    wf.connect(brain, "mask", out, "brain_mask")
    if not normalize:
        return wf
    if external is not None and external.to_template is not None:
        taken = TakeRegistration(to_template=str(external.to_template), from_template=str(external.from_template))
        register = Node(taken, name="registration_taken", mem_gb=2.0)
    else:
        register = Node(Normalize(seed=settings.random_seed), name="normalization", mem_gb=2.0)
        if method == "ants":
            wf.connect(brain, "transforms", register, "start")
    wf.connect([
        (inputs, register, [("image", "in_file")]),
        (brain, register, [("mask", "mask")]),
        (register, out, [(f, f) for f in ("to_template", "from_template", "agreement")]),
    ])  # fmt: skip
    if tissue:
        grey = Node(GreyMatter(segment=tissue == "T1w"), name="grey_matter", mem_gb=2.5)
        wf.connect([
            (inputs, grey, [("image", "in_file")]),
            (brain, grey, [("mask", "mask")]),
            (register, grey, [("from_template", "from_template")]),
            (grey, out, [("out_file", "grey_matter")]),
        ])  # fmt: skip
    return wf


def init_coreg_wf(settings: Settings, name: str = "coreg") -> Workflow:
    """Rigid registration of the gradient echo to the T1w, and the T1w's brain mask on the gradient echo's grid.

    Inputs
    ------
    reference : gradient-echo magnitude
    t1w, t1w_mask

    Outputs
    -------
    to_t1w, from_t1w : transforms
    brain_mask : on the gradient echo's grid
    before, after : the magnitude on the T1w's grid, without and with registration
    agreement : JSON file
    """
    inputs = Node(IdentityInterface(["reference", "t1w", "t1w_mask"]), name="inputnode")
    names = ["to_t1w", "from_t1w", "brain_mask", "before", "after", "agreement"]
    out = Node(IdentityInterface(names), name="outputnode")
    rigid = Node(RegisterRigid(seed=settings.random_seed), name="rigid", mem_gb=2.0)
    carry = Node(Resample(interpolation="label"), name="brain_mask", mem_gb=1.0)
    before = Node(Resample(), name="before", mem_gb=1.0)
    after = Node(Resample(), name="after", mem_gb=1.0)
    wf = Workflow(name=name)
    wf.connect([
        (inputs, rigid, [("reference", "moving"), ("t1w", "fixed"), ("t1w_mask", "fixed_mask")]),
        (inputs, carry, [("t1w_mask", "in_file"), ("reference", "reference")]),
        (rigid, carry, [("inverse", "transforms")]),
        (inputs, before, [("reference", "in_file"), ("t1w", "reference")]),
        (inputs, after, [("reference", "in_file"), ("t1w", "reference")]),
        (rigid, after, [("forward", "transforms")]),
        (rigid, out, [("forward", "to_t1w"), ("inverse", "from_t1w"), ("agreement", "agreement")]),
        (carry, out, [("out_file", "brain_mask")]),
        (before, out, [("out_file", "before")]),
        (after, out, [("out_file", "after")]),
    ])  # fmt: skip
    return wf
