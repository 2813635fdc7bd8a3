"""What MEDI, NDI, STAR-QSM, iLSQR and WH-QSM take, and that they give the same for any number of threads."""

import tracemalloc
from importlib.util import find_spec

import numba
import numpy as np
import pytest

from qsmprep.qsm.inversion import invert
from qsmprep.qsm.inversion._variation import Problem

METHODS = ("ilsqr", "medi", "medi with CSF", "ndi", "starqsm", "whqsm")
B0 = (0.2, 0.1, 0.97)


@pytest.fixture(scope="module")
def solve(head):
    h = head((64, 64, 56), b0_dir=B0)
    field = (h.local + np.random.default_rng(0).normal(0, 0.001, h.local.shape) * h.mask).astype(np.float32)

    def run(name):
        more = {"csf": h.mask & (h.chi > 0.15)} if name.endswith("CSF") else {}
        return invert(field, h.mask, (1.0, 1.0, 1.0), B0, method=name.split()[0], **more)

    run.volume = 4 * np.prod(Problem(field, h.mask, (1.0, 1.0, 1.0)).grid)
    return run


@pytest.mark.parametrize("name", METHODS)
def test_memory_is_at_most_twelve_volumes_of_the_padded_grid(solve, name):
    """What NumPy and SciPy hand out; one transform's scratch, a volume more, is not seen from here."""
    solve(name)  # compiled, and the caches of the transforms filled
    tracemalloc.start()
    solve(name)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= 12 * solve.volume


@pytest.mark.skipif(find_spec("pyfftw") is not None, reason="FFTW picks its plans by time")
@pytest.mark.parametrize("name", METHODS)
def test_number_of_threads_does_not_change_a_bit(solve, name, monkeypatch):
    found = []
    before = numba.get_num_threads()
    try:
        for threads in (1, min(2, numba.config.NUMBA_NUM_THREADS)):
            monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
            numba.set_num_threads(threads)
            found.append(solve(name))
    finally:
        numba.set_num_threads(before)
    assert np.array_equal(*found)
