import numpy as np
import pytest
from scipy import fft, ndimage, special

from qsmprep.qsm.constants import GAMMA_BAR, hertz_per_ppm
from qsmprep.qsm.dipole import dipole_kernel, forward_field

GEOMETRIES = [
    ((64, 64, 64), (1.0, 1.0, 1.0), (0.0, 0.0, 1.0)),
    ((64, 60, 66), (1.0, 1.0, 1.0), (0.3, -0.5, 0.8)),
    ((72, 72, 36), (0.8, 0.8, 2.0), (0.0, 0.0, 1.0)),
    ((72, 72, 36), (0.8, 0.8, 2.0), (0.0, 0.34, 0.94)),
]


@pytest.mark.parametrize(("shape", "voxel_size", "b0_dir"), GEOMETRIES)
def test_field_of_a_sphere_is_the_analytic_one(sphere, shape, voxel_size, b0_dir):
    radius, soft = 9.0, max(voxel_size)
    # a rounded surface, still radial, makes the same field outside and does not ring
    chi = ndimage.gaussian_filter(sphere.ball(shape, voxel_size, radius), [soft / v for v in voxel_size])
    field = forward_field(chi, voxel_size, b0_dir)
    expected = sphere.field(shape, voxel_size, radius, b0_dir)
    distance = np.sqrt(sum(c**2 for c in sphere.coordinates(shape, voxel_size)))
    outside, inside = distance > radius + 5 * soft, distance < radius - 4 * soft
    assert field.dtype == np.float32
    assert np.abs(field - expected)[outside].max() < 1e-3
    assert np.abs(field[inside]).max() < 5e-3
    slope, offset = np.polyfit(expected[outside], field[outside], 1)
    assert slope == pytest.approx(1, abs=2e-3)
    assert abs(offset) < 1e-5


