"""Label images of nuclei, the packaged one and others."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from qsmprep import data
from qsmprep.errors import UsageError
from qsmprep.phantom.nuclei import canonical, complete, crop, load_nuclei, read_lookup

ATLASES = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "atlases"
CORE = {"caudate", "putamen", "GPe", "GPi", "red nucleus", "STN", "thalamus", "hippocampus", "amygdala", "dentate"}


@pytest.fixture(scope="module")
def packaged():
    atlas = data.atlas("deepgrey")
    return load_nuclei(atlas.image, atlas.labels)


def centre(nuclei, name, side):
    where = np.argwhere(nuclei.labels == nuclei.regions.index((name, side)) + 1)
    return (where @ nuclei.affine[:3, :3].T + nuclei.affine[:3, 3]).mean(axis=0)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        *(
            ("Left-globus-pallidus-externa", "GPe"),
            ("GPi", "GPi"),
            ("Pu_LH", "putamen"),
            ("SNc_PBP_VTA_RH", "SNc-PBP-VTA"),
        ),
        *(("CaH", "caudate"), ("CbDN", "dentate"), ("Right-red-nucleus", "red nucleus"), ("STH", "STN"), ("FWM", None)),
        *(("mammillary nucleus", "mammillary"), ("habenular nuclei", "habenula")),
    ],
)
def test_names_of_other_atlases_are_understood(given, name):
    assert canonical(given) == name


def test_every_region_of_the_packaged_atlas_has_a_value(packaged):
    names = {name for name, _ in packaged.regions}
    assert names >= CORE | {"SNr", "SNc-PBP-VTA", "accumbens"}
    lookup = read_lookup(data.atlas("deepgrey").labels)
    assert len(packaged.regions) == len(lookup)
    for name, side in packaged.regions:
        assert (centre(packaged, name, side)[0] < 0) == (side == "L"), (name, side)


@pytest.mark.parametrize("atlas", ["AllenAtlas", "bigbrain"])
def test_another_atlas_gives_the_nuclei_and_the_packaged_one_the_rest(atlas, packaged):
    image = ATLASES / f"{atlas}.nii.gz"
    if not image.is_file():
        pytest.skip(f"{image} is not there")
    other = crop(complete(load_nuclei(image, ATLASES / f"{atlas}.json"), packaged))
    names = {name for name, _ in other.regions}
    assert names >= CORE | {"SN"} and not names & {"SNr", "SNc-PBP-VTA"}  # whole nigra here, parts there
    for name in CORE:
        for side in "LR":
            x = centre(other, name, side)
            assert np.linalg.norm(x - centre(packaged, name, side)) < 6, (name, side)
            assert (x[0] < 0) == (side == "L")


def test_a_table_that_names_no_nucleus_is_refused(tmp_path):
    nib.save(nib.Nifti1Image(np.ones((4, 4, 4), np.uint8), np.eye(4)), tmp_path / "a.nii.gz")
    (tmp_path / "a.tsv").write_text("index\tname\themisphere\n1\tnowhere\tL\n")
    with pytest.raises(UsageError, match="no region of the digital head"):
        load_nuclei(tmp_path / "a.nii.gz", tmp_path / "a.tsv")
    (tmp_path / "b.tsv").write_text("number\tname\n1\tcaudate\n")
    with pytest.raises(UsageError, match="columns index, name and hemisphere"):
        read_lookup(tmp_path / "b.tsv")
