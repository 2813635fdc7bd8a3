"""The spaces that maps of the group level lie in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from qsmprep import data
from qsmprep.settings import Settings

STUDY = "study"
ATLASES = ("deepgrey", "DK")


@dataclass(frozen=True)
class Space:
    """A space, with the atlases in it.

    Attributes
    ----------
    name : as `space-` in the names of files
    atlases : name -> label image; empty in a space that the packaged atlases are not in
    reference : what `SpatialReference` in sidecars says; None for a standard template
    """

    name: str
    atlases: Mapping[str, Path] = field(default_factory=dict)
    reference: str | None = None


def standard_space(settings: Settings) -> Space:
    """The space that the participant level brings maps to."""
    known = settings.template == data.SPACE
    return Space(settings.template, {name: data.atlas(name).image for name in ATLASES} if known else {})
