"""Grey matter: of the template, and of a head that differs from it."""

import tempfile

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from qsmprep import data
from qsmprep.regions import cortical_regions
from qsmprep.space.resample import apply
from qsmprep.space.tissue import grey_matter, segment, template_tissues


def load(path):
    return np.asanyarray(nib.load(path).dataobj)


@pytest.fixture(scope="module")
def tissues():
    return template_tissues()


def test_tissues_of_the_template_fill_the_brain_and_nothing_else(tissues):
    brain = load(data.template("mask")) > 0
    np.testing.assert_allclose(tissues.sum(axis=0), brain, atol=1e-5)
    assert tissues.min() >= 0


def test_tissues_of_the_template_lie_where_they_belong(tissues):
    atlas = data.atlas("DK")
    cortex = np.isin(load(atlas.image), list(cortical_regions(atlas.labels)))
    assert tissues[1][cortex].mean() > 0.65
    middle = nib.affines.apply_affine(
        np.linalg.inv(nib.load(data.template("T1w")).affine), [(-27, -20, 27), (-7, 5, 13)]
    )
    (deep_white, ventricle) = np.rint(middle).astype(int)
    assert tissues[2][tuple(deep_white)] == 1 and tissues[0][tuple(ventricle)] == 1


@pytest.fixture(scope="module")
def folded():
    """White matter with a folded cortex in fluid: fractions, T1w, and priors of a head whose folds lie elsewhere."""
    axes = np.meshgrid(*[np.linspace(-1, 1, 48)] * 3, indexing="ij")
    radius = np.sqrt(sum(axis**2 for axis in axes))
    angle = np.arctan2(axes[1], axes[0])

    def fractions(phase):
        border = 0.7 + 0.08 * np.cos(9 * angle + phase)
        white, whole = (np.clip((border + width - radius) * 24 + 0.5, 0, 1) for width in (0, 0.12))
        return np.stack([1 - whole, whole - white, white])

    truth = fractions(0.0)
    noise = np.random.default_rng(0).normal(0, 12, radius.shape)
    t1w = np.tensordot((80, 250, 400), truth, axes=1) + noise
    priors = np.stack([ndimage.gaussian_filter(part, 1.5) for part in fractions(2.0)])
    return truth, t1w, priors, radius < 0.95


def test_segmentation_follows_the_image_where_the_priors_are_elsewhere(folded):
    truth, t1w, priors, mask = folded
    found = segment(t1w, mask, priors, (1.2, 1.2, 1.2))
    assert found.shape == truth.shape and not found[:, ~mask].any()
    np.testing.assert_allclose(found.sum(axis=0)[mask], 1, atol=1e-3)
    grey = truth[1][mask]
    assert np.corrcoef(found[1][mask], grey)[0, 1] > 0.95 > 0.7 > np.corrcoef(priors[1][mask], grey)[0, 1]
    # probability, not volume: a voxel that is mostly grey counts as grey
    assert found[1].sum() == pytest.approx(truth[1][mask].sum(), rel=0.2)


def test_segmentation_leaves_no_file_behind(folded, tmp_path, monkeypatch):
    _, t1w, priors, mask = folded
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    segment(t1w, mask, priors, (1, 1, 1))
    assert tempfile.tempdir == str(tmp_path) and not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    """The template's head at 3 mm with slices that run from front to back, its mask, and a shading of the image."""
    folder = tmp_path_factory.mktemp("tissue")
    affine = np.array([[0, 3.0, 0, -90], [0, 0, -3.0, 85], [3.0, 0, 0, -70], [0, 0, 0, 1]])
    grid = folder / "grid.nii"
    nib.save(nib.Nifti1Image(np.zeros((54, 60, 72), np.uint8), affine), grid)
    plain = nib.load(apply(data.template("T1w"), grid, [], folder / "plain.nii"))
    shade = np.linspace(0.8, 1.3, 72, dtype=np.float32)
    nib.save(nib.Nifti1Image(plain.get_fdata(dtype=np.float32) * shade, affine), folder / "t1w.nii")
    mask = apply(data.template("mask"), grid, [], folder / "mask.nii", interpolation="label")
    return folder / "t1w.nii", mask, folder


@pytest.mark.slow
def test_grey_matter_lies_on_the_grid_of_the_image_and_in_its_brain(head, tissues):
    t1w, mask, folder = head
    template = nib.load(data.template("T1w"))
    nib.save(nib.Nifti1Image(tissues[1], template.affine), folder / "grey.nii")
    expected = load(apply(folder / "grey.nii", t1w, [], folder / "expected.nii"))
    brain = load(mask) > 0
    from_template = nib.load(grey_matter(t1w, mask, [], folder / "template_grey.nii", segment=False))
    np.testing.assert_array_equal(from_template.affine, nib.load(t1w).affine)
    np.testing.assert_allclose(np.asanyarray(from_template.dataobj), expected * brain, atol=1e-4)
    own = load(grey_matter(t1w, mask, [], folder / "own_grey.nii"))
    assert not own[~brain].any() and own.max() <= 1
    assert np.corrcoef(own[brain], expected[brain])[0, 1] > 0.8


def test_an_empty_mask_is_refused(head, tmp_path):
    t1w, mask, _ = head
    nib.save(nib.Nifti1Image(np.zeros(nib.load(mask).shape, np.uint8), nib.load(mask).affine), tmp_path / "none.nii")
    with pytest.raises(ValueError, match=r"none\.nii: the brain mask is empty"):
        grey_matter(t1w, tmp_path / "none.nii", [], tmp_path / "grey.nii")


def test_the_cortex_of_the_packaged_atlas_is_known():
    lookup = data.atlas("DK").labels
    table = pd.read_csv(lookup, sep="\t").set_index("index")
    names = set(table.loc[sorted(cortical_regions(lookup)), "name"])
    assert len(cortical_regions(lookup)) == 68 and "insula" in names
    assert not names & {"thalamus", "putamen", "hippocampus", "brainstem"}
