"""Every parameter of every algorithm, from the command line and from TOML to the node that runs it."""

from dataclasses import asdict, fields, replace
from pathlib import Path

import pytest
from nipype.pipeline.engine import Workflow

from qsmprep import parameters
from qsmprep.bids.model import Echo, Plan, Run
from qsmprep.cli.main import parse
from qsmprep.parameters import Tables
from qsmprep.settings import Settings

TABLES = {f.name: f.default_factory() for f in fields(Tables)}
# what carries a choice of algorithm: option, its names, the node of the graph
STAGES = {
    "unwrap": ("unwrap", parameters.UNWRAP_METHODS),
    "fieldmap": ("field_fit", parameters.FIELDMAP_METHODS),
    "background": ("background", parameters.BACKGROUND_METHODS),
    "inversion": ("inversion", parameters.INVERSION_METHODS),
    "relaxometry": ("r2star", parameters.RELAXOMETRY_METHODS),
}
ALWAYS = {"mask": "qsm_mask", "mcpc3ds": "phase_offset", "coils": "read", "twopass": "inversion", "texture": "texture",
          "veins": "counted"}  # fmt: skip
# what else has to be asked for, on the command line and in the file
SWITCHES = {
    "twopass": ("--two-pass", "two_pass = true\n"),
    "veins": ("--exclude-veins", "exclude_veins = true\n"),
}
CASES = [(table, key) for table, values in TABLES.items() for key in asdict(values)]
WORDS = {"mode": "individual", "floor": "constant"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")

    def file(name):
        path = folder / f"{name}.nii"
        path.touch()
        return path

    echoes = tuple(Echo(te=0.005 * n, magnitude=file(f"mag{n}"), phase=file(f"phase{n}"), number=n) for n in (1, 2, 3))
    return Run(
        entities={"subject": "01"}, suffix="MEGRE", echoes=echoes, b0=3.0, b0_source="test", nominal_field=3.0,
        shape=(8, 8, 8), voxel_size=(1.0, 1.0, 1.0), b0_dir=(0.0, 0.0, 1.0), obliquity=0.0,
    )  # fmt: skip


def other(key, value):
    """A valid value that is not the default."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        return WORDS[key]
    if isinstance(value, int):
        return value + 1
    return value * 0.5 if value else 0.25


def stage_of(table):
    return next((option for option, (_, names) in STAGES.items() if table in names), None)


def node_inputs(settings, run, table):
    from qsmprep.bids.expected import atlases
    from qsmprep.workflows.recon import init_echoes_wf, init_recon_wf
    from qsmprep.workflows.regions import add_counted, init_regions_wf

    if table == "veins":
        counted = add_counted(Workflow("run"), run, settings)
        assert counted.inputs.veins and not counted.inputs.gradients
        return counted.inputs
    if table == "texture":
        return init_regions_wf(run, settings, atlases(settings)[0]).get_node("texture").inputs
    name = ALWAYS.get(table) or STAGES[stage_of(table)][0]
    build = init_echoes_wf if table == "coils" else init_recon_wf
    return build(run, settings).get_node(name).inputs


@pytest.mark.parametrize(("table", "key"), CASES)
def test_parameter_reaches_its_node(table, key, run, tmp_path):
    value = other(key, getattr(TABLES[table], key))
    choice = [f"--{stage_of(table)}", table] if stage_of(table) else []
    option, line_of_file = SWITCHES.get(table, ("", ""))
    text = str(value).lower() if isinstance(value, bool) else str(value)
    line = parse(["/data", "/out", "participant", *choice, *option.split(), "--set", f"{table}.{key}={text}"])
    toml = tmp_path / "settings.toml"
    quoted = f'"{text}"' if isinstance(value, str) else text
    chosen = f'{stage_of(table)} = "{table}"\n' if choice else line_of_file
    toml.write_text(f"{chosen}[{table}]\n{key} = {quoted}\n")
    file = Settings.from_toml(toml, bids_dir=Path("/data"), out_dir=Path("/out"), analysis_level="participant")
    for settings in (line, file):
        inputs = node_inputs(settings, run, table)
        given = inputs.twopass if table == "twopass" else inputs.params
        assert given == asdict(TABLES[table]) | {key: value}
        if choice:
            assert inputs.method == table


def test_every_table_belongs_to_a_node():
    assert all(table in ALWAYS or stage_of(table) for table in TABLES)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mtv.weigth=2", "Did you mean 'mtv.weight'"),
        ("mvt.weight=2", "Did you mean 'mtv'"),
        ("weight=2", "expected TABLE.KEY=VALUE"),
        ("mtv.weight=heavy", "has to be a number; found 'heavy'"),
        ("mtv.weight=-1", "has to be above 0"),
        ("two_pass.threshold=0.4", "Did you mean 'twopass'"),
        ("twopass.threshold=1.5", "has to lie between 0 and 1"),
    ],
)
def test_wrong_assignments_are_explained(text, words):
    from qsmprep.errors import UsageError

    with pytest.raises(UsageError) as caught:
        parse(["/data", "/out", "participant", "--set", text])
    assert words in str(caught.value)


def test_a_single_step_needs_no_background_removal(run):
    from qsmprep.workflows.recon import init_recon_wf

    single = init_recon_wf(run, parse(["/data", "/out", "participant", "--inversion", "tfi"]))
    assert "background" not in single.list_node_names()
    assert "background" in init_recon_wf(run, parse(["/data", "/out", "participant"])).list_node_names()


def test_asking_for_background_removal_before_a_single_step_is_refused(tmp_path):
    from qsmprep.errors import UsageError

    with pytest.raises(UsageError, match="single step"):
        parse(["/data", "/out", "participant", "--inversion", "tgv", "--background", "pdf"])
    stored = tmp_path / "settings.toml"  # as a run leaves it: names every choice, used or not
    stored.write_text('background = "pdf"\ninversion = "tgv"\n')
    assert parse(["/data", "/out", "participant", "--config", str(stored)]).single_step


def test_noise_reaches_every_stage_that_weighs_by_it(run):
    from qsmprep.workflows.recon import init_recon_wf

    wf = init_recon_wf(run, parse(["/data", "/out", "participant", "--two-pass"]))
    links = {(a.name, b.name, link) for a, b, data in wf._graph.edges(data=True) for link in data["connect"]}
    assert ("field_fit", "background", ("noise", "noise")) in links
    assert ("field_fit", "inversion", ("noise", "noise")) in links
    assert ("inputnode", "inversion", ("quality", "quality")) in links


def test_what_is_left_out_of_the_numbers_reaches_every_table(run):
    from qsmprep.workflows.participant import init_run_wf

    asked = ["--exclude-veins", "--exclude-gradients", "--erode-labels", "1.5"]
    wf = init_run_wf(run, parse(["/data", "/out", "participant", *asked]))
    counted = wf.get_node("counted")
    assert counted.inputs.veins and counted.inputs.gradients
    links = {(a.fullname, b.fullname, link) for a, b, data in wf._graph.edges(data=True) for link in data["connect"]}
    for seg in ("deepgrey", "DK", "parts"):
        assert any(b.endswith(f"seg_{seg}") and link == ("counted", "inputnode.counted") for _, b, link in links)
        for node in ("table", "texture"):
            assert wf.get_node(f"seg_{seg}.{node}").inputs.erode_mm == 1.5
        assert wf.get_node(f"tables.save_{seg}").inputs.sidecar["LabelErosionMM"] == 1.5
        assert wf.get_node(f"tables.save_{seg}").inputs.sidecar["LeftOut"] == {"Veins": True, "Gradients": True}
    plain = init_run_wf(run, parse(["/data", "/out", "participant"]))
    assert plain.get_node("counted") is None


def test_only_an_atlas_that_has_a_prior_is_refined(run):
    from qsmprep import data
    from qsmprep.workflows.regions import init_regions_wf, prior_sides

    settings = parse(["/data", "/out", "participant"])
    assert prior_sides(data.atlas("deepgrey")) == {"L": 20, "R": 120}
    wf = {name: init_regions_wf(run, settings, data.atlas(name)) for name in data.ATLASES}
    assert wf["deepgrey"].get_node("refine").inputs.sides == {"L": 20, "R": 120}
    assert wf["DK"].get_node("refine") is None and wf["parts"].get_node("refine") is None
    edges = {(a.name, b.name, c) for a, b, d in wf["deepgrey"]._graph.edges(data=True) for c in d["connect"]}
    for node in ("table", "texture", "draw"):
        assert ("refine", node, ("labels", "labels")) in edges
    assert ("refine", "save_labels", ("labels", "in_file")) in edges
    assert ("refine", "outputnode", ("meta", "meta")) in edges


def links_of(wf):
    """(source, target, output, input) of every link, with the names below the run or the anatomical image."""
    from nipype.pipeline.engine.utils import generate_expanded_graph

    flat = generate_expanded_graph(wf._create_flat_graph())
    return {
        (source.fullname.split(".", 2)[-1], target.fullname.split(".", 2)[-1], a if isinstance(a, str) else a[0], b)
        for source, target, told in flat.edges(data=True)
        for a, b in told["connect"]
    }


def test_grey_matter_comes_from_the_t1w_or_else_from_the_template_and_reaches_the_cortex_alone(run, tmp_path):
    from qsmprep.bids.expected import expected_outputs
    from qsmprep.workflows.participant import init_qsmprep_wf

    t1w = tmp_path / "sub-01_T1w.nii"
    t1w.touch()
    settings = parse(["/data", "/out", "participant"])
    for one in (replace(run, t1w=t1w), run):
        wf = init_qsmprep_wf(Plan((one,)), settings)
        links = links_of(wf)
        assert ("grey_matter", "seg_DK.table", "out_file", "grey_matter") in links
        assert not any(b == "grey_matter" and not target.startswith("seg_DK") for _, target, _, b in links)
        (found,) = [name for name in wf.list_node_names() if name.startswith(("anat", "sub_01.gre_anat"))
                    and name.endswith(".grey_matter")]  # fmt: skip
        assert wf.get_node(found).inputs.segment == (one.t1w is not None)
        assert (("coreg.rigid", "grey_matter", "inverse", "transforms") in links) == (one.t1w is not None)
        told = wf.get_node("sub_01.tables.save_DK").inputs.sidecar
        assert told["chi_gm_mean"]["Units"] == "ppm"
        assert ("Atropos" in told["GreyMatter"]["Method"]) == (one.t1w is not None)
        assert "chi_gm_mean" not in wf.get_node("sub_01.tables.save_deepgrey").inputs.sidecar
        assert sum(name.endswith("_label-GM_probseg.nii.gz") for name in expected_outputs(one, settings)) == 1


def test_no_grey_matter_is_looked_for_where_freesurfer_has_parcels_or_the_atlas_is_the_users(run, tmp_path):
    from qsmprep.bids.expected import has_grey_matter
    from qsmprep.bids.model import Anatomy, Segmentation

    settings = parse(["/data", "/out", "participant"])
    t1w = tmp_path / "sub-01_desc-preproc_T1w.nii"
    for name, expected in (("aparcaseg", False), ("aseg", True)):
        external = Anatomy("fMRIPrep", tmp_path, t1w, t1w, segmentation=Segmentation(name, t1w))
        assert has_grey_matter(replace(run, t1w=t1w, external=external), settings) == expected
    assert has_grey_matter(run, settings)
    assert not has_grey_matter(run, parse(["/data", "/out", "participant", "--no-normalization"]))
    assert not has_grey_matter(run, parse(["/data", "/out", "participant", "--stop-after", "mask"]))
    bare = replace(run, echoes=tuple(replace(echo, magnitude=None, real=None) for echo in run.echoes))
    assert not has_grey_matter(bare, settings)


def test_regions_drawn_on_the_t1w_come_through_the_coregistration(run, tmp_path):
    """The graph of one rater on each image: it holds together, and only what needs it is carried."""
    from nipype.pipeline.engine.utils import generate_expanded_graph

    from qsmprep.bids.model import ManualRegion, ManualRegions
    from qsmprep.workflows.participant import init_qsmprep_wf

    t1w, drawn = tmp_path / "sub-01_T1w.nii", tmp_path / "sub-01_label-SN_mask.nii"
    for path in (t1w, drawn):
        path.touch()
    region = ManualRegion(1, "SN", "L", drawn)
    manual = (ManualRegions("AB", (region,)), ManualRegions("CD", (region,), on_t1w=True))
    both = replace(run, t1w=t1w, manual=manual)
    wf = init_qsmprep_wf(Plan((both,)), parse(["/data", "/out", "participant"]))
    flat = generate_expanded_graph(wf._create_flat_graph())
    links = {
        (source.fullname.split(".", 2)[-1], target.fullname.split(".", 2)[-1], a if isinstance(a, str) else a[0], b)
        for source, target, told in flat.edges(data=True)
        for a, b in told["connect"]
    }
    assert ("coreg.rigid", "seg_manualCD.labels", "inverse", "transforms") in links
    assert ("seg_manualCD.drawn", "seg_manualCD.labels", "labels", "in_file") in links
    assert ("seg_manualCD.labels", "seg_manualCD.table", "out_file", "labels") in links
    assert ("seg_manualAB.drawn", "seg_manualAB.table", "labels", "labels") in links
    assert ("seg_manualCD.labels", "join_labels", "out_file", "in2") in links
    assert ("seg_manualAB.table", "join_table", "table", "in1") in links
    assert not any(target.startswith("seg_manual") and field == "positions" for _, target, _, field in links)
    like = next(node for node in flat if node.fullname.endswith("seg_manualCD.drawn")).inputs.like
    assert Path(like) == t1w
