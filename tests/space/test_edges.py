"""Edges tell how far a registration is off, in whatever contrast."""

from itertools import pairwise

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from qsmprep.qc import judge
from qsmprep.space.agreement import coregistration_agreement
from qsmprep.space.edges import edge_agreement
from qsmprep.space.registration import rigid
from qsmprep.space.resample import apply

SIZE = np.array([2.0, 2.0, 2.5])
AFFINE = np.diag([*SIZE, 1])


@pytest.fixture(scope="module")
def head():
    """A smooth random pattern with sharp borders, and a mask well inside the volume."""
    rng = np.random.default_rng(0)
    smooth = ndimage.gaussian_filter(rng.normal(size=(60, 64, 52)), 5 / SIZE)
    values = np.digitize(smooth / smooth.std(), (-0.5, 0.5)).astype(np.float32)
    mask = np.zeros(values.shape, bool)
    mask[15:-15, 15:-15, 13:-13] = True
    return values, mask


def displaced(values, size, shift=(0, 0, 0), degrees=(0, 0, 0)):
    """Shifted by mm and turned about the middle."""
    matrix = np.diag(1 / size) @ Rotation.from_rotvec(np.deg2rad(degrees)).as_matrix() @ np.diag(size)
    middle = (np.array(values.shape) - 1) / 2
    return ndimage.affine_transform(values, matrix, middle - matrix @ middle + np.array(shift) / size, order=1)


def test_the_true_place_is_the_best_in_any_contrast(head):
    values, mask = head
    assert edge_agreement(values, values, mask, AFFINE) == pytest.approx(1, abs=1e-6)
    other = np.choose(values.astype(int), (900, 300, 500)) + np.random.default_rng(1).normal(0, 30, values.shape)
    assert edge_agreement(values, other, mask, AFFINE) > 0.97


def test_the_farther_off_the_less_the_edges_agree(head):
    values, mask = head
    for axis in np.eye(3):
        by_shift = [edge_agreement(values, displaced(values, SIZE, mm * axis), mask, AFFINE) for mm in (0, 2, 4, 8)]
        by_turn = [edge_agreement(values, displaced(values, SIZE, degrees=d * axis), mask, AFFINE) for d in (0, 5, 10)]
        assert all(a > b + 0.05 for row in (by_shift, by_turn) for a, b in pairwise(row))
    combined = displaced(values, SIZE, (4, -4, 3), (0, 4, -4))
    assert edge_agreement(values, combined, mask, AFFINE) < 0.7, "displacements along several axes are seen as well"


def test_the_rim_of_a_field_of_view_is_no_edge(head):
    values, mask = head
    slab = values + 5
    slab[..., :20] = slab[..., -16:] = 0
    assert edge_agreement(values, slab, mask, AFFINE) > 0.97


def test_too_few_edges_tell_nothing(head):
    values, mask = head
    assert np.isnan(edge_agreement(values, values, mask & False, AFFINE))
    assert np.isnan(edge_agreement(values, np.zeros_like(values), mask, AFFINE))
    assert np.isnan(edge_agreement(values * 0, values, mask, AFFINE))
    with pytest.raises(ValueError, match="shape"):
        edge_agreement(values, values[1:], mask, AFFINE)


@pytest.mark.slow
def test_bounds_are_those_of_a_digital_head(phantom_dataset, tmp_path):
    """The magnitude is registered to the T1w, which the head has moved from, and then moved on purpose."""
    folder = phantom_dataset / "sub-01" / "anat"
    magnitude, t1w = folder / "sub-01_echo-1_part-mag_MEGRE.nii.gz", folder / "sub-01_T1w.nii.gz"
    truth = phantom_dataset / "derivatives" / "phantom" / "sub-01" / "anat" / "sub-01_desc-brain_mask.nii.gz"
    transforms = rigid(magnitude, t1w, tmp_path).forward
    registered = nib.load(apply(magnitude, t1w, transforms, tmp_path / "moved.nii")).get_fdata(dtype=np.float32)
    mask = apply(truth, t1w, transforms, tmp_path / "mask.nii", interpolation="label")
    assert coregistration_agreement(magnitude, t1w, mask, transforms)["coregistration_edge_agreement"] > 0.98
    fixed, brain = nib.load(t1w), np.asanyarray(nib.load(mask).dataobj) > 0

    def grade(**move):
        size = np.array(fixed.header.get_zooms())
        found = edge_agreement(fixed.get_fdata(), displaced(registered, size, **move), brain, fixed.affine)
        return judge({"coregistration_edge_agreement": found}).verdict

    for axis in np.eye(3):
        assert grade(shift=2 * axis) == "PASS"
        assert grade(shift=4 * axis) == grade(degrees=5 * axis) == "CHECK"
        assert grade(shift=8 * axis) == "FAIL"
