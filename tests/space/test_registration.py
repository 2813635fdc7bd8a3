"""Rigid registration between images whose true transform is known."""

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine
from scipy import ndimage

from qsmprep import data
from qsmprep.space.registration import rigid
from qsmprep.space.resample import apply


def rotation(degrees, axis):
    angle = np.deg2rad(degrees)
    first, second = [i for i in range(3) if i != axis]
    matrix = np.eye(4)
    matrix[[first, second], [first, second]] = np.cos(angle)
    matrix[first, second], matrix[second, first] = -np.sin(angle), np.sin(angle)
    return matrix


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def heads(tmp_path_factory):
    """A T1w (the template at 2 mm) and a GRE of the same head: other contrast, grid, field of view and position."""
    folder = tmp_path_factory.mktemp("heads")
    template = nib.load(data.template("T1w"))
    values = np.asanyarray(template.dataobj).astype(np.float32)
    coarse = template.affine @ np.diag([2, 2, 2, 1])
    t1w = folder / "t1w.nii.gz"
    nib.save(nib.Nifti1Image(ndimage.uniform_filter(values, 2)[::2, ::2, ::2], coarse), t1w)

    truth = rotation(12, 0) @ rotation(-8, 2)
    truth[:3, 3] = (40, -15, 25)  # GRE's millimetres -> T1w's
    shape, size = (96, 76, 50), np.array([-2.2, 2.6, 2.8])  # slices leave out the neck; x runs to the left
    affine = np.linalg.inv(truth) @ rotation(10, 0) @ np.diag([*size, 1])
    centre = np.array([0, -18, 12])
    affine[:3, 3] = (np.linalg.inv(truth) @ [*centre, 1])[:3] - affine[:3, :3] @ (np.array(shape) / 2)
    grid = np.moveaxis(np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij")), 0, -1)
    voxels = apply_affine(np.linalg.inv(template.affine) @ truth @ affine, grid)
    sampled = ndimage.map_coordinates(values, np.moveaxis(voxels, -1, 0), order=1)
    # fluid bright, white matter darker than grey
    contrast = np.interp(sampled, [0, 20, 60, 130, 200, 250], [0, 60, 420, 380, 300, 250])
    noise = np.random.default_rng(0).normal(0, 12, shape)
    gre = folder / "gre.nii.gz"
    nib.save(nib.Nifti1Image(np.abs(contrast + noise).astype(np.float32), affine), gre)
    return t1w, gre, truth, rigid(gre, t1w, folder), folder


def test_rigid_finds_a_known_move_between_two_contrasts(heads):
    t1w, gre, truth, found, folder = heads
    # a marker in the T1w, brought to the GRE, has to land where the true move puts it
    for point in ((-25, 0, 0), (25, 10, 5), (0, -70, 20), (-40, 20, 30)):
        image = nib.load(t1w)
        marker = np.zeros(image.shape, np.float32)
        voxel = np.rint(apply_affine(np.linalg.inv(image.affine), point)).astype(int)
        marker[tuple(slice(v - 3, v + 4) for v in voxel)] = 1
        nib.save(nib.Nifti1Image(marker, image.affine), folder / "marker.nii.gz")
        landed = nib.load(apply(folder / "marker.nii.gz", gre, found.inverse, folder / "landed.nii.gz"))
        where = apply_affine(landed.affine, ndimage.center_of_mass(landed.get_fdata()))
        expected = apply_affine(np.linalg.inv(truth), apply_affine(image.affine, voxel))
        assert np.linalg.norm(where - expected) < 1.5, point


def test_inverse_undoes_forward(heads):
    t1w, gre, _, found, folder = heads
    there = apply(gre, t1w, found.forward, folder / "there.nii.gz")
    back = nib.load(apply(there, gre, found.inverse, folder / "back.nii.gz")).get_fdata()
    original = nib.load(gre).get_fdata()
    inside = back > 0
    assert np.corrcoef(back[inside], original[inside])[0, 1] > 0.97
