"""From echoes to χ and R2*: one thin interface a stage of `qsmprep.qsm`."""

from __future__ import annotations

from typing import Any

import numpy as np
from nipype.interfaces.base import File, InputMultiObject, TraitedSpec, traits

from .base import InputSpec, StageInterface, load, load_mask, voxel_size_of
from .echoes import EchoReader


class ReadEchoesInput(InputSpec):
    te = traits.List(traits.Float, mandatory=True, desc="echo times [s], ascending")
    magnitude = InputMultiObject(
        File(exists=True), desc="magnitude of each echo; of each coil of the first, the second ..."
    )
    phase = InputMultiObject(File(exists=True), desc="phase, in the same order")
    real = InputMultiObject(File(exists=True), desc="real part, in the same order")
    imag = InputMultiObject(File(exists=True), desc="imaginary part, in the same order")
    volumes = traits.List(traits.Int, desc="index of each image in all axes beyond the third; -1 in 3-D files")
    scaling = traits.Dict(desc="fields of PhaseScaling: how stored values become radians")
    phase_sign = traits.Enum(1, -1, usedefault=True)
    alternating_axis = traits.Enum(None, 0, 1, 2, usedefault=True, desc="axis where every second slice has π added")
    n_coils = traits.Int(0, usedefault=True, desc="coils to combine; 0 where the scanner has done it")
    bipolar = traits.Enum(False, True, None, usedefault=True, desc="None: the data decide")
    echo_numbers = traits.List(traits.Int, desc="places of the echoes in the echo train")
    params = traits.Dict(usedefault=True, desc="further keyword arguments of `combine_coils`")


class ReadEchoesOutput(TraitedSpec):
    magnitude = File(desc="(x, y, z, echo); not set where the run has none")
    phase = File(exists=True, desc="(x, y, z, echo) [rad]")
    reference = File(exists=True, desc="one 3-D image for masks and registration: the first echo's magnitude")
    meta = traits.Dict(desc="for the sidecar: what was done to combine coils and slices")


class ReadEchoes(StageInterface):
    """Read a run's echoes as magnitude and phase in radians, coils combined."""

    input_spec, output_spec = ReadEchoesInput, ReadEchoesOutput

    def _run_interface(self, runtime):
        from ..qsm.combine import combine_coils

        given = self.inputs
        like = (given.phase or given.real)[0]
        read = EchoReader(given, runtime.cwd)
        meta = {} if given.alternating_axis is None else {"AlternatingSlicesAxis": given.alternating_axis}
        if given.n_coils:
            magnitude, phase, record = combine_coils(
                read, given.n_coils, tuple(given.te), voxel_size_of(like),
                bipolar=given.bipolar, echo_numbers=given.echo_numbers or None, **given.params,
            )  # fmt: skip
            meta["CoilCombination"] = record
        else:
            magnitude, phase = read(0)
        read.close()
        self._save(runtime, "phase", phase, like)
        if magnitude is not None:
            self._save(runtime, "magnitude", magnitude, like)
        # the first echo: its contrast is nearest to a T1w, and what later echoes lose next to air it still has
        shown = magnitude[..., 0] if magnitude is not None else np.ones(phase.shape[:3], np.float32)
        self._save(runtime, "reference", shown, like)
        self._results["meta"] = meta
        return runtime


class QualityInput(InputSpec):
    phase = File(exists=True, mandatory=True)
    magnitude = File(exists=True)
    te = traits.List(traits.Float, mandatory=True)


class QualityOutput(TraitedSpec):
    quality = File(exists=True, desc="0 (noise) to 1")


class PhaseQuality(StageInterface):
    """How far the phase of each voxel can be trusted."""

    input_spec, output_spec = QualityInput, QualityOutput

    def _run_interface(self, runtime):
        from ..qsm.unwrap import voxel_quality

        quality = voxel_quality(load(self.inputs.phase), load(self.inputs.magnitude), tuple(self.inputs.te))
        self._save(runtime, "quality", quality, self.inputs.phase)
        return runtime


