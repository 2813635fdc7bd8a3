"""Which regions of the tables a design means."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from qsmprep.group.design import Design
from qsmprep.group.people import Ledger

# of segmentations that name the same region, the one that a bare name means
_PREFERRED = ("deepgrey", "parts", "DK")


def choose_regions(columns: Iterable[str], design: Design, ledger: Ledger) -> list[str]:
    """Labels `seg.name.hemisphere` that the design means, in the order of the tables.

    Without `regions`, all; a region that two segmentations have (putamen) counts once, from the packaged deep-grey
    atlas before others, so that a family holds no number twice.
    """
    labels = list(dict.fromkeys(c.rsplit(".", 1)[0] for c in columns if c.count(".") >= 3))
    parts = {label: _split(label) for label in labels}
    present = sorted({seg for seg, _, _ in parts.values()})
    segs = [*(seg for seg in _PREFERRED if seg in present), *(seg for seg in present if seg not in _PREFERRED)]
    if not design.regions:
        owner: dict[tuple[str, str], str] = {}
        for seg in segs:
            for label in labels:
                if parts[label][0] == seg:
                    owner.setdefault(parts[label][1:], label)
        chosen = set(owner.values())
        return [label for label in labels if label in chosen and parts[label][0] not in design.raters]
    chosen = set()
    for wanted in design.regions:
        found = [label for label in labels if wanted in (label, label.rsplit(".", 1)[0], parts[label][0])]
        if not found:
            name, _, side = wanted.rpartition(".") if wanted.endswith((".L", ".R")) else (wanted, "", "")
            for seg in segs:
                found = [b for b in labels if parts[b][:2] == (seg, name) and side in ("", parts[b][2])]
                if found:
                    break
        if not found:
            names = {name for _, name, _ in parts.values()} | {f"{seg}.{name}" for seg, name, _ in parts.values()}
            near = difflib.get_close_matches(wanted, sorted(names), n=3)
            hint = f" Did you mean {' or '.join(near)}?" if near else ""
            ledger.note(f"{design.source}: there is no region {wanted!r} in the tables; left out.{hint}")
        chosen.update(found)
    return [label for label in labels if label in chosen]


def _split(label: str) -> tuple[str, str, str]:
    """Segmentation, name and hemisphere."""
    seg, _, rest = label.partition(".")
    name, _, side = rest.rpartition(".")
    return seg, name, side
