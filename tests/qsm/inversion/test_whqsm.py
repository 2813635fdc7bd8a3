import numpy as np
import pytest

from qsmprep.qsm.dipole import forward_field
from qsmprep.qsm.inversion import invert
from qsmprep.qsm.inversion.whqsm import _solve_both, whqsm

ALONG_Z = (0.0, 0.0, 1.0)
GEOMETRIES = [
    ((64, 64, 56), (1.0, 1.0, 1.0), ALONG_Z),
    ((64, 64, 56), (1.0, 1.0, 1.0), (0.3, -0.5, 0.8)),
    ((80, 80, 28), (0.8, 0.8, 2.0), (0.0, 0.34, 0.94)),
]


def noisy(h, sd=0.001):
    return (h.local + np.random.default_rng(0).normal(0, sd, h.local.shape) * h.mask).astype(np.float32)


def compare(found, truth, mask):
    a, b = found[mask] - found[mask].mean(), truth[mask] - truth[mask].mean()
    return np.linalg.norm(a - b) / np.linalg.norm(b), np.polyfit(b, a, 1)[0]


@pytest.mark.parametrize(("shape", "voxel_size", "b0_dir"), GEOMETRIES)
def test_susceptibility_of_a_field_that_the_grid_can_hold_is_recovered(head, shape, voxel_size, b0_dir):
    h = head(shape, voxel_size, b0_dir)
    noise = np.random.default_rng(0).normal(0, 0.001, shape)
    field = ((forward_field(h.chi, voxel_size, b0_dir) + noise) * h.mask).astype(np.float32)
    error, slope = compare(whqsm(field, h.mask, voxel_size, b0_dir), h.chi, h.mask)
    assert error < 0.08
    assert slope == pytest.approx(1, abs=0.04)


@pytest.mark.parametrize("strength", [0.03, 0.1])
def test_harmonic_field_is_kept_out_of_chi(head, strength):
    """What background removal left of sources outside the mask does not become susceptibility inside."""
    h = head()
    left = strength * h.background / np.abs(h.background[h.mask]).max()
    field = noisy(h) + left * h.mask
    clean = compare(whqsm(noisy(h), h.mask, (1, 1, 1), ALONG_Z), h.chi, h.mask)[0]
    kept_out = compare(whqsm(field, h.mask, (1, 1, 1), ALONG_Z), h.chi, h.mask)
    blind = compare(invert(field, h.mask, (1, 1, 1), ALONG_Z, method="nltv"), h.chi, h.mask)[0]
    assert kept_out[0] < 1.3 * clean
    assert kept_out[0] < 0.7 * blind
    assert kept_out[1] == pytest.approx(1, abs=0.1)


def test_weak_harmonic_weight_takes_the_field_of_sources_within(head):
    """The Laplacian's weight is what tells h from the field of χ."""
    h = head((48, 48, 48))
    firm = whqsm(noisy(h), h.mask, (1, 1, 1), ALONG_Z)
    loose = whqsm(noisy(h), h.mask, (1, 1, 1), ALONG_Z, harmonic_weight=0.1, mu_harmonic=0.1)
    assert compare(loose, h.chi, h.mask)[1] < 0.8 * compare(firm, h.chi, h.mask)[1]


def test_both_unknowns_of_a_frequency_solve_their_normal_equations():
    rng = np.random.default_rng(0)
    shape = (5, 4, 3)
    s, g, t = ((rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64) for _ in range(3))
    d = rng.uniform(-2 / 3, 1 / 3, shape).astype(np.float32)
    power = tuple(rng.uniform(0.1, 1, n).astype(np.float32) for n in shape)
    p = power[0][:, None, None] + power[1][:, None] + power[2]
    a, b, c = 0.006, 0.04, 5.0
    chi, field, laplacian = s.copy(), g.copy(), t.copy()
    _solve_both(chi, field, laplacian, d, power, a, b, c)
    h = -laplacian / p
    first = a * (p * chi - s) + b * d * (d * chi + h - g)
    second = b * (d * chi + h - g) + c * p * (p * h + t)
    first[0, 0, 0] = second[0, 0, 0] = 0  # the mean has no meaning
    assert np.abs(first).max() < 1e-5
    assert np.abs(second).max() < 1e-4
    assert np.allclose(field.ravel()[1:], (d * chi + h).ravel()[1:], atol=1e-5)


def test_voxels_without_trust_do_not_streak(head):
    h = head((48, 48, 48))
    field, noise = noisy(h), np.full(h.mask.shape, 0.001, np.float32)
    bad = np.zeros(h.mask.shape, bool)
    bad[30, 30, 30] = True
    spoilt, told = np.where(bad, np.float32(0.15), field), np.where(bad, np.float32(np.inf), noise)
    clean = whqsm(field, h.mask, (1, 1, 1), ALONG_Z, noise=noise)
    known = whqsm(spoilt, h.mask, (1, 1, 1), ALONG_Z, noise=told)
    unknown = whqsm(spoilt, h.mask, (1, 1, 1), ALONG_Z, noise=noise)
    elsewhere = h.mask & ~bad
    assert np.linalg.norm((known - clean)[elsewhere]) < 0.5 * np.linalg.norm((unknown - clean)[elsewhere])


def test_whole_turns_cost_nothing(head):
    h = head((48, 48, 48))
    turned = noisy(h)
    turned[30, 30, 30] += 2 * np.pi / 16
    plain = whqsm(noisy(h), h.mask, (1, 1, 1), ALONG_Z)
    assert np.abs(whqsm(turned, h.mask, (1, 1, 1), ALONG_Z) - plain)[h.mask].max() < 0.02


def test_wrong_input_is_refused(head):
    h = head((32, 32, 32))
    with pytest.raises(ValueError, match="phase per ppm"):
        whqsm(h.local, h.mask, (1, 1, 1), ALONG_Z, phase_per_ppm=0.0)
    with pytest.raises(ValueError, match="NaN"):
        whqsm(np.full_like(h.local, np.nan), h.mask, (1, 1, 1), ALONG_Z)
