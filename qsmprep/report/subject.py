"""The participant's page: what went in, every decision, pictures of every step, numbers, methods, errors."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from qsmprep.bids.names import split_name
from qsmprep.report import consensus, entries, methods
from qsmprep.report.page import data_uri, write_page
from qsmprep.report.records import Record, number, plan_dict, read_failures, read_json, subject_records
from qsmprep.report.tables import region_notes, region_view

CRASH_CHARACTERS = 20_000  # of a crash file that are shown: its end, where the exception stands
_SHOWN_FIGURES = ("mask", "phase", "totalfield", "localfield", "chi", "histogram", "r2star")
_REGISTRATIONS = {
    "coreg": (
        "Gradient echo and T1w",
        "Blink switches between the T1w image and the gradient echo after registration.",
    ),
    "norm": ("Template", "Blink switches between the template and the participant's image after registration."),
}
_REFERENCES = {
    "brain": "its mean over the whole QSM mask",
    "csf": "the mean of ventricular cerebrospinal fluid",
    "wm": "the mean of deep white matter",
}


def build_subject_report(
    out_dir: Path | str,
    subject: str,
    plan: Any = None,
    settings: Any = None,
    failures: Iterable[Any] | None = None,
) -> Path:
    """Build `sub-<label>.html` from whatever the output dataset holds about a participant.

    It is built after a failure, too: what is missing is named as missing.

    Parameters
    ----------
    out_dir : the output dataset
    subject : label, with or without `sub-`
    plan : `Plan`; without it `logs/plan.json` is read
    settings : `Settings`; without it `logs/settings.toml` is read
    failures : `Failure` objects or dictionaries of any participants; None reads `logs/failures.tsv`

    Returns
    -------
    Path of the page: one file that needs no network.
    """
    out_dir, label = Path(out_dir), subject.removeprefix("sub-")
    failures = None if failures is None else list(failures)
    records = subject_records(out_dir, label, plan, failures)
    chosen = methods.settings_dict(settings, out_dir)
    planned = [record.plan for record in records if record.plan]
    paragraphs = methods.methods_paragraphs(chosen, planned) if planned else []
    order, known = methods.used_keys(paragraphs), methods.citations()
    description = read_json(out_dir / "dataset_description.json")
    values = {
        "title": f"sub-{label}",
        "dataset": description.get("Name") or out_dir.name,
        "runs": [_run_view(record, chosen) for record in records],
        "skipped": _of_subject(plan_dict(plan, out_dir).get("skipped", ()), label),
        "passed_over": [
            {"file": Path(str(item["path_or_run"])).name, "reason": item["reason"]}
            for item in _of_subject(plan_dict(plan, out_dir).get("passed_over", ()), label)
        ],
        "errors": [_error_view(failure, out_dir) for failure in _errors(records, label, plan, failures, out_dir)],
        "methods": [(heading, methods.split_citations(text, order)) for heading, text in paragraphs],
        "references": [{"text": methods.reference_text(known[key]), "doi": known[key]["doi"]} for key in order],
        "consensus": consensus.CONSENSUS,
        "settings_text": _settings_text(settings, out_dir),
    }
    return write_page(out_dir / f"sub-{label}.html", "subject.html.j2", values)


def _run_view(record: Record, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What the template shows of one run, ready to print."""
    pictures = {what: data_uri(path) for what, path in record.figures.items()}
    registration_names = {f"{key}{end}" for key in _REGISTRATIONS for end in ("", "before", "after", "target")}
    more = [w for w in pictures if w not in {*_SHOWN_FIGURES, *registration_names} and not w.startswith("atlas")]
    entities = {key: value for key, value in record.entities.items() if key != "subject"}
    reference = str(record.sidecar.get("ReferenceRegion") or settings.get("reference", "brain"))
    return {
        "id": re.sub(r"[^A-Za-z0-9_-]", "-", record.name),
        "name": record.name,
        "short": " ".join(f"{key} {value}" for key, value in entities.items()) or "gradient echo",
        "verdict": record.verdict,
        "reasons": record.reasons,
        "metrics": _metrics(record.qc),
        "notes": [
            *(record.plan.get("notes") or record.sidecar.get("Notes") or ()),
            *(note for rows in record.tables.values() for note in region_notes(rows)),
        ],
        "decisions": _decisions(record, settings),
        "echoes": [_echo_view(echo) for echo in record.plan.get("echoes", ())],
        "mask_told": _mask_told(record, settings),
        "stopped": _stopped(settings),
        "expects_r2star": not record.plan or entries.has_r2star(record.plan),
        "checks": consensus.consensus_checks(settings, record.plan, record.sidecar) if record.plan else [],
        "figures": pictures,
        "reference": _REFERENCES.get(reference, f"the reference '{reference}'"),
        "more_figures": [(what, pictures[what]) for what in more],
        "atlases": [(w.removeprefix("atlas"), uri) for w, uri in pictures.items() if w.startswith("atlas")],
        "registrations": [_registration(key, pictures, record, settings) for key in _REGISTRATIONS],
        "tables": [region_view(record.name, name, rows) for name, rows in record.tables.items()],
        "absent_reason": _absent_reason(record, settings),
        "regions_absent": _unregistered(record, settings, "regions were asked for") or _absent_reason(record, settings),
    }


