"""What a run leaves behind: maps, masks, fields and figures with their sidecars."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nipype.interfaces.utility import IdentityInterface
from nipype.pipeline.engine import Node, Workflow

from qsmprep.bids.derivatives import bids_uri, derivative_path, sidecar
from qsmprep.bids.expected import has_magnitude
from qsmprep.bids.masks import mask_of_t1w
from qsmprep.bids.model import Run
from qsmprep.interfaces.figures import DrawHistogram, DrawMap, DrawMask, DrawPhase
from qsmprep.interfaces.outputs import CheckConsensus, SaveFile, SaveMap, SaveMask
from qsmprep.mask.extract import program_of
from qsmprep.parameters import Nonlinear
from qsmprep.qsm.constants import GAMMA_BAR
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
    """How χ was made: for the sidecars. What the data decided, stages add while they run."""
    return field_metadata(run, settings) | {
        "BackgroundRemoval": "none (single step)" if settings.single_step else _told(settings, settings.background),
        "DipoleInversion": _told(settings, settings.inversion) | {"TwoPass": settings.two_pass},
    }


def field_metadata(run: Run, settings: Settings) -> dict[str, Any]:
    """How the total field was made: for the sidecars."""
    return {
        "EchoTimes": list(run.te),
        "MagneticFieldStrengthUsed": run.b0,
        "MagneticFieldStrengthSource": run.b0_source,
        "MagneticFieldStrength": run.nominal_field,
        **run.scanner,
        "B0Direction": list(run.b0_dir),
        "Obliquity": run.obliquity,
        "PhaseScaling": asdict(run.phase_scaling) if run.phase_scaling else "real and imaginary parts",
        "PhaseSign": settings.phase_sign,
        "EchoNumbers": list(run.echo_numbers),
        "Bipolar": "found from the data" if run.bipolar is None else run.bipolar,
        "CoilsCombined": run.n_coils or None,
        "AlternatingSlicesAxis": run.alternating_axis,
        "Unwrapping": _told(settings, settings.unwrap),
        "FieldMapping": _told(settings, settings.fieldmap),
        "SkullStripping": skull_stripping(run, settings),
        "ExternalAnatomy": external_anatomy(run, settings),
        "Notes": list(run.notes),
    }


def skull_stripping(run: Run, settings: Settings) -> dict[str, Any]:
    """How the brain was found: for the sidecars. What became of the mask, its stage adds."""
    given = run.mask or run.t1w_mask
    told: dict[str, Any] = {"Method": run.skull_strip, "Asked": settings.skull_strip}
    if run.skull_strip == "quality":
        return told | {"Image": "phase quality" + (" and magnitude" if has_magnitude(run) else "")}
    if run.skull_strip == "precomputed":
        told |= {"Mask": bids_uri(str(given), settings), "ReplacedByUser": run.mask_replaced}
    else:
        told |= program_of(run.skull_strip)
    if run.visits and given is None:
        return told | {"Image": "within-subject template"}
    return told | {"Image": "T1w" if run.t1w and run.mask is None else "gradient echo"}


def external_anatomy(run: Run, settings: Settings) -> dict[str, str] | None:
    """What another program's anatomical outputs were used for: for the sidecars; None without any."""
    if run.external is None:
        return None
    named = {"T1w": run.external.t1w, "Mask": run.external.mask, "ToTemplate": run.external.to_template,
             "FromTemplate": run.external.from_template}  # fmt: skip
    if mask_of_t1w(run, settings) != run.external.mask:
        del named["Mask"]
    used = {key: bids_uri(path, settings) for key, path in named.items() if path is not None}
    return {"Program": run.external.program, **used}


