"""The settings of one call: a frozen dataclass, read from TOML and the command line, written back to TOML.

Later wins: defaults < preset that the file names < `--config` file < `--preset` < other options of the command line.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

from .errors import UsageError, check_choice, check_range
from .machine import available_cpus, available_memory_gb
from .parameters import (
    BACKGROUND_METHODS,
    FIELDMAP_METHODS,
    INVERSION_METHODS,
    RELAXOMETRY_METHODS,
    SINGLE_STEP_METHODS,
    UNWRAP_METHODS,
    Tables,
)
from .tomlfile import load_toml

ANALYSIS_LEVELS = ("participant", "group")
REFERENCES = ("brain", "csf", "wm", "none")
OUTPUT_SPACES = ("MNI152NLin2009cAsym",)
SKULL_STRIP_METHODS = ("ants", "deepbet", "synthstrip", "precomputed", "quality")
STOP_AFTER = ("none", "mask")
ATLAS_SPACES = ("template", "native")
PRESET_DIR = Path(__file__).parent / "data" / "presets"
PANEL_DIR = Path(__file__).parent / "data" / "panels"

# what a settings file never holds: how the file itself was found, and modes that leave no results behind
NOT_STORED = ("config", "dry_run", "reports_only")


@dataclass(frozen=True)
class Settings(Tables):
    """Everything a run depends on. Passed explicitly; nothing in the package holds global state.

    Raises
    ------
    UsageError
        If a value is out of its range; the message names the option.
    """

    bids_dir: Path
    out_dir: Path
    analysis_level: str = "participant"
    work_dir: Path = Path("work")
    # which data
    participant_label: tuple[str, ...] = ()
    session_label: tuple[str, ...] = ()
    bids_filter_file: Path | None = None
    bids_database_dir: Path | None = None
    derivatives: tuple[Path, ...] = ()
    skip_bids_validation: bool = False
    # how it runs
    nprocs: int = field(default_factory=available_cpus)
    omp_nthreads: int = 0  # 0: found from nprocs
    mem_gb: float = field(default_factory=available_memory_gb)
    nipype_plugin_file: Path | None = None
    stop_on_first_crash: bool = False
    dry_run: bool = False
    reports_only: bool = False
    write_graph: bool = False
    clean_workdir: bool = False
    stop_after: str = "none"
    verbose: int = 0
    random_seed: int = 0
    # where settings come from
    config: Path | None = None
    preset: str = "default"
    # reconstruction
    skull_strip: str = "ants"
    unwrap: str = "romeo"
    fieldmap: str = "nonlinear_fit"
    background: str = "vsharp"
    inversion: str = "mtv"
    two_pass: bool = False
    relaxometry: str = "loglinear"
    reference: str = "brain"
    field_strength: float | None = None
    phase_sign: int = 1
    normalization: bool = True
    multi_contrast: bool = True
    longitudinal: bool = False
    output_spaces: tuple[str, ...] = OUTPUT_SPACES
    atlas: Path | None = None
    atlas_labels: Path | None = None
    atlas_space: str = "template"
    manual_regions: tuple[str, ...] = ()  # raters, or "all"
    neighbours: tuple[str, ...] = ()  # REGION=OTHER
    # which voxels count in the numbers per region
    exclude_veins: bool = False
    exclude_gradients: bool = False
    erode_labels: float = 0.0
    # the group level: options that win over the model file
    model: Path | None = None
    groups: str = ""
    covariates: tuple[str, ...] = ()
    scores: tuple[str, ...] = ()
    contrasts: tuple[str, ...] = ()
    formula: str = ""
    panel: str = ""
    study_template: bool = False
    analysis_name: str = ""

    def __post_init__(self) -> None:
        check_choice("analysis level", self.analysis_level, ANALYSIS_LEVELS)
        check_choice("--skull-strip", self.skull_strip, SKULL_STRIP_METHODS)
        check_choice("--stop-after", self.stop_after, STOP_AFTER)
        check_choice("--unwrap", self.unwrap, UNWRAP_METHODS)
        check_choice("--fieldmap", self.fieldmap, FIELDMAP_METHODS)
        check_choice("--background", self.background, BACKGROUND_METHODS)
        check_choice("--relaxometry", self.relaxometry, RELAXOMETRY_METHODS)
        check_choice("--inversion", self.inversion, INVERSION_METHODS)
        _reference(self.reference)
        for space in self.output_spaces:
            check_choice("--output-spaces", space, OUTPUT_SPACES)
        check_range("--nprocs", self.nprocs, 1, 4096)
        check_range("--omp-nthreads", self.omp_nthreads, 0, 4096)
        check_range("--mem-gb", self.mem_gb, 0.1, 1e6)
        check_range("--random-seed", self.random_seed, 0, 2**31 - 2)
        if self.phase_sign not in (1, -1):
            raise UsageError(f"--phase-sign is {self.phase_sign!r}; it has to be + (or 1) or - (or -1).")
        if self.field_strength is not None:
            check_range("--field-strength", self.field_strength, 0.01, 30.0)
        check_range("--erode-labels", self.erode_labels, 0, 20)
        if self.panel:
            check_choice("--panel", self.panel, panel_names())
        if re.search(r"[^A-Za-z0-9_-]", self.analysis_name):
            raise UsageError(f"--analysis-name {self.analysis_name!r} names a folder: letters, digits, - and _ only.")
        if self.longitudinal and not self.normalization:
            raise UsageError(
                "--longitudinal registers all sessions of a participant to one template, and nothing is registered "
                "with --no-normalization. Leave one of the two out."
            )
        self._check_regions()
        if (self.atlas is None) != (self.atlas_labels is None):
            raise UsageError(
                "--atlas and --atlas-labels go together: the label image, and the TSV that names its labels."
            )
        if self.reference not in ("brain", "none") and not self.normalization:
            raise UsageError(
                f"--reference {self.reference} finds its region by registration to the template, and nothing is "
                "registered with --no-normalization. Choose --reference brain or none."
            )
        if self.skull_strip == "deepbet" and not self.normalization:
            raise UsageError(
                "--skull-strip deepbet finds the brain on the T1w image, from where it comes to the gradient echo by "
                "registration, and nothing is registered with --no-normalization. Choose synthstrip or quality."
            )
        set_ = object.__setattr__  # the dataclass is frozen from here on
        for f in fields(self):
            set_(self, f.name, _absolute(getattr(self, f.name)))
        set_(self, "participant_label", _labels(self.participant_label, "sub-"))
        set_(self, "session_label", _labels(self.session_label, "ses-"))
        if self.omp_nthreads == 0:
            set_(self, "omp_nthreads", min(self.nprocs, 4))

    def _check_regions(self) -> None:
        """Refuse what tells how regions are counted where there are none."""
        check_choice("--atlas-space", self.atlas_space, ATLAS_SPACES)
        if self.atlas_space == "native" and self.atlas is None:
            raise UsageError(
                "--atlas-space native says where the labels of --atlas lie, and no --atlas is given. Name the label "
                "image with --atlas FILE --atlas-labels TSV, or leave --atlas-space out."
            )
        if self.manual_regions and not self.derivatives:
            raise UsageError(
                "--manual-regions names raters, whose regions are looked for in the datasets of --derivatives, and "
                "none is given. Add --derivatives DIR."
            )
        if self.neighbours:
            from .regions.neighbours import parse_neighbours

            parse_neighbours(self.neighbours)
        asked = {"--exclude-veins": self.exclude_veins, "--exclude-gradients": self.exclude_gradients,
                 "--erode-labels": self.erode_labels > 0}  # fmt: skip
        given = [name for name, value in asked.items() if value]
        drawn = self.atlas_space == "native" or self.manual_regions
        if given and not (self.normalization or drawn):
            raise UsageError(
                f"{given[0]} changes the numbers per region, and there are no regions with --no-normalization but "
                f"drawn ones (--manual-regions, --atlas-space native). Leave {given[0]} out."
            )

    @property
    def group_dir(self) -> Path:
        """Where the group level writes: `group/`, or `group-NAME/` of an analysis that has a name."""
        return self.out_dir / (f"group-{self.analysis_name}" if self.analysis_name else "group")

    @property
    def reference_region(self) -> tuple[str, str] | None:
        """Atlas and name of the region that is the reference, if one is."""
        kind, _, region = self.reference.partition(":")
        atlas, _, name = region.partition(".")
        return (atlas, name) if kind == "region" else None

    @property
    def neighbour_pairs(self) -> tuple[str, ...]:
        """REGION=OTHER, those of the packaged atlases first, so that the user's win."""
        from .regions.neighbours import PACKAGED

        return (*PACKAGED, *self.neighbours)

    @property
    def excludes(self) -> bool:
        """Whether voxels of the mask are left out of the numbers per region."""
        return self.exclude_veins or self.exclude_gradients

    @property
    def single_step(self) -> bool:
        """Whether χ comes from the total field at once; the background method is then not used."""
        return self.inversion in SINGLE_STEP_METHODS

    def parameters(self, method: str) -> dict[str, Any]:
        """Keyword arguments of an algorithm; {} for one that has none."""
        table = getattr(self, method, None)
        return asdict(table) if table is not None else {}

    @property
    def template(self) -> str:
        """Name of the space that maps are normalised to."""
        return self.output_spaces[0]

    @classmethod
    def resolve(cls, given: Mapping[str, Any], *, config: Path | None = None, preset: str | None = None) -> Settings:
        """Join preset, settings file and what the command line gave (`given`, only explicit values).

        Raises
        ------
        UsageError
            If a file is missing or is no TOML, a key is unknown, or a value does not fit.
        """
        file_values = read_toml(config) if config else {}
        if preset:  # asked for on the command line: above the file, below the single options
            values = _merge(file_values, read_preset(preset))
        else:
            values = _merge(read_preset(str(file_values.get("preset", "default"))), file_values)
        values = _merge(values, {**given, **({"preset": preset} if preset else {}), "config": config})
        absent = [key for key in ("bids_dir", "out_dir", "analysis_level") if values.get(key) is None]
        if absent:
            raise UsageError(
                f"Missing argument {absent[0].upper().replace('ANALYSIS_LEVEL', '{participant|group}')}. "
                "A call reads: qsmprep BIDS_DIR OUT_DIR {participant|group} [options]"
            )
        return cls(**_build(values))

    @classmethod
    def from_toml(cls, path: str | Path, **overrides: Any) -> Settings:
        """Read a settings file; `overrides` (field names) win over it."""
        return cls.resolve(overrides, config=Path(path))

    def to_dict(self) -> dict[str, Any]:
        """Plain values (strings, numbers, lists, tables); without what is None or is never stored."""
        return {k: _plain(v) for k, v in asdict(self).items() if v is not None and k not in NOT_STORED}

    def to_toml(self) -> str:
        """Text of a settings file that gives these settings again."""
        import tomli_w

        values = self.to_dict()
        flat = {k: v for k, v in values.items() if not isinstance(v, dict)}
        return tomli_w.dumps(flat | {k: v for k, v in values.items() if isinstance(v, dict)})


