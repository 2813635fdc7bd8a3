import numpy as np
import pytest
from scipy import ndimage

from qsmprep.qsm.background._spheres import Region


@pytest.mark.parametrize("sizes", [(1.0, 1.0, 1.0), (0.8, 1.0, 2.5)])
def test_distance_to_the_rim_is_scipys_up_to_its_reach(sizes):
    mask = np.random.default_rng(0).random((23, 30, 19)) > 0.01
    mask[3:12, 4:20, 2:15] = True
    region = Region(np.zeros(mask.shape, np.float32), mask, sizes, (0, 0, 1))
    padded = np.pad(region.inside, 1)
    truth = ndimage.distance_transform_edt(padded, sampling=sizes)[1:-1, 1:-1, 1:-1]
    found = region.distance(5.0)
    near = truth <= 5
    assert near.sum() > 1000 and (~near).sum() > 100
    assert np.abs(found - truth)[near].max() < 1e-5
    assert found[~near].min() > 5
