import tracemalloc

import numpy as np
import pytest

from qsmprep.qsm import _fft
from qsmprep.qsm._grid import mask_box
from qsmprep.qsm.dipole import forward_field
from qsmprep.qsm.singlestep import METHODS, reconstruct

GEOMETRIES = [
    ((64, 64, 56), (1.0, 1.0, 1.0), (0.0, 0.0, 1.0)),
    ((64, 64, 56), (1.0, 1.0, 1.0), (0.3, -0.5, 0.8)),
    ((80, 80, 28), (0.8, 0.8, 2.0), (0.0, 0.34, 0.94)),
]
# error and slope for the field of the voxels themselves
OWN_LIMITS = {"tfi": (0.15, 0.04), "tgv": (0.21, 0.05)}
VOLUMES = {"tfi": 12, "tgv": 26}

pytestmark = pytest.mark.parametrize("method", sorted(METHODS))


def noisy(h, sd=0.001, local=None):
    local = h.local if local is None else local
    field = local + 4 * h.background + np.random.default_rng(0).normal(0, sd, h.mask.shape)
    return np.where(h.mask, field, np.nan).astype(np.float32), np.full(h.mask.shape, sd, np.float32)


def compare(found, truth, mask):
    a, b = found[mask] - found[mask].mean(), truth[mask] - truth[mask].mean()
    return np.linalg.norm(a - b) / np.linalg.norm(b), np.polyfit(b, a, 1)[0]


@pytest.mark.parametrize(("shape", "voxel_size", "b0_dir"), GEOMETRIES)
def test_local_field_is_that_of_chi_and_the_true_one(head, method, shape, voxel_size, b0_dir):
    h = head(shape, voxel_size, b0_dir)
    field, noise = noisy(h)
    chi, local = reconstruct(field, h.mask, voxel_size, b0_dir, method=method, noise=noise)
    assert chi.dtype == np.float32 and not chi[~h.mask].any()
    assert np.std(local - forward_field(chi, voxel_size, b0_dir) * h.mask) < 0.01 * np.std(local)
    assert np.std((local - h.local)[h.mask]) < 0.35 * np.std(h.local[h.mask])


@pytest.mark.parametrize(("shape", "voxel_size", "b0_dir"), GEOMETRIES)
def test_susceptibility_of_voxels_is_recovered_to_the_stated_error(head, method, shape, voxel_size, b0_dir):
    h = head(shape, voxel_size, b0_dir)
    field, noise = noisy(h, local=forward_field(h.chi, voxel_size, b0_dir))
    chi, _ = reconstruct(field, h.mask, voxel_size, b0_dir, method=method, noise=noise)
    error, slope = compare(chi, h.chi, h.mask)
    assert error < OWN_LIMITS[method][0]
    assert slope == pytest.approx(1, abs=OWN_LIMITS[method][1])


def test_a_harmonic_field_more_changes_nothing(head, sphere, method):
    h = head()
    field, noise = noisy(h)
    x, y, z = sphere.coordinates(h.mask.shape, (1, 1, 1))
    more = field + (0.02 * x + 1e-3 * (x * x - y * y) + 5e-4 * y * z).astype(np.float32)
    one, _ = reconstruct(field, h.mask, (1, 1, 1), (0, 0, 1), method=method, noise=noise)
    two, _ = reconstruct(more, h.mask, (1, 1, 1), (0, 0, 1), method=method, noise=noise)
    assert np.abs(one - two).max() < 0.02 * h.chi.max()


def test_wrong_b0_direction_is_worse(head, method):
    b0_dir = (0.0, 0.5, 0.87)
    h = head(b0_dir=b0_dir)
    field, noise = noisy(h)
    right, wrong = (
        compare(reconstruct(field, h.mask, (1, 1, 1), b, method=method, noise=noise)[0], h.chi, h.mask)[0]
        for b in (b0_dir, (0, 0, 1))
    )
    assert wrong > 1.5 * right


