"""The page shows the results of a simulated study."""

import re

import numpy as np
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


def test_repeated_scans_have_figures_of_their_agreement(dataset):
    rng = np.random.default_rng(0)
    for i in range(12):
        true = rng.normal(100, 20, 9)
        for run in ("1", "2", "3"):
            rows = [(f"r{j}", "L", (true[j] + rng.normal(0, 1 + 2 * j)) / 1000) for j in range(9)]
            dataset.stats(f"sub-{i:02d}_run-{run}", rows)
    model = dataset.root / "design.toml"
    model.write_text('repeats = "run"\nstatistics = ["chi_mean"]\ntests = ["reliability"]\n')
    run_group(dataset.settings(model=model))
    found = {path.name.split("_", 1)[1]: path for path in (dataset.out / "group" / "figures").glob("result-*.svg")}
    pairs = [f"bland-altman-{a}-{b}-chi-mean.svg" for a, b in ("12", "13", "23")]
    assert set(found) >= {"icc-2-1-chi-mean.svg", *pairs}
    shown = set(re.findall(r">left (r\d), n 12<", found[pairs[0]].read_text()))
    assert len(shown) == 6 and {"r0", "r8"} <= shown
