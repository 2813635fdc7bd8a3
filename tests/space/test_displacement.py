import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from qsmprep.space._ants import load_ants
from qsmprep.space.displacement import composed, inverted, length_mm, mean_field, moved, read_field, write_field

SHAPE = (16, 18, 14)
INNER = (slice(4, -4), slice(4, -4), slice(4, -4))


def random_field(seed, sd=0.8, width=4.0):
    rng = np.random.default_rng(seed)
    parts = [gaussian_filter(rng.standard_normal(SHAPE), width) for _ in range(3)]
    field = np.stack(parts, axis=-1)
    return (sd * field / field.std()).astype(np.float32)


def test_a_shift_moves_the_image_and_its_inverse_moves_it_back():
    image = np.zeros(SHAPE, np.float32)
    image[8, 9, 7] = 1
    field = np.broadcast_to(np.array([2, -1, 0], np.float32), (*SHAPE, 3))
    assert moved(image, field)[6, 10, 7] == 1  # the point that the field leads to 8, 9, 7
    np.testing.assert_array_equal(inverted(field), -field)
    np.testing.assert_array_equal(composed(field, field), 2 * field)


def test_there_and_back_is_where_it_began():
    field = random_field(0)
    for round_trip in (composed(field, inverted(field)), composed(inverted(field), field)):
        assert np.abs(round_trip[INNER]).max() < 0.05 < 0.5 < np.abs(field[INNER]).max()


def test_a_field_that_folds_is_refused():
    folded = np.zeros((*SHAPE, 3), np.float32)
    folded[::2, ..., 0] = 3
    with pytest.raises(ValueError, match="cannot be inverted"):
        inverted(folded)


def test_the_mean_is_that_of_numpy_and_of_something():
    fields = [random_field(seed) for seed in range(3)]
    np.testing.assert_allclose(mean_field(iter(fields)), np.mean(fields, axis=0), atol=1e-6)
    with pytest.raises(ValueError, match="no displacement field"):
        mean_field([])


@pytest.mark.parametrize("turn", [np.eye(3), np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1.0]])])
def test_itk_reads_what_is_written_and_moves_images_alike(tmp_path, turn):
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([2.0, 3.0, 4.0])
    affine[:3, 3] = (-20, 5, 7)
    field = random_field(1)
    path = write_field(field, affine, tmp_path / "warp.nii.gz")
    np.testing.assert_allclose(read_field(path), field, atol=1e-5)
    image = gaussian_filter(np.random.default_rng(2).standard_normal(SHAPE), 1.5).astype(np.float32)
    nib.save(nib.Nifti1Image(image, affine), tmp_path / "image.nii.gz")
    ants = load_ants()
    same = ants.image_read(str(tmp_path / "image.nii.gz"))
    by_itk = ants.apply_transforms(same, same, [str(path)]).numpy()
    np.testing.assert_allclose(by_itk[INNER], moved(image, field)[INNER], atol=1e-4)


def test_lengths_are_in_millimetres(tmp_path):
    field = np.zeros((*SHAPE, 3), np.float32)
    field[..., 0], field[..., 2] = 3, 1
    np.testing.assert_allclose(length_mm(field, np.diag([1.0, 9.0, 4.0, 1.0])), 5)


def test_an_image_that_is_no_field_is_named(tmp_path):
    nib.save(nib.Nifti1Image(np.zeros(SHAPE, np.float32), np.eye(4)), tmp_path / "a.nii.gz")
    with pytest.raises(ValueError, match=r"a\.nii\.gz: has the shape"):
        read_field(tmp_path / "a.nii.gz")
