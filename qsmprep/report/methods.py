"""Methods text with citations, written from the settings and from what was done.

Sentences hold markers such as `[@wu2012]`, which are numbered when the text is rendered.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from qsmprep import __version__
from qsmprep.parameters import SINGLE_STEP_METHODS
from qsmprep.report.entries import brain_finder, count, count_runs, has_magnitude, has_r2star, offset_removable
from qsmprep.report.methods_regions import external_text, regions_text, unregistered_text, within_text
from qsmprep.report.records import plan_dict

_MARKER = re.compile(r"\[@([\w;@ ]+)\]")


def citations() -> dict[str, dict[str, Any]]:
    """The packaged references: key -> BibTeX fields."""
    text = (files("qsmprep.data") / "citations.json").read_text(encoding="utf-8")
    loaded: dict[str, dict[str, Any]] = json.loads(text)
    return loaded


def settings_dict(settings: Any, out_dir: Path) -> dict[str, Any]:
    """Settings as plain data, from the object or from `logs/settings.toml`; {} if there are none.

    When only the reports are made anew, the file tells what was done, not the settings of the call.
    """
    import tomllib

    if settings is None or getattr(settings, "reports_only", False):
        try:
            return tomllib.loads((out_dir / "logs" / "settings.toml").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            pass
    if settings is None:
        return {}
    return dict(settings) if isinstance(settings, Mapping) else dict(settings.to_dict())


def methods_paragraphs(settings: Mapping[str, Any], runs: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """(heading, text with citation markers) of each part of the processing.

    Parameters
    ----------
    settings : as `Settings.to_dict` gives them
    runs : entries of the plan
    """
    begin = [("Input", _input_text(runs)), ("Masks", _mask_text(settings, runs))]
    if settings.get("stop_after") == "mask":
        return [*begin, ("Software", _software_text(settings))]
    return [
        *begin,
        ("Field mapping", _field_text(settings, runs)),
        ("Susceptibility", _chi_text(settings)),
        ("Relaxometry", _relaxometry_text(settings, runs)),
        ("Registration and regions", _space_text(settings, runs)),
        ("Software", _software_text(settings)),
    ]


def _input_text(runs: Sequence[Mapping[str, Any]]) -> str:
    people = {run["entities"]["subject"] for run in runs}
    text = (
        f"Results come from qsmprep {__version__}, a pipeline for quantitative susceptibility mapping of the brain "
        f"that takes data in the Brain Imaging Data Structure [@gorgolewski2016]. "
        f"{count(len(runs), 'gradient-echo acquisition')} of {count(len(people), 'participant')} "
        f"{'was' if len(runs) == 1 else 'were'} processed: "
    )
    protocols: dict[str, int] = {}
    for run in runs:
        times = [1000 * echo["te"] for echo in run["echoes"]]
        te = f"TE {times[0]:.1f} ms" if len(times) == 1 else f"TE {times[0]:.1f} to {times[-1]:.1f} ms"
        size = " × ".join(f"{value:.3g}" for value in run["voxel_size"])
        key = f"{count(len(times), 'echo')} ({te}), voxels of {size} mm, B0 {run['b0']:.3f} T"
        key += ", bipolar readout" if run.get("bipolar") else ""
        protocols[key] = protocols.get(key, 0) + 1
    several = len(protocols) > 1
    return text + "; ".join(f"{key} (n = {n})" if several else key for key, n in protocols.items()) + "."


_FINDERS = {
    "ants": "The image was corrected for intensity non-uniformity with N4 [@tustison2010], the whole-head template was "
    "registered to it with the symmetric diffeomorphic registration of ANTs [@avants2008], and the template's brain "
    "mask was carried over, {where}.",
    "deepbet": "The brain was found by the convolutional network deepbet [@fisch2024], {where}.",
    "synthstrip": "The brain was found by the convolutional network SynthStrip [@hoopes2022], {where}.",
}


def _mask_text(settings: Mapping[str, Any], runs: Sequence[Mapping[str, Any]]) -> str:
    found = [brain_finder(settings, run) for run in runs]
    ways = []
    for method, sentence in _FINDERS.items():
        t1w, gre = found.count((method, "T1w")), found.count((method, "gre"))
        where = [
            f"on the T1-weighted image and carried to the gradient echo by rigid registration ({count_runs(t1w)})",
            f"on the gradient-echo magnitude ({count_runs(gre)})",
        ]
        told = " or ".join(text for text, n in zip(where, (t1w, gre), strict=True) if n)
        ways += [sentence.format(where=told)] if told else []
    replaced = sum(bool(run.get("mask_replaced")) for run in runs)
    given = sum(method == "precomputed" for method, _ in found) - replaced
    ways += [f"Brain masks made elsewhere were used for {count_runs(given)}."] if given else []
    ways += [f"Brain masks were corrected by hand for {count_runs(replaced)}."] if replaced else []
    bare = [run for run, (method, _) in zip(runs, found, strict=True) if method == "quality"]
    if bare:
        source = "signal and phase quality" if any(has_magnitude(run) for run in bare) else "phase quality"
        ways.append(f"No brain extraction was made for {count_runs(len(bare))}: the mask comes from {source} alone.")
    threshold = settings.get("mask", {}).get("quality_threshold")
    limit = f" below {threshold:g}" if threshold is not None else " that is low"
    return (
        " ".join(ways) + f" Voxels at the rim with a phase quality (ROMEO's, 0 to 1)"
        f"{limit} [@dymerska2021] were left out of the mask for the dipole inversion."
    )


def _field_text(settings: Mapping[str, Any], runs: Sequence[Mapping[str, Any]]) -> str:
    multi = sum(1 for run in runs if len(run["echoes"]) > 1)
    text = ""
    if any(echo.get("coils") for run in runs for echo in run["echoes"]):
        text += "Images of single coils were combined, matched in phase and weighted by the square of their magnitude. "
    removed = sum(offset_removable(run) for run in runs)
    if removed:
        whose = "" if removed == len(runs) else f" ({count_runs(removed)})"
        text += f"Phase offsets were removed with MCPC-3D-S{whose} [@eckstein2018]. "
    if settings.get("unwrap", "romeo") == "romeo":
        text += "The phase was unwrapped with ROMEO, a path-based method [@dymerska2021]. "
    else:
        text += "The phase was unwrapped with the Laplacian method [@schofield2003]. "
    if multi:
        if settings.get("fieldmap", "nonlinear_fit") == "nonlinear_fit":
            fit = "a fit of the complex signal over echo time, weighted by the noise [@liu2013]"
        else:
            fit = "a straight line through the phase over echo time, weighted by the noise [@kressler2010]"
        text += f"The echoes were joined to one field map by {fit}. "
    if multi < len(runs):
        text += (
            f"With a single echo ({count_runs(len(runs) - multi)}) the field is the phase divided by the echo time. "
        )
    return text + "The field is given in ppm of the main field."


# method -> what was done, and what its parameters are called in a paper
_RADIUS = {"radius_mm": "radius {:g} mm"}
_WEIGHT = {"weight": "weight {:g} ppm mm per ppb of noise"}
_BACKGROUND = {
    "vsharp": (
        "The background field was removed with V-SHARP [@schweser2011; @wu2012]",
        {"radius_max_mm": "largest radius {:g} mm", "radius_min_mm": "smallest radius {:g} mm",
         "step_mm": "step {:g} mm", "threshold": "threshold {:g}"},
    ),
    "sharp": (
        "The background field was removed with SHARP [@schweser2011]", _RADIUS | {"threshold": "threshold {:g}"},
    ),
    "resharp": (
        "The background field was removed with RESHARP [@sun2014]", _RADIUS | {"regularization": "λ = {:g}"},
    ),
    "ismv": ("The background field was removed by iterated spherical means (iSMV) [@wen2014]", _RADIUS),
    "lbv": (
        "The background field was removed by solving the Laplacian boundary value problem (LBV) [@zhou2014]",
        {"peel": "{:d} layers peeled"},
    ),
    "pdf": ("The background field was removed by projection onto dipole fields (PDF) [@liu2011]", {}),
}  # fmt: skip
_INVERSION = {
    "mtv": (
        "Susceptibility (χ) was computed by dipole inversion with total-variation regularisation [@bilgic2014] that "
        "counts less on edges of the magnitude [@liu2012] and leaves sources outside the mask free [@liu2017], with "
        "weights from the noise of the field map",
        {**_WEIGHT, "edge_share": "{:.0%} of the voxels edges"},
    ),
    "rts": (
        "Susceptibility (χ) was computed by rapid two-step dipole inversion: least squares, then total-variation "
        "minimisation for the ill-conditioned part of k-space [@kames2018]",
        {"delta": "δ = {:g}", "mu": "μ = {:g}"},
    ),
    "tv": (
        "Susceptibility (χ) was computed by dipole inversion with total-variation regularisation [@bilgic2014; "
        "@milovic2018]",
        _WEIGHT,
    ),
    "nltv": (
        "Susceptibility (χ) was computed by non-linear dipole inversion with total-variation regularisation "
        "[@milovic2018]",
        _WEIGHT,
    ),
    "whqsm": (
        "Susceptibility (χ) was computed by non-linear dipole inversion with total-variation regularisation, beside a "
        "weakly harmonic field for what background removal left (WH-QSM) [@milovic2019]",
        _WEIGHT,
    ),
    "hdqsm": (
        "Susceptibility (χ) was computed by dipole inversion with a hybrid data term (HD-QSM) [@lambert2022]", _WEIGHT,
    ),
    "medi": (
        "Susceptibility (χ) was computed by non-linear, morphology-enabled dipole inversion (MEDI) [@liu2012; "
        "@liu2013; @liu2018]",
        {**_WEIGHT, "edge_share": "{:.0%} of the voxels edges"},
    ),
    "starqsm": (
        "Susceptibility (χ) was computed by two-level dipole inversion against streaks (STAR-QSM) [@wei2015]", _WEIGHT,
    ),
    "ilsqr": (
        "Susceptibility (χ) was computed by iterative least squares with removal of streaks (iLSQR) [@li2015]",
        {"threshold": "threshold {:g}"},
    ),
    "ndi": (
        "Susceptibility (χ) was computed by non-linear dipole inversion (NDI) [@polak2020]",
        {"iterations": "{:d} iterations at 1 ppb of noise"},
    ),
    "tikhonov": ("Susceptibility (χ) was computed by Tikhonov-regularised dipole inversion [@bilgic2014b]", {}),
    "tikhonov_iterative": (
        "Susceptibility (χ) was computed by Tikhonov-regularised, weighted dipole inversion [@bilgic2014b]", {},
    ),
    "tkd": (
        "Susceptibility (χ) was computed by thresholded k-space division [@shmueli2009]",
        {"threshold": "threshold {:g}"},
    ),
    "tgv": (
        "Susceptibility (χ) was computed from the total field in a single step, with total generalised variation "
        "[@langkammer2015]",
        {},
    ),
    "tfi": (
        "Susceptibility (χ) was computed from the total field in a single step, by total field inversion "
        "[@liu2017]",
        {},
    ),
}  # fmt: skip
_RELAXOMETRY = {
    "loglinear": "by linear least squares on its logarithm, with weights that account for the noise [@bonny1996]",
    "arlo": "by auto-regression on linear operations (ARLO) [@pei2015]",
    "nonlinear": "by non-linear least squares with a floor for the noise [@gudbjartsson1995]",
}
_REFERENCE = {
    "brain": "χ is referenced to its mean over the whole QSM mask.",
    "csf": "χ is referenced to the mean of the cerebrospinal fluid in the ventricles.",
    "wm": "χ is referenced to the mean of deep white matter.",
    "none": "No reference was subtracted: the zero of χ is the inversion's.",
}


def _chi_text(settings: Mapping[str, Any]) -> str:
    background, inversion = settings.get("background", "vsharp"), settings.get("inversion", "mtv")
    parts = []
    stages = [(_BACKGROUND, background), (_INVERSION, inversion)]
    for known, method in stages[inversion in SINGLE_STEP_METHODS :]:  # a single step needs no background removal
        sentence, names = known.get(method, (f"Next came {method}", {}))
        parameters = settings.get(method, {})
        told = [form.format(parameters[key]) for key, form in names.items() if key in parameters]
        parts.append(sentence + (f" ({', '.join(told)})" if told else "") + ".")
    if settings.get("two_pass"):
        parts.append("Two passes, one of them where the phase is reliable, were joined [@stewart2022].")
    return " ".join([*parts, _reference_text(settings.get("reference", "brain"))])


def _reference_text(reference: str) -> str:
    atlas, _, name = reference.removeprefix("region:").partition(".")
    return _REFERENCE.get(reference, f"χ is referenced to the mean of the region {name} of the atlas {atlas}.")


def _relaxometry_text(settings: Mapping[str, Any], runs: Sequence[Mapping[str, Any]]) -> str:
    able = sum(has_r2star(run) for run in runs)
    if not able:
        return "R2* was not computed: it takes two echoes with magnitude."
    whose = "" if able == len(runs) else f" ({count_runs(able)})"
    return (
        f"R2*, T2* and S0 were fitted to the magnitude of the echoes{whose} "
        f"{_RELAXOMETRY[settings.get('relaxometry', 'loglinear')]}."
    )


def _space_text(settings: Mapping[str, Any], runs: Sequence[Mapping[str, Any]]) -> str:
    if not settings.get("normalization", True):
        return unregistered_text("(--no-normalization)", settings, runs)
    bare = sum(not has_magnitude(run) for run in runs)
    if bare and bare == len(runs):
        return unregistered_text("since there was no magnitude", settings, runs)
    runs = [run for run in runs if has_magnitude(run)]
    spaces = ", ".join(settings.get("output_spaces", ("MNI152NLin2009cAsym",)))
    through = sum(1 for run in runs if run.get("t1w"))
    if through == len(runs) and runs:
        way = "through the participant's T1-weighted image"
    elif through:
        way = f"through the T1-weighted image ({count_runs(through)}) or directly ({count_runs(len(runs) - through)})"
    else:
        way = "directly"
    text = (
        f"The gradient echo was registered to {spaces} [@fonov2011] {way}, with ANTs [@avants2008; @tustison2021]. "
        "Labels were carried to the acquired grid by the inverse transform; numbers were taken there, unsmoothed. "
    )
    text += external_text(runs) + within_text(runs)
    if bare:
        text += f"Without magnitude, {count_runs(bare)} could not be registered. "
    if settings.get("multi_contrast", True):
        text += (
            "The deep nuclei of the template were then matched to χ "
            f"{'and the T1-weighted image together ' if through else ''}by local cross-correlation [@hanspach2017]. "
        )
    return text + regions_text(settings, runs)


def _software_text(settings: Mapping[str, Any]) -> str:
    return (
        "The pipeline uses Nipype [@gorgolewski2011], PyBIDS [@yarkoni2019], NumPy [@harris2020] and SciPy "
        f"[@virtanen2020]. Random seed: {settings.get('random_seed', 0)}. The choice of steps can be compared with the "
        "consensus recommendations of the ISMRM study group [@bilgic2024]."
    )


def used_keys(paragraphs: Iterable[tuple[str, str]]) -> list[str]:
    """Citation keys in the order of their first use."""
    found: dict[str, None] = {}
    for _, text in paragraphs:
        for marker in _MARKER.findall(text):
            found.update(dict.fromkeys(key.strip().lstrip("@") for key in marker.split(";")))
    return list(found)


def split_citations(text: str, order: Sequence[str]) -> list[tuple[str, list[int]]]:
    """A text as (plain part, numbers of the citations that follow it), for the page to typeset."""
    parts, position = [], 0
    for match in _MARKER.finditer(text):
        numbers = [order.index(key.strip().lstrip("@")) + 1 for key in match[1].split(";")]
        parts.append((text[position : match.start()].rstrip(), numbers))
        position = match.end()
    return [*parts, (text[position:], [])]


def reference_text(entry: Mapping[str, Any]) -> str:
    """One reference as a line of text, without its DOI."""
    authors = [name.split(",")[0] for name in entry["author"].split(" and ") if name != "others"]
    people = authors[0] if len(authors) == 1 else f"{authors[0]} et al."
    where = entry["journal"] + (f" {entry['volume']}" if entry["volume"] else "")
    return f"{people} ({entry['year']}). {entry['title']}. {where}{':' + entry['pages'] if entry['pages'] else ''}."


def bibtex(keys: Iterable[str]) -> str:
    """The references as a .bib file."""
    known, entries = citations(), []
    for key in keys:
        entry = dict(known[key])
        kind = entry.pop("type")
        lines = [f"  {name} = {{{str(value).replace('-', '--') if name == 'pages' else value}}}"
                 for name, value in entry.items() if value]  # fmt: skip
        entries.append(f"@{kind}{{{key},\n" + ",\n".join(lines) + "\n}\n")
    return "\n".join(entries)


def markdown(paragraphs: Sequence[tuple[str, str]]) -> str:
    """The methods text with numbered citations and the list of references."""
    order, known = used_keys(paragraphs), citations()
    lines = ["# Methods", "", "This text may be copied into a paper as it is.", ""]
    for heading, text in paragraphs:
        body = "".join(
            part + (f" [{', '.join(str(n) for n in numbers)}]" if numbers else "")
            for part, numbers in split_citations(text, order)
        )
        lines += [f"**{heading}.** {body}", ""]
    lines += ["## References", ""]
    lines += [f"{n}. {reference_text(known[key])} doi:{known[key]['doi']}" for n, key in enumerate(order, 1)]
    return "\n".join([*lines, "", "Research use only, not for diagnosis.", ""])


def write_citations(out_dir: Path | str, plan: Any = None, settings: Any = None) -> tuple[Path, Path]:
    """Write `logs/CITATION.md` and `logs/CITATION.bib` for all runs of the plan; returns both paths."""
    from qsmprep.bids.derivatives import atomic_write_text

    out_dir = Path(out_dir)
    paragraphs = methods_paragraphs(settings_dict(settings, out_dir), plan_dict(plan, out_dir).get("runs", ()))
    text, bib = out_dir / "logs" / "CITATION.md", out_dir / "logs" / "CITATION.bib"
    atomic_write_text(text, markdown(paragraphs))
    atomic_write_text(bib, bibtex(used_keys(paragraphs)))
    return text, bib
