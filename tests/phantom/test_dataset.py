"""The synthetic dataset on disk."""

import json

import nibabel as nib
import numpy as np
import pandas as pd
import pytest


@pytest.mark.parametrize("where", [".", "derivatives/phantom"])
def test_the_dataset_and_its_truth_have_no_validator_errors(phantom_dataset, where, validator_errors):
    assert validator_errors(phantom_dataset / where) == []


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


def test_stored_phase_is_the_true_field_map(phantom_dataset):
    echoes = []
    for echo in (1, 2):
        stem = phantom_dataset / f"sub-01/anat/sub-01_echo-{echo}_part-phase_MEGRE"
        te = json.loads(stem.with_suffix(".json").read_text())["EchoTime"]
        echoes.append((te, np.asarray(nib.load(stem.with_suffix(".nii.gz")).dataobj) * np.pi / 4096))
    truth = phantom_dataset / "derivatives/phantom/sub-01"
    hertz = nib.load(truth / "fmap/sub-01_desc-total_fieldmap.nii.gz").get_fdata()
    brain = nib.load(truth / "anat/sub-01_desc-brain_mask.nii.gz").get_fdata() > 0
    (te1, first), (te2, second) = echoes
    turned = np.angle(np.exp(1j * (second - first - 2 * np.pi * hertz * (te2 - te1))))
    assert np.median(np.abs(turned[brain])) < 0.02


def test_t1w_and_gradient_echo_show_the_same_brain(phantom_dataset):
    t1w = nib.load(phantom_dataset / "sub-01/anat/sub-01_T1w.nii.gz")
    mask = nib.load(phantom_dataset / "derivatives/phantom/sub-01/anat/sub-01_desc-brain_mask.nii.gz")
    centre = np.argwhere(np.asarray(mask.dataobj) > 0).mean(axis=0) @ mask.affine[:3, :3].T + mask.affine[:3, 3]
    index = np.rint(np.linalg.inv(t1w.affine) @ [*centre, 1])[:3].astype(int)
    assert (index > 0).all() and (index < t1w.shape).all()
    data = t1w.get_fdata()
    near = data[tuple(slice(i - 15, i + 16) for i in index)]
    assert np.median(near) > 3 * np.median(data[:4, :4])
