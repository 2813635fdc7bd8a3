import numpy as np
import pytest
from PIL import Image

from qsmprep.report.glass import plot_glass

AFFINE = np.diag([-2.0, 2.0, 2.0, 1.0])  # the first axis runs to the left


def coloured(path):
    """(row, column) of the pixels that are clearly red, and clearly blue."""
    picture = np.asarray(Image.open(path).convert("RGB")).astype(int)[:, :1180]  # without the colour bar
    red, blue = picture[..., 0] - picture[..., 2] > 60, picture[..., 2] - picture[..., 0] > 60
    return np.argwhere(red), np.argwhere(blue)


@pytest.fixture
def ball():
    grid = np.stack(np.meshgrid(*[np.arange(40)] * 3, indexing="ij")) - 19.5
    return (grid**2).sum(axis=0) < 18**2


def test_both_signs_are_seen_through_the_head_on_their_sides(ball, tmp_path):
    data = np.zeros(ball.shape)
    data[6:9, 18:22, 18:22] = 5  # first voxels: the person's right
    data[30:33, 18:22, 18:22] = -5
    out = plot_glass(data, AFFINE, ball, data != 0, tmp_path / "glass.png", limit=6, unit="t", title="A - B")
    red, blue = coloured(out)
    assert len(red) and len(blue)
    # in the views from the back and from above (the right of the picture is the person's right), red lies to the right
    views = red[:, 1] > 480
    assert views.any() and red[views, 1].max() > blue[:, 1].max()
    assert len(red[~views]) > 0, "seen from the side, too"


def test_what_is_not_shown_is_glass(ball, tmp_path):
    data = np.full(ball.shape, 5.0)
    red, blue = coloured(plot_glass(data, AFFINE, ball, np.zeros_like(ball), tmp_path / "glass.png", limit=6))
    assert not len(red) and not len(blue)


def test_shapes_that_differ_are_told(ball, tmp_path):
    with pytest.raises(ValueError, match="shapes differ"):
        plot_glass(np.zeros((3, 3, 3)), AFFINE, ball, ball, tmp_path / "glass.png", limit=6)
