"""The loop over voxels that both fits share."""

from __future__ import annotations

import numba
import numpy as np

ROUNDS = 12
"""Gauss-Newton steps at most; three or four are the rule."""


@numba.njit(inline="always")
def _solve(sw, st, stt, sr, srt, intercept):  # type: ignore[no-untyped-def]
    """Change of offset and slope that the weighted residuals ask for."""
    if not intercept:
        return 0.0, srt / stt
    spread = stt - st * st / sw
    slope = (srt - st * sr / sw) / spread
    return (sr - slope * st) / sw, slope


@numba.njit(inline="always")
def fit_voxel(phase, weight, te, intercept, nonlinear, offset, slope):  # type: ignore[no-untyped-def]
    """Offset [rad] and slope [rad/s] of one voxel's phase; the non-linear fit begins at the given ones."""
    n = te.size
    sw, st, stt, sr, srt = 0.0, 0.0, 0.0, 0.0, 0.0
    for e in range(n):
        sw += weight[e]
        st += weight[e] * te[e]
        stt += weight[e] * te[e] * te[e]
        sr += weight[e] * phase[e]
        srt += weight[e] * phase[e] * te[e]
    if not nonlinear:
        return _solve(sw, st, stt, sr, srt, intercept)
    for _ in range(ROUNDS):
        sr, srt = 0.0, 0.0
        for e in range(n):
            # m exp(iφ) - m exp(iψ), seen along the derivative of the model: m sin(φ - ψ)
            r = weight[e] * np.sin(phase[e] - offset - slope * te[e])
            sr += r
            srt += r * te[e]
        da, db = _solve(sw, st, stt, sr, srt, intercept)
        offset += da
        slope += db
        if abs(da) + abs(db) * te[n - 1] < 1e-5:
            break
    return offset, slope


@numba.njit(inline="always")
def echo_weights(out, magnitude, te, sigma, spread, skew):  # type: ignore[no-untyped-def]
    """Inverse variance of each echo's phase [1/rad²]: noise, and what a field that varies in the voxel bends it by."""
    for e in range(te.size):
        m2 = magnitude[e] * magnitude[e] + 1e-30
        bent = skew * (spread * te[e]) ** 3
        out[e] = m2 / (sigma * sigma + m2 * bent * bent)


@numba.njit(parallel=True, cache=True)
def fit_lines(phase, magnitude, mask, te, sigma, spread, shift, skew, intercept, nonlinear):  # type: ignore[no-untyped-def]
    """Slope [rad/s], weighted rms residual [rad], χ² and standard error of the slope [rad/s] of every voxel.

    And, without an intercept, what one would have been [rad], with its inverse variance [1/rad²]. `spread` is the
    standard deviation of the field within each voxel [rad/s], `shift` a phase that is taken from every echo [rad].
    """
    nx, ny, nz, n = phase.shape
    slope = np.zeros((nx, ny, nz), np.float32)
    residual = np.zeros((nx, ny, nz), np.float32)
    misfit = np.zeros((nx, ny, nz), np.float32)
    error = np.zeros((nx, ny, nz), np.float32)
    offset = np.zeros((nx, ny, nz), np.float32)
    known = np.zeros((nx, ny, nz), np.float32)
    for x in numba.prange(nx):
        weight, values = np.zeros(n), np.zeros(n)
        for y in range(ny):
            for z in range(nz):
                if not mask[x, y, z]:
                    continue
                echo_weights(weight, magnitude[x, y, z], te, sigma, spread[x, y, z], skew)
                for e in range(n):
                    values[e] = phase[x, y, z, e] - shift[x, y, z]
                a, b = fit_voxel(values, weight, te, intercept, False, 0.0, 0.0)
                if nonlinear and n > 1:
                    a, b = fit_voxel(values, weight, te, intercept, True, a, b)
                sw, st, stt, sr, rss = 0.0, 0.0, 0.0, 0.0, 0.0
                for e in range(n):
                    r = values[e] - a - b * te[e]
                    if nonlinear:
                        r = 2.0 * np.sin(0.5 * r)
                    sw += weight[e]
                    st += weight[e] * te[e]
                    stt += weight[e] * te[e] * te[e]
                    sr += weight[e] * r
                    rss += weight[e] * r * r
                slope[x, y, z] = b
                residual[x, y, z] = np.sqrt(rss / sw)
                misfit[x, y, z] = rss
                error[x, y, z] = 1.0 / np.sqrt(stt - st * st / sw if intercept else stt)
                if n > 1 and not intercept:
                    known[x, y, z] = sw - st * st / stt
                    offset[x, y, z] = sr / known[x, y, z]
    return slope, residual, misfit, error, offset, known
