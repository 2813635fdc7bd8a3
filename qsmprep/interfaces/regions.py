"""Numbers per region, and the quality numbers of a run."""

from __future__ import annotations

import json
from pathlib import Path

from nipype.interfaces.base import File, InputMultiObject, TraitedSpec, traits

from .base import InputSpec, StageInterface, affine_of, load, load_mask, voxel_size_of


class CountedVoxelsInput(InputSpec):
    mask = File(exists=True, mandatory=True, desc="where χ is valid")
    chi = File(exists=True, mandatory=True, desc="[ppm]")
    r2star = File(exists=True, desc="[1/s]")
    noise = File(exists=True, desc="of the field [ppm], infinite where it is not to be trusted")
    veins = traits.Bool(False, usedefault=True, desc="whether veins are left out")
    gradients = traits.Bool(False, usedefault=True, desc="whether voxels with an untrusted field are left out")
    params = traits.Dict(usedefault=True, desc="keyword arguments of `veins`")


class CountedVoxelsOutput(TraitedSpec):
    counted = File(exists=True, desc="mask of the voxels that count")
    excluded = File(exists=True, desc="mask of those that were left out")
    meta = traits.Dict(desc="what was left out, for the sidecars")


class CountedVoxels(StageInterface):
    """Which voxels count in the numbers per region."""

    input_spec, output_spec = CountedVoxelsInput, CountedVoxelsOutput

    def _run_interface(self, runtime):
        from ..regions.exclusions import counted_voxels

        given = self.inputs
        mask = load_mask(given.mask)
        counted, record = counted_voxels(
            mask, load(given.chi), voxel_size_of(given.mask), r2star=load(given.r2star),
            noise=load(given.noise) if given.gradients else None, vein_parameters=given.params if given.veins else None,
        )  # fmt: skip
        self._save(runtime, "counted", counted, given.mask)
        self._save(runtime, "excluded", mask & ~counted, given.mask)
        self._results["meta"] = {"ExcludedVoxels": record}
        return runtime


class RegionsInput(InputSpec):
    labels = File(exists=True, mandatory=True)
    lookup = File(exists=True, mandatory=True, desc="TSV with index and name")
    mask = File(exists=True, mandatory=True, desc="where the maps are valid")
    counted = File(exists=True, desc="voxels that count; without it all of the mask do")
    erode_mm = traits.Float(0.0, usedefault=True, desc="rim of each region that does not count [mm]")
    chi = File(exists=True, mandatory=True, desc="[ppm]")

    def counts(self, labels, voxel_size):
        """Voxels that count in these regions; None for all."""
        from ..regions import inner_voxels

        counted = load_mask(self.counted)
        if self.erode_mm == 0:
            return counted
        inner = inner_voxels(labels, self.erode_mm, voxel_size)
        return inner if counted is None else inner & counted


class RegionTableInput(RegionsInput):
    r2star = File(exists=True, desc="[1/s]")
    noise = File(exists=True, desc="of the field [ppm], infinite where it is not to be trusted")
    atlas = File(exists=True, desc="label image on its own grid, for means over partial volumes")
    positions = File(exists=True, desc="place of each voxel in the atlas' space [mm]")
    refined = traits.Dict(desc="value of a label -> whether its border was found on χ")
    grey_matter = File(exists=True, desc="fraction of grey matter, for the means of cortical regions")
    freesurfer_stats = InputMultiObject(File(exists=True), desc="FreeSurfer's tables, for volumes and thickness")


class RegionTableOutput(TraitedSpec):
    table = File(exists=True)


class RegionTable(StageInterface):
    """Numbers per region: χ, R2*, size, surroundings."""

    input_spec, output_spec = RegionTableInput, RegionTableOutput

    def _run_interface(self, runtime):
        from ..bids.derivatives import write_table
        from ..regions import AtlasPlace, add_freesurfer, add_grey_matter, cortical_regions, read_labels, region_table

        given = self.inputs
        voxel_size, labels = voxel_size_of(given.labels), load(given.labels, "int32")
        maps = {"chi": load(given.chi), "r2star": load(given.r2star)}
        place = None
        if given.positions:
            place = AtlasPlace(load(given.atlas, "int32"), affine_of(given.atlas), load(given.positions))
        mask, counted = load_mask(given.mask), given.counts(labels, voxel_size)
        table = region_table(
            labels, read_labels(given.lookup), mask, voxel_size, maps, noise=load(given.noise),
            counted=counted, place=place, refined=given.refined or None,
        )  # fmt: skip
        if given.grey_matter:
            used, grey = mask if counted is None else mask & counted, load(given.grey_matter)
            table = add_grey_matter(table, cortical_regions(given.lookup), labels, used, maps["chi"], grey)
        if given.freesurfer_stats:
            table = add_freesurfer(table, given.lookup, [Path(path) for path in given.freesurfer_stats])
        write_table(self._out(runtime, "table", ".tsv"), table)
        return runtime


