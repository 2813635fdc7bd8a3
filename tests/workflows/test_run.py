"""How runs that fail are told, without running anything heavy."""

import logging
from pathlib import Path

import pytest

from qsmprep.errors import UsageError
from qsmprep.settings import Settings
from qsmprep.workflows.run import _explain, _failures, _runner, _write_graph

TRACE = """Traceback (most recent call last):
  File "x.py", line 1, in f
ValueError: the mask is empty

While:
- Calculating complex SHA512 of something
"""


def test_the_cause_is_the_last_exception_of_the_traceback_without_the_traceback():
    cause, fix = _explain(TRACE)
    assert cause == "the mask is empty"
    assert "Traceback" not in cause + fix


def test_a_foreseen_fault_keeps_its_own_message():
    cause, _ = _explain("Traceback ...\nqsmprep.errors.InputError: --reference csf needs R2*\n")
    assert cause == "--reference csf needs R2*"


def test_a_killed_worker_and_a_full_disk_say_what_to_do():
    assert "--nprocs" in _explain("EnvironmentFault: the worker process was killed, most likely ...")[1]
    assert "disk" in _explain("OSError: [Errno 28] No space left on device: 'x'")[1]


def test_a_crash_of_a_shared_t1w_fails_every_run_that_uses_it():
    owners = {"anat_sub_01_T1w": ("sub-01_run-1", "sub-01_run-2"), "sub_02": ("sub-02",)}
    crashes = [
        ("qsmprep_wf.anat_sub_01_T1w.normalization", TRACE, "crash-1.txt"),
        ("qsmprep_wf.sub_02.recon.unwrap", TRACE, "crash-2.txt"),
        ("qsmprep_wf.sub_02.recon.field_fit", TRACE, "crash-3.txt"),
    ]
    failed = {failure.run: failure for failure in _failures(crashes, owners)}
    assert set(failed) == {"sub-01_run-1", "sub-01_run-2", "sub-02"}
    assert failed["sub-02"].stage == "recon.unwrap", "the first crash of a run counts"


@pytest.mark.parametrize("text", ["plugin: NoSuchPlugin\n", "just words\n", "[1, 2"])
def test_a_plugin_file_that_cannot_be_used_is_a_usage_error(tmp_path, text):
    path = tmp_path / "plugin.yml"
    path.write_text(text)
    settings = Settings(tmp_path, tmp_path / "out", nipype_plugin_file=path)
    with pytest.raises(UsageError, match="nipype-plugin-file"):
        _runner(settings, 1)


def test_a_plugin_file_sets_plugin_and_arguments(tmp_path):
    path = tmp_path / "plugin.yml"
    path.write_text("plugin: MultiProc\nplugin_args:\n  n_procs: 1\n")
    runner = _runner(Settings(tmp_path, tmp_path / "out", nipype_plugin_file=path), 1)
    assert runner.processors == 1


def test_graph_without_graphviz_leaves_its_description_and_a_warning(tmp_path, monkeypatch, caplog):
    from nipype.interfaces.utility import IdentityInterface
    from nipype.pipeline.engine import Node, Workflow

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(logging.getLogger("qsmprep"), "propagate", True)
    workflow = Workflow("wf", base_dir=str(tmp_path))
    workflow.add_nodes([Node(IdentityInterface(["a"]), name="n")])
    _write_graph(workflow)
    assert "Graphviz" in caplog.text and "graph.dot" in caplog.text
    assert (tmp_path / "wf" / "graph.dot").is_file()


def fail():
    raise ValueError("odd input")


def test_crashes_are_recorded_without_worker_processes_too(tmp_path):
    from nipype.interfaces.utility import Function
    from nipype.pipeline.engine import Node, Workflow

    plugin = tmp_path / "plugin.yml"
    plugin.write_text("plugin: Linear\n")
    runner = _runner(Settings(tmp_path, tmp_path / "out", nipype_plugin_file=plugin), 1)
    workflow = Workflow("wf", base_dir=str(tmp_path))
    workflow.config["execution"] = {"crashdump_dir": str(tmp_path), "crashfile_format": "txt"}
    workflow.add_nodes([Node(Function(function=fail), name="n")])
    with pytest.raises(Exception, match="odd input"):
        workflow.run(plugin=runner)
    ((node, trace, crash_file),) = runner.crashes
    assert node == "wf.n" and Path(crash_file).parent == tmp_path
    assert _explain(trace)[0] == "odd input"
