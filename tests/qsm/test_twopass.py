from types import SimpleNamespace

import numpy as np
import pytest

from qsmprep.qsm.inversion import invert
from qsmprep.qsm.singlestep import reconstruct
from qsmprep.qsm.twopass import combine_passes, reliable_mask, two_pass
from qsmprep.qsm.unwrap import voxel_quality

CENTRE, RADIUS = (-14, 2, -6), 5
VOXEL_SIZE, B0_DIR = (1.0, 1.0, 1.0), (0.0, 0.0, 1.0)
TE = (0.005, 0.010, 0.015, 0.020, 0.025)


@pytest.fixture(scope="module")
def bleeding(head, sphere):
    """A head with a ball of 2 ppm that has no signal, and a field that is wrong in it by up to 0.3 ppm."""
    h = head()
    shape = h.mask.shape
    rng = np.random.default_rng(0)
    ball = sphere.ball(shape, VOXEL_SIZE, RADIUS, CENTRE)
    local = h.local + h.mask * sphere.field(shape, VOXEL_SIZE, RADIUS, B0_DIR, 2.0, CENTRE)
    phase = 2 * np.pi * 42.577 * 3 * (local + h.background)[..., None] * np.array(TE)
    signal = h.mask[..., None] * np.exp(1j * phase - (20 + 3000 * ball[..., None]) * np.array(TE))
    signal += 0.01 * (rng.standard_normal(signal.shape) + 1j * rng.standard_normal(signal.shape))
    field = local + rng.normal(0, 1e-3, shape)
    field[ball > 0.3] += rng.uniform(-0.3, 0.3, (ball > 0.3).sum())
    distance = np.sqrt(sum(axis**2 for axis in sphere.coordinates(shape, VOXEL_SIZE, CENTRE)))
    return SimpleNamespace(
        mask=h.mask,
        chi=h.chi + 2 * ball,
        local=(field * h.mask).astype(np.float32),
        total=((field + h.background) * h.mask).astype(np.float32),
        quality=voxel_quality(np.angle(signal).astype(np.float32), np.abs(signal).astype(np.float32), TE),
        ball=ball,
        away=h.mask & (distance > RADIUS + 3),
    )


def error(chi, b):
    found, truth = chi[b.away] - np.median(chi[b.away]), b.chi[b.away] - np.median(b.chi[b.away])
    return np.linalg.norm(found - truth) / np.linalg.norm(truth)


# by how many times the error outside the source falls
@pytest.mark.parametrize(("method", "factor"), [("tfi", 10), ("tgv", 6), ("tv", 4), ("mtv", 8)])
def test_a_bleeding_does_not_streak_and_keeps_its_value(bleeding, method, factor):
    b = bleeding

    def run(part):
        if method in ("tfi", "tgv"):
            return reconstruct(b.total, part, VOXEL_SIZE, B0_DIR, method=method)[0]
        return invert(b.local, part, VOXEL_SIZE, B0_DIR, method=method)

    one, two = run(b.mask), two_pass(run, b.mask, b.quality)
    assert factor * error(two, b) < error(one, b)
    assert error(two, b) < 0.6
    assert np.median(two[b.ball > 0.9]) - np.median(two[b.away]) == pytest.approx(2, rel=0.2)
    assert (two[b.mask] != 0).all() and not two[~b.mask].any()


def test_reliable_mask_leaves_out_the_bleeding_and_little_else(bleeding):
    b = bleeding
    reliable = reliable_mask(b.quality, b.mask)
    assert not reliable[b.ball > 0.3].any()
    assert reliable[b.away].mean() > 0.99
    assert not reliable[~b.mask].any()


def test_one_inversion_is_enough_where_all_is_reliable():
    mask = np.ones((4, 4, 4), bool)
    parts = []

    def run(part):
        parts.append(part)
        return np.full(mask.shape, 0.5)

    assert (two_pass(run, mask, np.ones(mask.shape)) == 0.5).all()
    assert len(parts) == 1 and parts[0].all()


def test_second_pass_is_shifted_to_the_first_and_fills_holes_and_eroded_rims():
    first, second = np.full((5, 5, 5), 0.1), np.full((5, 5, 5), 0.4)
    reliable = np.ones((5, 5, 5), bool)
    reliable[2, 2, 2] = False
    second[2, 2, 2] = 1.4
    first[0] = 0
    second[:, 0] = 0
    chi = combine_passes(first, second, reliable)
    assert chi[2, 2, 2] == pytest.approx(1.1)
    assert chi[0, 1:] == pytest.approx(0.1)
    assert chi[1, 0, 0] == pytest.approx(0.1)
    assert not chi[0, 0].any()


def test_bad_input_is_refused():
    mask = np.ones((4, 4, 4), bool)
    with pytest.raises(ValueError, match="0 % of the mask"):
        reliable_mask(np.zeros(mask.shape), mask)
    with pytest.raises(ValueError, match="mask has shape"):
        two_pass(lambda part: part, mask, np.ones((3, 3, 3)))
    with pytest.raises(ValueError, match="no χ"):
        combine_passes(np.zeros(mask.shape), np.ones(mask.shape), mask)
