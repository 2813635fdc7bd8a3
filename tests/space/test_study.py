"""A study template of people who were made from one head by known smooth warps."""

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from qsmprep.space import study
from qsmprep.space.displacement import composed, mean_field, moved, read_field
from qsmprep.space.study import Member, build_study

SHAPE = (24, 28, 24)
AFFINE = np.diag([4.0, 4.0, 4.0, 1.0])
N, WEIGHTS, ROUNDS = 4, (1.0, 1.0), 2


@pytest.fixture(scope="module")
def head():
    """Two contrasts inside an ellipsoid, and where it is."""
    rng = np.random.default_rng(0)
    place = [np.linspace(-1, 1, n) for n in SHAPE]
    brain = sum(axis**2 for axis in np.meshgrid(*place, indexing="ij")) < 0.8
    blobs = [gaussian_filter(rng.standard_normal(SHAPE), 1.3) for _ in WEIGHTS]
    return [np.where(brain, 3 + blob / blob.std(), 0).astype(np.float32) for blob in blobs], brain


@pytest.fixture(scope="module")
def people(head, tmp_path_factory):
    """Members, and the fields that lead from them to the head; their mean is 0."""
    rng, folder = np.random.default_rng(1), tmp_path_factory.mktemp("people")
    fields = [np.stack([gaussian_filter(rng.standard_normal(SHAPE), 4.0) for _ in range(3)], -1) for _ in range(N)]
    fields = [(0.9 * field / field.std()).astype(np.float32) for field in fields]
    mean, members = mean_field(fields), []
    fields = [field - mean for field in fields]
    for number, field in enumerate(fields):
        paths = []
        for contrast, image in enumerate(head[0]):
            mine = moved(image, field)
            mine[mine > 0] += 0.1 * rng.standard_normal((mine > 0).sum())
            paths.append(folder / f"{number}-{contrast}.nii.gz")
            nib.save(nib.Nifti1Image(mine, AFFINE), paths[-1])
        members.append(Member(f"sub-{number}", tuple(paths)))
    return members, fields


@pytest.fixture(scope="module")
def built(people, tmp_path_factory):
    return build_study(people[0], WEIGHTS, tmp_path_factory.mktemp("study"), rounds=ROUNDS)


def load(path):
    return np.asarray(nib.load(path).dataobj, np.float32)


def test_people_agree_better_and_their_mean_is_more_like_the_head(head, people, built):
    (truth, _), brain = head
    core = brain & (gaussian_filter(brain.astype(float), 2) > 0.9)
    before = np.stack([load(member.images[0]) for member in people[0]])
    after = np.stack([moved(image, read_field(way)) for image, way in zip(before, built.forward, strict=True)])
    assert after.std(0)[core].mean() < 0.6 * before.std(0)[core].mean()
    like = [np.corrcoef(images.mean(0)[core], truth[core])[0, 1] for images in (before, after)]
    assert 1 - like[1] < 0.5 * (1 - like[0])


def test_it_lies_in_the_middle_of_all(head, people, built):
    core = gaussian_filter(head[1].astype(float), 2) > 0.9
    ways = [composed(read_field(way), field) for way, field in zip(built.forward, people[1], strict=True)]
    # each way from the template by its person to the head is the same, and it leads nowhere
    apart, common = np.std(ways, axis=0), np.mean(ways, axis=0)
    assert apart[core].mean() < 0.5 * np.std(people[1], axis=0)[core].mean()
    assert np.abs(common[core]).mean() < 0.1
    assert built.bias_mm < 0.05 < built.spread_mm
    assert len(built.drift_mm) == ROUNDS and built.drift_mm[1] < built.drift_mm[0]


def test_there_and_back_is_where_it_began(head, built):
    core = gaussian_filter(head[1].astype(float), 2) > 0.9
    for forward, inverse in zip(built.forward, built.inverse, strict=True):
        rest = composed(read_field(forward), read_field(inverse))[core]
        assert np.abs(rest).mean() < 0.05


def test_order_and_number_of_processes_do_not_matter(people, built, tmp_path):
    again = build_study(people[0][::-1], WEIGHTS, tmp_path, rounds=ROUNDS, workers=2)
    assert again.names == built.names
    for part in ("templates", "forward", "inverse"):
        for first, second in zip(getattr(built, part), getattr(again, part), strict=True):
            np.testing.assert_array_equal(load(first), load(second))


def test_it_goes_on_where_it_was_stopped(people, built, tmp_path, monkeypatch):
    calls, register, stops = [], study.register, [2, N + 1]

    def counted(*args, **kwargs):
        if len(calls) in stops:
            raise RuntimeError("stopped")
        calls.append(1)
        register(*args, **kwargs)

    monkeypatch.setattr(study, "register", counted)
    while stops:
        with pytest.raises(RuntimeError, match="stopped"):
            build_study(people[0], WEIGHTS, tmp_path, rounds=ROUNDS)
        stops.pop(0)
    again = build_study(people[0], WEIGHTS, tmp_path, rounds=ROUNDS)
    assert len(calls) == N * ROUNDS
    np.testing.assert_array_equal(load(again.templates[0]), load(built.templates[0]))
    build_study(people[0], WEIGHTS, tmp_path, rounds=ROUNDS)
    assert len(calls) == N * ROUNDS


def test_one_person_is_no_study(people, tmp_path):
    with pytest.raises(ValueError, match="two people or more, found 1"):
        build_study(people[0][:1], WEIGHTS, tmp_path)
