"""Regions that people drew, and an atlas on the run's own grid, all the way to the tables; without a template."""

import json

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from qsmprep.bids.validation import find_validator, validate_dataset
from qsmprep.cli.main import run
from qsmprep.group.collect import find_runs, long_table

pytestmark = pytest.mark.slow
SHAPE = (24, 24, 24)
BOXES = {"AB": np.s_[8:12, 8:12, 8:12], "CD": np.s_[9:13, 8:12, 8:12]}


@pytest.fixture
def drawn(dataset, tmp_path):
    """Dataset, output folder and the arguments of a call that measures drawn regions."""
    dataset.gre(shape=SHAPE)
    manual = tmp_path / "manual"
    folder = manual / "sub-01" / "anat"
    folder.mkdir(parents=True)
    for rater, box in BOXES.items():
        mask = np.zeros(SHAPE, np.uint8)
        mask[box] = 1
        image = nib.Nifti1Image(mask, np.diag([2.0, 2, 2, 1]))
        if rater == "CD":  # as a program wrote it that turns images
            image = image.as_reoriented(np.array([[2, 1], [0, -1], [1, 1]]))
        nib.save(image, folder / f"sub-01_hemi-L_label-SN_desc-{rater}_mask.nii.gz")
    labels = np.zeros(SHAPE, np.int16)
    labels[14:17, 8:12, 8:12] = 5
    nib.save(nib.Nifti1Image(labels, np.diag([2.0, 2, 2, 1])), tmp_path / "own.nii.gz")
    (tmp_path / "own.tsv").write_text("index\tname\themisphere\n5\tRN\tL\n")
    out = tmp_path / "out"
    arguments = [str(dataset.root), str(out), "participant", "--no-normalization", "-w", str(tmp_path / "work")]
    arguments += ["--derivatives", str(manual), "--manual-regions", "AB", "CD", "--neighbour", "SN=RN"]
    arguments += ["--atlas", str(tmp_path / "own.nii.gz"), "--atlas-labels", str(tmp_path / "own.tsv")]
    return out, [*arguments, "--atlas-space", "native", "--exclude-gradients", "--skip-bids-validation"]


def test_drawn_regions_are_measured_where_they_were_drawn(drawn):
    out, arguments = drawn
    assert run(arguments) == 0
    stem = out / "sub-01" / "anat" / "sub-01"
    chi = nib.load(f"{stem}_Chimap.nii.gz").get_fdata()
    counts = nib.load(f"{stem}_desc-qsm_mask.nii.gz").get_fdata() > 0
    counts &= nib.load(f"{stem}_desc-excluded_mask.nii.gz").get_fdata() == 0
    noise = nib.load(f"{stem}_desc-noise_fieldmap.nii.gz".replace("/anat/", "/fmap/")).get_fdata() / (42.577478518 * 3)
    tables = {seg: pd.read_csv(f"{stem}_seg-{seg}_desc-stats_dseg.tsv", sep="\t") for seg in ("own", "manualAB")}
    tables["manualCD"] = pd.read_csv(f"{stem}_seg-manualCD_desc-stats_dseg.tsv", sep="\t")
    for rater, box in BOXES.items():
        region = np.zeros(SHAPE, bool)
        region[box] = True
        assert np.array_equal(nib.load(f"{stem}_seg-manual{rater}_dseg.nii.gz").get_fdata() > 0, region)
        row = tables[f"manual{rater}"].iloc[0]
        assert row["volume_mm3"] == 64 * 8 and row["n_voxels"] == (region & counts).sum() > 20
        assert row["chi_mean"] == pytest.approx(chi[region & counts].mean(), rel=1e-4)
        assert row["snr"] == pytest.approx(abs(row["chi_mean"]) / np.nanmedian(noise[region & counts]), rel=1e-3)
        assert row["neighbour"] == "own.RN"
        expected = row["chi_mean"] - tables["own"]["chi_mean"][0]
        assert row["contrast_neighbour"] == pytest.approx(expected, rel=1e-5)
    told = json.loads((out / "sub-01" / "anat" / "sub-01_seg-manualCD_dseg.json").read_text())
    assert told["Rater"] == "CD" and told["Manual"] is True
    assert told["DrawnRegions"] == ["bids:manual:sub-01/anat/sub-01_hemi-L_label-SN_desc-CD_mask.nii.gz"]
    agreement = pd.read_csv(f"{stem}_seg-manual_desc-raters_dseg.tsv", sep="\t").iloc[0]
    assert agreement["dice_AB_CD"] == pytest.approx(2 * 48 / 128)
    means = [tables[f"manual{rater}"]["chi_mean"][0] for rater in BOXES]
    assert agreement["chi_difference_ppb_AB_CD"] == pytest.approx(1000 * (means[0] - means[1]), abs=1e-3)
    definitions = json.loads((out / "sub-01" / "anat" / "sub-01_seg-manual_desc-raters_dseg.json").read_text())
    assert set(agreement.index) <= set(definitions)
    plan = json.loads((out / "logs" / "plan.json").read_text())
    assert all((out / name).exists() for name in plan["runs"][0]["outputs"])
    page = (out / "sub-01.html").read_text()
    assert "manualAB" in page and "manualCD" in page
    if find_validator() is not None:
        assert not validate_dataset(out).errors
    long = long_table(find_runs(out))
    assert {"own", "manualAB", "manualCD"} == set(long["seg"]) and "neighbour" not in set(long["statistic"])
    assert long.query("statistic == 'contrast_neighbour' and seg == 'manualAB'")["value"].notna().all()
    mask = next((out.parent / "manual").rglob("*desc-AB_mask.nii.gz"))
    changed = nib.load(mask).get_fdata()
    changed[:9] = 0
    nib.save(nib.Nifti1Image(changed.astype(np.uint8), np.diag([2.0, 2, 2, 1])), mask)
    assert run(arguments) == 0
    again = pd.read_csv(f"{stem}_seg-manualAB_desc-stats_dseg.tsv", sep="\t").iloc[0]
    assert again["volume_mm3"] == 48 * 8, "a region that was drawn anew is measured anew"
