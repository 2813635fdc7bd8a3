"""The study template at the group level: people made from one head by known smooth warps."""

import functools
import json

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter

from qsmprep.errors import InputError
from qsmprep.group import study as group_study
from qsmprep.group.design import read_design
from qsmprep.group.maps import Source
from qsmprep.group.people import Ledger
from qsmprep.group.run import run_group
from qsmprep.group.studyinput import contrasts_of, prepare
from qsmprep.space import study
from qsmprep.space.composite import write_composite
from qsmprep.space.displacement import mean_field, moved, write_field
from qsmprep.space.multicontrast import Refined

SHAPE = (24, 28, 22)
AFFINE = np.array([[4.0, 0, 0, -46], [0, 4, 0, -62], [0, 0, 4, -38], [0, 0, 0, 1]])  # in the middle of the template
N = 4
PLAIN = study.build_study


@pytest.fixture
def people(dataset, monkeypatch):
    """Two controls and two patients with maps and one regional number; registrations are short, and are counted."""
    rng = np.random.default_rng(3)
    place = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    brain = sum(axis**2 for axis in place) < 0.8
    chi = 0.03 * gaussian_filter(rng.standard_normal(SHAPE), 1.3) / 0.12
    s0 = 300 + 100 * gaussian_filter(rng.standard_normal(SHAPE), 1.3) / 0.12
    fields = [np.stack([gaussian_filter(rng.standard_normal(SHAPE), 4.0) for _ in range(3)], -1) for _ in range(N)]
    fields = [(0.8 * field / field.std()).astype(np.float32) for field in fields]
    lines = ["participant_id\tgroup"]
    for number, field in enumerate(fields):
        way, name = field - mean_field(fields), f"sub-{number}"
        mask = moved(brain.astype(np.float32), way) > 0.5
        dataset.chi(name, moved(chi.astype(np.float32), way) * mask, AFFINE, mask)
        dataset.chi(name, moved(s0.astype(np.float32), way) * mask, AFFINE, suffix="S0map")
        dataset.stats(name, [("putamen", "L", 0.05 + 0.001 * number)])
        lines.append(f"{name}\t{'HC' if number % 2 else 'PD'}")
    dataset.participants("\n".join(lines) + "\n")
    dataset.registered = []

    def counted(*args, **kwargs):
        dataset.registered.append(args[0])
        return register(*args, **kwargs)

    register = study.register
    monkeypatch.setattr(study, "register", counted)
    monkeypatch.setattr(group_study, "build_study", functools.partial(PLAIN, rounds=1))
    monkeypatch.setattr(group_study, "refine_nuclei", one_voxel_to_the_right)
    return dataset


def one_voxel_to_the_right(chi, from_template, out_dir, **_):
    field = np.zeros((*SHAPE, 3), np.float32)
    field[..., 0] = -1  # a point of the study's grid takes the label of the voxel to its left
    return Refined((write_field(field, AFFINE, out_dir / "nuclei.nii.gz"),), (), 4.0)


def load(path):
    return np.asarray(nib.load(path).dataobj)


