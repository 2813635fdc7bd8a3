"""Registration and resampling."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from nipype.interfaces.base import Directory, File, InputMultiObject, OutputMultiObject, TraitedSpec, traits

from .base import InputSpec, StageInterface, load, load_mask, voxel_size_of


class NormalizeInput(InputSpec):
    in_file = File(exists=True, mandatory=True, desc="whole head")
    mask = File(exists=True, mandatory=True, desc="its brain mask")
    start = Directory(exists=True, desc="what the brain extraction found, to go on from")
    seed = traits.Int(0, usedefault=True)


class NormalizeOutput(TraitedSpec):
    to_template = OutputMultiObject(File(exists=True), desc="transforms that bring the image to the template")
    from_template = OutputMultiObject(File(exists=True), desc="transforms that bring the template to the image")
    agreement = File(exists=True, desc="JSON: numbers on the registration")


class Normalize(StageInterface):
    """Register a head to the template."""

    input_spec, output_spec = NormalizeInput, NormalizeOutput

    def _run_interface(self, runtime):
        from ..bids.derivatives import write_json
        from ..space.agreement import template_agreement
        from ..space.registration import normalize

        given = self.inputs
        start = Path(given.start) if given.start else None
        found = normalize(Path(given.in_file), Path(given.mask), Path(runtime.cwd), start=start, seed=given.seed)
        self._results["to_template"] = [str(path) for path in found.forward]
        self._results["from_template"] = [str(path) for path in found.inverse]
        write_json(self._out(runtime, "agreement", ".json"), template_agreement(Path(given.mask), found.forward))
        return runtime


class TakeRegistrationInput(InputSpec):
    in_file = File(exists=True, mandatory=True, desc="whole head")
    mask = File(exists=True, mandatory=True, desc="its brain mask")
    to_template = File(exists=True, mandatory=True, desc="transform that brings the image to the template")
    from_template = File(exists=True, mandatory=True, desc="transform that brings the template to the image")


class TakeRegistration(StageInterface):
    """A registration to the template that another program has made."""

    input_spec, output_spec = TakeRegistrationInput, NormalizeOutput

    def _run_interface(self, runtime):
        from ..bids.derivatives import write_json
        from ..space.agreement import template_agreement
        from ..space.registration import take

        given = self.inputs
        found = take(Path(given.to_template), Path(given.from_template), Path(given.in_file), Path(runtime.cwd))
        self._results["to_template"] = [str(path) for path in found.forward]
        self._results["from_template"] = [str(path) for path in found.inverse]
        write_json(self._out(runtime, "agreement", ".json"), template_agreement(Path(given.mask), found.forward))
        return runtime


class RigidInput(InputSpec):
    moving = File(exists=True, mandatory=True)
    fixed = File(exists=True, mandatory=True)
    fixed_mask = File(exists=True, mandatory=True, desc="brain mask of `fixed`: where the two are matched")
    seed = traits.Int(0, usedefault=True)


class RigidOutput(TraitedSpec):
    forward = OutputMultiObject(File(exists=True), desc="transforms that bring `moving` to `fixed`")
    inverse = OutputMultiObject(File(exists=True), desc="transforms that bring `fixed` to `moving`")
    agreement = File(exists=True, desc="JSON: numbers on the registration")


class RegisterRigid(StageInterface):
    """Rigid registration of two images of one head."""

    input_spec, output_spec = RigidInput, RigidOutput

    def _run_interface(self, runtime):
        from ..bids.derivatives import write_json
        from ..space.agreement import coregistration_agreement
        from ..space.registration import rigid

        given = self.inputs
        moving, fixed = Path(given.moving), Path(given.fixed)
        mask = Path(given.fixed_mask)
        found = rigid(moving, fixed, Path(runtime.cwd), fixed_mask=mask, seed=given.seed)
        self._results["forward"] = [str(path) for path in found.forward]
        self._results["inverse"] = [str(path) for path in found.inverse]
        agreement = coregistration_agreement(moving, fixed, mask, found.forward)
        write_json(self._out(runtime, "agreement", ".json"), agreement)
        return runtime


class RefineInput(InputSpec):
    chi = File(exists=True, mandatory=True, desc="[ppm]")
    from_template = InputMultiObject(File(exists=True), mandatory=True, desc="transforms, template to χ's grid")
    to_template = InputMultiObject(File(exists=True), mandatory=True, desc="and back")
    t1w = File(exists=True, desc="the person's T1w")
    t1w_to_image = InputMultiObject(File(exists=True), desc="transforms, T1w to χ's grid")
    seed = traits.Int(0, usedefault=True)


class RefineNuclei(StageInterface):
    """Match the template's deep nuclei to χ, and lengthen the chains by what is found."""

    input_spec, output_spec = RefineInput, NormalizeOutput

    def _run_interface(self, runtime):
        from ..bids.derivatives import write_json
        from ..space.multicontrast import refine_nuclei

        given = self.inputs
        t1w = Path(given.t1w) if given.t1w else None
        found = refine_nuclei(
            Path(given.chi), [Path(p) for p in given.from_template], Path(runtime.cwd), t1w=t1w,
            t1w_to_image=[Path(p) for p in given.t1w_to_image or []], seed=given.seed,
        )  # fmt: skip
        self._results["from_template"] = [*map(str, found.from_template), *given.from_template]
        self._results["to_template"] = [*given.to_template, *map(str, found.to_template)]
        numbers = {} if np.isnan(found.shift_mm) else {"nuclei_shift_mm": found.shift_mm}
        write_json(self._out(runtime, "agreement", ".json"), numbers)
        return runtime


