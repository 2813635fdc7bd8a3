"""Regions that people drew: their labels on the grid they were drawn on, and how well raters agree."""

from __future__ import annotations

from pathlib import Path

from nipype.interfaces.base import File, InputMultiObject, TraitedSpec, traits

from .base import InputSpec, StageInterface, load


class DrawnLabelsInput(InputSpec):
    files = InputMultiObject(File(exists=True), mandatory=True, desc="of each region")
    regions = traits.List(traits.Dict, mandatory=True, desc="of each: index, name, hemisphere, value")
    like = File(exists=True, mandatory=True, desc="image that they were drawn on")


class DrawnLabelsOutput(TraitedSpec):
    labels = File(exists=True)
    lookup = File(exists=True, desc="TSV with index, name and hemisphere")


class DrawnLabels(StageInterface):
    """Masks and label images of one rater as one label image, and the names of its labels."""

    input_spec, output_spec = DrawnLabelsInput, DrawnLabelsOutput

    def _run_interface(self, runtime):
        import pandas as pd

        from ..bids.derivatives import write_table
        from ..bids.images import read_grid
        from ..bids.manual import label_volume
        from ..bids.model import ManualRegion

        given = self.inputs
        regions = [ManualRegion(file=Path(f), **told) for f, told in zip(given.files, given.regions, strict=True)]
        self._save(runtime, "labels", label_volume(regions, read_grid(Path(given.like))), given.like)
        rows = pd.DataFrame([(r.index, r.name, r.hemisphere) for r in regions], columns=["index", "name", "hemisphere"])
        write_table(self._out(runtime, "lookup", ".tsv"), rows)
        return runtime


class TakeLabelsInput(InputSpec):
    in_file = File(exists=True, mandatory=True, desc="label image whose axes may be permuted and flipped")
    like = File(exists=True, mandatory=True, desc="image whose grid it is to have")


class TakeLabelsOutput(TraitedSpec):
    labels = File(exists=True)


class TakeLabels(StageInterface):
    """A label image that is there already, with its voxels in the order of an image's."""

    input_spec, output_spec = TakeLabelsInput, TakeLabelsOutput

    def _run_interface(self, runtime):
        import numpy as np

        from ..bids.images import read_grid, values_on_grid

        values = values_on_grid(Path(self.inputs.in_file), read_grid(Path(self.inputs.like)))
        self._save(runtime, "labels", np.rint(values).astype("int16"), self.inputs.like)
        return runtime


class RaterTableInput(InputSpec):
    raters = traits.List(traits.Str, mandatory=True)
    labels = InputMultiObject(File(exists=True), mandatory=True, desc="label image of each, on one grid")
    tables = InputMultiObject(File(exists=True), mandatory=True, desc="regional table of each")


class RaterTableOutput(TraitedSpec):
    table = File(exists=True)


class RaterTable(StageInterface):
    """Agreement of the raters, region by region."""

    input_spec, output_spec = RaterTableInput, RaterTableOutput

    def _run_interface(self, runtime):
        from ..bids.derivatives import write_table
        from ..regions import rater_table, read_table

        given = self.inputs
        labels = {rater: load(path, "int32") for rater, path in zip(given.raters, given.labels, strict=True)}
        tables = {rater: read_table(path) for rater, path in zip(given.raters, given.tables, strict=True)}
        write_table(self._out(runtime, "table", ".tsv"), rater_table(labels, tables))
        return runtime
