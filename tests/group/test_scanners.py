import json

import numpy as np
import pandas as pd

from qsmprep.group import run_group

REGIONS = {"deepgrey.putamen": (60, 15)}
DEVICES = [("Siemens", "Prisma", "1", 3), ("Siemens", "Prisma", "2", 3), ("GE", "Signa", "7", 1.5)]


def scanned(dataset, extra=""):
    """Eight persons a group; the participants take turns on three devices, one of which has 1.5 T."""
    people = dataset.cohort({"HC": 8, "PD": 8}, REGIONS, np.random.default_rng(0))
    rows = ["\t".join(["participant_id", "group"] + ["scanner"] * bool(extra))]
    for number, (who, group) in enumerate(people.items()):
        maker, model, serial, field = DEVICES[number % 3]
        meta = {"Manufacturer": maker, "ManufacturersModelName": model, "DeviceSerialNumber": serial}
        (dataset.folder(who) / f"{who}_Chimap.json").write_text(json.dumps(meta | {"MagneticFieldStrength": field}))
        rows.append("\t".join([who, group] + [extra] * bool(extra)))
    dataset.participants("\n".join(rows) + "\n")


def notes(dataset):
    return json.loads((dataset.out / "group/design.json").read_text())["notes"]


def wide(dataset):
    return pd.read_csv(dataset.out / "group/regions_wide.tsv", sep="\t")


def test_devices_are_columns_and_told_where_no_model_knows_of_them(dataset):
    scanned(dataset)
    run_group(dataset.settings())
    table = wide(dataset)
    assert table["scanner"].value_counts().to_dict() == {"Siemens Prisma 1": 6, "Siemens Prisma 2": 5, "GE Signa 7": 5}
    assert set(table.loc[table["scanner"] == "GE Signa 7", "field_strength"]) == {1.5}
    told = " ".join(notes(dataset))
    assert "3 scanners (Siemens Prisma 1: 6," in told and "2 field strengths (3 T: 11, 1.5 T: 5)" in told
    described = json.loads((dataset.out / "group/regions_wide.json").read_text())
    assert described["field_strength"]["Units"] == "T"


def test_a_model_with_the_device_is_not_warned_and_uses_it(dataset):
    scanned(dataset)
    run_group(dataset.settings(covariates=("scanner",)))
    assert not any("3 scanners" in note for note in notes(dataset))
    models = pd.read_csv(dataset.out / "group/models.tsv", sep="\t")
    assert "scanner" in set(models["contrast"])


def test_a_table_of_the_user_stands_before_the_sidecars(dataset):
    scanned(dataset, extra="ours")
    run_group(dataset.settings())
    assert set(wide(dataset)["scanner"]) == {"ours"}
