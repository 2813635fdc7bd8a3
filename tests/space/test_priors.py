import nibabel as nib
import numpy as np
import pytest

from qsmprep import data
from qsmprep.space.priors import lateral_ventricles


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
