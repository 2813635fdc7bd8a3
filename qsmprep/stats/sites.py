"""How much sites and covariates move regional numbers, before and after harmonisation."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from qsmprep.stats import _frames
from qsmprep.stats.harmonize import Encoder

Array = npt.NDArray[np.float64]


def site_effects(
    before: pd.DataFrame,
    after: pd.DataFrame,
    site: pd.Series,
    covariates: pd.DataFrame | None = None,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """How much of the sites, and of each covariate, is in each region before and after harmonisation.

    Parameters
    ----------
    before, after
        Values as they were and as they became; one row a person, one column a region.
    site, covariates
        As in `harmonize.fit`.
    confidence
        Coverage of the intervals.

    Returns
    -------
    pandas.DataFrame
        Rows a region, by `test`, each with ", before" and ", after": `site mean`, F test of the sites with the
        covariates held, `effect` is partial η²; `site variance`, Brown-Forsythe test on the residuals, `estimate` is
        the largest over the smallest variance of a site; `covariate`, the same F test of each covariate (`contrast`)
        with the sites and the other covariates held, where it is one column with its coefficient as `estimate`, in
        the values' unit: what harmonisation has to leave as it is. Standard errors are classical, as sites differ in
        spread before and should not after.

    Raises
    ------
    InputError
        As `Encoder.encode`.

    References
    ----------
    Brown MB, Forsythe AB. J Am Stat Assoc 1974;69:364-367. doi:10.1080/01621459.1974.10482955
    """
    names = site.reindex(before.index).astype(str)
    encoder = Encoder.learn(covariates)
    columns = encoder.encode(covariates, before.index)
    records: list[dict[str, Any]] = []
    for region in before.columns:
        for when, table in (("before", before), ("after", after)):
            values = table[region].to_numpy(float)
            known = np.isfinite(values)
            found = _tests(values[known], names[known], columns[known], encoder, confidence)
            records += [{**record, "region": str(region), "test": f"{record['test']}, {when}"} for record in found]
    return _frames.frame(records)


def _tests(
    y: Array, names: pd.Series[Any], columns: Array, encoder: Encoder, confidence: float
) -> list[dict[str, Any]]:
    """Tests of one region: means and variances of the sites, then each covariate."""
    sizes = names.value_counts().sort_index()
    sites = list(sizes.index)
    shared = {"n": len(y), "n_groups": ", ".join(f"{name} {n}" for name, n in sizes.items()), "statistic_name": "F"}
    mean, variance = ({**shared, "contrast": "site", "test": f"site {what}"} for what in ("mean", "variance"))
    kept = [{**shared, "contrast": _contrast(name, encoder), "test": "covariate"} for name in encoder.blocks]
    if len(sites) < 2 or len(y) <= len(sites) + columns.shape[1] or np.ptp(y) == 0:
        note = "constant" if len(y) and np.ptp(y) == 0 else "too few people or sites"
        return [head | {"note": note} for head in (mean, variance, *kept)]
    batch = np.column_stack([names == each for each in sites]).astype(float)
    full = np.hstack([batch, columns])
    residual, _ = _residual(full, y)
    mean |= _f_test(y, full, np.hstack([np.ones((len(y), 1)), columns]))
    variance |= _variances([residual[(names == each).to_numpy()] for each in sites])
    for head, block in zip(kept, encoder.blocks.values(), strict=True):
        own = np.arange(len(sites) + block.start, len(sites) + block.stop)
        head |= _f_test(y, full, np.delete(full, own, axis=1))
        if len(own) == 1 and "statistic" in head:
            head |= _coefficient(y, full, int(own[0]), confidence)
    return [mean, variance, *kept]


def _contrast(name: str, encoder: Encoder) -> str:
    """What the coefficient of a covariate says: `age`, `sex: M - F`."""
    levels = encoder.levels.get(name, ())
    return f"{name}: {levels[1]} - {levels[0]}" if len(levels) == 2 else name


def _f_test(y: Array, full: Array, small: Array) -> dict[str, Any]:
    """F test and partial η² of what the full design has and the small one lacks."""
    residual, rank = _residual(full, y)
    rest, small_rank = _residual(small, y)
    sse, extra = float(residual @ residual), float(rest @ rest - residual @ residual)
    df1, df2 = rank - small_rank, len(y) - rank
    if df1 < 1 or sse <= 0:
        return {"note": "sites collinear with the covariates"}
    f = extra / df1 / (sse / df2)
    numbers = {"statistic": f, "df1": df1, "df2": df2, "p": stats.f.sf(f, df1, df2)}
    return numbers | {"effect_name": "partial η²", "effect": extra / (extra + sse)}


def _coefficient(y: Array, full: Array, column: int, confidence: float) -> dict[str, Any]:
    residual, rank = _residual(full, y)
    inverse = np.linalg.pinv(full)
    estimate, df = float(inverse[column] @ y), len(y) - rank
    se = float(np.linalg.norm(inverse[column]) * np.sqrt(residual @ residual / df))
    reach = float(stats.t.isf((1 - confidence) / 2, df)) * se
    ends = {"estimate_low": estimate - reach, "estimate_high": estimate + reach}
    return {"estimate": estimate, "estimate_se": se, **ends}


def _variances(parts: list[Array]) -> dict[str, Any]:
    """Brown-Forsythe test of the residuals of each site."""
    parts = [part for part in parts if len(part) > 1]
    if len(parts) < 2:
        return {"note": "fewer than 2 sites with 2 people"}
    test = stats.levene(*parts, center="median")
    spreads = [float(part.var(ddof=1)) for part in parts]
    ratio = max(spreads) / min(spreads) if min(spreads) > 0 else np.inf
    df1, df2 = len(parts) - 1, sum(map(len, parts)) - len(parts)
    return {"statistic": test.statistic, "p": test.pvalue, "df1": df1, "df2": df2, "estimate": ratio}


def _residual(design: Array, y: Array) -> tuple[Array, int]:
    solution, _, rank, _ = np.linalg.lstsq(design, y, rcond=None)
    return y - design @ solution, int(rank)
