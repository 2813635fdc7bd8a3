"""From the echoes of one run to χ and R2* on the acquired grid."""

from __future__ import annotations

from dataclasses import asdict

from nipype.interfaces.utility import IdentityInterface
from nipype.pipeline.engine import Node, Workflow

from qsmprep.bids.expected import has_magnitude
from qsmprep.bids.model import Run
from qsmprep.interfaces.masks import CsfMask, QsmMask
from qsmprep.interfaces.recon import (
    FitField,
    FitR2star,
    InvertDipole,
    PhaseQuality,
    ReadEchoes,
    ReferenceChi,
    RemoveBackground,
    RemovePhaseOffset,
    Unwrap,
)
from qsmprep.settings import Settings


def init_echoes_wf(run: Run, settings: Settings, name: str = "echoes") -> Workflow:
    """Read the echoes and rate their phase.

    Outputs
    -------
    magnitude, phase : (x, y, z, echo); magnitude is not set where the run has none
    reference : one 3-D image for registration
    quality : phase quality, 0 to 1
    """
    read = Node(ReadEchoes(te=list(run.te), phase_sign=settings.phase_sign), name="read", mem_gb=_gb(run, 8))
    for part in ("magnitude", "phase", "real", "imag"):
        files = [str(path) for echo in run.echoes if (path := getattr(echo, part))]
        if files:
            setattr(read.inputs, part, files)
    read.inputs.volumes = [-1 if echo.volume is None else echo.volume for echo in run.echoes]
    if run.phase_scaling is not None:
        read.inputs.scaling = asdict(run.phase_scaling)
    quality = Node(PhaseQuality(te=list(run.te)), name="quality", mem_gb=_gb(run, 6))
    out = Node(IdentityInterface(["magnitude", "phase", "reference", "quality"]), name="outputnode")
    wf = Workflow(name=name)
    wf.connect([
        (read, quality, [("phase", "phase")]),
        (read, out, [("phase", "phase"), ("reference", "reference")]),
        (quality, out, [("quality", "quality")]),
    ])  # fmt: skip
    if has_magnitude(run):
        wf.connect([(read, quality, [("magnitude", "magnitude")]), (read, out, [("magnitude", "magnitude")])])
    return wf


def init_recon_wf(run: Run, settings: Settings, name: str = "recon") -> Workflow:
    """QSM mask, phase offset, unwrapping, total field, local field, χ, reference, R2*.

    Inputs
    ------
    magnitude, phase, reference, quality : from `init_echoes_wf`
    brain_mask : on the same grid; not set where only the phase quality is to find the mask
    ventricles : prior of the ventricles on the same grid (only for the CSF reference; optional)

    Outputs
    -------
    brain_mask, qsm_mask, total_field [ppm], residual [rad], noise [ppm], local_field [ppm], chi [ppm], chi_meta,
    r2star [1/s], t2star [s], s0, csf_mask
    """
    te, dipole = list(run.te), {"b0_dir": tuple(run.b0_dir)}
    fields = ["magnitude", "phase", "reference", "quality", "brain_mask", "ventricles"]
    inputs = Node(IdentityInterface(fields), name="inputnode")
    mask = Node(QsmMask(params=asdict(settings.mask)), name="qsm_mask", mem_gb=_gb(run, 3))
    offset = Node(RemovePhaseOffset(te=te, bipolar=run.bipolar), name="phase_offset", mem_gb=_gb(run, 10))
    unwrap = Node(Unwrap(te=te, method=settings.unwrap), name="unwrap", mem_gb=_gb(run, 8))
    fit = Node(FitField(te=te, b0=run.b0), name="field_fit", mem_gb=_gb(run, 8))
    background = Node(
        RemoveBackground(method=settings.background, params=asdict(getattr(settings, settings.background)), **dipole),
        name="background", mem_gb=_gb(run, 4, grid=6),
    )  # fmt: skip
    inversion = Node(
        InvertDipole(method=settings.inversion, params=asdict(getattr(settings, settings.inversion)), **dipole),
        name="inversion", mem_gb=_gb(run, 3, grid=12),
    )  # fmt: skip
    reference = Node(ReferenceChi(method=settings.reference), name="reference", mem_gb=_gb(run, 3))
    names = ["brain_mask", "qsm_mask", "total_field", "residual", "noise", "local_field", "chi", "chi_meta"]
    out = Node(IdentityInterface([*names, "r2star", "t2star", "s0", "csf_mask"]), name="outputnode")

    wf = Workflow(name=name)
    wf.connect([
        (inputs, mask, [("brain_mask", "brain_mask"), ("quality", "quality"), ("reference", "magnitude")]),
        (inputs, offset, [("phase", "phase")]),
        (mask, offset, [("brain_mask", "mask")]),
        (offset, unwrap, [("phase", "phase")]),
        (mask, unwrap, [("brain_mask", "mask")]),
        (unwrap, fit, [("phase", "phase")]),
        (mask, fit, [("brain_mask", "mask")]),
        (fit, background, [("field", "field")]),
        (mask, background, [("qsm_mask", "mask")]),
        (background, inversion, [("field", "field"), ("mask", "mask")]),
        (inversion, reference, [("chi", "chi")]),
        (background, reference, [("mask", "mask")]),
        (mask, out, [("brain_mask", "brain_mask")]),
        (fit, out, [("field", "total_field"), ("residual", "residual"), ("noise", "noise")]),
        (background, out, [("field", "local_field"), ("mask", "qsm_mask")]),
        (reference, out, [("chi", "chi"), ("meta", "chi_meta")]),
    ])  # fmt: skip
    if has_magnitude(run):
        wf.connect([(inputs, node, [("magnitude", "magnitude")]) for node in (offset, unwrap, fit, inversion)])
    else:
        mask.inputs.trust_magnitude = False
    if has_magnitude(run) and len(te) > 1:
        _add_relaxometry(wf, te, _gb(run, 6), csf=settings.reference == "csf")
    return wf


def _add_relaxometry(wf: Workflow, te: list[float], mem_gb: float, *, csf: bool) -> None:
    """R2* in the brain mask, and the ventricular CSF that it gates."""
    inputs, mask, out, reference = (wf.get_node(n) for n in ("inputnode", "qsm_mask", "outputnode", "reference"))
    relax = Node(FitR2star(te=te), name="r2star", mem_gb=mem_gb)
    wf.connect([
        (inputs, relax, [("magnitude", "magnitude")]),
        (mask, relax, [("brain_mask", "mask")]),
        (relax, out, [("r2star", "r2star"), ("t2star", "t2star"), ("s0", "s0")]),
    ])  # fmt: skip
    if csf:
        ventricles = Node(CsfMask(), name="csf_mask", mem_gb=mem_gb)
        wf.connect([
            (inputs, ventricles, [("ventricles", "ventricles")]),
            (mask, ventricles, [("brain_mask", "brain_mask")]),
            (relax, ventricles, [("r2star", "r2star")]),
            (ventricles, reference, [("mask", "region")]),
            (ventricles, out, [("mask", "csf_mask")]),
        ])  # fmt: skip


def _gb(run: Run, volumes: int, grid: int = 0) -> float:
    """Memory [GB] of a stage that holds `volumes` float32 images an echo, and `grid` on a padded grid, at once."""
    voxels = run.shape[0] * run.shape[1] * run.shape[2]
    return 0.3 + 4e-9 * voxels * (volumes * len(run.echoes) + 2 * grid)
