"""One visit as arrays: the truth is true, and the images obey it."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, binary_erosion, map_coordinates

from qsmprep.errors import EnvironmentFault
from qsmprep.phantom import Options, make_subject
from qsmprep.phantom.subject import estimate_gb
from qsmprep.phantom.template import load_template
from qsmprep.qsm.dipole import forward_field

GAMMA = 42.577478518
OPTIONS = Options(voxel_size=(4.0, 4.0, 4.0), te=(0.003, 0.006), snr=500.0, t1w=False, seed=5)


@pytest.fixture(scope="module")
def visit():
    return make_subject(OPTIONS, 0, "control")


def field_ppm(visit, b0=3.0, te=(0.003, 0.006)):
    """Field from the phase between the two echoes."""
    step = np.angle(visit.echoes[..., 1] * np.conj(visit.echoes[..., 0]))
    return step / (2 * np.pi * GAMMA * b0 * (te[1] - te[0]))


def interior(visit):
    return binary_erosion(visit.truth.mask, iterations=2)


def test_phase_between_echoes_is_the_true_total_field(visit):
    inside = interior(visit)
    off = (field_ppm(visit) - visit.truth.total)[inside]
    assert np.median(np.abs(off)) < 0.002
    assert np.corrcoef(field_ppm(visit)[inside], visit.truth.total[inside])[0, 1] > 0.98


def test_air_of_the_skull_base_reaches_the_brain_and_spoils_few_voxels_much(visit):
    template = load_template()
    roofs = binary_dilation(template.air > 0.5) & (template.brain > 0.5)
    assert 50 < roofs.sum() < 0.002 * (template.brain > 0.5).sum()
    field, rim = np.abs(visit.truth.total), visit.truth.mask & ~interior(visit)
    assert np.percentile(field[rim], 99.5) > 1.3
    assert np.percentile(field[visit.truth.mask], 95) < 0.4


def test_brain_is_as_large_as_a_brain_and_its_truth_is_zero_outside(visit):
    litres = visit.truth.mask.sum() * 64e-6
    assert 1.3 < litres < 2.3
    for values in (visit.truth.chi, visit.truth.local, visit.truth.total):
        assert not values[~visit.truth.mask].any() and np.isfinite(values).all()
    assert abs(visit.truth.chi[visit.truth.mask].mean()) < 0.002


@pytest.mark.parametrize("name", ["putamen", "caudate", "thalamus"])
def test_mean_of_a_nucleus_is_what_was_put_in(visit, name):
    for side in "LR":
        nucleus = visit.truth.nuclei == visit.truth.regions.index((name, side)) + 1
        put_in = visit.person.chi[name, side] / 1000 - visit.truth.reference
        assert visit.truth.chi[nucleus].mean() == pytest.approx(put_in, abs=0.010)


def test_local_field_is_that_of_the_true_susceptibility_but_not_of_the_same_grid(visit):
    again = forward_field(visit.truth.chi, visit.grid.voxel_size, visit.grid.b0_dir)
    inside = interior(visit)
    off = np.linalg.norm((again - visit.truth.local)[inside]) / np.linalg.norm(visit.truth.local[inside])
    assert 0.01 < off < 0.5  # the head is finer than the images
    assert np.corrcoef(again[inside], visit.truth.local[inside])[0, 1] > 0.9


def test_the_same_seed_gives_the_same_visit_and_another_seed_another():
    small = replace(OPTIONS, voxel_size=(6.0, 6.0, 6.0), te=(0.005,))
    first, again, other = (make_subject(o, 0, "control") for o in (small, small, replace(small, seed=6)))
    np.testing.assert_array_equal(first.echoes, again.echoes)
    assert first.person == again.person
    assert first.grid.shape != other.grid.shape or not np.array_equal(first.truth.mask, other.truth.mask)
    assert first.person.chi != other.person.chi


def test_oblique_slices_see_the_same_head_and_field(visit):
    oblique = make_subject(replace(OPTIONS, obliquity=20.0), 0, "control")
    assert np.degrees(np.arccos(oblique.grid.b0_dir[2])) == pytest.approx(20, abs=1e-6)
    where = np.argwhere(interior(oblique))
    scanner = where @ oblique.grid.affine[:3, :3].T + oblique.grid.affine[:3, 3]
    inverse = np.linalg.inv(visit.grid.affine)
    index = (scanner @ inverse[:3, :3].T + inverse[:3, 3]).T
    straight = map_coordinates(visit.truth.total, index, order=1)
    inside = map_coordinates(interior(visit).astype(float), index, order=1) > 0.99
    turned = oblique.truth.total[tuple(where.T)]
    assert np.corrcoef(turned[inside], straight[inside])[0, 1] > 0.97


def test_a_tilted_head_keeps_its_susceptibility_and_changes_its_field(visit):
    tilted = make_subject(replace(OPTIONS, head_tilt=25.0), 0, "control")
    assert tilted.grid.b0_dir[2] == pytest.approx(1)
    for name in ("putamen", "thalamus"):
        means = []
        for v in (visit, tilted):
            nucleus = v.truth.nuclei == v.truth.regions.index((name, "L")) + 1
            means.append((v.truth.chi[nucleus].mean(), v.truth.local[nucleus].mean()))
        assert means[0][0] == pytest.approx(means[1][0], abs=0.006)
    centres = []
    for v in (visit, tilted):
        where = np.argwhere(v.truth.mask)
        top = where[where[:, 2] > np.percentile(where[:, 2], 99)]
        centres.append((top @ v.grid.affine[:3, :3].T + v.grid.affine[:3, 3]).mean(axis=0))
    assert np.linalg.norm(centres[1] - centres[0]) > 10


def test_a_second_visit_is_the_same_person_a_year_older(visit):
    later = make_subject(OPTIONS, 0, "control", session=1)
    assert later.person.age == pytest.approx(visit.person.age + 1)
    assert later.person.chi["putamen", "L"] == pytest.approx(visit.person.chi["putamen", "L"], abs=2)
    assert later.truth.mask.sum() == pytest.approx(visit.truth.mask.sum(), rel=0.02)
    assert later.grid.shape != visit.grid.shape or not np.array_equal(later.truth.mask, visit.truth.mask)


@pytest.mark.parametrize(("b0", "slower"), [(1.5, True), (7.0, False)])
def test_decay_follows_the_field_strength(visit, b0, slower):
    other = make_subject(replace(OPTIONS, b0=b0), 0, "control")
    means = [v.truth.r2star[v.truth.nuclei == 1].mean() for v in (visit, other)]
    assert (means[1] < means[0]) == slower
    # the field in ppm does not depend on B0
    np.testing.assert_allclose(other.truth.total, visit.truth.total, atol=1e-5)


def test_oversampling_yields_to_the_memory_limit():
    need = estimate_gb((100, 120, 110))
    assert 0.9 < need < 1.5
    tight = make_subject(replace(OPTIONS, voxel_size=(6.0, 6.0, 6.0), oversampling=4, mem_gb=0.95), 0, "control")
    assert max(tight.factor) < 4
    with pytest.raises(EnvironmentFault, match="--mem-gb"):
        make_subject(replace(OPTIONS, mem_gb=0.5), 0, "control")


def test_anisotropic_voxels_are_cut_into_nearly_cubic_parts():
    visit = make_subject(replace(OPTIONS, voxel_size=(4.0, 4.0, 8.0), te=(0.005,)), 0, "control")
    assert visit.factor == (2, 2, 4)
    assert visit.grid.voxel_size == pytest.approx((4, 4, 8))
