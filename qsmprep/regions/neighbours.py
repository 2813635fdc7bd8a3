"""Each region against a named neighbour: the signal of the motor cortex relative to the sensory one, and the like."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING

import numpy as np

from ..errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

PACKAGED = ("precentral=postcentral", "precentral hand area=postcentral")
"""Neighbours in the packaged atlases: the sensory cortex lies across the same sulcus, and is spared in ALS."""
COLUMNS = ("neighbour", "contrast_neighbour")


def parse_neighbours(pairs: Iterable[str]) -> dict[str, str]:
    """Region -> neighbour, of texts `REGION=OTHER`; both may be written `SEG.NAME`. The last word on a region counts.

    Raises
    ------
    UsageError
        If a text is no such pair, or names a region as its own neighbour.
    """
    found: dict[str, str] = {}
    for text in pairs:
        region, equals, other = (part.strip() for part in text.partition("="))
        if not (equals and region and other) or "=" in other:
            raise UsageError(
                f"--neighbour {text}: expected REGION=OTHER, for example --neighbour 'SNr=red nucleus'; the names are "
                "those in the TSV beside each seg- image."
            )
        if region == other:
            raise UsageError(f"--neighbour {text}: a region is not its own neighbour. Name another after the =.")
        found[region] = other
    return found


def check_neighbours(pairs: Iterable[str], names: Mapping[str, Iterable[str]]) -> None:
    """Make sure that asked-for regions and neighbours exist in a segmentation.

    Parameters
    ----------
    pairs : texts `REGION=OTHER`
    names : segmentation -> names of its regions

    Raises
    ------
    UsageError
        If one does not; the message suggests the nearest name.
    """
    known = {name for of_one in names.values() for name in of_one}
    known |= {f"{seg}.{name}" for seg, of_one in names.items() for name in of_one}
    for region, other in parse_neighbours(pairs).items():
        for name in (region, other):
            if name not in known:
                near = get_close_matches(name, sorted(known), n=1)
                hint = f"Did you mean {near[0]!r}?" if near else "The TSV beside each seg- image lists them."
                raise UsageError(
                    f"--neighbour {region}={other}: no region is named {name!r} in {', '.join(names)}. {hint}"
                )


def add_neighbours(
    tables: Mapping[str, pd.DataFrame], segmentation: str, pairs: Sequence[str] = PACKAGED
) -> pd.DataFrame:
    """A regional table with the columns `neighbour` and `contrast_neighbour`.

    The neighbour is looked for in the same segmentation, then in the others in their order, on the same side of the
    head; one that is on neither side (n/a) serves both.

    Parameters
    ----------
    tables : segmentation -> regional table of one run, with name, hemisphere and chi_mean [ppm]
    segmentation : whose table is wanted
    pairs : texts `REGION=OTHER`; `SEG.NAME` ties a name to one segmentation

    Returns
    -------
    table : a copy; where a region has no neighbour, or that is not there, both columns are missing
    """
    wanted = parse_neighbours(pairs)
    order = [segmentation, *(seg for seg in tables if seg != segmentation)]
    means = {
        (seg, str(name), str(side)): float(mean)
        for seg in order
        for name, side, mean in tables[seg][["name", "hemisphere", "chi_mean"]].itertuples(index=False)
    }
    own = tables[segmentation]
    told: list[str | None] = []
    contrasts: list[float] = []
    for name, side, mean in own[["name", "hemisphere", "chi_mean"]].itertuples(index=False):
        other = wanted.get(f"{segmentation}.{name}", wanted.get(name))
        found = next((key for key in _places(other, str(side), order) if key in means), None) if other else None
        if found is None:
            told.append(None)
            contrasts.append(float("nan"))
            continue
        told.append(found[1] if found[0] == segmentation else f"{found[0]}.{found[1]}")
        contrasts.append(float(mean) - means[found])
    return own.assign(neighbour=np.array(told, object), contrast_neighbour=contrasts)


def _places(other: str, side: str, order: Sequence[str]) -> Iterable[tuple[str, str, str]]:
    """Where a neighbour may be found: segmentation, name, hemisphere."""
    seg, dot, name = other.partition(".")
    tied = [(seg, name)] if dot and seg in order else []
    for place in [*tied, *((seg, other) for seg in order)]:
        for hemisphere in dict.fromkeys((side, "n/a")):
            yield (*place, hemisphere)
