"""How far a run follows the consensus recommendations for QSM of the brain, point by point."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qsmprep.parameters import SINGLE_STEP_METHODS
from qsmprep.report.methods import has_magnitude

CONSENSUS = "https://doi.org/10.1002/mrm.30006"
_SHARP_OR_PDF = ("vsharp", "sharp", "resharp", "pdf")
_SPARSE = ("mtv", "tv", "rts", "nltv", "whqsm", "hdqsm", "medi", "starqsm", "tgv", "tfi")
_READOUT = {True: (False, "bipolar"), False: (True, "monopolar"), None: (None, "told by no sidecar")}


@dataclass(frozen=True)
class Check:
    """One recommendation of the consensus: met, not met, or not known (None)."""

    text: str
    met: bool | None
    found: str


def consensus_checks(settings: Mapping[str, Any], run: Mapping[str, Any]) -> list[Check]:
    """How far acquisition and processing of one run follow the consensus of the ISMRM study group (2024).

    Parameters
    ----------
    settings : as `Settings.to_dict` gives them; {} where they are not known
    run : entry of the plan

    References
    ----------
    QSM Consensus Organization Committee. Magn Reson Med 2024;91:1834. https://doi.org/10.1002/mrm.30006
    """
    echoes, size = len(run.get("echoes", ())), list(run.get("voxel_size", ()))
    checks = []
    if echoes:
        checks.append(Check("three echoes or more", echoes >= 3, f"{echoes} echo{'es' if echoes > 1 else ''}"))
        met, found = _READOUT[run.get("bipolar", False)] if echoes > 1 else (True, "one echo")
        checks.append(Check("monopolar readout", met, found))
    if size:
        fine = max(size) / min(size) < 1.05 and size[0] * size[1] * size[2] < 1.05
        checks.append(Check("isotropic voxels of at most 1 mm³", fine, " × ".join(f"{v:.3g}" for v in size) + " mm"))
    if not settings:
        return checks
    unwrap, background = settings.get("unwrap", "romeo"), settings.get("background", "vsharp")
    inversion, reference = settings.get("inversion", "mtv"), settings.get("reference", "brain")
    single = inversion in SINGLE_STEP_METHODS
    extracted = settings.get("normalization", True) and (not echoes or has_magnitude(run))
    whole = extracted or bool(run.get("mask"))
    removal = "none: a single step" if single else background
    return [
        *checks,
        Check("mask from brain extraction and phase quality", whole, "both" if whole else "phase quality alone"),
        Check("exact (path-based) unwrapping", unwrap == "romeo", unwrap),
        Check("echoes joined before background removal", echoes > 1 if echoes else None, "weighted fit"),
        Check("background removal of the SHARP family or PDF", not single and background in _SHARP_OR_PDF, removal),
        Check("inversion with sparsity regularisation", inversion in _SPARSE, inversion),
        Check("whole brain as reference, and stated", reference == "brain", reference),
    ]


def consensus_record(settings: Mapping[str, Any], run: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The checks for a sidecar: recommendation -> whether it is met (None: not known), and what was found."""
    return {check.text: {"Met": check.met, "Found": check.found} for check in consensus_checks(settings, run)}
