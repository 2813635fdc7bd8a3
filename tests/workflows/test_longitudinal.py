"""One head that is scanned twice, tilted differently, with `--longitudinal`."""

from collections import Counter
from dataclasses import replace

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from qsmprep import data
from qsmprep.bids.plan import make_plan
from qsmprep.cli.main import run
from qsmprep.phantom import Options
from qsmprep.phantom.geometry import TURN_AXIS, Pose, rotation
from qsmprep.phantom.subject import _stream, make_subject
from qsmprep.phantom.visit import write_visit
from qsmprep.settings import Settings

pytestmark = pytest.mark.timeout(2400)  # both visits are registered before the first test is asked
TILTS = (0.0, 12.0)
OPTIONS = Options(seed=3, te=(0.004, 0.010, 0.016), voxel_size=(3.0,) * 3, t1w_voxel_size=(3.0,) * 3)


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


@pytest.fixture(scope="module")
def visits(tmp_path_factory):
    """Dataset, output folder and arguments; run once."""
    base = tmp_path_factory.mktemp("visits")
    bids = base / "bids"
    for number, tilt in enumerate(TILTS):
        options = replace(OPTIONS, head_tilt=tilt)
        visit = make_subject(options, 0, "control", number)
        truth = bids / "derivatives" / "phantom"
        write_visit(bids, truth, {"sub": "01", "ses": str(number + 1)}, visit, options)
    (bids / "dataset_description.json").write_text('{"Name": "visits", "BIDSVersion": "1.10.0"}')
    arguments = [str(bids), str(base / "out"), "participant", "-w", str(base / "work"), "--nprocs", "2"]
    arguments += ["--longitudinal", "--preset", "fast", "--no-multi-contrast", "--skip-bids-validation"]
    atlas = data.atlas("deepgrey")
    arguments += ["--atlas", str(atlas.image), "--atlas-labels", str(atlas.labels)]
    assert run(arguments) == 0
    return bids, base / "out", arguments


def to_head(number):
    """(4, 4) from the scanner's places at a visit to those in the head [mm]."""
    pose = Pose(rotation(TURN_AXIS, TILTS[number]), np.zeros(3))
    return pose.moved(_stream(OPTIONS, 0, 4, number), 3.0, 2.0).to_head()


def anat(out, number, name):
    return out / "sub-01" / f"ses-{number + 1}" / "anat" / f"sub-01_ses-{number + 1}_{name}"


@pytest.mark.slow
def test_a_place_in_the_template_is_one_place_in_the_head(visits):
    from qsmprep.space._ants import load_ants

    ways = [load_ants().read_transform(str(anat(visits[1], n, "from-GRE_to-within_mode-image_xfm.h5"))) for n in (0, 1)]
    for point in ((0, 0, 0), (40, 0, 10), (-40, 10, 0), (0, -60, 20), (0, 40, 30)):
        places = [
            nib.affines.apply_affine(to_head(n), np.array(way.apply_to_point(list(map(float, point)))) * (-1, -1, 1))
            for n, way in enumerate(ways)
        ]
        assert np.linalg.norm(places[0] - places[1]) < 1.0  # 0.44 measured


@pytest.mark.slow
def test_labels_of_both_visits_lie_on_the_same_anatomy(visits):
    names = pd.read_csv(anat(visits[1], 0, "seg-deepgrey_dseg.tsv"), sep="\t").query("name != 'dentate'")
    centres, sizes = [], []
    for number in (0, 1):
        image = nib.load(anat(visits[1], number, "seg-deepgrey_dseg.nii.gz"))
        labels = np.asanyarray(image.dataobj)
        scanner = [image.affine @ [*np.argwhere(labels == i).mean(axis=0), 1] for i in names["index"]]
        centres.append((np.stack(scanner) @ to_head(number).T)[:, :3])
        sizes.append(np.array([(labels == i).sum() for i in names["index"]]))
    large = np.minimum(*sizes) > 100  # of a nucleus of few voxels the grid decides where its middle lies
    distance = np.linalg.norm(centres[0] - centres[1], axis=1)[large]
    assert large.sum() >= 8
    assert np.median(distance) < 1.0 and distance.max() < 1.8  # mm; 0.7 and 1.2 measured with voxels of 3 mm
    np.testing.assert_allclose(sizes[0][large], sizes[1][large], rtol=0.15)


@pytest.mark.slow
def test_labels_lie_on_the_true_nuclei(visits):
    bids, out, _ = visits
    for number in (0, 1):
        truth = bids / "derivatives" / "phantom" / "sub-01" / f"ses-{number + 1}" / "anat"
        true = np.asanyarray(nib.load(truth / f"sub-01_ses-{number + 1}_seg-nuclei_dseg.nii.gz").dataobj)
        true_names = pd.read_csv(truth / f"sub-01_ses-{number + 1}_seg-nuclei_dseg.tsv", sep="\t")
        labels = np.asanyarray(nib.load(anat(out, number, "seg-deepgrey_dseg.nii.gz")).dataobj)
        names = pd.read_csv(anat(out, number, "seg-deepgrey_dseg.tsv"), sep="\t")
        for name in ("putamen", "caudate"):
            pairs = ((labels, names), (true, true_names))
            a, b = (np.isin(image, table[table["name"] == name]["index"]) for image, table in pairs)
            assert 2 * (a & b).sum() / (a.sum() + b.sum()) > 0.75  # 0.82 to 0.85 measured


@pytest.mark.slow
def test_what_was_announced_is_there_and_told(visits):
    _, out, _ = visits
    settings = Settings.from_toml(out / "logs" / "settings.toml")
    for planned in make_plan(settings).runs:
        for name in planned.outputs:
            assert (out / name).is_file(), name
    assert "within-subject template" in (out / "sub-01.html").read_text()
    assert "Reuter" in (out / "logs" / "CITATION.md").read_text()
    assert "within-subject template" in anat(out, 0, "desc-brain_mask.json").read_text()


@pytest.mark.slow
def test_what_was_lost_of_one_visit_is_made_again_from_what_is_there(visits):
    _, out, arguments = visits
    lost, kept = anat(out, 1, "Chimap.nii.gz"), anat(out, 0, "Chimap.nii.gz")
    template = out / "sub-01" / "anat" / "sub-01_desc-within_T1w.nii.gz"
    before, times = lost.read_bytes(), {path: path.stat().st_mtime_ns for path in (kept, template)}
    lost.unlink()
    assert run(arguments) == 0
    assert lost.read_bytes() == before
    assert {path: path.stat().st_mtime_ns for path in times} == times, "the other visit and the template stay"
