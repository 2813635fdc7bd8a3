"""Brain extraction and the masks of the reconstruction."""

from __future__ import annotations

from pathlib import Path

from nipype.interfaces.base import Directory, File, TraitedSpec, traits

from .base import InputSpec, StageInterface, load, load_mask, voxel_size_of


class ExtractBrainInput(InputSpec):
    in_file = File(exists=True, mandatory=True)
    seed = traits.Int(0, usedefault=True)


class ExtractBrainOutput(TraitedSpec):
    mask = File(exists=True)
    transforms = Directory(exists=True, desc="the registration it rests on, for `Normalize` to go on from")


class ExtractBrain(StageInterface):
    """Brain mask of a whole head (T1w or magnitude), by registration of the template."""

    input_spec, output_spec = ExtractBrainInput, ExtractBrainOutput

    def _run_interface(self, runtime):
        from ..mask.brain import extract_brain

        mask, transforms = Path(self._out(runtime, "mask")), Path(self._out(runtime, "transforms", ""))
        extract_brain(Path(self.inputs.in_file), mask, seed=self.inputs.seed, transforms_dir=transforms)
        return runtime


class ExtractByProgramInput(InputSpec):
    in_file = File(exists=True, mandatory=True)
    method = traits.Enum("deepbet", "synthstrip", mandatory=True)
    program = traits.Str(desc="path of SynthStrip")


class MaskOutput(TraitedSpec):
    mask = File(exists=True)


class ExtractByProgram(StageInterface):
    """Brain mask of a whole head, by a program that is not part of qsmprep."""

    input_spec, output_spec = ExtractByProgramInput, MaskOutput

    def _run_interface(self, runtime):
        from ..mask.extract import extract_by_program

        given = self.inputs
        mask = Path(self._out(runtime, "mask"))
        extract_by_program(Path(given.in_file), mask, given.method, program=given.program or None)
        return runtime


class TakeMaskInput(InputSpec):
    in_file = File(exists=True, mandatory=True, desc="mask whose axes may be permuted and flipped")
    like = File(exists=True, mandatory=True, desc="image whose grid it is to have")


class TakeMask(StageInterface):
    """A mask that is there already, with its voxels in the order of an image's."""

    input_spec, output_spec = TakeMaskInput, MaskOutput

    def _run_interface(self, runtime):
        from ..mask.extract import mask_on_grid

        self._save(runtime, "mask", mask_on_grid(Path(self.inputs.in_file), Path(self.inputs.like)), self.inputs.like)
        return runtime


class QsmMaskInput(InputSpec):
    brain_mask = File(exists=True, desc="where it is not set, phase quality and magnitude alone find the mask")
    quality = File(exists=True, mandatory=True)
    magnitude = File(exists=True, desc="(x, y, z)")
    trust_magnitude = traits.Bool(True, usedefault=True, desc="False where the run has no magnitude")
    keep = traits.Bool(False, usedefault=True, desc="the brain mask was made by a person: it is taken as it is")
    earlier = traits.Dict(usedefault=True, desc="for the sidecar: what earlier stages recorded")
    params = traits.Dict(usedefault=True)


class QsmMaskOutput(TraitedSpec):
    brain_mask = File(exists=True)
    qsm_mask = File(exists=True)
    record = traits.Dict(desc="for the sidecar: what was done to the masks")
    meta = traits.Dict(desc="the same, and what earlier stages recorded")


class QsmMask(StageInterface):
    """The brain, and the part of it whose phase can be used."""

    input_spec, output_spec = QsmMaskInput, QsmMaskOutput

    def _run_interface(self, runtime):
        from ..mask.settle import settle_masks

        given = self.inputs
        magnitude = load(given.magnitude) if given.trust_magnitude else None
        brain, quality, size = load_mask(given.brain_mask), load(given.quality), voxel_size_of(given.quality)
        found = settle_masks(brain, quality, size, magnitude, keep=given.keep, **given.params)
        self._save(runtime, "brain_mask", found.brain, given.quality)
        self._save(runtime, "qsm_mask", found.qsm, given.quality)
        self._results["record"] = {"MaskFallback": found.fallback, "MaskActions": list(found.actions)}
        self._results["meta"] = dict(given.earlier) | self._results["record"]
        return runtime


