import numpy as np
import pytest

from qsmprep.qsm import _fft
from qsmprep.qsm._grid import as_mask
from qsmprep.qsm.dipole import dipole_kernel
from qsmprep.qsm.inversion import invert


def everywhere(shape):
    return as_mask(np.ones(shape), shape)


@pytest.mark.parametrize("shape", [(32, 30, 28), (25, 27, 32)])
@pytest.mark.parametrize("threshold", [0.1, 0.2])
def test_truncated_division_returns_a_point_source_at_its_full_strength(shape, threshold):
    """Schweser's correction is the share of itself that a point keeps: with it, a point is returned as it was."""
    sizes, direction = (1.0, 1.0, 1.2), (0.1, 0.4, 0.9)
    grid = tuple(_fft.fast_length(n) for n in shape)
    point = np.zeros(grid, np.float32)
    point[grid[0] // 2, grid[1] // 2, grid[2] // 2] = 1
    field = _fft.inverse(dipole_kernel(grid, sizes, direction) * _fft.forward(point), grid)
    arguments = (field, everywhere(grid), sizes, direction)
    settings = {"method": "tkd", "threshold": threshold, "pad_mm": 1e-9}
    # room of one voxel at least is made behind the box; the field is cut there, which costs little
    corrected, plain = invert(*arguments, **settings), invert(*arguments, **settings, correct=False)
    assert corrected.max() == pytest.approx(1, abs=0.03)
    assert 0.6 < plain.max() < 0.95
    assert np.unravel_index(corrected.argmax(), grid) == tuple(n // 2 for n in grid)


def test_higher_threshold_loses_more_strength_without_correction(head):
    h = head((48, 48, 48))
    slopes = [
        np.polyfit(
            h.chi[h.mask],
            invert(h.local, h.mask, (1, 1, 1), (0, 0, 1), method="tkd", threshold=t, correct=False)[h.mask],
            1,
        )[0]
        for t in (0.1, 0.2, 0.4)
    ]
    assert slopes[0] > slopes[1] > slopes[2]


def test_threshold_has_to_be_positive(head):
    h = head((32, 32, 32))
    with pytest.raises(ValueError, match="threshold"):
        invert(h.local, h.mask, (1, 1, 1), (0, 0, 1), method="tkd", threshold=0.0)


def test_weighted_tikhonov_of_uniform_weights_without_an_outside_is_the_closed_form():
    """Where the mask is the whole padded grid, conjugate gradients have nothing to find beyond the closed form."""
    rng = np.random.default_rng(0)
    grid = (32, 32, 32)
    field = rng.normal(0, 0.01, grid).astype(np.float32)
    # the last plane stands for the padding
    mask = np.ones(grid, bool)
    found = {}
    for method in ("tikhonov", "tikhonov_iterative"):
        found[method] = invert(field, mask, (1, 1, 1), (0, 0, 1), method=method, weight=0.05, pad_mm=1e-9)
    difference = np.linalg.norm(found["tikhonov"] - found["tikhonov_iterative"])
    assert difference < 0.25 * np.linalg.norm(found["tikhonov"])


def test_more_noise_means_more_smoothing(head):
    h = head((48, 48, 48))
    rough = []
    for sd in (0.001, 0.01):
        noise = np.full(h.mask.shape, sd, np.float32)
        chi = invert(h.local, h.mask, (1, 1, 1), (0, 0, 1), method="tikhonov", noise=noise)
        rough.append(np.abs(np.diff(chi, axis=0)).sum())
    assert rough[1] < 0.7 * rough[0]
