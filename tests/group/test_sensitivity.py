import json

import pandas as pd
import pytest

from qsmprep.group.collect import find_runs, long_table, wide_table
from qsmprep.group.design import Design
from qsmprep.group.people import Ledger
from qsmprep.group.sensitivity import agreement, second_reference


def fill(dataset, references=None):
    for number, occipital in ((1, 0.004), (2, 0.006)):
        who = f"sub-0{number}"
        dataset.stats(who, [("lateral occipital", "L", occipital), ("lateral occipital", "R", occipital)], seg="DK")
        if references:
            offsets = {name: {"Offset": value * number} for name, value in references.items()}
            sidecar = {"ReferenceRegion": "brain", "ReferenceOffset": 0.001 * number, "References": offsets}
            (dataset.folder(who) / f"{who}_Chimap.json").write_text(json.dumps(sidecar))
    runs = find_runs(dataset.out)
    return wide_table(runs, long_table(runs)), runs


def second(dataset, wanted, references=None):
    ledger = Ledger()
    return second_reference(*fill(dataset, references), Design(sensitivity=wanted), ledger), ledger


def test_sidecars_give_the_difference_of_both_offsets_in_ppb(dataset):
    found, _ = second(dataset, "auto", {"brain": 0.001, "csf": 0.012, "wm": -0.02})
    assert found is not None and found[0] == "csf"
    assert found[1].tolist() == pytest.approx([11.0, 22.0])


def test_the_reference_in_use_is_no_second_one(dataset):
    found, ledger = second(dataset, "brain", {"brain": 0.001})
    assert found is None and "no second reference" in ledger.notes[0]


def test_without_sidecars_a_region_serves(dataset):
    found, _ = second(dataset, "auto")
    assert found is not None and found[0] == "DK.lateral occipital"
    assert found[1].tolist() == pytest.approx([4.0, 6.0])


def test_a_region_that_is_not_there_is_told(dataset):
    found, ledger = second(dataset, "DK.nowhere")
    assert found is None and "DK.nowhere" in ledger.notes[0]


def test_agreement_tells_verdicts_and_signs_that_change():
    keys = {"measure": "chi_median", "test": "t", "contrast": "a - b"}
    rows = [("same", 5, 0.01, 4, 0.02), ("verdict", 5, 0.01, 4, 0.2)]
    rows += [("sign", 5, 0.01, -4, 0.01), ("none", 5, 0.01, 0, None)]

    def tests(estimate, p):
        return pd.DataFrame(
            [
                {**keys, "region": r[0], "estimate": r[estimate], "effect": 1, "p": r[p], "p_corrected": r[p]}
                for r in rows
            ]
        )

    found = agreement(tests(1, 2), tests(3, 4), 0.05).set_index("region")["agrees"].to_dict()
    assert found == {"same": "yes", "verdict": "no", "sign": "no", "none": "n/a"}
