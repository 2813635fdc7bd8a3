"""What the methods text says of regions: where they come from, and which of their voxels count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_PACKAGED = (
    "Deep grey nuclei come from the CIT168 atlas [@pauli2018]; thalamus, hippocampus and amygdala from the Melbourne "
    "subcortex atlas [@tian2020]; cortical regions from the Desikan-Killiany atlas [@desikan2006]. Substantia nigra in "
    "thirds from front to back, pulvinar (thalamus behind the posterior commissure) and hand area of the precentral "
    "gyrus [@yousry1997] are parts of these, cut in template space. The dentate nucleus was looked for around a prior "
    "made for qsmprep from published position and volume, and is the connected body there whose χ lies above the "
    "middle between nucleus and surroundings; where χ had too little contrast, it is the prior, as its sidecar tells."
)


def external_text(runs: Sequence[Mapping[str, Any]]) -> str:
    """Sentences on what other programs have made of the anatomy; "" if nothing was used. `runs` are of the plan."""
    programs: dict[tuple[str, bool], int] = {}
    for run in runs:
        found = run.get("external")
        if found:
            key = (str(found["program"]), bool(found.get("to_template")))
            programs[key] = programs.get(key, 0) + 1
    told = []
    for (program, registered), n in programs.items():
        cited = " [@esteban2019]" if "prep" in program.lower() else ""
        what = "The T1-weighted image" + (" and its registration to the template" if registered else "")
        which = f"{'comes' if not registered else 'come'} from {program}{cited} ({n} run{'' if n == 1 else 's'})"
        told.append(f"{what} {which}.")
    labelled = sum(bool((run.get("external") or {}).get("segmentation")) for run in runs)
    if labelled:
        told.append(
            "FreeSurfer's regions [@fischl2012] of that image were carried to the acquired grid by the registration "
            f"of the gradient echo to it ({labelled} run{'' if labelled == 1 else 's'})."
        )
    return " ".join([*told, ""])


def within_text(runs: Sequence[Mapping[str, Any]]) -> str:
    """Sentences on within-subject templates (`--longitudinal`); "" without any."""
    through = [run for run in runs if run.get("visits")]
    if not through:
        return ""
    kinds = [name for name, t1w in (("T1-weighted images", True), ("gradient-echo magnitudes", False))
             if any(bool(run.get("t1w")) == t1w for run in through)]  # fmt: skip
    return (
        f"The {' or '.join(kinds)} of all sessions of a participant were joined to a within-subject template: their "
        "median, after rigid registration to a space in the middle of all visits [@reuter2012]. It was registered to "
        f"the template once, and labels went through it to every visit ({len(through)} runs). "
    )


def unregistered_text(why: str, settings: Mapping[str, Any], runs: Sequence[Mapping[str, Any]]) -> str:
    """Sentences on regions where nothing was registered to the template: those that were drawn on the images."""
    native = settings.get("atlas") is not None and settings.get("atlas_space") == "native"
    if not (native or any(run.get("manual") for run in runs)):
        return f"No registration was made and no regions were measured {why}."
    return f"No registration was made {why}. " + regions_text(settings, runs, registered=False)


def regions_text(settings: Mapping[str, Any], runs: Sequence[Mapping[str, Any]], *, registered: bool = True) -> str:
    """Sentences on where regions come from, and on what was left out of the numbers per region."""
    given, native = settings.get("atlas"), settings.get("atlas_space") == "native"
    parts = []
    if given and (registered or native):
        where = ", which lies on the gradient echo's own grid" if native else ""
        parts.append(f"Regions come from the label image {Path(str(given)).name}, given by the user{where}.")
    elif registered:
        parts.append(_PACKAGED)
        parts += _grey_matter(runs)
    parts += _drawn(runs)
    if settings.get("neighbours"):
        pairs = "; ".join(str(pair).replace("=", " against ") for pair in settings["neighbours"])
        parts.append(f"Mean χ was compared between neighbouring regions: {pairs}.")
    if settings.get("exclude_veins"):
        parts.append(
            "Voxels that look like veins (χ and R2* well above the median, in a ridge by the Hessian of χ "
            "[@frangi1998]) were left out of the numbers."
        )
    if settings.get("exclude_gradients"):
        parts.append("Voxels whose field was steep or inconsistent (infinite noise of the field map) were left out.")
    if settings.get("erode_labels"):
        parts.append(f"A rim of {settings['erode_labels']:g} mm of every region was left out.")
    return " ".join(parts)


def _grey_matter(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """How cortical regions were held to grey matter; FreeSurfer's parcels already are."""
    held = [run for run in runs if ((run.get("external") or {}).get("segmentation") or {}).get("name") != "aparcaseg"]
    own = sum(bool(run.get("t1w")) for run in held)
    ways = [
        "was found on the T1-weighted image by Atropos [@avants2011], with the template's tissues as priors",
        "was taken from the template",
    ]
    counts = (own, len(held) - own)
    told = [text + (f" ({n} run{'' if n == 1 else 's'})" if all(counts) else "")
            for text, n in zip(ways, counts, strict=True) if n]  # fmt: skip
    if not told:
        return []
    return [f"The fraction of grey matter in each voxel {' or '.join(told)}; mean χ of cortical regions is also given "
            "with the voxels weighted by it."]  # fmt: skip


def _drawn(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Who drew regions, and on which images."""
    entries = [entry for run in runs for entry in run.get("manual") or ()]
    if not entries:
        return []
    raters = sorted({str(entry.get("rater") or "a rater without a name") for entry in entries})
    images = [name for name, on_t1w in (("the gradient echo", False), ("the T1-weighted image", True))
              if any(bool(entry.get("on_t1w")) == on_t1w for entry in entries)]  # fmt: skip
    text = f"Regions were drawn by hand on {' or '.join(images)} (raters: {', '.join(raters)})"
    agreement = "; the agreement of raters is given by Dice coefficients and differences of mean χ"
    return [text + (agreement if any(len(run.get("manual") or ()) > 1 for run in runs) else "") + "."]
