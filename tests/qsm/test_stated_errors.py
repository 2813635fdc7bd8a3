"""The errors that docs/methods.md states are those of the code: its tables are the limits of these tests."""

import re
from pathlib import Path

import numpy as np
import pytest

from qsmprep.qsm.background import METHODS as BACKGROUND
from qsmprep.qsm.background import remove_background
from qsmprep.qsm.inversion import METHODS as INVERSION
from qsmprep.qsm.inversion import invert
from qsmprep.qsm.singlestep import METHODS as SINGLE_STEP
from qsmprep.qsm.singlestep import reconstruct

PAGE = Path(__file__).parents[2] / "docs" / "methods.md"
ALONG_Z, OBLIQUE = (0.0, 0.0, 1.0), (0.3, -0.5, 0.8)
# columns of the tables
INVERSION_GEOMETRIES = [
    ((64, 64, 56), (1.0, 1.0, 1.0), ALONG_Z),
    ((64, 64, 56), (1.0, 1.0, 1.0), OBLIQUE),
    ((80, 80, 28), (0.8, 0.8, 2.0), (0.0, 0.34, 0.94)),
]
BACKGROUND_GEOMETRIES = [
    ((64, 64, 56), (1.0, 1.0, 1.0), ALONG_Z),
    ((64, 64, 56), (1.0, 1.0, 1.0), OBLIQUE),
    ((64, 64, 28), (1.0, 1.0, 2.0), ALONG_Z),
]
columns = pytest.mark.parametrize("column", [0, 1, 2])


def stated(title):
    """Method -> [(error, slope) of each column] of the table that follows a line with the title."""
    table = {}
    for line in PAGE.read_text().split(title, 1)[1].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if name := re.fullmatch(r"`(\w+)`", cells[0]):
            table[name[1]] = [tuple(float(number) for number in cell.split(",")) for cell in cells[1:4]]
        elif table:
            break
    return table


CHI, FIELD = stated("Stated errors of χ"), stated("Stated errors of the local field")


def compare(found, truth, mask):
    a, b = found[mask] - found[mask].mean(), truth[mask] - truth[mask].mean()
    return np.linalg.norm(a - b) / np.linalg.norm(b), np.polyfit(b, a, 1)[0]


def holds(found, stated_):
    """Whether error and slope are what is stated, to 15 % (half a percent of the signal at least) and to 0.04."""
    error, slope = found
    assert error <= 1.15 * stated_[0] + 0.005, f"error {error:.3f}, slope {slope:.3f}; stated: {stated_}"
    assert error >= 0.8 * stated_[0] - 0.005, f"error {error:.3f} is less than stated: {stated_}"
    assert slope == pytest.approx(stated_[1], abs=0.04), f"error {error:.3f}, slope {slope:.3f}; stated: {stated_}"


def test_every_method_states_its_errors_and_a_map_of_zeros_would_not_do():
    assert set(CHI) == {*INVERSION, *SINGLE_STEP}
    assert set(FIELD) == set(BACKGROUND)
    assert all(1.15 * error + 0.005 < 0.98 and slope > 0.8 for row in CHI.values() for error, slope in row)
    assert all(1.15 * error + 0.005 < 0.4 and slope > 0.9 for row in FIELD.values() for error, slope in row)


@columns
@pytest.mark.parametrize("method", INVERSION)
def test_susceptibility_of_spheres_is_recovered_to_the_stated_error(head, method, column):
    shape, voxel_size, b0_dir = INVERSION_GEOMETRIES[column]
    h = head(shape, voxel_size, b0_dir)
    field = (h.local + np.random.default_rng(0).normal(0, 1e-3, shape) * h.mask).astype(np.float32)
    chi = invert(field, h.mask, voxel_size, b0_dir, method=method)
    assert chi.dtype == np.float32 and not chi[~h.mask].any()
    holds(compare(chi, h.chi, h.mask), CHI[method][column])


@columns
@pytest.mark.parametrize("method", SINGLE_STEP)
def test_susceptibility_is_recovered_from_the_total_field_to_the_stated_error(head, method, column):
    """Under a background whose range is ten times that of the local field."""
    shape, voxel_size, b0_dir = INVERSION_GEOMETRIES[column]
    h = head(shape, voxel_size, b0_dir)
    assert np.ptp(4 * h.background[h.mask]) > 10 * np.ptp(h.local[h.mask])
    total = h.local + 4 * h.background + np.random.default_rng(0).normal(0, 1e-3, shape)
    field, noise = np.where(h.mask, total, np.nan).astype(np.float32), np.full(shape, 1e-3, np.float32)
    chi, _ = reconstruct(field, h.mask, voxel_size, b0_dir, method=method, noise=noise)
    holds(compare(chi, h.chi, h.mask), CHI[method][column])


@columns
@pytest.mark.parametrize("method", BACKGROUND)
def test_local_field_is_recovered_to_the_stated_error(head, method, column):
    shape, voxel_size, b0_dir = BACKGROUND_GEOMETRIES[column]
    h = head(shape, voxel_size, b0_dir)
    local, valid = remove_background(h.local + h.background, h.mask, voxel_size, b0_dir, method=method)
    assert compare(h.local + h.background, h.local, valid)[0] > 1.3, "without removal it would be far off"
    holds(compare(local, h.local, valid), FIELD[method][column])
