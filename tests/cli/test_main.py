import json
import logging
import os
import tomllib
from types import SimpleNamespace

import pytest

from qsmprep.cli import levels
from qsmprep.cli.main import run
from qsmprep.errors import EnvironmentFault


@pytest.fixture(autouse=True)
def _own_environment(keep_environ):
    yield


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def call(dataset, out, tmp_path, monkeypatch):
    """Run the participant level with the workflow and the reports replaced; records what they were given."""
    seen = SimpleNamespace(plans=[], settings=[], outcome=None, raises=None)

    def run_participants(plan, settings):
        seen.plans.append(plan)
        seen.settings.append(settings)
        if seen.raises:
            raise seen.raises
        return seen.outcome or SimpleNamespace(finished=tuple(r.name for r in plan.runs), failed=())

    monkeypatch.setattr("qsmprep.workflows.run.run_participants", run_participants)
    monkeypatch.setattr(levels, "_make_reports", lambda plan, settings: [])

    def participant(*args, level="participant"):
        work = ["-w", str(tmp_path / "work")]
        return run([str(dataset.root), str(out), level, *work, "--skip-bids-validation", *args])

    participant.seen = seen
    return participant


# help, version, parsing


def test_a_good_run_leaves_with_0_and_writes_its_logs(dataset, out, call, capsys):
    dataset.gre()
    assert call() == 0
    logs = out / "logs"
    assert json.loads((logs / "plan.json").read_text())["runs"][0]["name"] == "sub-01"
    assert (logs / "failures.tsv").read_text() == "participant\trun\tstage\tcause\tfix\tcrash_file\n"
    assert (out / "dataset_description.json").is_file()
    assert (out / ".bidsignore").is_file()
    text = capsys.readouterr().out
    assert "1 of 1 run done" in text
    assert "no sidecar tells the readout's polarity" in text


def test_written_settings_reproduce_the_run(dataset, out, call):
    dataset.gre()
    assert call("--inversion", "tv", "--participant-label", "01") == 0
    written = out / "logs" / "settings.toml"
    assert tomllib.loads(written.read_text())["inversion"] == "tv"
    assert run(["--config", str(written)]) == 0
    first, second = call.seen.settings
    assert first.to_dict() == second.to_dict()


def test_dry_run_prints_the_plan_and_writes_nothing(dataset, out, tmp_path, call, capsys):
    dataset.gre()
    dataset.gre("02", parts=("real",))
    dataset.image("sub-01/func/sub-01_task-rest_bold.nii.gz", dataset_image())
    before = sorted(tmp_path.rglob("*"))
    assert call("--dry-run") == 0
    assert sorted(tmp_path.rglob("*")) == before
    assert not call.seen.plans
    text = capsys.readouterr().out
    for words in (
        "sub-01_MEGRE", "3: 4, 8, 12", "MagneticFieldStrength", "14 x 12 x 10", "0.0°", "±4096", "GB", "Chimap.nii.gz",
        "Cannot be processed (1):", "no part-imag", "Passed over (1):", "bold image in func/",
    ):  # fmt: skip
        assert words in text


@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_participants_without_a_gradient_echo_are_named(dataset, call, capsys, options):
    dataset.gre()
    dataset.gre("02", parts=("mag",))
    dataset.gre("03", parts=("real",))
    assert call(*options) == (0 if options else 1)
    assert "No gradient echo with phase, so nothing to process: sub-02\n" in capsys.readouterr().out


def dataset_image():
    import numpy as np

    return np.zeros((2, 2, 2), np.float32)


def test_failed_and_skipped_runs_leave_with_1_and_are_listed(dataset, out, call, capsys):
    for subject in ("01", "02", "03"):
        paths = dataset.gre(subject)
    paths[1].write_bytes(b"")
    crash = SimpleNamespace(
        run="sub-02", stage="unwrap", cause="no\tgood", fix="see", crash_file=str(out / "logs/crash.txt")
    )
    call.seen.outcome = SimpleNamespace(finished=("sub-01",), failed=(crash,))
    assert call() == 1
    rows = [line.split("\t") for line in (out / "logs" / "failures.tsv").read_text().splitlines()[1:]]
    assert rows[0] == ["sub-02", "sub-02", "unwrap", "no good", "see", "logs/crash.txt"]
    assert rows[1][:3] == ["sub-03", "sub-03_MEGRE", "input"]
    text = capsys.readouterr().out
    assert "1 of 2 runs done" in text
    assert "is empty (zero bytes)" in text