class ResampleInput(InputSpec):
    in_file = File(exists=True, mandatory=True)
    reference = File(exists=True, mandatory=True, desc="image whose grid is the result's")
    transforms = InputMultiObject(File(exists=True), desc="in the order in which points of `reference` go through them")
    interpolation = traits.Enum("linear", "label", usedefault=True)


class ResampleOutput(TraitedSpec):
    out_file = File(exists=True)


class Resample(StageInterface):
    """Bring an image to another grid, in one interpolation."""

    input_spec, output_spec = ResampleInput, ResampleOutput

    def _run_interface(self, runtime):
        from ..space.resample import apply

        given = self.inputs
        transforms = [Path(path) for path in given.transforms or []]
        out = Path(self._out(runtime, "out_file"))
        apply(Path(given.in_file), Path(given.reference), transforms, out, interpolation=given.interpolation)
        return runtime


class SaveTransformInput(InputSpec):
    transforms = InputMultiObject(File(exists=True), mandatory=True)
    out_path = traits.Str(mandatory=True)


class SaveTransformOutput(TraitedSpec):
    out_file = File(exists=True)


class SaveTransform(StageInterface):
    """Write a chain of transforms as one composite file into the output dataset."""

    _always_run = True
    input_spec, output_spec = SaveTransformInput, SaveTransformOutput

    def _run_interface(self, runtime):
        from ..space.composite import write_composite

        given = self.inputs
        target, sources = Path(given.out_path), [Path(path) for path in given.transforms]
        newest = max(path.stat().st_mtime_ns for path in sources)
        if not target.is_file() or target.stat().st_mtime_ns < newest:
            write_composite(sources, target)
        self._results["out_file"] = given.out_path
        return runtime


class RefineDentateInput(InputSpec):
    labels = File(exists=True, mandatory=True, desc="with the prior, on the grid of χ")
    sides = traits.Dict(mandatory=True, desc="hemisphere -> value of the prior")
    mask = File(exists=True, mandatory=True, desc="where χ is valid")
    chi = File(exists=True, mandatory=True, desc="[ppm]")
    r2star = File(exists=True, desc="[1/s]")


class RefineDentateOutput(TraitedSpec):
    labels = File(exists=True)
    refined = traits.Dict(desc="value of a label -> whether χ could tell its border")
    meta = traits.Dict(desc="what happened, for the sidecars")


class RefineDentate(StageInterface):
    """Put the dentate nucleus where χ shows it."""

    input_spec, output_spec = RefineDentateInput, RefineDentateOutput

    def _run_interface(self, runtime):
        from ..space.dentate import refine_dentate

        given = self.inputs
        labels, record = refine_dentate(
            load(given.labels, "int32"), given.sides, load(given.chi), load_mask(given.mask),
            voxel_size_of(given.labels), r2star=load(given.r2star),
        )  # fmt: skip
        self._save(runtime, "labels", labels.astype("int16"), given.labels)
        self._results["refined"] = {given.sides[side]: told["Method"] == "chi" for side, told in record.items()}
        self._results["meta"] = {"LabelRefinement": {"dentate": record}}
        return runtime


class GreyMatterInput(InputSpec):
    in_file = File(exists=True, mandatory=True, desc="T1w, or any image that has the wanted grid")
    mask = File(exists=True, mandatory=True, desc="its brain mask")
    from_template = InputMultiObject(File(exists=True), mandatory=True, desc="transforms, template to the image")
    segment = traits.Bool(True, usedefault=True, desc="False: the template's tissues as they are")


class GreyMatter(StageInterface):
    """Fraction of grey matter in each voxel."""

    input_spec, output_spec = GreyMatterInput, ResampleOutput

    def _run_interface(self, runtime):
        from ..space.tissue import grey_matter

        given = self.inputs
        transforms = [Path(path) for path in given.from_template]
        out = Path(self._out(runtime, "out_file"))
        grey_matter(Path(given.in_file), Path(given.mask), transforms, out, segment=given.segment)
        return runtime


class TemplatePositionsInput(InputSpec):
    reference = File(exists=True, mandatory=True, desc="image whose grid is the result's")
    template = File(exists=True, mandatory=True, desc="image of the space that the positions are in")
    transforms = InputMultiObject(File(exists=True), desc="in the order in which points of `reference` go through them")


class TemplatePositions(StageInterface):
    """Where in template space each voxel of a grid lies."""

    input_spec, output_spec = TemplatePositionsInput, ResampleOutput

    def _run_interface(self, runtime):
        from ..space.resample import positions

        given = self.inputs
        transforms = [Path(path) for path in given.transforms or []]
        out = Path(self._out(runtime, "out_file"))
        positions(Path(given.reference), Path(given.template), transforms, out)
        return runtime