def parse_assignments(assignments: Iterable[str]) -> dict[str, Any]:
    """Values of `--set TABLE.KEY=VALUE`, as a settings file would give them.

    Raises
    ------
    UsageError
        If one is no assignment, names no table or key that exists, or its value is of another type.
    """
    values: dict[str, dict[str, Any]] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        table, dot, key = name.strip().partition(".")
        if not (equals and dot and table and key):
            raise UsageError(f"--set {assignment}: expected TABLE.KEY=VALUE, for example --set vsharp.radius_max_mm=8")
        try:
            value = tomllib.loads(f"value = {text.strip()}")["value"]
        except tomllib.TOMLDecodeError:
            value = text.strip()  # a word: quotes are the shell's business
        if not is_dataclass(typing.get_type_hints(Settings).get(table)):
            tables = [f.name for f in fields(Tables)]
            raise UsageError(f"--set {assignment}: {table!r} is no table of parameters. {_suggest(table, tables, '')}")
        values.setdefault(table, {})[key] = value
    return _checked(Settings, values, Path("--set"), "")


def read_preset(name: str) -> dict[str, Any]:
    """Values of a packaged preset."""
    check_choice("--preset", name, preset_names())
    return read_toml(PRESET_DIR / f"{name}.toml")


def preset_names() -> tuple[str, ...]:
    """Names of the packaged presets, the default first."""
    return tuple(sorted((p.stem for p in PRESET_DIR.glob("*.toml")), key=lambda n: (n != "default", n)))


