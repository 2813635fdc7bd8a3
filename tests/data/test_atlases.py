"""The packaged images: what is called left is on the left, and every nucleus is where other atlases have it."""

import csv
import hashlib
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine

from qsmprep import data

DATA = Path(data.__file__).parent
REAL = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "atlases"

# packaged name -> names in the Allen and in the BigBrain atlas
ALLEN = {
    "putamen": ["Pu"], "caudate": ["CaH", "CaB", "CaT"], "accumbens": ["NAC"], "GPe": ["GPe"], "GPi": ["GPi"],
    "red nucleus": ["RN"], "STN": ["STH"], "habenular nuclei": ["HN"],
    "hypothalamus": ["HTH", "HTHpo", "HTHso", "HTHtub", "HTHma"], "hippocampus": ["HiH", "HiB", "HiT"],
    "amygdala": ["AMY", "AAA", "CEN", "La", "BL", "BM", "CoA", "CoP", "Me", "AHA"],
    "thalamus": ["THM", "ANC", "LD", "MD", "Re", "LP", "Pul", "VA", "VL", "VPL", "VPM", "CM", "Pf"],
}  # fmt: skip
BIGBRAIN = {
    "putamen": "putamen", "caudate": "caudate", "accumbens": "nucleus-accumbens", "GPe": "globus-pallidus-externa",
    "GPi": "globus-pallidus-interna", "red nucleus": "red-nucleus", "STN": "subthalamic-nucleus",
    "thalamus": "thalamus", "hippocampus": "hippocampus", "amygdala": "amygdala",
}  # fmt: skip


def load(path):
    image = nib.load(path)
    return np.asanyarray(image.dataobj), image.affine


def centre(mask, affine):
    return apply_affine(affine, np.argwhere(mask)).mean(axis=0)


def rows(atlas):
    with atlas.labels.open() as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


@pytest.fixture(scope="module")
def deepgrey():
    """{(name, hemisphere): centre} and the volumes [mm³] of the packaged nuclei."""
    atlas = data.atlas("deepgrey")
    labels, affine = load(atlas.image)
    masks = {(row["name"], row["hemisphere"]): labels == int(row["index"]) for row in rows(atlas)}
    return {key: (centre(mask, affine), int(mask.sum())) for key, mask in masks.items()}


def real(name):
    path = REAL / name
    if not path.exists():
        pytest.skip(f"the atlases for comparison are not at {REAL}")
    labels, affine = load(path)
    return (
        np.rint(labels).astype(int),
        affine,
        json.loads((REAL / name.replace(".nii.gz", ".json")).read_text())["labels"],
    )


@pytest.mark.parametrize("name", data.ATLASES)
def test_every_label_has_a_row_and_every_row_a_label(name):
    atlas = data.atlas(name)
    labels, _ = load(atlas.image)
    assert sorted(int(row["index"]) for row in rows(atlas)) == sorted(set(np.unique(labels).tolist()) - {0})


def test_all_images_share_the_templates_grid():
    _, affine = load(data.template("T1w"))
    for path in (data.template("mask"), *(data.atlas(name).image for name in data.ATLASES)):
        image = nib.load(path)
        assert image.shape == (193, 229, 193)
        assert np.array_equal(image.affine, affine)
        assert int(image.header["sform_code"]) == 4


@pytest.mark.parametrize("name", data.ATLASES)
def test_left_regions_lie_on_the_left_and_right_ones_on_the_right(name):
    atlas = data.atlas(name)
    labels, affine = load(atlas.image)
    for row in rows(atlas):
        x = centre(labels == int(row["index"]), affine)[0]
        side = {"L": x < 0, "R": x > 0, "n/a": abs(x) < 2}
        assert side[row["hemisphere"]], row
        assert (int(row["index"]) > 100) == (row["hemisphere"] == "R")


@pytest.mark.parametrize("name", data.ATLASES)
def test_both_sides_of_a_region_have_one_name_and_similar_size(name):
    atlas = data.atlas(name)
    sizes = np.bincount(load(atlas.image)[0].ravel())
    names = {int(row["index"]): row["name"] for row in rows(atlas)}
    for index in (i for i in names if i < 100 and i + 100 in names):
        assert names[index] == names[index + 100]
        assert 0.55 < sizes[index] / sizes[index + 100] < 1.8, names[index]


