import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def metrics():
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import metrics
    finally:
        sys.path.remove(str(BENCHMARKS))
    return metrics


@pytest.fixture
def maps():
    rng = np.random.default_rng(0)
    mask = np.zeros((20, 20, 20), bool)
    mask[3:17, 3:17, 3:17] = True
    return np.where(mask, rng.normal(0, 0.05, mask.shape), 0), mask


def test_perfect_maps_score_perfectly_whatever_their_mean(metrics, maps):
    truth, mask = maps
    found = np.where(mask, truth + 0.3, 0)
    assert metrics.nrmse(found, truth, mask) == pytest.approx(0, abs=1e-9)
    assert metrics.hfen(found, truth, mask) == pytest.approx(0, abs=1e-9)
    assert metrics.xsim(found, truth, mask) == pytest.approx(1)


def test_errors_are_relative_to_the_truth(metrics, maps):
    truth, mask = maps
    assert metrics.nrmse(0.8 * truth, truth, mask) == pytest.approx(20)
    assert metrics.nrmse(np.zeros_like(truth), truth, mask) == pytest.approx(100)
    assert metrics.hfen(0.8 * truth, truth, mask) == pytest.approx(20)
    # a wrong scale alone is what detrending takes out
    assert metrics.detrended_nrmse(0.8 * truth, truth, mask) == pytest.approx(0, abs=1e-9)


def test_similarity_of_one_window_by_hand(metrics):
    """In a volume that its own mirror images surround, only the window of the centre sees every voxel once."""
    rng = np.random.default_rng(1)
    a, b = rng.normal(0, 0.02, (2, 5, 5, 5))
    a, b = a - a.mean(), b - b.mean()
    mask = np.ones((5, 5, 5), bool)
    covariance = np.cov(a.ravel(), b.ravel())
    expected = (2 * covariance[0, 1] + 0.001**2) / (covariance[0, 0] + covariance[1, 1] + 0.001**2)
    assert metrics.similarity(a, b)[2, 2, 2] == pytest.approx(expected)
    assert metrics.xsim(a, b, mask) == pytest.approx(metrics.similarity(a, b).mean())


def test_deep_grey_is_told_by_the_means_of_the_nuclei(metrics):
    names = ["caudate", "putamen", "GPe", "GPi", "red nucleus", "SNr", "caudate"]
    labels = np.repeat(np.arange(8), 10).reshape(80, 1, 1)
    truth = labels * 0.02
    found = 0.5 * truth + 0.1
    scored = metrics.deep_grey(found, truth, np.ones(labels.shape, bool), labels, names)
    assert scored["slope"] == pytest.approx(0.5) and scored["r"] == pytest.approx(1)
    # both sides of the caudate are one region: (1 + 7) / 2
    means = 0.02 * np.array([4, 2, 3, 4, 5, 6])
    assert scored["rmse_ppb"] == pytest.approx(1000 * (0.5 * means).std())


def test_missing_voxels_count_as_zero_on_the_whole_brain(metrics, maps):
    truth, mask = maps
    head = {"chi": truth, "mask": mask, "nuclei": np.zeros(mask.shape, int), "names": []}
    valid = mask & (np.indices(mask.shape)[0] < 10)
    scored = metrics.scores(truth, valid, head)
    assert scored["kept"] == pytest.approx(50) and scored["nrmse"] == pytest.approx(0, abs=1e-9)
    assert 60 < scored["nrmse_brain"] < 80
