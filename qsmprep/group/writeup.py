"""Results and methods of a group analysis as text for a paper, and its tables for LaTeX and for a word processor.

Every number comes from the tidy tables; what is said of a test follows what was run, with its reference.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from qsmprep import __version__
from qsmprep.bids.derivatives import atomic_write_text, write_table
from qsmprep.group.design import Design

if TYPE_CHECKING:
    import pandas as pd

WRITTEN = ("comparisons", "models", "scores", "diagnosis", "longitudinal")
NAMED = 12  # results that a paragraph tells one by one; the table has them all
HEADS = ("Region", "Test", "Contrast", "n", "Estimate [95 % CI]", "Statistic", "p", "p corrected", "Effect [95 % CI]")
# test, by the beginning of its name -> how it is told, and where it comes from
METHODS = {
    "Welch t": ("Welch's t test", "Welch 1947, doi 10.1093/biomet/34.1-2.28"),
    "Mann-Whitney": ("the Mann-Whitney test", "Mann and Whitney 1947, doi 10.1214/aoms/1177730491"),
    "ANOVA": ("analysis of variance", ""),
    "Welch ANOVA": ("Welch's analysis of variance", "Welch 1951, doi 10.1093/biomet/38.3-4.330"),
    "Kruskal": ("the Kruskal-Wallis test", "Kruskal and Wallis 1952, doi 10.1080/01621459.1952.10483441"),
    "Tukey": ("the Tukey-Kramer test of all pairs", "Kramer 1956, doi 10.2307/3001469"),
    "Games-Howell": ("the Games-Howell test of all pairs", "Games and Howell 1976, doi 10.3102/10769986001002113"),
    "Dunn": ("Dunn's test of all pairs, by Holm's method", "Dunn 1964, doi 10.1080/00401706.1964.10490181"),
    "GLM": ("linear models", ""),
    "ROC": ("areas under the ROC curve with DeLong's variance", "DeLong 1988, doi 10.2307/2531595"),
    "Pearson": ("Pearson's correlation", ""),
    "Spearman": ("Spearman's rank correlation", ""),
    "partial Pearson": ("Pearson's partial correlation", ""),
    "partial Spearman": ("Spearman's partial rank correlation", ""),
    "DeLong": ("DeLong's test of two areas in the same persons", "DeLong 1988, doi 10.2307/2531595"),
    "paired t": ("paired t tests", ""),
    "Wilcoxon": ("Wilcoxon's signed-rank test", "Wilcoxon 1945, doi 10.2307/3001968"),
    "annual": ("tests of each person's change per year", ""),
    "mixed model": (
        "linear mixed models with random effects of each person, and Satterthwaite's degrees of freedom",
        "Kuznetsova 2017, doi 10.18637/jss.v082.i13",
    ),
}
# table that is not among `WRITTEN` -> what was done for it
FURTHER = {
    "panel_tests": "All regions together were tested by multivariate analysis of covariance.",
    "cutoffs": (
        "Cut-offs are Youden's (Youden 1950), with intervals of Wilson (Wilson 1927, doi "
        "10.1080/01621459.1927.10502953) for what a diagnosis by them is worth."
    ),
    "classification": (
        "Penalised logistic regression and linear discriminant analysis over all regions were judged by nested "
        "cross-validation (Varma and Simon 2006, doi 10.1186/1471-2105-7-91), in persons that they had not seen."
    ),
    "normative": "Each person was compared with norms for age and sex, and controls with norms made without them.",
    "reliability": (
        "Agreement was told by intraclass correlation (McGraw and Wong 1996, doi 10.1037/1082-989X.1.1.30) and limits "
        "of agreement (Bland and Altman 1986, doi 10.1016/S0140-6736(86)90837-8)."
    ),
}
ERRORS = {
    "hc3": "heteroscedasticity-consistent (HC3; MacKinnon and White 1985, doi 10.1016/0304-4076(85)90158-7)",
    "hc4": "heteroscedasticity-consistent (HC4; Cribari-Neto 2004, doi 10.1016/S0167-9473(02)00366-3)",
    "classical": "classical, for equal variances",
}
CORRECTIONS = {
    "fdr_bh": ("the false discovery rate (Benjamini and Hochberg 1995, doi 10.1111/j.2517-6161.1995.tb02031.x)"),
    "fdr_by": (
        "the false discovery rate under any dependence (Benjamini and Yekutieli 2001, doi 10.1214/aos/1013699998)"
    ),
    "holm": "the family-wise error by Holm's method (Holm 1979)",
    "bonferroni": "the family-wise error by Bonferroni's method",
}


def p_text(p: float) -> str:
    """A p-value as papers give it: `p < 0.001`, else with two significant digits."""
    if math.isnan(p):
        return "p n/a"
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def region_text(region: str) -> str:
    """`deepgrey.caudate.L` as `left caudate`; what is no such name stays."""
    parts = region.split(".")
    if len(parts) < 3:
        return region
    side = {"L": "left ", "R": "right "}.get(parts[-1], "")
    return side + ".".join(parts[1:-1])


def _number(value: float) -> str:
    """Three significant digits, none in exponents where a paper has none."""
    if math.isnan(value):
        return "n/a"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _interval(value: float, low: float, high: float, unit: str = "") -> str:
    if math.isnan(value):
        return ""
    unit = f" {unit}" if unit and unit != "1" else ""
    if math.isnan(low) or math.isnan(high):
        return f"{_number(value)}{unit}"
    return f"{_number(value)}{unit} [{_number(low)}, {_number(high)}]"


def _estimate(row: pd.Series[Any]) -> str:
    """Estimate and interval; where it is the effect size itself (AUC, r), by that name and without a unit."""
    itself = bool(row["effect_name"]) and row["estimate"] == row["effect"]
    told = _interval(row["estimate"], row["estimate_low"], row["estimate_high"], "" if itself else str(row["unit"]))
    return f"{row['effect_name']} {told}" if itself and told else told


def _effect(row: pd.Series[Any]) -> str:
    """Effect size and interval; nothing where the estimate has told it."""
    if not row["effect_name"] or math.isnan(row["effect"]) or row["estimate"] == row["effect"]:
        return ""
    return f"{row['effect_name']} {_interval(row['effect'], row['effect_low'], row['effect_high'])}"


def _statistic(row: pd.Series[Any]) -> str:
    if math.isnan(row["statistic"]):
        return ""
    degrees = [_number(row[key]) for key in ("df1", "df2") if not math.isnan(row[key])]
    told = f"({', '.join(degrees)})" if degrees else ""
    return f"{row['statistic_name']}{told} = {_number(row['statistic'])}"


def _corrected(row: pd.Series[Any]) -> str:
    return p_text(row["p_corrected"]).replace("p", "p corrected", 1)


def sentence(row: pd.Series[Any]) -> str:
    """One result: region, contrast, estimate, statistic, p before and after correction, effect, n."""
    told = [
        _estimate(row),
        _statistic(row),
        p_text(row["p"]),
        _corrected(row) if row["correction"] != "none" else "",
        _effect(row),
        f"n = {row['n_groups'] or _number(row['n'])}",
    ]
    return f"{region_text(row['region'])}, {row['contrast']}: " + "; ".join(part for part in told if part)


def results_text(tables: Mapping[str, pd.DataFrame], design: Design) -> list[str]:
    """Paragraphs, one a measure, test and contrast: how many regions were tested, which differ, and by how much.

    Parameters
    ----------
    tables : tidy tables by name; those of `WRITTEN` are told
    design : of which alpha counts

    Returns
    -------
    paragraphs : the results that survive the correction, the strongest first; where none does, the strongest is told
        with its interval, since no significance is no proof of equality
    """
    paragraphs = []
    for (measure, test, contrast), rows, known in _families(tables):
        head = f"{test}, {contrast} ({measure}): "
        if known.empty:
            paragraphs.append(f"{head}could not be computed in any region.")
            continue
        found = known[known["p_corrected"] < design.alpha]
        missing = len(rows) - len(known)
        head += f"{len(found)} of {len(known)} regions"
        head += f" (p corrected < {design.alpha:g})" if design.correction != "none" else f" (p < {design.alpha:g})"
        head += f"; {missing} could not be tested" if missing else ""
        if found.empty:
            text = f"{head}. The smallest p was in {sentence(known.iloc[0])}."
        else:
            more = f". Further: {len(found) - NAMED} in the table" if len(found) > NAMED else ""
            text = f"{head}. {'. '.join(sentence(row) for _, row in found.head(NAMED).iterrows())}{more}."
        paragraphs.append(text)
    return paragraphs


def overview(tables: Mapping[str, pd.DataFrame], alpha: float) -> list[dict[str, Any]]:
    """One row a measure, test and contrast: how many regions survive the correction, and the strongest of all.

    Those with survivors come first. Keys: test, contrast, measure, found, tested, region, estimate, p.
    """
    rows: list[dict[str, Any]] = []
    for (measure, test, contrast), _, known in _families(tables):
        if known.empty:
            continue
        first = known.iloc[0]
        told = {"region": region_text(first["region"]), "estimate": _estimate(first) or _effect(first)}
        count = {"found": int((known["p_corrected"] < alpha).sum()), "tested": len(known)}
        names = {"test": test, "contrast": contrast, "measure": measure}
        rows.append(names | count | told | {"p": p_text(first["p_corrected"])})
    return sorted(rows, key=lambda row: row["found"] == 0)


def _families(
    tables: Mapping[str, pd.DataFrame],
) -> Iterator[tuple[tuple[str, str, str], pd.DataFrame, pd.DataFrame]]:
    """Measure, test and contrast; its rows; and those with a p-value, the strongest first."""
    for name in WRITTEN:
        table = tables.get(name)
        if table is None or "p_corrected" not in table:
            continue
        for (measure, test, contrast), rows in table.groupby(["measure", "test", "contrast"], sort=False):
            known = rows[rows["p"].notna()].sort_values(["p_corrected", "p"])
            yield (str(measure), str(test), str(contrast)), rows, known


def methods_text(
    tables: Mapping[str, pd.DataFrame], design: Design, second_reference: str = "", further: Iterable[str] = ()
) -> list[str]:
    """What was done, in sentences for a methods section, with references; `further` of what is in no table of these."""
    tests = dict.fromkeys(str(test) for name in WRITTEN if name in tables for test in tables[name]["test"])
    names = list(dict.fromkeys(_method(test) for test in tests))
    lines = []
    if names:
        lines.append(f"Regional numbers ({', '.join(design.statistics)}) were analysed by {_listed(names)}.")
    file = {"normative": f"Each person was compared with the norms of {Path(design.normative).name}."}
    sentences = FURTHER | (file if design.normative.endswith(".json") else {})
    lines += [sentence for name, sentence in sentences.items() if name in tables]
    if any(test.startswith("GLM") for test in tests):
        terms = any(test.startswith("GLM F") for test in tests)
        squares = f", and their terms were tested by type {'I' * design.squares} sums of squares" if terms else ""
        lines.append(f"Standard errors of linear models were {ERRORS[design.errors]}{squares}.")
    if design.covariates:
        lines.append(f"Linear models were adjusted for {_listed(design.covariates)}.")
    if design.harmonize:
        lines.append(_harmonised(tables, design))
    if design.study_template:
        source = "(Avants 2010, doi 10.1016/j.neuroimage.2009.09.062)"
        lines.append(f"An unbiased template was made of the participants' own maps {source}.")
    lines += further
    if design.correction in CORRECTIONS:
        family = {"contrast": "the regions of one contrast", "test": "one test", "all": "all tests"}[design.family]
        lines.append(f"p-values were corrected over {family}, controlling {CORRECTIONS[design.correction]}.")
    lines.append(f"The level of significance was {design.alpha:g}, two-sided. Intervals are of 95 %.")
    if second_reference:
        lines.append(f"Tests were repeated with χ referenced to {second_reference}.")
    lines.append(f"The analysis was done with qsmprep {__version__}.")
    return lines


def _harmonised(tables: Mapping[str, pd.DataFrame], design: Design) -> str:
    """That ComBat was used, and how much of the sites it took out."""
    told = f"Numbers were harmonised over {design.site} by ComBat (Johnson 2007, doi 10.1093/biostatistics/kxj037)"
    found = tables.get("harmonization")
    if found is None:
        return f"{told}."
    median = found.groupby("test")["effect"].median()
    before, after = (median[f"site mean, {when}"] for when in ("before", "after"))
    return f"{told}: the median partial η² of the sites over the regions was {before:.2f} before and {after:.2f} after."


def _method(test: str) -> str:
    """What a test is called in a text, with its reference; a test that is not among `METHODS` by its own name."""
    name, source = next((told for key, told in METHODS.items() if test.startswith(key)), (test, ""))
    return f"{name} ({source})" if source else name


def _listed(words: Iterable[str]) -> str:
    *first, last = list(words)
    return f"{', '.join(first)} and {last}" if first else last


def paper_table(table: pd.DataFrame) -> pd.DataFrame:
    """A tidy table as a paper shows it: text in the columns of `HEADS`, row by row.

    Parameters
    ----------
    table : with the columns of `qsmprep.stats` and p_corrected, measure and unit
    """
    import pandas as pd

    rows = [
        (
            region_text(row["region"]),
            f"{row['test']}, {row['measure']}",
            row["contrast"],
            row["n_groups"] or _number(row["n"]),
            _estimate(row),
            _statistic(row),
            p_text(row["p"]).removeprefix("p ").removeprefix("= "),
            p_text(row["p_corrected"]).removeprefix("p ").removeprefix("= "),
            _effect(row),
        )
        for _, row in table.iterrows()
    ]
    return pd.DataFrame(rows, columns=list(HEADS))


def latex_table(table: pd.DataFrame, caption: str) -> str:
    """A table of text as LaTeX (`booktabs` and `longtable`), everything escaped."""
    columns = "l" * len(table.columns)
    lines = [
        f"\\begin{{longtable}}{{{columns}}}",
        f"\\caption{{{_tex(caption)}}}\\\\",
        "\\toprule",
        " & ".join(_tex(head) for head in table.columns) + r" \\",
        r"\midrule\endhead",
    ]
    lines += [" & ".join(_tex(str(cell)) for cell in row) + r" \\" for row in table.itertuples(index=False)]
    return "\n".join([*lines, r"\bottomrule", r"\end{longtable}", ""])


def _tex(text: str) -> str:
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": "$<$", ">": "$>$"}
    special |= {char: f"\\{char}" for char in "&%$#_{}"} | {"χ": r"$\chi$", "η": r"$\eta$", "²": "$^2$"}
    return "".join(special.get(char, char) for char in text)


def html_table(table: pd.DataFrame, caption: str) -> str:
    """A table of text as a page that word processors open: plain cells, no script."""
    head = Markup("").join(Markup("<th>{}</th>").format(name) for name in table.columns)
    body = Markup("\n").join(
        Markup("<tr>{}</tr>").format(Markup("").join(Markup("<td>{}</td>").format(cell) for cell in row))
        for row in table.itertuples(index=False)
    )
    page = Markup(
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{}</title></head><body>\n'
        '<table border="1" style="border-collapse:collapse;font-family:serif">\n<caption>{}</caption>\n'
        "<thead><tr>{}</tr></thead><tbody>\n{}\n</tbody></table></body></html>\n"
    )
    return str(page.format(caption, caption, head, body))


def write_paper(
    folder: Path,
    tables: Mapping[str, pd.DataFrame],
    design: Design,
    second_reference: str = "",
    voxelwise: tuple[Iterable[str], Iterable[str]] = ((), ()),
) -> tuple[list[str], list[str]]:
    """Write `paper/text.md` and each table as TSV, LaTeX and HTML; returns the paragraphs of results and methods.

    Parameters
    ----------
    voxelwise : paragraphs of results, and sentences of methods, of the voxel-wise tests
    """
    results = [*results_text(tables, design), *voxelwise[0]]
    methods = methods_text(tables, design, second_reference, voxelwise[1])
    text = ["# Methods", "", " ".join(methods), "", "# Results", ""]
    atomic_write_text(folder / "paper" / "text.md", "\n".join([*text, "\n\n".join(results), ""]))
    for name in WRITTEN:
        found = [folder / "paper" / f"{name}{end}" for end in (".tsv", ".tex", ".html")]
        if name not in tables or "p_corrected" not in tables[name]:
            for old in found:  # of an earlier call
                old.unlink(missing_ok=True)
            continue
        shown = paper_table(tables[name])
        caption = f"{name.capitalize()} of {', '.join(design.statistics)}; p corrected: {design.correction}"
        write_table(found[0], shown)
        atomic_write_text(found[1], latex_table(shown, caption))
        atomic_write_text(found[2], html_table(shown, caption))
    return results, methods
