import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from qsmprep.bids.dataset import write_dataset_files
from qsmprep.bids.derivatives import (
    atomic_write_text,
    derivative_path,
    sidecar,
    write_image,
    write_json,
    write_table,
)
from qsmprep.bids.names import ENTITY_NAMES, split_name
from qsmprep.bids.validation import Validation, find_validator, validate_dataset
from qsmprep.settings import Settings

ENTITIES = {"subject": "01", "session": "1", "acquisition": "hi", "run": "02", "echo": "3", "part": "phase"}
AFFINE = np.array([[-2.0, 0, 0, 10], [0, 1.9, 0.3, -5], [0, -0.3, 1.9, 7], [0, 0, 0, 1]])
CONFIG = Path(__file__).resolve().parents[2] / "bids_validator_config.json"


@pytest.mark.parametrize(
    ("suffix", "options", "expected"),
    [
        ("Chimap", {}, "anat/sub-01_ses-1_acq-hi_run-02_Chimap.nii.gz"),
        ("Chimap", {"desc": "csf"}, "anat/sub-01_ses-1_acq-hi_run-02_desc-csf_Chimap.nii.gz"),
        ("R2starmap", {"space": "MNI152NLin2009cAsym", "res": 1},
         "anat/sub-01_ses-1_acq-hi_run-02_space-MNI152NLin2009cAsym_res-1_R2starmap.nii.gz"),
        ("fieldmap", {"datatype": "fmap", "desc": "total"},
         "fmap/sub-01_ses-1_acq-hi_run-02_desc-total_fieldmap.nii.gz"),
        ("dseg", {"seg": "DK", "desc": "stats", "extension": ".tsv"},
         "anat/sub-01_ses-1_acq-hi_run-02_seg-DK_desc-stats_dseg.tsv"),
        ("mask", {"label": "CSF"}, "anat/sub-01_ses-1_acq-hi_run-02_label-CSF_mask.nii.gz"),
        ("xfm", {"from_": "GRE", "to": "T1w", "mode": "image", "extension": ".h5"},
         "anat/sub-01_ses-1_acq-hi_run-02_from-GRE_to-T1w_mode-image_xfm.h5"),
    ],
)  # fmt: skip
def test_names_follow_bids_and_drop_echo_and_part(suffix, options, expected):
    assert derivative_path("out", ENTITIES, suffix, **options) == Path("out/sub-01/ses-1") / expected


def test_figures_have_no_session_folder():
    path = derivative_path("out", ENTITIES, "MEGRE", datatype="figures", desc="mask", extension=".webp")
    assert path == Path("out/sub-01/figures/sub-01_ses-1_acq-hi_run-02_desc-mask_MEGRE.webp")


def test_unknown_entity_is_an_error():
    with pytest.raises(ValueError, match="nonsense"):
        derivative_path("out", ENTITIES, "Chimap", nonsense="1")


@hypothesis_settings(max_examples=30, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([*sorted(set(ENTITY_NAMES.values()) - {"subject", "echo", "part"}), "private"]),
        st.from_regex(r"[a-zA-Z0-9]{1,6}", fullmatch=True),
    )
)
def test_every_input_entity_comes_back_from_the_name(entities):
    entities = {"subject": "01", **entities}
    found, suffix, extension = split_name(derivative_path("", entities, "Chimap").name)
    assert (found, suffix, extension) == (entities, "Chimap", ".nii.gz")


@pytest.mark.parametrize("dtype", [np.float32, np.uint8, np.int16])
def test_image_reads_back_with_affine_and_codes_of_the_input(tmp_path, dtype):
    source = nib.Nifti1Image(np.zeros((3, 4, 5), np.int16), AFFINE)
    source.set_qform(AFFINE, code=1)
    source.set_sform(AFFINE, code=2)
    nib.save(source, tmp_path / "in.nii.gz")
    data = np.arange(60).reshape(3, 4, 5).astype(dtype)
    path = write_image(
        tmp_path / "new" / "a_Chimap.nii.gz", data, AFFINE, {"Units": "ppm"}, like=tmp_path / "in.nii.gz"
    )
    image = nib.load(path)
    np.testing.assert_array_equal(np.asarray(image.dataobj), data)
    np.testing.assert_allclose(image.affine, AFFINE, atol=1e-6)
    assert (int(image.header["qform_code"]), int(image.header["sform_code"])) == (1, 2)
    assert json.loads((tmp_path / "new" / "a_Chimap.json").read_text()) == {"Units": "ppm"}


def test_equal_data_give_equal_bytes_and_no_temporary_file_stays(tmp_path):
    data = np.random.default_rng(0).normal(size=(5, 5, 5))
    one = write_image(tmp_path / "a.nii.gz", data, AFFINE).read_bytes()
    two = write_image(tmp_path / "a.nii.gz", data, AFFINE).read_bytes()
    assert one == two
    assert [path.name for path in tmp_path.iterdir()] == ["a.nii.gz"]


def test_masks_are_written_as_bytes_and_other_types_refused(tmp_path):
    path = write_image(tmp_path / "a.nii.gz", np.ones((2, 2, 2), bool), AFFINE)
    assert nib.load(path).get_data_dtype() == np.uint8
    with pytest.raises(ValueError, match="complex64"):
        write_image(tmp_path / "b.nii.gz", np.ones((2, 2, 2), np.complex64), AFFINE)


