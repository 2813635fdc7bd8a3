"""The tidy table of tests."""

import numpy as np
import pytest

from qsmprep.stats._frames import COLUMNS, frame, table


def test_a_row_has_every_column_and_what_was_not_given_is_empty():
    rows = frame([{"region": "putamen", "p": 0.5}, {"note": "constant"}])
    assert tuple(rows.columns) == COLUMNS
    assert rows.p[0] == 0.5 and np.isnan(rows.p[1])
    assert rows.note.tolist() == ["", "constant"] and rows.region.tolist() == ["putamen", ""]


def test_no_tests_are_an_empty_table_with_the_same_types():
    assert (frame([]).dtypes == frame([{"region": "a", "n": 3}]).dtypes).all()


def test_columns_are_one_value_or_one_per_region():
    rows = table(["a", "b"], test="Welch t", p=np.array([0.1, 0.2]))
    assert rows.test.tolist() == ["Welch t"] * 2 and rows.p.tolist() == [0.1, 0.2]


def test_a_misspelt_column_is_refused():
    with pytest.raises(KeyError, match="p_value"):
        frame([{"p_value": 0.5}])
