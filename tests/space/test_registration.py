"""Rigid registration between images whose true transform is known."""

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine, from_matvec
from scipy import ndimage

from qsmprep import data
from qsmprep.space import registration
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
CENTRE = np.array([0, -18, 12])  # of the head, in the T1w [mm]


@pytest.fixture(scope="module")
def heads(tmp_path_factory):
    """A T1w (the template at 2 mm) and a GRE of the same head: other contrast, grid, field of view and position."""
    folder = tmp_path_factory.mktemp("heads")
    template = nib.load(data.template("T1w"))
    values = np.asanyarray(template.dataobj).astype(np.float32)
    coarse = template.affine @ from_matvec(np.diag([2.0, 2, 2]), [-0.5] * 3)  # between the two voxels of each mean
    t1w = folder / "t1w.nii.gz"
    nib.save(nib.Nifti1Image(ndimage.uniform_filter(values, 2)[::2, ::2, ::2], coarse), t1w)

    truth = rotation(12, 0) @ rotation(-8, 2)
    truth[:3, 3] = (40, -15, 25)  # GRE's millimetres -> T1w's
    shape, size = (96, 76, 50), np.array([-2.2, 2.6, 2.8])  # slices leave out the neck; x runs to the left
    affine = np.linalg.inv(truth) @ rotation(10, 0) @ np.diag([*size, 1])
    affine[:3, 3] = (np.linalg.inv(truth) @ [*CENTRE, 1])[:3] - affine[:3, :3] @ (np.array(shape) / 2)
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
    assert max(distances(t1w, gre, truth, found, folder)) < 0.6


def distances(t1w, gre, truth, found, folder):
    """How far [mm] markers in the T1w, brought to the GRE, land from where the true move puts them."""
    for point in ((-25, 0, 0), (25, 10, 5), (0, -70, 20), (-40, 20, 30)):
        image = nib.load(t1w)
        marker = np.zeros(image.shape, np.float32)
        voxel = np.rint(apply_affine(np.linalg.inv(image.affine), point)).astype(int)
        marker[tuple(slice(v - 3, v + 4) for v in voxel)] = 1
        nib.save(nib.Nifti1Image(marker, image.affine), folder / "marker.nii.gz")
        landed = nib.load(apply(folder / "marker.nii.gz", gre, found.inverse, folder / "landed.nii.gz"))
        where = apply_affine(landed.affine, ndimage.center_of_mass(landed.get_fdata()))
        expected = apply_affine(np.linalg.inv(truth), apply_affine(image.affine, voxel))
        yield np.linalg.norm(where - expected)


def test_surface_coils_do_not_move_the_brain(heads):
    """The signal grows fourfold from the middle of the head to its surface, as with a receive array."""
    t1w, gre, truth, _, folder = heads
    image = nib.load(gre)
    values = image.get_fdata()
    away = np.linalg.norm(
        apply_affine(truth @ image.affine, np.moveaxis(np.indices(image.shape), 0, -1)) - CENTRE, axis=-1
    )
    shaded = folder / "shaded.nii.gz"
    nib.save(nib.Nifti1Image((values * (1 + 3 * (away / 90) ** 2)).astype(np.float32), image.affine), shaded)
    mask = nib.load(data.template("mask"))
    brain = folder / "brain.nii.gz"
    nib.save(nib.Nifti1Image(np.asanyarray(mask.dataobj)[::2, ::2, ::2].astype(np.uint8), nib.load(t1w).affine), brain)
    found = rigid(shaded, t1w, folder, fixed_mask=brain, prefix="shaded")
    assert max(distances(t1w, shaded, truth, found, folder)) < 0.6


def test_inverse_undoes_forward(heads):
    t1w, gre, _, found, folder = heads
    there = apply(gre, t1w, found.forward, folder / "there.nii.gz")
    back = nib.load(apply(there, gre, found.inverse, folder / "back.nii.gz")).get_fdata()
    original = nib.load(gre).get_fdata()
    inside = back > 0
    assert np.corrcoef(back[inside], original[inside])[0, 1] > 0.97


def test_a_brain_that_cannot_be_matched_keeps_the_match_of_the_heads(heads, monkeypatch):
    """A slab that holds a corner of the brain only: ITK finds too few points in both, and gives up."""
    t1w, gre, truth, _, folder = heads
    whole_head = registration.match_rigid

    def give_up(*arguments, mask=None, **options):
        if mask is not None:
            raise RuntimeError("ANTs failed: all samples map outside moving image buffer")
        return whole_head(*arguments, **options)

    monkeypatch.setattr(registration, "match_rigid", give_up)
    mask = folder / "anywhere.nii.gz"
    image = nib.load(t1w)
    nib.save(nib.Nifti1Image((image.get_fdata() > 100).astype(np.uint8), image.affine), mask)
    kept = rigid(gre, t1w, folder, fixed_mask=mask, prefix="kept")
    assert max(distances(t1w, gre, truth, kept, folder)) < 0.6