def _unregistered(record: Record, settings: Mapping[str, Any], what: str) -> str:
    """Why a run was not to be registered; '' if it was."""
    if settings.get("normalization") is False:
        return f"No {what} (--no-normalization)."
    if record.plan and not entries.has_magnitude(record.plan):
        return "Without magnitude the run cannot be registered."
    return ""


def _absent_reason(record: Record, settings: Mapping[str, Any]) -> str:
    if _stopped(settings):
        return "The run ended with its masks, as asked for (--stop-after mask)."
    if record.failures:
        return f"The run stopped at {record.failures[0]['stage'] or 'an earlier stage'}: see Errors."
    return "The stage that makes it did not run, or its output was removed."


def _registration(key: str, pictures: Mapping[str, str], record: Record, settings: Mapping[str, Any]) -> dict[str, Any]:
    title, hint = _REGISTRATIONS[key]
    parts = [("Target", f"{key}target"), ("After", f"{key}after"), ("Before", f"{key}before"), ("Result", key)]
    images = [(name, pictures[what]) for name, what in parts if what in pictures]
    unregistered = _unregistered(record, settings, "registration was asked for")
    if unregistered:
        absent = unregistered
    elif key == "coreg" and record.plan and not record.plan.get("t1w"):
        absent = record.plan.get("t1w_reason") or "There is no T1w image."
    else:
        absent = f"There is no such figure. {_absent_reason(record, settings)}"
    return {"key": key, "title": title, "hint": hint if len(images) > 2 else "", "images": images, "absent": absent}


def _metrics(qc: Mapping[str, Any]) -> list[dict[str, str]]:
    from qsmprep.qc.metrics import metric_definitions

    meanings = metric_definitions()
    rows = []
    for name, value in qc.items():
        shown = number(value)
        if shown is None or isinstance(value, str | bool):
            continue
        meaning = meanings.get(name, {})
        unit = meaning.get("Units", "")
        rows.append({"name": name, "value": f"{shown:.4g}", "unit": "" if unit == "1" else unit,
                     "text": meaning.get("Description", "")})  # fmt: skip
    return rows


def _echo_view(echo: Mapping[str, Any]) -> dict[str, Any]:
    names = [Path(str(echo[key])).name for key in ("magnitude", "phase", "real", "imag") if echo.get(key)]
    volume = echo.get("volume")
    return {"te": f"{1000 * echo['te']:.2f}", "files": names + ([f"volume {volume}"] if volume is not None else [])}


