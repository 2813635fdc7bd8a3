import json

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from qsmprep.bids.derivatives import sidecar_path
from qsmprep.group.run import run_group
from qsmprep.group.voxels import atlas_labels, label_names

SHAPE = (10, 11, 9)
CUBE = (slice(4, 7), slice(2, 5), slice(1, 4))


@pytest.fixture
def cohort(dataset):
    """Eight controls and eight patients; χ is 40 ppb higher in a cube of the patients' maps."""
    rng = np.random.default_rng(0)
    lines = ["participant_id\tgroup\tage"]
    for number in range(16):
        name, group = f"sub-{number:02d}", "PD" if number % 2 else "HC"
        chi = 0.03 + 0.01 * rng.standard_normal(SHAPE)
        chi[CUBE] += 0.04 * (group == "PD")
        dataset.chi(name, chi, mask=np.ones(SHAPE))
        dataset.stats(name, [("putamen", "L", 0.05 + 0.01 * rng.standard_normal())])
        lines.append(f"{name}\t{group}\t{60 + number % 5}")
    dataset.participants("\n".join(lines) + "\n")
    return dataset


def model(dataset, text):
    path = dataset.root / "model.toml"
    path.write_text('groups = "group"\nstatistics = ["chi_mean"]\n' + text)
    return dataset.settings(model=path, nprocs=1)


def image(dataset, desc):
    return nib.load(dataset.out / f"group/contrast-PDMinusHC_space-MNI152NLin2009cAsym_desc-{desc}_Chimap.nii.gz")


def sidecar(dataset, desc):
    return json.loads(sidecar_path(image(dataset, desc).get_filename()).read_text())


def test_the_cube_is_found_and_t_is_that_of_scipy(cohort):
    run_group(model(cohort, "permutations = 300\nfwhm = 0\n"))
    chi = np.stack([nib.load(path).get_fdata() for path in sorted(cohort.out.glob("sub-*/anat/*_Chimap.nii.gz"))])
    expected = stats.ttest_ind(chi[1::2], chi[::2]).statistic
    np.testing.assert_allclose(image(cohort, "t").get_fdata(), expected, rtol=1e-4)
    difference = 1000 * (chi[1::2].mean(0) - chi[::2].mean(0))
    np.testing.assert_allclose(image(cohort, "estimate").get_fdata(), difference, rtol=1e-4, atol=1e-3)
    for desc in ("logpTfce", "logpPeak", "logpMass"):
        significant = image(cohort, desc).get_fdata() > -np.log10(0.05)
        inside = np.zeros(SHAPE, bool)
        inside[CUBE] = True
        assert significant[inside].mean() > 0.7 and significant[~inside].mean() < 0.03, desc
    table = pd.read_csv(cohort.out / "group/clusters.tsv", sep="\t")
    first = table.iloc[0]
    assert first["contrast"] == "PD - HC" and first["n"] == 16 and first["sign"] == 1
    assert first["voxels"] > 15 and first["size_mm3"] == pytest.approx(64 * first["voxels"])
    assert max(first["p_mass"], first["p_extent"], first["p_tfce"], first["p_peak"]) < 0.02
    peak = first[["peak_x", "peak_y", "peak_z"]].to_numpy(float) / 4
    assert all(side.start <= place < side.stop for side, place in zip(CUBE, peak, strict=True))
    meta = sidecar(cohort, "t")
    assert meta["Permutations"] == 300 and meta["DegreesOfFreedom"] == 14 and len(meta["Participants"]) == 16


def test_the_page_shows_the_maps_and_the_cube_as_first_cluster(cohort):
    page = run_group(model(cohort, "permutations = 300\nfwhm = 0\n")).read_text()
    section = page[page.index('id="voxelwise"') : page.index('id="maps"')]
    assert section.count("<img") == 3, "t, the glass brain and slices of what holds"
    assert "voxels with p &lt; 0.05 (TFCE" in section
    table = pd.read_csv(cohort.out / "group/clusters.tsv", sep="\t").sort_values(["p_tfce", "p_mass"])
    cells = section[section.index("<tbody>") :].split("<td>")[1:]
    assert cells[0].startswith("PD - HC") and cells[3].startswith(f"{table['peak_statistic'].iloc[0]:.3g}")
    assert section.count("<tr>") - 1 == min(30, len(table))


def test_covariates_and_smoothing_and_who_covers_too_little(cohort):
    few = np.zeros(SHAPE)
    few[:5] = 1
    cohort.chi("sub-03", np.full(SHAPE, 0.03), mask=few)
    run_group(model(cohort, 'permutations = 20\nfwhm = 10\ncovariates = ["age"]\nscores = ["age"]\n'))
    meta = sidecar(cohort, "t")
    assert meta["DegreesOfFreedom"] == 12 and "sub-03" not in meta["Participants"] and "age" in meta["Model"]
    left_out = pd.read_csv(cohort.out / "group/exclusions.tsv", sep="\t")
    reasons = left_out[left_out["participant_id"] == "sub-03"]["reason"]
    assert reasons.str.contains("the median is 990").any()
    assert (cohort.out / "group/contrast-age_space-MNI152NLin2009cAsym_desc-t_Chimap.nii.gz").exists()
    outside = np.ones(SHAPE, bool)
    outside[1:10, :9, :8] = False
    assert image(cohort, "estimate").get_fdata()[outside].std() < 4, "5 ppb before smoothing"


def test_nothing_is_tested_without_being_asked_for(cohort):
    run_group(model(cohort, ""))
    assert not list((cohort.out / "group").glob("contrast-*"))


def test_maps_that_cannot_be_read_stop_nothing(cohort):
    for path in cohort.out.glob("sub-*/anat/*_Chimap.nii.gz"):
        path.write_bytes(path.read_bytes()[:2000])
    run_group(model(cohort, "permutations = 20\n"))
    notes = json.loads((cohort.out / "group/design.json").read_text())["notes"]
    assert any(note.startswith("voxel-wise: not computed: none of the χ maps") for note in notes)
    assert (cohort.out / "group/group.html").exists()


def test_labels_come_from_the_packaged_atlas():
    affine = np.diag([2.0, 2, 2, 1])
    affine[:3, 3] = (-60, -60, -40)
    labels, names = atlas_labels((60, 60, 50), affine), label_names()
    where = {names[label]: affine[:3, :3] @ np.argwhere(labels == label).mean(0) + affine[:3, 3] for label in (1, 101)}
    assert np.linalg.norm(where["putamen L"] - [-25.7, 2.2, 0.6]) < 3
    assert np.linalg.norm(where["putamen R"] - [25.7, 2.2, 0.6]) < 3
    assert (labels > 1000).any() and set(np.unique(labels)) - {0} <= set(names)