def panel_names() -> tuple[str, ...]:
    """Names of the packaged panels of regions, and `all` for all of them together."""
    return (*sorted(path.stem for path in PANEL_DIR.glob("*.toml")), "all")


def read_toml(path: Path) -> dict[str, Any]:
    """Read a settings file and check its keys and types. Relative paths count from the file's folder."""
    raw = load_toml(Path(path), "--config")
    return _checked(Settings, raw, Path(path), "")


def _checked(cls: Any, raw: Mapping[str, Any], path: Path, table: str) -> dict[str, Any]:
    hints = typing.get_type_hints(cls)
    known = [f.name for f in fields(cls) if f.name not in NOT_STORED or table]
    result: dict[str, Any] = {}
    for key, value in raw.items():
        if key not in known:
            raise UsageError(f"{path}: unknown key {table + key!r}. {_suggest(key, known, table)}")
        hint = hints[key]
        if is_dataclass(hint):
            if not isinstance(value, dict):
                raise UsageError(f"{path}: [{key}] has to be a table; found {value!r}.")
            result[key] = _checked(hint, value, path, f"{key}.")
        else:
            result[key] = _coerce(value, hint, f"{path}: {table}{key}", path.resolve().parent)
    return result


def _suggest(key: str, known: list[str], table: str) -> str:
    everywhere = known if table else known + [f"{f.name}.{g.name}" for f in fields(Settings) for g in _subfields(f)]
    near = difflib.get_close_matches(key, everywhere, n=1, cutoff=0.5) or [
        name for name in everywhere if name.split(".")[-1] == key
    ]
    return f"Did you mean {table + near[0]!r}?" if near else f"Known keys: {', '.join(known)}."


