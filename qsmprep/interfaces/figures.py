"""Figures of the report: read images, call one drawing function, hand the file on."""

from __future__ import annotations

from nipype.interfaces.base import File, TraitedSpec, traits

from .base import InputSpec, StageInterface, affine_of, load, load_mask


class FigureInput(InputSpec):
    mask = File(exists=True, mandatory=True, desc="brain mask: fixes crop and slices")


class FigureOutput(TraitedSpec):
    figure = File(exists=True)


class _Figure(StageInterface):
    output_spec = FigureOutput

    def _run_interface(self, runtime):
        self._draw(self._out(runtime, "figure", ".webp"), affine_of(self.inputs.mask), load_mask(self.inputs.mask))
        return runtime


class DrawMapInput(FigureInput):
    in_file = File(exists=True, mandatory=True)
    shown = File(exists=True, desc="where the map is valid")
    options = traits.Dict(usedefault=True, desc="vmin, vmax, cmap, unit, title")


class DrawMap(_Figure):
    """Slices of a map; χ where `options` are empty."""

    input_spec = DrawMapInput

    def _draw(self, out, affine, mask):
        from ..report.figures import plot_chi, plot_map

        draw = plot_map if self.inputs.options else plot_chi
        draw(load(self.inputs.in_file), affine, mask, out, shown=load_mask(self.inputs.shown), **self.inputs.options)


class DrawPhaseInput(FigureInput):
    phase = File(exists=True, mandatory=True)
    te = traits.List(traits.Float, mandatory=True)


class DrawPhase(_Figure):
    """Wrapped phase of the first and the last echo."""

    input_spec = DrawPhaseInput

    def _draw(self, out, affine, mask):
        from ..report.figures import plot_phase

        phase, te = load(self.inputs.phase), self.inputs.te
        last = phase[..., -1] if len(te) > 1 else None
        plot_phase(phase[..., 0], last, affine, mask, out, te=(te[0], te[-1])[: 1 + (last is not None)])


class DrawMaskInput(FigureInput):
    magnitude = File(exists=True, mandatory=True)
    qsm_mask = File(exists=True)


class DrawMask(_Figure):
    """Outlines of the masks on the magnitude."""

    input_spec = DrawMaskInput

    def _draw(self, out, affine, mask):
        from ..report.figures import plot_mask

        plot_mask(load(self.inputs.magnitude), affine, mask, load_mask(self.inputs.qsm_mask), out)


class DrawLabelsInput(FigureInput):
    chi = File(exists=True, mandatory=True)
    labels = File(exists=True, mandatory=True)
    lookup = File(exists=True, mandatory=True)
    title = traits.Str("Regions on χ", usedefault=True)


class DrawLabels(_Figure):
    """Outlines of a segmentation on χ."""

    input_spec = DrawLabelsInput

    def _draw(self, out, affine, mask):
        import pandas as pd

        from ..report.figures import plot_labels

        given = self.inputs
        labels, lookup = load(given.labels, "int32"), pd.read_csv(given.lookup, sep="\t")
        plot_labels(load(given.chi), labels, affine, mask, out, lookup=lookup, title=given.title)


class DrawHistogramInput(FigureInput):
    chi = File(exists=True, mandatory=True)
    region = File(exists=True, desc="reference region, where it is not the whole mask")
    name = traits.Str("reference region", usedefault=True)


class DrawHistogram(_Figure):
    """Distribution of χ in the QSM mask and in the reference region."""

    input_spec = DrawHistogramInput

    def _draw(self, out, affine, mask):
        from ..report.figures import plot_histogram

        given = self.inputs
        plot_histogram(load(given.chi), mask, load_mask(given.region), out, reference_name=given.name)


class DrawRegistrationInput(FigureInput):
    fixed = File(exists=True, mandatory=True)
    before = File(exists=True, mandatory=True, desc="moving image on the grid of `fixed`, without registration")
    after = File(exists=True, mandatory=True, desc="the same with registration")
    names = traits.Tuple(traits.Str, traits.Str, mandatory=True, desc="what the moving and the fixed image are")


class DrawRegistrationOutput(TraitedSpec):
    before = File(exists=True)
    after = File(exists=True)
    target = File(exists=True)


class DrawRegistration(StageInterface):
    """The moving image before and after registration, with edges of the target."""

    input_spec, output_spec = DrawRegistrationInput, DrawRegistrationOutput

    def _run_interface(self, runtime):
        from ..report.figures import plot_registration

        given = self.inputs
        before, after, target = (self._out(runtime, name, ".webp") for name in ("before", "after", "target"))
        plot_registration(
            load(given.fixed), load(given.before), load(given.after), affine_of(given.fixed), before, after,
            mask=load_mask(given.mask), out_target=target, names=given.names,
        )  # fmt: skip
        return runtime
