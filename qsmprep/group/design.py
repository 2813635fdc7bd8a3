"""What the group level is asked to compare: `--model design.toml` and the options that win over it."""

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from qsmprep.errors import UsageError, check_choice, check_range
from qsmprep.group.panels import Panel, read_panel
from qsmprep.group.quantities import QUANTITIES
from qsmprep.settings import Settings
from qsmprep.stats.glm import ERRORS
from qsmprep.tomlfile import load_toml

CORRECTIONS = ("fdr_bh", "fdr_by", "holm", "bonferroni", "none")
FAMILIES = ("contrast", "test", "all")
HEMISPHERES = ("separate", "mean")
OUTLIERS = ("flag", "exclude")
SQUARES = (3, 2)
SENSITIVITY = ("auto", "none", "brain", "csf", "wm")
NORMS = ("location-scale", "quantile", "none")
TESTS = (
    "welch", "mannwhitney", "anova", "welch_anova", "kruskal", "tukey", "games_howell", "dunn",
    "glm", "mancova", "power", "pearson", "spearman", "partial", "regression", "coupling",
    "roc", "cutoff", "classify", "paired", "rates", "mixed", "normative", "reliability",
)  # fmt: skip
CONTROL_NAMES = ("hc", "cn", "cu", "nc", "ctl", "ctrl", "con", "control", "controls", "healthy", "healthy control")
_SEPARATORS = (" - ", " − ", " > ", " vs ", " vs. ", " versus ")


