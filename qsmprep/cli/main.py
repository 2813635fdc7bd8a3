"""`qsmprep BIDS_DIR OUT_DIR {participant|group}`: parse, run, and leave with the right exit code."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click
from click.core import ParameterSource

from ..errors import QsmprepError, UsageError
from ..settings import Settings, parse_assignments
from .options import arguments, options
from .parser import BidsAppCommand

logger = logging.getLogger("qsmprep")

HELP = """Quantitative susceptibility mapping (QSM) of the brain: from a BIDS dataset to numbers per region.

BIDS_DIR is the dataset, OUT_DIR takes the results. "participant" processes each gradient echo with phase and makes a
report per participant; "group" then joins the participants' results from OUT_DIR.

A first look that writes nothing: qsmprep BIDS_DIR OUT_DIR participant --dry-run
"""
EPILOG = (
    "Exit codes: 0 all done; 1 some runs failed or could not be processed; 2 usage; 3 nothing to process; "
    "4 environment (disk, memory, permission). Research use only, not for diagnosis."
)


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Entry point of the console script."""
    sys.exit(run(argv))


def run(argv: Sequence[str] | None = None) -> int:
    """Carry out one call; returns the exit code.

    Parameters
    ----------
    argv : the command line without the program's name; by default that of the process
    """
    try:
        settings = parse(argv)
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except QsmprepError as error:
        return _complain(error)
    return execute(settings)


def parse(argv: Sequence[str] | None = None) -> Settings:
    """Settings from a command line, and the preset and settings file that it names.

    Raises
    ------
    click.ClickException
        If an option is unknown or its value does not fit; click.exceptions.Exit after `--help` and `--version`.
    UsageError
        If a settings file, or the combination, is wrong.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    settings: Settings = command().main(args, prog_name="qsmprep", standalone_mode=False)
    if not isinstance(settings, Settings):  # click returns the exit code of --help and --version
        raise click.exceptions.Exit(int(settings or 0))
    return settings


def command() -> click.Command:
    """The click command; its callback returns the resolved settings."""
    return BidsAppCommand(
        "qsmprep",
        params=[*arguments(), *options()],
        callback=_resolve,
        help=HELP,
        epilog=EPILOG,
        add_help_option=False,
        context_settings={"max_content_width": 110},
        options_metavar="[OPTIONS]",
    )


@click.pass_context
def _resolve(ctx: click.Context, /, **values: Any) -> Settings:
    given = {
        name: value
        for name, value in values.items()
        if ctx.get_parameter_source(name) in (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)
    }
    assigned = parse_assignments(given.pop("assignments", ()))
    given |= assigned
    settings = Settings.resolve(given, config=given.pop("config", None), preset=given.pop("preset", None))
    if settings.single_step and "background" in given:  # a file or preset may name one, which is then not used
        raise UsageError(
            f"--background {settings.background}: --inversion {settings.inversion} goes from the total field to χ in a "
            "single step, with no background removal before it. Leave --background out, or choose another inversion."
        )
    return settings


def execute(settings: Settings) -> int:
    """Run what the settings ask for; every fault becomes a message and an exit code."""
    # imported here: the environment has to be set before the numerical libraries look at it
    from .environment import set_up_environment
    from .messages import close_logs, current_log_file, start_console

    start_console(settings)
    set_up_environment(settings)
    try:
        if settings.analysis_level == "group":
            from .levels import run_group_level

            return run_group_level(settings)
        from .levels import run_participant_level

        return run_participant_level(settings)
    except QsmprepError as error:
        return _complain(error)
    except KeyboardInterrupt:
        click.echo("qsmprep: stopped. Run the same command again to go on; finished stages are reused.", err=True)
        return 130
    except Exception as error:
        return _unforeseen(error, settings, current_log_file())
    finally:
        close_logs()


def _complain(error: QsmprepError) -> int:
    logger.debug("stopped by a foreseen fault", exc_info=error)
    click.echo(f"qsmprep: {error}", err=True)
    if isinstance(error, UsageError):
        click.echo("Try 'qsmprep --help'.", err=True)
    return error.exit_code


def _unforeseen(error: Exception, settings: Settings, log_file: Any) -> int:
    if isinstance(error, OSError) and error.errno is not None:
        from .environment import explain_os_error

        fault = explain_os_error(error)
        if fault is not None:
            return _complain(fault)
    logger.debug("unforeseen error", exc_info=error)
    if settings.verbose:
        import traceback

        traceback.print_exception(error)
    where = f" Details are in {log_file}." if log_file else " Run again with -v for details."
    click.echo(f"qsmprep: an error that was not foreseen: {type(error).__name__}: {error}.{where}", err=True)
    click.echo("Please report it together with that file.", err=True)
    return 1


if __name__ == "__main__":
    main()
