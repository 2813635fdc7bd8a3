import tracemalloc
from importlib.util import find_spec

import numba
import numpy as np
import pytest

from qsmprep.qsm.inversion import METHODS, invert
from qsmprep.qsm.inversion._variation import Problem

NAMES = ("hdqsm", "nltv", "rts", "tikhonov", "tikhonov_iterative", "tkd", "tv")


@pytest.fixture(scope="module")
def noisy_head(head):
    h = head((64, 64, 56), b0_dir=(0.2, 0.1, 0.97))
    field = (h.local + np.random.default_rng(0).normal(0, 0.001, h.local.shape) * h.mask).astype(np.float32)
    return field, h.mask, (1.0, 1.0, 1.0), (0.2, 0.1, 0.97)


def test_methods_are_complete():
    assert set(NAMES) <= set(METHODS)


@pytest.mark.parametrize("method", NAMES)
def test_memory_is_at_most_eleven_volumes_of_the_padded_grid(noisy_head, method):
    """What NumPy and SciPy hand out; one transform's scratch, a volume more, is not seen from here."""
    volume = 4 * np.prod(Problem(*noisy_head[:3]).grid)
    invert(*noisy_head, method=method)  # compiled, and the caches of the transforms filled
    tracemalloc.start()
    invert(*noisy_head, method=method)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= 11 * volume


@pytest.mark.skipif(find_spec("pyfftw") is not None, reason="FFTW picks its plans by time")
@pytest.mark.parametrize("method", NAMES)
def test_number_of_threads_does_not_change_a_bit(noisy_head, method, monkeypatch):
    found = []
    for threads in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
        monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
        before = numba.get_num_threads()
        numba.set_num_threads(threads)
        found.append(invert(*noisy_head, method=method))
        numba.set_num_threads(before)
    assert np.array_equal(*found)
