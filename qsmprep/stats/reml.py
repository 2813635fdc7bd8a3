"""The linear mixed model of one region: restricted maximum likelihood (REML) with random effects of one grouping.

    y = X β + Z b + ε,   b ~ N(0, σ² Λ Λᵀ) independently per participant,   ε ~ N(0, σ² I)

β and σ are profiled out, so that the optimiser only sees the lower triangle of Λ (θ: one number for a random intercept,
three for a random intercept and slope). All data enter as cross-products per participant, so that one evaluation,
gradient included, costs no more for ten visits than for two.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, optimize

Array = NDArray[np.float64]
SINGULAR = 1e-4  # diagonal of Λ (random SD over residual SD) below which a fit counts as singular, as in lme4


@dataclass(frozen=True)
class Fit:
    """A fitted linear mixed model, in the units of the data.

    `gradients` (k, p, p) are the derivatives of `covariance` by the k parameters of variance (θ, σ), and
    `uncertainty` (k, k) the covariance of those parameters: what Satterthwaite's degrees of freedom need.
    """

    beta: Array
    covariance: Array
    random_covariance: Array
    sigma: float
    criterion: float
    singular: bool
    converged: bool
    gradients: Array
    uncertainty: Array

    def contrast(self, weights: Array) -> tuple[float, float, float]:
        """Estimate, standard error and Satterthwaite's degrees of freedom of `weights` · β.

        References
        ----------
        Giesbrecht & Burns, Biometrics 1985, 41:477-486, doi:10.2307/2530872; Kuznetsova et al., J Stat Softw 2017,
        82(13), doi:10.18637/jss.v082.i13.
        """
        variance = float(weights @ self.covariance @ weights)
        slopes = np.einsum("i,kij,j->k", weights, self.gradients, weights)
        spread = float(slopes @ self.uncertainty @ slopes)
        df = 2 * variance**2 / spread if spread > 0 else np.inf
        return float(weights @ self.beta), float(np.sqrt(variance)), df

    def f_test(self, weights: Array) -> tuple[float, int, float]:
        """F, its numerator and its (Satterthwaite's) denominator degrees of freedom for the rows of `weights` · β = 0.

        The contrasts are turned to independent ones, and their degrees of freedom put together so that the F has the
        mean that it must have.

        References
        ----------
        Fai & Cornelius, J Stat Comput Simul 1996, 54:363-378, doi:10.1080/00949659608811740.
        """
        values, vectors = np.linalg.eigh(weights @ self.covariance @ weights.T)
        kept = values > values.max() * 1e-10
        rows = vectors[:, kept].T @ weights
        estimates, errors, dfs = np.array([self.contrast(row) for row in rows]).T
        q = len(rows)
        usable = dfs[dfs > 2]
        mean = float(np.sum(np.where(np.isinf(usable), 1.0, usable / (usable - 2))))
        df = float(dfs[0]) if q == 1 else (2 * mean / (mean - q) if mean > q else (np.inf if len(usable) == q else 2.0))
        return float(np.mean((estimates / errors) ** 2)), q, min(df, 1e9)  # scipy knows no F of infinite degrees


@dataclass(frozen=True)
class _State:
    """What the likelihood needs at one θ, for σ = 1: XᵀV⁻¹X, β, residual sum of squares; d is the gradient by θ."""

    logdet: float
    xx: Array
    beta: Array
    rss: float
    dlogdet: Array
    dxx: Array
    drss: Array


@dataclass(frozen=True)
class _Products:
    """Cross-products: of Z per participant (m, q, q), of Z with [X y] (m, q, p + 1), of [X y] (p + 1, p + 1)."""

    zz: Array
    zw: Array
    ww: Array

    def at(self, theta: Array) -> _State:
        """The state at θ, from M = [X y]ᵀV⁻¹[X y] = [X y]ᵀ[X y] - Σ Bᵀ A⁻¹ B with B = Λᵀ Zᵀ[X y], A = Λᵀ ZᵀZ Λ + I."""
        factor, steps = _lower(theta)
        a = factor.T @ self.zz @ factor + np.eye(len(factor))
        inverse = np.linalg.inv(a)
        b = factor.T @ self.zw
        ab = inverse @ b
        m = self.ww - np.tensordot(b, ab, axes=((0, 1), (0, 1)))
        xx = m[:-1, :-1]
        cholesky = linalg.cho_factor(xx)
        beta = linalg.cho_solve(cholesky, m[:-1, -1])
        logdet = float(np.linalg.slogdet(a)[1].sum() + 2 * np.log(np.diag(cholesky[0])).sum())
        # dA = dΛᵀZᵀZΛ + its transpose, and dM = -(Zᵀ[X y] - ZᵀZ Λ A⁻¹B)ᵀ dΛ A⁻¹B + its transpose
        outer = np.tensordot(self.zw - self.zz @ factor @ ab, ab, axes=(0, 0))
        shrink = np.tensordot(inverse, factor.T @ self.zz, axes=((0, 2), (0, 1)))
        dm = -np.einsum("kqr,qirj->kij", steps, outer)
        dm = dm + dm.transpose(0, 2, 1)
        dxx, direction = dm[:, :-1, :-1], np.append(-beta, 1.0)
        dlogdet = 2 * np.einsum("kqr,rq->k", steps, shrink)
        dlogdet += np.einsum("ij,kji->k", linalg.cho_solve(cholesky, np.eye(len(xx))), dxx)
        rss = float(m[-1, -1] - m[:-1, -1] @ beta)
        return _State(logdet, xx, beta, rss, dlogdet, dxx, np.einsum("i,kij,j->k", direction, dm, direction))


def _lower(theta: Array) -> tuple[Array, Array]:
    """Λ from θ = (Λ11,) or (Λ11, Λ21, Λ22), and its derivatives by θ (k, q, q)."""
    where = ((0, 0),) if len(theta) == 1 else ((0, 0), (1, 0), (1, 1))
    steps = np.zeros((len(theta), where[-1][0] + 1, where[-1][0] + 1))
    for k, (row, column) in enumerate(where):
        steps[k, row, column] = 1
    return np.asarray(np.tensordot(theta, steps, axes=(0, 0))), steps


def _products(w: Array, z: Array, participants: NDArray[np.intp]) -> _Products:
    order = np.argsort(participants, kind="stable")
    starts = np.flatnonzero(np.diff(participants[order], prepend=-1))
    w, z = w[order], z[order]
    zz = np.add.reduceat(z[:, :, None] * z[:, None, :], starts, axis=0)
    zw = np.add.reduceat(z[:, :, None] * w[:, None, :], starts, axis=0)
    return _Products(zz, zw, w.T @ w)


def _minimise(products: _Products, df: int, q: int) -> tuple[Array, bool]:
    """θ of the smallest criterion, and whether its gradient vanishes there."""
    diagonal = np.array([True] if q == 1 else [True, False, True])

    def criterion(theta: Array) -> tuple[float, Array]:
        state = products.at(theta)
        return state.logdet + df * np.log(state.rss), state.dlogdet + df * state.drss / state.rss

    def descend(start: Array) -> tuple[Array, float]:
        bounds = [(0.0, None) if on else (None, None) for on in diagonal]
        options = {"ftol": 1e-15, "gtol": 1e-9, "maxiter": 500}
        found = optimize.minimize(criterion, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
        return found.x, float(found.fun)

    theta, value = descend(np.where(diagonal, 1.0, 0.0))
    if np.any(theta[diagonal] < SINGULAR):
        # on the border the gradient vanishes by symmetry, minimum or not: try once more from inside
        again, other = descend(np.where(diagonal, np.maximum(theta, 0.2), theta))
        theta = again if other < value else theta
    theta = np.where(diagonal & (theta < SINGULAR), 0.0, theta)
    return theta, bool(np.abs(criterion(theta)[1]).max() < 1e-3 * max(1, df / 100))


def _curvature(products: _Products, theta: Array, sigma: float, df: int) -> Array:
    """Second derivatives (k, k) of the criterion by (θ, σ): by θ, central differences of the exact gradient."""

    def gradient(at: Array) -> Array:
        state = products.at(at)
        return state.dlogdet + state.drss / sigma**2

    k = len(theta)
    hessian = np.empty((k + 1, k + 1))
    for i, step in enumerate(np.diag(1e-4 * np.maximum(1.0, np.abs(theta)))):
        hessian[i, :k] = (gradient(theta + step) - gradient(theta - step)) / (2 * step[i])
    hessian[:k, k] = hessian[k, :k] = -2 * products.at(theta).drss / sigma**3
    hessian[k, k] = 4 * df / sigma**2
    return (hessian + hessian.T) / 2


def _inverse(hessian: Array) -> Array:
    """Inverse over the directions in which the criterion curves upwards (on the border some do not)."""
    values, vectors = np.linalg.eigh(hessian)
    kept = values > values.max() * 1e-9
    return (vectors[:, kept] / values[kept]) @ vectors[:, kept].T


def fit(y: Array, x: Array, z: Array, participants: NDArray[np.intp]) -> Fit:
    """Fit the model by REML.

    Parameters
    ----------
    y
        (n,) observations without NaN.
    x
        (n, p) design of the fixed effects, of full column rank.
    z
        (n, q) design of the random effects: a column of ones, or a column of ones and the time.
    participants
        (n,) number of the participant of each observation, 0, 1, ...

    Raises
    ------
    ValueError
        The fixed effects explain every observation, or their columns depend on one another.

    References
    ----------
    Patterson & Thompson, Biometrika 1971, 58:545-554, doi:10.1093/biomet/58.3.545; Bates et al., J Stat Softw 2015,
    67(1), doi:10.18637/jss.v067.i01.
    """
    (n, p), q = x.shape, z.shape[1]
    basis, upper = np.linalg.qr(x)
    size = np.abs(np.diag(upper))
    residual = y - basis @ (basis.T @ y)
    scale = float(np.sqrt(residual @ residual / max(n - p, 1)))
    if n <= p or size.min() <= 1e-10 * size.max() or scale <= 1e-10 * np.abs(y).max():
        raise ValueError("the fixed effects depend on one another, or explain every observation")
    change = np.eye(q)  # time centred and scaled: the model is the same, the optimiser's way shorter
    if q == 2:
        centre, spread = z[:, 1].mean(), z[:, 1].std()
        change = np.array([[1.0, -centre / spread], [0.0, 1 / spread]])
    products = _products(np.column_stack([basis, residual / scale]), z @ change, participants)
    theta, converged = _minimise(products, n - p, q)
    state = products.at(theta)
    sigma = float(np.sqrt(state.rss / (n - p)))
    inverse = np.linalg.inv(state.xx)
    steps = np.concatenate([-(sigma**2) * inverse @ state.dxx @ inverse, 2 * sigma * inverse[None]])
    back = np.linalg.inv(upper)
    factor = scale * sigma * change @ _lower(theta)[0]
    return Fit(
        beta=back @ (basis.T @ y + scale * state.beta),
        covariance=(scale * sigma) ** 2 * back @ inverse @ back.T,
        random_covariance=factor @ factor.T,
        sigma=scale * sigma,
        criterion=state.logdet
        + 2 * float(np.log(size).sum())
        + (n - p) * float(1 + np.log(2 * np.pi * (scale * sigma) ** 2)),
        singular=bool(np.any(np.diag(_lower(theta)[0]) < SINGULAR)),
        converged=converged,
        gradients=scale**2 * back @ steps @ back.T,
        uncertainty=2 * _inverse(_curvature(products, theta, sigma, n - p)),
    )
