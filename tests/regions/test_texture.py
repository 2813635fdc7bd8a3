import numpy as np
import pandas as pd
import pytest
from skimage.feature import graycomatrix, graycoprops

from qsmprep.regions.texture import FEATURES, cooccurrence, haralick, offsets, texture_definitions, texture_table

# the image and two of the matrices of Haralick's paper (1973, figure 3); x is down, y to the right
IMAGE = np.array([[0, 0, 1, 1], [0, 0, 1, 1], [0, 2, 2, 2], [2, 2, 3, 3]])[..., None]
ALONG_Y = [[4, 2, 1, 0], [2, 4, 0, 0], [1, 0, 6, 1], [0, 0, 1, 2]]
ALONG_X = [[6, 0, 2, 0], [0, 4, 2, 0], [2, 2, 2, 2], [0, 0, 2, 0]]
EVERYWHERE = np.ones(IMAGE.shape, bool)


def test_matrices_of_haralicks_paper():
    assert cooccurrence(IMAGE, EVERYWHERE, [(0, 1, 0)]).tolist() == ALONG_Y
    assert cooccurrence(IMAGE, EVERYWHERE, [(1, 0, 0)]).tolist() == ALONG_X
    assert cooccurrence(IMAGE, EVERYWHERE, [(1, 0, 0), (0, 1, 0)]).tolist() == (np.add(ALONG_X, ALONG_Y)).tolist()


def test_features_by_hand_of_two_levels():
    """p = [[1/2, 1/8], [1/8, 1/4]]: levels 1 and 2 with shares 5/8 and 3/8."""
    found = haralick(np.array([[4.0, 1.0], [1.0, 2.0]]))
    variance = 15 / 64
    entropy = 1 / 2 + 2 * 3 / 8 + 1 / 2
    single = -(5 / 8 * np.log2(5 / 8) + 3 / 8 * np.log2(3 / 8))
    expected = {
        "energy": 1 / 4 + 2 / 64 + 1 / 16, "entropy": entropy, "max_probability": 1 / 2, "contrast": 1 / 4,
        "dissimilarity": 1 / 4, "homogeneity": 3 / 4 + 1 / 8, "correlation": (1 / 4 - 9 / 64) / variance,
        "autocorrelation": 1 / 2 + 4 / 8 + 1, "variance": variance, "sum_average": 2.75,
        "sum_variance": 1 / 2 * 0.75**2 + 1 / 4 * 0.25**2 + 1 / 4 * 1.25**2,
        "cluster_shade": -1 / 2 * 0.75**3 + 1 / 4 * 0.25**3 + 1 / 4 * 1.25**3,
        "cluster_prominence": 1 / 2 * 0.75**4 + 1 / 4 * 0.25**4 + 1 / 4 * 1.25**4,
        "sum_entropy": 1.5, "difference_variance": 3 / 16, "difference_entropy": 2 - 3 / 4 * np.log2(3),
        "imc1": (entropy - 2 * single) / single, "imc2": np.sqrt(1 - np.exp(-2 * (2 * single - entropy))),
    }  # fmt: skip
    assert set(expected) == set(FEATURES) == set(found)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-12), name


def test_two_dimensions_equal_scikit_image():
    image = np.random.default_rng(0).integers(0, 8, (20, 31)).astype(np.uint8)
    theirs = graycomatrix(image, [1], [0, np.pi / 4, np.pi / 2, 3 * np.pi / 4], 8, symmetric=True)
    ours = cooccurrence(image[..., None].astype(int), np.ones((20, 31, 1), bool), offsets(1, (1, 1, 1), dimensions=2))
    together = theirs.sum(axis=3, keepdims=True)
    assert np.array_equal(ours, together[:, :, 0, 0])
    normal = together / together.sum()
    for ours_name, name in (("contrast", "contrast"), ("dissimilarity", "dissimilarity"), ("energy", "ASM"),
                            ("homogeneity", "homogeneity"), ("correlation", "correlation")):  # fmt: skip
        assert haralick(ours)[ours_name] == pytest.approx(graycoprops(normal, name)[0, 0])


def test_volume_counts_thirteen_directions_and_respects_the_mask():
    levels = np.random.default_rng(1).integers(0, 4, (5, 6, 7))
    inside = np.random.default_rng(2).random(levels.shape) > 0.3
    shifts = offsets(1.0, (1, 1, 1))
    assert len(shifts) == 13
    slow = np.zeros((4, 4))
    for a in np.argwhere(inside):
        for b in np.argwhere(inside):
            if 0 < np.abs(a - b).max() <= 1:
                slow[levels[tuple(a)], levels[tuple(b)]] += 1
    assert np.array_equal(cooccurrence(levels, inside, shifts), slow)


def test_distance_is_in_mm():
    assert offsets(2.0, (1, 1, 2), dimensions=2) == [(0, 2, 0), (1, -1, 0), (2, 0, 0), (1, 1, 0)]
    assert (0, 0, 1) in offsets(2.0, (1, 1, 2))
    assert all(abs(s[2]) < 2 for s in offsets(2.0, (1, 1, 2)))
    with pytest.raises(ValueError, match="mm apart"):
        offsets(0.3, (1, 1, 1))


def test_table_tells_coarse_from_fine_and_does_not_depend_on_the_reference():
    rng = np.random.default_rng(0)
    fine = rng.normal(0, 0.02, (16, 16, 16))
    coarse = np.repeat(np.repeat(np.repeat(rng.normal(0, 0.02, (4, 4, 4)), 4, 0), 4, 1), 4, 2)
    labels = np.zeros((16, 16, 40), np.int32)
    labels[..., :16], labels[..., 20:36], labels[:2, :2, 38] = 1, 2, 3
    chi = np.zeros(labels.shape)
    chi[..., :16], chi[..., 20:36] = fine, coarse
    lookup = pd.DataFrame({"index": [1, 2, 3, 9], "name": list("abcd"), "hemisphere": "n/a"})
    table = texture_table(labels, lookup, np.ones(labels.shape, bool), (1, 1, 1), chi)
    assert list(table.columns) == list(texture_definitions(10, 1))
    assert abs(table["correlation_3d"][0]) < 0.1 < 0.5 < table["correlation_3d"][1]
    assert table["contrast_2d"][0] > 2 * table["contrast_2d"][1]
    assert table["pairs_2d"][0] == 16 * (2 * 16 * 15 + 2 * 15 * 15)
    assert table.loc[2:, "entropy_3d"].isna().all() and table["pairs_3d"].tolist()[2:] == [6, 0]
    moved = texture_table(labels, lookup, np.ones(labels.shape, bool), (1, 1, 1), chi + 0.05)
    pd.testing.assert_frame_equal(moved, table, rtol=1e-6)