class FieldInput(InputSpec):
    phase = File(exists=True, mandatory=True)
    magnitude = File(exists=True)
    mask = File(exists=True, mandatory=True)
    te = traits.List(traits.Float, mandatory=True)


class OffsetInput(FieldInput):
    bipolar = traits.Enum(False, True, None, usedefault=True, desc="None: the data decide")
    echo_numbers = traits.List(traits.Int, desc="places of the echoes in the echo train")
    params = traits.Dict(usedefault=True, desc="further keyword arguments of `mcpc3ds`")
    earlier = traits.Dict(usedefault=True, desc="what earlier stages recorded for the sidecar")


class OffsetOutput(TraitedSpec):
    phase = File(exists=True, desc="phase without the offset [rad]")
    removed = traits.Bool(desc="False for a single echo, whose offset cannot be told from its field")
    meta = traits.Dict(desc="for the sidecar: what was removed, and how")


class RemovePhaseOffset(StageInterface):
    """MCPC-3D-S."""

    input_spec, output_spec = OffsetInput, OffsetOutput

    def _run_interface(self, runtime):
        from ..qsm.combine import mcpc3ds

        given = self.inputs
        combined = mcpc3ds(
            load(given.phase), load(given.magnitude), tuple(given.te), load_mask(given.mask),
            voxel_size_of(given.phase), bipolar=given.bipolar, echo_numbers=given.echo_numbers or None, **given.params,
        )  # fmt: skip
        self._save(runtime, "phase", combined.phase, given.phase)
        self._results["removed"] = combined.offset is not None
        self._results["meta"] = {**given.earlier, "PhaseOffsetRemoval": combined.record}
        return runtime


class UnwrapInput(FieldInput):
    method = traits.Str("romeo", usedefault=True)
    params = traits.Dict(usedefault=True, desc="keyword arguments of the algorithm")


class UnwrapOutput(TraitedSpec):
    phase = File(exists=True, desc="unwrapped [rad]")


class Unwrap(StageInterface):
    """Phase unwrapping of every echo."""

    input_spec, output_spec = UnwrapInput, UnwrapOutput

    def _run_interface(self, runtime):
        from ..qsm.unwrap import unwrap

        given = self.inputs
        unwrapped = unwrap(
            load(given.phase), load(given.magnitude), load_mask(given.mask), tuple(given.te),
            voxel_size_of(given.phase), method=given.method, **given.params,
        )  # fmt: skip
        self._save(runtime, "phase", unwrapped, given.phase)
        return runtime


class FitFieldInput(FieldInput):
    b0 = traits.Float(mandatory=True, desc="[T]")
    method = traits.Str(mandatory=True)
    params = traits.Dict(usedefault=True, desc="keyword arguments of the algorithm")


class FitFieldOutput(TraitedSpec):
    field = File(exists=True, desc="[ppm]")
    residual = File(exists=True, desc="[rad]")
    noise = File(exists=True, desc="[ppm]; infinite where the field is not to be trusted")


class FitField(StageInterface):
    """Total field from the unwrapped echoes."""

    input_spec, output_spec = FitFieldInput, FitFieldOutput

    def _run_interface(self, runtime):
        from ..qsm.fieldmap import map_field

        given = self.inputs
        fit = map_field(
            load(given.phase), load(given.magnitude), load_mask(given.mask), tuple(given.te), given.b0,
            voxel_size_of(given.phase), method=given.method, **given.params,
        )  # fmt: skip
        for name in ("field", "residual", "noise"):
            self._save(runtime, name, getattr(fit, name), given.phase)
        return runtime


class StageInput(InputSpec):
    mask = File(exists=True, mandatory=True)
    method = traits.Str(mandatory=True)
    params = traits.Dict(usedefault=True, desc="keyword arguments of the algorithm")
    b0_dir = traits.Tuple(traits.Float, traits.Float, traits.Float, desc="unit vector in voxel axes")