def test_maps_tests_atlases_and_page_are_in_the_space_of_the_study(people):
    path = people.root / "model.toml"
    path.write_text('groups = "group"\nstatistics = ["chi_mean"]\npermutations = 4\nstudy_template = true\n')
    page = run_group(people.settings(model=path, nprocs=1)).read_text()
    group = people.out / "group"
    facts = json.loads((group / "study_template.json").read_text())
    assert facts["ChiSDStudyPPB"] < 0.85 * facts["ChiSDStandardPPB"]
    assert facts["Participants"] == [f"sub-{number}" for number in range(N)]
    assert facts["Contrasts"] == ["Chimap", "S0map"] and facts["BiasMM"] < 0.1 < facts["SpreadMM"]

    own = np.stack([load(path) for path in sorted(group.glob("study/*_Chimap.nii.gz"))])
    assert len(own) == N
    np.testing.assert_allclose(load(group / "space-study_desc-median_Chimap.nii.gz")[12, 14, 11],
                               np.median(own[:, 12, 14, 11]), rtol=1e-5)  # fmt: skip
    meta = json.loads((group / "space-study_desc-sd_Chimap.json").read_text())
    assert meta["SpatialReference"] == "bids::group/space-study_desc-template_Chimap.nii.gz"
    assert (group / "contrast-PDMinusHC_space-study_desc-t_Chimap.nii.gz").exists()
    assert not list(group.glob("contrast-*_space-MNI*"))
    ways = {path.name for path in group.glob("study/sub-1_*xfm.h5")}
    assert ways == {
        "sub-1_from-MNI152NLin2009cAsym_to-study_mode-image_xfm.h5",
        "sub-1_from-study_to-MNI152NLin2009cAsym_mode-image_xfm.h5",
    }
    labels = load(group / "space-study_seg-deepgrey_dseg.nii.gz")
    there = [np.argwhere(labels == value) @ AFFINE[:3, :3] + AFFINE[:3, 3] for value in (1, 101)]
    assert there[0].mean(0)[0] == pytest.approx(-25.7 + 4, abs=3) and there[1].mean(0)[0] == pytest.approx(29.7, abs=3)
    section = page[page.index('<section id="study"') :]
    assert "Voxel-wise tests in the study template" in page and section.count("<img") == 6
    assert "SD of χ in the deep nuclei" in section
    methods = (group / "paper/text.md").read_text()
    assert "(Avants 2010, doi 10.1016/j.neuroimage.2009.09.062)." in methods

    # the same again registers nothing; without one participant all is new, and nothing is left of it
    assert len(people.registered) == N
    run_group(people.settings(model=path, nprocs=1))
    assert len(people.registered) == N
    path.write_text(path.read_text().replace("permutations = 4\n", ""))
    for old in (people.out / "sub-3" / "anat").iterdir():
        old.unlink()
    run_group(people.settings(model=path, nprocs=1))
    assert len(people.registered) == 2 * N - 1
    assert not list(group.glob("study/sub-3*")) and list(group.glob("study/sub-2*"))


def test_maps_are_interpolated_once_where_the_acquired_grid_is_known(people):
    identity = write_field(np.zeros((*SHAPE, 3), np.float32), AFFINE, people.root / "identity.nii.gz")
    for number in range(N):
        folder = people.folder(f"sub-{number}")
        stem = folder / f"sub-{number}"
        space = f"{stem}_space-MNI152NLin2009cAsym_res-1"
        for suffix in ("Chimap", "desc-qsm_mask"):
            image = nib.load(f"{space}_{suffix}.nii.gz")
            values = np.asarray(image.dataobj)
            # twice as large: told from the one in template space
            nib.save(nib.Nifti1Image(values * (2 if suffix == "Chimap" else 1), AFFINE), f"{stem}_{suffix}.nii.gz")
        write_composite([identity], folder / f"sub-{number}_from-GRE_to-MNI152NLin2009cAsym_mode-image_xfm.h5")
    run_group(people.settings(study_template=True, nprocs=1))
    group = people.out / "group"
    template = load(group / "space-study_desc-template_Chimap.nii.gz")
    mean = load(group / "space-study_desc-mean_Chimap.nii.gz")
    assert mean.std() > 1.5 * template.std()
    meta = json.loads((group / "study/sub-0_space-study_Chimap.json").read_text())
    assert "once, from the acquired grid" in meta["Description"]
    assert meta["Sources"] == ["bids::sub-0/anat/sub-0_Chimap.nii.gz", "bids::sub-0/anat/sub-0_desc-qsm_mask.nii.gz"]


def test_one_participant_is_told_and_the_rest_goes_on(dataset):
    dataset.chi("sub-1", np.full((5, 5, 5), 0.1))
    dataset.participants("participant_id\nsub-1\n")
    run_group(dataset.settings(study_template=True))
    notes = json.loads((dataset.out / "group/design.json").read_text())["notes"]
    assert any("study template: left out" in note and "needed: 2" in note for note in notes)
    assert (dataset.out / "group/space-MNI152NLin2009cAsym_desc-mean_Chimap.nii.gz").exists()


