import pytest

from qsmprep.bids.names import join_entities, split_name
from qsmprep.bids.sidecars import Sidecars
from qsmprep.errors import InputError

IMAGE = "sub-01/ses-1/anat/sub-01_ses-1_echo-1_part-phase_MEGRE.nii.gz"


def test_nearer_and_more_specific_sidecars_win(dataset):
    dataset.json("MEGRE.json", {"a": "root", "b": "root", "c": "root", "d": "root"})
    dataset.json("part-phase_MEGRE.json", {"b": "root phase"})
    dataset.json("sub-01/sub-01_MEGRE.json", {"c": "subject"})
    dataset.json("sub-01/ses-1/anat/sub-01_ses-1_echo-1_part-phase_MEGRE.json", {"d": "own"})
    found = Sidecars(dataset.root).metadata(dataset.root / IMAGE)
    assert found == {"a": "root", "b": "root phase", "c": "subject", "d": "own"}


@pytest.mark.parametrize(
    "other",
    [
        "T1w.json",
        "echo-2_MEGRE.json",
        "sub-01/ses-1/anat/sub-01_ses-1_part-mag_MEGRE.json",
        "sub-02/sub-02_MEGRE.json",
        "acq-x_MEGRE.json",
    ],
)
def test_sidecars_of_other_images_do_not_apply(dataset, other):
    dataset.json(other, {"wrong": True})
    assert Sidecars(dataset.root).metadata(dataset.root / IMAGE) == {}


def test_sidecar_that_is_no_object_is_an_input_error(dataset):
    dataset.json("MEGRE.json", [1, 2])
    with pytest.raises(InputError, match="expected a JSON object"):
        Sidecars(dataset.root).metadata(dataset.root / IMAGE)


def test_names_split_into_entities_and_join_in_order():
    entities, suffix, extension = split_name("/a/sub-01_ses-x_odd-7_run-02_acq-hi_echo-1_part-phase_MEGRE.nii.gz")
    assert entities == {
        "subject": "01", "session": "x", "odd": "7", "run": "02", "acquisition": "hi", "echo": "1", "part": "phase",
    }  # fmt: skip
    assert (suffix, extension) == ("MEGRE", ".nii.gz")
    assert join_entities(entities) == "sub-01_ses-x_acq-hi_run-02_echo-1_part-phase_odd-7"
