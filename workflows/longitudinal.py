"""All sessions of a participant through one within-subject template."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nipype.interfaces.utility import IdentityInterface, Merge, Select
from nipype.pipeline.engine import Node, Workflow

from qsmprep.bids.derivatives import sidecar
from qsmprep.bids.expected import WITHIN, within_path, within_suffix
from qsmprep.bids.masks import NETWORKS, mask_of_t1w
from qsmprep.bids.model import Run
from qsmprep.interfaces.longitudinal import BuildWithin, VoteMask
from qsmprep.interfaces.masks import TakeMask
from qsmprep.interfaces.outputs import SaveMap
from qsmprep.interfaces.space import Resample, SaveTransform
from qsmprep.settings import Settings
from qsmprep.space.within import ROUNDS

from .anatomical import ANAT_FIELDS, init_anat_wf
from .recon import echoes_reader
from .spaces import chain, save_transform

# between a visit's image and the within-subject template; both are single transforms
WITHIN_FIELDS = ("to_within", "from_within")


def visit_numbers(runs: Sequence[Run]) -> dict[str, int]:
    """Name of a run -> number, from 1, of its image in the within-subject template: runs may share a T1w."""
    images = [run.t1w or run.name for run in runs]
    order = {image: number for number, image in enumerate(dict.fromkeys(sorted(images, key=str)), 1)}
    return {run.name: order[image] for run, image in zip(runs, images, strict=True)}


def init_within_wf(
    runs: Sequence[Run], settings: Settings, name: str, *, normalize: bool = True, grey_matter: bool = False
) -> Workflow:
    """The within-subject template of one participant, its brain mask and the way to the group template.

    The brain is found once, on the template, unless every visit has a mask that was given. A visit with a given mask
    keeps it; the others have that of the template.

    Parameters
    ----------
    runs : of one participant; all have a T1w, or none has
    normalize : False leaves out the registration to the group template
    grey_matter : whether it is told, from the template's T1w or else from the group template's tissues

    Outputs
    -------
    visit1, visit2, ... : nodes with what `init_anat_wf` gives, of each image, and `WITHIN_FIELDS`
    """
    wf = Workflow(name=name)
    numbers = visit_numbers(runs)
    visits = {numbers[run.name]: run for run in reversed(runs)}  # of runs that share an image the first counts
    images = Node(Merge(len(visits)), name="images", run_without_submitting=True)
    build = Node(BuildWithin(seed=settings.random_seed), name="build", mem_gb=2.0 + 0.3 * len(visits))
    wf.connect(images, "out", build, "images")
    masks = {number: mask_of_t1w(run, settings) if run.t1w else run.mask for number, run in visits.items()}
    given = all(masks.values())
    method = "given" if given else settings.skull_strip if settings.skull_strip in NETWORKS else "ants"
    tissue = ("T1w" if runs[0].t1w else "template") if grey_matter else ""
    anat = init_anat_wf(settings, "anatomy", method=method, normalize=normalize, tissue=tissue)
    wf.connect(build, "template", anat, "inputnode.image")
    for number, run in sorted(visits.items()):
        _add_visit(wf, run, settings, number, masks[number])
        if normalize:
            _add_ways(wf, number, grey_matter)
    if given:
        vote, join = Node(VoteMask(), name="vote", mem_gb=1.0), Node(Merge(len(visits)), name="masks")
        for number in visits:
            wf.connect(wf.get_node(f"brain{number}"), "mask", join, f"in{number}")
        wf.connect([
            (join, vote, [("out", "masks")]),
            (build, vote, [("forward", "transforms"), ("template", "like")]),
            (vote, anat, [("mask", "inputnode.brain_mask")]),
        ])  # fmt: skip
    _save_template(wf, list(visits.values()), settings, normalize)
    return wf


def _add_visit(wf: Workflow, run: Run, settings: Settings, number: int, mask: Path | None) -> None:
    """The node `visit<number>`, with an image, its brain and its transforms to the template and back."""
    build, anat, images = (wf.get_node(n) for n in ("build", "anatomy", "images"))
    visit = Node(IdentityInterface([*ANAT_FIELDS, *WITHIN_FIELDS]), name=f"visit{number}")
    image = Node(IdentityInterface(["image"]), name=f"image{number}")
    if run.t1w is not None:
        image.inputs.image = str(run.t1w)
    else:
        wf.connect(echoes_reader(run, settings, f"read{number}"), "reference", image, "image")
    ways = {way: Node(Select(index=[number - 1]), name=f"{way}{number}") for way in ("forward", "inverse")}
    wf.connect([
        (image, images, [("image", f"in{number}")]),
        (image, visit, [("image", "image")]),
        (build, ways["forward"], [("forward", "inlist")]),
        (build, ways["inverse"], [("inverse", "inlist")]),
        (ways["forward"], visit, [("out", "to_within")]),
        (ways["inverse"], visit, [("out", "from_within")]),
    ])  # fmt: skip
    if mask is not None:
        brain = Node(TakeMask(in_file=str(mask)), name=f"brain{number}", mem_gb=1.0)
        wf.connect([(image, brain, [("image", "like")]), (brain, visit, [("mask", "brain_mask")])])
    else:
        carry = Node(Resample(interpolation="label"), name=f"brain{number}", mem_gb=1.0)
        wf.connect([
            (anat, carry, [("outputnode.brain_mask", "in_file")]),
            (image, carry, [("image", "reference")]),
            (ways["inverse"], carry, [("out", "transforms")]),
            (carry, visit, [("out_file", "brain_mask")]),
        ])  # fmt: skip


def _add_ways(wf: Workflow, number: int, grey_matter: bool) -> None:
    """Add to a visit its transforms to the group template and back, and its grey matter."""
    anat, visit, image = (wf.get_node(n) for n in ("anatomy", f"visit{number}", f"image{number}"))
    ways = {way: wf.get_node(f"{way}{number}") for way in ("forward", "inverse")}
    to_template, from_template = chain(f"to_template{number}"), chain(f"from_template{number}")
    wf.connect([
        (anat, to_template, [("outputnode.to_template", "in1")]),
        (ways["forward"], to_template, [("out", "in2")]),
        (ways["inverse"], from_template, [("out", "in1")]),
        (anat, from_template, [("outputnode.from_template", "in2")]),
        (to_template, visit, [("out", "to_template")]),
        (from_template, visit, [("out", "from_template")]),
        (anat, visit, [("outputnode.agreement", "agreement")]),
    ])  # fmt: skip
    if grey_matter:
        carry = Node(Resample(), name=f"grey_matter{number}", mem_gb=1.0)
        wf.connect([
            (anat, carry, [("outputnode.grey_matter", "in_file")]),
            (image, carry, [("image", "reference")]),
            (ways["inverse"], carry, [("out", "transforms")]),
            (carry, visit, [("out_file", "grey_matter")]),
        ])  # fmt: skip


def _save_template(wf: Workflow, visits: Sequence[Run], settings: Settings, normalize: bool) -> None:
    """Write the within-subject template, its brain mask and its transforms to the group template and back."""
    build, anat, run = wf.get_node("build"), wf.get_node("anatomy"), visits[0]
    method = "median after rigid registration to the middle of all visits (N4, mutual information)"
    meta: dict[str, Any] = {"sources": run.visits, "Method": method, "Visits": len(visits), "Rounds": ROUNDS}
    what = {
        "template": (within_suffix(run), {"units": "arbitrary", "skull_stripped": False}, "float32"),
        "mask": ("mask", {"Type": "Brain"}, "uint8"),
    }
    for field, (suffix, more, dtype) in what.items():
        text = "Within-subject template" + (", brain" if field == "mask" else "")
        told = sidecar(settings, description=text, **(meta | more))
        path = within_path(settings.out_dir, run, suffix, desc=WITHIN)
        save = Node(SaveMap(out_path=str(path), sidecar=told, dtype=dtype), name=f"save_{field}", mem_gb=0.5)
        wf.connect(build, "meta", save, "meta")
        wf.connect(*((build, "template") if field == "template" else (anat, "outputnode.brain_mask")), save, "in_file")
    if not normalize:
        return
    for way, start, end in (
        ("to_template", WITHIN, settings.template),
        ("from_template", settings.template, WITHIN),
    ):
        path = within_path(settings.out_dir, run, "xfm", ".h5", from_=start, to=end, mode="image")
        save = Node(SaveTransform(out_path=str(path)), name=f"save_{way}", mem_gb=1.0)
        wf.connect(anat, f"outputnode.{way}", save, "transforms")


def save_within(wf: Workflow, run: Run, settings: Settings) -> None:
    """Add to the graph of a run: its transforms to the within-subject template and back, as files."""
    anat, coreg = wf.get_node("anat"), wf.get_node("coreg")
    to_within, from_within = chain("to_within"), chain("from_within")
    wf.connect([(anat, to_within, [("to_within", "in1")]), (anat, from_within, [("from_within", "in2")])])
    if coreg is None:
        to_within.inputs.in2, from_within.inputs.in1 = [], []
    else:
        wf.connect(coreg, "outputnode.to_t1w", to_within, "in2")
        wf.connect(coreg, "outputnode.from_t1w", from_within, "in1")
    for node, start, end in ((to_within, "GRE", WITHIN), (from_within, WITHIN, "GRE")):
        wf.connect(node, "out", save_transform(run, settings, f"save_{node.name}", start, end), "transforms")
