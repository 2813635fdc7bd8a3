"""The fused passes over memory of a splitting of total variation: shrinkage with its divergence, data, k-space.

All splittings z = Kχ are kept as one variable v = z + u (u the scaled dual), as Douglas and Rachford do: z and u are
what its proximal step takes and leaves. One volume a component is then enough, also with over-relaxation.

Sums run over slabs of fixed height in a fixed order: the same bits for any number of threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from .. import _fft

SLAB = 8  # planes that one thread works on at a time
TIP = 8.0  # dual, in residuals, that makes a voxel look for another turn


@numba.njit(inline="always")
def _dual(x, y, z, threshold, isotropic):  # type: ignore[no-untyped-def]
    """Shares of a vector's components that shrinkage takes off: what lies in the ball, or the box, of `threshold`."""
    if isotropic:
        share = threshold / max(np.sqrt(x * x + y * y + z * z), threshold)
        return share, share, share
    return threshold / max(abs(x), threshold), threshold / max(abs(y), threshold), threshold / max(abs(z), threshold)


@numba.njit(inline="always")
def _advance(g, v, share, ratio, relax):  # type: ignore[no-untyped-def]
    """Next v: the relaxed gradient g plus the dual; `share` is the dual's of v, `ratio` rescales it."""
    dual = v * share
    return relax * g + (np.float32(1) - relax) * (v - dual) + ratio * dual