class ScoreMaskInput(InputSpec):
    brain_mask = File(exists=True, mandatory=True)
    qsm_mask = File(exists=True, mandatory=True, desc="before background removal")
    quality = File(exists=True, mandatory=True)
    magnitude = File(exists=True, desc="(x, y, z)")
    record = traits.Dict(mandatory=True, desc="of `QsmMask`")
    params = traits.Dict(usedefault=True)


class NumbersOutput(TraitedSpec):
    numbers = File(exists=True, desc="JSON")


class ScoreMask(StageInterface):
    """Numbers that say how good the masks are."""

    input_spec, output_spec = ScoreMaskInput, NumbersOutput

    def _run_interface(self, runtime):
        from ..bids.derivatives import write_json
        from ..mask.score import mask_score

        given = self.inputs
        numbers = mask_score(
            load_mask(given.brain_mask), load_mask(given.qsm_mask), load(given.quality), voxel_size_of(given.quality),
            load(given.magnitude), **given.params,
        )  # fmt: skip
        numbers["mask_fallback"] = float(given.record["MaskFallback"])
        write_json(self._out(runtime, "numbers", ".json"), numbers)
        return runtime


class CompareBrainInput(InputSpec):
    in_file = File(exists=True, mandatory=True, desc="magnitude of the gradient echo")
    brain_mask = File(exists=True, mandatory=True, desc="on the same grid, found in another way")
    seed = traits.Int(0, usedefault=True)


class CompareBrain(StageInterface):
    """Agreement of a brain mask with a rough one that is found on the gradient echo itself."""

    input_spec, output_spec = CompareBrainInput, NumbersOutput

    def _run_interface(self, runtime):
        from ..bids.derivatives import write_json
        from ..mask.brain import quick_brain
        from ..space.quality import dice

        given, numbers = self.inputs, {}
        other = Path(runtime.cwd) / "other.nii"
        try:
            quick_brain(Path(given.in_file), other, seed=given.seed)
            numbers["mask_agreement_dice"] = dice(load_mask(given.brain_mask), load_mask(other))
        except (ValueError, RuntimeError):  # a second opinion that cannot be had stops no run
            numbers = {}
        write_json(self._out(runtime, "numbers", ".json"), numbers)
        return runtime


class LeakageInput(InputSpec):
    brain_mask = File(exists=True, mandatory=True)
    template_brain = File(exists=True, mandatory=True, desc="the template's brain on the same grid")


class Leakage(StageInterface):
    """How much of a brain mask lies beyond the template's brain."""

    input_spec, output_spec = LeakageInput, NumbersOutput

    def _run_interface(self, runtime):
        from ..bids.derivatives import write_json
        from ..mask.score import beyond_template

        brain, template = (load_mask(path) for path in (self.inputs.brain_mask, self.inputs.template_brain))
        share = beyond_template(brain, template, voxel_size_of(self.inputs.brain_mask)) if template.any() else 1.0
        write_json(self._out(runtime, "numbers", ".json"), {"mask_beyond_template_fraction": share})
        return runtime


class CsfMaskInput(InputSpec):
    priors = File(exists=True, mandatory=True, desc="of the references, on the same grid")
    brain_mask = File(exists=True, mandatory=True)
    r2star = File(exists=True, mandatory=True)


class CsfMaskOutput(TraitedSpec):
    mask = File(exists=True)


class CsfMask(StageInterface):
    """Ventricular CSF: where R2* is low within the prior."""

    input_spec, output_spec = CsfMaskInput, CsfMaskOutput

    def _run_interface(self, runtime):
        from ..mask.refine import csf_mask
        from ..space.priors import CSF

        given = self.inputs
        mask = csf_mask(load(given.r2star), load_mask(given.brain_mask), load(given.priors) == CSF)
        self._save(runtime, "mask", mask, given.r2star)
        return runtime


class ReferencePriorsInput(InputSpec):
    region = traits.List(traits.Str, desc="atlas and name of a region that is asked for as reference")


class ReferencePriorsOutput(TraitedSpec):
    priors = File(exists=True, desc="in template space: ventricles, white matter, the region asked for")


class ReferencePriors(StageInterface):
    """Where to look for references, in template space."""

    input_spec, output_spec = ReferencePriorsInput, ReferencePriorsOutput

    def _run_interface(self, runtime):
        from ..space.priors import reference_priors

        region = self.inputs.region
        priors, like = reference_priors((region[0], region[1]) if region else None)
        self._save(runtime, "priors", priors, like)
        return runtime
