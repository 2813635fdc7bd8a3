"""A mask whose surface is half a voxel off, or runs through voxels that are half air, does not move χ in the depth."""

from types import SimpleNamespace

import numpy as np
import pytest

from qsmprep.qsm.background import remove_background
from qsmprep.qsm.inversion import invert

SHAPE, VOXEL_SIZE = (64, 64, 56), (1.0, 1.0, 1.0)
SEMI_AXES = np.array([25.6, 26.9, 22.4])  # of the head [mm]
NUCLEI = [((9, 6, 3), 5, 0.12), ((-9, 6, 3), 5, 0.10), ((4, -9, -6), 4, -0.06), ((-5, -8, -5), 3.5, 0.18)]
AIR = [((0.0, 26.9, -23.5), 5.0, 9.4), ((6.4, -32.0, 22.4), 6.0, 9.4)]
PHASE, NOISE = 16.0, 1e-3  # [rad/ppm], [ppm] in a voxel full of tissue
# how far the mean of a sphere may move [ppm]: 1 to 4 % of what the spheres have
MOVED = {"mtv": 0.0018, "tv": 0.0025}
OFF = {"mtv": 0.0115, "tv": 0.014}  # and how far it may be from the truth


def ellipsoid(sphere, more=0.0, centre=None):
    """The voxels whose middle lies in the head, its semi-axes lengthened by some mm."""
    points = sphere.coordinates(SHAPE, VOXEL_SIZE, centre)
    return sum((x / (a + more)) ** 2 for x, a in zip(points, SEMI_AXES, strict=True)) < 1


def field_at(sphere, b0_dir, point):
    """The true field [ppm] a little off the middle of every voxel."""
    total = np.zeros(SHAPE)
    for centre, radius, chi in NUCLEI + AIR:
        place = np.subtract(centre, point)
        total += sphere.field(SHAPE, VOXEL_SIZE, radius, b0_dir, chi, place)
    return total


@pytest.fixture(scope="module", params=[(0.0, 0.0, 1.0), (0.3, -0.5, 0.8)], ids=["along z", "oblique"])
def acquired(request, sphere):
    """What a scanner shows of the head: signal averaged over the tissue of each voxel, air giving none."""
    signal, share = np.zeros(SHAPE, complex), np.zeros(SHAPE)
    steps = np.array([-1, 0, 1]) / 3
    for point in np.stack(np.meshgrid(steps, steps, steps), -1).reshape(-1, 3):
        tissue = ellipsoid(sphere, centre=-point)
        signal += tissue * np.exp(1j * PHASE * field_at(sphere, request.param, point)) / 27
        share += tissue / 27
    rng = np.random.default_rng(0)
    signal += NOISE * PHASE * (rng.standard_normal(SHAPE) + 1j * rng.standard_normal(SHAPE))
    phase, true = np.angle(signal), PHASE * field_at(sphere, request.param, np.zeros(3))
    return SimpleNamespace(
        field=((phase + 2 * np.pi * np.round((true - phase) / (2 * np.pi))) / PHASE).astype(np.float32),
        noise=np.where(share > 0.05, NOISE / np.maximum(share, 0.05), np.inf).astype(np.float32),
        share=share,
        b0_dir=request.param,
    )


@pytest.fixture(scope="module")
def values(acquired, sphere):
    """Mean χ [ppm] of each sphere within its surface, relative to the median of the depth."""
    depth = ellipsoid(sphere, -4)
    insides = [sphere.ball(SHAPE, VOXEL_SIZE, radius - 1, centre) > 0.99 for centre, radius, _ in NUCLEI]

    def run(mask, method):
        geometry, known = (VOXEL_SIZE, acquired.b0_dir), {"noise": acquired.noise}
        local, valid = remove_background(acquired.field, mask, *geometry, method="vsharp", **known)
        chi = invert(local, valid, *geometry, method=method, **known)
        return np.array([chi[inside].mean() for inside in insides]) - np.median(chi[depth])

    return run


@pytest.mark.parametrize("method", MOVED)
def test_mask_half_a_voxel_off_does_not_move_the_spheres(values, acquired, sphere, method):
    right = values(ellipsoid(sphere), method)
    assert np.abs(right - [chi for *_, chi in NUCLEI]).max() < OFF[method]
    masks = {
        "larger": ellipsoid(sphere, 0.5),
        "smaller": ellipsoid(sphere, -0.5),
        "moved along x": ellipsoid(sphere, centre=(0.5, 0, 0)),
        "moved along z": ellipsoid(sphere, centre=(0, 0, -0.5)),
        "every voxel with tissue": acquired.share > 0,
        "no voxel with air": acquired.share > 0.999,
    }
    for what, mask in masks.items():
        assert 0.9 < mask.sum() / ellipsoid(sphere).sum() < 1.1
        assert np.abs(values(mask, method) - right).max() < MOVED[method], what


@pytest.mark.parametrize("method", MOVED)
def test_the_tolerance_would_notice_a_mask_one_and_a_half_voxels_too_small(values, sphere, method):
    moved = values(ellipsoid(sphere, -1.5), method) - values(ellipsoid(sphere), method)
    assert np.abs(moved).max() > 1.3 * MOVED[method]
