import nibabel as nib
import numpy as np
import pytest

from qsmprep import data
from qsmprep.space.priors import CSF, REGION, WHITE_MATTER, lateral_ventricles, reference_priors


def test_lateral_ventricles_lie_on_both_sides_and_not_on_the_midline():
    image = nib.load(data.template("T1w"))
    brain = np.asanyarray(nib.load(data.template("mask")).dataobj) > 0
    prior = lateral_ventricles(np.asanyarray(image.dataobj), brain, image.affine, margin=0)
    xyz = nib.affines.apply_affine(image.affine, np.argwhere(prior))
    left, right = xyz[xyz[:, 0] < 0], xyz[xyz[:, 0] > 0]
    # the adult lateral ventricles of the template hold some 5 to 12 mL a side
    assert 5000 < len(left) < 12000 and 5000 < len(right) < 12000
    assert left[:, 0].mean() == pytest.approx(-right[:, 0].mean(), abs=3)
    labels = np.asanyarray(nib.load(data.atlas("deepgrey").image).dataobj)
    assert (labels[prior] > 0).mean() < 0.08


def test_reference_priors_lie_where_they_should():
    priors, path = reference_priors(("deepgrey", "thalamus"))
    image = nib.load(path)
    t1w = np.asanyarray(image.dataobj)
    brain = np.asanyarray(nib.load(data.template("mask")).dataobj) > 0
    deep = np.asanyarray(nib.load(data.atlas("deepgrey").image).dataobj)
    white = priors == WHITE_MATTER
    assert priors.shape == t1w.shape and not priors[~brain].any()
    assert not deep[white].any()
    # a tenth of a litre at least, in both halves, and brighter than nine tenths of the rest of the brain
    assert white.sum() > 100_000
    x = np.argwhere(white) @ image.affine[0, :3] + image.affine[0, 3]
    assert 0.4 < (x < 0).mean() < 0.6
    assert np.median(t1w[white]) > np.percentile(t1w[brain & ~white], 80)
    assert t1w[priors == CSF].mean() < 0.6 * t1w[white].mean()
    index = [int(v) for v in np.unique(deep[priors == REGION])]
    assert len(index) == 2 and index[1] == index[0] + 100  # left and right


def test_a_region_that_is_not_in_the_atlas_is_told():
    with pytest.raises(ValueError, match=r"no region 'thalamos'.*thalamus"):
        reference_priors(("deepgrey", "thalamos"))
