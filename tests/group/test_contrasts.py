import pandas as pd

from qsmprep.group.contrasts import contrasts_of
from qsmprep.group.design import Design
from qsmprep.group.people import Ledger
from qsmprep.group.sample import Sample

PEOPLE = pd.DataFrame(
    {"dx": ["HC", "PD", "PD", "PD", "MSA", None], "form": [None, "TD", "AR", None, None, None]},
    index=[f"sub-{i}" for i in range(6)],
)
SAMPLE = Sample(PEOPLE, {}, {}, pd.Series(True, index=PEOPLE.index), ("HC", "PD", "MSA"))


def found(**design):
    ledger = Ledger()
    return contrasts_of(SAMPLE, Design(groups="dx", **design), ledger), ledger


def test_without_contrasts_all_pairs_with_the_reference_subtracted():
    contrasts, _ = found()
    assert [contrast.name for contrast in contrasts] == ["PD - HC", "MSA - HC", "MSA - PD"]
    assert contrasts[0].sides.dropna().to_dict() == {"sub-0": "HC", "sub-1": "PD", "sub-2": "PD", "sub-3": "PD"}


def test_subtypes_are_groups_and_sides_can_be_joined():
    contrasts, _ = found(subtype="form", contrasts=("TD - HC", "TD + AR - HC", "PD - MSA"))
    assert contrasts[0].sides.dropna().to_dict() == {"sub-0": "HC", "sub-1": "TD"}
    assert contrasts[1].sides.dropna().to_dict() == {"sub-0": "HC", "sub-1": "TD + AR", "sub-2": "TD + AR"}
    assert contrasts[2].sides.notna().sum() == 4


def test_a_contrast_of_unknown_groups_is_told_and_the_others_stay():
    contrasts, ledger = found(contrasts=("AD - HC", "PD - HC", "PD vs control"))
    assert [contrast.name for contrast in contrasts] == ["PD - HC"]
    assert "no group AD; found HC, PD, MSA" in ledger.notes[0]