class BackgroundInput(StageInput):
    field = File(exists=True, mandatory=True, desc="total field [ppm]")
    noise = File(exists=True, desc="of the field [ppm]")


class BackgroundOutput(TraitedSpec):
    field = File(exists=True, desc="local field [ppm]")
    mask = File(exists=True, desc="where the local field is valid")


class RemoveBackground(StageInterface):
    """Local field from the total field."""

    input_spec, output_spec = BackgroundInput, BackgroundOutput

    def _run_interface(self, runtime):
        from ..qsm.background import remove_background

        given = self.inputs
        local, valid = remove_background(
            load(given.field), load_mask(given.mask), voxel_size_of(given.field), given.b0_dir,
            method=given.method, noise=load(given.noise), **given.params,
        )  # fmt: skip
        self._save(runtime, "field", local, given.field)
        self._save(runtime, "mask", valid, given.field)
        return runtime


class InvertInput(StageInput):
    field = File(exists=True, mandatory=True, desc="local field [ppm]; the total one of a single-step method")
    noise = File(exists=True, desc="of the field [ppm]")
    magnitude = File(exists=True, desc="(x, y, z, echo)")
    csf = File(exists=True, desc="ventricular CSF, for MEDI+0")
    quality = File(exists=True, desc="phase quality, 0 to 1; where it is set, two passes are made")
    twopass = traits.Dict(usedefault=True, desc="keyword arguments of `two_pass`")
    te = traits.List(traits.Float, mandatory=True, desc="[s]")
    b0 = traits.Float(mandatory=True, desc="[T]")


class InvertOutput(TraitedSpec):
    chi = File(exists=True, desc="[ppm]")
    meta = traits.Dict(desc="for the sidecar: noise and echo time that the inversion went by")


class InvertDipole(StageInterface):
    """χ from the local field."""

    input_spec, output_spec = InvertInput, InvertOutput

    def _run_interface(self, runtime):
        from ..qsm.inversion import invert

        chi, self._results["meta"] = _chi(self.inputs, invert)
        self._save(runtime, "chi", chi, self.inputs.field)
        return runtime


class SingleStepOutput(InvertOutput):
    field = File(exists=True, desc="local field [ppm]: that of χ")
    mask = File(exists=True, desc="where χ is valid")


class ReconstructChi(StageInterface):
    """χ from the total field at once."""

    input_spec, output_spec = InvertInput, SingleStepOutput

    def _run_interface(self, runtime):
        from ..qsm.singlestep import reconstruct

        local = []

        def invert(*args, **keywords):
            chi, field = reconstruct(*args, **keywords)
            local.append(field)
            return chi

        chi, self._results["meta"] = _chi(self.inputs, invert, single_step=True)
        for name, volume in (("chi", chi), ("field", local[-1]), ("mask", chi != 0)):
            self._save(runtime, name, volume, self.inputs.field)
        return runtime


def _chi(given, invert, *, single_step=False):
    """χ by `invert`, in one pass or two; and what it went by, for the sidecar."""
    from ..qsm._weights import inversion_noise
    from ..qsm.phase import phase_per_ppm

    magnitude, mask, noise = load(given.magnitude), load_mask(given.mask), load(given.noise)
    per_ppm = phase_per_ppm(given.te, given.b0, magnitude, mask)
    keywords = {
        "method": given.method,
        "noise": noise,
        "magnitude": magnitude,
        "phase_per_ppm": per_ppm,
        **({"csf": load_mask(given.csf)} if given.csf else {}),
        **given.params,
    }
    field, geometry = load(given.field), (voxel_size_of(given.field), given.b0_dir)
    meta: dict[str, Any] = {"InversionNoise": inversion_noise(field, mask, noise), "PhasePerPpm": per_ppm}
    if given.quality:
        from ..qsm.twopass import two_pass

        chi = two_pass(
            lambda own, part: invert(own, part, *geometry, **keywords), field, mask, load(given.quality), *geometry,
            noise=noise, single_step=single_step, **given.twopass,
        )  # fmt: skip
        meta |= {"TwoPassParameters": dict(given.twopass)}
    else:
        chi = invert(field, mask, *geometry, **keywords)
    return chi, meta