def test_calls_for_single_participants_keep_what_the_others_logged(dataset, out, call):
    for subject in ("01", "02"):
        dataset.gre(subject)[1].write_bytes(b"")
        dataset.gre(subject, acq="ok")
    assert call("--participant-label", "01") == 1
    assert call("--participant-label", "02") == 1
    plan = json.loads((out / "logs" / "plan.json").read_text())
    assert sorted(run["name"] for run in plan["runs"]) == ["sub-01_acq-ok", "sub-02_acq-ok"]
    assert sorted(plan["participants"]) == ["01", "02"]
    assert [line[:6] for line in (out / "logs" / "failures.tsv").read_text().splitlines()[1:]] == ["sub-01", "sub-02"]


def test_nothing_to_process_leaves_with_3(dataset, call, capsys):
    assert call() == 3
    dataset.gre(parts=("mag",))
    assert call() == 3
    text = capsys.readouterr().err
    assert "Searched anat/ and swi/ of sub-01" in text
    assert "magnitude without phase" in text


@pytest.mark.parametrize(
    ("break_it", "code", "words"),
    [
        (lambda d: (d.root / "dataset_description.json").unlink(), 2, "no dataset_description.json"),
        (lambda d: (d.root / "dataset_description.json").write_text(""), 2, "is damaged"),
        (lambda d: d.root.rename(d.root.with_name("away")), 2, "does not exist"),
    ],
)
def test_wrong_datasets_leave_with_2_and_write_nothing(dataset, out, call, capsys, break_it, code, words):
    dataset.gre()
    break_it(dataset)
    assert call() == code
    assert words in capsys.readouterr().err
    assert not out.exists()


def test_unknown_participant_leaves_with_2_and_writes_nothing(dataset, out, call, capsys):
    dataset.gre()
    assert call("--participant-label", "99") == 2
    assert "99 not found" in capsys.readouterr().err
    assert not out.exists()


def test_filter_that_matches_nothing_leaves_with_3(dataset, tmp_path, call, capsys):
    dataset.gre()
    (tmp_path / "f.json").write_text('{"gre": {"acq": "none"}}')
    assert call("--bids-filter-file", str(tmp_path / "f.json")) == 3
    assert "were removed by --bids-filter-file" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["out", "work"])
def test_unwritable_folders_leave_with_4(dataset, tmp_path, option, capsys):
    dataset.gre()
    (tmp_path / "file").write_text("in the way")  # works for root, too, unlike permissions
    folders = {"out": tmp_path / "out", "work": tmp_path / "work", option: tmp_path / "file" / "below"}
    assert run([str(dataset.root), str(folders["out"]), "participant", "-w", str(folders["work"])]) == 4
    text = capsys.readouterr().err
    assert "cannot be written to" in text
    assert "Traceback" not in text


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_out_dir_leaves_with_4(dataset, out, call, capsys):
    dataset.gre()
    out.mkdir(mode=0o555)
    assert call() == 4
    assert "Permission denied" in capsys.readouterr().err


def test_full_disk_is_told_before_the_work(dataset, call, monkeypatch, capsys):
    dataset.gre()
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=100))
    assert call() == 4
    assert "GB are free" in capsys.readouterr().err
    assert not call.seen.plans


def test_too_little_memory_is_a_warning(dataset, call, capsys):
    dataset.gre()
    assert call("--mem-gb", "0.1") == 0
    assert "more than --mem-gb 0.1" in capsys.readouterr().err


def test_faults_of_the_workflow_keep_their_exit_code(dataset, call, capsys):
    dataset.gre()
    call.seen.raises = EnvironmentFault("the disk is full")
    assert call() == 4
    call.seen.raises = OSError(28, "No space left on device", "/x")
    assert call() == 4
    assert "the disk is full" in capsys.readouterr().err


def test_unforeseen_error_is_short_and_names_the_log(dataset, out, call, capsys):
    dataset.gre()
    call.seen.raises = RuntimeError("odd")
    assert call() == 1
    text = capsys.readouterr().err
    assert "RuntimeError: odd" in text
    assert "Traceback" not in text
    log = next((out / "logs").glob("qsmprep-*.log"))
    assert str(log) in text
    assert "Traceback" in log.read_text()
    assert call("-v") == 1
    assert "Traceback" in capsys.readouterr().err


def test_interrupt_leaves_with_130(dataset, call):
    dataset.gre()
    call.seen.raises = KeyboardInterrupt()
    assert call() == 130


def test_runs_left_out_after_the_first_crash_are_named(dataset, call, capsys):
    dataset.gre("01")
    dataset.gre("02")
    crash = SimpleNamespace(run="sub-01", stage="unwrap", cause="bad", fix="", crash_file="")
    call.seen.outcome = SimpleNamespace(finished=(), failed=(crash,))
    assert call("--stop-on-first-crash") == 1
    assert "Not finished because of --stop-on-first-crash: sub-02" in capsys.readouterr().out


