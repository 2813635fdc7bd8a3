"""`--bids-filter-file`: which images may be used, in fMRIPrep's form."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import UsageError
from .index import BidsFile
from .names import ENTITY_NAMES, SHORT_KEYS

QUERIES = ("gre", "t1w")
# queries of fMRIPrep's own files, which labs share between programs
FOREIGN_QUERIES = ("bold", "sbref", "flair", "t2w", "fmap", "roi", "dwi", "asl", "pet", "petref")
OTHER_KEYS = ("suffix", "extension", "datatype")


@dataclass(frozen=True)
class BidsFilter:
    """For `gre` and `t1w`: entity (long name) -> allowed values; None stands for "absent", "*" for "present"."""

    queries: Mapping[str, Mapping[str, tuple[str | None, ...]]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def refusal(self, query: str, file: BidsFile) -> str | None:
        """Why the filter removes a file: "session is 2, wanted 1"; None if it stays."""
        for key, allowed in self.queries.get(query, {}).items():
            value = getattr(file, key) if key in OTHER_KEYS else file.entities.get(key)
            if value not in allowed and not ("*" in allowed and value is not None):
                wanted = " or ".join("none" if a is None else "any" if a == "*" else a for a in allowed)
                return f"{key} is {value or 'absent'}, wanted {wanted}"
        return None

    def asks_for(self, query: str) -> str:
        """The query in words, for messages."""
        return json.dumps({k: list(v) for k, v in self.queries.get(query, {}).items()})


def read_filter(path: Path | None) -> BidsFilter:
    """Read a filter file: `{"gre": {"acquisition": "qsm"}, "t1w": {"reconstruction": ["norm", null]}}`.

    Raises
    ------
    UsageError
        If the file is missing, is no JSON object of objects, or names a query or entity that is not known.
    """
    if path is None:
        return BidsFilter()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"--bids-filter-file: there is no file {path}.") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"--bids-filter-file {path} cannot be read as JSON: {error}.") from None
    if not isinstance(content, dict) or not all(isinstance(v, dict) for v in content.values()):
        raise UsageError(f'--bids-filter-file {path}: expected an object such as {{"gre": {{"acquisition": "qsm"}}}}.')
    queries, notes = {}, []
    for query, entries in content.items():
        if query in FOREIGN_QUERIES:
            notes.append(f"--bids-filter-file: the entry {query!r} is for other programs and has no effect here")
        elif query not in QUERIES:
            raise UsageError(f"--bids-filter-file {path}: unknown entry {query!r}. {_nearest(query, QUERIES)}")
        else:
            queries[query] = {_key(name, query, path): _values(value) for name, value in entries.items()}
    return BidsFilter(queries, tuple(notes))


def _key(name: str, query: str, path: Path) -> str:
    if name == "part" and query == "gre":
        raise UsageError(
            f"--bids-filter-file {path}: {query}: 'part' cannot be filtered; magnitude and phase are both needed."
        )
    long = ENTITY_NAMES.get(name, name)
    if long not in SHORT_KEYS and long not in OTHER_KEYS:
        known = (*SHORT_KEYS, *OTHER_KEYS)
        raise UsageError(f"--bids-filter-file {path}: {query}: unknown entity {name!r}. {_nearest(name, known)}")
    return long


def _values(value: Any) -> tuple[str | None, ...]:
    if isinstance(value, list):
        return tuple(item for entry in value for item in _values(entry))
    if value is None or value in ("Query.NONE", "<Query.NONE: 1>"):
        return (None,)
    if value in ("Query.ANY", "Query.REQUIRED"):
        return ("*",)
    if value in ("Query.OPTIONAL",):
        return (None, "*")
    text = str(value)
    return (text.removeprefix("sub-").removeprefix("ses-"),)


def _nearest(name: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(known)}."
