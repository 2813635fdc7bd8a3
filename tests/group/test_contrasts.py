import pandas as pd

from qsmprep.group.contrasts import contrasts_of, model_contrasts
from qsmprep.group.design import Design
from qsmprep.group.panels import read_panel
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
    assert "no group AD; found HC, PD, MSA" in ledger.notes[0] and ledger.notes[0].startswith("the options: ")


def test_a_contrast_that_the_panel_asks_for_is_told_as_the_panels():
    _, ledger = found(panel="PD", contrasts=read_panel("PD").contrasts)
    assert ledger.notes[0].startswith("panel PD: contrast 'TD - HC': there is no group TD")


def test_contrasts_of_the_model_are_no_sides_of_groups_and_leave_the_pairs():
    texts = (
        "PD - HC | apoe=e4",
        "interaction(PD - HC, e4 - e3)",
        "(PD + MSA)/2 - HC",
        "term(apoe)",
        "age[PD] - age[HC]",
    )
    contrasts, ledger = found(contrasts=texts)
    assert [contrast.name for contrast in contrasts] == ["PD - HC", "MSA - HC", "MSA - PD"] and not ledger.notes
    assert model_contrasts(SAMPLE, Design(groups="dx", contrasts=(*texts, "PD - HC"))) == list(texts)


def test_a_group_whose_name_holds_a_sign_is_still_a_group():
    people = PEOPLE.replace({"dx": {"MSA": "PD/MSA"}})
    sample = Sample(people, {}, {}, pd.Series(True, index=people.index), ("HC", "PD", "PD/MSA"))
    design = Design(groups="dx", contrasts=("PD/MSA - HC",))
    assert [contrast.name for contrast in contrasts_of(sample, design, Ledger())] == ["PD/MSA - HC"]
    assert model_contrasts(sample, design) == []
