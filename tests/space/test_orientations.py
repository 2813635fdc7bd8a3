"""Left never becomes right: whichever way the axes of an image run, labels land on their own side of the head."""

from itertools import permutations, product

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

from qsmprep import data
from qsmprep.bids.images import read_grid, values_on_grid
from qsmprep.bids.plan import make_plan
from qsmprep.settings import Settings
from qsmprep.space.resample import apply, positions

CODES = ["".join(way) for order in permutations(("LR", "PA", "IS")) for way in product(*order)]
# label -> centre [mm to the right, front and top] of a block; no two are mirror images of each other
BLOCKS = {1: (-15, 9, 3), 101: (15, -9, -3), 2: (-9, -15, 9), 102: (9, 3, -15)}
SHAPE, SIZE = (22, 24, 26), 2.0


def turned(image, codes):
    """The same voxels of an image with its axes running along `codes`."""
    return image.as_reoriented(ornt_transform(io_orientation(image.affine), axcodes2ornt(codes)))


def blocks():
    """Label image in RAS with the blocks of `BLOCKS`, 6 mm wide."""
    affine = np.diag([SIZE, SIZE, SIZE, 1])
    affine[:3, 3] = -SIZE * (np.array(SHAPE) - 1) / 2
    places = nib.affines.apply_affine(affine, np.moveaxis(np.indices(SHAPE), 0, -1))
    values = np.zeros(SHAPE, np.uint8)
    for label, centre in BLOCKS.items():
        values[(np.abs(places - centre) <= 3).all(axis=-1)] = label
    return nib.Nifti1Image(values, affine)


def centres(values, affine):
    return {
        label: nib.affines.apply_affine(affine, np.argwhere(values == label)).mean(axis=0)
        for label in np.unique(values[values > 0])
    }


def assert_in_place(values, affine):
    found = centres(values, affine)
    assert set(found) == set(BLOCKS)
    for label, centre in found.items():
        np.testing.assert_allclose(centre, BLOCKS[label], atol=1.01)


def test_there_are_48_orientations():
    assert len(set(CODES)) == 48


@pytest.mark.parametrize("codes", CODES)
def test_labels_carried_to_any_orientation_stay_in_their_place(codes, tmp_path):
    nib.save(blocks(), tmp_path / "labels.nii")
    grid = turned(blocks(), codes)
    nib.save(nib.Nifti1Image(np.zeros(grid.shape, np.float32), grid.affine), tmp_path / "grid.nii")
    out = apply(tmp_path / "labels.nii", tmp_path / "grid.nii", [], tmp_path / "out.nii", interpolation="label")
    moved = nib.load(out)
    assert "".join(nib.aff2axcodes(moved.affine)) == codes
    assert_in_place(np.asanyarray(moved.dataobj), moved.affine)
    # and back again from an atlas that is stored in that orientation
    back = nib.load(apply(out, tmp_path / "labels.nii", [], tmp_path / "back.nii", interpolation="label"))
    assert_in_place(np.asanyarray(back.dataobj), back.affine)


@pytest.mark.parametrize("codes", CODES)
def test_positions_and_field_direction_follow_any_orientation(codes, tmp_path):
    nib.save(blocks(), tmp_path / "template.nii")
    nib.save(turned(blocks(), codes), tmp_path / "grid.nii")
    labels = nib.load(tmp_path / "grid.nii")
    places = np.asanyarray(
        nib.load(positions(tmp_path / "grid.nii", tmp_path / "template.nii", [], tmp_path / "places.nii")).dataobj
    )
    for label, centre in BLOCKS.items():
        np.testing.assert_allclose(places[np.asanyarray(labels.dataobj) == label].mean(axis=0), centre, atol=1.01)
    up, angle = read_grid(tmp_path / "grid.nii").b0_dir()
    axis = next(i for i, code in enumerate(codes) if code in "IS")
    assert angle == 0 and up[axis] == (1 if codes[axis] == "S" else -1)


