"""Transforms between visits and a within-subject template as files."""

import numpy as np
from scipy.spatial.transform import Rotation

from qsmprep.space.within import read_linear, write_linear


def rigid(angles, shift):
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    matrix[:3, 3] = shift
    return matrix


def test_a_matrix_survives_the_file(tmp_path):
    matrix = rigid((12, -30, 50), (40, -60, 25))
    np.testing.assert_allclose(read_linear(write_linear(matrix, tmp_path / "a.h5")), matrix, atol=1e-4)
