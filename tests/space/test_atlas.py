"""A user's own atlas: accepted, or refused with the file, what is wrong and what was expected."""

import nibabel as nib
import numpy as np
import pytest

from qsmprep.errors import UsageError
from qsmprep.space.atlas import user_atlas


def write(tmp_path, values, table, name="tpl-MNI152NLin2009cAsym_seg-mine_dseg.nii.gz"):
    image, labels = tmp_path / name, tmp_path / "labels.tsv"
    nib.save(nib.Nifti1Image(values, np.eye(4)), image)
    labels.write_text(table)
    return image, labels


@pytest.fixture
def blocks():
    values = np.zeros((6, 6, 6), np.int16)
    values[:2], values[4:] = 1, 2
    return values


def test_an_atlas_gets_the_name_of_its_segmentation(tmp_path, blocks):
    image, labels = write(tmp_path, blocks, "index\tname\n1\tone\n2\ttwo\n")
    atlas = user_atlas(image, labels)
    assert atlas.name == "mine"
    assert (atlas.image, atlas.labels) == (image, labels)


def test_whole_numbers_stored_as_floats_are_labels_too(tmp_path, blocks):
    image, labels = write(tmp_path, blocks.astype(np.float32), "index\tname\n1\tone\n2\ttwo\n", "atlas.nii")
    assert user_atlas(image, labels).name == "atlas"


@pytest.mark.parametrize(
    ("change", "table", "message"),
    [
        (0.5, "index\tname\n1\tone\n", "whole numbers"),
        (np.nan, "index\tname\n1\tone\n", "whole numbers"),
        (0, "index\tname\n7\tseven\n", "none of the labels"),
        (0, "number\tname\n1\tone\n", "index and name"),
        (0, "index\tname\n1\tone\n1\ttwo\n", "more than once"),
    ],
)
def test_faulty_atlases_are_refused(tmp_path, blocks, change, table, message):
    values = blocks.astype(np.float32)
    values[0, 0, 0] += change
    with pytest.raises(UsageError, match=message):
        user_atlas(*write(tmp_path, values, table))


def test_a_missing_or_broken_file_is_named(tmp_path, blocks):
    image, labels = write(tmp_path, blocks, "index\tname\n1\tone\n")
    with pytest.raises(UsageError, match="nowhere"):
        user_atlas(tmp_path / "nowhere.nii.gz", labels)
    with pytest.raises(UsageError, match="nowhere"):
        user_atlas(image, tmp_path / "nowhere.tsv")
    image.write_bytes(b"no image")
    with pytest.raises(UsageError, match="cannot be read"):
        user_atlas(image, labels)


def test_labels_that_the_table_does_not_name_are_told(tmp_path, blocks):
    image, labels = write(tmp_path, blocks, "index\tname\n1\tone\n")
    assert user_atlas(image, labels).description["LabelsWithoutName"] == sorted(set(np.unique(blocks)) - {0, 1})
