"""The template's own nuclei, moved by a known warp that only χ tells of."""

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from qsmprep import data
from qsmprep.space.multicontrast import refine_nuclei, template_chi
from qsmprep.space.resample import apply

BOX = (slice(60, 135), slice(85, 150), slice(45, 95))  # around the deep nuclei, without the dentate


@pytest.fixture(scope="module")
def moved(tmp_path_factory):
    """χ of the template with its nuclei shifted outwards and up by 2 mm, and a T1w that says that nothing moved."""
    folder = tmp_path_factory.mktemp("nuclei")
    template = nib.load(data.template("T1w"))
    atlas = nib.load(data.atlas("deepgrey").image)
    from nibabel.processing import resample_from_to

    labels = np.rint(np.asanyarray(resample_from_to(atlas, template, order=0).dataobj)).astype(np.int16)
    affine = template.affine @ np.array([[1, 0, 0, 60], [0, 1, 0, 85], [0, 0, 1, 45], [0, 0, 0, 1]])
    x, y, z = np.indices(template.shape)[(slice(None), *BOX)].astype(float)
    side = np.where(x * template.affine[0, 0] + template.affine[0, 3] > 0, 1, -1)
    where = [x - 1.5 * side, y, z - 1.5]
    chi = ndimage.map_coordinates(template_chi(), where, order=1)
    truth = ndimage.map_coordinates(labels, where, order=0)
    chi += np.random.default_rng(0).normal(0, 0.004, chi.shape)
    paths = {name: folder / f"{name}.nii.gz" for name in ("chi", "t1w")}
    nib.save(nib.Nifti1Image(chi.astype(np.float32), affine), paths["chi"])
    t1w = np.asanyarray(template.dataobj).astype(np.float32)[BOX]
    nib.save(nib.Nifti1Image(t1w, affine), paths["t1w"])
    return paths, truth, folder


def dice(found, truth, index):
    a, b = found == index, truth == index
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def labels_with(transforms, paths, out):
    apply(data.atlas("deepgrey").image, paths["chi"], transforms, out, interpolation="label")
    return np.rint(np.asanyarray(nib.load(out).dataobj)).astype(int)


@pytest.mark.slow
@pytest.mark.parametrize("with_t1w", [False, True])
def test_chi_puts_nuclei_right_and_both_ways_agree(moved, with_t1w, tmp_path):
    paths, truth, _ = moved
    identity = tmp_path / "identity.h5"
    from qsmprep.space._ants import load_ants

    ants = load_ants()
    ants.write_transform(ants.create_ants_transform(transform_type="AffineTransform", dimension=3), str(identity))
    more = {"t1w": paths["t1w"], "t1w_to_image": [identity]} if with_t1w else {}
    refined = refine_nuclei(paths["chi"], [identity], tmp_path, **more)
    before = labels_with([identity], paths, tmp_path / "before.nii.gz")
    after = labels_with([*refined.from_template, identity], paths, tmp_path / "after.nii.gz")
    for index in (1, 101, 5, 6, 105, 106):  # putamen, pallidum
        if (truth == index).sum() > 50:
            assert dice(after, truth, index) > max(dice(before, truth, index) + 0.05, 0.8), index
    assert 1.0 < refined.shift_mm < 3.5
    # there and back: χ to the template's grid, where nuclei lie again as the atlas has them
    back = apply(paths["chi"], data.template("T1w"), [identity, *refined.to_template], tmp_path / "back.nii.gz")
    chi = np.asanyarray(nib.load(back).dataobj)
    strayed = np.asanyarray(
        nib.load(apply(paths["chi"], data.template("T1w"), [identity], tmp_path / "stray.nii.gz")).dataobj
    )
    expected = template_chi()
    inside = (expected > 0.05) & (chi != 0)
    assert np.abs(chi - expected)[inside].mean() < 0.7 * np.abs(strayed - expected)[inside].mean()


def test_without_a_nucleus_in_the_field_of_view_nothing_is_done(tmp_path):
    image = tmp_path / "chi.nii.gz"
    affine = np.eye(4)
    affine[:3, 3] = (0, 300, 300)
    nib.save(nib.Nifti1Image(np.ones((8, 8, 8), np.float32), affine), image)
    from qsmprep.space._ants import load_ants

    ants = load_ants()
    identity = tmp_path / "identity.h5"
    ants.write_transform(ants.create_ants_transform(transform_type="AffineTransform", dimension=3), str(identity))
    refined = refine_nuclei(image, [identity], tmp_path)
    assert (refined.from_template, refined.to_template) == ((), ()) and np.isnan(refined.shift_mm)


def test_the_template_has_normal_values_where_the_atlas_has_nuclei():
    chi = template_chi()
    assert chi.shape == nib.load(data.template("T1w")).shape
    assert 0.12 < np.percentile(chi, 99.99) < 0.15  # the pallidum
    assert -0.0201 <= chi.min() < -0.019
