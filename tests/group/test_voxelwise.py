import json

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from qsmprep import data
from qsmprep.bids.derivatives import sidecar_path
from qsmprep.group.run import run_group
from qsmprep.group.voxels import atlas_labels, label_names

SHAPE = (10, 11, 9)
CUBE = (slice(4, 7), slice(2, 5), slice(1, 4))
OTHER = (slice(6, 9), slice(6, 9), slice(5, 8))


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
    path.write_text('statistics = ["chi_mean"]\n' + text)
    return dataset.settings(model=path, nprocs=1)


def image(dataset, desc, contrast="PDMinusHC", suffix="Chimap"):
    name = f"contrast-{contrast}_space-MNI152NLin2009cAsym_desc-{desc}_{suffix}.nii.gz"
    return nib.load(dataset.out / "group" / name)


def sidecar(dataset, *names):
    return json.loads(sidecar_path(image(dataset, *names).get_filename()).read_text())


def clusters(dataset):
    return pd.read_csv(dataset.out / "group/clusters.tsv", sep="\t")


def inside(*cube):
    volume = np.zeros(SHAPE, bool)
    volume[cube or CUBE] = True
    return volume


def test_the_cube_is_found_and_t_is_that_of_scipy(cohort):
    run_group(model(cohort, "permutations = 300\nfwhm = 0\n"))
    chi = np.stack([nib.load(path).get_fdata() for path in sorted(cohort.out.glob("sub-*/anat/*_Chimap.nii.gz"))])
    expected = stats.ttest_ind(chi[1::2], chi[::2]).statistic
    np.testing.assert_allclose(image(cohort, "t").get_fdata(), expected, rtol=1e-4)
    difference = 1000 * (chi[1::2].mean(0) - chi[::2].mean(0))
    np.testing.assert_allclose(image(cohort, "estimate").get_fdata(), difference, rtol=1e-4, atol=1e-3)
    for desc in ("logpTfce", "logpPeak", "logpMass"):
        significant = image(cohort, desc).get_fdata() > -np.log10(0.05)
        assert significant[inside()].mean() > 0.7 and significant[~inside()].mean() < 0.03, desc
    table = clusters(cohort)
    first = table.iloc[0]
    assert first["map"] == "chi" and first["contrast"] == "PD - HC" and first["statistic_name"] == "t"
    assert first["n"] == 16 and first["sign"] == 1
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
    assert cells[0].startswith("χ") and cells[1].startswith("PD - HC")
    assert cells[4].startswith("t<") and cells[5].startswith(f"{table['peak_statistic'].iloc[0]:.3g}")
    assert section.count("<tr>") - 1 == min(30, len(table))


def test_the_paper_tells_the_cluster_and_how_it_was_tested(cohort):
    run_group(model(cohort, "permutations = 300\nfwhm = 0\n"))
    methods, results = (cohort.out / "group/paper/text.md").read_text().split("# Results")
    assert (
        "in the space of MNI152NLin2009cAsym, by 300 permutations (Freedman" in methods and "smoothing" not in methods
    )
    paragraph = next(line for line in results.splitlines() if line.startswith("Voxel-wise, PD - HC (χ, n = 16): "))
    table = clusters(cohort).sort_values(["p_tfce", "size_mm3"], ascending=[True, False])
    holds = table[table["p_tfce"] < 0.05]
    assert f"{len(holds)} cluster" in paragraph and "family-wise p < 0.05" in paragraph
    first = holds.iloc[0]
    place = ", ".join(f"{first[key]:.0f}" for key in ("peak_x", "peak_y", "peak_z"))
    assert f"peak t(14) = {first['peak_statistic']:.2f} at ({place}) mm, {first['size_mm3']:.0f} mm³" in paragraph


def test_the_paper_says_where_nothing_holds_and_in_which_blocks(cohort):
    people = pd.read_csv(cohort.bids / "participants.tsv", sep="\t").assign(place=["a", "a", "b", "b"] * 4)
    people.to_csv(cohort.bids / "participants.tsv", sep="\t", index=False)
    run_group(model(cohort, 'permutations = 40\nfwhm = 3\nsite = "place"\nalpha = 0.001\n'))
    methods, results = (cohort.out / "group/paper/text.md").read_text().split("# Results")
    assert "smoothing by a Gaussian of 3 mm" in methods and ", within each place (" in methods
    assert "Voxel-wise, PD - HC (χ, n = 16): no voxel of 990 holds (family-wise p < 0.001 by TFCE" in results


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


