import numpy as np
import pandas as pd

from qsmprep.group import run_group
from qsmprep.group.collect import find_runs
from qsmprep.group.people import Ledger, numbers, read_people


def write(dataset, name, text):
    path = dataset.bids / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def people_of(dataset, *names):
    for name in names:
        dataset.stats(name, [("putamen", "L", 0.05)])
    return read_people(dataset.bids, find_runs(dataset.out))


def rows(people, effect):
    return {(row["participant_id"], row["where"]) for row in people.ledger.rows if row["effect"] == effect}


def test_decimal_commas_are_numbers_and_told(dataset):
    dataset.participants("participant_id\tage\tnote\nsub-01\t71,5\ta,b\nsub-02\t68\tc\nsub-03\tn/a\tn/a\n")
    people = people_of(dataset, "sub-01", "sub-02", "sub-03")
    np.testing.assert_array_equal(people.columns["age"], [71.5, 68.0, np.nan])
    assert people.columns["note"].tolist() == ["a,b", "c", None]
    assert people.ledger.notes == ["Column age: 1 value with a decimal comma (71,5) read as numbers."]


def test_ids_that_do_not_match_are_told_both_ways(dataset):
    dataset.participants("participant_id\tage\n01\t70\nsub-07\t60\nsub-08\t61\n")
    people = people_of(dataset, "sub-01", "sub-02")
    assert rows(people, "not matched") == {(who, "participants.tsv") for who in ("sub-02", "sub-07", "sub-08")}
    assert "2 participants without results: see exclusions.tsv." in people.ledger.notes
    assert "1 participant with results, but not in participants.tsv: see exclusions.tsv." in people.ledger.notes
    asked = read_people(dataset.bids, find_runs(dataset.out, ["01"]), ["01"])
    assert not asked.ledger.rows


def test_value_of_the_session_goes_before_that_of_the_participant(dataset):
    dataset.participants("participant_id\tage\nsub-01\t70\nsub-02\t60\n")
    write(dataset, "sub-01/sub-01_sessions.tsv", "session_id\tage\tMMSE\nses-1\t70.5\t28\nses-2\t72\t26\n")
    people = people_of(dataset, "sub-01_ses-1", "sub-01_ses-2", "sub-02_ses-1")
    assert people.columns["age"].to_dict() == {"sub-01_ses-1": 70.5, "sub-01_ses-2": 72.0, "sub-02_ses-1": 60.0}
    assert people.columns["MMSE"].tolist()[:2] == [28.0, 26.0]
    assert people.origins["age"]["Source"] == "sessions.tsv, else participants.tsv"


def test_a_session_that_stands_twice_with_two_values_is_not_used_and_told(dataset):
    text = "session_id\tMMSE\nses-1\t28\nses-1\t20\nses-2\t26\nses-2\t26\n"
    write(dataset, "sub-01/sub-01_sessions.tsv", text)
    people = people_of(dataset, "sub-01_ses-1", "sub-01_ses-2")
    np.testing.assert_array_equal(people.columns["MMSE"], [np.nan, 26.0])
    assert rows(people, "value missing") == {("sub-01", "sub-01_sessions.tsv")}
    assert "2 rows contradict" in people.ledger.notes[0]


def test_phenotype_files_join_by_person_and_visit_with_their_meaning(dataset):
    write(dataset, "phenotype/moca.tsv", "participant_id\ttotal\nsub-01\t26\nsub-02\t22\n")
    write(dataset, "phenotype/moca.json", '{"total": {"Description": "MoCA", "Units": "points"}}')
    write(
        dataset,
        "phenotype/updrs.tsv",
        "participant_id\tsession_id\ttotal\nsub-01\tses-1\t30\nsub-01\tses-2\t35\nsub-02\tses-1\t10\n",
    )
    people = people_of(dataset, "sub-01_ses-1", "sub-01_ses-2", "sub-02_ses-2")
    assert people.columns["total"].tolist() == [26.0, 26.0, 22.0]
    np.testing.assert_array_equal(people.columns["updrs.total"], [30.0, 35.0, np.nan])
    assert people.origins["total"]["Units"] == "points"
    assert rows(people, "not matched") == {("sub-02", "phenotype/updrs.tsv")}


def test_scans_give_each_run_its_own_row(dataset):
    text = "filename\tacq_time\tcoil_heat\n"
    for echo in (1, 2):
        text += f"anat/sub-01_run-1_echo-{echo}_part-mag_MEGRE.nii.gz\t2020-01-01T10:0{echo}:00\t30\n"
    text += "anat/sub-01_run-2_echo-1_part-mag_MEGRE.nii.gz\t2020-01-01T11:00:00\t35\n"
    write(dataset, "sub-01/sub-01_scans.tsv", text)
    people = people_of(dataset, "sub-01_run-1", "sub-01_run-2")
    assert people.columns["coil_heat"].tolist() == [30.0, 35.0]
    assert people.columns["acq_time"].tolist() == ["2020-01-01T10:01:00", "2020-01-01T11:00:00"]


def test_text_in_a_column_of_numbers_becomes_missing_and_is_told():
    ledger = Ledger()
    found = numbers(pd.Series({"sub-01_ses-1": "30", "sub-02_ses-1": "refused", "sub-03": None}), ledger, "MMSE")
    np.testing.assert_array_equal(found, [30.0, np.nan, np.nan])
    assert [(row["participant_id"], row["where"]) for row in ledger.rows] == [("sub-02", "MMSE")]
    assert "'refused'" in ledger.rows[0]["reason"]


def test_group_level_writes_the_ledger(dataset):
    dataset.stats("sub-01", [("putamen", "L", 0.05)])
    dataset.participants("participant_id\tage\nsub-01\t70\nsub-09\t70\n")
    run_group(dataset.settings())
    table = pd.read_csv(dataset.out / "group" / "exclusions.tsv", sep="\t", keep_default_na=False)
    assert table[["participant_id", "effect"]].to_numpy().tolist() == [["sub-09", "not matched"]]