def test_failing_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = atomic_write_text(tmp_path / "a.txt", "old")
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        atomic_write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_json_takes_numpy_and_writes_nan_as_null(tmp_path):
    content = {"a": np.float32(1.5), "b": np.arange(2), "c": float("nan"), "d": Path("/x"), "e": (1, np.bool_(True))}
    found = json.loads(write_json(tmp_path / "a.json", content).read_text())
    assert found == {"a": 1.5, "b": [0, 1], "c": None, "d": "/x", "e": [1, True]}


def test_table_writes_missing_values_as_na_with_its_columns(tmp_path):
    table = pd.DataFrame({"index": [1, 2], "name": ["a", "b"], "x": [0.1, np.nan]})
    path = write_table(tmp_path / "a_dseg.tsv", table, {"x": {"Description": "a number"}})
    assert path.read_text() == "index\tname\tx\n1\ta\t0.1\n2\tb\tn/a\n"
    assert (tmp_path / "a_dseg.json").is_file()


def test_sources_become_bids_uris(tmp_path):
    settings = Settings(
        bids_dir=tmp_path / "bids", out_dir=tmp_path / "bids" / "derivatives" / "q", derivatives=(tmp_path / "masks",)
    )
    sources = [settings.out_dir / "sub-01/a", settings.bids_dir / "sub-01/b", tmp_path / "masks/sub-01/c", "/else/d"]
    found = sidecar(settings, sources=sources, units="ppm", skull_stripped=True, Parameters={"x": 1}, Nothing=None)
    assert found["Sources"] == sorted(["bids::sub-01/a", "bids:raw:sub-01/b", "bids:masks:sub-01/c", "d"])
    assert found["Parameters"] == {"x": 1}
    assert "Nothing" not in found
    assert found["GeneratedBy"][0]["Name"] == "qsmprep"


def test_derivatives_validate_without_errors(dataset, tmp_path):
    if find_validator() is None:
        pytest.skip("bids-validator-deno is not installed")
    dataset.gre()
    out = tmp_path / "qsmprep"
    settings = Settings(bids_dir=dataset.root, out_dir=out, derivatives=(tmp_path / "masks",))
    write_dataset_files(out, settings, dataset.root)
    write_dataset_files(out, settings, dataset.root)  # again: CHANGES does not grow
    assert (out / "CHANGES").read_text().count("Processed with") == 1
    entities = {"subject": "01", "acquisition": "hi", "run": "1"}
    data = np.ones((4, 4, 4), np.float32)

    def write(suffix, data=data, units=None, stripped=True, resolution=None, **names):
        entries = sidecar(settings, units=units, skull_stripped=stripped, resolution=resolution)
        write_image(derivative_path(out, entities, suffix, **names), data, AFFINE, entries)

    for suffix, units in (("Chimap", "ppm"), ("R2starmap", "1/s"), ("T2starmap", "s"), ("S0map", "arbitrary")):
        write(suffix, units=units)
        write(suffix, units=units, space="MNI152NLin2009cAsym", res=1, resolution="1 mm, that of the template")
    write("S0map", units="arbitrary", desc="residual")
    for desc in ("total", "local", "noise", "residual"):
        write("fieldmap", units="rad" if desc == "residual" else "Hz", datatype="fmap", desc=desc)
        write("magnitude", datatype="fmap", desc=desc)
    for desc in ("brain", "qsm"):
        write("mask", data.astype(np.uint8), stripped=None, desc=desc)
    write("mask", data.astype(np.uint8), stripped=None, label="CSF")
    write("dseg", data.astype(np.int16), stripped=None, seg="deepgrey")
    columns = {"index": {"Description": "label"}, "name": {"Description": "region"}, "chi_mean": {"Units": "ppm"}}
    table = pd.DataFrame({"index": [1], "name": ["putamen"], "chi_mean": [0.05]})
    write_table(derivative_path(out, entities, "dseg", seg="deepgrey", desc="stats", extension=".tsv"), table, columns)
    write_table(derivative_path(out, entities, "dseg", seg="deepgrey", extension=".tsv"), table[["index", "name"]])
    write_json(derivative_path(out, entities, "iqms", desc="qc", extension=".json"), {"verdict": "PASS"})
    figure = derivative_path(out, entities, "MEGRE", datatype="figures", desc="mask", extension=".webp")
    for path in (figure, out / "logs" / "plan.json", out / "sub-01.html", out / "index.html", out / "group" / "a.tsv"):
        atomic_write_text(path, "x")
    result = validate_dataset(out, config=CONFIG)
    assert result.note == ""
    assert result.errors == ()
    raw = validate_dataset(dataset.root, config=CONFIG)
    assert (raw.note, raw.errors) == ("", ())


def test_validation_is_summarised_and_never_fatal(monkeypatch, tmp_path):
    text = Validation(errors=(("A", "/x"), ("A", "/y"), ("B", "/z"))).lines()
    assert text[0].startswith("BIDS validation: 3 errors")
    assert "A: 2 times, for example /x" in text[1]
    monkeypatch.setattr("qsmprep.bids.validation.find_validator", lambda: None)
    assert "not installed" in validate_dataset(tmp_path).lines()[0]
    monkeypatch.setattr("qsmprep.bids.validation.find_validator", lambda: "/bin/false")
    assert "no result" in validate_dataset(tmp_path).lines()[0]