def test_r2star_is_tested_beside_chi_where_it_is_named(cohort):
    for number in range(16):
        values = 20 + 2 * np.random.default_rng(100 + number).standard_normal(SHAPE)
        values[OTHER] -= 8 * (number % 2)
        if number != 2:
            cohort.r2star(f"sub-{number:02d}", values)
    page = run_group(model(cohort, 'permutations = 300\nfwhm = 0\nmaps = ["chi", "r2star"]\n')).read_text()
    names = [f"sub-{number:02d}" for number in range(16) if number != 2]
    maps = np.stack([nib.load(next(cohort.out.glob(f"{one}/anat/*_R2starmap.nii.gz"))).get_fdata() for one in names])
    patient = np.array([int(one[-2:]) % 2 == 1 for one in names])
    expected = stats.ttest_ind(maps[patient], maps[~patient]).statistic
    r2star = ("PDMinusHC", "R2starmap")
    np.testing.assert_allclose(image(cohort, "t", *r2star).get_fdata(), expected, rtol=1e-4, atol=1e-4)
    difference = maps[patient].mean(0) - maps[~patient].mean(0)
    np.testing.assert_allclose(image(cohort, "estimate", *r2star).get_fdata(), difference, rtol=1e-4, atol=1e-4)
    meta = sidecar(cohort, "estimate", *r2star)
    assert (meta["Units"], meta["Map"], sorted(meta["Participants"])) == ("1/s", "r2star", names)
    assert meta["Description"].startswith("Difference of R2*") and "R2starmap" in meta["Sources"][0]
    assert sidecar(cohort, "estimate")["Units"] == "ppb" and len(sidecar(cohort, "t")["Participants"]) == 16
    for suffix, cube in (("Chimap", CUBE), ("R2starmap", OTHER)):
        found = image(cohort, "logpTfce", suffix=suffix).get_fdata() > -np.log10(0.05)
        assert found[inside(*cube)].mean() > 0.7 and found[~inside(*cube)].mean() < 0.03, suffix
    first = clusters(cohort).groupby("map", sort=False).first()
    assert first.index.tolist() == ["chi", "r2star"] and first["sign"].tolist() == [1, -1]
    section = page[page.index('id="voxelwise"') : page.index('id="maps"')]
    assert section.count("<img") == 6 and "χ, PD - HC: t(14)" in section and "R2*, PD - HC: t(13)" in section


def test_r2star_that_is_not_there_is_told_and_chi_goes_on(cohort):
    run_group(model(cohort, 'permutations = 20\nmaps = ["r2star", "chi"]\n'))
    notes = json.loads((cohort.out / "group/design.json").read_text())["notes"]
    assert any(note.startswith("voxel-wise: there is no R2* map in template space") for note in notes)
    assert set(clusters(cohort)["map"]) <= {"chi"} and image(cohort, "t").shape == SHAPE


@pytest.fixture
def three_groups(dataset):
    """Eight each of HC, MCI and AD, half with e4: groups differ in CUBE; e4 turns the difference of AD in another."""
    rng = np.random.default_rng(3)
    lines = ["participant_id\tdx\tapoe"]
    for number in range(24):
        name, group, e4 = f"sub-{number:02d}", number % 3, number // 3 % 2
        chi = 0.03 + 0.01 * rng.standard_normal(SHAPE)
        chi[CUBE] += (0, -0.02, 0.02)[group]
        chi[OTHER] += 0.03 * (2 * e4 - 1) * (group == 2)
        dataset.chi(name, chi, mask=np.ones(SHAPE))
        dataset.stats(name, [("putamen", "L", 0.05 + 0.01 * rng.standard_normal())])
        lines.append(f"{name}\t{('HC', 'MCI', 'AD')[group]}\t{('e3', 'e4')[e4]}")
    dataset.participants("\n".join(lines) + "\n")
    return dataset


def chi_maps(dataset):
    return np.stack([nib.load(path).get_fdata() for path in sorted(dataset.out.glob("sub-*/anat/*_Chimap.nii.gz"))])


