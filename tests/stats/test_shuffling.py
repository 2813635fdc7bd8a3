from itertools import permutations

import numpy as np
import pytest

from qsmprep.stats.shuffling import shuffles


def distinct(orders, design=None):
    values = orders if design is None else np.asarray(design)[orders]
    return {tuple(row) for row in values.tolist()}


def test_all_permutations_are_listed_when_few():
    found = shuffles(4, 24)
    assert found.exhaustive and found.possible == len(found) == 24
    assert distinct(found.orders) == set(permutations(range(4)))
    assert found.orders[0].tolist() == [0, 1, 2, 3] and found.signs is None


def test_equal_rows_of_the_design_are_not_swapped_with_each_other():
    group = np.array([0, 1, 0, 1, 1, 0])
    found = shuffles(6, 1000, design=group[:, None])
    assert found.exhaustive and found.possible == len(found) == 20  # 6! / (3! 3!)
    assert found.orders[0].tolist() == list(range(6))
    given = {tuple(sorted(order[group == 1].tolist())) for order in found.orders}
    assert len(given) == 20, "each choice of three for the second group occurs once"
    assert all(sorted(order) == list(range(6)) for order in found.orders.tolist())


def test_random_permutations_are_reproducible_and_uniform():
    found = shuffles(5, 100, seed=3)
    assert not found.exhaustive and len(found) == 100 and found.possible == 120
    assert np.array_equal(found.orders, shuffles(5, 100, seed=3).orders)
    assert not np.array_equal(found.orders, shuffles(5, 100, seed=4).orders)
    many = shuffles(20, 20_000, seed=1).orders[1:]
    hits = np.array([np.bincount(many[:, i], minlength=20) for i in range(20)])
    assert np.all(np.abs(hits - 1000) < 5 * np.sqrt(950))


@pytest.mark.parametrize("count", [36, 20])
def test_within_blocks(count):
    blocks = np.array(["a", "b", "a", "b", "a", "b"])
    found = shuffles(6, count, blocks=blocks)
    assert found.possible == 36 and found.exhaustive == (count == 36) and len(found) == count
    assert np.all(blocks[found.orders] == blocks)


@pytest.mark.parametrize("count", [12, 10])
def test_whole_blocks_move_with_their_order_and_only_to_places_of_their_size(count):
    blocks = np.array([0, 0, 1, 1, 2, 2, 3, 4, 1])  # sizes 2, 3, 2, 1, 1
    found = shuffles(9, count, blocks=blocks, whole=True)
    assert found.possible == 2 * 2 and found.exhaustive and len(found) == 4
    assert found.orders[0].tolist() == list(range(9))
    assert (4, 5, 2, 3, 0, 1, 6, 7, 8) in distinct(found.orders)
    assert np.all(found.orders[:, [2, 3, 8]] == [2, 3, 8])
    more = shuffles(12, count, blocks=np.repeat(range(6), 2), whole=True).orders
    assert np.all(more[:, 1::2] == more[:, ::2] + 1) and len(more) == count


def test_sign_flips():
    found = shuffles(3, 8, permute=False, flip=True)
    assert found.exhaustive and np.all(found.orders == [0, 1, 2])
    assert len(distinct(found.signs)) == 8 and found.signs[0].tolist() == [1, 1, 1]
    both = shuffles(3, 48, flip=True)
    assert both.possible == 48 and len(distinct(np.hstack([both.orders, both.signs]))) == 48
    drawn = shuffles(40, 2000, permute=False, flip=True)
    assert np.all(np.abs(drawn.signs.astype(float)[1:].mean(0)) < 0.12) and np.all(drawn.signs[0] == 1)


def test_whole_blocks_flip_as_one():
    found = shuffles(6, 8, permute=False, flip=True, blocks=[0, 0, 1, 1, 2, 2], whole=True)
    assert found.possible == 8 and np.all(found.signs[:, ::2] == found.signs[:, 1::2])


def test_bad_input():
    with pytest.raises(ValueError, match="expected 4 rows"):
        shuffles(4, 10, blocks=[1, 2, 3])
    with pytest.raises(ValueError, match="sign flips"):
        shuffles(4, 10, permute=False)
