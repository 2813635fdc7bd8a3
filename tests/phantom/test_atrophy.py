import numpy as np
import pytest

from qsmprep.phantom.atrophy import widen_ventricles
from qsmprep.phantom.geometry import draw_shape, smallest_jacobian

AFFINE = np.eye(4)
AFFINE[:3, 3] = (-40, -50, -40)


@pytest.fixture(scope="module")
def ventricles():
    x, y, z = np.meshgrid(*(np.arange(n) + o for n, o in zip((80, 100, 80), AFFINE[:3, 3], strict=True)), indexing="ij")
    return ((np.abs(x) - 10) / 5) ** 2 + (y / 30) ** 2 + (z / 8) ** 2 < 1


def volume(shape, ventricles):
    """Of the ventricles in the head [mL], counted on a grid of 0.7 mm that the code does not use."""
    points = np.stack(np.meshgrid(*(np.arange(-a, a, 0.7) for a in (30, 45, 20)), indexing="ij"), -1).reshape(-1, 3)
    index = np.rint(shape.to_template(points) - AFFINE[:3, 3]).astype(int)
    inside = ((index >= 0) & (index < ventricles.shape)).all(axis=1)
    return ventricles[tuple(index[inside].T)].sum() * 0.7**3 / 1000


@pytest.mark.parametrize("strength", [0.0, 1.0])
@pytest.mark.parametrize("factor", [1.3, 1.6])
def test_the_ventricles_have_the_volume_asked_for_and_nothing_folds(ventricles, factor, strength):
    shape = draw_shape(np.random.default_rng(3), np.full(3, -110.0), np.full(3, 110.0), strength)
    wider = widen_ventricles(shape, ventricles, AFFINE, factor)
    assert volume(wider, ventricles) / volume(shape, ventricles) == pytest.approx(factor, rel=0.05)
    assert smallest_jacobian(wider.displacement, wider.spacing, wider.linear) > 0.1
    far = np.array([[70.0, 0, 0], [0, 90.0, 0], [0, 0, 80.0]])
    np.testing.assert_allclose(wider.to_template(far), shape.to_template(far), atol=0.05)


def test_a_factor_of_one_changes_nothing(ventricles):
    shape = draw_shape(np.random.default_rng(3), np.full(3, -110.0), np.full(3, 110.0))
    assert widen_ventricles(shape, ventricles, AFFINE, 1) is shape


def test_more_than_the_brain_can_give_is_refused(ventricles):
    shape = draw_shape(np.random.default_rng(3), np.full(3, -110.0), np.full(3, 110.0))
    with pytest.raises(ValueError, match="fold the brain"):
        widen_ventricles(shape, ventricles, AFFINE, 6)