@dataclass(frozen=True)
class Design:
    """A group analysis. Every field is a key of the model file.

    Attributes
    ----------
    groups : column that tells the groups; "" for the first of group, diagnosis, dx, cohort that is there
    order : groups in the order of tables and plots; others are left out. () for all, the reference first
    reference : the group that others are compared with; "" for the first of `order`, else the controls by name
    subtype : column that parts a group further (TD and AR within PD); its levels can stand in contrasts
    contrasts : such as "AD - HC" or "TD + AR - HC" (the mean of TD and AR); () for all pairs. What only a linear
        model can answer ("AD - HC | apoe=e4", "interaction(group:apoe)"; see `qsmprep.stats.contrasts.contrast`) is
        for the models alone: all pairs are compared beside them
    formula : right side of the linear model, such as "group * apoe + age + sex"; "" for groups and covariates
    errors : standard errors of linear models: "hc3", "hc4", or "classical" for equal variances
    squares : type of the sums of squares by which terms of the linear model are tested: 3, or 2
    covariates : columns that every adjusted model holds
    scores : columns to correlate with the regions
    genotype : column whose interaction with the groups is tested
    site : column of scanner or site: a covariate, and what `harmonize` takes out
    harmonize : whether numbers are harmonised over `site` by ComBat before they are tested
    time : column with the date of the visit, years since baseline, or age at the visit; "" for acq_time of scans.tsv,
        or an age that changes within persons
    baseline : session that is compared between persons; "" for each person's first
    markers : columns with other markers, compared with χ in diagnosis and joined with it (DAT binding, R2*)
    panel : packaged set of regions and contrasts
    regions : names, segmentations, `seg.name` or `seg.name.L`; () for those of the panel, else all
    hemispheres : "separate", or "mean" of left and right
    statistics : columns of the regional tables
    coupling : statistics of the same region, such as volume_mm3 or fs_thickness, to correlate with the first ones
    normative : how z-scores for age and sex are made from the controls: "location-scale", "quantile", "none", or the
        file of a model
    age, sex : their columns
    repeats : what sets repeated measurements of a person apart whose agreement is asked for: "session", "run",
        "acquisition", ..., or "raters"; "" for none
    raters : segmentations of two raters or more
    prevalence : share of patients where the diagnosis is to be used, for predictive values; 0 for that of the sample
    tests : which analyses; () for all that the design allows
    correction, family, alpha : for multiple comparisons, over the regions of one contrast, one test, or all
    sensitivity : second reference: brain, csf, wm (from the sidecars of χ), a region, "auto" or "none"
    exclude : participants, or runs, to leave out
    exclude_fail : whether runs with the verdict FAIL are left out
    outlier_z, outliers : robust |z| within a group from which a number is flagged, or excluded
    colocalize : what the names of another map in `--derivatives`, in template space, hold, such as "trc-DAT_pet"
    permutations : shuffles of the voxel-wise tests in template space; 0 for no such tests
    maps : what they test: "chi", "r2star"
    fwhm : smoothing before them, inside grey matter and the rest of the brain apart [mm]
    cluster_p : two-sided p-value that forms their clusters
    study_template : whether a template is made of the participants, in whose space the voxel-wise tests then are
    source : where the design comes from, for messages
    """

    groups: str = ""
    order: tuple[str, ...] = ()
    reference: str = ""
    subtype: str = ""
    contrasts: tuple[str, ...] = ()
    formula: str = ""
    errors: str = "hc3"
    squares: int = 3
    covariates: tuple[str, ...] = ()
    scores: tuple[str, ...] = ()
    genotype: str = ""
    site: str = ""
    harmonize: bool = False
    time: str = ""
    baseline: str = ""
    markers: tuple[str, ...] = ()
    panel: str = ""
    regions: tuple[str, ...] = ()
    hemispheres: str = "separate"
    statistics: tuple[str, ...] = ("chi_median",)
    coupling: tuple[str, ...] = ()
    normative: str = "location-scale"
    age: str = "age"
    sex: str = "sex"
    repeats: str = ""
    raters: tuple[str, ...] = ()
    prevalence: float = 0.0
    tests: tuple[str, ...] = ()
    correction: str = "fdr_bh"
    family: str = "contrast"
    alpha: float = 0.05
    sensitivity: str = "auto"
    exclude: tuple[str, ...] = ()
    exclude_fail: bool = True
    outlier_z: float = 3.5
    outliers: str = "flag"
    colocalize: str = ""
    permutations: int = 0
    maps: tuple[str, ...] = ("chi",)
    fwhm: float = 3.0
    cluster_p: float = 0.001
    study_template: bool = False
    source: str = "the options"

    def __post_init__(self) -> None:
        for key, known in (
            ("correction", CORRECTIONS),
            ("family", FAMILIES),
            ("hemispheres", HEMISPHERES),
            ("outliers", OUTLIERS),
            ("errors", ERRORS),
        ):
            check_choice(f"{self.source}: {key}", getattr(self, key), known)
        if self.squares not in SQUARES:
            raise UsageError(f"{self.source}: squares is {self.squares}; expected 3 or 2, the type of sums of squares.")
        for test in self.tests:
            check_choice(f"{self.source}: tests", test, TESTS)
        for name in self.maps:
            check_choice(f"{self.source}: maps", name, tuple(QUANTITIES))
        check_range(f"{self.source}: alpha", self.alpha, 1e-6, 0.5)
        check_range(f"{self.source}: outlier_z", self.outlier_z, 1, 100)
        if not self.normative.endswith(".json"):
            check_choice(f"{self.source}: normative", self.normative, NORMS)
        check_range(f"{self.source}: permutations", self.permutations, 0, 1_000_000)
        check_range(f"{self.source}: fwhm", self.fwhm, 0, 30)
        check_range(f"{self.source}: cluster_p", self.cluster_p, 1e-6, 0.1)
        check_range(f"{self.source}: prevalence", self.prevalence, 0, 1)
        if self.repeats == "raters" and len(self.raters) < 2:
            raise UsageError(f"{self.source}: repeats is raters: name two segmentations or more under raters.")
        if not self.maps:
            raise UsageError(f"{self.source}: maps is empty; name at least one: {', '.join(QUANTITIES)}.")
        if not self.statistics:
            raise UsageError(f"{self.source}: statistics is empty; name at least one, such as chi_median.")
        if self.order and self.reference and self.reference not in self.order:
            raise UsageError(
                f"{self.source}: reference is {self.reference!r}, which is not in order ({', '.join(self.order)})."
            )
        if self.harmonize and not self.site:
            raise UsageError(f'{self.source}: harmonize needs a column of sites; add site = "scanner".')

    def asks(self, test: str) -> bool:
        """Whether an analysis is asked for."""
        return not self.tests or test in self.tests

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the people's tables that the design names."""
        single = (self.groups, self.subtype, self.genotype, self.site, self.time, self.age, self.sex)
        named = (*single, *self.covariates, *self.scores, *self.markers)
        return tuple(dict.fromkeys(name for name in named if name))

    @property
    def has_model(self) -> bool:
        """Whether anything was asked beyond the defaults."""
        return replace(self, source=Design.source) != Design()


def read_design(settings: Settings) -> tuple[Design, Panel | None]:
    """The design of a call: panel < model file < options.

    Raises
    ------
    UsageError
        If the file is missing or is no TOML, a key is unknown, or a value does not fit.
    """
    values = read_model(settings.model) if settings.model else {}
    source = str(settings.model) if settings.model else Design.source
    given = {
        "formula": settings.formula,
        "covariates": settings.covariates,
        "scores": settings.scores,
        "contrasts": settings.contrasts,
        "panel": settings.panel,
        "study_template": settings.study_template,
    }
    values |= {key: value for key, value in given.items() if value}
    if settings.model and str(values.get("normative", "")).endswith(".json"):  # paths count from the file's folder
        values["normative"] = str(settings.model.parent / values["normative"])
    if settings.groups:
        values |= parse_groups(settings.groups)
    panel = read_panel(str(values["panel"])) if values.get("panel") else None
    if panel is not None:
        for key, default in (("regions", panel.names), ("contrasts", panel.contrasts), ("scores", panel.scores)):
            values.setdefault(key, default)
    return Design(**values, source=source), panel