def relaxometry_parameters(run: Run, settings: Settings) -> dict[str, Any]:
    """Keyword arguments of the fit of R2*; the floor of the non-linear one knows how many coils were combined.

    Their magnitude is the root of the sum of squares, whose noise lifts it by that of L channels. A number of coils
    that is not the default's was set by the user, and stays.
    """
    params = settings.parameters(settings.relaxometry)
    if settings.relaxometry == "nonlinear" and run.n_coils > 1 and params["coils"] == Nonlinear.coils:
        params["coils"] = run.n_coils
    return params


def relaxometry_metadata(run: Run, settings: Settings) -> dict[str, Any]:
    """How R2*, T2* and S0 were made: for the sidecars."""
    params = relaxometry_parameters(run, settings)
    told: dict[str, Any] = {"Method": settings.relaxometry, **params}
    if run.n_coils and "coils" in params:
        combined = f"{run.n_coils} coils combined by the root of the sum of squares"
        given = "" if params["coils"] == run.n_coils else "; the number for the floor was set by the user"
        told["CoilsSource"] = combined + given
    return {"EchoTimes": list(run.te), "Relaxometry": told}


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
    """Write the maps and masks of `init_recon_wf` on the acquired grid; `init_fits_wf` has written its fields.

    Inputs
    ------
    the outputs of `init_recon_wf`
    """
    stops = settings.stop_after == "mask"
    csf = ("csf_mask",) if settings.reference == "csf" and not stops else ()
    names = [*maps_of(run), "chi_meta", "mask_meta", "brain_mask", "qsm_mask", *csf]
    inputs = Node(IdentityInterface(names), name="inputnode")
    wf = Workflow(name=name)
    for field in () if stops else maps_of(run):
        suffix, units, text = MAPS[field]
        how = recon_metadata(run, settings) if field == "chi" else relaxometry_metadata(run, settings)
        meta = {"units": units, "skull_stripped": True, "description": text, **how}
        node = save_map(run, settings, field, suffix, extra={}, meta=meta)
        wf.connect(inputs, field, node, "in_file")
        if field == "chi":
            entry = json.loads(json.dumps(asdict(run), default=str))
            consensus = Node(CheckConsensus(settings=settings.to_dict(), run=entry), name="consensus",
                             run_without_submitting=True)  # fmt: skip
            wf.connect([(inputs, consensus, [("chi_meta", "meta")]), (consensus, node, [("meta", "meta")])])
    for field in ("brain_mask", "qsm_mask", *csf):
        node = _save_mask(run, settings, field)
        wf.connect(inputs, field, node, "in_file")
        if field != "csf_mask":
            wf.connect(inputs, "mask_meta", node, "meta")
    return wf


def _save_mask(run: Run, settings: Settings, field: str) -> Node:
    entities, text = MASKS[field]
    meta = {"description": text, "Type": "Brain" if field == "brain_mask" else "ROI"}
    if field != "csf_mask":
        meta["SkullStripping"] = skull_stripping(run, settings)
    if field == "qsm_mask" and settings.stop_after == "mask":
        meta["description"] = "Brain with a usable phase; written before background removal (--stop-after mask)"
    path = derivative_path(settings.out_dir, run.entities, "mask", **entities)
    sources = [*run.files, *(given for given in (run.mask, run.t1w_mask) if given and field != "csf_mask")]
    save = SaveMask(
        out_path=str(path), sidecar=sidecar(settings, sources=sources, **meta), dtype="uint8",
        keep_image=run.mask_replaced and field == "brain_mask", like=str(run.files[0]),
    )  # fmt: skip
    return Node(save, name=field, mem_gb=0.5)


# what the fits over the echoes leave, beside χ and R2*: input -> desc, units, what it is
FITS = {
    "total_field": ("total", "Hz", "Total field"),
    "local_field": ("local", "Hz", "Local field"),
    "noise": (
        "noise", "Hz",
        "Noise of the total field: its standard error, from the noise of the echoes, their misfit and the field's "
        "change within a voxel. NaN where the field is not to be trusted (infinite noise), 0 outside the brain",
    ),
    "residual": (
        "residual", "rad",
        "Residual of the fit of the total field: weighted root mean square over the echoes of what the fit misses "
        "their phase by. 0 outside the brain",
    ),
}  # fmt: skip


