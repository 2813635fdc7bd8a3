"""What all tables of parameters check."""

from __future__ import annotations

import math
from dataclasses import fields

from ..errors import UsageError


class Params:
    """What all tables check: numbers are finite and above 0, or at least 0 where `may_be_zero` names them."""

    may_be_zero: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        from . import table_of  # the tables are put together of the classes that this is the base of

        table = table_of(type(self))
        for f in fields(self):  # type: ignore[arg-type]
            value = getattr(self, f.name)
            if isinstance(value, bool | str):
                continue
            if not math.isfinite(value) or value < 0 or (value == 0 and f.name not in self.may_be_zero):
                least = "0 or more" if f.name in self.may_be_zero else "above 0"
                raise UsageError(f"{table}.{f.name} is {value}; it has to be {least}.")
        self.check(table)

    def check(self, table: str) -> None:
        """Further rules of one table."""
