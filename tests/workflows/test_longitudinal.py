"""The graph of a participant with several sessions and `--longitudinal`."""

from collections import Counter

import pytest

from qsmprep.bids.plan import make_plan
from qsmprep.settings import Settings


@pytest.mark.parametrize("t1w", [True, False])
def test_all_visits_share_one_registration_to_the_template(dataset, tmp_path, t1w):
    from qsmprep.workflows.participant import init_qsmprep_wf, nodes_of_runs

    for session in "12":
        dataset.gre(session=session)
        if t1w:
            dataset.t1w(session=session)
    settings = Settings(dataset.root, tmp_path / "out", work_dir=tmp_path / "work", nprocs=1, longitudinal=True)
    plan = make_plan(settings)
    nodes = Counter(node.name for node in init_qsmprep_wf(plan, settings)._create_flat_graph().nodes)
    assert (nodes["build"], nodes["normalization"], nodes["brain_extraction"]) == (1, 1, 1)
    assert nodes["rigid"] == (2 if t1w else 0), "each gradient echo to the T1w of its session"
    assert nodes_of_runs(plan)["within_sub_01"] == ("sub-01_ses-1", "sub-01_ses-2")