def test_regions_of_the_issue_are_all_there(deepgrey):
    wanted = {"caudate", "putamen", "accumbens", "GPe", "GPi", "SNc-PBP-VTA", "SNr", "red nucleus", "STN", "thalamus",
              "hippocampus", "amygdala", "dentate"}  # fmt: skip
    assert wanted <= {name for name, _ in deepgrey}
    assert len(rows(data.atlas("DK"))) == 83


def test_deep_grey_lies_in_the_brain():
    brain = load(data.template("mask"))[0] > 0
    labels = load(data.atlas("deepgrey").image)[0]
    assert brain[labels > 0].mean() > 0.999


def test_nuclei_are_where_the_allen_atlas_has_them(deepgrey):
    labels, affine, names = real("AllenAtlas.nii.gz")
    position = apply_affine(affine, np.argwhere(labels > 0))
    values = labels[labels > 0]
    for name, parts in ALLEN.items():
        there = position[np.isin(values, [names.index(part) for part in parts])]
        for hemisphere, sign in (("L", -1), ("R", 1)):
            expected = there[there[:, 0] * sign > 0].mean(axis=0)  # one label for both sides there
            found = deepgrey[name, hemisphere][0]
            assert np.linalg.norm(found - expected) < 3, (name, hemisphere, found, expected)


def test_nuclei_are_where_the_bigbrain_atlas_has_them(deepgrey):
    labels, affine, names = real("bigbrain.nii.gz")
    # BigBrain's caudate has no tail, and its left hippocampus reaches farther back than the Allen atlas' too
    extent = {"caudate": 4.0, "hippocampus": 4.5}
    for name, other in BIGBRAIN.items():
        for hemisphere, side in (("L", "Left"), ("R", "Right")):
            expected = centre(labels == names.index(f"{side}-{other}"), affine)
            found = deepgrey[name, hemisphere][0]
            assert np.sign(found[0]) == np.sign(expected[0])
            assert np.linalg.norm(found - expected) < extent.get(name, 3), (name, hemisphere, found, expected)


def test_substantia_nigra_of_both_parts_is_where_the_allen_atlas_has_it(deepgrey):
    labels, affine, names = real("AllenAtlas.nii.gz")
    position = apply_affine(affine, np.argwhere(labels == names.index("SN")))
    for hemisphere, sign in (("L", -1), ("R", 1)):
        parts = [deepgrey[name, hemisphere] for name in ("SNr", "SNc-PBP-VTA")]
        found = sum(where * size for where, size in parts) / sum(size for _, size in parts)
        expected = position[position[:, 0] * sign > 0].mean(axis=0)
        assert np.linalg.norm(found - expected) < 3


def test_dentate_prior_has_the_published_place_and_size_and_says_that_it_is_a_prior(deepgrey):
    for hemisphere, x in (("L", -13), ("R", 13)):
        where, size = deepgrey["dentate", hemisphere]
        assert np.allclose(where, (x, -55, -32), atol=0.5)
        assert 900 < size < 1100
    sources = {row["source"] for row in rows(data.atlas("deepgrey")) if row["name"] == "dentate"}
    assert sources == {"prior"}


@pytest.fixture(scope="module")
def parts():
    """{(name, hemisphere): mask} of the parts of regions, and the affine."""
    atlas = data.atlas("parts")
    labels, affine = load(atlas.image)
    return {(row["name"], row["hemisphere"]): labels == int(row["index"]) for row in rows(atlas)}, affine


def deep(name, hemisphere, seg="deepgrey"):
    atlas = data.atlas(seg)
    index = [int(r["index"]) for r in rows(atlas) if r["name"] == name and r["hemisphere"] == hemisphere]
    return load(atlas.image)[0] == index[0]