class AddNeighboursInput(InputSpec):
    tables = InputMultiObject(File(exists=True), mandatory=True, desc="regional tables of one run")
    names = traits.List(traits.Str, mandatory=True, desc="their segmentations")
    own = traits.Str(mandatory=True, desc="segmentation whose table is wanted")
    pairs = traits.List(traits.Str, desc="REGION=OTHER")


class AddNeighbours(StageInterface):
    """Each region against its neighbour, which may be in the table of another segmentation."""

    input_spec, output_spec = AddNeighboursInput, RegionTableOutput

    def _run_interface(self, runtime):
        from ..bids.derivatives import write_table
        from ..regions import add_neighbours, read_table

        given = self.inputs
        tables = {name: read_table(path) for name, path in zip(given.names, given.tables, strict=True)}
        write_table(self._out(runtime, "table", ".tsv"), add_neighbours(tables, given.own, given.pairs))
        return runtime


class TextureTableInput(RegionsInput):
    params = traits.Dict(usedefault=True, desc="keyword arguments of `texture_table`")


class TextureTable(StageInterface):
    """Texture of χ per region."""

    input_spec, output_spec = TextureTableInput, RegionTableOutput

    def _run_interface(self, runtime):
        from ..bids.derivatives import write_table
        from ..regions import read_labels, texture_table

        given = self.inputs
        voxel_size, labels, mask = voxel_size_of(given.labels), load(given.labels, "int32"), load_mask(given.mask)
        counted = given.counts(labels, voxel_size)
        mask = mask if counted is None else mask & counted
        table = texture_table(labels, read_labels(given.lookup), mask, voxel_size, load(given.chi), **given.params)
        write_table(self._out(runtime, "table", ".tsv"), table)
        return runtime


class RateMasksInput(InputSpec):
    numbers = InputMultiObject(File(exists=True), mandatory=True, desc="JSON files with numbers on masks")
    whole_brain = traits.Bool(True, usedefault=True)


class QualityNumbersOutput(TraitedSpec):
    iqms = File(exists=True)


class RateMasks(StageInterface):
    """Quality numbers and verdict of a run that ends with its masks."""

    input_spec, output_spec = RateMasksInput, QualityNumbersOutput

    def _run_interface(self, runtime):
        from ..bids.derivatives import write_json
        from ..qc import judge

        numbers = _joined(self.inputs.numbers)
        verdict = judge(numbers, whole_brain=self.inputs.whole_brain)
        write_json(
            self._out(runtime, "iqms", ".json"), {**numbers, "verdict": verdict.verdict, "reasons": verdict.reasons}
        )
        return runtime


def _joined(paths) -> dict[str, float]:
    """Numbers of several JSON files."""
    return {name: value for path in paths or [] for name, value in json.loads(Path(path).read_text()).items()}


class QualityNumbersInput(InputSpec):
    brain_mask = File(exists=True, mandatory=True)
    qsm_mask = File(exists=True, mandatory=True)
    chi = File(exists=True, mandatory=True)
    local_field = File(exists=True)
    quality = File(exists=True)
    residual = File(exists=True)
    noise = File(exists=True)
    r2star = File(exists=True)
    reference = traits.Dict(desc="sidecar keys of the reference")
    table = File(exists=True, desc="regional table of the deep-grey atlas")
    agreement = InputMultiObject(File(exists=True), desc="JSON files with numbers on the registrations")
    whole_brain = traits.Bool(True, usedefault=True)
    phase_sign = traits.Enum(1, -1, usedefault=True, desc="sign that was used")


class QualityNumbers(StageInterface):
    """Quality numbers and the verdict."""

    input_spec, output_spec = QualityNumbersInput, QualityNumbersOutput

    def _run_interface(self, runtime):
        import pandas as pd

        from ..bids.derivatives import write_json
        from ..qc import judge, run_metrics

        given = self.inputs
        names = ("local_field", "quality", "residual", "noise", "r2star")
        arrays = {name: load(getattr(given, name)) for name in names}
        reference = given.reference or {}
        metrics = run_metrics(
            brain_mask=load_mask(given.brain_mask), qsm_mask=load_mask(given.qsm_mask), chi=load(given.chi),
            voxel_size=voxel_size_of(given.chi), **arrays,
            reference={"offset": reference["ReferenceOffset"], "sd": reference["ReferenceStandardDeviation"]},
            regions=pd.read_csv(given.table, sep="\t") if given.table else None, agreement=_joined(given.agreement),
        )  # fmt: skip
        verdict = judge(metrics, whole_brain=given.whole_brain, phase_sign=given.phase_sign)
        write_json(
            self._out(runtime, "iqms", ".json"), {**metrics, "verdict": verdict.verdict, "reasons": verdict.reasons}
        )
        return runtime