def fits_of(run: Run) -> tuple[str, ...]:
    """Which of `FITS` this run can give: through a single echo the fit misses nothing."""
    return tuple(field for field in FITS if field != "residual" or len(run.te) > 1)


def init_fits_wf(run: Run, settings: Settings, name: str = "fits") -> Workflow:
    """Write the fields, their noise, and the residuals of the fits over the echoes.

    It stands within `init_recon_wf`: the sidecars tell what was removed from the phase, and the files are there even
    where a later stage fails.

    Inputs
    ------
    total_field, local_field, noise [ppm], residual [rad], r2star_residual
    magnitude : one 3-D image
    meta : what was removed from the phase, for the sidecars
    """
    inputs = Node(IdentityInterface([*FITS, "r2star_residual", "magnitude", "meta"]), name="inputnode")
    wf = Workflow(name=name)
    for field in fits_of(run):
        desc, units, text = FITS[field]
        recon = (recon_metadata if field == "local_field" else field_metadata)(run, settings)
        recon.pop("DipoleInversion", None)
        meta = {"units": units, "skull_stripped": True, "description": text, **recon}
        node = save_map(run, settings, f"{desc}_fieldmap", "fieldmap", datatype="fmap", extra={"desc": desc},
                        meta=meta, scale=GAMMA_BAR * run.b0 if units == "Hz" else 1.0)  # fmt: skip
        # BIDS wants every field map accompanied by a magnitude of the same name
        beside = save_map(run, settings, f"{desc}_magnitude", "magnitude", datatype="fmap", extra={"desc": desc},
                          meta={"description": f"Magnitude beside desc-{desc}_fieldmap",
                                "skull_stripped": False})  # fmt: skip
        wf.connect([
            (inputs, node, [(field, "in_file"), ("meta", "meta")]),
            (inputs, beside, [("magnitude", "in_file")]),
        ])  # fmt: skip
    if "r2star" in maps_of(run):
        text = "Residual of the fit of R2*: root mean square over the echoes of what it misses the magnitude by"
        meta = {"units": "arbitrary", "skull_stripped": True, "description": f"{text}, in units of the magnitude"}
        node = save_map(run, settings, "r2star_residual", "S0map", extra={"desc": "residual"},
                        meta=meta | relaxometry_metadata(run, settings))  # fmt: skip
        wf.connect(inputs, "r2star_residual", node, "in_file")
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
    stops, csf = settings.stop_after == "mask", settings.reference == "csf"
    names = ["magnitude", "phase", *MASKS, "total_field", "local_field", *MAPS]
    inputs = Node(IdentityInterface(names), name="inputnode")
    wf = Workflow(name=name)

    def add(what: str, interface: Any, links: list[tuple[str, str]]) -> None:
        node = Node(interface, name=what, mem_gb=1.0)
        save = save_figure(run, settings, what)
        wf.connect([(inputs, node, links), (node, save, [("figure", "in_file")])])

    add("mask", DrawMask(), [("magnitude", "magnitude"), ("brain_mask", "mask"), ("qsm_mask", "qsm_mask")])
    if stops:
        return wf
    add("phase", DrawPhase(te=list(run.te)), [("phase", "phase"), ("brain_mask", "mask")])
    for field, what, options in _DRAWN:
        if field in ("total_field", "local_field", *maps_of(run)):
            # the total field and R2* are known in the whole brain, the others where the background was removed
            valid = "brain_mask" if field in ("total_field", "r2star") else "qsm_mask"
            add(what, DrawMap(options=options), [(field, "in_file"), ("brain_mask", "mask"), (valid, "shown")])
    histogram = [("chi", "chi"), ("qsm_mask", "mask"), *([("csf_mask", "region")] if csf else [])]
    add("histogram", DrawHistogram(name=settings.reference), histogram)
    return wf
