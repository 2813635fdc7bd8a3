"""Which sessions of a participant are registered through one within-subject template."""

import pytest

from qsmprep.bids.plan import make_plan
from qsmprep.errors import UsageError
from qsmprep.settings import Settings


def runs_of(dataset, **options):
    settings = Settings(bids_dir=dataset.root, out_dir=dataset.root.parent / "out", nprocs=1, **options)
    plan = make_plan(settings)
    assert not plan.skipped
    return plan.runs


def test_session_wise_unless_asked(dataset):
    for session in "12":
        dataset.gre(session=session)
        dataset.t1w(session=session)
    assert all(run.visits == () for run in runs_of(dataset))
    assert not any("within" in name for run in runs_of(dataset) for name in run.outputs)


def test_t1w_images_of_all_sessions_make_the_template(dataset):
    images = []
    for session in "21":
        dataset.gre(session=session)
        dataset.gre(session=session, acq="b")
        images.append(dataset.t1w(session=session))
    dataset.gre("02", "1")
    dataset.t1w("02", "1")
    *mine, other = runs_of(dataset, longitudinal=True)
    assert len(mine) == 4 and {run.visits for run in mine} == {tuple(sorted(images))}
    for name in ("sub-01_desc-within_T1w.nii.gz", "sub-01_desc-within_mask.nii.gz",
                 "sub-01_from-within_to-MNI152NLin2009cAsym_mode-image_xfm.h5"):  # fmt: skip
        assert all(f"sub-01/anat/{name}" in run.outputs for run in mine)
    assert "sub-01/ses-1/anat/sub-01_ses-1_acq-b_from-GRE_to-within_mode-image_xfm.h5" in mine[1].outputs
    assert "a within-subject template of 2 T1w images" in mine[0].notes[-1]
    assert other.visits == () and "processed session-wise, since the participant has one session" in other.notes[-1]


def test_without_t1w_the_magnitudes_make_the_template(dataset):
    magnitudes = [dataset.gre(session=session)[0] for session in "12"]
    for run in runs_of(dataset, longitudinal=True):
        assert run.visits == tuple(magnitudes)
        assert "sub-01/anat/sub-01_desc-within_T2starw.nii.gz" in run.outputs


def test_one_t1w_for_all_sessions_needs_no_template(dataset):
    for session in "12":
        dataset.gre(session=session)
    dataset.t1w(session="1")
    for run in runs_of(dataset, longitudinal=True):
        assert run.visits == ()
        assert "all sessions share one T1w image (sub-01_ses-1_T1w.nii.gz)" in run.notes[-1]


def test_a_session_without_t1w_takes_part_by_that_of_another(dataset):
    for session in "123":
        dataset.gre(session=session)
    images = [dataset.t1w(session=session) for session in "12"]
    assert all(run.visits == tuple(images) for run in runs_of(dataset, longitudinal=True))


def test_phase_alone_stays_out(dataset):
    for session in "12":
        dataset.gre(session=session)
        dataset.t1w(session=session)
    dataset.gre(session="3", parts=("phase",))
    visits = {run.session: len(run.visits) for run in runs_of(dataset, longitudinal=True)}
    assert visits == {"1": 2, "2": 2, "3": 0}


def test_masks_alone_need_no_transforms(dataset):
    for session in "12":
        dataset.gre(session=session)
    outputs = runs_of(dataset, longitudinal=True, stop_after="mask")[0].outputs
    assert "sub-01/anat/sub-01_desc-within_mask.nii.gz" in outputs
    assert not any("xfm" in name for name in outputs)


def test_without_registration_there_is_nothing_to_share(dataset):
    with pytest.raises(UsageError, match="--longitudinal registers all sessions"):
        runs_of(dataset, longitudinal=True, normalization=False)