def test_voxels_of_infinite_noise_are_not_read_and_keep_a_chi(head, method):
    h = head()
    field, noise = noisy(h)
    whole, _ = reconstruct(field, h.mask, (1, 1, 1), (0, 0, 1), method=method, noise=noise)
    spoiled = np.zeros_like(h.mask)
    spoiled[30:34, 24:28, 26:30] = True  # within
    spoiled[:, 54:, 24:32] = True  # at the rim
    spoiled &= h.mask
    noise[spoiled] = np.inf
    clean, _ = reconstruct(field, h.mask, (1, 1, 1), (0, 0, 1), method=method, noise=noise)
    field[spoiled] = np.where(np.random.default_rng(1).random(spoiled.sum()) < 0.5, np.nan, 40.0)
    found, _ = reconstruct(field, h.mask, (1, 1, 1), (0, 0, 1), method=method, noise=noise)
    assert np.array_equal(found, clean)
    assert (found[spoiled] != 0).all()
    assert compare(found, h.chi, h.mask)[0] < 1.1 * compare(whole, h.chi, h.mask)[0]


@pytest.mark.parametrize("sd", [2e-4, 5e-3])
def test_nuclei_keep_their_value_at_a_fifth_and_at_five_times_the_noise(head, method, sd):
    h = head()
    field, noise = noisy(h, sd)
    chi, _ = reconstruct(field, h.mask, (1, 1, 1), (0, 0, 1), method=method, noise=noise)
    error = chi - h.chi - np.median((chi - h.chi)[h.mask])
    assert np.mean(error[h.chi > 0.09]) == pytest.approx(0, abs=0.014)
    assert np.std(error[h.mask & (h.chi == 0)]) < 0.006


def test_edges_of_the_magnitude_keep_thin_vessels(head, method):
    h = head((48, 48, 48))
    vessels = np.zeros_like(h.mask)
    vessels[12:36, 20, 24] = vessels[30, 14:34, 28] = vessels[18, 28, 14:36] = True
    chi = (h.chi + 0.15 * vessels).astype(np.float32)
    field, noise = noisy(h, 1e-2, local=forward_field(chi, (1, 1, 1), (0, 0, 1)))
    magnitude = (1 - 0.5 * vessels).astype(np.float32)
    plain, edged = (
        reconstruct(field, h.mask, (1, 1, 1), (0, 0, 1), method=method, noise=noise, magnitude=image, edge_share=0.02)[
            0
        ][vessels].mean()
        for image in (None, magnitude)
    )
    assert 1.07 * plain < edged < 0.15


def test_memory_stays_within_its_limit(head, method):
    h = head((96, 96, 84))
    field, noise = noisy(h)
    grid = [s.stop - s.start for s in mask_box(h.mask, 1)]
    if method == "tfi":
        grid = _fft.padded_shape(grid, (1, 1, 1), 16)
    magnitude = np.random.default_rng(1).uniform(50, 100, (*field.shape, 5)).astype(np.float32)

    def run():
        reconstruct(
            field, h.mask, (1, 1, 1), (0, 0, 1), method=method, noise=noise, magnitude=magnitude, max_iterations=3
        )

    run()
    tracemalloc.start()
    run()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < VOLUMES[method] * 4 * np.prod(grid), f"{peak / (4 * np.prod(grid)):.2f} volumes"


def test_bad_input_is_refused(head, method):
    h = head((32, 32, 32))
    field, noise = noisy(h)
    b = (0, 0, 1)
    with pytest.raises(ValueError, match="unknown single-step"):
        reconstruct(field, h.mask, (1, 1, 1), b, method="magic")
    with pytest.raises(ValueError, match="NaN"):
        reconstruct(np.full_like(field, np.nan), h.mask, (1, 1, 1), b, method=method)
    with pytest.raises(ValueError, match="mask has shape"):
        reconstruct(field, h.mask[1:], (1, 1, 1), b, method=method)
    with pytest.raises(ValueError, match="magnitude has shape"):
        reconstruct(field, h.mask, (1, 1, 1), b, method=method, magnitude=np.ones((3, 3, 3)))
    with pytest.raises(ValueError, match="infinite throughout"):
        reconstruct(field, h.mask, (1, 1, 1), b, method=method, noise=np.full_like(noise, np.inf))
    slab = np.zeros_like(h.mask)
    slab[:, :, 15] = h.mask[:, :, 15]
    with pytest.raises(ValueError, match="nothing but rim"):
        reconstruct(np.nan_to_num(field), slab, (1, 1, 1), b, method=method)
