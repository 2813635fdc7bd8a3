"""Brain extraction, registration and atlas mapping on a real head."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine, voxel_sizes

from qsmprep import data
from qsmprep.mask.brain import extract_brain, quick_brain
from qsmprep.space.quality import dice
from qsmprep.space.registration import normalize, rigid
from qsmprep.space.resample import apply
from qsmprep.space.within import read_linear

HEAD = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "xa30"
T1W = HEAD / "sub-01" / "anat" / "sub-01_rec-norm_T1w.nii.gz"
GRE = HEAD / "sub-01" / "fmap" / "sub-01_magnitude1.nii.gz"

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not T1W.exists(), reason=f"the real head is not at {HEAD}")]


def load(path):
    return np.asanyarray(nib.load(path).dataobj)


@pytest.fixture(scope="module")
def expected_mask():
    return load(HEAD / "mask_on_magnitude1.nii.gz") > 0


@pytest.fixture(scope="module")
def gre_mask(tmp_path_factory):
    out = tmp_path_factory.mktemp("gre") / "mask.nii.gz"
    info = extract_brain(GRE, out, transforms_dir=out.parent / "start")
    return out, info


@pytest.fixture(scope="module")
def t1w(tmp_path_factory):
    """Brain mask of the T1w, and transforms: GRE to T1w, T1w to template."""
    folder = tmp_path_factory.mktemp("t1w")
    mask = folder / "mask.nii.gz"
    extract_brain(T1W, mask, transforms_dir=folder / "start")
    return mask, rigid(GRE, T1W, folder, fixed_mask=mask), normalize(T1W, mask, folder, start=folder / "start")


def test_brain_of_a_magnitude_agrees_with_a_neural_network(gre_mask, expected_mask):
    path, info = gre_mask
    assert dice(load(path), expected_mask) >= 0.92
    assert 1100 < info["volume_ml"] < 1600
    assert np.array_equal(nib.load(path).affine, nib.load(GRE).affine)


def test_the_same_seed_gives_the_same_mask(gre_mask, tmp_path):
    extract_brain(GRE, tmp_path / "mask.nii.gz")
    assert np.array_equal(load(tmp_path / "mask.nii.gz"), load(gre_mask[0]))


def test_gradient_echo_stays_where_the_scanner_saw_it(t1w):
    """Both images are of one session, minutes apart: what moves the brain more than the person did is an error."""
    move = read_linear(t1w[1].forward[0])
    corners = np.array([[x, y, z] for x in (-60, 60) for y in (-90, 50) for z in (-10, 60)])
    moved = np.linalg.norm(apply_affine(move, corners) - corners, axis=1)
    assert moved.max() < 2.5


def test_labels_through_the_gradient_echo_alone_lie_where_those_through_the_t1w_do(gre_mask, t1w, tmp_path):
    """Voxels of 3.4 mm, a surface coil's shading, hardly any contrast: the head's warp at 4 mm, not refined."""
    start = gre_mask[0].parent / "start"
    _, coregistration, normalization = t1w
    chains = {
        "t1w": normalization.inverse,
        "gre": [*coregistration.forward, start / "headWarp.nii.gz", start / "headAffine.mat"],
    }
    atlas = data.atlas("deepgrey").image
    one, other = (
        load(apply(atlas, T1W, chain, tmp_path / f"{name}.nii.gz", interpolation="label"))
        for name, chain in chains.items()
    )
    size = voxel_sizes(nib.load(T1W).affine)
    both = [index for index in np.intersect1d(one, other)[1:] if index % 100 != 20]  # the slab ends at the dentate
    centres = ([np.argwhere(labels == index).mean(axis=0) for index in both] for labels in (one, other))
    away = [np.linalg.norm(size * (a - b)) for a, b in zip(*centres, strict=True)]
    assert len(away) >= 30
    assert np.median(away) < 2 and max(away) < 4


def test_brain_of_the_t1w_lands_on_the_magnitude(t1w, expected_mask, tmp_path):
    mask, coregistration, _ = t1w
    carried = apply(mask, GRE, coregistration.inverse, tmp_path / "mask.nii.gz", interpolation="label")
    assert dice(load(carried), expected_mask) >= 0.92


def test_labels_on_the_magnitude_lie_in_the_brain_and_are_symmetric(t1w, expected_mask, tmp_path):
    mask, coregistration, normalization = t1w
    chain = [*coregistration.inverse, *normalization.inverse]
    atlas = data.atlas("deepgrey").image
    on_gre = load(apply(atlas, GRE, chain, tmp_path / "gre.nii.gz", interpolation="label"))
    assert (expected_mask[on_gre > 0]).mean() > 0.99
    on_t1w = load(apply(atlas, T1W, normalization.inverse, tmp_path / "t1w.nii.gz", interpolation="label"))
    assert (load(mask)[on_t1w > 0] > 0).mean() > 0.999
    sizes = np.bincount(on_t1w.ravel(), minlength=200)
    for index in (1, 2, 5, 6, 8, 17, 18, 19):
        assert 0.8 < sizes[index] / sizes[index + 100] < 1.25, index


def test_left_labels_are_on_the_left_of_the_person(t1w, tmp_path):
    chain = [*t1w[1].inverse, *t1w[2].inverse]
    labels = load(apply(data.atlas("deepgrey").image, GRE, chain, tmp_path / "gre.nii.gz", interpolation="nearest"))
    affine = nib.load(GRE).affine  # its voxels run from right to left
    middle = nib.affines.apply_affine(affine, np.argwhere(labels > 0)).mean(axis=0)[0]
    for index in (1, 2, 17):
        left, right = (
            nib.affines.apply_affine(affine, np.argwhere(labels == i)).mean(axis=0)[0] for i in (index, index + 100)
        )
        assert left < middle < right


def test_the_head_brought_to_the_template_has_its_brain_there(t1w, tmp_path):
    moved = apply(t1w[0], data.template("mask"), t1w[2].forward, tmp_path / "mask.nii.gz", interpolation="nearest")
    assert dice(load(moved), load(data.template("mask"))) > 0.97


def test_dark_ventricles_are_kept_out_of_the_caudate(t1w, tmp_path):
    labels = apply(data.atlas("deepgrey").image, T1W, t1w[2].inverse, tmp_path / "t1w.nii.gz", interpolation="label")
    labels, image = load(labels), load(T1W)
    grey = np.median(image[np.isin(labels, (1, 101))])  # putamen: far from fluid
    assert (image[np.isin(labels, (2, 102))] < 0.5 * grey).mean() < 0.1


def test_the_rough_brain_of_a_magnitude_agrees_with_a_neural_network(expected_mask, tmp_path):
    quick_brain(GRE, tmp_path / "mask.nii.gz")
    assert dice(load(tmp_path / "mask.nii.gz"), expected_mask) >= 0.92
