import numpy as np
import pytest

from qsmprep.errors import InputError
from qsmprep.group.collect import find_runs, long_table, wide_table
from qsmprep.group.design import Design
from qsmprep.group.people import read_people
from qsmprep.group.sample import groups_of


def test_long_table_has_a_row_for_every_number_of_every_run(dataset):
    dataset.stats("sub-01_run-1", [("putamen", "L", 0.05), ("putamen", "R", 0.06)])
    dataset.stats("sub-02_run-1", [("putamen", "L", 0.07), ("putamen", "R", 0.08)])
    long = long_table(find_runs(dataset.out))
    assert list(long.columns) == [
        *("participant_id", "session", "run", "seg", "region", "hemisphere", "statistic", "value")
    ]
    assert len(long) == 2 * 2 * 6
    row = long[(long.participant_id == "sub-02") & (long.hemisphere == "R") & (long.statistic == "chi_mean")]
    assert row["value"].tolist() == [0.08]
    assert set(long["session"]) == {"n/a"}


def test_entities_beyond_session_and_run_keep_runs_apart(dataset):
    dataset.stats("sub-01_ses-1_acq-fine_run-1", [("putamen", "L", 0.05)])
    dataset.stats("sub-01_ses-1_acq-coarse_run-1", [("putamen", "L", 0.09)])
    runs = find_runs(dataset.out)
    long = long_table(runs)
    assert list(long.columns)[:4] == ["participant_id", "session", "acquisition", "run"]
    wide = wide_table(runs, long, None).set_index("acquisition")
    assert wide.loc["fine", "deepgrey.putamen.L.chi_mean"] == 0.05
    assert wide.loc["coarse", "deepgrey.putamen.L.chi_mean"] == 0.09


def test_a_region_that_one_run_lacks_is_missing_there_and_nowhere_else(dataset):
    dataset.stats("sub-01", [("putamen", "L", 0.05), ("dentate", "L", 0.08)])
    dataset.stats("sub-02", [("putamen", "L", None)])
    runs = find_runs(dataset.out)
    wide = wide_table(runs, long_table(runs), None).set_index("participant_id")
    assert wide.loc["sub-01", "deepgrey.dentate.L.chi_mean"] == 0.08
    assert np.isnan(wide.loc["sub-02", "deepgrey.dentate.L.chi_mean"])
    assert np.isnan(wide.loc["sub-02", "deepgrey.putamen.L.chi_mean"])
    assert wide.loc["sub-02", "deepgrey.putamen.L.r2star_mean"] == 30


def test_a_real_zero_is_a_number(dataset):
    dataset.stats("sub-01", [("putamen", "L", 0.0)])
    runs = find_runs(dataset.out)
    assert wide_table(runs, long_table(runs), None)["deepgrey.putamen.L.chi_mean"].tolist() == [0.0]


def test_a_run_without_regional_numbers_keeps_its_row_and_verdict(dataset):
    dataset.stats("sub-01", [("putamen", "L", 0.05)])
    dataset.quality("sub-01")
    dataset.quality("sub-02", "FAIL", ["the brain is cut"])
    runs = find_runs(dataset.out)
    wide = wide_table(runs, long_table(runs), None).set_index("participant_id")
    assert wide["qc_verdict"].to_dict() == {"sub-01": "PASS", "sub-02": "FAIL"}
    assert np.isnan(wide.loc["sub-02", "deepgrey.putamen.L.chi_mean"])
    assert runs[1].reasons == ("the brain is cut",)


def test_participants_columns_join_and_a_taken_name_is_kept_apart(dataset):
    dataset.stats("sub-01", [("putamen", "L", 0.05)])
    dataset.stats("sub-02", [("putamen", "L", 0.06)])
    dataset.participants("participant_id\tage\tgroup\tsession\n01\t70\tpatient\tx\nsub-02\tn/a\tcontrol\ty\n")
    runs = find_runs(dataset.out)
    wide = wide_table(runs, long_table(runs), read_people(dataset.bids, runs).columns).set_index("participant_id")
    assert wide.loc["sub-01", "age"] == 70 and np.isnan(wide.loc["sub-02", "age"])
    assert wide.loc["sub-01", "participants.session"] == "x" and wide.loc["sub-01", "session"] == "n/a"
    assert groups_of(wide.reset_index(), Design()).members == {"sub-01": "patient", "sub-02": "control"}


def test_person_absent_from_participants_has_no_group_and_still_a_row(dataset):
    dataset.stats("sub-01", [("putamen", "L", 0.05)])
    dataset.stats("sub-09", [("putamen", "L", 0.06)])
    dataset.participants("participant_id\tgroup\nsub-01\tpatient\nsub-55\tcontrol\n")
    runs = find_runs(dataset.out)
    wide = wide_table(runs, long_table(runs), read_people(dataset.bids, runs).columns)
    assert wide["participant_id"].tolist() == ["sub-01", "sub-09"]
    assert groups_of(wide, Design()).members == {"sub-01": "patient"}


def test_participant_and_session_filters_are_honoured(dataset):
    for name in ("sub-01_ses-1", "sub-01_ses-2", "sub-02_ses-1"):
        dataset.stats(name, [("putamen", "L", 0.05)])
    assert [run.name for run in find_runs(dataset.out, ["01"], ["2"])] == ["sub-01_ses-2"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("subject\tage\n01\t70\n", "expected one named participant_id"),
        ("participant_id\tage\nsub-01\t70\n01\t71\n", "sub-01 stands there more than once"),
    ],
)
def test_participants_file_that_cannot_be_joined_is_named(dataset, text, told):
    dataset.participants(text)
    with pytest.raises(InputError, match=told):
        read_people(dataset.bids, [])


def test_without_participants_file_there_is_none(dataset):
    assert not read_people(dataset.bids, []).has_participants


def test_table_with_one_region_twice_is_refused_by_name(dataset):
    dataset.stats("sub-01", [("putamen", "L", 0.05), ("putamen", "L", 0.06)])
    with pytest.raises(InputError, match=r"putamen \(L\) stands there twice"):
        long_table(find_runs(dataset.out))
