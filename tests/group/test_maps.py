import nibabel as nib
import numpy as np
import pytest

from qsmprep.group.maps import Medians, Moments, Source, mean_map

AFFINE = np.diag([4.0, 4.0, 4.0, 1.0])
SHAPE = (5, 6, 7)


@pytest.fixture
def save(tmp_path):
    def save(name, data, affine=AFFINE):
        path = tmp_path / f"{name}.nii.gz"
        nib.save(nib.Nifti1Image(np.asarray(data, np.float32), affine), path)
        return path

    return save


def test_moments_agree_with_numpy_for_values_far_from_zero():
    data = np.random.default_rng(1).normal(1000, 0.01, (12, *SHAPE))
    moments = Moments(SHAPE)
    for volume in data:
        moments.add(volume, np.ones(SHAPE, bool))
    np.testing.assert_allclose(moments.mean, data.mean(0), rtol=1e-12)
    np.testing.assert_allclose(moments.sd(), data.std(0, ddof=1), rtol=1e-6)


def test_mean_counts_only_voxels_inside_each_persons_mask(save):
    inside, part = np.ones(SHAPE), np.ones(SHAPE)
    part[0] = 0
    sources = [
        Source("sub-01", "sub-01", save("a", np.full(SHAPE, 0.1)), save("am", inside)),
        Source("sub-02", "sub-02", save("b", np.full(SHAPE, 0.3)), save("bm", part)),
    ]
    found = mean_map(sources)
    np.testing.assert_allclose(found.mean[0], 0.1, rtol=1e-6)
    np.testing.assert_allclose(found.mean[1:], 0.2, rtol=1e-6)
    np.testing.assert_allclose(found.sd[1:], np.sqrt(0.02), rtol=1e-5)
    assert (found.sd[0] == 0).all() and (found.n[0] == 1).all() and (found.n[1:] == 2).all()


def test_a_masked_zero_counts_but_an_unmasked_one_is_outside(save):
    values = np.full(SHAPE, 0.2)
    values[2] = 0
    with_mask = Source("sub-01", "sub-01", save("a", values), save("m", np.ones(SHAPE)))
    without = Source("sub-01", "sub-01", save("b", values))
    assert mean_map([with_mask]).n[2].min() == 1
    assert mean_map([without]).n[2].max() == 0


def test_every_person_counts_once_however_many_runs_there_are(save):
    sources = [Source(f"sub-01_run-{i}", "sub-01", save(f"r{i}", np.full(SHAPE, v))) for i, v in enumerate((0.1, 0.3))]
    sources.append(Source("sub-02", "sub-02", save("b", np.full(SHAPE, 0.5))))
    found = mean_map(sources)
    np.testing.assert_allclose(found.mean, 0.35, rtol=1e-6)
    assert found.n.max() == 2 and found.participants == ("sub-01", "sub-02")


def test_nan_is_not_counted(save):
    values = np.full(SHAPE, 0.2)
    values[1] = np.nan
    found = mean_map([Source("sub-01", "sub-01", save("a", values), save("m", np.ones(SHAPE)))])
    assert np.isfinite(found.mean).all() and found.n[1].max() == 0


def test_image_on_another_grid_or_broken_is_left_out_and_named(save, tmp_path):
    broken = tmp_path / "c.nii.gz"
    broken.write_bytes(b"")
    shifted = AFFINE.copy()
    shifted[0, 3] = 2
    sources = [Source(f"sub-0{i}", f"sub-0{i}", save(f"s{i}", np.full(SHAPE, 0.1))) for i in (1, 2)]
    sources += [Source("sub-03", "sub-03", save("x", np.full(SHAPE, 9.0), shifted)), Source("sub-04", "sub-04", broken)]
    found = mean_map(sources)
    np.testing.assert_allclose(found.mean, 0.1, rtol=1e-6)
    assert {run for run, _ in found.excluded} == {"sub-03", "sub-04"}
    assert "grid" in dict(found.excluded)["sub-03"]


def test_truncated_image_is_left_out(save):
    cut = save("t", np.random.default_rng(0).normal(size=SHAPE))
    cut.write_bytes(cut.read_bytes()[:-200])
    found = mean_map([Source("sub-01", "sub-01", save("a", np.full(SHAPE, 0.1))), Source("sub-02", "sub-02", cut)])
    assert found.participants == ("sub-01",) and found.excluded[0][0] == "sub-02"


def test_no_readable_image_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="no readable"):
        mean_map([Source("sub-01", "sub-01", tmp_path / "absent.nii.gz")])


def test_median_counts_only_valid_voxels(save):
    shape = (70, 70, 61)  # more than one part
    rng = np.random.default_rng(2)
    data, valid = rng.standard_normal((5, *shape)), rng.random((5, *shape)) > 0.4
    medians, short = Medians(shape), Medians(shape, limit_gb=1e-3)
    for values, where in zip(data, valid, strict=True):
        medians.add(values, where)
        short.add(values, where)
    expected = np.ma.median(np.ma.array(data, mask=~valid), axis=0).filled(0)
    np.testing.assert_allclose(medians.median(), expected, atol=1e-6)
    assert short.median() is None
    sources = [Source(f"sub-{i}", f"sub-{i}", save(str(i), np.full(SHAPE, v))) for i, v in enumerate((0.1, 0.2, 0.9))]
    np.testing.assert_allclose(mean_map(sources).median, 0.2, rtol=1e-6)
