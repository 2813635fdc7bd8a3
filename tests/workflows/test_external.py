"""Anatomy from another program, end to end: its T1w, mask and registration, and FreeSurfer's regions."""

import json
import shutil

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from qsmprep import data
from qsmprep.bids.validation import find_validator, validate_dataset
from qsmprep.cli.main import run
from qsmprep.phantom import Options
from qsmprep.phantom.geometry import Pose
from qsmprep.phantom.subject import _stream
from qsmprep.space._ants import load_ants
from qsmprep.space.composite import write_composite
from qsmprep.space.registration import take
from qsmprep.space.resample import apply

pytestmark = pytest.mark.slow
SPACE = "MNI152NLin2009cAsym"
FREESURFER = {"thalamus": (10, 49), "pulvinar": (10, 49), "caudate": (11, 50), "putamen": (12, 51), "GPe": (13, 52),
              "GPi": (13, 52), "red nucleus": (28, 60)}  # fmt: skip
ASEG = """# Measure BrainSeg, BrainSegVol, Brain Segmentation Volume, 1150000.0, mm^3
# ColHeaders  Index SegId NVoxels Volume_mm3 StructName normMean normStdDev normMin normMax normRange
  1  12  4900  4890.5  Left-Putamen  85.0 7.0 50.0 110.0 60.0
  2  49  7000  7010.0  Right-Thalamus-Proper  90.0 7.0 50.0 110.0 60.0
"""
APARC = """# ColHeaders StructName NumVert SurfArea GrayVol ThickAvg ThickStd MeanCurv GausCurv FoldInd CurvInd
insula  3300 2200 6500 2.95 0.7 0.1 0.03 30 3.5
"""


def load(path):
    return np.asanyarray(nib.load(path).dataobj)


def centroids(image, lookup):
    """(name, hemisphere) -> centre [mm]."""
    image, table = nib.load(image), pd.read_csv(lookup, sep="\t", keep_default_na=False)
    labels = np.asanyarray(image.dataobj)
    centre = {
        (name, side): nib.affines.apply_affine(image.affine, np.argwhere(labels == index).mean(axis=0))
        for index, name, side in table[["index", "name", "hemisphere"]].itertuples(index=False)
        if (labels == index).sum() > 5 and name != "dentate"
    }
    return {key: place * (-1, -1, 1) for key, place in centre.items()}  # as ITK counts


def write_affine(matrix, path):
    ants = load_ants()
    affine = ants.create_ants_transform(
        transform_type="AffineTransform", dimension=3, matrix=matrix[:3, :3], offset=matrix[:3, 3]
    )
    ants.write_transform(affine, str(path))
    return path


def movement():
    """From places in the gradient echo to those in the T1w (4, 4): the phantom's head moves in between."""
    pose = Pose(np.eye(3), np.zeros(3)).moved(_stream(Options(seed=1), 0, 7, 0), 1.5, 1.0)
    flip = np.diag([-1.0, -1, 1, 1])  # as ITK counts
    return flip @ np.linalg.inv(pose.to_head()) @ flip


def write_registration(truth, moved, anat, folder):
    """Transforms that fit the head: an affine through the middles of its nuclei, beside a warp that does nothing."""
    ants = load_ants()
    here = centroids(truth.format("seg-nuclei_dseg.nii.gz"), truth.format("seg-nuclei_dseg.tsv"))
    atlas = data.atlas("deepgrey")
    there = centroids(atlas.image, atlas.labels)
    common = sorted(set(here) & set(there) - {("thalamus", "L"), ("thalamus", "R")})
    template, person = (np.array([places[key] for key in common]) for places in (there, here))
    fit = np.linalg.lstsq(np.c_[template, np.ones(len(common))], person, rcond=None)[0].T
    fit = moved @ np.vstack([fit, [0, 0, 0, 1]])
    warp = folder / "nothing.nii.gz"
    field = ants.from_numpy(np.zeros((30, 30, 30, 3), np.float32), has_components=True, origin=(-150.0,) * 3,
                            spacing=(10.0,) * 3)  # fmt: skip
    ants.image_write(field, str(warp))
    for matrix, name in ((fit, f"from-T1w_to-{SPACE}"), (np.linalg.inv(fit), f"from-{SPACE}_to-T1w")):
        affine = write_affine(matrix, folder / "affine.mat")
        write_composite([warp, affine], anat / f"sub-01_{name}_mode-image_xfm.h5")


