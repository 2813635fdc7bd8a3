import importlib
import inspect
import tomllib
from dataclasses import asdict, fields, replace
from pathlib import Path

import pytest

from qsmprep.errors import UsageError
from qsmprep.parameters import (
    BACKGROUND_METHODS,
    FIELDMAP_METHODS,
    INVERSION_METHODS,
    RELAXOMETRY_METHODS,
    SINGLE_STEP_METHODS,
    UNWRAP_METHODS,
)
from qsmprep.settings import NOT_STORED, Settings, preset_names, read_preset

BASE = {"bids_dir": "/data", "out_dir": "/out"}


def settings(**values):
    return Settings.resolve({"bids_dir": "/data", "out_dir": "/out", "analysis_level": "participant", **values})


@pytest.fixture
def toml(tmp_path):
    def write(text):
        path = tmp_path / "settings.toml"
        path.write_text(text)
        return path

    return write


def test_written_settings_give_the_same_settings_again(toml, tmp_path):
    before = Settings(
        bids_dir=tmp_path / "bids", out_dir=tmp_path / "out", participant_label=("sub-01", "02"), nprocs=3, mem_gb=5.5,
        field_strength=7.0, phase_sign=-1, normalization=False, inversion="tv", derivatives=(tmp_path / "masks",),
        atlas=tmp_path / "a.nii", atlas_labels=tmp_path / "a.tsv", random_seed=4, preset="fast",
        vsharp=replace(Settings(tmp_path, tmp_path).vsharp, radius_max_mm=8.0),
    )  # fmt: skip
    after = Settings.from_toml(toml(before.to_toml()))
    assert replace(after, config=None) == before
    assert after.participant_label == ("01", "02")


def test_every_field_is_stored_but_those_that_leave_no_trace(tmp_path):
    full = Settings(
        tmp_path / "a", tmp_path / "b", bids_filter_file=tmp_path / "f", bids_database_dir=tmp_path / "d",
        nipype_plugin_file=tmp_path / "p", field_strength=3.0, atlas=tmp_path / "l", atlas_labels=tmp_path / "t",
        model=tmp_path / "m",
    )  # fmt: skip
    stored = set(tomllib.loads(full.to_toml()))
    assert stored == {f.name for f in fields(Settings)} - set(NOT_STORED)


def test_later_sources_win(toml):
    path = toml('unwrap = "laplacian"\npreset = "fast"\ninversion = "tv"\n[rts]\nmu = 5.0\n')
    from_file = Settings.resolve({"bids_dir": "/d", "out_dir": "/o", "analysis_level": "group"}, config=path)
    assert (from_file.unwrap, from_file.inversion, from_file.rts.mu) == ("laplacian", "tv", 5.0)
    assert from_file.relaxometry == read_preset("fast")["relaxometry"] != "loglinear"
    given = {"bids_dir": "/d", "out_dir": "/o", "analysis_level": "group", "inversion": "tikhonov"}
    from_line = Settings.resolve(given, config=path, preset="fast")
    assert (from_line.unwrap, from_line.inversion) == ("romeo", "tikhonov")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('unwarp = "romeo"', "'unwarp'. Did you mean 'unwrap'"),
        ("[vsharp]\nradius_max = 3.0", "Did you mean 'vsharp.radius_max_mm'"),
        ("max_iterations = 3", "max_iterations'"),
        ("dry_run = true", "unknown key 'dry_run'"),
        ('nprocs = "two"', "nprocs has to be a whole number; found 'two'"),
        ("normalization = 1", "has to be true or false"),
        ('participant_label = "01"', "has to be a list"),
        ("vsharp = 3", "has to be a table"),
        ("a = ", "not valid TOML"),
    ],
)
def test_wrong_settings_files_are_explained(toml, text, words):
    with pytest.raises(UsageError) as caught:
        Settings.from_toml(toml(text), **BASE)
    assert words in str(caught.value)


