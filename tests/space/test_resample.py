"""Resampling: grids, directions, labels."""

import nibabel as nib
import numpy as np
import pytest

from qsmprep.space.resample import apply, positions


def image(path, values, affine, code=1):
    stored = nib.Nifti1Image(values, affine)
    stored.set_sform(affine, code)
    stored.set_qform(affine, code)
    nib.save(stored, path)
    return path


@pytest.fixture
def labels(tmp_path):
    """Label 1 in a block on the left, 2 on the right, on a grid whose x runs to the right."""
    values = np.zeros((20, 20, 20), np.uint8)
    values[3:8, 8:12, 8:12], values[12:17, 8:12, 8:12] = 1, 2
    affine = np.diag([2.0, 2, 2, 1])
    affine[:3, 3] = -19
    return image(tmp_path / "labels.nii.gz", values, affine)


def test_labels_keep_their_side_and_numbers_on_a_grid_that_runs_the_other_way(labels, tmp_path):
    affine = np.diag([-1.5, 1.5, -2.5, 1])
    affine[:3, 3] = (19, -19, 19)
    reference = image(tmp_path / "grid.nii.gz", np.zeros((26, 26, 16), np.float32), affine)
    moved = nib.load(apply(labels, reference, [], tmp_path / "out.nii.gz", interpolation="label"))
    found = np.asanyarray(moved.dataobj)
    assert found.dtype == np.uint8
    assert np.array_equal(moved.affine, nib.load(reference).affine)
    assert set(np.unique(found)) == {0, 1, 2}
    x = {i: nib.affines.apply_affine(moved.affine, np.argwhere(found == i))[:, 0] for i in (1, 2)}
    assert x[1].max() < 0 < x[2].min()
    volume = 1.5 * 1.5 * 2.5 * (found == 1).sum()
    assert volume == pytest.approx(80 * 8, rel=0.25)


def test_same_grid_and_no_transform_changes_nothing(tmp_path):
    values = np.random.default_rng(0).normal(size=(12, 13, 14)).astype(np.float32)
    affine = np.array([[0, 2, 0, 5], [1.5, 0, 0, -3], [0, 0, -3, 9], [0, 0, 0, 1.0]])
    path = image(tmp_path / "map.nii.gz", values, affine)
    moved = nib.load(apply(path, path, [], tmp_path / "out.nii.gz"))
    np.testing.assert_allclose(moved.get_fdata(), values, atol=1e-5)


def test_codes_of_the_reference_are_kept(labels, tmp_path):
    reference = image(tmp_path / "grid.nii.gz", np.zeros((8, 8, 8), np.uint8), np.diag([4.0, 4, 4, 1]), code=4)
    header = nib.load(apply(labels, reference, [], tmp_path / "out.nii.gz")).header
    assert int(header["sform_code"]) == int(header["qform_code"]) == 4


def test_transforms_go_from_the_reference_to_the_image(labels, tmp_path):
    from qsmprep.space._ants import load_ants

    ants = load_ants()
    # moves points 10 mm to the person's left (+x in ITK), so the image moves to the right
    shift = ants.create_ants_transform(transform_type="Euler3DTransform", dimension=3, translation=(10.0, 0, 0))
    ants.write_transform(shift, str(tmp_path / "shift.mat"))
    moved = nib.load(apply(labels, labels, [tmp_path / "shift.mat"], tmp_path / "out.nii.gz", interpolation="nearest"))
    before, after = (np.argwhere(np.asanyarray(i.dataobj) == 1).mean(axis=0) for i in (nib.load(labels), moved))
    np.testing.assert_allclose(after - before, (5, 0, 0))


def test_unknown_interpolation_is_refused(labels, tmp_path):
    with pytest.raises(ValueError, match="linear, nearest, label, spline"):
        apply(labels, labels, [], tmp_path / "out.nii.gz", interpolation="cubic")


def test_positions_follow_the_transform_and_are_unknown_outside_the_template(tmp_path):
    ants = pytest.importorskip("ants")
    affine = np.diag([2.0, 2, 2, 1])
    affine[:3, 3] = -19
    template = image(tmp_path / "template.nii.gz", np.ones((20, 20, 20), np.float32), affine)
    oblique = nib.affines.from_matvec(nib.eulerangles.euler2mat(0.2, 0.1, -0.3) * 2.5, (-14, -16, -12))
    grid = image(tmp_path / "grid.nii.gz", np.zeros((15, 14, 13), np.float32), oblique)
    shift = ants.create_ants_transform(transform_type="Euler3DTransform", dimension=3, translation=(3.0, -2.0, 5.0))
    ants.write_transform(shift, str(tmp_path / "shift.mat"))
    found = nib.load(positions(grid, template, [tmp_path / "shift.mat"], tmp_path / "places.nii")).get_fdata()
    # ITK moves points of the reference in LPS: x and y turn their signs
    voxels = np.stack(np.indices((15, 14, 13)), axis=-1)
    expected = nib.affines.apply_affine(oblique, voxels) + np.array((-3.0, 2.0, 5.0))
    inside = (np.abs(expected) <= 19).all(axis=-1)
    assert inside.any() and not inside.all()
    np.testing.assert_allclose(found[inside], expected[inside], atol=1e-3)
    assert np.isnan(found[(np.abs(expected) > 20.1).any(axis=-1)]).all()
    assert sorted(p.name for p in tmp_path.glob("*.nii")) == ["places.nii"]
