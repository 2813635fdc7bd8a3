import numpy as np
import pandas as pd
import pytest

from qsmprep.qc import judge, metric_definitions, run_metrics

GOOD = {"brain_volume_ml": 1400.0, "qsm_mask_fraction": 0.95, "chi_sd_ppb": 40.0, "deep_grey_contrast_ppb": 80.0}


@pytest.fixture
def arrays():
    brain = np.zeros((10, 10, 10), bool)
    brain[2:8, 2:8, 2:8] = True
    qsm = brain.copy()
    qsm[2] = False
    chi = np.zeros(brain.shape, np.float32)
    chi[4, 4, 4] = 0.6
    return brain, qsm, chi


def test_volume_counts_voxels_of_the_brain_mask_in_millilitres(arrays):
    brain, qsm, chi = arrays
    metrics = run_metrics(brain_mask=brain, qsm_mask=qsm, voxel_size=(1, 2, 5), chi=chi)
    assert metrics["brain_volume_ml"] == pytest.approx(216 * 10 / 1000)
    assert metrics["qsm_mask_fraction"] == pytest.approx(5 / 6)
    assert metrics["chi_extreme_fraction"] == pytest.approx(1 / 180)


def test_every_metric_returned_is_defined(arrays):
    brain, qsm, chi = arrays
    regions = pd.DataFrame({"name": ["GPe"], "coverage": [0.9], "n_voxels": [5], "chi_mean": [0.1]})
    metrics = run_metrics(
        brain_mask=brain, qsm_mask=qsm, voxel_size=(1, 1, 1), chi=chi, local_field=chi, quality=chi, residual=chi,
        noise=chi, r2star=chi, reference={"offset": 0.01, "sd": 0.02}, regions=regions,
        agreement={"template_dice": 0.97, "coregistration_nmi": 1.2},
    )  # fmt: skip
    assert set(metrics) == set(metric_definitions())
    assert metrics["reference_offset_ppb"] == pytest.approx(10)
    assert metrics["deep_grey_contrast_ppb"] == pytest.approx(100 - 600 / 180)


def test_an_empty_mask_is_refused(arrays):
    brain, _, chi = arrays
    with pytest.raises(ValueError, match="empty"):
        run_metrics(brain_mask=brain, qsm_mask=~brain & brain, voxel_size=(1, 1, 1), chi=chi)


def test_a_good_run_passes_without_reasons():
    assert judge(GOOD).verdict == "PASS" and not judge(GOOD).reasons


def test_dark_nuclei_fail_and_name_the_option_to_set():
    verdict = judge(GOOD | {"deep_grey_contrast_ppb": -60.0})
    assert verdict.verdict == "FAIL" and "--phase-sign" in verdict.reasons[0]


def test_the_worst_grade_wins_and_nan_never_passes():
    verdict = judge(GOOD | {"chi_sd_ppb": 130.0, "qsm_mask_fraction": float("nan")})
    assert verdict.verdict == "FAIL" and len(verdict.reasons) == 2


def test_a_partial_brain_is_not_judged_by_its_volume():
    small = GOOD | {"brain_volume_ml": 20.0}
    assert judge(small).verdict == "FAIL"
    assert judge(small, whole_brain=False).verdict == "PASS"
