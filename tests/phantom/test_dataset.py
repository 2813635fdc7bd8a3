"""The synthetic dataset on disk."""

import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

VALIDATOR = Path(sys.executable).with_name("bids-validator-deno")


def errors(dataset):
    if not VALIDATOR.exists():
        pytest.skip(f"{VALIDATOR} is not installed (test extra)")
    run = subprocess.run([VALIDATOR, dataset, "--ignoreWarnings", "--format", "json"], capture_output=True, text=True)
    issues = json.loads(run.stdout)["issues"]["issues"]
    return [issue for issue in issues if issue["severity"] == "error"]


@pytest.mark.parametrize("where", [".", "derivatives/phantom"])
def test_the_dataset_and_its_truth_have_no_validator_errors(phantom_dataset, where):
    assert errors(phantom_dataset / where) == []


def test_participants_have_age_sex_group_and_score(phantom_dataset):
    table = pd.read_csv(phantom_dataset / "participants.tsv", sep="\t")
    assert list(table["participant_id"]) == ["sub-01", "sub-02"]
    assert list(table["group"]) == ["control", "patient"]
    assert table["age"].between(50, 80).all() and table["score"].between(0, 30).all()
    assert set(json.loads((phantom_dataset / "participants.json").read_text())) == {"age", "sex", "group", "score"}


def test_left_labels_lie_left_in_the_scanner(phantom_dataset):
    anat = phantom_dataset / "derivatives/phantom/sub-01/anat"
    for seg in ("nuclei", "DK"):
        image = nib.load(anat / f"sub-01_seg-{seg}_dseg.nii.gz")
        labels = np.asarray(image.dataobj)
        for row in pd.read_csv(anat / f"sub-01_seg-{seg}_dseg.tsv", sep="\t").itertuples():
            where = np.argwhere(labels == row[1])
            if len(where) > 20:
                x = (where @ image.affine[:3, :3].T + image.affine[:3, 3])[:, 0].mean()
                assert (x < 0) == (row.hemisphere == "L"), row
