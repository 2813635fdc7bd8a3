"""What `group.html` shows of the study template, and how well participants agree in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qsmprep import data
from qsmprep.bids.derivatives import write_json
from qsmprep.group.maps import GroupMap
from qsmprep.group.quantities import CHI
from qsmprep.group.report import map_views
from qsmprep.group.spaces import STUDY, Space
from qsmprep.group.study import StudySpace
from qsmprep.group.voxels import atlas_labels
from qsmprep.report.page import data_uri
from qsmprep.settings import Settings

Means = Sequence[tuple[str, GroupMap]]


def study_view(
    study: StudySpace, standard: Means, own: Means, space: Space, folder: Path, settings: Settings
) -> dict[str, Any]:
    """Text, numbers and pictures for the page; writes `group/study_template.json`.

    Parameters
    ----------
    standard, own : mean maps in the standard space, `space`, and in the study's; that of all participants is the first
    folder : `group/`
    """
    facts = dict(study.facts)
    for key, means, where in (("ChiSDStandardPPB", standard, space), ("ChiSDStudyPPB", own, study.space)):
        found = [mean for name, mean in means if not name and mean.quantity == CHI]
        facts[key] = spread(found[0], where) if found else float("nan")
    write_json(folder / "study_template.json", facts)
    people = len(facts["Participants"])
    text = (
        f"{people} participants were registered to their own mean ({' and '.join(study.contrasts)}) in "
        f"{facts['Rounds']} rounds, in each of which its shape was set to the mean of all. Maps, warps and atlases in "
        "its space are beside this page (space-study_*) and in study/."
    )
    numbers = [
        (f"SD of χ in the deep nuclei over participants in {space.name} [ppb]", facts["ChiSDStandardPPB"]),
        ("the same in the study's space", facts["ChiSDStudyPPB"]),
        ("Displacement of a participant, root mean square [mm]", facts["SpreadMM"]),
        ("Largest mean displacement of all (0: unbiased) [mm]", facts["BiasMM"]),
        ("Change of shape in the last round [mm]", facts["DriftMM"][-1]),
    ]
    shown = [(name, f"{value:.3g}") for name, value in numbers if np.isfinite(value)]
    pictures = [*_outlines(study, folder, settings), *_nuclei(study, own, folder), *map_views(own, STUDY, folder)]
    return {"space": "the study template", "text": text, "numbers": shown, "maps": pictures}


def spread(mean: GroupMap, space: Space) -> float:
    """Mean SD of a quantity over participants in the deep nuclei [as differences are told], where all are counted."""
    labels = atlas_labels(mean.sd.shape, mean.affine, {"deepgrey": space.atlases["deepgrey"]})
    where = (labels > 0) & (mean.n == len(mean.participants))
    return float(mean.quantity.factor * mean.sd[where].mean()) if where.any() else float("nan")


def _outlines(study: StudySpace, folder: Path, settings: Settings) -> list[Mapping[str, str]]:
    """The mean of all before and after registration, with edges of the standard template."""
    import nibabel as nib
    from nibabel.processing import resample_from_to

    from qsmprep.report.figures import plot_registration

    start, final, mask = (
        nib.load(path) for path in (study.found.start[-1], study.found.templates[-1], study.found.mask)
    )
    standard: Any = resample_from_to(nib.load(data.template("T1w")), final, order=1)
    inside = np.asarray(mask.dataobj) > 0
    if not np.asarray(standard.dataobj)[inside].any():
        return []
    outs = [
        folder / "figures" / f"space-{STUDY}_desc-{name}_{study.contrasts[-1]}.webp" for name in ("before", "after")
    ]
    names = (f"Study template ({study.contrasts[-1]})", settings.template)
    plot_registration(
        standard.get_fdata(), start.get_fdata(), final.get_fdata(), final.affine, *outs, mask=inside, names=names
    )
    return [
        {"title": f"Mean of all {name} registration to each other", "uri": data_uri(out)}
        for name, out in zip(("before", "after"), outs, strict=True)
    ]


def _nuclei(study: StudySpace, own: Means, folder: Path) -> list[Mapping[str, str]]:
    """Mean χ with the outlines of the deep nuclei."""
    import nibabel as nib

    from qsmprep.regions import read_labels
    from qsmprep.report.figures import plot_labels

    found = [mean for name, mean in own if not name and mean.quantity == CHI]
    labels: Any = np.asarray(nib.load(study.space.atlases["deepgrey"]).dataobj)
    if not found or not (labels[found[0].n > 0] > 0).any():
        return []
    out = folder / "figures" / f"space-{STUDY}_seg-deepgrey_Chimap.webp"
    lookup, title = read_labels(data.atlas("deepgrey").labels), "Deep nuclei on mean χ of the study template"
    plot_labels(found[0].mean, labels, found[0].affine, found[0].n > 0, out, lookup=lookup, title=title)
    return [{"title": title, "uri": data_uri(out)}]