def test_the_option_and_the_model_file_ask_alike(dataset):
    model = dataset.root / "model.toml"
    model.write_text("study_template = true\n")
    assert read_design(dataset.settings(study_template=True))[0].study_template
    assert read_design(dataset.settings(model=model))[0].study_template
    assert not read_design(dataset.settings())[0].study_template


def sources(dataset, shape=(9, 8, 8), affine=None, s0=(1, 2)):
    """Two people; χ is 0.05 ppm in a box and S0 100 all over."""
    chi = np.zeros(shape)
    chi[2:6, 2:6, 2:6] = 0.05
    affine = np.diag([1.0, 1, 1, 1]) if affine is None else affine
    found = []
    for number in (1, 2):
        dataset.chi(f"sub-{number}", chi, affine)
        if number in s0:
            dataset.chi(f"sub-{number}", np.where(chi > 0, 100.0, 0), affine, suffix="S0map")
        path = dataset.folder(f"sub-{number}") / f"sub-{number}_space-MNI152NLin2009cAsym_res-1_Chimap.nii.gz"
        found.append(Source(f"sub-{number}", f"sub-{number}", path))
    return found


def test_chi_alone_is_taken_where_one_has_no_s0(dataset):
    ledger = Ledger()
    assert contrasts_of(sources(dataset, s0=(1,)), ledger) == ("Chimap",)
    assert "sub-2" in ledger.notes[0] and "sub-1" not in ledger.notes[0]
    assert contrasts_of(sources(dataset), Ledger()) == ("Chimap", "S0map")


def test_fine_maps_are_thinned_to_blocks_of_2_mm_that_stay_in_place(dataset, tmp_path):
    members = prepare(sources(dataset), ("Chimap", "S0map"), tmp_path)
    assert [member.name for member in members] == ["sub-1", "sub-2"]
    for path, value in zip(members[0].images, (0.05, 1.0), strict=True):  # S0 in units of its median
        image = nib.load(path)
        data = image.get_fdata()
        assert image.header.get_zooms() == (2, 2, 2) and (data > 0).sum() == 8
        np.testing.assert_allclose(data[data > 0], value, rtol=1e-6)
        centre = image.affine[:3, :3] @ np.argwhere(data > 0).mean(0) + image.affine[:3, 3]
        np.testing.assert_allclose(centre, [3.5, 3.5, 3.5])


def test_damaged_and_empty_maps_are_named(dataset, tmp_path):
    found = sources(dataset)
    s0 = found[1].image.with_name(found[1].image.name.replace("Chimap", "S0map"))
    nib.save(nib.Nifti1Image(np.ones((3, 3, 3), np.float32), np.eye(4)), s0)
    with pytest.raises(InputError, match=r"sub-2_.*S0map\.nii\.gz has the shape"):
        prepare(found, ("Chimap", "S0map"), tmp_path)
    s0.write_bytes(b"no image")
    with pytest.raises(InputError, match=r"sub-2_.*S0map\.nii\.gz cannot be used .* anew"):
        prepare(found, ("Chimap", "S0map"), tmp_path)
    for source in found:
        nib.save(nib.Nifti1Image(np.zeros((3, 3, 3), np.float32), np.eye(4)), source.image)
    with pytest.raises(InputError, match="are empty"):
        prepare(found, ("Chimap",), tmp_path)


def test_exclusions_name_maps_on_another_grid(people):
    people.chi("sub-4", np.ones((5, 5, 5)), AFFINE)
    run_group(people.settings(study_template=True, nprocs=1))
    table = pd.read_csv(people.out / "group/exclusions.tsv", sep="\t")
    assert ((table["participant_id"] == "sub-4") & (table["where"] == "study template")).any()
