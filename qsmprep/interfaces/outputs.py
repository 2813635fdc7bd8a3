"""Results into the output dataset: atomic, with sidecars, and again whenever they are missing there."""

from __future__ import annotations

import json
from functools import reduce
from operator import or_
from pathlib import Path

from nipype.interfaces.base import File, TraitedSpec, isdefined, traits

from .base import InputSpec, StageInterface, affine_of


class SaveInput(InputSpec):
    in_file = File(exists=True, mandatory=True)
    out_path = traits.Str(mandatory=True, desc="where it goes in the output dataset")
    sidecar = traits.Dict(desc="JSON written beside it")
    meta = traits.Dict(desc="further keys of the sidecar, found by the stage that made the file")
    counted_meta = traits.Dict(desc="and by the one that left voxels out of it")


class SaveOutput(TraitedSpec):
    out_file = File(exists=True)


class _Save(StageInterface):
    # Nipype trusts its cache; but a user may have removed the output folder and kept the working directory
    _always_run = True
    input_spec, output_spec = SaveInput, SaveOutput

    def _run_interface(self, runtime):
        given = self.inputs
        found = [dict(told) for told in (given.meta, given.counted_meta) if isdefined(told)]
        sidecar = reduce(or_, [*found, self._found()], dict(given.sidecar or {}))
        if not _is_current(Path(given.out_path), Path(given.in_file), sidecar):
            self._write(Path(given.out_path), sidecar)
        self._results["out_file"] = given.out_path
        return runtime

    def _found(self) -> dict:
        """What the file itself adds to the sidecar."""
        return {}


def _is_current(target: Path, source: Path, sidecar: dict) -> bool:
    """Whether `target` was made from this `source`, with these metadata."""
    from ..bids.derivatives import sidecar_path

    if not target.is_file() or target.stat().st_mtime_ns < source.stat().st_mtime_ns:
        return False
    beside = sidecar_path(target)
    if not sidecar:
        return True
    return beside.is_file() and json.loads(beside.read_text(encoding="utf-8")) == json.loads(json.dumps(sidecar))


class SaveMapInput(SaveInput):
    scale = traits.Float(1.0, usedefault=True, desc="factor from the working unit to the file's")
    dtype = traits.Enum("float32", "uint8", "int16", usedefault=True)
    like = File(exists=True, desc="image whose header codes are kept")


class SaveMap(_Save):
    """Write a working image as a derivative; what is infinite becomes NaN."""

    input_spec = SaveMapInput

    def _write(self, target, sidecar):
        import nibabel as nb
        import numpy as np

        from ..bids.derivatives import write_image

        given = self.inputs
        data = np.asanyarray(nb.load(given.in_file).dataobj)
        data = data * np.float32(given.scale) if given.scale != 1 else data
        if np.isinf(data).any():  # viewers, statistics and other programs know NaN as what has no value
            data = np.where(np.isinf(data), np.float32(np.nan), data)
        like = given.like if isdefined(given.like) else None
        write_image(target, data.astype(given.dtype), affine_of(given.in_file), sidecar, like=like)


class SaveMaskInput(SaveMapInput):
    keep_image = traits.Bool(False, usedefault=True, desc="the user put the image there: write its sidecar only")


class SaveMask(SaveMap):
    """Write a mask and, in its sidecar, the checksum by which one that a user puts in its place is known."""

    input_spec = SaveMaskInput

    def _found(self) -> dict:
        import nibabel as nb
        import numpy as np

        from ..bids.masks import CHECKSUM_KEY, REPLACED_KEY, voxel_checksum

        checksum = {CHECKSUM_KEY: voxel_checksum(np.asanyarray(nb.load(self.inputs.in_file).dataobj))}
        return checksum | ({REPLACED_KEY: True} if self.inputs.keep_image else {})

    def _write(self, target, sidecar):
        from ..bids.derivatives import sidecar_path, write_json

        if self.inputs.keep_image:
            write_json(sidecar_path(target), sidecar)
        else:
            super()._write(target, sidecar)


class SaveFile(_Save):
    """Copy a finished file as a derivative."""

    def _write(self, target, sidecar):
        from ..bids.derivatives import atomic_write_bytes, sidecar_path, write_json

        if sidecar:
            write_json(sidecar_path(target), sidecar)
        atomic_write_bytes(target, Path(self.inputs.in_file).read_bytes())


class CheckConsensusInput(InputSpec):
    settings = traits.Dict(mandatory=True, desc="as `Settings.to_dict` gives them")
    run = traits.Dict(mandatory=True, desc="entry of the plan")
    meta = traits.Dict(mandatory=True, desc="what the stages recorded")


class CheckConsensusOutput(TraitedSpec):
    meta = traits.Dict(desc="the same, and how far it follows the consensus")


class CheckConsensus(StageInterface):
    """How far a run follows the consensus recommendations, once its data have decided what they decide."""

    input_spec, output_spec = CheckConsensusInput, CheckConsensusOutput

    def _run_interface(self, runtime):
        from ..report.consensus import consensus_record

        given = self.inputs
        self._results["meta"] = {**given.meta, "Consensus": consensus_record(given.settings, given.run, given.meta)}
        return runtime


class WriteJsonInput(InputSpec):
    content = traits.Dict(mandatory=True)


class WriteJsonOutput(TraitedSpec):
    out_file = File(exists=True)


class WriteJson(StageInterface):
    """A dictionary as a JSON file in the working directory."""

    input_spec, output_spec = WriteJsonInput, WriteJsonOutput

    def _run_interface(self, runtime):
        Path(self._out(runtime, "out_file", ".json")).write_text(json.dumps(self.inputs.content, indent=2))
        return runtime