@pytest.mark.parametrize("hemisphere", ["L", "R"])
@pytest.mark.parametrize("nucleus", ["SNr", "SNc-PBP-VTA"])
def test_thirds_of_the_substantia_nigra_run_from_front_to_back_and_make_up_the_whole(parts, nucleus, hemisphere):
    masks, affine = parts
    pieces = [masks[f"{nucleus} {third} third", hemisphere] for third in ("anterior", "middle", "posterior")]
    assert np.array_equal(np.logical_or.reduce(pieces), deep(nucleus, hemisphere))
    y = [apply_affine(affine, np.argwhere(piece))[:, 1] for piece in pieces]
    assert y[0].min() > y[1].max() and y[1].min() > y[2].max()
    assert all(20 <= piece.sum() <= 250 for piece in pieces)


@pytest.mark.parametrize("hemisphere", ["L", "R"])
def test_thirds_of_the_substantia_nigra_have_equal_length(parts, hemisphere):
    masks, affine = parts
    lengths = []
    for third in ("anterior", "middle", "posterior"):
        both = masks[f"SNr {third} third", hemisphere] | masks[f"SNc-PBP-VTA {third} third", hemisphere]
        y = apply_affine(affine, np.argwhere(both))[:, 1]
        lengths.append(y.max() - y.min() + 1)
    assert max(lengths) - min(lengths) <= 1
    assert 15 <= sum(lengths) <= 20


@pytest.mark.parametrize("hemisphere", ["L", "R"])
def test_pulvinar_is_the_back_of_the_thalamus_near_where_the_allen_atlas_has_it(parts, hemisphere):
    masks, affine = parts
    pulvinar, thalamus = masks["pulvinar (posterior thalamus)", hemisphere], deep("thalamus", hemisphere)
    assert not (pulvinar & ~thalamus).any()
    front = apply_affine(affine, np.argwhere(thalamus & ~pulvinar))[:, 1].min()
    assert front > apply_affine(affine, np.argwhere(pulvinar))[:, 1].max()
    assert 0.2 < pulvinar.sum() / thalamus.sum() < 0.45
    labels, other, names = real("AllenAtlas.nii.gz")
    sign = -1 if hemisphere == "L" else 1
    position = apply_affine(other, np.argwhere(labels == names.index("Pul")))
    expected = position[position[:, 0] * sign > 0].mean(axis=0)
    assert np.linalg.norm(centre(pulvinar, affine) - expected) < 3


@pytest.mark.parametrize(("hemisphere", "sign"), [("L", -1), ("R", 1)])
def test_hand_area_is_the_precentral_gyrus_about_the_knob(parts, hemisphere, sign):
    masks, affine = parts
    hand, precentral = masks["precentral hand area", hemisphere], deep("precentral", hemisphere, "DK")
    assert not (hand & ~precentral).any()
    distance = np.linalg.norm(apply_affine(affine, np.argwhere(hand)) - (38 * sign, -22, 57), axis=1)
    assert distance.max() <= 12
    outside = np.linalg.norm(apply_affine(affine, np.argwhere(precentral & ~hand)) - (38 * sign, -22, 57), axis=1)
    assert outside.min() > 12
    assert np.allclose(centre(hand, affine), (37 * sign, -20, 57), atol=2)
    assert 1500 < hand.sum() < 3000


def test_every_source_of_a_label_has_a_licence_and_a_citation():
    for name in data.ATLASES:
        atlas = data.atlas(name)
        for source in {row["source"] for row in rows(atlas)}:
            described = atlas.description["Sources"][source]
            assert described["License"]
            assert "https://doi.org/" in described["Citation"]


def test_packaged_files_are_those_that_were_built():
    lines = (DATA / "SHA256SUMS").read_text().splitlines()
    assert len(lines) >= 12
    for line in lines:
        digest, name = line.split("  ")
        assert hashlib.sha256((DATA / name).read_bytes()).hexdigest() == digest, name


def test_unknown_names_are_refused_with_those_that_exist():
    with pytest.raises(ValueError, match="deepgrey, DK, parts"):
        data.atlas("AAL")
    with pytest.raises(ValueError, match="T1w"):
        data.template("T2w")
