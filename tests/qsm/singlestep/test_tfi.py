import numba
import numpy as np
import pytest

from qsmprep.qsm.dipole import forward_field
from qsmprep.qsm.singlestep import reconstruct

GEOMETRIES = [
    ((64, 64, 56), (1.0, 1.0, 1.0), (0.0, 0.0, 1.0)),
    ((64, 64, 56), (1.0, 1.0, 1.0), (0.3, -0.5, 0.8)),
    ((80, 80, 28), (0.8, 0.8, 2.0), (0.0, 0.34, 0.94)),
]


def noisy(h, sd=0.001):
    field = h.local + 4 * h.background + np.random.default_rng(0).normal(0, sd, h.local.shape)
    return np.where(h.mask, field, np.nan).astype(np.float32), np.full(h.mask.shape, sd, np.float32)


def compare(found, truth, mask):
    a, b = found[mask] - found[mask].mean(), truth[mask] - truth[mask].mean()
    return np.linalg.norm(a - b) / np.linalg.norm(b), np.polyfit(b, a, 1)[0]


@pytest.mark.parametrize(("shape", "voxel_size", "b0_dir"), GEOMETRIES)
def test_susceptibility_is_recovered_under_a_background_ten_times_as_large(head, shape, voxel_size, b0_dir):
    h = head(shape, voxel_size, b0_dir)
    field, noise = noisy(h)
    assert np.ptp(4 * h.background[h.mask]) > 10 * np.ptp(h.local[h.mask])
    chi, local = reconstruct(field, h.mask, voxel_size, b0_dir, method="tfi", noise=noise)
    error, slope = compare(chi, h.chi, h.mask)
    # slices of 2 mm: the surface of the spheres falls between voxels
    assert error < (0.28 if voxel_size[2] == 1 else 0.42)
    assert slope == pytest.approx(1, abs=0.08)
    assert chi.dtype == np.float32 and not chi[~h.mask].any()
    assert np.allclose(local, np.where(h.mask, forward_field(chi, voxel_size, b0_dir), 0), atol=1e-6)
    # so is their field, up to what is harmonic
    assert np.std((local - h.local)[h.mask]) < 0.25 * np.std(h.local[h.mask])


def test_a_harmonic_field_more_changes_nothing(head, sphere):
    h = head()
    field, noise = noisy(h)
    x, y, z = sphere.coordinates(h.mask.shape, (1, 1, 1))
    more = field + (0.02 * x + 1e-3 * (x * x - y * y) + 5e-4 * y * z).astype(np.float32)
    one, _ = reconstruct(field, h.mask, (1, 1, 1), (0, 0, 1), method="tfi", noise=noise)
    two, _ = reconstruct(more, h.mask, (1, 1, 1), (0, 0, 1), method="tfi", noise=noise)
    assert np.abs(one - two).max() < 0.02 * h.chi.max()


def test_wrong_b0_direction_is_worse(head):
    b0_dir = (0.0, 0.5, 0.87)
    h = head(b0_dir=b0_dir)
    field, noise = noisy(h)
    right, wrong = (
        compare(reconstruct(field, h.mask, (1, 1, 1), b, method="tfi", noise=noise)[0], h.chi, h.mask)[0]
        for b in (b0_dir, (0, 0, 1))
    )
    assert wrong > 1.5 * right


def test_voxels_of_infinite_noise_are_not_read_and_keep_a_chi(head):
    h = head()
    field, noise = noisy(h)
    spoiled = np.zeros_like(h.mask)
    spoiled[30:34, 24:28, 26:30] = True  # within
    spoiled[:, 54:, 24:32] = True  # at the rim
    spoiled &= h.mask
    noise[spoiled] = np.inf
    clean, _ = reconstruct(field, h.mask, (1, 1, 1), (0, 0, 1), method="tfi", noise=noise)
    field[spoiled] = np.where(np.random.default_rng(1).random(spoiled.sum()) < 0.5, np.nan, 40.0)
    found, _ = reconstruct(field, h.mask, (1, 1, 1), (0, 0, 1), method="tfi", noise=noise)
    assert np.array_equal(found, clean)
    assert (found[spoiled] != 0).all()
    assert compare(found, h.chi, h.mask)[0] < 0.3


def test_nuclei_keep_their_value_at_a_fifth_and_five_times_the_noise(head):
    h = head()
    nuclei = h.chi > 0.09
    for sd in (2e-4, 5e-3):
        field, noise = noisy(h, sd)
        chi, _ = reconstruct(field, h.mask, (1, 1, 1), (0, 0, 1), method="tfi", noise=noise)
        offset = np.median((chi - h.chi)[h.mask])
        assert np.mean((chi - h.chi)[nuclei]) - offset == pytest.approx(0, abs=0.012)
        assert np.std((chi - h.chi)[h.mask & (h.chi == 0)]) < 0.012


def test_any_number_of_threads_gives_the_same_bits(head, monkeypatch):
    h = head((40, 40, 36))
    field, noise = noisy(h)
    found = []
    before = numba.get_num_threads()
    try:
        for threads in sorted({1, min(2, before)}):
            numba.set_num_threads(threads)
            monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
            found.append(reconstruct(field, h.mask, (1, 1, 1), (0, 0, 1), method="tfi", noise=noise)[0])
    finally:
        numba.set_num_threads(before)
    assert all(np.array_equal(found[0], other) for other in found)


def test_bad_input_is_refused(head):
    h = head((32, 32, 32))
    field, noise = noisy(h)
    with pytest.raises(ValueError, match="unknown single-step"):
        reconstruct(field, h.mask, (1, 1, 1), (0, 0, 1), method="magic")
    with pytest.raises(ValueError, match="NaN"):
        reconstruct(np.full_like(field, np.nan), h.mask, (1, 1, 1), (0, 0, 1), method="tfi")
    with pytest.raises(ValueError, match="mask has shape"):
        reconstruct(field, h.mask[1:], (1, 1, 1), (0, 0, 1), method="tfi")
    with pytest.raises(ValueError, match="infinite throughout"):
        reconstruct(field, h.mask, (1, 1, 1), (0, 0, 1), method="tfi", noise=np.full_like(noise, np.inf))
    with pytest.raises(ValueError, match="nothing but rim"):
        slab = np.zeros_like(h.mask)
        slab[:, :, 15] = h.mask[:, :, 15]
        reconstruct(np.nan_to_num(field), slab, (1, 1, 1), (0, 0, 1), method="tfi")
