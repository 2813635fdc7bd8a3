"""Text and tables for a paper say what the tidy tables say."""

import pandas as pd
import pytest

from qsmprep.group.design import Design
from qsmprep.group.writeup import (
    HEADS,
    html_table,
    latex_table,
    methods_text,
    overview,
    p_text,
    paper_table,
    region_text,
    results_text,
    write_paper,
)
from qsmprep.stats._frames import frame


def tidy(*regions):
    """A tidy table: (region, estimate, p, p corrected)."""
    records = [
        {
            **{"region": name, "test": "Welch t", "contrast": "PD - HC", "n": 42, "n_groups": "PD 21, HC 21"},
            **{"estimate": e, "estimate_low": e - 5, "estimate_high": e + 5, "statistic_name": "t", "statistic": e / 4},
            **{"df1": 39.5, "p": p, "effect_name": "Hedges g", "effect": e / 20},
            **{"effect_low": e / 20 - 0.6, "effect_high": e / 20 + 0.6},
        }
        for name, e, p, _ in regions
    ]
    corrected = [c for *_, c in regions]
    return frame(records).assign(
        measure="chi_mean", unit="ppb", p_corrected=corrected, correction="fdr_bh", family_size=2
    )


ROWS = (("deepgrey.putamen.L", 1.0, 0.62, 0.62), ("deepgrey.SNr.R", 27.4, 0.0001, 0.0002))


def test_significant_regions_are_told_with_all_their_numbers():
    (text,) = results_text({"comparisons": tidy(*ROWS)}, Design())
    assert text.startswith("Welch t, PD - HC (chi_mean): 1 of 2 regions (p corrected < 0.05).")
    for part in (
        "right SNr, PD - HC",
        "27.4 ppb [22.4, 32.4]",
        "t(39.5) = 6.85",
        "p < 0.001",
        "Hedges g 1.37 [0.77, 1.97]",
        "n = PD 21, HC 21",
    ):
        assert part in text
    assert "putamen" not in text


def test_where_nothing_is_found_the_strongest_result_is_told_with_its_interval():
    (text,) = results_text({"comparisons": tidy(ROWS[0])}, Design())
    assert "0 of 1 regions" in text and "left putamen, PD - HC: 1 ppb [-4, 6]" in text and "p = 0.62" in text


def test_a_region_without_a_number_is_counted_and_does_not_stop_the_rest():
    nan = float("nan")
    (text,) = results_text({"comparisons": tidy(*ROWS, ("deepgrey.STN.L", nan, nan, nan))}, Design())
    assert "1 of 2 regions" in text and "1 could not be tested" in text
    (none,) = results_text({"comparisons": tidy(("deepgrey.STN.L", nan, nan, nan))}, Design())
    assert "could not be computed in any region" in none


def test_an_area_under_the_curve_has_no_unit_and_is_told_once():
    table = tidy(ROWS[1]).assign(estimate=0.95, effect=0.95, effect_name="AUC", estimate_low=0.84, estimate_high=0.98)
    (text,) = results_text({"diagnosis": table}, Design())
    assert "AUC 0.95 [0.84, 0.98]" in text and "ppb" not in text and text.count("AUC") == 1


def test_the_overview_begins_with_what_survives_the_correction():
    nothing = tidy(ROWS[0]).assign(test="Mann-Whitney")
    rows = overview({"comparisons": pd.concat([nothing, tidy(*ROWS)], ignore_index=True)}, 0.05)
    assert [(row["test"], row["found"], row["tested"]) for row in rows] == [("Welch t", 1, 2), ("Mann-Whitney", 0, 1)]
    assert rows[0]["region"] == region_text("deepgrey.SNr.R")
    assert rows[0]["estimate"] == "27.4 ppb [22.4, 32.4]" and rows[0]["p"] == "p < 0.001"


def test_methods_name_what_was_done_and_nothing_else():
    text = " ".join(methods_text({"comparisons": tidy(*ROWS)}, Design(covariates=("age", "sex")), "csf"))
    assert "Welch's t test (Welch 1947" in text and "adjusted for age and sex" in text
    assert "Benjamini and Hochberg" in text and "referenced to csf" in text
    assert "DeLong" not in text and "ComBat" not in text
    assert "Holm" in " ".join(methods_text({"comparisons": tidy(*ROWS)}, Design(correction="holm")))


def test_methods_name_every_kind_of_table():
    names = ("panel_tests", "cutoffs", "classification", "reliability", "normative")
    tables = dict.fromkeys(names, tidy(*ROWS)) | {"longitudinal": tidy(*ROWS).assign(test="mixed model t")}
    text = " ".join(methods_text(tables, Design()))
    for said in ("multivariate", "Youden 1950", "nested", "Bland and Altman", "controls with norms made without them",
                 "linear mixed models"):  # fmt: skip
        assert said in text, said
    assert "the norms of mine.json." in " ".join(methods_text(tables, Design(normative="/a/mine.json")))


@pytest.mark.parametrize(("p", "text"), [(0.00004, "p < 0.001"), (0.0123, "p = 0.012"), (0.62, "p = 0.62")])
def test_p_values_are_written_as_papers_do(p, text):
    assert p_text(p) == text


def test_regions_are_named_in_words():
    assert region_text("deepgrey.red nucleus.L") == "left red nucleus"
    assert region_text("DK.brainstem.n/a") == "brainstem" and region_text("DAT") == "DAT"


def test_tables_for_latex_and_word_hold_every_row_and_escape_what_is_special():
    table = tidy(("deepgrey.a_b & <c>.L", 1.0, 0.62, 0.62), ROWS[1])
    shown = paper_table(table)
    assert list(shown.columns) == list(HEADS) and len(shown) == 2
    assert shown["Estimate [95 % CI]"][1] == "27.4 ppb [22.4, 32.4]" and shown["p"][1] == "< 0.001"
    tex = latex_table(shown, "50 % of χ")
    assert r"left a\_b \& $<$c$>$" in tex and r"50 \% of $\chi$" in tex and tex.count(r" \\") == 3
    page = html_table(shown, "x < y")
    assert "left a_b &amp; &lt;c&gt;" in page and page.count("<tr>") == 3 and "x &lt; y" in page


def test_files_are_written_and_those_of_an_earlier_call_go(tmp_path):
    write_paper(tmp_path, {"comparisons": tidy(*ROWS), "diagnosis": tidy(*ROWS)}, Design())
    assert "right SNr" in (tmp_path / "paper/text.md").read_text()
    assert len(pd.read_csv(tmp_path / "paper/comparisons.tsv", sep="\t")) == 2
    write_paper(tmp_path, {"comparisons": tidy(*ROWS)}, Design())
    assert sorted(path.name for path in (tmp_path / "paper").iterdir()) == [
        "comparisons.html", "comparisons.tex", "comparisons.tsv", "text.md",
    ]  # fmt: skip