@numba.njit(parallel=True, cache=True, fastmath=True)
def split_gradient(chi, v, planes, kind, factor, spacing, before, threshold, relax, isotropic):  # type: ignore[no-untyped-def]
    """One step of z = ∇χ. `v` (3, x, y, z) moves on; `chi` becomes ∇ᵀ(z - u), what the next ∇ᵀ∇χ should be.

    Forward differences, periodic. `before` and `threshold` [ppm/mm] are what shrinkage took off in the last step and
    takes off in this one, times the `factor` of each voxel's `kind`; duals scale with it. `planes` (2, slabs, y, z) is
    scratch. Returns |Δv|² and |∇χ|².
    """
    nx, ny, nz = chi.shape
    slabs = planes.shape[1]
    sx, sy, sz = np.float32(1 / spacing[0]), np.float32(1 / spacing[1]), np.float32(1 / spacing[2])
    t0, t1, a = np.float32(before), np.float32(threshold), np.float32(relax)
    r, one, two = t1 / t0, np.float32(1), np.float32(2)
    moved, size = np.zeros(slabs), np.zeros(slabs)
    for s in numba.prange(slabs):
        # the first plane of a slab is needed by the slab before, when it may be gone already
        planes[0, s] = chi[s * nx // slabs]
    for s in numba.prange(slabs):
        lo, hi = s * nx // slabs, (s + 1) * nx // slabs
        entering = planes[1, s]
        fx, fy, fz = np.empty(nz, np.float32), np.empty(nz, np.float32), np.empty(nz, np.float32)
        above, first = np.empty(nz, np.float32), np.empty(nz, np.float32)
        level = np.full(nz, factor[0])
        d, g2 = np.float64(0), np.float64(0)
        for x in range(lo, hi):
            first[:] = chi[x, 0]
            for y in range(ny):
                row = chi[x, y]
                next_x = chi[x + 1, y] if x + 1 < hi else planes[0, (s + 1) % slabs, y]
                next_y = chi[x, y + 1] if y + 1 < ny else first
                row_d, row_g = np.float32(0), np.float32(0)
                if factor.size > 1:  # looked up beforehand, so that the loop below vectorises
                    for z in range(nz):
                        level[z] = factor[kind[x, y, z]]
                for z in range(nz):
                    c = row[z]
                    gx, gy, gz = (next_x[z] - c) * sx, (next_y[z] - c) * sy, (row[z + 1 if z + 1 < nz else 0] - c) * sz
                    vx, vy, vz = v[0, x, y, z], v[1, x, y, z], v[2, x, y, z]
                    k = level[z]
                    px, py, pz = _dual(vx, vy, vz, t0 * k, isotropic)
                    wx, wy, wz = _advance(gx, vx, px, r, a), _advance(gy, vy, py, r, a), _advance(gz, vz, pz, r, a)
                    row_g += gx * gx + gy * gy + gz * gz
                    row_d += (wx - vx) ** 2 + (wy - vy) ** 2 + (wz - vz) ** 2
                    v[0, x, y, z], v[1, x, y, z], v[2, x, y, z] = wx, wy, wz
                    px, py, pz = _dual(wx, wy, wz, t1 * k, isotropic)
                    fx[z], fy[z], fz[z] = (
                        wx * (one - two * px) * sx,
                        wy * (one - two * py) * sy,
                        wz * (one - two * pz) * sz,
                    )
                d += row_d
                g2 += row_g
                # what flows into a voxel minus what flows out; over the borders of rows and slabs it is added below
                for z in range(nz):
                    row[z] = -fx[z] - fy[z] - fz[z]
                for z in range(1, nz):
                    row[z] += fz[z - 1]
                row[0] += fz[nz - 1]
                if x > lo:
                    for z in range(nz):
                        row[z] += entering[y, z]
                if y > 0:
                    for z in range(nz):
                        row[z] += above[z]
                for z in range(nz):
                    entering[y, z] = fx[z]
                    above[z] = fy[z]
            chi[x, 0] += above
        moved[s], size[s] = d, g2
    for s in numba.prange(slabs):
        chi[s * nx // slabs] += planes[1, s - 1]
    return moved.sum(), size.sum()


@numba.njit(parallel=True, cache=True, fastmath=True)
def split_data(predicted, q, field, weight, before, penalty, relax):  # type: ignore[no-untyped-def]
    """One step of s = Dχ with ½ |W (s - field)|²: `q` moves on, `predicted` becomes s - u, what the next Dχ should be.

    `before` and `penalty` are those of the last step and of this one.
    """
    m0, m, a = np.float32(before), np.float32(penalty), np.float32(relax)
    ratio, one = m0 / m, np.float32(1)
    for x in numba.prange(field.shape[0]):
        for y in range(field.shape[1]):
            for z in range(field.shape[2]):
                w = weight[x, y, z] * weight[x, y, z]
                f, old = field[x, y, z], q[x, y, z]
                s = (w * f + m0 * old) / (w + m0)
                new = a * predicted[x, y, z] + (one - a) * s + ratio * (old - s)
                q[x, y, z] = new
                s = (w * f + m * new) / (w + m)
                predicted[x, y, z] = s + s - new


@numba.njit(parallel=True, cache=True, fastmath=True)
def split_data_absolute(predicted, q, field, weight, before, penalty, relax):  # type: ignore[no-untyped-def]
    """As `split_data`, with |W (s - field)|: shrinkage towards the field."""
    t0, t, a = np.float32(1) / np.float32(before), np.float32(1) / np.float32(penalty), np.float32(relax)
    ratio, one = t / t0, np.float32(1)
    for x in numba.prange(field.shape[0]):
        for y in range(field.shape[1]):
            for z in range(field.shape[2]):
                w, f, old = weight[x, y, z], field[x, y, z], q[x, y, z]
                u = min(max(old - f, -t0 * w), t0 * w)
                new = a * predicted[x, y, z] + (one - a) * (old - u) + ratio * u
                q[x, y, z] = new
                u = min(max(new - f, -t * w), t * w)
                predicted[x, y, z] = new - u - u


@numba.njit(inline="always")
def _sine(angle):  # type: ignore[no-untyped-def]
    """Sine between -π and π, to 4e-6: a polynomial, since a call to the library's keeps the loop from vectorising."""
    half_turn, one = np.float32(np.pi), np.float32(1)
    x = min(max(angle, -half_turn - angle), half_turn - angle)
    y = x * x
    c3, c5, c7, c9 = np.float32(-1 / 6), np.float32(1 / 120), np.float32(-1 / 5040), np.float32(1 / 362880)
    return x * (one + y * (c3 + y * (c5 + y * (c7 + y * c9))))


@numba.njit(inline="always")
def _wrapped_fit(value, field, near, weight, penalty, phase):  # type: ignore[no-untyped-def]
    """s of min ½ w² |exp(iφs) - exp(iφf)|² / φ² + ½ m (s - value)², by Newton steps that stay between the two."""
    turn, quarter = np.float32(2 * np.pi) / phase, np.float32(np.pi / 2)
    # of all whole turns the field may be off by, the one that brings it next to the prediction. What does not fit for
    # several iterations adds up in the value, and tips the scales once it is about a ninth of half a turn; more of the
    # value would tip them for every residual, since the dual in it is the residual over the penalty
    share = min(np.float32(TIP) * penalty, np.float32(1))
    target = field + np.rint((near + share * (value - near) - field) / turn) * turn
    low, high = min(target, value), max(target, value)
    w = weight * weight
    s = (w * target + penalty * value) / (w + penalty)
    for _ in range(3):
        angle = (s - target) * phase
        curvature = w * max(_sine(quarter - abs(angle)), np.float32(0)) + penalty
        s -= (w * _sine(angle) / phase + penalty * (s - value)) / curvature
        s = min(max(s, low), high)
    return s


@numba.njit(parallel=True, cache=True, fastmath=True)
def split_data_wrapped(predicted, q, field, weight, before, penalty, relax, phase):  # type: ignore[no-untyped-def]
    """As `split_data`, with ½ |W (exp(iφs) - exp(iφf))|² / φ², φ the phase of 1 ppm: blind to whole turns."""
    m0, m, a, p = np.float32(before), np.float32(penalty), np.float32(relax), np.float32(phase)
    ratio, one = m0 / m, np.float32(1)
    for x in numba.prange(field.shape[0]):
        for y in range(field.shape[1]):
            for z in range(field.shape[2]):
                f, w, old, near = field[x, y, z], weight[x, y, z], q[x, y, z], predicted[x, y, z]
                s = _wrapped_fit(old, f, near, w, m0, p)
                new = a * near + (one - a) * s + ratio * (old - s)
                q[x, y, z] = new
                s = _wrapped_fit(new, f, near, w, m, p)
                predicted[x, y, z] = s + s - new


@numba.njit(parallel=True, cache=True, fastmath=True)
def solve_spectrum(smooth, data, dipole, power, mu_smooth, mu_data):  # type: ignore[no-untyped-def]
    """χ of both splittings' goals, in `smooth`; the field it makes, in `data`. `power`: ∇ᵀ∇ along x, y, z [1/mm²]."""
    a, b = np.float32(mu_smooth), np.float32(mu_data)
    px, py, pz = power
    for x in numba.prange(smooth.shape[0]):
        for y in range(smooth.shape[1]):
            pxy = px[x] + py[y]
            for z in range(smooth.shape[2]):
                d = dipole[x, y, z]
                scale = np.float32(1) / (a * (pxy + pz[z]) + b * d * d + np.float32(1e-30))
                value = (a * smooth[x, y, z] + (b * d) * data[x, y, z]) * scale
                smooth[x, y, z] = value
                data[x, y, z] = d * value
    smooth[0, 0, 0] = 0
    data[0, 0, 0] = 0


def gradient_power_axes(grid: Sequence[int], voxel_size: Sequence[float]) -> tuple[NDArray[Any], ...]:
    """Spectrum of ∇ᵀ∇ [1/mm²] as its three summands along x, y and z, rfft layout."""
    return tuple(
        ((2 - 2 * np.cos(2 * np.pi * k * v)) / v**2).astype(np.float32)
        for k, v in zip(_fft.frequencies(grid, voxel_size), voxel_size, strict=True)
    )