def test_missing_settings_file_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="there is no file"):
        Settings.from_toml(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"unwrap": "romo"}, "Did you mean 'romeo'"),
        ({"output_spaces": ("MNI152",)}, "MNI152NLin2009cAsym"),
        ({"atlas": "/a.nii"}, "go together"),
        ({"reference": "csf", "normalization": False}, "--reference csf finds its region by registration"),
        ({"reference": "region:deepgrey"}, "expected region:ATLAS.NAME"),
        ({"reference": "region:other.thalamus"}, "deepgrey"),
        ({"nprocs": 0}, "between 1 and"),
        ({"phase_sign": 0}, "--phase-sign"),
        ({"field_strength": 3000.0}, "--field-strength"),
        ({"vsharp": {"radius_max_mm": 1.0, "radius_min_mm": 2.0}}, "more than vsharp.radius_max_mm"),
        ({"rts": {"mu": 0.0}}, "rts.mu"),
        ({"out_dir": None}, "Missing argument OUT_DIR"),
    ],
)
def test_values_out_of_range_are_explained(values, words):
    with pytest.raises(UsageError) as caught:
        settings(**values)
    assert words in str(caught.value)


# what a stage is given as data, not as a parameter
DATA = {"noise", "magnitude", "phase_per_ppm", "csf"}
PACKAGES = {
    "background": BACKGROUND_METHODS,
    "fieldmap": FIELDMAP_METHODS,
    "inversion": tuple(name for name in INVERSION_METHODS if name not in SINGLE_STEP_METHODS),
    "singlestep": SINGLE_STEP_METHODS,
    "relaxometry": RELAXOMETRY_METHODS,
    "unwrap": UNWRAP_METHODS,
}
ALGORITHMS = [(package, name) for package, names in PACKAGES.items() for name in names]


@pytest.mark.parametrize(("package", "name"), ALGORITHMS)
def test_parameters_are_the_keywords_of_the_algorithms_with_their_defaults(package, name):
    function = importlib.import_module(f"qsmprep.qsm.{package}").METHODS[name]
    signature = inspect.signature(function).parameters.values()
    keywords = {p.name: p.default for p in signature if p.kind is p.KEYWORD_ONLY and p.name not in DATA}
    table = getattr(settings(), name, None)
    assert (asdict(table) if table else {}) == keywords


@pytest.mark.parametrize("package", [package for package, names in PACKAGES.items() if names])
def test_every_algorithm_can_be_chosen(package):
    assert set(importlib.import_module(f"qsmprep.qsm.{package}").METHODS) == set(PACKAGES[package])


@pytest.mark.parametrize("name", preset_names())
def test_presets_are_valid(name):
    assert Settings.resolve({**BASE, "analysis_level": "participant"}, preset=name).preset == name


def test_threads_and_memory_have_sensible_defaults():
    assert 1 <= settings(nprocs=16).omp_nthreads <= 4
    assert settings(nprocs=1).omp_nthreads == 1
    assert settings().mem_gb > 0


def test_what_is_left_out_of_the_numbers_survives_the_settings_file(tmp_path):
    asked = {"exclude_veins": True, "exclude_gradients": True, "erode_labels": 1.5}
    settings = Settings(bids_dir=Path("/data"), out_dir=Path("/out"), **asked)
    (tmp_path / "settings.toml").write_text(settings.to_toml())
    again = Settings.from_toml(tmp_path / "settings.toml")
    assert {name: getattr(again, name) for name in asked} == asked and again.excludes
    assert not Settings(bids_dir=Path("/data"), out_dir=Path("/out"), erode_labels=1.0).excludes


@pytest.mark.parametrize("asked", [{"exclude_veins": True}, {"exclude_gradients": True}, {"erode_labels": 1.0}])
def test_regions_cannot_be_counted_differently_where_there_are_none(asked):
    option = "--" + next(iter(asked)).replace("_", "-")
    with pytest.raises(UsageError, match=f"{option} changes the numbers per region"):
        Settings(bids_dir=Path("/data"), out_dir=Path("/out"), normalization=False, **asked)
