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
        ({"mask": {"quality_threshold": 0.0}}, {}, "mask from brain extraction and phase quality"),
        ({"vsharp": {"radius_max_mm": 3.0}}, {}, "V-SHARP kernels of 12 to 1 mm radius"),
        ({"vsharp": {"radius_max_mm": 25.0}}, {}, "V-SHARP kernels of 12 to 1 mm radius"),
        ({"vsharp": {"radius_min_mm": 4.0}}, {}, "V-SHARP kernels of 12 to 1 mm radius"),
        ({"vsharp": {"step_mm": 11.0}}, {}, "V-SHARP kernels of 12 to 1 mm radius"),
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
    assert checks["monopolar readout"].met is None and "the data decide" in checks["monopolar readout"].found
    assert [check.text for check in consensus_checks({}, run)] == [
        "three echoes or more", "monopolar readout", "isotropic voxels of at most 1 mm³",
    ]  # fmt: skip


def test_without_magnitude_the_mask_departs(run_entry):
    bare = run_entry("01", t1w=False)
    bare["echoes"] = [echo | {"magnitude": None} for echo in bare["echoes"]]
    record = consensus_record(SETTINGS, bare)
    told = {"Met": False, "Found": "phase quality alone"}
    assert json.loads(json.dumps(record))["mask from brain extraction and phase quality"] == told


def by_text(run, done=None, settings=SETTINGS):
    return {check.text: check for check in consensus_checks(settings, run, done)}


OFFSET = "phase offset removed (MCPC-3D-S)"


@pytest.mark.parametrize(
    ("record", "met", "words"),
    [
        ({"Readout": "monopolar", "ReadoutSource": "data"}, True, "monopolar: told by no sidecar, found from the data"),
        ({"Readout": "bipolar", "ReadoutSource": "data"}, False, "bipolar: told by no sidecar, found from the data"),
        ({"Readout": "monopolar", "ReadoutSource": "data", "ReadoutDoubt": "a ramp"}, True, "data (a ramp)"),
        ({"Readout": "monopolar", "ReadoutSource": "given"}, None, "the data do not show it"),
    ],
)
def test_readout_that_the_data_decided_is_told_once_the_run_is_done(record, met, words, run_entry):
    done = {"PhaseOffsetRemoval": {"Method": "MCPC-3D-S", **record}}
    check = by_text(run_entry("01") | {"bipolar": None}, done)["monopolar readout"]
    assert check.met is met and words in check.found


def test_two_echoes_whose_readout_was_assumed_are_not_held_for_monopolar(run_entry):
    run = run_entry("01") | {"notes": ["no sidecar tells the readout's polarity: taken as monopolar"]}
    run["echoes"] = run["echoes"][:2]
    check = by_text(run, {"PhaseOffsetRemoval": {"Method": "MCPC-3D-S", "ReadoutSource": "given"}})["monopolar readout"]
    assert check.met is None and "two echoes do not show it" in check.found
    from qsmprep.bids.echoes import find_bipolar

    assert find_bipolar({}, 2) == (False, run["notes"]), "the note that the check goes by"


def test_offset_that_cannot_be_removed_is_told(run_entry):
    run = run_entry("01")
    assert by_text(run)[OFFSET].met and by_text(run)[OFFSET].found == "MCPC-3D-S"
    single = by_text(run | {"echoes": run["echoes"][:1]})
    assert single[OFFSET].met is False and "not possible with one echo" in single[OFFSET].found
    assert single["echoes joined before background removal"].found == "one echo: nothing to join"
    two = run | {"echoes": run["echoes"][:2], "bipolar": True}
    assert by_text(two)[OFFSET].met is False and "bipolar" in by_text(two)[OFFSET].found
    done = {"PhaseOffsetRemoval": {"Method": "none", "Reason": "too few of one polarity"}}
    assert by_text(two, done)[OFFSET].found == "not possible: too few of one polarity"
    # of two odd echoes the offset can be told, whatever the readout
    odd = [echo | {"number": number} for echo, number in zip(run["echoes"][:2], (1, 3), strict=True)]
    assert by_text(two | {"echoes": odd})[OFFSET].met


def test_fit_without_magnitude_is_not_called_weighted(run_entry):
    run, point = run_entry("01"), "echoes joined before background removal"
    assert by_text(run)[point].found == "non-linear fit, weighted by the magnitude"
    bare = run | {"echoes": [echo | {"magnitude": None} for echo in run["echoes"]]}
    assert by_text(bare, settings=SETTINGS | {"fieldmap": "linear_fit"})[point].found == (
        "linear fit, unweighted (no magnitude)"
    )


def test_kernels_are_no_point_where_there_is_no_vsharp(run_entry):
    for settings in ({"background": "pdf"}, {"inversion": "tgv"}):
        assert not [text for text in by_text(run_entry("01"), settings=SETTINGS | settings) if "V-SHARP" in text]
