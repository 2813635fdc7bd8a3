"""The pages of the repository say what is true of the code."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def options():
    from qsmprep.cli.options import options

    return {name for option in options() for name in [*option.opts, *option.secondary_opts] if name.startswith("--")}


def test_usage_page_has_every_option_and_no_other():
    text = (ROOT / "docs" / "usage.md").read_text()
    told = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))
    assert options() - told <= {"--help", "--version", "--verbose"}
    assert told - options() <= {"--help", "--version", "--verbose"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_readme_names_only_options_that_exist():
    text = (ROOT / "README.md").read_text()
    commands = "\n".join(line for line in text.splitlines() if "docker" not in line and "SBATCH" not in line)
    told = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", commands)) - {"--cleanenv"}
    from qsmprep.cli.phantom import command as phantom

    of_phantom = {option for parameter in phantom.params for option in parameter.opts}
    assert told <= options() | of_phantom | {"--help", "--version"}


def test_page_of_the_simulated_studies_has_every_study_and_every_key():
    from dataclasses import fields

    from qsmprep.phantom import studies

    text = (ROOT / "docs" / "studies.md").read_text()
    for name, study in studies.read_studies().items():
        groups = ", ".join(group.name for group in study.groups)
        assert f"| `{name}` | {groups} |" in text, name
    told = set(re.findall(r"`([a-z0-9_]+)`", text))
    for kind in (
        studies.Group,
        studies.Region,
        studies.Score,
        studies.Drawn,
        studies.Genotype,
        studies.Site,
        studies.Study,
    ):
        assert {field.name for field in fields(kind)} <= told, kind.__name__


def test_make_targets_of_the_pages_exist():
    makefile = (ROOT / "Makefile").read_text()
    for page in PAGES:
        for target in re.findall(r"\bmake (demo|test|lint|types|lock|clean)\b", page.read_text()):
            assert re.search(rf"^{target}:", makefile, re.M)


def test_citation_file_is_valid_yaml_with_what_cff_demands():
    yaml = pytest.importorskip("yaml")
    content = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(content)
