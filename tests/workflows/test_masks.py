"""How the brain is found, end to end: programs of others, masks that are there already, and a stop to look at them."""

import json
import shutil
import sys

import nibabel as nib
import numpy as np
import pytest

from qsmprep.bids.plan import make_plan
from qsmprep.bids.validation import find_validator, validate_dataset
from qsmprep.cli.main import parse, run
from qsmprep.workflows.participant import init_qsmprep_wf

TE, SHAPE, AFFINE = (0.004, 0.008, 0.012), (26, 24, 22), np.diag([2.0, 2.0, 2.0, 1.0])
PROGRAM = """#!{python}
import sys
import nibabel as nib, numpy as np
args = dict(zip(sys.argv[1::2], sys.argv[2::2]))
image = nib.load(args["-i"])
mask = np.zeros(image.shape, np.uint8)
mask[4:20, 4:20, 4:18] = 1
mask[10:12, 10:12, 10:12] = 0
nib.save(nib.Nifti1Image(mask, image.affine), args["-m"])
"""


def load(path):
    return np.asanyarray(nib.load(path).dataobj)


def sidecar(path):
    return json.loads(path.with_name(path.name.replace(".nii.gz", ".json")).read_text())


@pytest.fixture
def brain(dataset):
    """A dataset of one object that fills the volume, with an even phase."""
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij")
    field = 300 * (x - 0.5 * y) + 150 * np.exp(-8 * ((x - 0.2) ** 2 + y**2 + (z + 0.1) ** 2))
    rng = np.random.default_rng(0)
    for number, te in enumerate(TE, 1):
        signal = 1000 * np.exp(-te / 0.03 + 1j * te * field) * (1 + 0.1 * np.cos(5 * z))
        signal = signal + 4 * (rng.standard_normal(SHAPE) + 1j * rng.standard_normal(SHAPE))
        for part, data, units in (("mag", np.abs(signal), {}), ("phase", np.angle(signal), {"Units": "rad"})):
            name = dataset.name(echo=number, part=part) + "_MEGRE.nii.gz"
            dataset.image(name, data.astype(np.float32), {"EchoTime": te, "MagneticFieldStrength": 3, **units})
    return dataset


@pytest.fixture
def call(brain, tmp_path, keep_environ):
    """Run the participant level without registration; the exit code."""
    fixed = ["participant", "--no-normalization", "--skip-bids-validation", "-w", str(tmp_path / "work")]
    return lambda *options: run([str(brain.root), str(tmp_path / "out"), *fixed, *options])


@pytest.fixture
def anat(tmp_path):
    return tmp_path / "out" / "sub-01" / "anat"


@pytest.fixture
def synthstrip(tmp_path, monkeypatch):
    folder = tmp_path / "bin"
    folder.mkdir()
    path = folder / "mri_synthstrip"
    path.write_text(PROGRAM.format(python=sys.executable))
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    return path


def test_synthstrip_finds_the_brain_of_a_magnitude_and_everything_says_so(call, anat, synthstrip, tmp_path):
    assert call("--skull-strip", "synthstrip") == 0
    mask = load(anat / "sub-01_desc-brain_mask.nii.gz") > 0
    expected = np.zeros(SHAPE, bool)
    expected[4:20, 4:20, 4:18] = True
    assert np.array_equal(mask, expected), "with its hole filled"
    told = sidecar(anat / "sub-01_desc-brain_mask.nii.gz")
    assert told["SkullStripping"]["Method"] == "synthstrip" and told["SkullStripping"]["Image"] == "gradient echo"
    assert told["SkullStripping"]["Program"] == str(synthstrip)
    assert any("8 voxels of holes" in action for action in told["MaskActions"])
    chi = sidecar(anat / "sub-01_Chimap.nii.gz")
    assert chi["SkullStripping"] == told["SkullStripping"] and chi["MaskActions"] == told["MaskActions"]
    page = (tmp_path / "out" / "sub-01.html").read_text()
    assert "by SynthStrip, on the gradient echo" in page and "8 voxels of holes in the brain mask filled" in page
    assert "SynthStrip" in (tmp_path / "out" / "logs" / "CITATION.md").read_text()
    assert 'skull_strip = "synthstrip"' in (tmp_path / "out" / "logs" / "settings.toml").read_text()


