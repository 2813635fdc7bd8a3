"""How far a run follows the consensus recommendations for QSM of the brain, point by point."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qsmprep.parameters import SINGLE_STEP_METHODS
from qsmprep.report.entries import has_magnitude, offset_removable

CONSENSUS = "https://doi.org/10.1002/mrm.30006"
_SHARP_OR_PDF = ("vsharp", "sharp", "resharp", "pdf")
_SPARSE = ("mtv", "tv", "rts", "nltv", "whqsm", "hdqsm", "medi", "starqsm", "tgv", "tfi")
_ASSUMED = "taken as monopolar"  # what the plan's note says where nothing tells the readout of two echoes
# V-SHARP: largest and smallest kernel, and the greatest step between them [mm]
_LARGEST, _SMALLEST, _STEP, _TOLERANCE = 12.0, 1.0, 1.0, 0.5


@dataclass(frozen=True)
class Check:
    """One recommendation of the consensus: met, not met, or not known (None)."""

    text: str
    met: bool | None
    found: str


def consensus_checks(
    settings: Mapping[str, Any], run: Mapping[str, Any], done: Mapping[str, Any] | None = None
) -> list[Check]:
    """How far acquisition and processing of one run follow the consensus of the ISMRM study group (2024).

    Parameters
    ----------
    settings : as `Settings.to_dict` gives them; {} where they are not known
    run : entry of the plan
    done : sidecar of χ, which tells what the data decided; {} or None where the run is not done

    References
    ----------
    QSM Consensus Organization Committee. Magn Reson Med 2024;91:1834. https://doi.org/10.1002/mrm.30006
    """
    echoes, size = len(run.get("echoes", ())), list(run.get("voxel_size", ()))
    checks = []
    if echoes:
        checks.append(Check("three echoes or more", echoes >= 3, f"{echoes} echo{'es' if echoes > 1 else ''}"))
        checks.append(Check("monopolar readout", *readout_found(run, done)))
    if size:
        fine = max(size) / min(size) < 1.05 and size[0] * size[1] * size[2] < 1.05
        checks.append(Check("isotropic voxels of at most 1 mm³", fine, " × ".join(f"{v:.3g}" for v in size) + " mm"))
    if not settings:
        return checks
    unwrap, inversion = settings.get("unwrap", "romeo"), settings.get("inversion", "mtv")
    reference = settings.get("reference", "brain")
    if echoes:
        checks.append(Check("phase offset removed (MCPC-3D-S)", *_offset(run, _removal(done))))
    return [
        *checks,
        Check("mask from brain extraction and phase quality", *_mask(settings, run)),
        Check("exact (path-based) unwrapping", unwrap == "romeo", unwrap),
        Check("echoes joined before background removal", *_joined(settings, run)),
        *_background(settings),
        Check("inversion with sparsity regularisation", inversion in _SPARSE, inversion),
        Check("whole brain as reference, and stated", reference == "brain", reference),
    ]


def _removal(done: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """What the removal of the phase offset recorded; {} where it did not."""
    found = (done or {}).get("PhaseOffsetRemoval")
    return found if isinstance(found, Mapping) else {}


def readout_found(run: Mapping[str, Any], done: Mapping[str, Any] | None = None) -> tuple[bool | None, str]:
    """Whether all echoes were read in one direction, and who says so; arguments as of `consensus_checks`."""
    removal = _removal(done)
    if len(run["echoes"]) == 1:
        return True, "one echo"
    told = run.get("bipolar", False)
    if told is False and any(_ASSUMED in note for note in run.get("notes", ())):
        return None, f"{_ASSUMED}: told by no sidecar, and two echoes do not show it"
    if told is not None:
        return not told, "bipolar" if told else "monopolar"
    # a scheme that was merely assumed, with echoes too few to show anything, has no such source
    if removal.get("ReadoutSource") == "data":
        doubt = f" ({removal['ReadoutDoubt']})" if removal.get("ReadoutDoubt") else ""
        found = str(removal.get("Readout"))
        return found == "monopolar", f"{found}: told by no sidecar, found from the data{doubt}"
    return None, "told by no sidecar" + (", and the data do not show it" if removal else ": the data decide")


def _offset(run: Mapping[str, Any], removal: Mapping[str, Any]) -> tuple[bool | None, str]:
    """Whether the phase at TE 0 was removed; before the run is done, whether it can be."""
    if len(run["echoes"]) == 1:
        return False, "not possible with one echo: an offset cannot be told from field"
    if removal:
        method = str(removal.get("Method"))
        reason = removal.get("Reason", "the reason is not recorded")
        return method == "MCPC-3D-S", f"not possible: {reason}" if method == "none" else method
    if not offset_removable(run):
        return False, "not possible: bipolar readout, and no two echoes of one polarity with one of the other"
    return True, "MCPC-3D-S"


def _mask(settings: Mapping[str, Any], run: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether both the shape of the brain and the phase made the mask."""
    extracted = settings.get("normalization", True) and (not run.get("echoes") or has_magnitude(run))
    if "skull_strip" in run:
        extracted = run["skull_strip"] != "quality"
    brain, quality = extracted or bool(run.get("mask")), settings.get("mask", {}).get("quality_threshold", 0.3) > 0
    if brain and quality:
        return True, "both"
    return False, "brain extraction alone" if brain else "phase quality alone" if quality else "neither"


def _joined(settings: Mapping[str, Any], run: Mapping[str, Any]) -> tuple[bool | None, str]:
    """Whether one field was made of all echoes, and how they were weighted."""
    if not run.get("echoes"):
        return None, "the echoes are not known"
    if len(run["echoes"]) == 1:
        return False, "one echo: nothing to join"
    fit = "linear fit" if settings.get("fieldmap") == "linear_fit" else "non-linear fit"
    return True, f"{fit}, weighted by the magnitude" if has_magnitude(run) else f"{fit}, unweighted (no magnitude)"


def _background(settings: Mapping[str, Any]) -> list[Check]:
    """The method of background removal and, of V-SHARP, its kernels."""
    family = "background removal of the SHARP family or PDF"
    if settings.get("inversion", "mtv") in SINGLE_STEP_METHODS:
        return [Check(family, False, "none: a single step")]
    background = settings.get("background", "vsharp")
    checks = [Check(family, background in _SHARP_OR_PDF, background)]
    if background == "vsharp":
        radii = settings.get("vsharp", {})
        largest, smallest, step = (
            float(radii.get(key, default))
            for key, default in (("radius_max_mm", _LARGEST), ("radius_min_mm", _SMALLEST), ("step_mm", _STEP))
        )
        met = abs(largest - _LARGEST) <= _TOLERANCE and smallest <= _SMALLEST and step <= _STEP
        found = f"{largest:g} to {smallest:g} mm, in steps of {step:g} mm"
        checks.append(Check("V-SHARP kernels of 12 to 1 mm radius", met, found))
    return checks


def consensus_record(
    settings: Mapping[str, Any], run: Mapping[str, Any], done: Mapping[str, Any] | None = None
) -> dict[str, dict[str, Any]]:
    """The checks for a sidecar: recommendation -> whether it is met (None: not known), and what was found."""
    checks = consensus_checks(settings, run, done)
    return {check.text: {"Met": check.met, "Found": check.found} for check in checks}
