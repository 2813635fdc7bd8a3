import json

import pytest

from qsmprep.report.consensus import consensus_checks, consensus_record

SETTINGS = {"unwrap": "romeo", "background": "vsharp", "inversion": "mtv", "reference": "brain", "normalization": True}


def test_consensus_is_met_by_the_default_chain_on_a_fine_protocol(run_entry):
    run = run_entry("01") | {"voxel_size": [1.0, 1.0, 1.0]}
    assert all(check.met for check in consensus_checks(SETTINGS, run))


@pytest.mark.parametrize(
    ("settings", "run", "unmet"),
    [
        ({"inversion": "ndi"}, {}, "inversion with sparsity regularisation"),
        ({"background": "lbv"}, {}, "background removal of the SHARP family or PDF"),
        ({"inversion": "tgv"}, {}, "background removal of the SHARP family or PDF"),
        ({"unwrap": "laplacian"}, {}, "exact (path-based) unwrapping"),
        ({"reference": "csf"}, {}, "whole brain as reference, and stated"),
        ({}, {"bipolar": True}, "monopolar readout"),
        ({}, {"voxel_size": [1.0, 1.0, 2.0]}, "isotropic voxels of at most 1 mm³"),
        ({"normalization": False}, {}, "mask from brain extraction and phase quality"),
    ],
)
def test_consensus_check_names_what_departs(settings, run, unmet, run_entry):
    run = run_entry("01") | {"voxel_size": [1.0, 1.0, 1.0]} | run
    assert [check.text for check in consensus_checks(SETTINGS | settings, run) if not check.met] == [unmet]


@pytest.mark.parametrize("preset", ["default", "consensus", "7T"])
def test_presets_follow_it(preset, run_entry):
    from qsmprep.settings import Settings

    given = {"bids_dir": "/data", "out_dir": "/out", "analysis_level": "participant"}
    settings = Settings.resolve(given, preset=preset).to_dict()
    assert all(check.met for check in consensus_checks(settings, run_entry("01") | {"voxel_size": [1.0, 1.0, 1.0]}))


def test_what_nobody_told_is_not_known(run_entry):
    run = run_entry("01") | {"bipolar": None}
    checks = {check.text: check for check in consensus_checks(SETTINGS, run)}
    assert checks["monopolar readout"].met is None
    assert [check.text for check in consensus_checks({}, run)] == [
        "three echoes or more", "monopolar readout", "isotropic voxels of at most 1 mm³",
    ]  # fmt: skip


def test_without_magnitude_the_mask_departs(run_entry):
    bare = run_entry("01", t1w=False)
    bare["echoes"] = [echo | {"magnitude": None} for echo in bare["echoes"]]
    record = consensus_record(SETTINGS, bare)
    told = {"Met": False, "Found": "phase quality alone"}
    assert json.loads(json.dumps(record))["mask from brain extraction and phase quality"] == told