def test_a_program_that_fails_fails_the_run_with_its_last_words(call, synthstrip, capfd):
    synthstrip.write_text("#!/bin/sh\necho 'no model here' >&2\nexit 2\n")
    assert call("--skull-strip", "synthstrip") == 1
    assert "synthstrip failed with exit code 2: no model here" in capfd.readouterr().out


def test_without_the_program_the_call_ends_before_anything_is_written(call, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert call("--skull-strip", "synthstrip") == 4
    assert "none of the programs mri_synthstrip" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert call("--skull-strip", "synthstrip", "--dry-run") == 0, "a plan can be made elsewhere"
    assert "none of the programs mri_synthstrip" in capsys.readouterr().err


def test_deepbet_without_registration_is_wrong_usage(call, capsys):
    assert call("--skull-strip", "deepbet") == 2
    assert "nothing is registered with --no-normalization" in capsys.readouterr().err


def test_a_mask_that_is_there_already_is_taken_as_it_is(call, anat, tmp_path):
    mask = np.zeros(SHAPE, np.uint8)
    mask[5:19, 5:19, 5:17] = 1
    mask[11, 11, 11] = 0
    folder = tmp_path / "masks" / "sub-01" / "anat"
    folder.mkdir(parents=True)
    nib.save(nib.Nifti1Image(mask, AFFINE), folder / "sub-01_desc-brain_mask.nii.gz")
    assert call("--skull-strip", "precomputed", "--derivatives", str(tmp_path / "masks")) == 0
    assert np.array_equal(load(anat / "sub-01_desc-brain_mask.nii.gz"), mask)
    told = sidecar(anat / "sub-01_desc-brain_mask.nii.gz")
    assert told["SkullStripping"]["Mask"] == "bids:masks:sub-01/anat/sub-01_desc-brain_mask.nii.gz"
    assert "bids:masks:sub-01/anat/sub-01_desc-brain_mask.nii.gz" in told["Sources"]
    assert "given: sub-01_desc-brain_mask.nii.gz" in (tmp_path / "out" / "sub-01.html").read_text()


def test_a_stop_for_the_masks_and_a_mask_that_the_user_replaces(call, anat, tmp_path, capfd):
    assert call("--stop-after", "mask") == 0
    out = tmp_path / "out"
    assert "Stopped after the masks, as asked for" in capfd.readouterr().out
    plan = json.loads((out / "logs" / "plan.json").read_text())
    files = {
        str(f.relative_to(out)) for f in out.rglob("sub-01*") if f.suffix not in (".json", ".webp") and f.is_file()
    }
    assert files == {name for name in plan["runs"][0]["outputs"] if not name.endswith(".json")}
    assert [f.name for f in (out / "sub-01" / "figures").iterdir()] == ["sub-01_desc-mask_QSM.webp"]
    page = (out / "sub-01.html").read_text()
    assert "Stopped after the masks, as asked for" in page and "Errors" not in page.split("<nav")[0]
    assert json.loads((anat / "sub-01_desc-qc_iqms.json").read_text())["verdict"] in ("PASS", "CHECK", "FAIL")
    if find_validator() is not None:
        assert not validate_dataset(out).errors

    path = anat / "sub-01_desc-brain_mask.nii.gz"
    mask = load(path).copy()
    mask[:6] = 0
    nib.save(nib.Nifti1Image(mask.astype(np.float64), AFFINE), path)  # as another program may write it
    replaced = path.read_bytes()
    for _ in range(2):  # and it stays the user's
        assert call() == 0
        assert "replaced by the user" in capfd.readouterr().out
        assert path.read_bytes() == replaced, "the user's file is left alone"
        chi = load(anat / "sub-01_Chimap.nii.gz")
        assert not chi[:6].any() and chi[8:18, 8:16, 8:14].any()
        for image in (path, anat / "sub-01_Chimap.nii.gz"):
            assert sidecar(image)["SkullStripping"]["ReplacedByUser"] is True
        page = (out / "sub-01.html").read_text()
        assert "replaced by the user in the output dataset" in page and "Stopped after the masks" not in page
    assert "corrected by hand for 1 run" in (out / "logs" / "CITATION.md").read_text()

    path.unlink()
    assert call() == 0
    assert load(path)[:6].any(), "a mask that was deleted is made anew"
    assert "ReplacedByUser" not in sidecar(path)


def test_what_was_done_before_the_stop_is_reused_after_it(call, tmp_path):
    assert call("--stop-after", "mask") == 0
    assert call() == 0
    rows = [line.split("\t") for line in (tmp_path / "out" / "logs" / "timings.tsv").read_text().splitlines()]
    seconds = {stage: float(value) for graph, stage, value in rows[1:]}
    results = tmp_path / "work" / "qsmprep_wf" / "sub_01"
    made = {name: (results / name).stat().st_mtime for name in ("echoes/quality", "recon/qsm_mask", "recon/unwrap")}
    assert seconds["echoes.quality"] < 1
    assert (results / "recon/qsm_mask/brain_mask.nii").stat().st_mtime < made["recon/unwrap"]


def links(wf):
    return {(a.fullname.split(".", 1)[-1], b.fullname.split(".", 1)[-1]) for a, b in wf._create_flat_graph().edges()}


@pytest.mark.parametrize(
    ("options", "t1w", "present", "absent"),
    [
        (["--skull-strip", "deepbet"], True, ["anat_sub_01_T1w.brain_extraction", "coreg"], []),
        (["--skull-strip", "synthstrip"], False, ["gre_anat.brain_extraction", "second_brain"], ["coreg"]),
        (["--skull-strip", "quality"], False, ["gre_anat.normalization", "second_brain"], []),
        ([], False, ["gre_anat.brain_extraction", "leakage"], ["second_brain", "coreg"]),
        ([], True, ["second_brain", "leakage", "coreg"], ["gre_anat"]),
        (
            ["--stop-after", "mask"],
            True,
            ["coreg.rigid", "recon.qsm_mask"],
            ["normalization", "unwrap", "seg_", "leakage"],
        ),
        (["--stop-after", "mask", "--skull-strip", "quality"], True, ["recon.qsm_mask"], ["anat", "coreg", "unwrap"]),
    ],
)
def test_the_graph_has_what_the_method_needs_and_no_more(brain, tmp_path, options, t1w, present, absent):
    if t1w:
        brain.t1w()
    settings = parse([str(brain.root), str(tmp_path / "out"), "participant", "-w", str(tmp_path / "w"), *options])
    names = init_qsmprep_wf(make_plan(settings), settings).list_node_names()
    for part in present:
        assert any(part in name for name in names), part
    for part in absent:
        assert not any(part in name for name in names), part


@pytest.mark.slow
def test_a_mask_of_the_t1w_comes_to_the_gradient_echo_by_registration(phantom_dataset, tmp_path, keep_environ):
    bids = tmp_path / "bids"
    shutil.copytree(phantom_dataset, bids, ignore=shutil.ignore_patterns("sub-02"))
    t1w = nib.load(bids / "sub-01" / "anat" / "sub-01_T1w.nii.gz")
    truth = nib.load(bids / "derivatives" / "phantom" / "sub-01" / "anat" / "sub-01_desc-brain_mask.nii.gz")
    from qsmprep.space.resample import apply

    folder = tmp_path / "masks" / "sub-01" / "anat"
    folder.mkdir(parents=True)
    carried = folder / "sub-01_desc-brain_mask.nii.gz"
    apply(truth.get_filename(), t1w.get_filename(), [], carried, interpolation="label")
    turned = nib.load(carried).as_reoriented(np.array([[1, -1], [0, 1], [2, -1]]))  # still the same grid
    nib.save(nib.Nifti1Image(np.array(turned.dataobj), turned.affine), carried)
    arguments = [str(bids), str(tmp_path / "out"), "participant", "-w", str(tmp_path / "work"), "--stop-after", "mask"]
    arguments += ["--skull-strip", "precomputed", "--derivatives", str(tmp_path / "masks"), "--skip-bids-validation"]
    assert run(arguments) == 0
    anat = tmp_path / "out" / "sub-01" / "anat"
    mask, true = load(anat / "sub-01_desc-brain_mask.nii.gz") > 0, np.asanyarray(truth.dataobj) > 0
    assert 2 * (mask & true).sum() / (mask.sum() + true.sum()) > 0.95
    told = sidecar(anat / "sub-01_desc-brain_mask.nii.gz")
    assert told["SkullStripping"]["Image"] == "T1w" and told["SkullStripping"]["Method"] == "precomputed"
    numbers = json.loads((anat / "sub-01_desc-qc_iqms.json").read_text())
    assert numbers["verdict"] == "PASS" and numbers["mask_agreement_dice"] > 0.9 and "coregistration_nmi" in numbers
