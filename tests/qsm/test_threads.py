"""Every stage gives the same bits for any number of threads.

Each voxel, line or plane is computed by one thread, and sums go plane by plane in a fixed order, so that nothing is
left to tolerate. SciPy's transforms share out whole lines, which is why their number of workers changes no bit either.
One exception is known: see `test_background_removal_where_very_many_voxels_are_not_trusted`.
"""

from importlib.util import find_spec
from types import SimpleNamespace

import numba
import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from qsmprep.qsm import _fft
from qsmprep.qsm.background import METHODS as BACKGROUND
from qsmprep.qsm.background import remove_background
from qsmprep.qsm.combine import combine_coils, mcpc3ds
from qsmprep.qsm.fieldmap import METHODS as FIELDMAP
from qsmprep.qsm.fieldmap import map_field
from qsmprep.qsm.inversion import METHODS as INVERSION
from qsmprep.qsm.inversion import invert
from qsmprep.qsm.singlestep import METHODS as SINGLE_STEP
from qsmprep.qsm.singlestep import reconstruct
from qsmprep.qsm.twopass import without_holes
from qsmprep.qsm.unwrap import METHODS as UNWRAP
from qsmprep.qsm.unwrap import unwrap

VOXEL_SIZE, B0_DIR, B0, TE = (1.0, 1.0, 1.0), (0.2, 0.1, 0.97), 3.0, (0.004, 0.0089, 0.013)
MANY = 3  # workers of a transform; numba has no more than it was started with

pytestmark = pytest.mark.skipif(find_spec("pyfftw") is not None, reason="FFTW picks its plans by time")


@pytest.fixture(scope="module")
def data(head):
    """Echoes of a head with noise, their phase unwrapped, its fields, and what is known of their noise."""
    h = head((56, 52, 48), b0_dir=B0_DIR)
    rng = np.random.default_rng(0)
    turns = 2 * np.pi * 42.577 * B0 * (h.local + h.background)[..., None] * np.array(TE)
    signal = h.mask[..., None] * np.exp(1j * (turns + 0.6) - 20 * np.array(TE))
    signal = signal + 0.02 * (rng.standard_normal(signal.shape) + 1j * rng.standard_normal(signal.shape))
    noise = rng.uniform(5e-4, 2e-3, h.mask.shape).astype(np.float32)
    noise[rng.random(h.mask.shape) < 0.01] = np.inf
    return SimpleNamespace(
        mask=h.mask,
        phase=np.angle(signal).astype(np.float32),
        unwrapped=turns.astype(np.float32),
        magnitude=np.abs(signal).astype(np.float32),
        total=(h.local + h.background + rng.normal(0, 1e-3, h.mask.shape)).astype(np.float32),
        local=((h.local + rng.normal(0, 1e-3, h.mask.shape)) * h.mask).astype(np.float32),
        csf=h.mask & (h.chi > 0.15),
        noise=noise,
    )


@pytest.fixture
def same_bits(monkeypatch):
    """Check that a function's arrays do not depend on the threads of numba, of the transforms and of BLAS."""

    def check(function):
        found, before = [], numba.get_num_threads()
        for threads in (1, MANY):
            monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
            assert _fft.workers() == threads
            numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
            try:
                with threadpool_limits(threads):
                    found.append(function())
            finally:
                numba.set_num_threads(before)
        assert len(found[0]) == len(found[1])
        for one, many in zip(*found, strict=True):
            assert np.isfinite(one).any() and np.ptp(one[np.isfinite(one)]) > 0
            assert np.array_equal(one, many, equal_nan=True)

    return check


@pytest.mark.parametrize("bipolar", [False, None])
def test_phase_offset(data, same_bits, bipolar):
    same_bits(lambda: mcpc3ds(data.phase, data.magnitude, TE, data.mask, bipolar=bipolar)[:1])


@pytest.mark.parametrize("echoes", [1, 3])
def test_combination_of_coils(data, same_bits, echoes):
    x = np.linspace(-1, 1, data.mask.shape[0])[:, None, None, None]
    coils = [
        (data.magnitude[..., :echoes] * np.exp(s * x).astype(np.float32), data.phase[..., :echoes] + np.float32(s * x))
        for s in (-0.8, 0.3, 0.7)
    ]
    same_bits(lambda: combine_coils(lambda coil: coils[coil], 3, TE[:echoes])[:2])


@pytest.mark.parametrize("method", UNWRAP)
def test_unwrapping(data, same_bits, method):
    same_bits(lambda: (unwrap(data.phase, data.magnitude, data.mask, TE, method=method),))


@pytest.mark.parametrize("method", FIELDMAP)
def test_field_mapping(data, same_bits, method):
    same_bits(lambda: map_field(data.unwrapped, data.magnitude, data.mask, TE, B0, VOXEL_SIZE, method=method))


@pytest.mark.parametrize("known", [True, False], ids=["noise known", "noise not known"])
@pytest.mark.parametrize("method", BACKGROUND)
def test_background_removal(data, same_bits, method, known):
    noise = data.noise if known else None
    same_bits(lambda: remove_background(data.total, data.mask, VOXEL_SIZE, B0_DIR, method=method, noise=noise)[:1])


def test_background_removal_where_very_many_voxels_are_not_trusted(data, monkeypatch):
    """More than 10,000 of them: BLAS then shares out the sums of the conjugate gradients that put them right.

    The order of a sum changes its rounding in float64, and the solution, where the iterations stop at a residual of
    1e-5, by no more than a bit of float32: 1e-6 ppm is a thousandth of the noise.
    """
    noise = np.where(np.random.default_rng(1).random(data.mask.shape) < 0.5, np.inf, 1e-3).astype(np.float32)
    found = []
    for threads in (1, MANY):
        monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
        with threadpool_limits(threads):
            found.append(remove_background(data.total, data.mask, VOXEL_SIZE, B0_DIR, method="vsharp", noise=noise)[0])
    assert np.isinf(noise[data.mask]).sum() > 15000
    assert np.abs(found[0] - found[1]).max() < 1e-6


@pytest.mark.parametrize("known", [True, False], ids=["noise known", "noise not known"])
@pytest.mark.parametrize("method", INVERSION)
def test_inversion(data, same_bits, method, known):
    more = {"noise": data.noise} if known else {"magnitude": data.magnitude}
    same_bits(lambda: (invert(data.local, data.mask, VOXEL_SIZE, B0_DIR, method=method, **more),))


def test_inversion_with_a_uniform_csf(data, same_bits):
    same_bits(lambda: (invert(data.local, data.mask, VOXEL_SIZE, B0_DIR, method="medi", csf=data.csf),))


@pytest.mark.parametrize("method", SINGLE_STEP)
def test_single_step(data, same_bits, method):
    few = {"method": method, "noise": data.noise, "max_iterations": 10}
    same_bits(lambda: reconstruct(data.total, data.mask, VOXEL_SIZE, B0_DIR, **few))


def test_holes_of_two_passes(data, same_bits):
    reliable = data.mask & ~data.csf
    same_bits(lambda: (without_holes(data.local, data.mask, reliable, VOXEL_SIZE, B0_DIR, noise=data.noise),))
