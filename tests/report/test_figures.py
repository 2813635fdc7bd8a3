import numpy as np
import pytest
from PIL import Image

from qsmprep.report import figures
from qsmprep.report.mosaic import GROUND

BLUE, YELLOW = (0x4D, 0xA3, 0xFF), (0xFF, 0xB0, 0x00)


def ball(shape, centre, radius, zooms=(1, 1, 1)):
    grid = np.indices(shape)
    return sum(((grid[i] - centre[i]) * zooms[i]) ** 2 for i in range(3)) < radius**2


def picture(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def columns_of(path, colour, tolerance=60):
    """Where along x a colour stands in the first tile of the first row."""
    image = picture(path)
    return np.argwhere((abs(image - np.array(colour)) < tolerance).all(axis=2))


@pytest.mark.parametrize("flip", [1, -1])
def test_what_lies_at_the_persons_left_is_drawn_beside_the_letter_l(tmp_path, flip):
    shape = (40, 44, 42)
    affine = np.diag([flip * 2.0, 2.0, 2.0, 1.0])
    brain = ball(shape, (20, 22, 21), 16)
    data = np.zeros(shape)
    left_voxel = 10 if flip == 1 else 29  # x of the scanner grows to the person's right
    data[ball(shape, (left_voxel, 22, 21), 5)] = 1
    out = figures.plot_map(data, affine, brain, tmp_path / "map.png", vmin=0, vmax=1)
    image = picture(out)
    axial = image[34 : image.shape[0] // 2 - 20, :1150]
    bright = np.argwhere((axial > 240).all(axis=2) & (np.indices(axial.shape[:2])[0] > 40))
    mid_tile = axial.shape[1] / 7
    within = bright[:, 1] % mid_tile / mid_tile
    assert len(bright) > 50
    assert np.median(within) < 0.5


@pytest.mark.parametrize(("shape", "zooms"), [((60, 60, 60), (1, 1, 1)), ((60, 60, 20), (1, 1, 3))])
def test_a_ball_is_drawn_round_whatever_the_voxels(tmp_path, shape, zooms):
    from scipy import ndimage

    brain = ball(shape, [(n - 1) / 2 for n in shape], 24, zooms)
    out = figures.plot_map(brain * 1.0, np.diag([*zooms, 1.0]), brain, tmp_path / "map.png", vmin=0, vmax=1)
    image = picture(out)
    lower = (image[image.shape[0] // 2 + 20 : -10, :1150] > 240).all(axis=2)
    labels, _ = ndimage.label(lower)
    largest = ndimage.find_objects(labels)[np.argmax(np.bincount(labels.ravel())[1:])]
    height, width = (where.stop - where.start for where in largest)
    assert abs(height - width) < 0.12 * width  # a slice of 3 mm cannot end nearer to the surface


def test_nothing_is_shown_beyond_the_margin_around_the_brain(tmp_path):
    shape = (50, 50, 50)
    brain = ball(shape, (25, 25, 25), 12)
    face = ~ball(shape, (25, 25, 25), 12 + figures.MARGIN_MM + 1)
    magnitude = np.where(face, 1000.0, 0.0) + 10 * brain
    out = figures.plot_mask(magnitude, np.eye(4), brain, brain, tmp_path / "mask.png")
    without = figures.plot_mask(10.0 * brain, np.eye(4), brain, brain, tmp_path / "without.png")
    np.testing.assert_array_equal(picture(out), picture(without))


def test_outline_of_each_mask_has_its_colour(tmp_path):
    shape = (50, 50, 50)
    brain, inner = ball(shape, (25, 25, 25), 18), ball(shape, (25, 25, 25), 12)
    out = figures.plot_mask(100.0 * brain, np.eye(4), brain, inner, tmp_path / "mask.png")
    drawn_blue, drawn_yellow = columns_of(out, BLUE), columns_of(out, YELLOW)
    assert len(drawn_blue) > len(drawn_yellow) > 200


def test_map_is_drawn_only_where_it_is_valid(tmp_path):
    shape = (40, 40, 40)
    brain = ball(shape, (20, 20, 20), 15)
    nowhere = figures.plot_map(brain * 1.0, np.eye(4), brain, tmp_path / "a.png", vmin=0, vmax=1, shown=brain & False)
    ground = [int(GROUND[i : i + 2], 16) for i in (1, 3, 5)]
    tiles = picture(nowhere)[60:-40, 40:1000]
    letters = (abs(tiles - np.array(ground)) > 8).any(axis=2).mean()
    assert letters < 0.02


def test_same_mask_gives_same_slices_so_that_steps_line_up(tmp_path, head, affine):
    first = figures.plot_map(head["field"], affine, head["brain"], tmp_path / "a.png", vmin=9, vmax=10)
    second = figures.plot_map(head["chi"], affine, head["brain"], tmp_path / "b.png", vmin=9, vmax=10)
    np.testing.assert_array_equal(picture(first)[:, :1100], picture(second)[:, :1100])


def test_before_after_and_target_have_one_size_so_that_they_can_blink(tmp_path, head, affine):
    moved = np.roll(head["magnitude"], 4, 0)
    paths = [tmp_path / f"{name}.png" for name in ("before", "after", "target")]
    figures.plot_registration(
        head["magnitude"], moved, head["magnitude"], affine, *paths[:2], mask=head["brain"], out_target=paths[2]
    )
    images = [picture(path) for path in paths]
    assert images[0].shape == images[1].shape == images[2].shape
    below_title = slice(40, None)
    assert np.abs(images[1][below_title] - images[2][below_title]).mean() < 0.5
    assert np.abs(images[0][below_title] - images[2][below_title]).mean() > 2


def test_label_figure_names_regions_once_for_both_sides(head):
    import pandas as pd

    names = figures._label_names([1, 101, 2], pd.DataFrame({"index": [1, 101], "name": ["putamen", "putamen"]}))
    assert names == {1: "putamen", 101: "putamen", 2: "label 2"}
    assert set(figures._label_colors(names)) == {"putamen", "label 2"}


def test_figures_are_small_and_leave_no_temporary_file(derivatives):
    for path in derivatives.glob("sub-*/figures/*"):
        assert path.suffix == ".webp" and path.stat().st_size < 400_000


@pytest.mark.parametrize("echoes", [1, 2])
def test_phase_is_drawn_for_one_echo_and_for_two(tmp_path, head, echoes, affine):
    last = head["field"] if echoes == 2 else None
    out = figures.plot_phase(head["field"], last, affine, head["brain"], tmp_path / "p.png", te=(0.004, 0.02)[:echoes])
    height = picture(out).shape[0]
    assert height < 330 if echoes == 1 else height > 330


def test_unknown_file_type_and_mismatched_mask_are_refused(tmp_path):
    brain = ball((20, 20, 20), (10, 10, 10), 8)
    with pytest.raises(ValueError, match=r"\.webp or \.png"):
        figures.plot_map(brain * 1.0, np.eye(4), brain, tmp_path / "a.tiff")
    with pytest.raises(ValueError, match="cannot be drawn together"):
        figures.plot_map(np.zeros((20, 20, 21)), np.eye(4), brain, tmp_path / "a.png")
    with pytest.raises(ValueError, match="nothing that may be shown"):
        figures.plot_map(np.zeros((20, 20, 20)), np.eye(4), brain & False, tmp_path / "a.png")
    assert not list(tmp_path.iterdir())