@pytest.mark.parametrize("voxel_size", [(1.0, 1.0, 1.0), (0.8, 0.8, 2.0)])
@pytest.mark.parametrize("b0_dir", [(0.0, 0.0, 1.0), (0.0, 0.6, 0.8), (0.3, -0.5, 0.8)])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_field_of_a_cylinder_without_ends_is_the_analytic_one(axis, b0_dir, voxel_size):
    """Inside χ (3 cos²θ - 1) / 6, outside χ/2 (a/r)² sin²θ cos 2φ; θ from the axis to B0, φ from B0 around the axis."""
    radius, soft, wide = 14.0, max(voxel_size), 400.0
    # the grid repeats itself: along the axis that is a cylinder without ends, across it copies are far away
    shape = [4 if a == axis else fft.next_fast_len(int(wide / v), real=True) for a, v in enumerate(voxel_size)]
    x = [(np.arange(n) - n // 2) * v for n, v in zip(shape, voxel_size, strict=True)]
    b = np.array(b0_dir) / np.linalg.norm(b0_dir)
    u, v = (a for a in range(3) if a != axis)
    across = np.meshgrid(*x, indexing="ij")
    r2 = across[u] ** 2 + across[v] ** 2
    chi = special.ndtr((radius - np.sqrt(r2)) / soft).astype(np.float32)  # round, and does not ring
    field = fft.irfftn(fft.rfftn(chi) * dipole_kernel(shape, voxel_size, b0_dir), s=shape)
    inside, outside = r2 < (radius - 4 * soft) ** 2, (r2 > (radius + 5 * soft) ** 2) & (r2 < (wide / 8) ** 2)
    along = (b[u] * across[u] + b[v] * across[v]) ** 2 - (b[v] * across[u] - b[u] * across[v]) ** 2  # r² sin²θ cos 2φ
    area = chi.sum() * voxel_size[u] * voxel_size[v] / shape[axis]
    expected = area / np.pi / 2 * along / np.maximum(r2, 1) ** 2
    offset = area / (shape[u] * voxel_size[u] * shape[v] * voxel_size[v]) * (3 * b[axis] ** 2 - 1) / 6  # k = 0 is cut
    assert np.abs(field + offset - expected)[outside].max() < 1e-3
    assert np.median(field[inside]) + offset == pytest.approx((3 * b[axis] ** 2 - 1) / 6, abs=2e-3)


def test_field_is_positive_along_b0_and_negative_across_it_for_a_paramagnetic_sphere(sphere):
    field = forward_field(sphere.ball((48, 48, 48), (1, 1, 1), 5), (1, 1, 1), (1, 0, 0))
    assert field[24 + 10, 24, 24] > 0.05
    assert field[24, 24 + 10, 24] < -0.02
    assert field[24, 24, 24 + 10] < -0.02


def test_sources_at_one_end_do_not_wrap_around_to_the_other(sphere):
    shape, centre = (64, 32, 32), (-26, 0, 0)
    field = forward_field(sphere.ball(shape, (1, 1, 1), 5, centre), (1, 1, 1), (0, 0, 1))
    expected = sphere.field(shape, (1, 1, 1), 5, (0, 0, 1), centre=centre)
    assert np.abs(field - expected)[40:].max() < 5e-5


def test_an_offset_of_chi_far_away_is_not_taken_for_a_mean(sphere):
    """k = 0 counts: in free space the field of a distant source is not shifted to a mean of 0."""
    shape = (64, 64, 32)
    field = forward_field(sphere.ball(shape, (1, 1, 1), 8, (10, 0, 0)), (1, 1, 1), (0, 0, 1), pad=2.74)
    expected = sphere.field(shape, (1, 1, 1), 8, (0, 0, 1), centre=(10, 0, 0))
    far = sphere.coordinates(shape, (1, 1, 1))[0] < -15
    assert np.abs(field - expected)[far].max() < 2e-4


@pytest.mark.parametrize("shape", [(16, 18, 20), (15, 17, 21), (16, 17, 21)])
def test_kernel_is_that_of_a_real_field_for_any_direction(shape):
    b0_dir = (0.3, -0.5, 0.8)
    whole = dipole_kernel(shape, (0.8, 1.0, 2.0), b0_dir, real=False)
    point = fft.ifftn(whole.astype(np.float64))
    assert np.abs(point.imag).max() < 1e-8
    half = dipole_kernel(shape, (0.8, 1.0, 2.0), b0_dir)
    assert half.shape == (shape[0], shape[1], shape[2] // 2 + 1)
    assert np.allclose(half, whole[:, :, : half.shape[2]], atol=1e-6)


def test_kernel_lies_between_minus_two_thirds_and_one_third_and_is_zero_at_the_origin():
    kernel = dipole_kernel((32, 32, 32), (1, 1, 1), (0, 0, 2))
    assert kernel[0, 0, 0] == 0
    assert kernel[0, 0, 5] == pytest.approx(-2 / 3)
    assert kernel[5, 0, 0] == pytest.approx(1 / 3)


def test_direction_may_be_reversed_and_have_any_length():
    kernels = [dipole_kernel((16, 16, 16), (1, 1, 1), b) for b in ((1, 2, 3), (-1, -2, -3), (10, 20, 30))]
    assert np.allclose(kernels[0], kernels[1])
    assert np.allclose(kernels[0], kernels[2])


def test_bad_geometry_is_refused():
    with pytest.raises(ValueError, match="direction"):
        dipole_kernel((8, 8, 8), (1, 1, 1), (0, 0, 0))
    with pytest.raises(ValueError, match="voxel size"):
        dipole_kernel((8, 8, 8), (1, 1, 0), (0, 0, 1))
    with pytest.raises(ValueError, match="pad"):
        forward_field(np.zeros((8, 8, 8)), (1, 1, 1), (0, 0, 1), pad=1)


def test_one_ppm_at_one_tesla_is_the_gyromagnetic_ratio():
    assert hertz_per_ppm(1.0) == GAMMA_BAR
    with pytest.raises(ValueError, match="positive"):
        hertz_per_ppm(0)
