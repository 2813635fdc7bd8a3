"""From the echoes of one run to χ and R2* on the acquired grid."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from nipype.interfaces.utility import IdentityInterface
from nipype.pipeline.engine import Node, Workflow

from qsmprep.bids.expected import has_magnitude
from qsmprep.bids.model import Run
from qsmprep.interfaces.masks import CsfMask, QsmMask, ScoreMask
from qsmprep.interfaces.recon import (
    FitField,
    FitR2star,
    InvertDipole,
    PhaseQuality,
    ReadEchoes,
    ReconstructChi,
    ReferenceChi,
    RemoveBackground,
    RemovePhaseOffset,
    Unwrap,
)
from qsmprep.settings import Settings

from .outputs import init_fits_wf, relaxometry_parameters


def init_echoes_wf(run: Run, settings: Settings, name: str = "echoes") -> Workflow:
    """Read the echoes and rate their phase.

    Outputs
    -------
    magnitude, phase : (x, y, z, echo); magnitude is not set where the run has none
    reference : one 3-D image for registration
    quality : phase quality, 0 to 1
    meta : what was done to coils and slices, for the sidecar
    """
    read = echoes_reader(run, settings)
    quality = Node(PhaseQuality(te=list(run.te)), name="quality", mem_gb=_gb(run, 6))
    out = Node(IdentityInterface(["magnitude", "phase", "reference", "quality", "meta"]), name="outputnode")
    wf = Workflow(name=name)
    wf.connect([
        (read, quality, [("phase", "phase")]),
        (read, out, [("phase", "phase"), ("reference", "reference"), ("meta", "meta")]),
        (quality, out, [("quality", "quality")]),
    ])  # fmt: skip
    if has_magnitude(run):
        wf.connect([(read, quality, [("magnitude", "magnitude")]), (read, out, [("magnitude", "magnitude")])])
    return wf


def echoes_reader(run: Run, settings: Settings, name: str = "read") -> Node:
    """Node that reads the echoes of a run."""
    read = Node(
        ReadEchoes(te=list(run.te), phase_sign=settings.phase_sign),
        name=name,
        mem_gb=_gb(run, 16 if run.n_coils else 8),
    )
    for part in ("magnitude", "phase", "real", "imag"):
        files = [str(path) for image in run.images if (path := getattr(image, part))]
        if files:
            setattr(read.inputs, part, files)
    read.inputs.volumes = [-1 if image.volume is None else image.volume for image in run.images]
    read.inputs.trait_set(n_coils=run.n_coils, alternating_axis=run.alternating_axis)
    read.inputs.trait_set(bipolar=run.bipolar, echo_numbers=list(run.echo_numbers), params=asdict(settings.coils))
    if run.phase_scaling is not None:
        read.inputs.scaling = asdict(run.phase_scaling)
    return read


RECON_FIELDS = (
    *("brain_mask", "qsm_mask", "mask_meta", "mask_numbers", "total_field", "residual", "noise", "local_field"),
    *("chi", "chi_meta", "r2star", "t2star", "s0", "csf_mask"),
)


def init_masks_wf(run: Run, settings: Settings, name: str = "recon") -> Workflow:
    """Brain mask and QSM mask: where the reconstruction begins, and where it ends with `--stop-after mask`.

    Inputs
    ------
    magnitude, phase, reference, quality, meta : from `init_echoes_wf`
    brain_mask : on the same grid; not set where only the phase quality is to find the mask
    priors : of the reference regions; not used here

    Outputs
    -------
    brain_mask, qsm_mask
    mask_meta : what was done to them, for the sidecars
    mask_numbers : JSON file that says how good they are
    """
    fields = ["magnitude", "phase", "reference", "quality", "meta", "brain_mask", "priors"]
    inputs = Node(IdentityInterface(fields), name="inputnode")
    out = Node(IdentityInterface(list(RECON_FIELDS)), name="outputnode")
    params = asdict(settings.mask)
    mask = Node(QsmMask(params=params, keep=run.skull_strip == "precomputed"), name="qsm_mask", mem_gb=_gb(run, 3))
    score = Node(ScoreMask(params=params), name="mask_score", mem_gb=_gb(run, 3))
    wf = Workflow(name=name)
    wf.connect([
        (inputs, mask, [("brain_mask", "brain_mask"), ("quality", "quality"), ("reference", "magnitude")]),
        (inputs, mask, [("meta", "earlier")]),
        (inputs, score, [("quality", "quality")]),
        (mask, score, [("brain_mask", "brain_mask"), ("qsm_mask", "qsm_mask"), ("record", "record")]),
        (mask, out, [("brain_mask", "brain_mask"), ("qsm_mask", "qsm_mask"), ("record", "mask_meta")]),
        (score, out, [("numbers", "mask_numbers")]),
    ])  # fmt: skip
    if has_magnitude(run):
        wf.connect(inputs, "reference", score, "magnitude")
    else:
        mask.inputs.trust_magnitude = False
    return wf


def init_recon_wf(run: Run, settings: Settings, name: str = "recon") -> Workflow:
    """QSM mask, phase offset, unwrapping, total field, local field, χ, reference, R2*.

    Inputs
    ------
    magnitude, phase, reference, quality, meta : from `init_echoes_wf`
    brain_mask : on the same grid; not set where only the phase quality is to find the mask
    priors : of the reference regions, on the same grid; not set where nothing is registered

    Outputs
    -------
    those of `init_masks_wf`, but the QSM mask is what background removal leaves; total_field [ppm], residual [rad],
    noise [ppm], local_field [ppm], chi [ppm], chi_meta, r2star [1/s], t2star [s], s0, csf_mask; fields, noise and
    residuals are written at once
    """
    te, dipole = list(run.te), {"b0_dir": tuple(run.b0_dir)}
    wf = init_masks_wf(run, settings, name)
    inputs, mask, out = (wf.get_node(n) for n in ("inputnode", "qsm_mask", "outputnode"))
    offset = Node(
        RemovePhaseOffset(
            te=te, bipolar=run.bipolar, echo_numbers=list(run.echo_numbers), params=asdict(settings.mcpc3ds)
        ),
        name="phase_offset", mem_gb=_gb(run, 10),
    )  # fmt: skip
    unwrap = Node(Unwrap(te=te, **_algorithm(settings, settings.unwrap)), name="unwrap", mem_gb=_gb(run, 8))
    fit = Node(
        FitField(te=te, b0=run.b0, **_algorithm(settings, settings.fieldmap)), name="field_fit", mem_gb=_gb(run, 8)
    )
    invert = ReconstructChi if settings.single_step else InvertDipole
    inversion = Node(
        invert(te=te, b0=run.b0, **_algorithm(settings, settings.inversion), **dipole),
        name="inversion", mem_gb=_gb(run, 3, grid=26 if settings.single_step else 12),
    )  # fmt: skip
    reference = Node(ReferenceChi(method=settings.reference), name="reference", mem_gb=_gb(run, 3))
    wf.disconnect(mask, "qsm_mask", out, "qsm_mask")  # background removal takes its share
    wf.connect([
        (inputs, offset, [("phase", "phase")]),
        (mask, offset, [("brain_mask", "mask"), ("meta", "earlier")]),
        (offset, unwrap, [("phase", "phase")]),
        (mask, unwrap, [("brain_mask", "mask")]),
        (unwrap, fit, [("phase", "phase")]),
        (mask, fit, [("brain_mask", "mask")]),
        (fit, inversion, [("noise", "noise")]),
        (inversion, reference, [("chi", "chi"), ("meta", "inversion")]),
        (offset, reference, [("meta", "earlier")]),
        (fit, out, [("field", "total_field"), ("residual", "residual"), ("noise", "noise")]),
        (inputs, reference, [("priors", "priors")]),
        (reference, out, [("chi", "chi"), ("meta", "chi_meta")]),
    ])  # fmt: skip
    if settings.single_step:
        wf.connect([(fit, inversion, [("field", "field")]), (mask, inversion, [("qsm_mask", "mask")])])
        local = inversion
    else:
        local = Node(
            RemoveBackground(**_algorithm(settings, settings.background), **dipole),
            name="background", mem_gb=_gb(run, 4, grid=6),
        )  # fmt: skip
        wf.connect([
            (fit, local, [("field", "field"), ("noise", "noise")]),
            (mask, local, [("qsm_mask", "mask")]),
            (local, inversion, [("field", "field"), ("mask", "mask")]),
        ])  # fmt: skip
    wf.connect([
        (local, reference, [("mask", "mask")]),
        (local, out, [("field", "local_field"), ("mask", "qsm_mask")]),
    ])  # fmt: skip
    if settings.two_pass:
        inversion.inputs.twopass = asdict(settings.twopass)
        wf.connect(inputs, "quality", inversion, "quality")
    if has_magnitude(run):
        wf.connect([(inputs, node, [("magnitude", "magnitude")]) for node in (offset, unwrap, fit, inversion)])
    _add_fits(wf, run, settings)
    if has_magnitude(run) and len(te) > 1:
        _add_relaxometry(wf, run, settings, _gb(run, 6))
    return wf


def _algorithm(settings: Settings, method: str) -> dict[str, Any]:
    """Name and keyword arguments of an algorithm, as the interfaces take them."""
    return {"method": method, "params": settings.parameters(method)}


def _add_fits(wf: Workflow, run: Run, settings: Settings) -> None:
    """Write fields, noise and residuals as soon as they are known."""
    inputs, offset, fit = (wf.get_node(name) for name in ("inputnode", "phase_offset", "field_fit"))
    local = wf.get_node("inversion" if settings.single_step else "background")
    fits = init_fits_wf(run, settings)
    wf.connect([
        (fit, fits, [("field", "inputnode.total_field"), ("noise", "inputnode.noise")]),
        (fit, fits, [("residual", "inputnode.residual")]),
        (local, fits, [("field", "inputnode.local_field")]),
        (offset, fits, [("meta", "inputnode.meta")]),
        (inputs, fits, [("reference" if has_magnitude(run) else "quality", "inputnode.magnitude")]),
    ])  # fmt: skip


def _add_relaxometry(wf: Workflow, run: Run, settings: Settings, mem_gb: float) -> None:
    """R2* in the brain mask, and the ventricular CSF that it gates."""
    inputs, mask, out, reference = (wf.get_node(n) for n in ("inputnode", "qsm_mask", "outputnode", "reference"))
    method = {"method": settings.relaxometry, "params": relaxometry_parameters(run, settings)}
    relax = Node(FitR2star(te=list(run.te), **method), name="r2star", mem_gb=mem_gb)
    wf.connect([
        (inputs, relax, [("magnitude", "magnitude")]),
        (relax, reference, [("r2star", "r2star")]),
        (mask, relax, [("brain_mask", "mask")]),
        (relax, out, [("r2star", "r2star"), ("t2star", "t2star"), ("s0", "s0")]),
        (relax, wf.get_node("fits"), [("residual", "inputnode.r2star_residual")]),
    ])  # fmt: skip
    if settings.reference == "csf":
        ventricles = Node(CsfMask(), name="csf_mask", mem_gb=mem_gb)
        wf.connect([
            (inputs, ventricles, [("priors", "priors")]),
            (mask, ventricles, [("brain_mask", "brain_mask")]),
            (relax, ventricles, [("r2star", "r2star")]),
            (ventricles, out, [("mask", "csf_mask")]),
            *([(ventricles, wf.get_node("inversion"), [("mask", "csf")])] if settings.inversion == "medi" else []),
        ])  # fmt: skip


def _gb(run: Run, volumes: int, grid: int = 0) -> float:
    """Memory [GB] of a stage that holds `volumes` float32 images an echo, and `grid` on a padded grid, at once."""
    voxels = run.shape[0] * run.shape[1] * run.shape[2]
    return 0.3 + 4e-9 * voxels * (volumes * len(run.echoes) + 2 * grid)
