"""Make the pages of `docs/diseases`: a published study simulated, analysed by one command, and what comes out.

python benchmarks/diseases.py WORK_DIR [NAME ...]
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from qsmprep.phantom.studies import Study, study_named

DOCS = Path(__file__).parent.parent / "docs" / "diseases"
SEED = "1"
# page -> title, study, options of the group level
ADJUSTED = ("--covariates", "age", "sex")
PAGES = {
    "alzheimer": ("Alzheimer's disease", "AD", ["--panel", "AD", *ADJUSTED, "--scores", "mmse"]),
    "parkinson": ("Parkinson's disease", "PD-nigra", ["--panel", "PD", *ADJUSTED, "--scores", "updrs3"]),
    "als": ("Amyotrophic lateral sclerosis", "ALS", ["--panel", "ALS", *ADJUSTED]),
    "huntington": ("Huntington's disease", "HD", ["--panel", "HD", *ADJUSTED, "--scores", "cap"]),
    "ftd": ("Frontotemporal dementia", "FTD", ["--panel", "FTD", *ADJUSTED]),
    "vascular": ("Vascular cognitive impairment", "VaD", ["--panel", "VaD", *ADJUSTED, "--scores", "memory_z"]),
    "wilson": ("Wilson's disease", "WD", ["--panel", "WD", *ADJUSTED, "--scores", "uwdrs"]),
}
SHOWN = ("GLM t", "ROC", "paired t")  # tests whose paragraphs a page shows


def run(work: Path, name: str) -> None:
    """Simulate, analyse and write one page with its figure."""
    title, key, options = PAGES[name]
    study = study_named(key)
    shutil.rmtree(work / key, ignore_errors=True)
    commands = [
        ["qsmprep-phantom", key, "--cohort", key, "--seed", SEED],
        ["qsmprep", key, f"{key}/derivatives/qsmprep", "group", *options],
    ]
    for command in commands:
        program = Path(sys.executable).with_name(command[0])
        subprocess.run([program, *command[1:]], cwd=work, check=True)
    group = work / key / "derivatives" / "qsmprep" / "group"
    changes = study.regions[0].delta
    patients = max(changes, key=lambda name: abs(changes[name])).lower()
    figure = next(path for path in sorted((group / "figures").glob("*glm-t*svg")) if f"-{patients}-" in path.name)
    DOCS.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(figure, DOCS / f"{name}.svg")
    results = (group / "paper" / "text.md").read_text(encoding="utf-8").split("# Results\n")[1].split("\n\n")
    shown = [line.strip() for line in results if line.strip().startswith(SHOWN) and ", age (" not in line]
    text = [f"# {title}", "", study.title + f" (after {study.reference}).", "", *_asked(study), "", "## Command", ""]
    text += ["    " + " ".join(command) for command in commands]
    text += ["", "The second line is all that real data need, with their own folders and columns.", "", "## Output", ""]
    text += [f"- {line}" for line in shown]
    text += ["", f"![Each region: estimate and interval, adjusted for age and sex]({name}.svg)", ""]
    (DOCS / f"{name}.md").write_text("\n".join(text), encoding="utf-8")


def _asked(study: Study) -> list[str]:
    """What the simulation was asked for."""
    counts = ", ".join(f"{group.name} {group.n}" for group in study.groups)
    lines = [
        f"Nobody was scanned: {counts} persons were drawn with the numbers below, plus the error of the measurement. "
        "Regions that are not listed do not differ; one draw of so few persons can still show a difference there, or "
        "miss one here (the seed is 1 on every page, whatever comes out). "
        "Sizes marked *plausible* are not the paper's: it tells their direction only.",
        "",
        "| region | side | difference [ppb] | SD between persons | source |",
        "|---|---|---|---|---|",
    ]
    for region in study.regions:
        deltas = ", ".join(f"{name} {delta:+g}" for name, delta in region.delta.items())
        lines.append(
            f"| {region.region} | {region.hemisphere or 'both'} | {deltas} | {region.sd:g} | {region.evidence} |"
        )
    told = [f"{score.name} with {name} {r:+g}" for score in study.scores for name, r in score.r.items()]
    if told:
        lines += ["", f"Correlations that were asked, within each group: {', '.join(told)}."]
    return lines


def main() -> None:
    """All pages, or those named."""
    work = Path(sys.argv[1])
    work.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[2:] or PAGES:
        run(work, name)


if __name__ == "__main__":
    main()
