"""MEDI, NDI, STAR-QSM and iLSQR."""

import numba
import numpy as np
import pytest

from qsmprep.qsm.inversion import invert

METHODS = ("medi", "ndi", "starqsm", "ilsqr")
# relative rms error, and how far the slope may be from 1
LIMITS = {"medi": (0.27, 0.1), "ndi": (0.75, 0.3), "starqsm": (0.3, 0.1), "ilsqr": (0.5, 0.2)}
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


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("shape", "voxel_size", "b0_dir"), GEOMETRIES)
def test_susceptibility_of_spheres_is_recovered(head, method, shape, voxel_size, b0_dir):
    h = head(shape, voxel_size, b0_dir)
    chi = invert(noisy(h), h.mask, voxel_size, b0_dir, method=method)
    error, slope = compare(chi, h.chi, h.mask)
    assert chi.dtype == np.float32 and not chi[~h.mask].any()
    assert error < LIMITS[method][0] * (1.5 if voxel_size[2] > 1 else 1)
    assert slope == pytest.approx(1, abs=LIMITS[method][1])


@pytest.mark.parametrize("method", METHODS)
def test_voxels_without_trust_do_not_streak(head, method):
    h = head((48, 48, 48))
    field, noise = noisy(h), np.full(h.mask.shape, 0.001, np.float32)
    place = tuple(n // 2 + 6 for n in field.shape)
    spoilt, told = field.copy(), noise.copy()
    spoilt[place], told[place] = 0.15, np.inf
    clean = invert(field, h.mask, (1, 1, 1), ALONG_Z, method=method, noise=noise)
    known = invert(spoilt, h.mask, (1, 1, 1), ALONG_Z, method=method, noise=told)
    unknown = invert(spoilt, h.mask, (1, 1, 1), ALONG_Z, method=method, noise=noise)
    elsewhere = h.mask.copy()
    elsewhere[place] = False
    known_error = np.linalg.norm((known - clean)[elsewhere])
    assert known_error < 0.6 * np.linalg.norm((unknown - clean)[elsewhere])


@pytest.mark.parametrize("method", METHODS)
def test_same_bits_for_any_number_of_threads(head, method):
    h = head((40, 40, 40))
    before = numba.get_num_threads()
    try:
        found = []
        for threads in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
            numba.set_num_threads(threads)
            found.append(invert(noisy(h), h.mask, (1, 1, 1), ALONG_Z, method=method))
    finally:
        numba.set_num_threads(before)
    assert np.array_equal(*found)


def test_whole_turns_cost_nothing(head):
    """A field that unwrapping left a whole turn off in one voxel is the same field to a non-linear method."""
    h = head((48, 48, 48))
    field = noisy(h)
    turned = field.copy()
    turned[tuple(n // 2 + 6 for n in field.shape)] += 2 * np.pi / 16.0
    a = invert(field, h.mask, (1, 1, 1), ALONG_Z, method="ndi", phase_per_ppm=16.0)
    b = invert(turned, h.mask, (1, 1, 1), ALONG_Z, method="ndi", phase_per_ppm=16.0)
    assert np.abs(a - b)[h.mask].max() < 0.02


def test_medi_spares_the_edges_of_the_magnitude(head):
    h = head()
    field, noise = noisy(h, 0.004), np.full(h.mask.shape, 0.004, np.float32)
    rng = np.random.default_rng(1)
    magnitude = np.where(h.mask, 100 + 300 * h.chi + rng.normal(0, 1, h.chi.shape), 0).astype(np.float32)
    heavy = {"method": "medi", "noise": noise, "weight": 1e-3, "edge_share": 0.04}
    blind = compare(invert(field, h.mask, (1, 1, 1), ALONG_Z, **heavy), h.chi, h.mask)
    seeing = compare(invert(field, h.mask, (1, 1, 1), ALONG_Z, magnitude=magnitude, **heavy), h.chi, h.mask)
    assert seeing[0] < blind[0]
    assert abs(seeing[1] - 1) < abs(blind[1] - 1)


def test_medi_makes_the_csf_uniform_and_refers_to_it(head):
    """A region that holds the surface of a nucleus is not uniform; as CSF it has to become so."""
    h = head()
    field = noisy(h, 0.002)
    csf = np.zeros(h.mask.shape, bool)
    csf[43:49, 36:41, 29:34] = True
    free = invert(field, h.mask, (1, 1, 1), ALONG_Z, method="medi")
    uniform = invert(field, h.mask, (1, 1, 1), ALONG_Z, method="medi", csf=csf)
    assert uniform[csf].mean() == pytest.approx(0, abs=1e-4)
    assert uniform[csf].std() < 0.5 * free[csf].std()
    far = h.mask.copy()
    far[36:54, 28:48, 21:41] = False
    assert compare(uniform, h.chi, far)[0] < 0.4


def test_starqsm_keeps_the_streaks_of_a_strong_source_small(head):
    h = head()
    from qsmprep.qsm.dipole import forward_field

    strong = np.zeros(h.chi.shape, np.float32)
    strong[38:42, 26:30, 26:30] = 2.0
    field = noisy(h) + np.where(h.mask, forward_field(strong, (1, 1, 1), ALONG_Z), 0)
    chi = invert(field, h.mask, (1, 1, 1), ALONG_Z, method="starqsm")
    assert chi[39:41, 27:29, 27:29].mean() == pytest.approx(2.0, rel=0.15)
    far = h.mask.copy()
    far[34:46, 22:34, 22:34] = False
    assert compare(chi, h.chi, far)[0] < 0.6


def test_a_csf_mask_is_for_medi_alone(head):
    h = head((32, 32, 32))
    with pytest.raises(ValueError, match="only medi"):
        invert(h.local, h.mask, (1, 1, 1), ALONG_Z, method="ndi", csf=h.mask)
