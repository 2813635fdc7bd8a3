"""ComBat: takes the effect of scanner or site out of regional numbers and keeps that of the covariates.

What it did is tested in `sites`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from qsmprep.errors import InputError
from qsmprep.stats._frames import levels_of

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Encoder:
    """Columns of numbers from a table of covariates: numbers as they are, the others as indicators of their levels."""

    numbers: tuple[str, ...]
    levels: dict[str, tuple[str, ...]]

    @classmethod
    def learn(cls, covariates: pd.DataFrame | None) -> Encoder:
        """Remember which columns are numbers, and the levels of the others (the first is the baseline)."""
        if covariates is None:
            return cls((), {})
        numeric = [str(c) for c in covariates if pd.api.types.is_numeric_dtype(covariates[c])]
        rest = [str(c) for c in covariates if c not in numeric]
        return cls(tuple(numeric), {c: levels_of(covariates[c]) for c in rest})

    @property
    def names(self) -> list[str]:
        """Names of the columns that `encode` gives."""
        return [*self.numbers, *(f"{c}={level}" for c, levels in self.levels.items() for level in levels[1:])]

    @property
    def blocks(self) -> dict[str, slice]:
        """Covariate -> its columns, in the order of `names`."""
        sizes = dict.fromkeys(self.numbers, 1) | {name: len(levels) - 1 for name, levels in self.levels.items()}
        ends = np.cumsum(list(sizes.values()))
        return {name: slice(end - size, end) for (name, size), end in zip(sizes.items(), ends, strict=True)}

    def encode(self, covariates: pd.DataFrame | None, people: pd.Index) -> Array:
        """(people, columns); raises InputError for a missing value or a level that was not there when learning."""
        if not self.names or covariates is None:
            return np.empty((len(people), 0))
        table = covariates.reindex(people)
        for name in (*self.numbers, *self.levels):
            if table[name].isna().any():
                who = table.index[table[name].isna()][0]
                raise InputError(f"Harmonisation: {who} has no {name}. Give it, or leave one of them out.")
        parts = [table[list(self.numbers)].to_numpy(float)]
        for name, levels in self.levels.items():
            values = table[name].astype(str)
            unknown = sorted(set(values) - set(levels))
            if unknown:
                raise InputError(f"Harmonisation: {name} is {unknown[0]!r} for someone; known are {', '.join(levels)}.")
            parts.append((values.to_numpy()[:, None] == np.array(levels[1:], dtype=object)).astype(float))
        return np.hstack(parts)


@dataclass(frozen=True)
class ComBat:
    """What was learned of the sites; apply it to the same people or to others.

    Attributes
    ----------
    regions, sites
        Names, in the order of the arrays.
    covariates
        How the covariates became columns.
    mean, slopes, scale
        (regions,), (columns, regions), (regions,): pooled mean, effects of the covariates, and SD of the residuals, in
        the values' unit. `scale` is NaN for a region that is left as it is.
    shift, spread
        (sites, regions): each site's additive effect in units of `scale`, and its multiplicative effect, shrunk.
    counts
        People a site.
    reference
        Site whose values stay as they are, or None.
    notes
        What to tell of sites and regions, by name.
    """

    regions: tuple[Any, ...]
    sites: tuple[str, ...]
    covariates: Encoder
    mean: Array
    slopes: Array
    scale: Array
    shift: Array
    spread: Array
    counts: tuple[int, ...]
    reference: str | None
    notes: dict[str, str]

    def apply(
        self, values: pd.DataFrame, site: pd.Series, covariates: pd.DataFrame | None = None, *, unknown: str = "error"
    ) -> pd.DataFrame:
        """Harmonised values, same shape and unit; NaN stays NaN.

        Parameters
        ----------
        values, site, covariates
            As in `fit`.
        unknown
            What to do with a person of a site that was not there when fitting: `error`, or `keep` the values.

        Raises
        ------
        InputError
            For a site that is missing or not known, or a covariate as in `Encoder.encode`.
        """
        names = site.reindex(values.index)
        code = pd.Index(self.sites).get_indexer(pd.Index(names.astype(str).where(names.notna(), "")))
        if unknown == "error" and (code < 0).any():
            who = values.index[code < 0][0]
            known = ", ".join(self.sites)
            raise InputError(f"Harmonisation: the site of {who} is {names.loc[who]!r}; known are {known}.")
        data = values[list(self.regions)].to_numpy(float)
        expected = self.mean + self.covariates.encode(covariates, values.index) @ self.slopes
        clean = expected + self.scale * ((data - expected) / self.scale - self.shift[code]) / self.spread[code]
        stay = (code < 0)[:, None] | np.isnan(self.scale)
        if self.reference is not None:
            stay = stay | (code == self.sites.index(self.reference))[:, None]
        return pd.DataFrame(np.where(stay, data, clean), values.index, list(self.regions))


def fit(
    values: pd.DataFrame, site: pd.Series, covariates: pd.DataFrame | None = None, *, reference: str | None = None
) -> ComBat:
    """Learn the effects of the sites by parametric empirical Bayes, with the effects of the covariates held.

    Parameters
    ----------
    values
        One row a person, one column a region, in any unit; NaN is missing and is left out.
    site
        Scanner or site of each person, by the same index.
    covariates
        What is to be kept: age, sex, group. For a classifier that is judged by cross-validation the group must not be
        among them, since the group of a new person is what is to be found.
    reference
        Site to which the others are brought; its own values do not change.

    Raises
    ------
    InputError
        If there is one site only, the reference is none of the sites, a person has no site, or the covariates are
        collinear with the sites (say, all patients come from one site and all controls from another).

    References
    ----------
    Johnson WE, Li C, Rabinovic A. Biostatistics 2007;8:118-127. doi:10.1093/biostatistics/kxj037
    Fortin JP et al. NeuroImage 2018;167:104-120. doi:10.1016/j.neuroimage.2017.11.024
    """
    names = site.reindex(values.index)
    if names.isna().any():
        raise InputError(f"Harmonisation: {names.index[names.isna()][0]} has no site.")
    names = names.astype(str)
    sites = sorted(names.unique())
    if len(sites) < 2:
        raise InputError(f"Harmonisation needs two sites or more; everybody is from {sites[0] if sites else 'none'}.")
    if reference is not None and str(reference) not in sites:
        raise InputError(f"Harmonisation: the reference site {reference!r} is none of {', '.join(sites)}.")
    encoder = Encoder.learn(covariates)
    batch = np.column_stack([names == each for each in sites]).astype(float)
    columns = encoder.encode(covariates, values.index)
    _check_rank(batch, columns, encoder.names)
    data = values.to_numpy(float)
    base = None if reference is None else sites.index(str(reference))
    mean, slopes, scale = _standard(data, batch, columns, base)
    with np.errstate(invalid="ignore"):
        residual = (data - mean - columns @ slopes) / scale
    shift, spread = _site_effects(residual, batch)
    if base is not None:
        shift[base], spread[base] = 0.0, 1.0
    counts = batch.sum(axis=0).astype(int)
    notes = {
        s: "one person only: its mean is adjusted, its spread is not"
        for s, n in zip(sites, counts, strict=True)
        if n == 1
    }
    notes |= {str(r): "left as it is: no spread to scale by" for r in values.columns[np.isnan(scale)]}
    return ComBat(
        tuple(values.columns),
        tuple(sites),
        encoder,
        mean,
        slopes,
        scale,
        shift,
        spread,
        tuple(map(int, counts)),
        reference,
        notes,
    )


def _check_rank(batch: Array, columns: Array, names: list[str]) -> None:
    design = batch
    for column, name in zip(columns.T, names, strict=True):
        wider = np.column_stack([design, column])
        # columns of length 1, so that the unit of a covariate does not matter
        scaled = wider / np.maximum(np.linalg.norm(wider, axis=0), 1e-300)
        if np.linalg.matrix_rank(scaled, tol=1e-8) < wider.shape[1]:
            raise InputError(
                f"Harmonisation: {name} is collinear with the sites or with covariates before it, so that its effect "
                "cannot be told from theirs. Leave it out, or harmonise sites that have all its values."
            )
        design = wider


def _standard(data: Array, batch: Array, columns: Array, base: int | None) -> tuple[Array, Array, Array]:
    """Pooled mean, effects of covariates and residual SD (Johnson 2007, section 3.1), each region on its own people."""
    regions, sites = data.shape[1], batch.shape[1]
    mean, scale = np.full(regions, np.nan), np.full(regions, np.nan)
    slopes = np.zeros((columns.shape[1], regions))
    known = np.isfinite(data)
    patterns, which = np.unique(known, axis=1, return_inverse=True)
    for i, rows in enumerate(patterns.T):
        here = np.flatnonzero(which.ravel() == i)
        design = np.hstack([batch, columns])[rows]
        present = np.r_[batch[rows].any(axis=0), np.ones(columns.shape[1], bool)]
        design, y = design[:, present], data[np.ix_(rows, here)]
        if len(y) <= design.shape[1] or np.linalg.matrix_rank(design) < design.shape[1]:
            continue
        beta = np.zeros((sites + columns.shape[1], len(here)))
        beta[present] = np.linalg.lstsq(design, y, rcond=None)[0]
        residual, people = y - design @ beta[present], batch[rows]
        if base is None:
            mean[here] = people.mean(axis=0) @ beta[:sites]
            variance = (residual**2).mean(axis=0)
        elif not present[base]:
            continue
        else:
            mean[here] = beta[base]
            variance = (residual[people[:, base] > 0] ** 2).mean(axis=0)
        slopes[:, here] = beta[sites:]
        size = np.abs(y).max(axis=0)
        scale[here] = np.where(variance > (1e-10 * size) ** 2, np.sqrt(variance), np.nan)
    return mean, slopes, scale


def _site_effects(residual: Array, batch: Array) -> tuple[Array, Array]:
    """Additive and multiplicative effect of each site (sites, regions), shrunk towards the mean over its regions."""
    sites, regions = batch.shape[1], residual.shape[1]
    shift, spread = np.zeros((sites, regions)), np.ones((sites, regions))
    for i in range(sites):
        part = residual[batch[:, i] > 0]
        n = np.isfinite(part).sum(axis=0)
        seen = n > 0
        gamma = np.nansum(part, axis=0)[seen] / n[seen]
        centre, tau2 = float(gamma.mean()) if seen.any() else 0.0, float(gamma.var(ddof=1)) if seen.sum() > 1 else 0.0
        twice = n > 1
        with np.errstate(divide="ignore", invalid="ignore"):
            delta = np.nansum((part - np.nansum(part, axis=0) / n) ** 2, axis=0)[twice] / (n[twice] - 1)
        pooled, varies = (float(delta.mean()), float(delta.var(ddof=1))) if twice.sum() > 1 else (1.0, 0.0)
        if len(part) < 2 or not varies > 0:
            prior = None
        else:  # moments of the inverse gamma distribution
            prior = ((2 * varies + pooled**2) / varies, (pooled * varies + pooled**3) / varies)
        g, d = _posterior(part[:, seen], gamma, centre, tau2, prior)
        shift[i, seen], spread[i, seen] = g, np.sqrt(d)
    return shift, spread


def _posterior(
    part: Array, gamma: Array, centre: float, tau2: float, prior: tuple[float, float] | None, tolerance: float = 1e-6
) -> tuple[Array, Array]:
    """Conditional posterior means of shift and variance, in turn until they stay (Johnson 2007, section 3.2).

    Without a `prior` of the variance (a site of one person, or one region) the variance is that of the data where there
    are people enough, else 1.
    """
    n = np.isfinite(part).sum(axis=0).astype(float)
    g = gamma
    first = np.nansum((part - gamma) ** 2, axis=0) / np.maximum(n - 1, 1)
    d = np.where((n > 1) & (first > 0), first, 1.0)
    for _ in range(1000):
        # without spread among regions there is nothing to shrink by
        new_g = (n * tau2 * gamma + d * centre) / (n * tau2 + d) if tau2 > 0 else gamma
        if prior is None:
            return new_g, d
        a, b = prior
        new_d = (b + 0.5 * np.nansum((part - new_g) ** 2, axis=0)) / (n / 2 + a - 1)
        done = max(np.max(np.abs(new_g - g) / np.maximum(np.abs(g), 1e-3)), np.max(np.abs(new_d - d) / d))
        g, d = new_g, new_d
        if done < tolerance:
            break
    return g, d
