from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from qsmprep.mask.score import mask_score
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
    brain, qsm, chi = (a.repeat(3, 0).repeat(3, 1).repeat(3, 2) for a in (brain, qsm, chi))
    metrics = run_metrics(
        brain_mask=brain, qsm_mask=qsm, voxel_size=(3, 3, 3), chi=chi, local_field=chi, quality=chi, residual=chi,
        noise=chi, r2star=np.arange(27000.0).reshape(chi.shape), reference={"offset": 0.01, "sd": 0.02},
        regions=regions,
        agreement={"template_dice": 0.97, "coregistration_nmi": 1.2, "coregistration_edge_agreement": 0.9}
        | {"nuclei_shift_mm": 1.0, "mask_fallback": 0.0}
        | {"mask_beyond_template_fraction": 0.0, "mask_agreement_dice": 0.9}
        | mask_score(brain, qsm, np.ones(chi.shape), (3, 3, 3), np.ones(chi.shape)),
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


@pytest.mark.parametrize(("used", "other"), [(1, "-"), (-1, "+")])
def test_dark_nuclei_fail_and_name_the_option_to_set(used, other):
    verdict = judge(GOOD | {"deep_grey_contrast_ppb": -60.0}, phase_sign=used)
    assert verdict.verdict == "FAIL" and f"set --phase-sign {other}." in verdict.reasons[0]


def test_faint_nuclei_are_checked_without_blaming_the_sign():
    verdict = judge(GOOD | {"deep_grey_contrast_ppb": -5.0})
    assert verdict.verdict == "CHECK" and "--phase-sign" not in verdict.reasons[0]


def test_without_atlas_the_fastest_decay_tells_the_sign():
    alone = {name: value for name, value in GOOD.items() if name != "deep_grey_contrast_ppb"}
    verdict = judge(alone | {"r2star_contrast_ppb": -70.0})
    assert verdict.verdict == "FAIL" and "--phase-sign -" in verdict.reasons[0]
    assert judge(alone | {"r2star_contrast_ppb": 70.0}).verdict == "PASS"
    # a calcification may decay fast, too: where the nuclei are known they decide
    assert judge(GOOD | {"r2star_contrast_ppb": -70.0}).verdict == "PASS"


NO_NUCLEI = {name: value for name, value in GOOD.items() if name != "deep_grey_contrast_ppb"}


@pytest.mark.parametrize(
    ("found", "grade", "words"),
    [
        ({"chi_skewness": 2.5}, "PASS", ""),
        ({"chi_skewness": -2.5}, "FAIL", "set --phase-sign +"),
        ({"chi_skewness": -0.4}, "CHECK", "if veins are dark set --phase-sign +"),
        ({"chi_skewness": 0.1}, "CHECK", "look at the χ map"),
        ({"chi_skewness": -2.5, "r2star_contrast_ppb": -5.0}, "FAIL", "set --phase-sign +"),
        # one of the two contradicts the other, as where there is a large calcification: no clear evidence
        ({"chi_skewness": -2.5, "r2star_contrast_ppb": 60.0}, "CHECK", "if veins are dark"),
        ({"chi_skewness": 2.5, "r2star_contrast_ppb": -60.0}, "CHECK", "if veins are dark"),
        # a reconstruction that broke down fails, but tells nothing of the sign
        ({"chi_skewness": -2.5, "chi_sd_ppb": 2000.0}, "FAIL", "look at the χ map for streaks"),
        ({"chi_skewness": float("nan")}, "FAIL", "look at the χ map"),
        ({"chi_skewness": -2.5, "deep_grey_contrast_ppb": 80.0}, "PASS", ""),
    ],
)
def test_without_atlas_a_histogram_that_leans_the_wrong_way_tells_the_sign(found, grade, words):
    verdict = judge(NO_NUCLEI | found, phase_sign=-1)
    assert verdict.verdict == grade and words in " ".join(verdict.reasons)
    if "chi_sd_ppb" in found:
        assert not any("is inverted" in reason for reason in verdict.reasons)


def test_skewness_is_that_of_the_trusted_inside():
    """A law: exponential numbers have a skewness of 2; what lies at the rim or is not trusted takes no part."""
    rng = np.random.default_rng(0)
    brain = np.zeros((44, 44, 44), bool)
    brain[2:-2, 2:-2, 2:-2] = True
    chi = rng.exponential(0.02, brain.shape).astype(np.float32)
    inner = np.zeros_like(brain)
    inner[4:-4, 4:-4, 4:-4] = True
    noise = np.full(chi.shape, 1e-3, np.float32)
    chi[brain & ~inner], noise[20:24], chi[20:24] = -5, np.inf, -5
    common = {"brain_mask": brain, "qsm_mask": brain, "voxel_size": (1, 1, 1), "noise": noise}
    found = run_metrics(chi=chi, **common)["chi_skewness"]
    assert found == pytest.approx(2, abs=0.15)
    assert run_metrics(chi=-chi, **common)["chi_skewness"] == pytest.approx(-found, rel=1e-5)
    few = np.zeros_like(brain)
    few[2:14, 2:14, 2:14] = True
    assert "chi_skewness" not in run_metrics(chi=chi, **common | {"qsm_mask": few})


@pytest.fixture(scope="module")
def scan(phantom_dataset):
    """Phase [rad], magnitude, echo times and truth of the first digital head."""
    folder, truth = phantom_dataset / "sub-01" / "anat", phantom_dataset / "derivatives" / "phantom" / "sub-01" / "anat"
    te = (0.004, 0.010, 0.016)

    def stack(part):
        files = [folder / f"sub-01_echo-{e}_part-{part}_MEGRE.nii.gz" for e in (1, 2, 3)]
        return np.stack([np.asarray(nib.load(f).dataobj, np.float32) for f in files], axis=-1)

    (mask,) = truth.glob("*_desc-brain_mask.nii.gz")
    return SimpleNamespace(
        phase=stack("phase") * np.float32(np.pi / 4096), magnitude=stack("mag"), te=te, truth=truth,
        mask=np.asarray(nib.load(mask).dataobj) > 0, affine=nib.load(mask).affine,
    )  # fmt: skip


@pytest.mark.parametrize("sign", [1, -1])
def test_a_head_with_inverted_phase_fails_with_and_without_atlas(scan, sign):
    """From phase to verdict through the functions of every stage; nothing flips the sign by itself."""
    from qsmprep.qsm.background import remove_background
    from qsmprep.qsm.combine import mcpc3ds
    from qsmprep.qsm.fieldmap import fit_field
    from qsmprep.qsm.inversion import invert
    from qsmprep.qsm.relaxometry import fit_r2star
    from qsmprep.qsm.unwrap import unwrap

    voxel, mask = (3.0, 3.0, 3.0), scan.mask
    b0_dir = np.linalg.inv(scan.affine[:3, :3] / 3)[:, 2]
    offset_free = mcpc3ds(sign * scan.phase, scan.magnitude, scan.te, mask, voxel, bipolar=None).phase
    field = fit_field(unwrap(offset_free, scan.magnitude, mask, scan.te), scan.magnitude, mask, scan.te, 3.0).field
    local, valid = remove_background(field, mask, voxel, b0_dir, method="vsharp")
    chi = invert(local, valid, voxel, b0_dir, method="rts")
    r2star = fit_r2star(scan.magnitude, scan.te, mask).r2star
    common = {"brain_mask": mask, "qsm_mask": valid, "voxel_size": voxel, "chi": chi, "r2star": r2star}
    for regions in (None, nuclei_table(scan, chi, valid)):
        metrics = run_metrics(**common, regions=regions)
        contrast = metrics["r2star_contrast_ppb" if regions is None else "deep_grey_contrast_ppb"]
        assert sign * contrast > 30
        verdict = judge(metrics, whole_brain=False)
        blamed = [reason for reason in verdict.reasons if "--phase-sign -" in reason]
        assert (verdict.verdict == "FAIL" and blamed) if sign < 0 else not blamed


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("part", ["head", "slab"])
def test_inverted_phase_of_a_single_echo_fails_without_atlas_and_without_r2star(scan, part, sign):
    """Neither nuclei nor R2* tell the sign here; a slab of 20 mm has no voxel 8 mm inside its mask either."""
    from qsmprep.qsm.background import remove_background
    from qsmprep.qsm.fieldmap import fit_field
    from qsmprep.qsm.inversion import invert
    from qsmprep.qsm.unwrap import unwrap

    voxel, te, echo = (3.0, 3.0, 3.0), scan.te[-1:], slice(-1, None)
    mask = scan.mask.copy()
    if part == "slab":
        filled = np.flatnonzero(mask.any((0, 1)))
        start = filled[len(filled) * 6 // 10] - 3
        mask[..., :start] = mask[..., start + 7 :] = False
    b0_dir = np.linalg.inv(scan.affine[:3, :3] / 3)[:, 2]
    phase, magnitude = sign * scan.phase[..., echo], scan.magnitude[..., echo]
    fit = fit_field(unwrap(phase, magnitude, mask, te), magnitude, mask, te, 3.0)
    local, valid = remove_background(fit.field, mask, voxel, b0_dir, method="vsharp", noise=fit.noise)
    chi = invert(local, valid, voxel, b0_dir, method="rts", noise=fit.noise)
    metrics = run_metrics(brain_mask=mask, qsm_mask=valid, voxel_size=voxel, chi=chi, noise=fit.noise)
    assert not {"r2star_contrast_ppb", "deep_grey_contrast_ppb"} & set(metrics)
    verdict = judge(metrics, whole_brain=False)
    blamed = [reason for reason in verdict.reasons if "--phase-sign -" in reason]
    assert (verdict.verdict == "FAIL" and blamed) if sign < 0 else not blamed, metrics


def nuclei_table(scan, chi, valid):
    """Means in the true nuclei, as the regional statistics give them."""
    (labels,) = scan.truth.glob("*_seg-nuclei_dseg.nii.gz")
    (names,) = scan.truth.glob("*_seg-nuclei_dseg.tsv")
    table, image = pd.read_csv(names, sep="\t"), np.asarray(nib.load(labels).dataobj)
    rows = []
    for index, name in zip(table["index"], table["name"], strict=True):
        inside = (image == index) & valid
        share = inside.sum() / max((image == index).sum(), 1)
        rows.append((name.split(".")[0], share, inside.sum(), chi[inside].mean() if inside.any() else np.nan))
    return pd.DataFrame(rows, columns=["name", "coverage", "n_voxels", "chi_mean"])


def test_the_worst_grade_wins_and_nan_never_passes():
    verdict = judge(GOOD | {"chi_sd_ppb": 130.0, "qsm_mask_fraction": float("nan")})
    assert verdict.verdict == "FAIL" and len(verdict.reasons) == 2


def test_a_partial_brain_is_not_judged_by_its_volume():
    small = GOOD | {"brain_volume_ml": 20.0}
    assert judge(small).verdict == "FAIL"
    assert judge(small, whole_brain=False).verdict == "PASS"
