"""`qsmprep-phantom`: options, taking up again, refusals."""

import json
import sys

import nibabel as nib
import numpy as np
import pytest

from qsmprep.cli.phantom import echo_times, main


def call(monkeypatch, *args):
    """Exit status of the program."""
    monkeypatch.setattr(sys, "argv", ["qsmprep-phantom", *map(str, args)])
    try:
        main()
    except SystemExit as leave:
        return leave.code
    return 0


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A dataset with what the shared one lacks: sessions, real and imaginary parts, bipolar, anisotropic, no T1w."""
    out_dir = tmp_path_factory.mktemp("made") / "bids"
    with pytest.MonkeyPatch.context() as patch:
        args = ["--groups", "PD", "HC", "--voxel-size", "5", "5", "7", "--echoes", "2", "--sessions", "2", "--no-t1w"]
        args += ["--parts", "real-imag", "--bipolar", "--obliquity", "15", "--b0", "7"]
        assert call(patch, out_dir, *args) == 0
    return out_dir, args


def test_options_reach_the_images(made):
    out_dir, _ = made
    anat = out_dir / "sub-02/ses-2/anat"
    names = sorted(path.name for path in anat.glob("*.nii.gz"))
    expected = [f"sub-02_ses-2_echo-{e}_part-{p}_MEGRE.nii.gz" for e in (1, 2) for p in ("imag", "real")]
    assert names == expected
    image = nib.load(anat / expected[0])
    np.testing.assert_allclose(image.header.get_zooms(), (5, 5, 7), rtol=1e-5)
    normal = image.affine[:3, 2] / np.linalg.norm(image.affine[:3, 2])
    assert np.degrees(np.arccos(normal[2])) == pytest.approx(15, abs=0.01)
    sidecar = json.loads((anat / expected[0].replace(".nii.gz", ".json")).read_text())
    assert sidecar["MagneticFieldStrength"] == 7 and sidecar["BipolarReadout"] is True
    assert sidecar["ImagingFrequency"] == pytest.approx(7 * 42.577478518, rel=1e-6)
    assert sidecar["EchoTime"] == pytest.approx(echo_times(2, 7.0)[0]) and sidecar["Units"] == "arbitrary"


def test_such_a_dataset_has_no_validator_errors_either(made, validator_errors):
    out_dir, _ = made
    assert validator_errors(out_dir) == []
    assert validator_errors(out_dir / "derivatives/phantom") == []


def test_the_command_again_keeps_what_is_there_and_adds_participants(made, monkeypatch, capsys):
    out_dir, args = made
    before = {path: path.stat().st_mtime_ns for path in out_dir.glob("sub-0[12]/**/*.nii.gz")}
    assert call(monkeypatch, out_dir, *args) == 0
    assert "2 of 2 participants are there already" in capsys.readouterr().out
    (out_dir / ".sub-03.part").mkdir()  # what a killed run leaves
    assert call(monkeypatch, out_dir, *args, "--participants", 2) == 0
    assert before == {path: path.stat().st_mtime_ns for path in before}
    table = (out_dir / "participants.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in table[1:]] == [f"sub-0{n}" for n in range(1, 5)]
    assert [line.split("\t")[3] for line in table[1:]] == ["PD", "HC", "PD", "HC"]
    assert not list(out_dir.glob(".sub-*"))


def test_other_options_on_the_same_folder_are_refused(made, monkeypatch, capsys):
    out_dir, args = made
    assert call(monkeypatch, out_dir, *args, "--seed", 7) == 2
    message = capsys.readouterr().err
    assert "seed 0 there, 7 asked" in message and "Traceback" not in message


def test_a_folder_that_holds_something_else_is_refused(tmp_path, monkeypatch, capsys):
    (tmp_path / "thesis.docx").write_text("precious")
    assert call(monkeypatch, tmp_path) == 2
    assert "is not empty" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.docx"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--voxel-size", "1", "2"], "one number or three"),
        (["--voxel-size", "0.01"], "0.3 to 8 mm"),
        (["--te", "0.02", "0.01"], "ascending"),
        (["--te", "4ms"], "expected numbers"),
        (["--te", "4", "9"], "seconds"),
        (["--snr", "0"], "positive"),
        (["--labels", "nowhere.nii.gz"], "no such file"),
        (["--groups", "a", "a"], "different names"),
    ],
)
def test_impossible_options_are_told_plainly(tmp_path, monkeypatch, capsys, args, said):
    assert call(monkeypatch, tmp_path / "out", *args) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
