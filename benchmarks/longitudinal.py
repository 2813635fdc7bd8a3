"""Repeated visits of digital heads: how much each nucleus' χ varies, session-wise and with `--longitudinal`.

    python benchmarks/longitudinal.py WORK_DIR --labels AllenAtlas.nii.gz --labels-tsv AllenAtlas.json

Two persons of 2 mm come three times, each time with another place and tilt of the head and other noise. What is
measured is the error of χ at each visit (the truth changes by a year of age, too), and its SD over a person's visits.
All ways share one working folder, so the maps are the same. What is there already is not made again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from acceptance import NUCLEI, OVERLAPS, compare
from measure import measure
from page import put

HEADS = ["--participants", "2", "--groups", "control", "--sessions", "3", "--voxel-size", "2", "--seed", "31"]
WAYS = {
    "session-wise": [],
    "`--longitudinal`": ["--longitudinal"],
    "session-wise, T1w alone": ["--no-multi-contrast"],
    "`--longitudinal`, T1w alone": ["--longitudinal", "--no-multi-contrast"],
    "session-wise, gradient echo and χ": ["--bids-filter-file", "FILTER"],
    "`--longitudinal`, gradient echo and χ": ["--longitudinal", "--bids-filter-file", "FILTER"],
}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work_dir", type=Path)
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--labels-tsv", type=Path, required=True)
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    given = parser.parse_args(arguments)
    programs, bids = Path(sys.executable).parent, given.work_dir / "bids"
    labels = ["--labels", str(given.labels), "--labels-tsv", str(given.labels_tsv)]
    subprocess.run([programs / "qsmprep-phantom", bids, *HEADS, *labels], check=True)
    without = given.work_dir / "filter.json"
    without.write_text('{"t1w": {"acquisition": "none"}}')
    for way in given.ways:
        found = given.work_dir / _file(way)
        if not found.exists():
            out = found.with_suffix("")
            options = [str(without) if option == "FILTER" else option for option in WAYS[way]]
            cost = measure([str(programs / "qsmprep"), str(bids), str(out), "participant", "-w",
                            str(given.work_dir / "work"), "--skip-bids-validation", *options])  # fmt: skip
            found.write_text(json.dumps(cost | {"persons": visits(bids / "derivatives" / "phantom", out)}, indent=1))
    text = table(given.work_dir)
    print(text)
    put("longitudinal", text)
    return 0


def visits(truth: Path, out: Path) -> list[list[dict]]:
    """Each person's visits, each compared with the truth."""
    return [
        [compare(visit, out / visit.relative_to(truth)) for visit in sorted(person.glob("ses-*"))]
        for person in sorted(truth.glob("sub-*"))
    ]


def table(work_dir: Path) -> str:
    """Markdown: per nucleus the SD of the error of chi_median over visits [ppb], and Dice with the truth."""
    head = ["way", "what", *OVERLAPS]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for way in WAYS:
        path = work_dir / _file(way)
        if not path.exists():
            continue
        persons = json.loads(path.read_text())["persons"]
        spread, overlap = [], []
        for nucleus in OVERLAPS:
            overlap.append(f"{np.median([visit['dice'][nucleus] for person in persons for visit in person]):.2f}")
            if nucleus not in NUCLEI:
                spread.append("n/a")
                continue
            errors = np.array([[v["chi_median"][nucleus] - v["chi_true_median"][nucleus] for v in p] for p in persons])
            spread.append(f"{1000 * np.sqrt(errors.var(axis=1, ddof=1).mean()):.1f}")
        lines.append("| " + " | ".join([way, "SD over visits [ppb]", *spread]) + " |")
        lines.append("| " + " | ".join(["", "Dice, median", *overlap]) + " |")
    return "\n".join(lines)


def _file(way: str) -> str:
    return "".join(c for c in way.replace("χ", "chi").replace(" ", "_") if c.isalnum() or c == "_") + ".json"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
