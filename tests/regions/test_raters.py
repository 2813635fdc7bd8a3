import numpy as np
import pandas as pd
import pytest

from qsmprep.regions import rater_definitions, rater_table, region_table


def drawn(rows, *boxes):
    labels = np.zeros((6, 4, 2), np.int32)
    for (index, *_), box in zip(rows, boxes, strict=True):
        labels[box] = index
    lookup = pd.DataFrame(rows, columns=["index", "name", "hemisphere"])
    chi = np.broadcast_to(np.arange(6).reshape(6, 1, 1) / 100, labels.shape)
    return labels, region_table(labels, lookup, np.ones(labels.shape, bool), (1, 1, 2), {"chi": chi})


def test_agreement_of_three_raters_by_hand():
    found = {
        "AB": drawn([(1, "SN", "L"), (101, "SN", "R")], np.s_[:2], np.s_[4:]),
        "CD": drawn([(1, "SN", "L")], np.s_[1:3]),
        "EF": drawn([(1, "SN", "L"), (2, "RN", "L")], np.s_[4:5], np.s_[0:1]),
    }
    table = rater_table({k: v[0] for k, v in found.items()}, {k: v[1] for k, v in found.items()})
    assert list(table.columns) == list(rater_definitions(found))
    assert table["index"].tolist() == [1, 2, 101] and table["n_raters"].tolist() == [3, 1, 1]
    row = table.iloc[0]
    assert row["volume_mm3_AB"] == 2 * 4 * 2 * 2 and row["volume_mm3_EF"] == 16
    assert row["dice_AB_CD"] == pytest.approx(0.5) and row["dice_AB_EF"] == 0
    assert row["chi_difference_ppb_AB_CD"] == pytest.approx(-10)
    assert row["chi_difference_ppb_CD_EF"] == pytest.approx(15 - 40)
    assert table.loc[1:, [c for c in table if c.startswith(("dice", "chi_diff"))]].isna().all(axis=None)
    assert np.isnan(table.loc[2, "volume_mm3_CD"])


def test_images_of_different_shape_are_refused():
    labels, table = drawn([(1, "SN", "L")], np.s_[:2])
    with pytest.raises(ValueError, match="one shape"):
        rater_table({"a": labels, "b": labels[1:]}, {"a": table, "b": table})
