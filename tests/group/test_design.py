import pytest

from qsmprep.data import ATLASES, atlas
from qsmprep.errors import UsageError
from qsmprep.group.design import find_column, parse_contrast, parse_groups, read_design
from qsmprep.group.panels import EXPECTED, read_panel
from qsmprep.settings import panel_names


@pytest.fixture
def model(tmp_path):
    def write(text):
        path = tmp_path / "design.toml"
        path.write_text(text)
        return path

    return write


def test_options_win_over_the_file_and_the_file_over_the_panel(dataset, model):
    path = model('panel = "PD"\ncovariates = ["age"]\nscores = "MoCA"\nalpha = 0.01\norder = ["HC", "PD"]\n')
    settings = dataset.settings(model=path, covariates=("sex",), groups="dx=CN,PD", contrasts=("PD - CN",))
    design, panel = read_design(settings)
    assert (design.covariates, design.scores, design.alpha) == (("sex",), ("MoCA",), 0.01)
    assert (design.groups, design.order, design.reference) == ("dx", ("CN", "PD"), "CN")
    assert design.contrasts == ("PD - CN",) and design.regions == panel.names


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('covariate = ["age"]', r"design.toml: unknown key 'covariate'. Did you mean 'covariates'"),
        ("covariates = [1]", "covariates has to be a list of texts"),
        ('maps = ["R2star"]', "maps: 'R2star' is not known. Known: chi, r2star. Did you mean 'r2star'"),
        ("maps = []", "maps is empty; name at least one: chi, r2star"),
        ("alpha = true", "alpha has to be a number; found True"),
        ('errors = "HC3"', "errors: 'HC3' is not known. Known: hc3, hc4, classical"),
        ("squares = 1", "squares is 1; expected 3 or 2"),
        ('squares = "III"', "squares has to be a whole number; found 'III'"),
        ("alpha = 2", "alpha is 2; it has to lie between"),
        ('correction = "fdr"', "Did you mean 'fdr_b"),
        ('order = ["a"]\nreference = "b"', "reference is 'b', which is not in order"),
        ("harmonize = true", "harmonize needs a column of sites"),
        ("a = ", "not valid TOML"),
        ('panel = "XX"', "--panel: 'XX' is not known"),
    ],
)
def test_faults_of_the_model_file_are_named(dataset, model, text, told):
    with pytest.raises(UsageError, match=told):
        read_design(dataset.settings(model=model(text)))


def test_a_model_file_that_is_not_there_is_named(dataset, tmp_path):
    with pytest.raises(UsageError, match=r"there is no file .*none\.toml"):
        read_design(dataset.settings(model=tmp_path / "none.toml"))


@pytest.mark.parametrize(
    ("text", "sides"),
    [
        ("AD - HC", (("AD",), ("HC",))),
        ("AD-HC", (("AD",), ("HC",))),
        ("PD-TD - HC", (("PD-TD",), ("HC",))),
        ("PD-TD-HC", (("PD-TD",), ("HC",))),
        ("ad vs control", (("AD",), ("HC",))),
        ("(AD + PD-TD) - HC", (("AD", "PD-TD"), ("HC",))),
    ],
)
def test_contrasts_are_understood(text, sides):
    assert parse_contrast(text, ["HC", "AD", "PD-TD"]) == sides


@pytest.mark.parametrize(("text", "told"), [("AD", "two sides"), ("AD - XX", "no group XX; found HC, AD")])
def test_contrasts_that_cannot_be_are_told(text, told):
    with pytest.raises(UsageError, match=told):
        parse_contrast(text, ["HC", "AD"])


def test_groups_option_needs_a_column():
    assert parse_groups("dx") == {"groups": "dx"}
    with pytest.raises(UsageError, match="expected COLUMN"):
        parse_groups("=HC")


def test_columns_are_found_in_other_capitals_and_near_ones_suggested():
    assert find_column("mmse", ["age", "MMSE"]) == "MMSE"
    assert find_column("moca.total", ["age", "total"]) == "total"
    with pytest.raises(UsageError, match="Did you mean MMSE"):
        find_column("MMSE2", ["age", "MMSE"])


@pytest.mark.parametrize("name", panel_names())
def test_regions_of_panels_are_in_the_packaged_atlases_and_their_sources_are_given(name):
    known = set()
    for seg in ATLASES:
        rows = [line.split("\t") for line in atlas(seg).labels.read_text().splitlines()[1:]]
        known |= {f"{seg}.{row[1]}" for row in rows} | {f"{seg}.{row[1]}.{row[2]}" for row in rows}
    panel = read_panel(name)
    assert set(panel.names) <= known
    for region in panel.regions:
        assert region.expected in EXPECTED
        assert {source.strip() for source in region.source.split(",")} <= set(panel.references)
        assert any(region.group in contrast for contrast in panel.contrasts)