def parse_groups(text: str) -> dict[str, Any]:
    """`diagnosis` or `diagnosis=HC,MCI,AD`: the column, and its groups in order, the reference first."""
    column, equals, names = text.partition("=")
    order = tuple(name.strip() for name in names.split(",") if name.strip())
    if not column.strip() or (equals and not order):
        raise UsageError(f"--groups {text}: expected COLUMN or COLUMN=GROUP,GROUP,..., such as diagnosis=HC,MCI,AD.")
    return {"groups": column.strip(), **({"order": order, "reference": order[0]} if order else {})}


def read_model(path: Path) -> dict[str, Any]:
    """Values of a model file, with their types checked.

    Raises
    ------
    UsageError
        See `read_design`.
    """
    raw = load_toml(path, "--model")
    hints = typing.get_type_hints(Design)
    known = [f.name for f in fields(Design) if f.name != "source"]
    values = {}
    for key, value in raw.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=3, cutoff=0.5)
            hint = f"Did you mean {' or '.join(map(repr, near))}?" if near else f"Known keys: {', '.join(known)}."
            raise UsageError(f"{path}: unknown key {key!r}. {hint}")
        values[key] = _value(value, hints[key], f"{path}: {key}")
    return values


def _value(value: Any, hint: Any, where: str) -> Any:
    """A TOML value as the field's type; one text may stand for a list of one."""
    if isinstance(hint, types.GenericAlias):
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            raise UsageError(f'{where} has to be a list of texts, such as ["age", "sex"]; found {value!r}.')
        return tuple(items)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not hint:
        names = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
        raise UsageError(f"{where} has to be {names[hint]}; found {value!r}.")
    return value


def find_column(name: str, columns: Iterable[str]) -> str:
    """The column that a name stands for: itself, in other capitals, or `<file>.<name>` without the file.

    Raises
    ------
    UsageError
        If there is none; the message suggests near ones.
    """
    known = [str(column) for column in columns]
    if name in known:
        return name
    bare = name.rpartition(".")[2]
    for wanted in (name, bare):
        same = [column for column in known if column.lower() == wanted.lower()]
        if len(same) == 1:
            return same[0]
    near = difflib.get_close_matches(name.lower(), [c.lower() for c in known], n=3, cutoff=0.5)
    shown = [column for column in known if column.lower() in near]
    hint = f"Did you mean {' or '.join(shown)}?" if shown else f"There are: {', '.join(known) or 'none'}."
    raise UsageError(f"there is no column {name!r} in participants.tsv, sessions or phenotype tables. {hint}")


def default_reference(groups: Sequence[str]) -> str:
    """The controls by their name, else the first group."""
    return next((group for group in groups if group.lower() in CONTROL_NAMES), groups[0] if groups else "")


def parse_contrast(text: str, groups: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Both sides of `A - B`, `A + B - C` or `A vs B`; a side of several groups stands for the mean of their means.

    Parameters
    ----------
    text : names may hold hyphens, so the sign stands between blanks unless that is clear
    groups : known names; capitals do not matter, and all spellings of controls are one

    Raises
    ------
    UsageError
        If it has not two sides, or a group is not known.
    """
    candidates = [text.split(separator, 1) for separator in _SEPARATORS if separator in text]
    candidates += [[text[: m.start()], text[m.end() :]] for m in re.finditer(r"[->]", text)]
    found = None
    for left, right in candidates:
        sides = tuple(tuple(_group(part, groups) for part in side.split("+")) for side in (left, right))
        if all(name for side in sides for name in side):
            return sides[0], sides[1]
        found = found or (left, right)
    if found is None:
        raise UsageError(f"contrast {text!r}: expected two sides, such as 'AD - HC'.")
    unknown = [p.strip() for side in found for p in side.split("+") if not _group(p, groups)]
    raise UsageError(f"contrast {text!r}: there is no group {', '.join(unknown)}; found {', '.join(groups)}.")


def of_model(text: str) -> bool:
    """Whether a contrast is one of the linear model's coefficients rather than of groups of persons.

    It is where it has a condition (`|`), weights, levels in brackets, or is an `interaction()` or a `term()`.
    """
    return re.search(r"\b(?:interaction|term)\s*\(|[|*/\[]", text) is not None


def _group(name: str, groups: Sequence[str]) -> str:
    name = name.strip().strip("()")
    if name in groups:
        return name
    same = [group for group in groups if group.lower() == name.lower()]
    if not same and name.lower() in CONTROL_NAMES:
        same = [group for group in groups if group.lower() in CONTROL_NAMES]
    return same[0] if len(same) == 1 else ""


def contrast_name(sides: Sequence[Sequence[str]]) -> str:
    """`AD - HC`."""
    return " - ".join(" + ".join(side) for side in sides)


def design_facts(design: Design, panel: Panel | None) -> dict[str, Any]:
    """The design as plain values, with what was published on the panel's regions, for `design.json`."""
    facts: dict[str, Any] = {f.name: getattr(design, f.name) for f in fields(Design)}
    if panel is not None:
        facts["panel_title"] = panel.title
        facts["panel_regions"] = [vars(region) for region in panel.regions]
        facts["panel_references"] = dict(panel.references)
    return facts
