"""Programs of others: found, called, checked, and told of where they are absent or fail."""

import os
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from qsmprep.errors import EnvironmentFault, InputError
from qsmprep.mask import extract

FAKE = """#!{python}
import sys
import nibabel as nib, numpy as np
args = dict(zip(sys.argv[1::2], sys.argv[2::2]))
image = nib.load(args["-i"])
mask = (np.asanyarray(image.dataobj) > 50).astype(np.uint8)
nib.save(nib.as_closest_canonical(nib.Nifti1Image(mask, image.affine)), args["-m"])
"""
AFFINE = np.diag([-2.0, 2.0, 3.0, 1.0])  # not canonical: the program turns it


def program(folder: Path, name: str, text: str = FAKE) -> None:
    path = folder / name
    path.write_text(text.format(python=sys.executable))
    path.chmod(0o755)


@pytest.fixture
def bin_dir(tmp_path, monkeypatch):
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.fixture
def head(tmp_path):
    data = np.zeros((8, 9, 10), np.float32)
    data[1:4, 2:5, 3:9] = 100
    nib.save(nib.Nifti1Image(data, AFFINE), tmp_path / "head.nii.gz")
    return tmp_path / "head.nii.gz", data > 50


@pytest.mark.parametrize("name", extract.SYNTHSTRIP_PROGRAMS)
def test_synthstrip_under_any_of_its_names_gives_a_mask_on_the_grid_of_the_image(bin_dir, head, tmp_path, name):
    program(bin_dir, name)
    path, truth = head
    extract.extract_by_program(path, tmp_path / "mask.nii", "synthstrip")
    found = nib.load(tmp_path / "mask.nii")
    assert np.array_equal(np.asanyarray(found.dataobj) > 0, truth), "turned back to the voxels of the image"
    assert np.allclose(found.affine, AFFINE)
    assert extract.program_of("synthstrip") == {"Program": str(bin_dir / name)}


def test_deepbet_runs_as_a_process_of_its_own(head, tmp_path, monkeypatch):
    package = tmp_path / "site" / "deepbet"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(
        "import nibabel as nib, numpy as np\n"
        "def run_bet(inputs, mask_paths, no_gpu):\n"
        "    assert no_gpu\n"
        "    image = nib.load(inputs[0])\n"
        "    mask = (np.asanyarray(image.dataobj) > 50).astype(np.uint8)\n"
        "    nib.save(nib.Nifti1Image(mask, image.affine), mask_paths[0])\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(package.parent), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.syspath_prepend(str(package.parent))
    path, truth = head
    extract.extract_by_program(path, tmp_path / "mask.nii", "deepbet")
    assert np.array_equal(np.asanyarray(nib.load(tmp_path / "mask.nii").dataobj) > 0, truth)
    assert "deepbet" not in sys.modules


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("#!/bin/sh\necho 'model not found' >&2\nexit 3\n", "exit code 3: model not found"),
        ("#!/bin/sh\nexit 0\n", "wrote no mask"),
        (FAKE.replace("> 50", "> 500"), "found no brain"),
        (FAKE.replace("image.affine)", "2 * image.affine)"), "expected a mask on the same grid"),
    ],
)
def test_a_program_that_fails_is_told_in_plain_words(bin_dir, head, tmp_path, text, message):
    program(bin_dir, "mri_synthstrip", text)
    with pytest.raises(InputError, match=message):
        extract.extract_by_program(head[0], tmp_path / "mask.nii", "synthstrip")
    assert not (tmp_path / "mask.nii").exists()


@pytest.mark.usefixtures("bin_dir")
def test_what_is_not_installed_is_told_with_how_to_install_it(monkeypatch):
    with pytest.raises(EnvironmentFault, match=r"mri_synthstrip, synthstrip.* is on PATH.*set PATH"):
        extract.check_program("synthstrip")
    monkeypatch.setattr(extract.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EnvironmentFault, match="pip install deepbet"):
        extract.check_program("deepbet")
    extract.check_program("ants")