def test_three_groups_are_asked_as_a_whole(three_groups):
    page = run_group(model(three_groups, "permutations = 200\nfwhm = 0\n")).read_text()
    chi = chi_maps(three_groups)
    F = image(three_groups, "F", "termdx").get_fdata()
    np.testing.assert_allclose(F, stats.f_oneway(chi[::3], chi[1::3], chi[2::3]).statistic, rtol=1e-3, atol=1e-4)
    for desc in ("logpTfce", "logpPeak", "logpMass"):
        significant = image(three_groups, desc, "termdx").get_fdata() > -np.log10(0.05)
        assert significant[inside()].mean() > 0.7 and significant[~inside()].mean() < 0.03, desc
    assert not list((three_groups.out / "group").glob("contrast-termdx*_desc-estimate_*"))
    meta = sidecar(three_groups, "F", "termdx")
    assert meta["DegreesOfFreedom"] == [2, 21] and meta["ClusterFormingF"] == pytest.approx(stats.f.isf(1e-3, 2, 21))
    table = clusters(three_groups)
    assert table["contrast"].drop_duplicates().tolist()[-1] == "term(dx)" and table["contrast"].nunique() > 1
    of_f = table["statistic_name"] == "F"
    assert np.array_equal(of_f, table["contrast"] == "term(dx)") and np.array_equal(table["sign"].isna(), of_f)
    first = table[of_f].iloc[0]
    assert first["peak_statistic"] == pytest.approx(F[inside()].max(), rel=1e-4) and first["p_tfce"] < 0.02
    section = page[page.index('id="voxelwise"') : page.index('id="maps"')]
    assert "χ, term(dx): F(2, 21), 24 participants" in section and "F tells where a whole term" in section


def test_the_interaction_with_the_genotype_and_named_terms_are_asked_once(three_groups):
    text = 'permutations = 100\nfwhm = 0\ngenotype = "apoe"\ncontrasts = ["interaction(apoe:group)", "term(apoe)", '
    run_group(model(three_groups, text + '"term(sex)", "AD - HC", "AD - HC | apoe=e4"]\n'))
    import statsmodels.formula.api as smf

    group = three_groups.out / "group"
    asked = {path.name.split("_")[0] for path in group.glob("contrast-*_desc-logp_*")}
    assert asked == {"contrast-interactionapoegroup", "contrast-termapoe", "contrast-termdx", "contrast-ADMinusHC"} | {
        "contrast-ADMinusHCapoee4"
    }
    assert not list(group.glob("contrast-term*_desc-t_*")), "one degree of freedom makes F, too"
    people = pd.read_csv(three_groups.bids / "participants.tsv", sep="\t")
    ad, hc = (chi_maps(three_groups)[(people["dx"] == dx) & (people["apoe"] == "e4")] for dx in ("AD", "HC"))
    within = image(three_groups, "estimate", "ADMinusHCapoee4").get_fdata()
    np.testing.assert_allclose(within, 1000 * (ad.mean(0) - hc.mean(0)), rtol=1e-3, atol=1e-2)
    F = image(three_groups, "F", "interactionapoegroup").get_fdata()
    for voxel in ((7, 7, 6), (5, 3, 2), (0, 0, 0)):
        fit = smf.ols("chi ~ C(dx, Sum) * C(apoe, Sum)", people.assign(chi=chi_maps(three_groups)[:, *voxel])).fit()
        tests = fit.wald_test_terms(scalar=True).table
        assert F[voxel] == pytest.approx(tests.loc["C(dx, Sum):C(apoe, Sum)", "statistic"], rel=1e-3)
        apoe = image(three_groups, "F", "termapoe").get_fdata()[voxel]
        assert apoe == pytest.approx(tests.loc["C(apoe, Sum)", "statistic"], rel=1e-3, abs=1e-5)
    significant = image(three_groups, "logpTfce", "interactionapoegroup").get_fdata() > -np.log10(0.05)
    assert significant[inside(*OTHER)].mean() > 0.7 and significant[~inside(*OTHER)].mean() < 0.03
    notes = json.loads((group / "design.json").read_text())["notes"]
    assert any("voxel-wise: term(sex): not computed" in note and "has no term sex; it has dx" in note for note in notes)


def test_labels_come_from_the_packaged_atlas():
    affine = np.diag([2.0, 2, 2, 1])
    affine[:3, 3] = (-60, -60, -40)
    packaged = {name: data.atlas(name).image for name in ("deepgrey", "DK")}
    labels, names = atlas_labels((60, 60, 50), affine, packaged), label_names()
    where = {names[label]: affine[:3, :3] @ np.argwhere(labels == label).mean(0) + affine[:3, 3] for label in (1, 101)}
    assert np.linalg.norm(where["putamen L"] - [-25.7, 2.2, 0.6]) < 3
    assert np.linalg.norm(where["putamen R"] - [25.7, 2.2, 0.6]) < 3
    assert (labels > 1000).any() and set(np.unique(labels)) - {0} <= set(names)
