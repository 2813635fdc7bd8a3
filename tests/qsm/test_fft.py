import os
import subprocess
import sys

import numpy as np
import pytest
from scipy import fft

from qsmprep.qsm import _fft


@pytest.mark.parametrize("length", [1, 7, 53, 97, 119, 181, 205, 311])
def test_fast_length_is_enough_and_has_small_factors_only(length):
    found = _fft.fast_length(length)
    assert length <= found <= max(1.15 * length, length + 2)
    for factor in (2, 3, 5, 7, 11):
        while found % factor == 0:
            found //= factor
    assert found == 1


def test_padded_grid_has_room_in_mm_behind_every_axis():
    grid = _fft.padded_shape((50, 40, 30), (1.0, 2.0, 0.5), 16)
    assert all(n >= m for n, m in zip(grid, (66, 48, 62), strict=True))


def test_transforms_are_each_others_inverse_and_scipys(monkeypatch):
    volume = np.random.default_rng(0).normal(size=(24, 27, 20)).astype(np.float32)
    before = volume.copy()
    spectrum = _fft.forward(volume)
    assert (spectrum.dtype, np.array_equal(volume, before)) == (np.complex64, True)
    assert np.allclose(spectrum, fft.rfftn(volume), atol=1e-4)
    back = _fft.inverse(spectrum, volume.shape)
    assert back.dtype == np.float32
    assert np.allclose(back, volume, atol=1e-5)
    assert np.allclose(_fft.forward(volume, (30, 30, 24)), fft.rfftn(volume, (30, 30, 24)), atol=1e-4)


def test_fftw_gives_what_scipy_gives_from_the_first_transform_on():
    pytest.importorskip("pyfftw", reason="the extra fftw is not installed")
    code = """
import numpy as np
from scipy import fft
from qsmprep.qsm import _fft
assert _fft._library()[0].__name__.startswith("pyfftw")
x = np.random.default_rng(0).normal(size=(24, 27, 21)).astype(np.float32)
want = fft.rfftn(x)
for _ in range(3):
    y = x.copy()
    found = _fft.forward(y)
    assert found.dtype == np.complex64 and np.allclose(found, want, atol=1e-4) and np.array_equal(x, y)
    kept = _fft.inverse(found, x.shape)
    assert kept.dtype == np.float32 and np.allclose(kept, x, atol=1e-5)
first = _fft.forward(x)
_fft.forward(2 * x)
assert np.allclose(first, want, atol=1e-4)  # a plan's buffers are not what it gave away
"""
    subprocess.run([sys.executable, "-c", code], check=True, env=dict(os.environ))


def test_number_of_threads_follows_the_environment(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert _fft.workers() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert _fft.workers() >= 1
