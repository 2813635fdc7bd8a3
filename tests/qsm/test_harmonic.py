import numpy as np
import pytest

from qsmprep.qsm._harmonic import fill_from_neighbours, harmonic_extension


def ellipsoid(shape):
    axes = np.meshgrid(*[(np.arange(n) - n / 2 + 0.5) / (0.45 * n) for n in shape], indexing="ij")
    return sum(a * a for a in axes) < 1


@pytest.mark.parametrize("voxel_size", [(1.0, 1.0, 1.0), (0.8, 0.8, 2.0), (2.0, 1.0, 1.3)])
def test_harmonic_polynomials_are_continued_from_the_rim(sphere, voxel_size):
    shape = (44, 36, 30)
    mask = ellipsoid(shape)
    x, y, z = sphere.coordinates(shape, voxel_size)
    truth = (0.3 * x - 0.2 * y + 0.01 * (x * x - z * z) + 0.02 * y * z + 0.001 * (x**3 - 3 * x * y * y)).astype(
        np.float32
    )
    found, within = harmonic_extension(truth, mask, voxel_size, tolerance=1e-6)
    assert np.abs(found - truth)[mask].max() < 1e-4 * np.abs(truth[mask]).max()
    assert within.sum() < mask.sum()
    assert not found[~mask].any()


def test_field_of_air_outside_is_continued_to_a_thousandth(sphere):
    shape, voxel_size, b0_dir = (48, 48, 48), (1.0, 1.0, 1.0), (0.2, 0.1, 0.97)
    mask = ellipsoid(shape)
    field = sphere.field(shape, voxel_size, 5.0, b0_dir, 9.4, (0, 14, 26))
    found, within = harmonic_extension(field, mask, voxel_size, tolerance=1e-5)
    assert np.abs(found - field)[within].max() < 5e-3 * np.abs(field[mask]).max()
    assert np.std((found - field)[within]) < 1e-3 * np.std(field[mask])


def test_values_within_do_not_matter_and_those_on_the_rim_are_kept():
    mask = ellipsoid((30, 30, 30))
    rng = np.random.default_rng(0)
    field = rng.normal(size=mask.shape).astype(np.float32)
    one, within = harmonic_extension(field, mask, (1, 1, 1), tolerance=1e-6)
    two, _ = harmonic_extension(np.where(within, 7, field).astype(np.float32), mask, (1, 1, 1), tolerance=1e-6)
    assert np.array_equal(one, two)
    assert np.array_equal(one[mask & ~within], field[mask & ~within])


def test_gaps_are_filled_from_around(sphere):
    shape = (24, 24, 24)
    mask = ellipsoid(shape)
    x, y, _ = sphere.coordinates(shape, (1, 1, 1))
    field = np.where(mask, 0.1 * x - 0.05 * y, 0).astype(np.float32)
    gaps = np.zeros(shape, bool)
    gaps[10:13, 11:13, 9:14] = True
    filled = fill_from_neighbours(np.where(gaps, 1e6, field).astype(np.float32), mask, mask & ~gaps)
    assert np.abs(filled - field)[mask].max() < 2e-3