def _subfields(f: Any) -> tuple[Any, ...]:
    return fields(f.default_factory) if f.default_factory is not MISSING and is_dataclass(f.default_factory) else ()


def _coerce(value: Any, hint: Any, where: str, base: Path) -> Any:
    """Turn a TOML value into the field's type, or say what was expected."""
    if typing.get_origin(hint) is tuple:
        inner = typing.get_args(hint)[0]
        if not isinstance(value, list):
            raise UsageError(f"{where} has to be a list; found {value!r}.")
        return tuple(_coerce(v, inner, where, base) for v in value)
    if isinstance(hint, types.UnionType):
        hint = next(t for t in typing.get_args(hint) if t is not type(None))
    if hint is Path and isinstance(value, str):
        return base / Path(value).expanduser()
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is hint:
        return value
    names = {Path: "a path (string)", str: "a string", int: "a whole number", float: "a number", bool: "true or false"}
    raise UsageError(f"{where} has to be {names.get(hint, str(hint))}; found {value!r}.")


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        merged[key] = _merge(merged.get(key, {}), value) if isinstance(value, Mapping) else value
    return merged


def _build(values: Mapping[str, Any]) -> dict[str, Any]:
    hints = typing.get_type_hints(Settings)
    return {k: hints[k](**v) if isinstance(v, Mapping) else v for k, v in values.items()}


def _absolute(value: Any) -> Any:
    if isinstance(value, Path):
        return Path(os.path.abspath(value.expanduser()))  # noqa: PTH100  keeps symbolic links, as users expect
    if isinstance(value, tuple):
        return tuple(_absolute(v) for v in value)
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, tuple | list) else value


def _labels(labels: Iterable[str], prefix: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(label.removeprefix(prefix) for label in labels))


def _reference(value: str) -> None:
    """A reference is one of the known ones, or a region of a packaged atlas."""
    kind, colon, region = value.partition(":")
    if not colon:
        check_choice("--reference", value, REFERENCES)
        return
    from .data import ATLASES

    atlas, dot, name = region.partition(".")
    if kind != "region" or not dot or not name or atlas not in ATLASES:
        raise UsageError(
            f"--reference {value}: expected region:ATLAS.NAME with one of the atlases {', '.join(ATLASES)}, for "
            "example region:deepgrey.thalamus; the names are in the TSV beside each seg- image."
        )
