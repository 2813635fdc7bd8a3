"""The page shows the results of a simulated study."""

import re

import pytest

from qsmprep.group import run_group
from qsmprep.phantom.cohort_files import write_cohort
from qsmprep.phantom.studies import study_named
from qsmprep.settings import Settings


def page_of(root, study, **given):
    """Page and folder of the group level on a cohort."""
    write_cohort(root / "bids", study_named(study), seed=1, participants=12)
    out = root / "bids/derivatives/qsmprep"
    settings = Settings(bids_dir=root / "bids", out_dir=out, analysis_level="group", work_dir=root / "w", **given)
    return run_group(settings).read_text(), out / "group"


@pytest.fixture(scope="module")
def nigra(tmp_path_factory):
    return page_of(tmp_path_factory.mktemp("pd"), "PD-nigra", panel="PD")


def test_text_and_pictures_are_in_the_page(nigra):
    page, folder = nigra
    text = (folder / "paper/text.md").read_text()
    assert "PD - HC" in text and re.search(r"left SN(r|c-PBP-VTA), PD - HC: [\d.]+ ppb", text)
    titles = re.findall(r"<summary>([^<]*)</summary><img src=\"data:image/svg", page)
    assert any(title.startswith("Welch t, PD - HC") for title in titles)
    assert {"Groups", "ROC, PD - HC"} <= set(titles)
    assert len(list((folder / "figures").glob("result-*.svg"))) == len(titles)
    assert len(page) < 3_000_000


def test_the_strongest_regions_are_those_that_the_disease_changes(nigra):
    _, folder = nigra
    (path,) = (folder / "figures").glob("result-*_groups.svg")
    assert {"left SNr", "right SNr"} <= set(re.findall(r">((?:left|right) SNr)<", path.read_text()))


def test_persons_seen_twice_have_trajectories(tmp_path):
    page, _ = page_of(tmp_path, "HD", panel="HD")
    assert "Over time, left caudate" in page or "Over time, right caudate" in page
