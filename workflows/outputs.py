"""What a run leaves behind: maps, masks, fields and figures with their sidecars."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from nipype.interfaces.utility import IdentityInterface
from nipype.pipeline.engine import Node, Workflow

from qsmprep.bids.derivatives import derivative_path, sidecar
from qsmprep.bids.expected import has_magnitude
from qsmprep.bids.model import Run
from qsmprep.interfaces.figures import DrawHistogram, DrawMap, DrawMask, DrawPhase
from qsmprep.interfaces.outputs import SaveFile, SaveMap
from qsmprep.qsm.constants import GAMMA_BAR
from qsmprep.report.consensus import consensus_record
from qsmprep.report.figures import figure_path
from qsmprep.settings import Settings

# maps on the acquired grid: field of the workflow -> suffix, units, what it is
MAPS = {
    "chi": ("Chimap", "ppm", "Magnetic susceptibility"),
    "r2star": ("R2starmap", "1/s", "Effective transverse relaxation rate R2*"),
    "t2star": ("T2starmap", "s", "Effective transverse relaxation time T2*"),
    "s0": ("S0map", "arbitrary", "Signal at echo time 0"),
}
MASKS = {
    "brain_mask": ({"desc": "brain"}, "Brain"),
    "qsm_mask": ({"desc": "qsm"}, "Voxels in which susceptibility was computed"),
    "csf_mask": ({"label": "CSF"}, "Ventricular CSF, the reference region"),
}


def maps_of(run: Run) -> tuple[str, ...]:
    """Which of `MAPS` this run can give: a single echo or a run without magnitude has no R2*."""
    return tuple(MAPS) if has_magnitude(run) and len(run.echoes) > 1 else ("chi",)


def recon_metadata(run: Run, settings: Settings) -> dict[str, Any]:
    """How χ was made: for the sidecars and the methods text."""
    return {
        "EchoTimes": list(run.te),
        "MagneticFieldStrengthUsed": run.b0,
        "MagneticFieldStrengthSource": run.b0_source,
        "B0Direction": list(run.b0_dir),
        "Obliquity": run.obliquity,
        "PhaseScaling": asdict(run.phase_scaling) if run.phase_scaling else "real and imaginary parts",
        "PhaseSign": settings.phase_sign,
        "EchoNumbers": list(run.echo_numbers),
        "Bipolar": "found from the data" if run.bipolar is None else run.bipolar,
        "CoilsCombined": run.n_coils or None,
        "AlternatingSlicesAxis": run.alternating_axis,
        "PhaseOffsetRemoval": "MCPC-3D-S" if len(run.te) > 1 else "none (single echo)",
        "Unwrapping": _told(settings, settings.unwrap),
        "FieldMapping": _told(settings, settings.fieldmap),
        "BackgroundRemoval": "none (single step)" if settings.single_step else _told(settings, settings.background),
        "DipoleInversion": _told(settings, settings.inversion) | {"TwoPass": settings.two_pass},
        "Notes": list(run.notes),
    }


def _told(settings: Settings, method: str) -> dict[str, Any]:
    """An algorithm and its parameters."""
    return {"Method": method, **settings.parameters(method)}


def save_map(run: Run, settings: Settings, name: str, suffix: str, *, datatype: str = "anat", extra: dict[str, str],
             meta: dict[str, Any], dtype: str = "float32", scale: float = 1.0, like: bool = True) -> Node:  # fmt: skip
    """Node that writes one image of a run; `extra` are further entities, `meta` the arguments of `sidecar`."""
    path = derivative_path(settings.out_dir, run.entities, suffix, datatype=datatype, **extra)
    node = Node(
        SaveMap(out_path=str(path), sidecar=sidecar(settings, sources=run.files, **meta), dtype=dtype, scale=scale),
        name=name, mem_gb=0.5,
    )  # fmt: skip
    if like:
        node.inputs.like = str(run.files[0])
    return node


def save_figure(run: Run, settings: Settings, what: str) -> Node:
    """Node that copies a figure to where the report looks for it."""
    path = figure_path(Path(settings.out_dir) / f"sub-{run.subject}" / "figures", run.name, what)
    return Node(SaveFile(out_path=str(path)), name=f"save_{what}", run_without_submitting=True)


def init_maps_wf(run: Run, settings: Settings, name: str = "maps") -> Workflow:
    """Write maps, masks and fields of `init_recon_wf` on the acquired grid.

    Inputs
    ------
    the outputs of `init_recon_wf`, and `magnitude`: one 3-D image
    """
    csf = ("csf_mask",) if settings.reference == "csf" else ()
    names = [*maps_of(run), "chi_meta", "brain_mask", "qsm_mask", *csf, "total_field", "local_field", "magnitude"]
    inputs = Node(IdentityInterface(names), name="inputnode")
    wf = Workflow(name=name)
    recon = recon_metadata(run, settings)
    for field in maps_of(run):
        suffix, units, text = MAPS[field]
        meta: dict[str, Any] = {"units": units, "skull_stripped": True, "description": text}
        if field == "chi":
            meta |= {**recon, "Consensus": consensus_record(settings.to_dict(), asdict(run))}
        node = save_map(run, settings, field, suffix, extra={}, meta=meta)
        wf.connect(inputs, field, node, "in_file")
        if field == "chi":
            wf.connect(inputs, "chi_meta", node, "meta")
    for field in ("brain_mask", "qsm_mask", *csf):
        entities, text = MASKS[field]
        mask_meta = {"description": text, "Type": "Brain" if field == "brain_mask" else "ROI"}
        node = save_map(run, settings, field, "mask", extra=entities, meta=mask_meta, dtype="uint8")
        wf.connect(inputs, field, node, "in_file")
    for which in ("total", "local"):
        # BIDS wants every field map accompanied by a magnitude of the same name
        for suffix, source, meta, scale in (
            ("fieldmap", f"{which}_field", {"units": "Hz", "skull_stripped": True, **recon}, GAMMA_BAR * run.b0),
            ("magnitude", "magnitude", {"skull_stripped": False}, 1.0),
        ):
            node = save_map(run, settings, f"{which}_{suffix}", suffix, datatype="fmap", extra={"desc": which},
                            meta={"description": f"{which.capitalize()} field", **meta}, scale=scale)  # fmt: skip
            wf.connect(inputs, source, node, "in_file")
    return wf


# what is drawn of the reconstruction: field of the workflow, name of the figure, options of `plot_map`
_DRAWN: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("total_field", "totalfield", {"unit": "ppm", "title": "Total field"}),
    ("local_field", "localfield", {"vmin": -0.05, "vmax": 0.05, "unit": "ppm", "title": "Local field"}),
    ("chi", "chi", {}),
    ("r2star", "r2star", {"vmin": 0.0, "unit": "1/s", "title": "R2*", "cmap": "magma"}),
)


def init_figures_wf(run: Run, settings: Settings, name: str = "figures") -> Workflow:
    """Draw masks, phase, fields, χ, R2* and the histogram of χ.

    Inputs
    ------
    the outputs of `init_recon_wf`, `phase` (x, y, z, echo) and `magnitude` (one 3-D image)
    """
    csf = settings.reference == "csf"
    names = ["magnitude", "phase", *MASKS, "total_field", "local_field", *MAPS]
    inputs = Node(IdentityInterface(names), name="inputnode")
    wf = Workflow(name=name)

    def add(what: str, interface: Any, links: list[tuple[str, str]]) -> None:
        node = Node(interface, name=what, mem_gb=1.0)
        save = save_figure(run, settings, what)
        wf.connect([(inputs, node, links), (node, save, [("figure", "in_file")])])

    add("mask", DrawMask(), [("magnitude", "magnitude"), ("brain_mask", "mask"), ("qsm_mask", "qsm_mask")])
    add("phase", DrawPhase(te=list(run.te)), [("phase", "phase"), ("brain_mask", "mask")])
    for field, what, options in _DRAWN:
        if field in ("total_field", "local_field", *maps_of(run)):
            # the total field and R2* are known in the whole brain, the others where the background was removed
            valid = "brain_mask" if field in ("total_field", "r2star") else "qsm_mask"
            add(what, DrawMap(options=options), [(field, "in_file"), ("brain_mask", "mask"), (valid, "shown")])
    histogram = [("chi", "chi"), ("qsm_mask", "mask"), *([("csf_mask", "region")] if csf else [])]
    add("histogram", DrawHistogram(name=settings.reference), histogram)
    return wf
