"""The group level: tables, mean maps and a page from the derivatives of the participant level."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qsmprep.bids.derivatives import sidecar, write_image, write_json, write_table
from qsmprep.errors import NothingToDoError
from qsmprep.group import collect, maps
from qsmprep.group.analyses import run_analyses, write_results
from qsmprep.group.collect import GroupRun
from qsmprep.group.colocalization import run_colocalization
from qsmprep.group.design import design_facts, read_design
from qsmprep.group.people import EXCLUSION_COLUMNS, People, read_people
from qsmprep.group.quantities import CHI, QUANTITIES, Quantity
from qsmprep.group.results import results_view
from qsmprep.group.sample import Groups, groups_of, left_out
from qsmprep.group.scanners import unmodelled, with_scanners
from qsmprep.group.spaces import STUDY, Space, standard_space
from qsmprep.group.voxeltext import voxel_text
from qsmprep.group.voxelviews import voxel_view
from qsmprep.group.voxelwise import baseline_maps, run_voxelwise
from qsmprep.group.writeup import write_paper
from qsmprep.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger("qsmprep")
MAX_GROUPS = 6  # that get a mean map of their own


def run_group(settings: Settings) -> Path:
    """Write `group/regions.tsv`, `group/regions_wide.tsv`, mean maps and `group/group.html`; returns the page.

    Raises
    ------
    NothingToDoError
        If the output dataset has no regional table and no χ map in template space (of the participants asked for).
    InputError
        If participants.tsv or a regional table cannot be used.
    UsageError
        If the design cannot be read.
    """
    folder = settings.group_dir
    design, panel = read_design(settings)
    runs = collect.find_runs(settings.out_dir, settings.participant_label, settings.session_label)
    sources = template_maps(runs, settings.template)
    if not any(run.tables for run in runs) and not sources:
        raise NothingToDoError(_nothing(settings, len(runs)))
    people = with_scanners(read_people(settings.bids_dir, runs, settings.participant_label), runs)
    long, wide = _write_tables(runs, people, folder)
    unused, groups = left_out(runs, design), groups_of(wide, design)
    usable = [source for source in sources if source.run not in unused]
    shown: dict[str, Any] = {}
    space, study = standard_space(settings), None
    if design.study_template:
        from qsmprep.group.study import make_study_space

        study = make_study_space(usable, settings, people.ledger)
    tested, tested_in = (usable, space) if study is None else (list(study.sources), study.space)
    if not long.empty:
        for note in unmodelled(wide, design):
            people.ledger.note(note)
        results = run_analyses(wide, runs, design, people.ledger)
        for path in write_results(folder, results):
            logger.info("%s", path)
        design = results.design
        written = []
        if design.permutations:
            written = run_voxelwise(tested, tested_in, results.sample, design, settings, people.ledger)
        voxelwise = voxel_text(written, design, tested_in.name)
        text = write_paper(folder, results.tables, design, results.second_reference, voxelwise)
        shown = results_view(results, folder, text)
        if written:
            shown["voxelwise"] = voxel_view(written, folder, design.alpha)
        if design.colocalize:
            visits = baseline_maps([source for source in usable if source.quantity == CHI], results.sample)
            run_colocalization(visits, results.sample.at_baseline(), design, settings, people.ledger)
    write_json(folder / "design.json", design_facts(design, panel) | {"notes": people.ledger.notes})
    write_table(folder / "exclusions.tsv", people.ledger.table(), EXCLUSION_COLUMNS)
    for note in people.ledger.notes:
        logger.warning("%s", note)

    means = _all_means(usable, space, groups, folder, settings)
    own: dict[str, Any] = {}
    if study is not None:
        from qsmprep.group.studyviews import study_view

        there = _all_means(tested, study.space, groups, folder, settings)
        own = study_view(study, means, there, space, folder, settings)

    _remove_former(folder, study is not None)

    from qsmprep.group.report import build_group_report

    return build_group_report(folder, runs, wide, people.has_participants, groups, means, settings, shown, own)


def _remove_former(folder: Path, with_study: bool) -> None:
    """Remove maps and tables of an earlier call that this one has not made anew: the folder is that of one design.

    What is older than the table that every call writes first is of an earlier call.
    """
    began = (folder / "regions.tsv").stat().st_mtime_ns
    patterns = ["group-*_space-*", "contrast-*_space-*", "clusters.*", "colocalization*"]
    if not with_study:
        patterns += [f"*space-{STUDY}_*", "study_template.json", f"{STUDY}/sub-*"]
    former = {path for pattern in patterns for path in folder.glob(pattern) if path.stat().st_mtime_ns < began}
    for path in former:
        path.unlink()
    if former:
        logger.info("%s: %d files of an earlier call with another design removed", folder, len(former))


def _write_tables(runs: Sequence[GroupRun], people: People, folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Write the numbers of all runs, and return them as a long and a wide table."""
    long = collect.long_table(runs)
    wide = collect.wide_table(runs, long, people.columns)
    entities = [
        column for column in long.columns if column not in ("seg", "region", "hemisphere", "statistic", "value")
    ]
    write_table(folder / "regions.tsv", long, collect.long_columns(long.columns))
    write_table(folder / "regions_wide.tsv", wide, collect.wide_columns(wide.columns, entities, people.origins))
    logger.info("%d runs, %d numbers in %s", len(runs), len(long), folder / "regions.tsv")
    return long, wide