@pytest.mark.parametrize("codes", CODES)
def test_a_label_image_in_any_orientation_is_put_on_the_grid_of_the_image(codes, tmp_path):
    nib.save(blocks(), tmp_path / "gre.nii")
    nib.save(turned(blocks(), codes), tmp_path / "drawn.nii")
    values = values_on_grid(tmp_path / "drawn.nii", read_grid(tmp_path / "gre.nii"))
    np.testing.assert_array_equal(values, np.asanyarray(blocks().dataobj))


# sagittal slices, coronal ones, and the three axial conventions; each participant is the same head
ACQUIRED = {"ras": "RAS", "las": "LAS", "lpi": "LPI", "sagittal": "PSR", "coronal": "LIP"}


@pytest.fixture(scope="module")
def heads(phantom_dataset, tmp_path_factory):
    """Plan of one head in five orientations, its T1w stored as sagittal slices; truth; template to T1w."""
    from qsmprep.mask.brain import extract_brain
    from qsmprep.space.registration import normalize

    base = tmp_path_factory.mktemp("orientations")
    bids = base / "bids"
    source = phantom_dataset / "sub-01" / "anat"
    for name, codes in ACQUIRED.items():
        folder = bids / f"sub-{name}" / "anat"
        folder.mkdir(parents=True)
        for path in source.iterdir():
            target = folder / path.name.replace("sub-01", f"sub-{name}")
            if path.suffix == ".json":
                target.write_text(path.read_text())
            elif path.name.endswith(".nii.gz"):
                nib.save(turned(nib.load(path), "PSR" if "T1w" in path.name else codes), target)
    (bids / "dataset_description.json").write_text((phantom_dataset / "dataset_description.json").read_text())
    plan = make_plan(Settings(bids_dir=bids, out_dir=base / "out", nprocs=1))
    assert not plan.skipped and len(plan.runs) == len(ACQUIRED)
    t1w = plan.runs[0].t1w
    mask = base / "mask.nii.gz"
    extract_brain(t1w, mask, transforms_dir=base / "start")
    return plan, normalize(t1w, mask, base / "norm", start=base / "start"), base


def nuclei(phantom_dataset, side):
    """True basal ganglia of one side, in RAS."""
    folder = phantom_dataset / "derivatives" / "phantom" / "sub-01" / "anat"
    table = pd.read_csv(folder / "sub-01_seg-nuclei_dseg.tsv", sep="\t")
    chosen = table[table["name"].isin(["putamen", "caudate"]) & (table["hemisphere"] == side)]["index"]
    image = turned(nib.load(folder / "sub-01_seg-nuclei_dseg.nii.gz"), "RAS")
    return np.isin(np.asanyarray(image.dataobj), chosen)


@pytest.mark.slow
@pytest.mark.parametrize("name", ACQUIRED)
def test_plan_registration_and_labels_keep_the_sides_of_a_head(heads, phantom_dataset, name):
    from qsmprep.space.quality import dice
    from qsmprep.space.registration import rigid

    plan, norm, base = heads
    (run,) = [run for run in plan.runs if run.subject == name]
    assert "".join(nib.aff2axcodes(read_grid(run.files[0]).affine)) == ACQUIRED[name]
    magnitude = run.echoes[0].magnitude
    found = rigid(magnitude, run.t1w, base, prefix=name)
    atlas = data.atlas("deepgrey")
    chain = [*found.inverse, *norm.inverse]
    labels = turned(nib.load(apply(atlas.image, magnitude, chain, base / f"{name}.nii", interpolation="label")), "RAS")
    table = pd.read_csv(atlas.labels, sep="\t", keep_default_na=False)
    for side, other in ("LR", "RL"):
        chosen = table[table["name"].isin(["putamen", "caudate"]) & (table["hemisphere"] == side)]["index"]
        region = np.isin(np.asanyarray(labels.dataobj), chosen)
        assert dice(region, nuclei(phantom_dataset, side)) > 0.7
        assert dice(region, nuclei(phantom_dataset, other)) == 0