def _decisions(record: Record, settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Every decision on a run, from its plan; what only the sidecar of χ knows comes after."""
    plan, rows = record.plan, []
    if plan:
        times = ", ".join(f"{1000 * echo['te']:.2f}" for echo in plan["echoes"])
        size = " × ".join(f"{value:.3g}" for value in plan["voxel_size"])
        nominal = f" (nominal {plan['nominal_field']:g} T)" if plan.get("nominal_field") else ""
        scaling = plan.get("phase_scaling") or {}
        rows = [
            ("Echo times", f"{times} ms ({len(plan['echoes'])})"),
            ("Readout", consensus.readout_found(plan, record.sidecar)[1]),
            ("Field strength", f"{plan['b0']:.4f} T, from {plan['b0_source']}{nominal}"),
            ("Voxels", f"{size} mm, {' × '.join(str(n) for n in plan['shape'])}"),
            ("Slices", f"{plan['obliquity']:.1f}° oblique; B0 along {_vector(plan['b0_dir'])} in voxel axes"),
            ("Phase scaling", _scaling(scaling) if scaling else "none needed: real and imaginary parts"),
            ("T1w", (Path(str(plan["t1w"])).name if plan.get("t1w") else "none") + _because(plan.get("t1w_reason"))),
            ("Brain mask", _mask_origin(plan, settings)),
        ]
        if plan.get("visits"):
            names = ", ".join(Path(str(path)).name for path in plan["visits"])
            rows.append(("Registration", f"through a within-subject template of {len(plan['visits'])} images: {names}"))
    known = {"Description", "Units", "SkullStripped", "Sources", "GeneratedBy", "Notes", "Consensus"}
    if plan:  # the plan has said it already
        known |= {"EchoTimes", "MagneticFieldStrengthUsed", "MagneticFieldStrengthSource", "B0Direction", "Obliquity",
                  "PhaseScaling"}  # fmt: skip
    return rows + [(_words(key), _told(key, value)) for key, value in record.sidecar.items() if key not in known]


_FINDERS = {"ants": "registration of the template", "deepbet": "deepbet", "synthstrip": "SynthStrip"}


def _mask_origin(plan: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    method, image = entries.brain_finder(settings, plan)
    if method == "precomputed":
        name = Path(str(plan.get("mask") or plan.get("t1w_mask"))).name
        return f"given: {name}" + (", replaced by the user in the output dataset" if plan.get("mask_replaced") else "")
    if method != "quality":
        own = "T1w" if image == "T1w" else "gradient echo"
        return f"by {_FINDERS[method]}, on the {'within-subject template' if plan.get('visits') else own}"
    if not entries.has_magnitude(plan):
        return "from phase quality alone (no magnitude)"
    asked = settings.get("skull_strip") == "quality"
    return f"from signal and phase quality alone ({'--skull-strip quality' if asked else '--no-normalization'})"


def _mask_told(record: Record, settings: Mapping[str, Any]) -> list[str]:
    """Where the brain mask comes from and what was done to it, one sentence each."""
    told = [f"Brain mask {_mask_origin(record.plan, settings)}."] if record.plan else []
    return told + [f"{text[:1].upper()}{text[1:]}." for text in record.mask.get("MaskActions", ())]


def _stopped(settings: Mapping[str, Any]) -> bool:
    return settings.get("stop_after") == "mask"


def _told(key: str, value: Any) -> str:
    """A value of the sidecar; what is a χ in ppm is told in ppb, as everywhere on the page."""
    if isinstance(value, float) and key.endswith(("Offset", "StandardDeviation", "MeanBeforeReference", "Noise")):
        return f"{1000 * value:.2f} ppb"
    return _plain(value)


def _because(reason: Any) -> str:
    return f" ({reason})" if reason else ""


def _vector(values: Iterable[float]) -> str:
    return "(" + ", ".join(f"{value:.3f}" for value in values) + ")"


def _scaling(scaling: Mapping[str, Any]) -> str:
    text = str(scaling.get("description") or scaling.get("kind", "")).rstrip(".")
    return f"{text}; decided from {scaling['source']}" if scaling.get("source") else text


def _words(key: str) -> str:
    """CamelCase key of a sidecar in words."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", key).split(" ")
    return " ".join([words[0], *(word if word.isupper() else word.lower() for word in words[1:])])


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_plain(item) for item in value)
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _of_subject(entries: Iterable[Mapping[str, str]], label: str) -> list[Mapping[str, str]]:
    """Entries of the plan (skipped, passed over) that belong to a participant."""
    pattern = re.compile(rf"(^|/)sub-{re.escape(label)}(?![A-Za-z0-9])")
    return [item for item in entries if pattern.search(str(item.get("path_or_run", "")))]


def _errors(
    records: Iterable[Record], label: str, plan: Any, failures: list[Any] | None, out_dir: Path
) -> list[dict[str, str]]:
    """Failures of the participant's runs, and those of the participant that belong to no run."""
    names = {record.name for record in records}
    skipped = _of_subject(plan_dict(plan, out_dir).get("skipped", ()), label)  # told under Summary
    refused = {str(item["path_or_run"]) for item in skipped}
    return [
        failure
        for failure in read_failures(failures, out_dir)
        if failure["run"] in names
        or (split_name(failure["run"])[0].get("subject") == label and failure["run"] not in refused)
    ]


def _error_view(failure: Mapping[str, str], out_dir: Path) -> dict[str, str]:
    view, text = dict(failure), ""
    if failure["crash_file"]:
        # an absolute path stays as it is
        places = [out_dir / failure["crash_file"], out_dir / "logs" / failure["crash_file"]]
        found = [place for place in places if place.is_file()]
        text = found[0].read_text(encoding="utf-8", errors="replace") if found else ""
    view["text"] = text if len(text) <= CRASH_CHARACTERS else "[...]\n" + text[-CRASH_CHARACTERS:]
    view["crash_file"] = Path(failure["crash_file"]).name
    return view


def _settings_text(settings: Any, out_dir: Path) -> str:
    stored = out_dir / "logs" / "settings.toml"
    if stored.is_file() and (settings is None or getattr(settings, "reports_only", False)):
        return stored.read_text(encoding="utf-8", errors="replace")
    return str(settings.to_toml()) if hasattr(settings, "to_toml") else ""
