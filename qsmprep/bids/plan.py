"""From a dataset to a plan: what will run, what is skipped or passed over, and why."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError, NothingToDoError
from .anatomy import AnatomyChooser
from .echoes import find_b0, find_bipolar, read_acquisition
from .expected import disk_gb, expected_outputs, has_magnitude, memory_gb, region_names
from .external import ExternalAnatomy, read_derivatives
from .filters import BidsFilter, read_filter
from .grouping import Group, Grouping, group_images
from .images import Grid
from .index import BidsFile, check_dataset, choose_participants, find_images, shorten_list
from .longitudinal import add_visits
from .manual import add_manual_regions, check_atlas_space
from .masks import choose_brain
from .model import SCANNER_KEYS, Echo, Plan, Run, Skipped
from .phase_look import look_at_phase
from .sidecars import Sidecars

if TYPE_CHECKING:
    from ..settings import Settings

Anatomies = tuple[AnatomyChooser, ExternalAnatomy]

__all__ = ["Echo", "Plan", "Run", "Skipped", "check_request", "make_plan", "nothing_to_do"]


def check_request(settings: Settings) -> tuple[tuple[str, ...], BidsFilter]:
    """Participants and filter that the settings ask for; raises like `make_plan`, without opening an image."""
    check_dataset(settings.bids_dir)
    filters = read_filter(settings.bids_filter_file)
    return choose_participants(settings.bids_dir, settings.participant_label), filters


def make_plan(settings: Settings) -> Plan:
    """Look at every image of the wanted participants and say what will become of it.

    Parameters
    ----------
    settings : names the dataset, participants, sessions, filters and derivatives

    Returns
    -------
    plan : may have no runs; `nothing_to_do` then says why

    Raises
    ------
    UsageError
        If the dataset, a participant, a session, the filter file or a derivative folder does not exist or is wrong.
    NothingToDoError
        If the dataset has no participants.
    """
    from ..regions.neighbours import check_neighbours

    participants, filters = check_request(settings)
    files = find_images(settings, participants)
    found = group_images(files, filters, settings.session_label)
    derivatives = read_derivatives(settings.derivatives, participants)
    derived = [image for dataset in derivatives for image in dataset.images]
    masks = list(derived)
    if settings.skull_strip == "precomputed":
        masks += files
    sidecars = Sidecars(settings.bids_dir)
    anatomy = AnatomyChooser(found.anatomical, sidecars), ExternalAnatomy(derivatives, settings.template)
    runs: list[Run] = []
    skipped: list[Skipped] = []
    # reading and unpacking release the interpreter's lock
    with ThreadPoolExecutor(max_workers=min(settings.nprocs, 8)) as pool:
        results = list(
            pool.map(lambda group: _plan_group(group, settings, sidecars, anatomy, (masks, derived)), found.groups)
        )
    for result in results:
        (runs if isinstance(result, Run) else skipped).append(result)  # type: ignore[arg-type]
    runs, clashing = _split_clashes(runs)
    runs = add_visits(runs, settings)
    if settings.neighbours and runs:
        check_neighbours(settings.neighbours, region_names(runs, settings))
    notes = list(filters.notes)
    if settings.bids_database_dir is not None and settings.bids_database_dir.exists():
        notes.append(f"files are listed from {settings.bids_database_dir}; delete it after adding files to the dataset")
    used = {str(path) for run in runs for path in (run.mask, run.t1w_mask)}
    passed = [entry for entry in found.passed_over if entry.path_or_run not in used]
    passed += [*found.filtered, *_unused_anatomical(found, runs)]
    return Plan(tuple(runs), (*skipped, *clashing), tuple(passed), participants, tuple(notes))


def _plan_group(
    group: Group,
    settings: Settings,
    sidecars: Sidecars,
    anatomy: Anatomies,
    images: tuple[Sequence[BidsFile], Sequence[BidsFile]],
) -> Run | Skipped:
    """The run of a group; `images` are where brain masks, and where manual regions, are looked for."""
    try:
        acquisition = read_acquisition(group, sidecars)
        b0, source, nominal, b0_notes = find_b0(acquisition.metadata, settings.field_strength)
        alternating_axis, phase_notes = look_at_phase(acquisition, b0)
    except InputError as error:
        return Skipped(group.name, str(error))
    grid, echoes = acquisition.grid, acquisition.echoes
    bipolar, bipolar_notes = find_bipolar(acquisition.metadata, len(echoes))
    direction, obliquity = grid.b0_dir()
    run = Run(
        entities=group.entities,
        suffix=group.suffix,
        echoes=echoes,
        b0=b0,
        b0_source=source,
        nominal_field=nominal,
        scanner={key: str(told) for key in SCANNER_KEYS if (told := acquisition.metadata.get(key))},
        shape=grid.shape,
        voxel_size=grid.voxel_size,
        b0_dir=direction,
        obliquity=obliquity,
        phase_scaling=acquisition.scaling,
        bipolar=bipolar,
        alternating_axis=alternating_axis,
        memory_gb=memory_gb(grid.shape, grid.voxel_size, len(echoes), settings.vsharp.radius_max_mm),
        disk_gb=disk_gb(grid.shape, len(echoes)),
        notes=(
            *acquisition.notes,
            *b0_notes,
            *bipolar_notes,
            *phase_notes,
            *_about(grid, group, len(echoes)),
            *_about_settings(settings),
        ),
    )
    if settings.reference == "csf" and not (has_magnitude(run) and len(echoes) > 1):
        reason = "--reference csf finds the ventricles by R2*, for which it needs two echoes with magnitude"
        return Skipped(group.name, f"{reason}; leave the run out with --bids-filter-file or choose another --reference")
    if settings.reference not in ("brain", "none") and not has_magnitude(run):
        reason = f"--reference {settings.reference} needs a registration to the template, and so a magnitude"
        return Skipped(group.name, f"{reason}; leave the run out with --bids-filter-file or choose another --reference")
    try:
        run = choose_brain(_with_anatomy(run, settings, anatomy), grid, settings, images[0])
        run = check_atlas_space(add_manual_regions(run, grid, settings, images[1]), grid, settings)
    except InputError as error:
        return Skipped(group.name, str(error))
    return replace(run, outputs=expected_outputs(run, settings))


def _with_anatomy(run: Run, settings: Settings, anatomy: Anatomies) -> Run:
    """The run with its T1w image, if it is to be registered: another program's preprocessed one before a raw one."""
    if not settings.normalization:
        return replace(run, t1w_reason="not used: nothing is registered (--no-normalization)")
    if not has_magnitude(run):
        notes = (*run.notes, "without magnitude it cannot be registered: no regions, no template space")
        return replace(run, t1w_reason="not used: without magnitude nothing can be registered to it", notes=notes)
    raw, external = anatomy
    t1w, reason = raw.choose(run.subject, run.session)
    found, notes = external.choose(run.subject, run.session, t1w)
    run = replace(run, t1w=t1w, t1w_reason=reason, notes=(*run.notes, *notes))
    if found is None:
        return run
    registered = " and registered to the template" if found.to_template else ""
    reason = f"preprocessed{registered} by {found.program}" + (f", in place of {t1w.name}" if t1w else "")
    return replace(run, t1w=found.t1w, t1w_reason=reason, external=found)


