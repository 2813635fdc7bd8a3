"""The within-subject template, and what is joined over visits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from nipype.interfaces.base import File, InputMultiObject, OutputMultiObject, TraitedSpec, traits

from .base import InputSpec, StageInterface, load


class BuildWithinInput(InputSpec):
    images = InputMultiObject(File(exists=True), mandatory=True, desc="whole heads of one contrast, one a visit")
    seed = traits.Int(0, usedefault=True)


class BuildWithinOutput(TraitedSpec):
    template = File(exists=True)
    forward = OutputMultiObject(File(exists=True), desc="for each visit the transform that brings it to the template")
    inverse = OutputMultiObject(File(exists=True), desc="for each visit the transform that brings the template to it")
    meta = traits.Dict(desc="for the sidecar")


class BuildWithin(StageInterface):
    """Build a within-subject template."""

    input_spec, output_spec = BuildWithinInput, BuildWithinOutput

    def _run_interface(self, runtime):
        from ..space.within import build_within

        found = build_within([Path(path) for path in self.inputs.images], Path(runtime.cwd), seed=self.inputs.seed)
        self._results["template"] = str(found.template)
        self._results["forward"] = [str(path) for path in found.forward]
        self._results["inverse"] = [str(path) for path in found.inverse]
        self._results["meta"] = {"DistanceFromVisitsMM": [round(mm, 3) for mm in found.moved_mm]}
        return runtime


class VoteMaskInput(InputSpec):
    masks = InputMultiObject(File(exists=True), mandatory=True, desc="brain masks, one a visit")
    transforms = InputMultiObject(File(exists=True), mandatory=True, desc="each brings a visit to the template")
    like = File(exists=True, mandatory=True, desc="the template")


class VoteMaskOutput(TraitedSpec):
    mask = File(exists=True)


class VoteMask(StageInterface):
    """Brain of the template: where at least half of the visits have it."""

    input_spec, output_spec = VoteMaskInput, VoteMaskOutput

    def _run_interface(self, runtime):
        from ..space.resample import apply

        given, like = self.inputs, Path(self.inputs.like)
        moved = [
            load(apply(Path(mask), like, [Path(way)], Path(runtime.cwd) / f"mask{number}.nii"))
            for number, (mask, way) in enumerate(zip(given.masks, given.transforms, strict=True))
        ]
        self._save(runtime, "mask", np.mean(moved, axis=0) >= 0.5, given.like)
        return runtime
