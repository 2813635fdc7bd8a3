"""Arguments and options of `qsmprep`, as data. Names are those of the fields of `Settings`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .. import __version__
from ..parameters import (
    BACKGROUND_METHODS,
    FIELDMAP_METHODS,
    INVERSION_METHODS,
    RELAXOMETRY_METHODS,
    UNWRAP_METHODS,
)
from ..settings import (
    ANALYSIS_LEVELS,
    ATLAS_SPACES,
    OUTPUT_SPACES,
    REFERENCES,
    SKULL_STRIP_METHODS,
    STOP_AFTER,
    panel_names,
    preset_names,
)
from .parser import GroupedOption, ListOption, SignType

DATA, RUNNING, CONFIG = "Which data", "How it runs", "Settings"
RECONSTRUCTION, SPACE, OTHER = "Reconstruction", "Space and regions", "Other"
GROUP = "Group level"
_PATH = click.Path(path_type=Path)


def arguments() -> list[click.Parameter]:
    """The three arguments of a BIDS App. A settings file can give them, so click does not insist."""
    return [
        click.Argument(["bids_dir"], required=False, type=_PATH, metavar="BIDS_DIR"),
        click.Argument(["out_dir"], required=False, type=_PATH, metavar="OUT_DIR"),
        click.Argument(
            ["analysis_level"], required=False, type=click.Choice(ANALYSIS_LEVELS), metavar="{participant|group}"
        ),
    ]


def options() -> list[click.Parameter]:
    """All options, in the order of the help."""
    return [*_data(), *_running(), *_settings(), *_reconstruction(), *_space(), *_group(), *_other()]


def _option(group: str, *names: str, help: str, **attributes: Any) -> GroupedOption:
    kind: type[GroupedOption] = attributes.pop("cls", GroupedOption)
    attributes.setdefault("show_default", not attributes.get("is_flag", False))
    return kind(names, group=group, help=help, **attributes)


def _flag(group: str, name: str, help: str) -> GroupedOption:
    return _option(group, name, help=help, is_flag=True)


def _data() -> list[GroupedOption]:
    labels: dict[str, Any] = {"cls": ListOption, "metavar": "LABEL"}
    return [
        _option(
            DATA,
            "--participant-label",
            help="Participants to process, with or without sub-.",
            show_default="all",
            **labels,
        ),
        _option(
            DATA, "--session-label", help="Sessions to process, with or without ses-.", show_default="all", **labels
        ),
        _option(
            DATA,
            "--bids-filter-file",
            type=_PATH,
            metavar="JSON",
            help='Which images may be used: {"gre": {"acquisition": "qsm"}, "t1w": {"run": "1"}}.',
        ),
        _option(
            DATA, "--bids-database-dir", type=_PATH, metavar="DIR", help="Keep PyBIDS' file list here for later calls."
        ),
        _option(
            DATA,
            "--derivatives",
            cls=ListOption,
            type=_PATH,
            metavar="DIR",
            help="Derivative datasets: brain masks (desc-brain_mask), regions drawn by hand (--manual-regions), and "
            "anatomy of fMRIPrep, sMRIPrep and FreeSurfer.",
        ),
        _flag(DATA, "--skip-bids-validation", "Do not run the BIDS validator on the dataset first."),
    ]


def _running() -> list[GroupedOption]:
    return [
        _option(
            RUNNING, "-w", "--work-dir", type=_PATH, metavar="DIR", default=Path("work"), help="Intermediate results."
        ),
        _option(
            RUNNING,
            "--nprocs",
            type=click.IntRange(1),
            metavar="INT",
            help="CPUs to use at most.",
            show_default="all available",
        ),
        _option(
            RUNNING,
            "--omp-nthreads",
            type=click.IntRange(1),
            metavar="INT",
            help="Threads of one step at most.",
            show_default="nprocs, at most 4",
        ),
        _option(
            RUNNING,
            "--mem-gb",
            type=click.FloatRange(0, min_open=True),
            metavar="GB",
            help="Memory to use at most.",
            show_default="90 % of what there is",
        ),
        _option(
            RUNNING,
            "--nipype-plugin-file",
            type=_PATH,
            metavar="YAML",
            help="Nipype plugin and its arguments, for example to submit to a cluster.",
        ),
        _flag(RUNNING, "--stop-on-first-crash", "Stop at the first failing step; by default the other runs go on."),
        _option(
            RUNNING,
            "--stop-after",
            type=click.Choice(STOP_AFTER),
            default=STOP_AFTER[0],
            help="End once the masks are written, to look at them or replace them, then run again without.",
        ),
        _flag(RUNNING, "--dry-run", "Print what would be done and why, write nothing."),
        _flag(RUNNING, "--reports-only", "Only make the reports again, from what is in OUT_DIR."),
        _option(
            RUNNING,
            "--random-seed",
            type=click.IntRange(0),
            metavar="INT",
            default=0,
            help="Seed of everything random.",
        ),
        _flag(RUNNING, "--write-graph", "Draw the workflow into the working directory."),
        _flag(RUNNING, "--clean-workdir", "Remove intermediate results once all runs are done."),
    ]


def _settings() -> list[GroupedOption]:
    return [
        _option(
            CONFIG,
            "--config",
            type=_PATH,
            metavar="TOML",
            help="Settings file, such as OUT_DIR/logs/settings.toml of an earlier run. Options given here win over it.",
        ),
        _option(
            CONFIG,
            "--preset",
            type=click.Choice(preset_names()),
            metavar="NAME",
            default="default",
            help=f"Packaged settings: {', '.join(preset_names())}.",
        ),
        _option(
            CONFIG,
            "--set",
            "assignments",
            multiple=True,
            metavar="TABLE.KEY=VALUE",
            help="One parameter of one algorithm, as in the settings file: --set mtv.weight=2e-4. May be repeated.",
            show_default=False,
        ),
    ]


def _reconstruction() -> list[GroupedOption]:
    def choice(name: str, known: tuple[str, ...], help: str, default: str | None = None) -> GroupedOption:
        return _option(RECONSTRUCTION, name, type=click.Choice(known), default=default or known[0], help=help)

    return [
        choice(
            "--skull-strip",
            SKULL_STRIP_METHODS,
            "How the brain is found: registration of the template (ants), a network (deepbet, synthstrip), masks that "
            "are there already, or the quality of the phase alone.",
        ),
        choice("--unwrap", UNWRAP_METHODS, "Phase unwrapping."),
        choice("--fieldmap", FIELDMAP_METHODS, "How the echoes are joined to one field."),
        choice("--background", BACKGROUND_METHODS, "Background field removal."),
        choice("--inversion", INVERSION_METHODS, "Dipole inversion; tgv and tfi need no background removal before it."),
        _option(
            RECONSTRUCTION,
            "--two-pass/--one-pass",
            default=False,
            help="Invert a second time where the phase is reliable, and join both: fewer streaks from bleedings.",
        ),
        choice("--relaxometry", RELAXOMETRY_METHODS, "How R2* is fitted."),
        _option(
            RECONSTRUCTION,
            "--reference",
            default=REFERENCES[0],
            metavar=f"[{'|'.join(REFERENCES)}|region:ATLAS.NAME]",
            help="What is set to 0 ppm: mean of the brain, ventricular CSF, white matter or a region; or nothing.",
        ),
        _option(
            RECONSTRUCTION,
            "--field-strength",
            type=click.FloatRange(0, min_open=True),
            metavar="TESLA",
            help="Field strength; wins over the sidecars.",
            show_default="from the sidecars",
        ),
        _option(
            RECONSTRUCTION,
            "--phase-sign",
            type=SignType(),
            default="+",
            help="Whether the phase rises (+) or falls (-) with the field.",
        ),
    ]


def _space() -> list[GroupedOption]:
    return [
        _option(
            SPACE,
            "--normalization/--no-normalization",
            default=True,
            help="Register to the template; without it χ maps only, for partial brains.",
        ),
        _option(
            SPACE,
            "--multi-contrast/--no-multi-contrast",
            default=True,
            help="Match the deep nuclei of the template to χ (with the T1w) once χ is known.",
        ),
        _flag(
            SPACE,
            "--longitudinal",
            "Register all sessions of a participant through one within-subject template, so that the same voxels are "
            "compared over visits; by default each session stands for itself.",
        ),
        _option(
            SPACE,
            "--output-spaces",
            cls=ListOption,
            default=OUTPUT_SPACES,
            metavar="SPACE",
            help="Template spaces of the normalised maps.",
        ),
        _option(
            SPACE,
            "--atlas",
            type=_PATH,
            metavar="NIFTI",
            help="Label image to use instead of the packaged atlases.",
        ),
        _option(
            SPACE, "--atlas-labels", type=_PATH, metavar="TSV", help="Its labels: columns index, name and hemisphere."
        ),
        _option(
            SPACE,
            "--atlas-space",
            type=click.Choice(ATLAS_SPACES),
            default=ATLAS_SPACES[0],
            help="Where --atlas lies: in the template, or on the grid of the gradient echo itself.",
        ),
        _option(
            SPACE,
            "--manual-regions",
            cls=ListOption,
            metavar="[all|RATER]",
            help="Take regions drawn by these raters (desc-RATER) from --derivatives: label-*_mask and dseg.",
            show_default="none",
        ),
        _option(
            SPACE,
            "--neighbour",
            "neighbours",
            cls=ListOption,
            metavar="REGION=OTHER",
            help="Regions to compare: the table gets the difference of their mean χ.",
            show_default="precentral=postcentral, also for the hand area",
        ),
        _flag(SPACE, "--exclude-veins", "Leave voxels that look like veins out of the numbers per region."),
        _flag(SPACE, "--exclude-gradients", "Leave voxels whose field is not to be trusted out of these numbers."),
        _option(
            SPACE,
            "--erode-labels",
            type=click.FloatRange(0),
            default=0.0,
            metavar="MM",
            help="Leave the rim of every region, so wide, out of these numbers.",
        ),
    ]


def _group() -> list[GroupedOption]:
    columns: dict[str, Any] = {"cls": ListOption, "metavar": "COLUMN", "show_default": "none"}
    return [
        _option(GROUP, "--model", type=_PATH, metavar="TOML", help="Design of the analysis; options win over it."),
        _option(
            GROUP,
            "--panel",
            metavar=f"[{'|'.join(panel_names())}]",
            help="Packaged regions, contrasts and scores of a disease.",
            show_default="none: all regions",
        ),
        _option(
            GROUP,
            "--groups",
            metavar="COLUMN[=A,B,...]",
            help="Column of participants.tsv that tells the groups, and these in order, controls first.",
            show_default="group, diagnosis, dx or cohort",
        ),
        _option(GROUP, "--covariates", help="Columns to adjust for, such as age sex.", **columns),
        _option(GROUP, "--scores", help="Columns to correlate with the regions, such as MMSE.", **columns),
        _option(
            GROUP,
            "--contrast",
            "contrasts",
            cls=ListOption,
            metavar="'A - B'",
            help="Groups to compare; 'A + B - C' takes A and B together; linear models know more.",
            show_default="all pairs",
        ),
        _option(
            GROUP,
            "--formula",
            metavar="TEXT",
            help="Right side of the linear model, such as 'group * apoe + age + sex'.",
            show_default="groups + covariates",
        ),
        _flag(
            GROUP,
            "--study-template",
            "Make a template of the participants themselves, for mean maps and voxel-wise tests in its space; minutes "
            "for each participant.",
        ),
        _option(
            GROUP,
            "--analysis-name",
            metavar="NAME",
            help="Write to OUT_DIR/group-NAME, so that several designs stay side by side.",
            show_default="none: OUT_DIR/group",
        ),
    ]


def _other() -> list[GroupedOption]:
    return [
        _option(OTHER, "-v", "--verbose", count=True, help="More messages (-vv: even more).", show_default=False),
        GroupedOption(
            ["--version"],
            group=OTHER,
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=_print_version,
            help="Show the version and leave.",
        ),
        GroupedOption(
            ["-h", "--help"],
            group=OTHER,
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=_print_help,
            help="Show this page and leave.",
        ),
    ]


def _print_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(f"qsmprep {__version__}")
        ctx.exit()


def _print_help(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(ctx.get_help())
        ctx.exit()
