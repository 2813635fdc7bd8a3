import numpy as np
import pytest

from qsmprep.qsm.inversion.mtv import mtv

ALONG_Z = (0.0, 0.0, 1.0)


def noisy(h, sd=0.001, seed=0):
    return (h.local + np.random.default_rng(seed).normal(0, sd, h.local.shape) * h.mask).astype(np.float32)


def compare(found, truth, mask):
    a, b = found[mask] - found[mask].mean(), truth[mask] - truth[mask].mean()
    return np.linalg.norm(a - b) / np.linalg.norm(b), np.polyfit(b, a, 1)[0]


def test_harmonic_field_that_background_removal_left_does_no_harm(head):
    """What sources next to the mask make in it must not become susceptibility inside."""
    h = head()
    left = 0.03 * h.background / np.abs(h.background[h.mask]).max()
    field = noisy(h) + np.where(h.mask, left, 0).astype(np.float32)
    noise = np.full(h.mask.shape, 0.001, np.float32)
    free = compare(mtv(field, h.mask, (1, 1, 1), ALONG_Z, noise=noise), h.chi, h.mask)
    closed = compare(mtv(field, h.mask, (1, 1, 1), ALONG_Z, noise=noise, outside_weight=1.0), h.chi, h.mask)
    clean = compare(mtv(noisy(h), h.mask, (1, 1, 1), ALONG_Z, noise=noise), h.chi, h.mask)
    assert free[0] < 1.5 * clean[0]
    assert closed[0] > 2 * free[0]


def test_edges_of_the_magnitude_keep_edges_of_chi(head):
    h = head()
    noise = np.full(h.mask.shape, 0.004, np.float32)
    field = noisy(h, 0.004)
    rng = np.random.default_rng(1)
    magnitude = np.where(h.mask, 100 + 300 * h.chi + rng.normal(0, 1, h.chi.shape), 0).astype(np.float32)
    heavy = {"noise": noise, "weight": 1e-3}
    blind = compare(mtv(field, h.mask, (1, 1, 1), ALONG_Z, **heavy), h.chi, h.mask)
    seeing = compare(
        mtv(field, h.mask, (1, 1, 1), ALONG_Z, magnitude=magnitude, edge_share=0.04, **heavy), h.chi, h.mask
    )
    assert seeing[0] < 0.92 * blind[0]
    assert abs(seeing[1] - 1) < abs(blind[1] - 1)


def test_voxels_without_trust_do_not_streak(head):
    h = head()
    field, noise = noisy(h), np.full(h.mask.shape, 0.001, np.float32)
    bad = np.zeros(h.mask.shape, bool)
    bad[tuple(n // 2 + 6 for n in bad.shape)] = True
    spoilt = np.where(bad, np.float32(1.0), field)
    told = np.where(bad, np.float32(np.inf), noise)
    clean = mtv(field, h.mask, (1, 1, 1), ALONG_Z, noise=noise)
    known = mtv(spoilt, h.mask, (1, 1, 1), ALONG_Z, noise=told)
    unknown = mtv(spoilt, h.mask, (1, 1, 1), ALONG_Z, noise=noise)
    elsewhere = h.mask & ~bad
    assert np.abs(known - clean)[elsewhere].max() < 0.02
    assert np.abs(unknown - clean)[elsewhere].max() > 0.1


def test_wrong_input_is_refused(head):
    h = head((32, 32, 32))
    with pytest.raises(ValueError, match="NaN"):
        mtv(np.where(h.mask, np.nan, 0), h.mask, (1, 1, 1), ALONG_Z)