class ReferenceInput(InputSpec):
    chi = File(exists=True, mandatory=True)
    mask = File(exists=True, mandatory=True, desc="where χ was computed")
    priors = File(exists=True, desc="of the references, on the same grid")
    r2star = File(exists=True, desc="[1/s]; tells CSF in the ventricles")
    method = traits.Str(mandatory=True, desc="brain, csf, wm, none or region:ATLAS.NAME")
    earlier = traits.Dict(usedefault=True, desc="what earlier stages recorded for the sidecar")
    inversion = traits.Dict(usedefault=True, desc="what the inversion recorded for it")


class ReferenceOutput(TraitedSpec):
    chi = File(exists=True)
    meta = traits.Dict(desc="for the sidecar: region, offset, SD [ppm], voxels; and those of every other reference")


class ReferenceChi(StageInterface):
    """Subtract the mean of the reference region; record it and those of all others."""

    input_spec, output_spec = ReferenceInput, ReferenceOutput

    def _run_interface(self, runtime):
        from ..errors import InputError
        from ..mask.refine import reference_regions
        from ..qsm.reference import reference_chi

        given = self.inputs
        chi, mask = load(given.chi), load_mask(given.mask)
        regions = reference_regions(mask, load(given.priors), load(given.r2star))
        found = {name: reference_chi(chi, region, mask) for name, region in regions.items()}
        name = given.method.partition(":")[0]
        if name != "none" and name not in found:
            raise InputError(
                f"--reference {given.method}: no voxel of it was found where χ is known. It needs a registration to "
                "the template, and csf R2* as well (two echoes with magnitude). Choose --reference brain or none."
            )
        used = found["brain" if name == "none" else name]
        self._save(runtime, "chi", chi if name == "none" else used.chi, given.chi)
        self._results["meta"] = {
            **given.earlier,
            **given.inversion,
            "ReferenceRegion": given.method,
            "ReferenceOffset": 0.0 if name == "none" else used.offset,
            "ReferenceStandardDeviation": used.sd,
            "ReferenceVoxels": used.n_voxels,
            # before any reference was subtracted: the difference of two offsets moves χ from one to the other
            "References": {
                key: {"Offset": one.offset, "StandardDeviation": one.sd, "Voxels": one.n_voxels}
                for key, one in found.items()
            },
        }
        return runtime


class RelaxInput(InputSpec):
    method = traits.Str(mandatory=True)
    params = traits.Dict(usedefault=True, desc="keyword arguments of the algorithm")
    magnitude = File(exists=True, mandatory=True)
    mask = File(exists=True, mandatory=True)
    te = traits.List(traits.Float, mandatory=True)


class RelaxOutput(TraitedSpec):
    r2star = File(exists=True, desc="[1/s]")
    t2star = File(exists=True, desc="[s]")
    s0 = File(exists=True)
    residual = File(exists=True, desc="root mean square over the echoes, in units of the magnitude")


class FitR2star(StageInterface):
    """R2*, T2*, S0 and the residual of their fit from the magnitudes."""

    input_spec, output_spec = RelaxInput, RelaxOutput

    def _run_interface(self, runtime):
        from ..qsm.relaxometry import fit_r2star

        given = self.inputs
        fit = fit_r2star(
            load(given.magnitude), tuple(given.te), load_mask(given.mask), method=given.method, **given.params
        )
        for name in ("r2star", "t2star", "s0", "residual"):
            self._save(runtime, name, getattr(fit, name), given.magnitude)
        return runtime
