"""Brain extraction and the masks of the reconstruction."""

from __future__ import annotations

from pathlib import Path

from nipype.interfaces.base import Directory, File, TraitedSpec, traits

from .base import InputSpec, StageInterface, load, load_mask


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


class QsmMaskInput(InputSpec):
    brain_mask = File(exists=True, desc="where it is not set, phase quality and magnitude alone find the mask")
    quality = File(exists=True, mandatory=True)
    magnitude = File(exists=True, desc="(x, y, z)")
    trust_magnitude = traits.Bool(True, usedefault=True, desc="False where the run has no magnitude")
    params = traits.Dict(usedefault=True)


class QsmMaskOutput(TraitedSpec):
    brain_mask = File(exists=True)
    qsm_mask = File(exists=True)


class QsmMask(StageInterface):
    """The part of the brain whose phase can be used."""

    input_spec, output_spec = QsmMaskInput, QsmMaskOutput

    def _run_interface(self, runtime):
        from ..mask.refine import qsm_mask, quality_only_mask

        given = self.inputs
        quality, brain = load(given.quality), load_mask(given.brain_mask)
        if brain is None:
            brain = quality_only_mask(quality, load(given.magnitude) if given.trust_magnitude else None)
        self._save(runtime, "brain_mask", brain, given.quality)
        self._save(runtime, "qsm_mask", qsm_mask(brain, quality, **given.params), given.quality)
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
