"""What click lacks: help in groups, and options that take a list of values as BIDS Apps do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    _IntType = click.ParamType[int]
else:  # older versions of click know no type arguments
    _IntType = click.ParamType


class GroupedOption(click.Option):
    """An option that stands under a heading in the help."""

    def __init__(self, *args: Any, group: str = "Other", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.group = group


class ListOption(GroupedOption):
    """`--label 01 02` as well as `--label 01 --label 02`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, multiple=True, **kwargs)

    def make_metavar(self, ctx: click.Context) -> str:
        """`LABEL...`"""
        return super().make_metavar(ctx) + "..."


class BidsAppCommand(click.Command):
    """A command with grouped help and list options.

    A list ends at the next option. At the end of the line it would swallow the three arguments, so if it ends in one of
    `last_words` the arguments still missing are taken off its end.
    """

    last_words: tuple[str, ...] = ("participant", "group")

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Spread list options, then parse as usual."""
        return super().parse_args(ctx, self._spread(args, ctx))

    def _spread(self, args: Sequence[str], ctx: click.Context) -> list[str]:
        options = {name: p for p in self.params if isinstance(p, click.Option) for name in (*p.opts, *p.secondary_opts)}
        wanted = sum(isinstance(p, click.Argument) for p in self.params)
        result: list[str] = []
        rest = list(args)
        while rest:
            token = rest.pop(0)
            result.append(token)
            option = options.get(token)
            takes_value = option is not None and not option.is_flag and not option.count
            if takes_value and (not rest or rest[0] in options):  # click would take the next option for the value
                raise click.BadOptionUsage(token, f"Option {token!r} requires an argument.", ctx)
            if token == "--":
                return result + rest
            if not _is_option(token):
                wanted -= 1
            elif isinstance(option, ListOption):
                values = _take_values(rest)
                arguments: list[str] = []
                if len(values) > 1 and values[-1] in self.last_words:
                    keep = max(1, len(values) - wanted)
                    values, arguments = values[:keep], values[keep:]
                wanted -= len(arguments)
                result.pop()
                # where the first value looks like an option that is not known, click complains
                result += [item for value in values for item in (token, value)] or [token]
                result += arguments
            elif takes_value:
                result.append(rest.pop(0))
        return result

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one section a group, in the order of their first option."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            if isinstance(param, GroupedOption) and (record := param.get_help_record(ctx)):
                sections.setdefault(param.group, []).append(record)
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records, col_max=30)


def _is_option(token: str) -> bool:
    return token.startswith("-") and len(token) > 1


def _take_values(rest: list[str]) -> list[str]:
    values = []
    while rest and not _is_option(rest[0]):
        values.append(rest.pop(0))
    return values


class SignType(_IntType):
    """`+` or `-`, also written 1 or -1."""

    name = "sign"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return +1 or -1."""
        known = {"+": 1, "+1": 1, "1": 1, "-": -1, "-1": -1}
        if str(value) not in known:
            self.fail(f"{value!r} is neither + nor -", param, ctx)
        return known[str(value)]

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """`[+|-]`"""
        return "[+|-]"