def _about(grid: Grid, group: Group, echoes: int) -> list[str]:
    notes = []
    if not grid.oriented:
        notes.append("the header has no orientation: B0 is taken to run along the third voxel axis")
    if echoes == 1:
        notes.append("single echo: no R2*, T2* or S0, and the phase offset cannot be told from the field")
    if group.suffix not in ("MEGRE", "T2starw"):
        notes.append(f"suffix {group.suffix}: taken as a gradient echo because it has phase")
    return notes


def _about_settings(settings: Settings) -> list[str]:
    return ["--phase-sign -: the phase is taken to fall with the field"] if settings.phase_sign < 0 else []


def _split_clashes(runs: list[Run]) -> tuple[list[Run], list[Skipped]]:
    """Output names have no suffix, so of two runs that differ in nothing else (MEGRE, GRE) the first one stays."""
    kept: dict[str, Run] = {}
    clashing = []
    for run in sorted(runs, key=lambda r: (r.name, r.suffix != "MEGRE", r.suffix)):
        first = kept.setdefault(run.name, run)
        if first is not run:
            reason = (
                f"its outputs would have the same names as those of {first.name}_{first.suffix}, which is processed. "
                'Tell them apart with acq-, or choose one with --bids-filter-file: {"gre": {"suffix": "..."}}'
            )
            clashing.append(Skipped(f"{run.name}_{run.suffix}", reason))
    return list(kept.values()), clashing


def _unused_anatomical(found: Grouping, runs: list[Run]) -> list[Skipped]:
    used = {run.t1w for run in runs}
    return [
        Skipped(str(file.path), "T1w image that no run needs: another was chosen, or no gradient echo is registered")
        for file in found.anatomical
        if file.path not in used
    ]


def nothing_to_do(plan: Plan, settings: Settings) -> NothingToDoError:
    """Why a plan has no runs: what was searched, what was found, and what removed it."""
    filters: BidsFilter = read_filter(settings.bids_filter_file)
    people = shorten_list([f"sub-{label}" for label in plan.participants])
    sessions = f" (sessions {', '.join(settings.session_label)})" if settings.session_label else ""
    lines = [
        f"Nothing to process. Searched anat/ and swi/ of {people}{sessions} in {settings.bids_dir} for gradient echoes "
        "with part-phase, or part-real and part-imag."
    ]
    removed = [entry for entry in plan.passed_over if "--bids-filter-file, gre" in entry.reason]
    if removed:
        name, reason = Path(removed[0].path_or_run).name, removed[0].reason.split(": ", 1)[1]
        lines.append(
            f"{len(removed)} images were removed by --bids-filter-file {settings.bids_filter_file}, entry gre "
            f"{filters.asks_for('gre')}: for example {name} ({reason})."
        )
    lines += [f"Cannot be processed: {entry.path_or_run}: {entry.reason}." for entry in plan.skipped[:20]]
    rest = [entry for entry in plan.passed_over if entry not in removed]
    if rest and not plan.skipped:
        lines.append(f"{len(rest)} other images were passed over:")
        lines += [f"  {os.path.relpath(e.path_or_run, settings.bids_dir)}: {e.reason}" for e in rest[:10]]
    if not rest and not removed and not plan.skipped:
        lines.append("No images were found there at all.")
    return NothingToDoError("\n".join(lines))
