"""Images in which no brain can be looked for."""

import nibabel as nib
import numpy as np
import pytest

from qsmprep.mask.brain import extract_brain


@pytest.mark.parametrize(
    ("array", "message"),
    [(np.zeros((8, 8, 8), np.float32), "no voxel above zero"), (np.ones((8, 8, 8, 2), np.float32), "4 dimensions")],
)
def test_empty_and_four_dimensional_images_are_refused(tmp_path, array, message):
    path = tmp_path / "image.nii.gz"
    nib.save(nib.Nifti1Image(array, np.eye(4)), path)
    with pytest.raises(ValueError, match=message):
        extract_brain(path, tmp_path / "mask.nii.gz")
    assert not (tmp_path / "mask.nii.gz").exists()
