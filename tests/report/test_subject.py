import json
import re
import shutil
from html.parser import HTMLParser

import pytest

from qsmprep.report.index import build_index
from qsmprep.report.subject import build_subject_report

VOID = {"meta", "link", "img", "input", "br", "hr", "line", "circle", "rect"}


class Page(HTMLParser):
    """Collects what a page would load, its text and its tables, and checks that tags are closed."""

    def __init__(self, text):
        super().__init__()
        self.loads, self.links, self.ids, self.open, self.text, self.headings = [], [], [], [], [], []
        self.source = text
        self.feed(text)
        assert self.open == [], f"unclosed: {self.open}"

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        if tag == "a":
            self.links.append(attributes["href"])
        elif "href" in attributes or "src" in attributes:
            self.loads.append(attributes.get("src") or attributes["href"])
        if "id" in attributes:
            self.ids.append(attributes["id"])
        if tag == "th" and "data-sort" in attributes:
            self.headings.append(attributes["data-sort"])
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())


@pytest.fixture(scope="module")
def pages(derivatives):
    names = {label: build_subject_report(derivatives, label) for label in ("01", "sub-02", "03")}
    names["index"] = build_index(derivatives)
    return {name: Page(path.read_text(encoding="utf-8")) for name, path in names.items()}


@pytest.mark.parametrize("name", ["01", "sub-02", "03", "index"])
def test_page_is_self_contained_and_warns(pages, name):
    page = pages[name]
    assert all(load.startswith("data:") for load in page.loads)
    assert not re.search(r"url\(|@import|<link[^>]+stylesheet", page.source)
    assert "Research use only, not for diagnosis" in page.words
    outside = [link for link in page.links if not link.startswith("#") and "//" in link]
    assert all(link.startswith("https://doi.org/10.") for link in outside)
    inside = [link[1:] for link in page.links if link.startswith("#")]
    assert set(inside) <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))


def test_page_tells_every_decision(pages):
    words = pages["01"].words
    for told in (
        "4.00, 12.00, 20.00, 28.00 ms",
        "2.8936 T, from ImagingFrequency (nominal 3 T)",
        "integers from -4096 to 4095; decided from histogram",
        "sub-01_T1w.nii.gz (the only one)",
        "5.7° oblique",
        "Reference offset 1.23 ppb",
        "given against the mean of ventricular cerebrospinal fluid",
        "Slices are oblique by 5.7 degrees",
    ):
        assert told in words


def test_page_shows_every_step_as_a_picture(pages):
    source = pages["01"].source
    for name in (
        "Masks on the magnitude",
        "Phase as acquired",
        "Total field",
        "Local field",
        "Susceptibility χ",
        "R2*",
    ):
        assert f'alt="{name}"' in source
    assert source.count('class="flicker"') == 2
    assert len(pages["01"].loads) >= 14


def test_regional_table_is_sortable_with_a_column_for_each_side(pages):
    page = pages["01"]
    assert "χ L" in page.words and "χ R" in page.words
    row = re.search(r"<td>putamen</td>.*?</tr>", page.source, re.S)[0]
    assert 'data-key="60"' in row and 'data-key="55"' in row
    assert page.headings == [str(i) for i in range(len(page.headings))]
    # coverage of 50 % is marked
    assert 'class="num low" data-key="50"' in page.source


def test_page_after_a_crash_shows_what_there_is_and_says_what_is_missing(pages):
    page = pages["sub-02"]
    assert "no voxel of the mask can hold the kernel" in page.words
    assert "lower vsharp.radius_min_mm" in page.words
    assert "no voxel is left & gone" in page.words  # the crash file
    assert "Local field: there is no such figure. The run stopped at background: see Errors." in page.words
    assert page.source.count('alt="Total field"') == 2
    assert "there is no T1w image of this participant" in page.words


def test_participant_whose_runs_were_refused_has_a_page_that_says_why(pages):
    assert "found part-mag only, expected part-phase" in pages["03"].words
    assert "No run of this participant was processed" in pages["03"].words


def test_whatever_comes_from_files_is_escaped(pages):
    for name in ("01", "sub-02", "index"):
        assert "<b>toy</b>" not in pages[name].source and "look <at>" not in pages[name].source
    assert "A <b>toy</b> dataset & more" in pages["01"].words
    assert "brain &lt;stem&gt;" in pages["01"].source
    assert "<most recent" not in pages["sub-02"].source


def test_pages_stay_small(derivatives, pages):
    for path in derivatives.glob("*.html"):
        assert path.stat().st_size < 8_000_000


def test_index_lists_all_runs_with_verdict_thumbnail_and_link(pages):
    page = pages["index"]
    assert page.links.count("sub-01.html#sub-01_run-1") == 1
    assert "sub-02.html#sub-02_ses-b_run-1" in page.links
    for badge in ("PASS", "CHECK", "FAILED"):
        assert f'<span class="badge {badge}">{badge}</span>' in page.source
    assert len([load for load in page.loads if load.startswith("data:image/webp")]) == 5
    assert "sub-03_run-1" in page.words


