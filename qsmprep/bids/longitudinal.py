"""Which sessions of a participant are registered through one within-subject template."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from .expected import expected_outputs, has_magnitude
from .model import Run

if TYPE_CHECKING:
    from ..settings import Settings


def add_visits(runs: Sequence[Run], settings: Settings) -> list[Run]:
    """The runs, with the images of their participant's within-subject template, or a note on why there is none.

    Images are of one kind: the T1w images of the sessions, or where a participant has none, the magnitudes of all
    runs. A session without a T1w image of its own takes part by the one that was chosen for it.
    """
    if not settings.longitudinal:
        return list(runs)
    found = []
    for run in runs:
        together = [other for other in runs if other.subject == run.subject and has_magnitude(other)]
        images, reason = visits_of(together)
        if not has_magnitude(run):
            found.append(run)  # its notes tell that it cannot be registered at all
        elif reason:
            found.append(replace(run, notes=(*run.notes, f"--longitudinal: processed session-wise, since {reason}")))
        else:
            found.append(_with_visits(run, images, settings))
    return found


def visits_of(runs: Sequence[Run]) -> tuple[tuple[Path, ...], str]:
    """Images of the within-subject template of one participant's runs, or the reason why there is none."""
    sessions = {run.session for run in runs}
    if len(sessions) < 2:
        return (), "the participant has one session to process"
    t1ws = sorted({run.t1w for run in runs if run.t1w is not None})
    if len(t1ws) == 1:
        return (), f"all sessions share one T1w image ({t1ws[0].name}), through which all their labels go"
    return tuple(t1ws or (run.files[0] for run in runs)), ""


def _with_visits(run: Run, images: tuple[Path, ...], settings: Settings) -> Run:
    kind = "T1w images" if run.t1w else "magnitudes"
    notes = [f"--longitudinal: registered through a within-subject template of {len(images)} {kind}"]
    if run.external is not None and run.external.to_template is not None:
        notes.append(f"{run.external.program}: its registration is not used, since --longitudinal has another way")
    run = replace(run, visits=images, notes=(*run.notes, *notes))
    return replace(run, outputs=expected_outputs(run, settings))
