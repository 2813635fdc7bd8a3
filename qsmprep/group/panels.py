"""Packaged sets of regions, contrasts and scores per disease (`--panel`), each region with what was published on it."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from qsmprep.errors import check_choice
from qsmprep.settings import PANEL_DIR, panel_names

EXPECTED = ("higher", "lower", "same")


@dataclass(frozen=True)
class PanelRegion:
    """A region, in whom χ is expected how against controls, and the publication that says so."""

    name: str
    group: str
    expected: str
    source: str


@dataclass(frozen=True)
class Panel:
    """What a packaged panel holds.

    Attributes
    ----------
    name : AD, PD, ...
    title : the disease in words
    regions : with what is expected of them
    contrasts : those whose groups are there are tested
    scores : those whose column is there are correlated
    references : key -> citation with DOI or PubMed Central id
    """

    name: str
    title: str
    regions: tuple[PanelRegion, ...]
    contrasts: tuple[str, ...]
    scores: tuple[str, ...]
    references: Mapping[str, str]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the regions, each once."""
        return tuple(dict.fromkeys(region.name for region in self.regions))


def read_panel(name: str) -> Panel:
    """A packaged panel; `all` joins all of them.

    Raises
    ------
    UsageError
        If there is none of that name.
    """
    check_choice("--panel", name, panel_names())
    if name != "all":
        return _read(PANEL_DIR / f"{name}.toml")
    panels = [read_panel(one) for one in panel_names() if one != "all"]
    return Panel(
        name="all",
        title="all panels together",
        regions=tuple(region for panel in panels for region in panel.regions),
        contrasts=tuple(dict.fromkeys(contrast for panel in panels for contrast in panel.contrasts)),
        scores=tuple(dict.fromkeys(score for panel in panels for score in panel.scores)),
        references={key: text for panel in panels for key, text in panel.references.items()},
    )


def _read(path: Path) -> Panel:
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    regions = tuple(
        PanelRegion(name, entry["group"], entry["expected"], entry["source"])
        for entry in content["region"]
        for name in entry["names"]
    )
    return Panel(
        name=path.stem,
        title=content["title"],
        regions=regions,
        contrasts=tuple(content["contrasts"]),
        scores=tuple(content["scores"]),
        references=content["references"],
    )
