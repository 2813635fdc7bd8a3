"""What the cohort of heads is held against: the truth of its own persons."""

import importlib.util
from pathlib import Path

import pandas as pd
import pytest

FILE = Path(__file__).parents[2] / "benchmarks/cohort.py"


@pytest.fixture(scope="module")
def cohort():
    spec = importlib.util.spec_from_file_location("cohort_benchmark", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_differences_are_told_beside_those_of_the_heads_and_those_put_in(cohort, tmp_path):
    bids, group = tmp_path / "bids", tmp_path / "group"
    people = {"sub-01": ("HC", 0.100), "sub-02": ("HC", 0.110), "sub-03": ("PD", 0.130), "sub-04": ("PD", 0.140)}
    for name, (_, chi) in people.items():
        anat = bids / "derivatives/phantom" / name / "anat"
        anat.mkdir(parents=True)
        rows = [(1, "SNr", "L", chi), (2, "caudate", "L", 0.05)]
        table = pd.DataFrame(rows, columns=["index", "name", "hemisphere", "chi"])
        table.to_csv(anat / f"{name}_seg-nuclei_dseg.tsv", sep="\t", index=False)
    pd.DataFrame([(n, g) for n, (g, _) in people.items()], columns=["participant_id", "group"]).to_csv(
        bids / "participants.tsv", sep="\t", index=False
    )
    group.mkdir()
    columns = ["region", "test", "estimate", "estimate_low", "estimate_high", "p_corrected"]
    found = [
        ("deepgrey.SNr.L", "Welch t", 28.0, 10.0, 46.0, 0.01),
        ("deepgrey.SNr.L", "Mann-Whitney", 27.0, 9.0, 45.0, 0.02),
        ("deepgrey.caudate.L", "Welch t", 1.0, -5.0, 7.0, 0.8),
        ("DK.precentral.L", "Welch t", 1.0, -5.0, 7.0, 0.8),
    ]
    pd.DataFrame(found, columns=columns).to_csv(group / "comparisons.tsv", sep="\t", index=False)
    table = cohort.compare(bids, group, "PD").set_index("region")
    assert list(table.index) == ["SNr", "caudate"]
    assert table.loc["SNr", "true"] == pytest.approx(30.0) and table.loc["SNr", "estimate"] == 28.0
    assert table.loc["SNr", "asked"] == pytest.approx(27.4) and table.loc["caudate", "asked"] == 0.0
    assert table.loc["caudate", "true"] == pytest.approx(0.0)
