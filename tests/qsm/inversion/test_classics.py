"""MEDI, NDI, STAR-QSM and iLSQR."""

import numpy as np
import pytest

from qsmprep.qsm.inversion import invert

METHODS = ("medi", "ndi", "starqsm", "ilsqr")
ALONG_Z = (0.0, 0.0, 1.0)


def noisy(h, sd=0.001):
    return (h.local + np.random.default_rng(0).normal(0, sd, h.local.shape) * h.mask).astype(np.float32)


def compare(found, truth, mask):
    a, b = found[mask] - found[mask].mean(), truth[mask] - truth[mask].mean()
    return np.linalg.norm(a - b) / np.linalg.norm(b), np.polyfit(b, a, 1)[0]


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
