import re

import pytest

from qsmprep.report import methods

SETTINGS = {
    "unwrap": "romeo", "background": "vsharp", "inversion": "rts", "reference": "brain", "normalization": True,
    "vsharp": {"radius_max_mm": 12.0, "radius_min_mm": 1.0, "step_mm": 1.0, "threshold": 0.05},
    "rts": {"delta": 0.2, "mu": 10.0}, "tv": {"weight": 3e-4},
    "mask": {"quality_threshold": 0.5},
}  # fmt: skip


@pytest.fixture
def text(run_entry):
    def text(settings=SETTINGS, runs=None):
        return methods.markdown(methods.methods_paragraphs(settings, runs or [run_entry("01")]))

    return text


def test_every_citation_is_known_and_numbered_in_order_of_use(text, run_entry):
    paragraphs = methods.methods_paragraphs(SETTINGS, [run_entry("01")])
    keys = methods.used_keys(paragraphs)
    assert set(keys) <= set(methods.citations())
    numbers = [int(n) for group in re.findall(r"\[([\d, ]+)\]", text().split("## References")[0])
               for n in group.split(",")]  # fmt: skip
    firsts = list(dict.fromkeys(numbers))
    assert firsts == list(range(1, len(keys) + 1))


def test_all_references_have_a_plausible_doi():
    assert all(re.fullmatch(r"10\.\d{4,5}/\S+", entry["doi"]) for entry in methods.citations().values())


def test_text_follows_the_settings(text):
    assert "ROMEO" in text() and "largest radius 12 mm" in text() and "δ = 0.2, μ = 10" in text()
    other = text(SETTINGS | {"unwrap": "laplacian", "inversion": "tv", "reference": "csf"})
    assert "Laplacian" in other and "total-variation regularisation" in other and "cerebrospinal" in other
    assert "rapid two-step" not in other and "10.1016/j.neuroimage.2017.11.018" not in other


@pytest.mark.parametrize("settings", [{}, {"background": "vsharp", "inversion": "unheard-of"}])
def test_text_is_written_without_parameters_when_they_are_not_known(settings, text):
    assert "{" not in text(settings) and "V-SHARP" in text(settings)


@pytest.mark.parametrize("kind", ["background", "inversion", "fieldmap", "relaxometry", "unwrap"])
def test_every_algorithm_has_its_words_and_its_paper(kind, run_entry):
    from qsmprep import parameters

    known = getattr(parameters, f"{kind.upper()}_METHODS")
    seen = set()
    for method in known:
        paragraphs = methods.methods_paragraphs(SETTINGS | {kind: method}, [run_entry("01")])
        keys = methods.used_keys(paragraphs)
        assert set(keys) <= set(methods.citations())
        seen.add("".join(text for _, text in paragraphs))
        assert "Next came" not in "".join(text for _, text in paragraphs)
    assert len(seen) == len(known)


def test_text_tells_single_echo_and_missing_t1w(text, run_entry):
    single = run_entry("01", t1w=False)
    single["echoes"] = single["echoes"][:1]
    told = text(runs=[single])
    assert "single echo" in told and "MCPC" not in told and "R2* was not computed" in told
    assert "on the gradient-echo magnitude (1 run)" in told


def test_text_tells_that_nothing_was_registered(text):
    assert "No registration was made" in text(SETTINGS | {"normalization": False})


def test_bibliography_holds_exactly_the_cited_works(tmp_path, run_entry):
    plan = {"runs": [run_entry("01")]}
    markdown, bib = methods.write_citations(tmp_path, plan, SETTINGS)
    dois = set(re.findall(r"doi:(\S+)", markdown.read_text()))
    assert dois == set(re.findall(r"doi = \{(.+?)\}", bib.read_text()))
    assert "10.1002/mrm.30006" in dois
    assert bib.read_text().count("{") == bib.read_text().count("}")


def test_text_of_a_run_without_magnitude(text, run_entry):
    bare = run_entry("01", t1w=False)
    bare["echoes"] = [echo | {"magnitude": None} for echo in bare["echoes"]]
    told = text(runs=[bare])
    assert "the mask comes from phase quality alone" in told
    assert "R2* was not computed" in told and "No registration was made" in told
    told = text(runs=[bare, run_entry("02")])
    assert "magnitude of the echoes (1 run)" in told and "Without magnitude, 1 run could not be registered" in told
    assert "No brain extraction" not in text(runs=[bare | {"mask": "/m.nii.gz"}])


def test_phase_offset_is_claimed_for_runs_of_which_it_can_be_told_only(text, run_entry):
    whole, two = run_entry("01"), run_entry("02") | {"bipolar": True}
    two["echoes"] = two["echoes"][:2]
    told = text(runs=[whole])
    assert "removed with MCPC-3D-S" in told and "MCPC-3D-S (1 run)" not in told
    assert "MCPC-3D-S (1 run)" in text(runs=[whole, two])
    assert "MCPC-3D-S" not in text(runs=[two])


def test_text_tells_how_cortex_was_held_to_grey_matter(text, run_entry):
    with_t1w, without = run_entry("01"), run_entry("02", t1w=False)
    assert "by Atropos" in text(runs=[with_t1w]) and "10.1007/s12021-011-9109-y" in text(runs=[with_t1w])
    assert "was taken from the template; mean" in text(runs=[without]) and "Atropos" not in text(runs=[without])
    assert "priors (1 run) or was taken from the template (1 run)" in text(runs=[with_t1w, without])
    own = with_t1w | {"external": {"program": "fMRIPrep", "segmentation": {"name": "aparcaseg"}}}
    assert "grey matter in each voxel" not in text(runs=[own])
    assert "grey matter in each voxel" not in text(SETTINGS | {"atlas": "/a.nii.gz"}, runs=[with_t1w])


def test_text_tells_where_regions_come_from_and_what_was_left_out(text):
    plain = text()
    assert "looked for around a prior" in plain and "pulvinar" in plain and "10.1093/brain/120.1.141" in plain
    assert "look like veins" not in plain and "rim of" not in plain and "10.1007/BFb0056195" not in plain
    asked = text(SETTINGS | {"exclude_veins": True, "exclude_gradients": True, "erode_labels": 1.5})
    assert "look like veins" in asked and "10.1007/BFb0056195" in asked
    assert "steep or inconsistent" in asked and "rim of 1.5 mm" in asked
    own = text(SETTINGS | {"atlas": "/data/mine.nii.gz"})
    assert "mine.nii.gz" in own and "pulvinar" not in own


def test_text_tells_who_drew_regions_and_where(text, run_entry):
    run = run_entry("01") | {"manual": [{"rater": "AB", "on_t1w": False}, {"rater": "CD", "on_t1w": True}]}
    told = text(SETTINGS | {"neighbours": ["SN=RN"]}, runs=[run])
    assert "on the gradient echo or the T1-weighted image (raters: AB, CD)" in told and "Dice" in told
    assert "SN against RN" in told and "pulvinar" in told
    bare = SETTINGS | {"normalization": False}
    assert "no regions were measured (--no-normalization)" in text(bare)
    drawn = text(bare, runs=[run | {"manual": run["manual"][:1]}])
    assert "(raters: AB)" in drawn and "Dice" not in drawn and "pulvinar" not in drawn
    assert "no regions" not in drawn and "No registration was made (--no-normalization)." in drawn
    own = text(bare | {"atlas": "/data/mine.nii.gz", "atlas_space": "native"})
    assert "mine.nii.gz, given by the user, which lies on the gradient echo's own grid" in own
