import numpy as np
import pytest
from scipy import fft, ndimage

from qsmprep.qsm.dipole import dipole_kernel
from qsmprep.qsm.singlestep._wave import laplace_stencil, wave_stencil

SIZES = [(1.0, 1.0, 1.0), (0.8, 0.8, 2.0)]
DIRECTIONS = [(0.0, 0.0, 1.0), (0.0, 0.34, 0.94), (0.3, -0.5, 0.8)]


def unit(b):
    return np.array(b) / np.linalg.norm(b)


@pytest.mark.parametrize("voxel_size", SIZES)
@pytest.mark.parametrize("b0_dir", DIRECTIONS)
def test_quadratic_functions_have_their_exact_derivatives(sphere, voxel_size, b0_dir):
    b = unit(b0_dir)
    x, y, z = sphere.coordinates((5, 5, 5), voxel_size)
    for f, hessian in (
        (x * x, np.diag([2, 0, 0])),
        (z * z, np.diag([0, 0, 2])),
        (x * y, np.array([[0, 1, 0], [1, 0, 0], [0, 0, 0]])),
        (y * z, np.array([[0, 0, 0], [0, 0, 1], [0, 1, 0]])),
        (3 * x - y, np.zeros((3, 3))),
    ):
        laplacian = ndimage.correlate(f, laplace_stencil(voxel_size).astype(float))[2, 2, 2]
        wave = ndimage.correlate(f, wave_stencil(voxel_size, b).astype(float))[2, 2, 2]
        assert laplacian == pytest.approx(np.trace(hessian), abs=1e-4)
        assert wave == pytest.approx(np.trace(hessian) / 3 - b @ hessian @ b, abs=1e-4)


@pytest.mark.parametrize("voxel_size", SIZES)
@pytest.mark.parametrize("b0_dir", DIRECTIONS)
def test_ratio_of_both_spectra_is_the_dipole(voxel_size, b0_dir):
    shape = (32, 32, 32)
    place = np.zeros((2, *shape), np.float32)
    place[0, :3, :3, :3] = wave_stencil(voxel_size, unit(b0_dir))
    place[1, :3, :3, :3] = laplace_stencil(voxel_size)
    wave, laplace = (fft.fftn(np.roll(p, (-1, -1, -1), (0, 1, 2))).real for p in place)
    laplace[0, 0, 0] = 1
    error = wave / laplace - dipole_kernel(shape, voxel_size, b0_dir, real=False)
    error[0, 0, 0] = 0
    low = np.ones(shape, bool)
    for axis in range(3):
        index = np.abs(fft.fftfreq(shape[axis]))
        low &= (index < 0.25).reshape([-1 if a == axis else 1 for a in range(3)])
    # of a dipole between -2/3 and 1/3; at Nyquist, with b oblique, no stencil can do it
    assert np.sqrt(np.mean(error[low] ** 2)) < 0.045
    assert np.abs(error[low]).max() < 0.2
