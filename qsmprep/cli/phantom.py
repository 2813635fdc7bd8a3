"""`qsmprep-phantom OUT_DIR`: make a synthetic dataset with known truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..errors import QsmprepError, UsageError

MULTIPLE = ("--groups", "--te", "--voxel-size", "--t1w-voxel-size")


class SpreadCommand(click.Command):
    """Lets some options take several values after one flag: `--groups a b` is `--groups a,b`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        joined: list[str] = []
        gathering = False
        for arg in args:
            if arg in MULTIPLE:
                gathering = True
                joined.append(arg)
            elif arg.startswith("--") or not gathering:
                gathering = False
                joined.append(arg)
            elif joined[-1] in MULTIPLE:
                joined.append(arg)
            else:
                joined[-1] += "," + arg
        return super().parse_args(ctx, joined)


def _words(value: str) -> tuple[str, ...]:
    return tuple(word for word in value.replace(",", " ").split() if word)


def _numbers(value: str, option: str) -> tuple[float, ...]:
    try:
        return tuple(float(word) for word in _words(value))
    except ValueError as error:
        raise UsageError(f"{option}: found {value!r}, expected numbers") from error


def _size(value: str, option: str) -> tuple[float, float, float]:
    numbers = _numbers(value, option)
    if len(numbers) == 1:
        numbers *= 3
    if len(numbers) != 3:
        raise UsageError(f"{option}: found {value!r}, expected one number or three [mm]")
    return numbers[0], numbers[1], numbers[2]


def echo_times(echoes: int, b0: float) -> tuple[float, ...]:
    """Echo times [s] that suit a field strength: 4, 9, 14, ... ms at 3 T, longer below, shorter above."""
    scale = (3.0 / b0) ** 0.5
    return tuple(round(scale * (0.004 + 0.005 * n), 4) for n in range(echoes))


@click.command(cls=SpreadCommand, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.argument("out_dir", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--groups",
    default="control",
    show_default=True,
    metavar="NAME ...",
    help="Groups. AD, MCI, PD, PDTD, ALS, preHD, HD, FTD, PPA, VaD, WD and 'patient' (mixed parkinsonism) have the "
    "iron of that disease; any other name means healthy.",
)
@click.option(
    "--cohort",
    metavar="STUDY",
    help="Simulate the regional numbers of a published study (AD, PD, HD, WD, ...; a wrong name lists all) instead of "
    "images, with its groups and their sizes unless --participants is given. Of the other options only --seed counts.",
)
@click.option("--participants", default=1, show_default=True, metavar="N", help="Participants in each group.")
@click.option("--sessions", default=1, show_default=True, metavar="N", help="Sessions of each, a year apart.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="The same seed, the same dataset.")
@click.option("--voxel-size", default="1", show_default=True, metavar="MM ...", help="One number, or three.")
@click.option("--b0", default=3.0, show_default=True, metavar="T", help="Field strength.")
@click.option("--echoes", default=5, show_default=True, type=click.IntRange(1, 32), help="Number of echoes.")
@click.option("--te", metavar="S ...", help="Echo times in seconds, instead of --echoes.")
@click.option("--snr", default=100.0, show_default=True, help="Brain's mean magnitude at the first echo over noise.")
@click.option("--obliquity", default=0.0, show_default=True, metavar="DEG", help="Angle of the slices in the scanner.")
@click.option("--head-tilt", default=0.0, show_default=True, metavar="DEG", help="Angle of the head in the scanner.")
@click.option("--bipolar", is_flag=True, help="Odd and even echoes are read in opposite directions.")
@click.option(
    "--parts",
    default="mag-phase",
    show_default=True,
    type=click.Choice(["mag-phase", "real-imag"]),
    help="What is stored.",
)
@click.option(
    "--ventricles",
    default=1.0,
    show_default=True,
    type=click.FloatRange(1, 2),
    metavar="FACTOR",
    help="How many times as large the lateral ventricles are (atrophy), 1 to 2.",
)
@click.option("--no-t1w", is_flag=True, help="No T1-weighted image.")
@click.option("--t1w-voxel-size", default="1", show_default=True, metavar="MM ...", help="One number, or three.")
@click.option(
    "--labels",
    type=click.Path(path_type=Path),
    help="Take the nuclei from this label image in MNI space (the packaged atlas fills in what it lacks).",
)
@click.option(
    "--labels-tsv",
    type=click.Path(path_type=Path),
    help="Its table: index, name, hemisphere (or a JSON with 'labels').",
)
@click.option(
    "--oversampling",
    default=2,
    show_default=True,
    help="How many times finer than the voxels the head is made, at least.",
)
@click.option(
    "--mem-gb", default=12.0, show_default=True, help="Memory for one participant; oversampling yields to it."
)
@click.option("--nprocs", default=1, show_default=True, type=click.IntRange(1), help="Participants made side by side.")
def command(out_dir: Path, **given: Any) -> None:
    """Make a BIDS dataset of digital heads in OUT_DIR, with the truth in OUT_DIR/derivatives/phantom.

    Gradient-echo magnitude and phase and a T1-weighted image of made-up persons whose susceptibility is known. Call
    it again with the same options to go on where it stopped. --groups, --te and the voxel sizes take several values,
    with spaces or commas between them, so OUT_DIR comes first.
    """
    if given["cohort"]:
        _cohort(out_dir, given["cohort"], given["seed"], given["participants"])
        return
    from ..phantom import Options, write_dataset

    te = _numbers(given["te"], "--te") if given["te"] else echo_times(given["echoes"], given["b0"])
    options = Options(
        groups=_words(given["groups"]),
        te=te,
        voxel_size=_size(given["voxel_size"], "--voxel-size"),
        t1w_voxel_size=_size(given["t1w_voxel_size"], "--t1w-voxel-size"),
        t1w=not given["no_t1w"],
        labels_table=given["labels_tsv"],
        **{
            name: given[name]
            for name in (
                *("participants", "sessions", "seed", "b0", "snr", "obliquity", "head_tilt", "bipolar", "parts"),
                *("labels", "oversampling", "mem_gb", "ventricles"),
            )
        },
    )
    write_dataset(out_dir, options, nprocs=given["nprocs"], report=click.echo)
    click.echo(f"{out_dir}: {options.participants * len(options.groups)} participants; truth in derivatives/phantom")


def _cohort(out_dir: Path, name: str, seed: int, participants: int) -> None:
    """Write a simulated cohort and tell what to call next."""
    from ..phantom.cohort_files import write_cohort
    from ..phantom.studies import study_named

    source = click.get_current_context().get_parameter_source("participants")
    size = participants if source == click.core.ParameterSource.COMMANDLINE else None
    cohort = write_cohort(out_dir, study_named(name), seed=seed, participants=size)
    counts = cohort.people["group"].value_counts(sort=False)
    click.echo(f"{out_dir}: {', '.join(f'{group} {n}' for group, n in counts.items())}; {cohort.study.reference}")
    click.echo(f"Next: qsmprep {out_dir} {out_dir}/derivatives/qsmprep group")


def main() -> None:
    """Entry point of `qsmprep-phantom`."""
    try:
        command.main(standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("qsmprep-phantom: stopped", err=True)
        raise SystemExit(1) from None
    except click.ClickException as error:
        error.show()
        raise SystemExit(error.exit_code) from None
    except QsmprepError as error:
        click.echo(f"qsmprep-phantom: {error}", err=True)
        raise SystemExit(error.exit_code) from None