def template_maps(runs: Sequence[GroupRun], space: str) -> list[maps.Source]:
    """The maps of each run in template space, quantity by quantity, with the mask of χ there if there is one.

    R2* is known beyond that mask, at the rim of the brain where signal is low; regional numbers do not count it either.
    """
    sources = []
    for quantity, run in itertools.product(QUANTITIES.values(), runs):
        found = sorted(run.folder.glob(f"{run.name}_space-{space}*_{quantity.suffix}.nii*"))
        found = [path for path in found if "_desc-" not in path.name]
        if found:
            stem = found[0].name.split(f"_{quantity.suffix}")[0]
            masks = sorted(run.folder.glob(f"{stem}_desc-qsm_mask.nii*"))
            mask = masks[0] if masks else None
            sources.append(maps.Source(run.name, run.participant_id, found[0], mask, quantity))
    return sources


def _all_means(
    usable: Sequence[maps.Source], space: Space, groups: Groups, folder: Path, settings: Settings
) -> list[tuple[str, maps.GroupMap]]:
    parts = (_write_maps(quantity, usable, space, groups, folder, settings) for quantity in QUANTITIES.values())
    return list(itertools.chain.from_iterable(parts))


def _write_maps(
    quantity: Quantity,
    usable: Sequence[maps.Source],
    space: Space,
    groups: Groups,
    folder: Path,
    settings: Settings,
) -> list[tuple[str, maps.GroupMap]]:
    """Mean, median, SD and count over all participants, whose name is '', and per group."""
    sources = [source for source in usable if source.quantity == quantity]
    if not sources:
        return []
    parts: dict[str, list[maps.Source]] = {"": sources}
    if 1 < len(groups.names) <= MAX_GROUPS:
        for name in groups.names:
            parts[name] = [source for source in sources if groups.members.get(source.participant) == name]
    means = []
    for name, members in parts.items():
        try:
            mean = maps.mean_map(members)
        except ValueError as error:
            logger.warning("No mean %s map%s: %s", quantity.symbol, f" of group {name}" if name else "", error)
            continue
        _write_map(mean, name, members, space, folder, settings)
        means.append((name, mean))
    return means


def _write_map(
    group_map: maps.GroupMap, name: str, members: Sequence[maps.Source], space: Space, folder: Path, settings: Settings
) -> None:
    label = "".join(c for c in name if c.isalnum())
    prefix = f"group-{label}_" if name else ""
    by_mask = sum(1 for member in members if member.mask is not None)
    counted = f"inside the mask of χ ({by_mask} runs), where the map is not 0 ({len(members) - by_mask} runs)"
    quantity = group_map.quantity
    symbol, unit = quantity.symbol, quantity.unit
    for desc, data, units, text in (
        ("mean", group_map.mean, unit, f"Mean {symbol} over participants"),
        ("median", group_map.median, unit, f"Median {symbol} over participants"),
        ("sd", group_map.sd, unit, f"Standard deviation of {symbol} over participants"),
        ("n", group_map.n, "1", "Number of participants counted in each voxel"),
    ):
        if data is None:
            continue
        meta = sidecar(
            settings,
            sources=[member.image for member in members],
            description=f"{text}{f' of group {name}' if name else ''}; runs of one participant are averaged first",
            units=units,
            skull_stripped=True,
            resolution="that of the participants' maps",
            spatial_reference=space.reference,
            Participants=list(group_map.participants),
            Excluded=[f"{run}: {reason}" for run, reason in group_map.excluded] or None,
            CountedVoxels=counted,
        )
        path = folder / f"{prefix}space-{space.name}_desc-{desc}_{quantity.suffix}.nii.gz"
        write_image(path, data, group_map.affine, meta)


def _nothing(settings: Settings, n_runs: int) -> str:
    asked = [f"sub-{label}" for label in settings.participant_label] + [f"ses-{s}" for s in settings.session_label]
    scope = f" of {', '.join(asked)}" if asked else ""
    found = f"found {n_runs} run{'s' if n_runs != 1 else ''} without regional numbers" if n_runs else "found none"
    advice = (
        "They come with the registration to the template: run the participant level without --no-normalization"
        if n_runs
        else f"Run the participant level first: qsmprep {settings.bids_dir} {settings.out_dir} participant"
    )
    return (
        f"{settings.out_dir}: no results{scope} to put together: expected files such as "
        f"sub-01/anat/sub-01_seg-deepgrey_desc-stats_dseg.tsv, {found}. {advice}"
    )
