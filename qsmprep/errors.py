"""What can go wrong in ways that a user can foresee. Each carries a plain message and an exit code."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable


class QsmprepError(Exception):
    """A foreseeable fault: its text is shown to the user as it is, without a traceback."""

    exit_code = 1


class UsageError(QsmprepError):
    """An option, argument or settings file is wrong."""

    exit_code = 2


class NothingToDoError(QsmprepError):
    """Nothing in the dataset can be processed with these options."""

    exit_code = 3


class EnvironmentFault(QsmprepError):
    """The machine stands in the way: disk, memory or permission."""

    exit_code = 4


class InputError(QsmprepError):
    """The data of one run cannot be used; other runs go on."""


def check_choice(what: str, value: str, known: Iterable[str]) -> None:
    """Raise a UsageError that suggests the nearest known value unless `value` is one of them."""
    known = tuple(known)
    if value not in known:
        near = difflib.get_close_matches(str(value), known, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise UsageError(f"{what}: {value!r} is not known. Known: {', '.join(known)}.{hint}")


def check_range(what: str, value: float, least: float, most: float) -> None:
    """Raise a UsageError unless a number is finite and lies between two others."""
    if not (math.isfinite(value) and least <= value <= most):
        raise UsageError(f"{what} is {value:g}; it has to lie between {least:g} and {most:g}.")
