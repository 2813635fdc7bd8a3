"""Two groups of heads at 2 mm from raw phase to the group's result, against the truth that they were made with.

    python benchmarks/cohort.py WORK_DIR [--disease PD] [--participants 12] [--nprocs 2]

First over all regions, whose differences are compared with the true ones, then over the panel of the disease, as a
study would. Hours. Every step takes up where it stopped, so the same command again goes on.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pandas as pd

from qsmprep.group.panels import panel_names
from qsmprep.phantom.tissue import disease_of, effect


def call(program: str, *args: str | Path) -> None:
    """Run one of the package's programs; its messages go to the terminal."""
    subprocess.run([Path(sys.executable).with_name(program), *map(str, args)], check=True)


def compare(bids: Path, group: Path, disease: str) -> pd.DataFrame:
    """Difference of the groups in each region of the deep grey matter: found, true of these heads, and put in [ppb].

    The true one is of the persons' own χ, as the phantom records it, so it holds their spread but no error of the
    reconstruction, the labels or the reference.
    """
    found = pd.read_csv(group / "comparisons.tsv", sep="\t", na_values="n/a", keep_default_na=False)
    found = found[found["test"] == "Welch t"]
    people = pd.read_csv(bids / "participants.tsv", sep="\t").set_index("participant_id")["group"]
    parts = []
    for path in sorted((bids / "derivatives/phantom").glob("sub-*/anat/*_seg-nuclei_dseg.tsv")):
        person = path.name.split("_")[0]
        parts.append(pd.read_csv(path, sep="\t").assign(group=people[person], person=person))
    keys = ["name", "hemisphere"]
    truth = pd.concat(parts).pivot_table(index=keys, columns="group", values="chi", aggfunc="mean") * 1000
    difference = (truth[disease] - truth["HC"]).rename("true")
    rows = []
    for _, row in found.iterrows():
        seg, name, side = str(row["region"]).split(".")
        if seg == "deepgrey" and (name, side) in difference.index:
            asked = effect(disease_of(disease), name, side)
            numbers = {key: row[key] for key in ("estimate", "estimate_low", "estimate_high", "p_corrected")}
            rows.append({"region": name, "side": side, "asked": asked, "true": difference[name, side], **numbers})
    return pd.DataFrame(rows)


def main() -> None:
    """Heads, reconstruction, group level, comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--disease", default="PD")
    parser.add_argument("--participants", type=int, default=12, help="in each group")
    parser.add_argument("--nprocs", default="2")
    given = parser.parse_args()
    bids, out = given.work / "bids", given.work / "derivatives"
    heads = ("--groups", f"HC,{given.disease}", "--participants", given.participants, "--seed", "5", "--echoes", "4")
    call("qsmprep-phantom", bids, *heads, "--voxel-size", "2", "--t1w-voxel-size", "2", "--nprocs", given.nprocs)
    call("qsmprep", bids, out, "participant", "-w", given.work / "work", "--nprocs", given.nprocs)
    call("qsmprep", bids, out, "group", "--covariates", "age", "sex")
    table = compare(bids, out / "group", given.disease)
    if given.disease in panel_names():
        call("qsmprep", bids, out, "group", "--covariates", "age", "sex", "--panel", given.disease)
        results = (out / "group/paper/text.md").read_text(encoding="utf-8").split("# Results")[1]
        print(next(line for line in results.splitlines() if line.startswith(f"Welch t, {given.disease} - HC")))
    table.round(3).to_csv(given.work / "cohort.tsv", sep="\t", index=False)
    print(table.round(3).to_string(index=False))
    error = table["estimate"] - table["true"]
    inside = ((table["true"] >= table["estimate_low"]) & (table["true"] <= table["estimate_high"])).mean()
    print(json.dumps({"regions": len(table), "bias_ppb": round(error.mean(), 2), "sd_ppb": round(error.std(), 2),
                      "truth_inside_interval": round(float(inside), 3)}))  # fmt: skip


if __name__ == "__main__":
    main()