@pytest.fixture(scope="module")
def prepped(phantom_dataset, tmp_path_factory):
    """Dataset, derivatives as fMRIPrep and FreeSurfer write them, and what qsmprep made of both."""
    base = tmp_path_factory.mktemp("external")
    bids, root = base / "bids", base / "fmriprep"
    shutil.copytree(phantom_dataset, bids, ignore=shutil.ignore_patterns("sub-02"))
    anat, stats = root / "sub-01" / "anat", root / "sourcedata" / "freesurfer" / "sub-01" / "stats"
    anat.mkdir(parents=True)
    stats.mkdir(parents=True)
    made_by = {"Name": "fMRIPrep", "Version": "23.2.1"}
    description = {"Name": "x", "BIDSVersion": "1.10.0", "DatasetType": "derivative", "GeneratedBy": [made_by]}
    (root / "dataset_description.json").write_text(json.dumps(description))
    truth = str(bids / "derivatives" / "phantom" / "sub-01" / "anat" / "sub-01_{}")
    t1w = bids / "sub-01" / "anat" / "sub-01_T1w.nii.gz"
    shutil.copy(t1w, anat / "sub-01_desc-preproc_T1w.nii.gz")
    moved = movement()
    way = [write_affine(np.linalg.inv(moved), base / "movement.mat")]
    mask = anat / "sub-01_desc-brain_mask.nii.gz"
    apply(truth.format("desc-brain_mask.nii.gz"), t1w, way, mask, interpolation="label")
    labels = anat / "sub-01_desc-aparcaseg_dseg.nii.gz"
    apply(truth.format("seg-nuclei_dseg.nii.gz"), t1w, way, labels, interpolation="label")
    image, names = nib.load(labels), pd.read_csv(truth.format("seg-nuclei_dseg.tsv"), sep="\t", keep_default_na=False)
    numbers = np.zeros(1 + names["index"].max(), np.int32)
    for index, name, side in names[["index", "name", "hemisphere"]].itertuples(index=False):
        numbers[index] = FREESURFER.get(name, (0, 0))["LR".index(side)] if side in ("L", "R") else 0
    nib.save(nib.Nifti1Image(numbers[np.asanyarray(image.dataobj).astype(int)], image.affine), labels)
    write_registration(truth, moved, anat, base)
    (stats / "aseg.stats").write_text(ASEG)
    (stats / "lh.aparc.stats").write_text(APARC)
    arguments = [str(bids), str(base / "out"), "participant", "-w", str(base / "work"), "--derivatives", str(root)]
    assert run([*arguments, "--nprocs", "2"]) == 0
    return bids, root, base / "out"


def test_neither_brain_extraction_nor_registration_is_done_again(prepped):
    out = prepped[2]
    stages = pd.read_csv(out / "logs" / "timings.tsv", sep="\t")["stage"].tolist()
    assert "registration_taken" in stages and "coreg.rigid" in stages
    assert not {"normalization", "brain_extraction"} & {stage.split(".")[-1] for stage in stages}


def test_the_registration_is_that_of_the_derivatives(prepped):
    bids, _, out = prepped
    quality = json.loads((out / "sub-01" / "anat" / "sub-01_desc-qc_iqms.json").read_text())
    assert quality["template_dice"] > 0.85 and quality["mask_agreement_dice"] > 0.9
    truth = bids / "derivatives" / "phantom" / "sub-01" / "anat" / "sub-01_desc-brain_mask.nii.gz"
    mask, true = load(out / "sub-01" / "anat" / "sub-01_desc-brain_mask.nii.gz") > 0, load(truth) > 0
    assert 2 * (mask & true).sum() / (mask.sum() + true.sum()) > 0.95


def test_a_joined_transform_is_what_its_parts_are(prepped, tmp_path):
    root = prepped[1]
    anat = root / "sub-01" / "anat"
    t1w = anat / "sub-01_desc-preproc_T1w.nii.gz"
    files = [anat / f"sub-01_from-{a}_to-{b}_mode-image_xfm.h5" for a, b in (("T1w", SPACE), (SPACE, "T1w"))]
    found = take(*files, t1w, tmp_path)
    template = data.template("T1w")
    pairs = ((t1w, template, found.forward, files[0]), (template, t1w, found.inverse, files[1]))
    for image, grid, own, theirs in pairs:
        moved = load(apply(image, grid, own, tmp_path / "own.nii"))
        other = load(apply(image, grid, [theirs], tmp_path / "theirs.nii"))
        assert other.std() > 10
        assert np.abs(moved - other).max() < 0.01 * other.max()


def test_a_file_that_is_no_transform_is_named(prepped, tmp_path):
    t1w = prepped[1] / "sub-01" / "anat" / "sub-01_desc-preproc_T1w.nii.gz"
    broken = tmp_path / "broken.h5"
    broken.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(ValueError, match=r"broken\.h5 cannot be used: expected an ITK transform"):
        take(broken, broken, t1w, tmp_path)