def test_runs_of_earlier_calls_stay_in_the_page_when_the_plan_holds_only_the_last(derivatives, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(derivatives, out)
    plan = json.loads((out / "logs" / "plan.json").read_text())
    plan["runs"] = [run for run in plan["runs"] if run["name"] == "sub-02_ses-b_run-1"]
    page = Page(build_subject_report(out, "02", plan=plan, failures=()).read_text())
    assert "sub-02_ses-a_run-1" in page.ids and "sub-02_ses-b_run-1" in page.ids
    assert "errors" not in page.ids


def test_page_is_built_from_an_empty_folder(tmp_path):
    page = Page(build_subject_report(tmp_path, "07").read_text())
    assert "No run of this participant was processed" in page.words
    assert "settings.toml was not found" in page.words
    assert "no participant in this folder" in Page(build_index(tmp_path).read_text()).words


def test_similar_names_do_not_share_their_files(tmp_path):
    folder = tmp_path / "sub-1" / "anat"
    folder.mkdir(parents=True)
    for name, value in (("sub-1_run-1", 11), ("sub-1_run-10", 22), ("sub-1", 33), ("sub-1_acq-x", 44)):
        qc = {"chi_sd_ppb": value, "verdict": "PASS", "reasons": []}
        (folder / f"{name}_desc-qc_iqms.json").write_text(json.dumps(qc))
    page = Page(build_subject_report(tmp_path, "1").read_text())
    for value in ("11", "22", "33", "44"):
        assert page.source.count(f'<td class="num">{value}</td>') == 1


def test_broken_quality_file_does_not_stop_the_page(tmp_path):
    folder = tmp_path / "sub-1" / "anat"
    folder.mkdir(parents=True)
    (folder / "sub-1_desc-qc_iqms.json").write_text("{broken")
    assert "no quality numbers" in build_subject_report(tmp_path, "1").read_text().lower()


def test_failures_as_the_command_writes_them_are_shown_once(derivatives, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(derivatives, out)
    (out / "logs" / "failures.tsv").write_text(
        "participant\trun\tstage\tcause\tfix\tcrash_file\n"
        "sub-02\tsub-02_ses-b_run-1\tbackground\tno voxel left\tn/a\tlogs/crash-1.txt\n"
        "sub-02\tsub-02\treport\tthe disk is full\tfree space\tn/a\n"
        "sub-03\tsub-03_run-1\tinput\tno phase\tcorrect the data\tn/a\n"
    )
    page = Page(build_subject_report(out, "02").read_text())
    assert "no voxel is left & gone" in page.words and "the disk is full" in page.words
    assert "sub-02" not in page.ids  # a failed report is no run
    refused = Page(build_subject_report(out, "03").read_text())
    assert "errors" not in refused.ids and "part-mag only" in refused.words
    assert Page(build_index(out).read_text()).source.count("badge FAILED") == 2  # in the counts and in the row


def test_reports_only_tells_the_settings_that_made_the_results(derivatives, tmp_path):
    from qsmprep.settings import Settings

    out = tmp_path / "out"
    shutil.copytree(derivatives, out)
    now = Settings(bids_dir=tmp_path, out_dir=out, unwrap="laplacian", reports_only=True)
    assert "unwrapped with ROMEO" in Page(build_subject_report(out, "01", settings=now).read_text()).words
    again = Settings(bids_dir=tmp_path, out_dir=out, unwrap="laplacian")
    assert "Laplacian" in Page(build_subject_report(out, "01", settings=again).read_text()).words


def test_run_without_registration_says_that_none_was_asked_for(derivatives):
    page = Page(build_subject_report(derivatives, "02", settings={"normalization": False}).read_text())
    build_subject_report(derivatives, "02")  # other tests look at the page, too
    assert "No registration was asked for (--no-normalization)" in page.words
    assert "from signal and phase quality alone" in page.words


def test_run_without_magnitude_says_what_it_cannot_give(tmp_path, run_entry):
    run = run_entry("01", t1w=False)
    run["echoes"] = [echo | {"magnitude": None} for echo in run["echoes"]]
    page = Page(build_subject_report(tmp_path, "01", plan={"runs": [run]}, settings={"reference": "brain"}).read_text())
    assert "from phase quality alone (no magnitude)" in page.words
    assert "Without magnitude the run cannot be registered" in page.words
    assert "R2*: there is no such figure" not in page.words


def test_participant_without_a_gradient_echo_sees_what_was_passed_over(tmp_path):
    entries = [
        {"path_or_run": f"/data/sub-{label}/anat/sub-{label}_part-mag_MEGRE.nii.gz", "reason": "magnitude only"}
        for label in ("01", "012")
    ]
    plan = {"runs": [], "skipped": [], "passed_over": entries, "participants": ["01", "012"]}
    page = Page(build_subject_report(tmp_path, "01", plan=plan).read_text())
    assert "Files passed over: 1" in page.words and "sub-01_part-mag_MEGRE.nii.gz : magnitude only" in page.words
    assert "No run was processed, so there is no methods text" in page.words
    assert "sub-01 : no gradient echo" in Page(build_index(tmp_path, plan=plan).read_text()).words


def test_a_label_that_stayed_a_prior_is_named_for_the_reader():
    from qsmprep.report.tables import region_notes

    cells = [("dentate", "L", "0.0"), ("dentate", "R", "1"), ("putamen", "L", "n/a"), ("caudate", "L", "")]
    rows = [{"name": name, "hemisphere": side, "refined": refined} for name, side, refined in cells]
    notes = region_notes(rows)
    assert len(notes) == 1 and notes[0].startswith("dentate L: χ could not tell")
