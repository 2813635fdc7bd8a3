import numpy as np
import pandas as pd
import pytest

from qsmprep import data
from qsmprep.errors import UsageError
from qsmprep.regions import add_neighbours, check_neighbours, parse_neighbours, read_labels, read_table
from qsmprep.regions.neighbours import PACKAGED


def table(*rows):
    return pd.DataFrame(rows, columns=["name", "hemisphere", "chi_mean"])


TABLES = {
    "parts": table(("precentral hand area", "L", 0.03), ("precentral hand area", "R", 0.01)),
    "DK": table(
        ("precentral", "L", 0.02), ("precentral", "R", 0.012), ("postcentral", "L", 0.005), ("postcentral", "R", -0.01),
        ("brainstem", "n/a", -0.02), ("putamen", "L", 0.06),
    ),
    "deepgrey": table(("putamen", "L", 0.05), ("GPe", "L", 0.12), ("GPe", "R", np.nan)),
}  # fmt: skip


def test_motor_cortex_is_compared_with_sensory_cortex_of_its_side():
    found = add_neighbours(TABLES, "DK")
    assert found["neighbour"].tolist()[:2] == ["postcentral", "postcentral"]
    assert found["contrast_neighbour"].tolist()[:2] == pytest.approx([0.015, 0.022])
    assert found["neighbour"][2:].isna().all() and found["contrast_neighbour"][2:].isna().all()


def test_a_neighbour_may_be_in_another_segmentation_and_says_so():
    found = add_neighbours(TABLES, "parts")
    assert found["neighbour"].tolist() == ["DK.postcentral"] * 2
    assert found["contrast_neighbour"].tolist() == pytest.approx([0.025, 0.02])


def test_the_own_segmentation_goes_first_and_a_dot_ties_a_name_to_one():
    pairs = ["GPe=putamen"]
    assert add_neighbours(TABLES, "deepgrey", pairs)["contrast_neighbour"][1] == pytest.approx(0.07)
    found = add_neighbours(TABLES, "deepgrey", ["GPe=DK.putamen"])
    assert found["contrast_neighbour"][1] == pytest.approx(0.06) and found["neighbour"][1] == "DK.putamen"
    assert pd.isna(found["neighbour"][2]), "there is none on the right"
    assert add_neighbours(TABLES, "DK", ["deepgrey.putamen=brainstem"])["neighbour"].isna().all()
    assert add_neighbours(TABLES, "deepgrey", ["deepgrey.putamen=brainstem"])["neighbour"][0] == "DK.brainstem"


def test_what_the_user_says_of_a_region_wins():
    found = add_neighbours(TABLES, "DK", [*PACKAGED, "precentral=brainstem"])
    assert found["neighbour"][0] == "brainstem", "one without a side serves both"
    assert found["contrast_neighbour"].tolist()[:2] == pytest.approx([0.04, 0.032])


@pytest.mark.parametrize(
    ("text", "words"), [("SNr", "expected REGION=OTHER"), ("=a", "expected"), ("a=b=c", "expected"), ("a=a", "its own")]
)
def test_what_is_no_pair_is_refused(text, words):
    with pytest.raises(UsageError, match=words) as caught:
        parse_neighbours([text])
    assert f"--neighbour {text}" in str(caught.value)


def test_packaged_neighbours_exist_and_a_misspelt_name_is_corrected():
    names = {name: read_labels(data.atlas(name).labels)["name"] for name in data.ATLASES}
    check_neighbours([*PACKAGED, "deepgrey.SNr=red nucleus"], names)
    with pytest.raises(UsageError, match=r"'red nucelus' in deepgrey, DK, parts\. Did you mean 'red nucleus'"):
        check_neighbours(["SNr=red nucelus"], names)


def test_a_written_table_is_read_as_it_was(tmp_path):
    from qsmprep.bids.derivatives import write_table

    written = add_neighbours(TABLES, "DK")
    again = read_table(write_table(tmp_path / "t.tsv", written))
    assert again["contrast_neighbour"].tolist() == pytest.approx(written["contrast_neighbour"].tolist(), nan_ok=True)
    assert again["hemisphere"].tolist()[4] == "n/a" and again["neighbour"].tolist()[2:4] == ["n/a", "n/a"]