def test_options_for_the_workflow_are_passed_on(dataset, call):
    dataset.gre()
    plugin = dataset.root.parent / "p.yml"
    plugin.write_text("plugin: Linear\n")
    assert call("--write-graph", "--clean-workdir", "--stop-on-first-crash", "--nipype-plugin-file", str(plugin)) == 0
    (settings,) = call.seen.settings
    assert settings.write_graph
    assert settings.clean_workdir
    assert settings.stop_on_first_crash
    assert settings.nipype_plugin_file == plugin


def test_reports_only_runs_no_workflow_and_keeps_settings_and_failures(dataset, out, call):
    dataset.gre()
    crash = SimpleNamespace(run="sub-01", stage="unwrap", cause="bad", fix="", crash_file="")
    call.seen.outcome = SimpleNamespace(finished=(), failed=(crash,))
    assert call() == 1
    written = (out / "logs" / "settings.toml").read_bytes()
    assert call("--reports-only", "--inversion", "tv") == 0
    assert len(call.seen.plans) == 1
    assert (out / "logs" / "settings.toml").read_bytes() == written
    assert "unwrap" in (out / "logs" / "failures.tsv").read_text()


def test_reports_only_without_results_leaves_with_3_and_writes_nothing(dataset, out, call, capsys):
    dataset.gre()
    assert call("--reports-only") == 3
    assert "no results of an earlier run" in capsys.readouterr().err
    assert not out.exists()


def test_a_report_that_fails_is_a_failure_and_the_others_are_made(dataset, out, monkeypatch, tmp_path):
    dataset.gre("01")
    dataset.gre("02")
    made = []

    def build(out_dir, subject, plan, settings):
        if subject == "01":
            raise RuntimeError("odd")
        made.append(subject)

    done = SimpleNamespace(finished=("sub-01", "sub-02"), failed=())
    monkeypatch.setattr("qsmprep.workflows.run.run_participants", lambda plan, settings: done)
    monkeypatch.setattr("qsmprep.report.subject.build_subject_report", build)
    monkeypatch.setattr("qsmprep.report.index.build_index", lambda *args: made.append("index"))
    monkeypatch.setattr("qsmprep.report.methods.write_citations", lambda *args: made.append("citations"))
    args = [str(dataset.root), str(out), "participant", "-w", str(tmp_path / "w"), "--skip-bids-validation"]
    assert run(args) == 1
    assert made == ["02", "index", "citations"]
    assert "sub-01\tsub-01\treport\tthe report could not be made" in (out / "logs" / "failures.tsv").read_text()


# folders that must not mix


def test_out_dir_must_not_be_the_dataset_nor_lie_among_raw_data(dataset, call, capsys):
    dataset.gre()
    for folder in (dataset.root, dataset.root / "sub-01" / "out"):
        assert run([str(dataset.root), str(folder), "participant"]) == 2
    assert "OUT_DIR" in capsys.readouterr().err


def test_out_dir_with_the_output_of_another_program_is_refused(dataset, out, call, capsys):
    dataset.gre()
    out.mkdir()
    (out / "dataset_description.json").write_text('{"Name": "x", "GeneratedBy": [{"Name": "fMRIPrep"}]}')
    assert call() == 2
    assert "the output of fMRIPrep" in capsys.readouterr().err


def test_work_dir_must_be_a_folder_of_its_own(dataset, out, capsys):
    dataset.gre()
    assert run([str(dataset.root), str(out), "participant", "-w", str(out)]) == 2


def test_missing_plugin_file_is_told_before_anything_is_written(dataset, out, call, capsys):
    dataset.gre()
    assert call("--nipype-plugin-file", "none.yml") == 2
    assert "--nipype-plugin-file: there is no file" in capsys.readouterr().err
    assert not out.exists()


def test_missing_atlas_file_is_told(dataset, call, capsys):
    dataset.gre()
    assert call("--atlas", "none.nii.gz", "--atlas-labels", "none.tsv") == 2
    assert "--atlas: there is no file" in capsys.readouterr().err


# group level


def test_group_level_needs_participant_results(dataset, out, call, capsys):
    assert call(level="group") == 3
    assert "participant level first" in capsys.readouterr().err
    out.mkdir()
    assert call(level="group") == 3


def test_group_level_runs_on_derivatives(dataset, out, call, monkeypatch, capsys):
    chi = out / "sub-01" / "anat" / "sub-01_Chimap.nii.gz"
    chi.parent.mkdir(parents=True)
    chi.write_bytes(b"x")
    seen = []
    monkeypatch.setattr(
        "qsmprep.group.run_group", lambda settings: seen.append(settings) or out / "group.html", raising=False
    )
    assert call(level="group") == 0
    assert seen[0].analysis_level == "group"
    assert "group.html" in capsys.readouterr().out
    assert call("--dry-run", level="group") == 0
    assert len(seen) == 1


def test_logging_handlers_do_not_pile_up(dataset, call):
    dataset.gre()
    call()
    call()
    assert logging.getLogger("qsmprep").handlers == []
