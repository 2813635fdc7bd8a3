import numpy as np
import pytest

from qsmprep.qsm.reference import reference_chi


def volumes():
    chi = np.zeros((8, 8, 8), np.float32)
    chi[1:7, 1:7, 1:7] = np.random.default_rng(0).normal(0.05, 0.02, (6, 6, 6))
    mask = chi != 0
    region = np.zeros_like(mask)
    region[0:4, 2:5, 2:5] = True
    return chi, mask, region


def test_mean_of_the_region_is_zero_afterwards_and_differences_stay():
    chi, mask, region = volumes()
    referenced = reference_chi(chi, region, mask)
    assert referenced.chi.dtype == np.float32
    assert abs(referenced.chi[region & mask].mean()) < 1e-7
    assert referenced.offset == pytest.approx(chi[region & mask].mean(), abs=1e-7)
    assert referenced.sd == pytest.approx(chi[region & mask].std(), abs=1e-6)
    assert referenced.n_voxels == (region & mask).sum() == 27
    assert np.allclose((chi - referenced.chi)[mask], referenced.offset, atol=1e-7)


def test_voxels_without_chi_stay_zero_and_real_zeros_are_referenced():
    chi, mask, region = volumes()
    chi[3, 3, 3] = 0
    referenced = reference_chi(chi, region, mask)
    assert not referenced.chi[~mask].any()
    assert referenced.chi[3, 3, 3] == np.float32(-referenced.offset)
    assert reference_chi(chi, region).n_voxels == 26


def test_a_region_outside_the_map_is_refused():
    chi, mask, region = volumes()
    with pytest.raises(ValueError, match="no voxel"):
        reference_chi(chi, ~mask, mask)
    with pytest.raises(ValueError, match="empty"):
        reference_chi(chi, region & False, mask)
