"""What a study can see: the least effect that it finds with a given power.

It depends on the design (numbers, covariates, spread) only. The power of the effect that was found is a function of its
p-value and tells nothing more (Hoenig & Heisey 2001, doi:10.1198/000313001300339897): it is not computed here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from ._frames import frame
from ._solve import fits, level_counts, not_answered
from .contrasts import contrast
from .design import DesignMatrix
from .effects import root

Array = NDArray[np.float64]


def detectable_noncentrality(df: ArrayLike, power: float = 0.8, alpha: float = 0.05) -> Array:
    """Noncentrality that a two-sided t test with `df` degrees of freedom finds with this power (Cohen 1988)."""
    degrees = np.array(df, float)
    bound = stats.t.isf(alpha / 2, degrees)

    def missing(nc: Array) -> Array:
        return np.asarray(power - stats.nct.sf(bound, degrees, nc) - stats.nct.cdf(-bound, degrees, nc))

    return np.where(degrees > 0, root(missing, np.zeros(degrees.shape), bound + 12 + 2 * bound**2 / degrees), np.nan)


def detectable_correlation(df: ArrayLike, power: float = 0.8, alpha: float = 0.05) -> Array:
    """Least |r| found with this power; `df` is n - 2, less one for each covariate (Fisher's z)."""
    degrees = np.array(df, float)
    z = (stats.norm.isf(alpha / 2) + stats.norm.ppf(power)) / np.sqrt(np.where(degrees > 1, degrees - 1, np.nan))
    return np.asarray(np.tanh(z))


def detectable(
    values: pd.DataFrame, design: DesignMatrix, contrasts: Sequence[str], power: float = 0.8, alpha: float = 0.05
) -> pd.DataFrame:
    """Least size of each contrast that this design finds in each region.

    Parameters
    ----------
    values, design
        As in `glm.fit_glm`: the SD of the residuals and the numbers of people come from them, the effects do not.
    contrasts
        See `contrasts.contrast`; those of one degree of freedom.
    power
        Chance of a p-value below `alpha` if the effect is as large as this.
    alpha
        Of one two-sided test with equal variances; divide it by the family's size for Bonferroni's correction.

    Returns
    -------
    pandas.DataFrame
        `estimate` in the unit of the values; `effect` for a difference of means in SD of the residuals, for a slope as
        partial correlation. There is no p-value.
    """
    asked = [one for one in (contrast(text, design) for text in contrasts) if one.kind != "term"]
    records = []
    for fit in fits(values, design):
        nc = float(detectable_noncentrality(max(fit.df, 0), power, alpha))
        sd = np.sqrt((fit.residual**2).sum(axis=0) / max(fit.df, 1))
        for i, one in enumerate(asked):
            note = fit.note or not_answered(fit, one, design)
            scale = float(np.linalg.norm(one.vector @ fit.inverse))
            slope = one.kind == "slope"
            head = {
                "test": f"detectable with power {power:g}",
                "contrast": one.name,
                "n": len(fit.residual),
                "note": note,
            }
            if one.factor:
                head["n_groups"] = level_counts(fit, one.factor, design)
            found = {
                "df1": fit.df,
                "effect_name": "partial r" if slope else "d",
                "effect": detectable_correlation(fit.df, power, alpha) if slope else nc * scale,
            }
            for region, spread in zip(fit.regions, sd, strict=True):
                own = {} if note else found | {"estimate": nc * scale * spread}
                records.append((region, i, {"region": values.columns[region], **head, **own}))
    records.sort(key=lambda record: record[:2])
    return frame([record for *_, record in records])
