"""The fused kernels against what they say they do, written out plainly."""

import numpy as np
import pytest

from qsmprep.qsm import _fft
from qsmprep.qsm.dipole import dipole_kernel
from qsmprep.qsm.inversion import _splitting
from qsmprep.qsm.inversion._cg import weighted_least_squares
from qsmprep.qsm.inversion._variation import Problem

SHAPE, SPACING = (19, 12, 15), (1.0, 0.8, 2.0)


def gradient(volume):
    return np.stack([(np.roll(volume, -1, a) - volume) / SPACING[a] for a in range(3)])


def transposed(field):
    return sum((np.roll(field[a], 1, a) - field[a]) / SPACING[a] for a in range(3))


def proximal(v, threshold, isotropic):
    """Shrinkage and what it takes off."""
    size = np.sqrt((v**2).sum(0)) if isotropic else np.abs(v)
    dual = v * threshold / np.maximum(size, threshold)
    return v - dual, dual


def random(*shape, seed=0, scale=0.05):
    return np.random.default_rng(seed).normal(0, scale, shape).astype(np.float32)


@pytest.mark.parametrize("isotropic", [True, False])
@pytest.mark.parametrize(("before", "threshold"), [(0.02, 0.02), (0.02, 0.05)])
def test_gradient_step_is_over_relaxed_douglas_rachford(isotropic, before, threshold):
    chi, v, relax = random(*SHAPE), random(3, *SHAPE, seed=1), 1.6
    kind = np.random.default_rng(2).integers(0, 2, SHAPE).astype(np.uint8)
    factor = np.array([1.0, 0.3], np.float32)
    z, u = proximal(v, before * factor[kind], isotropic)
    after = relax * gradient(chi) + (1 - relax) * z + u * threshold / before
    z, u = proximal(after, threshold * factor[kind], isotropic)
    planes = np.empty((2, SHAPE[0] // _splitting.SLAB, *SHAPE[1:]), np.float32)
    found, moved = chi.copy(), v.copy()
    sums = _splitting.split_gradient(found, moved, planes, kind, factor, SPACING, before, threshold, relax, isotropic)
    assert np.allclose(moved, after, atol=1e-6)
    assert np.allclose(found, transposed(z - u), atol=1e-6)
    assert np.allclose(sums, [((after - v) ** 2).sum(), (gradient(chi) ** 2).sum()], rtol=1e-4)


def minimum(objective, around):
    """Of a function of s, on a fine grid about each of the values."""
    grid = around[..., None] + np.linspace(-0.5, 0.5, 20001)
    return np.take_along_axis(grid, objective(grid).argmin(-1)[..., None], -1)[..., 0]


@pytest.mark.parametrize("term", ["squared", "absolute", "wrapped"])
def test_data_steps_are_proximal(term):
    # less than a quarter turn apart: farther off the wrapped loss has several minima
    predicted, field = random(5, 4, 3, scale=0.02), random(5, 4, 3, seed=1, scale=0.02)
    weight = np.abs(random(5, 4, 3, seed=2, scale=0.5)).clip(0.3, 1)
    penalty, phase = 0.2, 16.0
    f, w, m = field[..., None].astype(float), weight[..., None].astype(float), penalty
    loss = {
        "squared": lambda s: 0.5 * w**2 * (s - f) ** 2,
        "absolute": lambda s: w * np.abs(s - f),
        "wrapped": lambda s: w**2 * (1 - np.cos(phase * (s - f))) / phase**2,
    }[term]
    if term == "absolute":
        m = 10.0
    # relaxed by 1 and started from s = 0 = u, the next v is what was predicted
    q, goal, v = np.zeros_like(field), predicted.copy(), predicted.astype(float)
    step = {"squared": _splitting.split_data, "absolute": _splitting.split_data_absolute}.get(term)
    if step is None:
        _splitting.split_data_wrapped(goal, q, field, weight, m, m, 1.0, phase)
    else:
        step(goal, q, field, weight, m, m, 1.0)
    v = q.astype(float)
    objective = lambda s: loss(s) + 0.5 * m * (s - v[..., None]) ** 2  # noqa: E731
    best = minimum(objective, v)[..., None]
    found = ((goal + v) / 2)[..., None]
    assert np.all(objective(found) <= 1.01 * objective(best) + 1e-8)
    assert np.allclose(found, best, atol=1e-3 if term == "wrapped" else 1e-4)


def test_least_squares_solves_the_normal_equations():
    rng = np.random.default_rng(0)
    mask = np.zeros((20, 18, 16), bool)
    mask[4:16, 3:15, 2:14] = True
    field = rng.normal(0, 0.01, mask.shape).astype(np.float32)
    noise = rng.uniform(0.001, 0.01, mask.shape).astype(np.float32)
    problem = Problem(field, mask, (1.0, 1.0, 1.5), noise=noise, pad_mm=6)
    dipole = dipole_kernel(problem.grid, (1.0, 1.0, 1.5), (0.3, 0.1, 0.9))
    power = _splitting.gradient_power_axes(problem.grid, (1.0, 1.0, 1.5))
    lam = 0.01
    spectrum = weighted_least_squares(
        problem, dipole, power, weight=lam, floor=1e-6, max_iterations=200, tolerance=1e-6
    )
    residual = problem.weight**2 * (_fft.inverse(dipole * spectrum, problem.grid) - problem.field)
    whole = power[0][:, None, None] + power[1][:, None] + power[2]
    left = dipole * _fft.forward(residual) + lam * whole * spectrum
    right = dipole * _fft.forward(problem.weight**2 * problem.field)
    left[0, 0, 0] = 0
    assert np.linalg.norm(left) < 1e-4 * np.linalg.norm(right)
