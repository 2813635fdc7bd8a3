"""One anatomical image: brain mask and the way to the template. Shared by all runs that use the image."""

from __future__ import annotations

from nipype.interfaces.utility import IdentityInterface
from nipype.pipeline.engine import Node, Workflow
from qsmprep.interfaces.space import Normalize

from qsmprep.interfaces.masks import ExtractBrain
from qsmprep.settings import Settings


def init_anat_wf(settings: Settings, name: str) -> Workflow:
    """Brain mask and registration to the template, of a T1w or, where there is none, of a gradient-echo magnitude.

    Inputs
    ------
    image : whole head
    brain_mask : precomputed; connect it with `masked=True` only

    Outputs
    -------
    image, brain_mask
    to_template, from_template : transforms, as `qsmprep.space` orders them
    agreement : JSON file with numbers on the registration
    """
    inputs = Node(IdentityInterface(["image"]), name="inputnode")
    out = Node(
        IdentityInterface(["image", "brain_mask", "to_template", "from_template", "agreement"]), name="outputnode"
    )
    brain = Node(ExtractBrain(seed=settings.random_seed), name="brain_extraction", mem_gb=2.0)
    normalize = Node(Normalize(seed=settings.random_seed), name="normalization", mem_gb=2.0)
    wf = Workflow(name=name)
    wf.connect([
        (inputs, brain, [("image", "in_file")]),
        (inputs, normalize, [("image", "in_file")]),
        (brain, normalize, [("mask", "mask")]),
        (inputs, out, [("image", "image")]),
        (brain, out, [("mask", "brain_mask")]),
        (normalize, out, [("to_template", "to_template"), ("from_template", "from_template"),
                          ("agreement", "agreement")]),
    ])  # fmt: skip
    return wf
