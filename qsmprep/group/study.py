"""The study template: a space made of the participants themselves, and their maps in it."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qsmprep import data
from qsmprep.bids.derivatives import bids_uri, sidecar, sidecar_path, write_image
from qsmprep.errors import QsmprepError
from qsmprep.group.maps import Source
from qsmprep.group.people import Ledger
from qsmprep.group.quantities import CHI
from qsmprep.group.spaces import STUDY, Space, standard_space
from qsmprep.group.studycarry import carry
from qsmprep.group.studyinput import WEIGHT, contrasts_of, key_of, prepare, usable_maps
from qsmprep.settings import Settings
from qsmprep.space.multicontrast import refine_nuclei
from qsmprep.space.resample import apply
from qsmprep.space.study import LEVELS, ROUNDS, Study, build_study

logger = logging.getLogger("qsmprep")
MEMORY_GB = 1.5  # of one process


@dataclass(frozen=True)
class StudySpace:
    """The study's space and what lies in it.

    Attributes
    ----------
    space : with the atlases, brought over by χ
    sources : the participants' maps
    found : templates and warps, in the working directory
    contrasts : suffixes of the templates
    facts : how it was made, as plain values
    """

    space: Space
    sources: tuple[Source, ...]
    found: Study
    contrasts: tuple[str, ...]
    facts: Mapping[str, Any]


def make_study_space(sources: Sequence[Source], settings: Settings, ledger: Ledger) -> StudySpace | None:
    """Build the study template; write it, the ways to it, and all maps in its space into `group/` and `group/study/`.

    Registrations that an earlier call with the same maps has made are taken from `--work-dir`.

    Parameters
    ----------
    sources : maps in template space

    Returns
    -------
    None where fewer than two participants have a χ map; the ledger tells

    Raises
    ------
    QsmprepError
        If a registration fails, or the maps are empty.
    """
    usable = usable_maps(sources, ledger)
    people = {source.participant for source in usable}
    if len(people) < 2:
        ledger.note(f"study template: left out: participants with a χ map in template space: {len(people)}, needed: 2.")
        return None
    contrasts = contrasts_of(usable, ledger)
    key = key_of(usable, contrasts, settings)
    work = settings.work_dir / "study_template" / key
    workers = max(1, min(settings.nprocs, int(settings.mem_gb / MEMORY_GB)))
    logger.info("Study template: %d participants, %s; work in %s", len(people), " and ".join(contrasts), work)
    members = prepare(usable, contrasts, work / "people")
    weights = [WEIGHT] * len(contrasts)
    own = [source for source in sources if source.participant in people]
    reference = bids_uri(settings.group_dir / f"space-{STUDY}_desc-template_{CHI.suffix}.nii.gz", settings)
    about = {"spatial_reference": reference, "StudyTemplate": key}
    try:
        found = build_study(members, weights, work, workers=workers, seed=settings.random_seed, progress=_tell)
        moved = carry(own, found, usable[0].image, about, settings, workers)
        facts = _write_templates(found, contrasts, about, settings)
        atlases, shift = _write_atlases(found, usable[0].image, about, settings)
    except (RuntimeError, ValueError) as error:
        raise QsmprepError(
            f"--study-template: a registration failed: {error}. What is done is kept in {work}: run the same command "
            "again, with fewer --nprocs if memory was short."
        ) from None
    return StudySpace(Space(STUDY, atlases, reference), moved, found, contrasts, facts | {"NucleiShiftMM": shift})


def _tell(number: int, done: int, total: int) -> None:
    logger.info("Study template: round %d of %d, %d of %d participants", number, ROUNDS, done, total)


def _write_templates(
    found: Study, contrasts: Sequence[str], about: Mapping[str, Any], settings: Settings
) -> dict[str, Any]:
    """Write the templates; returns how they were made."""
    import nibabel as nib

    facts: dict[str, Any] = {
        "Participants": list(found.names),
        "Contrasts": list(contrasts),
        "Rounds": ROUNDS,
        "Registration": "SyN, cross-correlation; iterations {}, shrink factors {}, smoothing {} voxels".format(*LEVELS),
        "Seed": settings.random_seed,
        "DriftMM": list(found.drift_mm),
        "SpreadMM": found.spread_mm,
        "BiasMM": found.bias_mm,
        "Reference": "https://doi.org/10.1016/j.neuroimage.2009.09.062",
    }
    for suffix, path in zip(contrasts, found.templates, strict=True):
        image: Any = nib.load(path)
        meta = sidecar(
            settings,
            description="Study template, to which participants were registered: their mean, a little sharpened",
            units=CHI.unit if suffix == CHI.suffix else "arbitrary: the median of each participant is 1",
            skull_stripped=True,
            **about,
            **facts,
        )
        out = settings.group_dir / f"space-{STUDY}_desc-template_{suffix}.nii.gz"
        write_image(out, np.asarray(image.dataobj, np.float32), image.affine, meta)
    return facts


def _write_atlases(
    found: Study, grid: Path, about: Mapping[str, Any], settings: Settings
) -> tuple[dict[str, Path], float]:
    """Write the atlases in the study's space on the grid of the participants' maps; and how far nuclei moved [mm].

    The mean of all ways between the standard space and the study's is none, so labels stay where they are; but the deep
    nuclei are matched to χ of the template, which shows them better than that of any participant.
    """
    import nibabel as nib

    atlases = {}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        refined = refine_nuclei(found.templates[0], [], work, seed=settings.random_seed)
        for name, labels in standard_space(settings).atlases.items():
            moved: Any = nib.load(apply(labels, grid, refined.from_template, work / "moved.nii", interpolation="label"))
            atlases[name] = settings.group_dir / f"space-{STUDY}_seg-{name}_dseg.nii.gz"
            text = f"Labels of {name} in the space of the study template"
            meta = sidecar(settings, description=text, NucleiShiftMM=refined.shift_mm, **about)
            write_image(atlases[name], np.asarray(moved.dataobj).astype(np.int16), moved.affine, meta)
            shutil.copyfile(data.atlas(name).labels, sidecar_path(atlases[name]).with_suffix(".tsv"))
    return atlases, refined.shift_mm