def test_regions_of_freesurfer_have_the_numbers_of_the_truth(prepped):
    bids, _, out = prepped
    stem = out / "sub-01" / "anat" / "sub-01_seg-aparcaseg"
    table = pd.read_csv(f"{stem}_desc-stats_dseg.tsv", sep="\t", na_values="n/a", keep_default_na=False)
    table = table.set_index(["name", "hemisphere"])
    labels = load(f"{stem}_dseg.nii.gz")
    truth = bids / "derivatives" / "phantom" / "sub-01" / "anat"
    nuclei = load(truth / "sub-01_seg-nuclei_dseg.nii.gz")
    names = pd.read_csv(truth / "sub-01_seg-nuclei_dseg.tsv", sep="\t", keep_default_na=False)
    chi = load(truth / "sub-01_Chimap.nii.gz")
    for name, parts in (("putamen", ["putamen"]), ("caudate", ["caudate"]), ("pallidum", ["GPe", "GPi"])):
        for side in "LR":
            rows = names[names["name"].isin(parts) & (names["hemisphere"] == side)]
            true, row = np.isin(nuclei, rows["index"]), table.loc[(name, side)]
            found = labels == row["index"]
            assert 2 * (found & true).sum() / (found.sum() + true.sum()) > 0.85, f"{name} {side}"
            assert row["n_voxels"] == pytest.approx(true.sum(), rel=0.15)
            assert row["chi_pv_mean"] == pytest.approx(row["chi_mean"], abs=0.01)
            assert abs(row["chi_mean"] - chi[true].mean()) < 0.04
    assert table.loc[("pallidum", "L"), "chi_mean"] > table.loc[("putamen", "L"), "chi_mean"] + 0.02
    assert table.loc[("insula", "L"), "n_voxels"] == 0


def test_volume_and_thickness_of_freesurfer_stand_beside_them(prepped):
    out = prepped[2]
    stem = out / "sub-01" / "anat" / "sub-01_seg-aparcaseg_desc-stats_dseg"
    table = pd.read_csv(f"{stem}.tsv", sep="\t", na_values="n/a", keep_default_na=False)
    table = table.set_index(["name", "hemisphere"])[["fs_volume", "fs_thickness"]]
    assert table["fs_volume"].dropna().to_dict() == {
        ("putamen", "L"): 4890.5, ("thalamus", "R"): 7010.0, ("insula", "L"): 6500.0
    }  # fmt: skip
    assert table["fs_thickness"].dropna().to_dict() == {("insula", "L"): 2.95}
    told = json.loads((stem.with_suffix(".json")).read_text())
    assert told["fs_volume"]["Units"] == "mm^3" and told["fs_thickness"]["Units"] == "mm"
    assert told["FreeSurferStats"][0] == "bids:fmriprep:sourcedata/freesurfer/sub-01/stats/aseg.stats"
    other = pd.read_csv(out / "sub-01" / "anat" / "sub-01_seg-DK_desc-stats_dseg.tsv", sep="\t")
    assert "fs_volume" not in other


def test_everything_says_what_was_used(prepped):
    out = prepped[2]
    chi = json.loads((out / "sub-01" / "anat" / "sub-01_Chimap.json").read_text())
    assert chi["ExternalAnatomy"]["Program"] == "fMRIPrep 23.2.1"
    assert chi["ExternalAnatomy"]["ToTemplate"].startswith("bids:fmriprep:sub-01/anat/sub-01_from-T1w")
    assert chi["SkullStripping"]["Method"] == "precomputed" and chi["SkullStripping"]["Image"] == "T1w"
    assert any("rh.aparc.stats is not in" in note for note in chi["Notes"])
    page = (out / "sub-01.html").read_text()
    assert "preprocessed and registered to the template by fMRIPrep 23.2.1" in page
    methods = (out / "logs" / "CITATION.md").read_text()
    assert "its registration to the template come from fMRIPrep 23.2.1" in methods and "FreeSurfer's regions" in methods
    assert "Fischl" in methods and "Esteban" in methods
    labels = json.loads((out / "sub-01" / "anat" / "sub-01_seg-aparcaseg_dseg.json").read_text())
    assert labels["Atlas"]["Source"] == "bids:fmriprep:sub-01/anat/sub-01_desc-aparcaseg_dseg.nii.gz"


def test_what_was_announced_is_written_and_valid(prepped):
    out = prepped[2]
    plan = json.loads((out / "logs" / "plan.json").read_text())
    announced = set(plan["runs"][0]["outputs"])
    images = {str(f.relative_to(out)) for f in out.glob("sub-*/**/*.nii.gz") if "magnitude" not in f.name}
    assert images <= announced and all((out / name).is_file() for name in announced)
    assert "sub-01/anat/sub-01_seg-aparcaseg_desc-stats_dseg.tsv" in announced
    if find_validator() is not None:
        assert not validate_dataset(out).errors
