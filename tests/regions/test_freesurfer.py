"""FreeSurfer's tables of statistics, and its numbers beside ours."""

import pandas as pd
import pytest

from qsmprep import data
from qsmprep.errors import InputError
from qsmprep.regions import add_freesurfer, freesurfer_definitions, read_labels, read_stats

ASEG = """# Title Segmentation Statistics
# Measure BrainSeg, BrainSegVol, Brain Segmentation Volume, 1150000.0, mm^3
# ColHeaders  Index SegId NVoxels Volume_mm3 StructName normMean normStdDev normMin normMax normRange
  1   4     10563    10563.5  Left-Lateral-Ventricle             30.1    11.2    7.0    89.0    82.0
  2  10      7600     7650.0  Left-Thalamus{old}                 85.2     9.0   30.0   110.0    80.0
"""
APARC = """# ColHeaders StructName NumVert SurfArea GrayVol ThickAvg ThickStd MeanCurv GausCurv FoldInd CurvInd
precentral   7500   4900  13000  2.512  0.6  0.1  0.02  60  8.0
"""


@pytest.fixture
def write(tmp_path):
    def write(name, text):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


@pytest.mark.parametrize("old", ["", "-Proper", "-Proper*"])
def test_volumes_are_read_whatever_the_version_calls_the_thalamus(write, old):
    found = read_stats(write("aseg.stats", ASEG.format(old=old)))
    assert {name: volume for name, (volume, _) in found.items()} == {
        "Left-Lateral-Ventricle": 10563.5, "Left-Thalamus": 7650.0
    }  # fmt: skip


def test_numbers_come_to_their_regions(write):
    stats = [write("aseg.stats", ASEG.format(old="")), write("rh.aparc.stats", APARC)]
    lookup = data.freesurfer_labels("aparcaseg")
    table = add_freesurfer(read_labels(lookup), lookup, stats).set_index("index")
    assert table["fs_volume"].dropna().to_dict() == {4: 10563.5, 10: 7650.0, 2024: 13000.0}
    assert table["fs_thickness"].dropna().to_dict() == {2024: 2.512}
    assert set(freesurfer_definitions()) == {"fs_volume", "fs_thickness"}


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("aseg.stats", "", r"found the columns \[\], expected StructName, Volume_mm3"),
        ("lh.aparc.stats", APARC.replace("ThickAvg", "Other"), "expected ThickAvg"),
        (
            "lh.aparc.stats",
            APARC.replace("13000", "many"),
            "found the row 'precentral .*expected 10 columns",
        ),
        ("lh.aparc.stats", APARC.replace("  8.0", ""), "expected 10 columns of numbers"),
    ],
)
def test_a_damaged_table_is_named(write, name, text, words):
    with pytest.raises(InputError, match=f"{name}.*{words}"):
        read_stats(write(name, text))


@pytest.mark.parametrize("name", data.FREESURFER)
def test_the_lookup_has_freesurfers_numbers_with_both_sides(name):
    table = pd.read_csv(data.freesurfer_labels(name), sep="\t", keep_default_na=False)
    assert not table.duplicated(["name", "hemisphere"]).any() and table["index"].is_unique
    own = table.set_index("abbreviation")["index"]
    assert (own["Left-Putamen"], own["Right-Putamen"], own["Brain-Stem"], own["CC_Anterior"]) == (12, 51, 16, 255)
    for side, beginnings in (("L", ("Left-", "ctx-lh-")), ("R", ("Right-", "ctx-rh-"))):
        assert table["abbreviation"].str.startswith(beginnings).eq(table["hemisphere"] == side).all()
    left, right = (set(table.loc[table["hemisphere"] == side, "name"]) for side in "LR")
    assert left == right
    if name == "aparcaseg":
        assert (own["ctx-lh-bankssts"], own["ctx-lh-cuneus"], own["ctx-rh-insula"]) == (1001, 1005, 2035)


def test_an_unknown_segmentation_is_an_error():
    with pytest.raises(ValueError, match="aparcaseg, aseg, not 'a2009s'"):
        data.freesurfer_labels("a2009s")
