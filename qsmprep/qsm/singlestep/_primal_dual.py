"""One iteration of the primal-dual method for total generalised variation under a wave equation, in two passes.

min over χ, w, F of ½ |W (F - f)|² + α₁ |∇χ - w| + α₀ |Ew|, with ΔF = □χ wherever all 26 neighbours are in the mask.
∇ takes forward and E, the symmetric gradient, backward differences; both only between voxels of the mask. The duals are
p of ∇χ - w, q of Ew and η of the equation. Voxels outside the mask are 0 in every volume, and stay so.

Rows are cut to the mask: `first` and `last` bound it along z for every (x, y). Nothing is summed over voxels but the
change of χ, plane by plane, so any number of threads gives the same bits.
"""

from __future__ import annotations

import numba
import numpy as np

INSIDE, CORE = 1, 16
FORWARD = (2, 4, 8)
BACKWARD = (32, 64, 128)


@numba.njit(parallel=True, cache=True)
def neighbour_flags(mask):  # type: ignore[no-untyped-def]
    """Which of a voxel's neighbours are in the mask, one bit each; the mask must not reach the volume's edge."""
    flags = np.zeros(mask.shape, np.uint8)
    for x in numba.prange(1, mask.shape[0] - 1):
        for y in range(1, mask.shape[1] - 1):
            for z in range(1, mask.shape[2] - 1):
                if mask[x, y, z]:
                    found = INSIDE
                    found += FORWARD[0] * mask[x + 1, y, z] + BACKWARD[0] * mask[x - 1, y, z]
                    found += FORWARD[1] * mask[x, y + 1, z] + BACKWARD[1] * mask[x, y - 1, z]
                    found += FORWARD[2] * mask[x, y, z + 1] + BACKWARD[2] * mask[x, y, z - 1]
                    whole = True
                    for a in range(x - 1, x + 2):
                        for b in range(y - 1, y + 2):
                            for c in range(z - 1, z + 2):
                                whole = whole and mask[a, b, c]
                    flags[x, y, z] = found + CORE * whole
    return flags


@numba.njit(inline="always")
def _bit(flags, number):  # type: ignore[no-untyped-def]
    return np.float32((flags >> number) & 1)


@numba.njit(cache=True, fastmath=True)
def _stencil(out, volume, x, y, lo, n, stencil):  # type: ignore[no-untyped-def]
    """The 3 x 3 x 3 stencil of a volume along one row of n voxels."""
    out[:n] = 0
    for a in range(3):
        for b in range(3):
            s0, s1, s2 = stencil[a, b, 0], stencil[a, b, 1], stencil[a, b, 2]
            if s0 == 0 and s1 == 0 and s2 == 0:
                continue
            row = volume[x + a - 1, y + b - 1, lo - 1 : lo + n + 1]
            for j in range(n):
                out[j] += s0 * row[j] + s1 * row[j + 1] + s2 * row[j + 2]


@numba.njit(cache=True, fastmath=True)
def _move(value, bar, step, flags, relax):  # type: ignore[no-untyped-def]
    """Along one row: the value goes `relax` steps on, the barred one two; nothing moves outside the mask."""
    two = np.float32(2)
    for j in range(step.size):
        step[j] *= _bit(flags[j], 0)
    for j in range(step.size):
        bar[j] = value[j] + two * step[j]
        value[j] += relax * step[j]


@numba.njit(cache=True, fastmath=True)
def _step_of_w(out, a0, a1, b0, b1, c, dual, scale, sx, sy, sz):  # type: ignore[no-untyped-def]
    """Minus `scale` times the gradient by one component of w: what q and p pull it by; c runs along z."""
    for j in range(out.size):
        out[j] = -scale * ((a0[j] - a1[j]) * sx + (b0[j] - b1[j]) * sy + (c[j] - c[j + 1]) * sz - dual[j])


@numba.njit(parallel=True, cache=True, fastmath=True)
def primal_step(  # type: ignore[no-untyped-def]
    chi, w, field, chi_bar, w_bar, field_bar, eta, p, q, data, weight2, flags, first, last, laplace, wave, tau, h, relax
):
    """χ, w and F move on; the barred ones become what the duals look at. Returns |Δχ|² and |χ|².

    tau: steps of χ, of w along x, y, z, and of F. `laplace` and `wave`: stencils (3, 3, 3).

    The loops are short on purpose, half the time of one that does it all: the compiler gives up vectorising a loop of
    many rows, which it would have to prove not to overlap.
    """
    nx, ny, nz = chi.shape
    sx, sy, sz = np.float32(1 / h[0]), np.float32(1 / h[1]), np.float32(1 / h[2])
    one, rho = np.float32(1), np.float32(relax)
    moved, size = np.zeros(nx), np.zeros(nx)
    for x in numba.prange(1, nx - 1):
        scratch = np.empty((2, nz), np.float32)
        change, length = np.float32(0), np.float32(0)
        for y in range(1, ny - 1):
            lo, hi = first[x, y], last[x, y]
            n = hi - lo
            if n <= 0:
                continue
            pull, step, flag = scratch[0, :n], scratch[1, :n], flags[x, y, lo:hi]
            _stencil(pull, eta, x, y, lo, n, wave)
            px, px0, py, py0 = p[0, x, y, lo:hi], p[0, x - 1, y, lo:hi], p[1, x, y, lo:hi], p[1, x, y - 1, lo:hi]
            pz = p[2, x, y, lo - 1 : hi]
            for j in range(n):
                step[j] = (px[j] - px0[j]) * sx + (py[j] - py0[j]) * sy + (pz[j + 1] - pz[j]) * sz
            for j in range(n):
                step[j] = tau[0] * (step[j] + pull[j])
            c = chi[x, y, lo:hi]
            _move(c, chi_bar[x, y, lo:hi], step, flag, rho)
            for j in range(n):
                change += step[j] * step[j]
                length += c[j] * c[j]
            _stencil(pull, eta, x, y, lo, n, laplace)
            f, d, w2 = field[x, y, lo:hi], data[x, y, lo:hi], weight2[x, y, lo:hi]
            for j in range(n):
                step[j] = tau[4] * (w2[j] * (d[j] - f[j]) - pull[j]) / (one + tau[4] * w2[j])
            _move(f, field_bar[x, y, lo:hi], step, flag, rho)
            xy, xz, yz = q[3, x, y, lo:hi], q[4, x, y, lo : hi + 1], q[5, x, y, lo : hi + 1]
            xx, xx1, xy1 = q[0, x, y, lo:hi], q[0, x + 1, y, lo:hi], q[3, x, y + 1, lo:hi]
            _step_of_w(step, xx, xx1, xy, xy1, xz, px, tau[1], sx, sy, sz)
            _move(w[0, x, y, lo:hi], w_bar[0, x, y, lo:hi], step, flag, rho)
            yy, yy1, xy1 = q[1, x, y, lo:hi], q[1, x, y + 1, lo:hi], q[3, x + 1, y, lo:hi]
            _step_of_w(step, xy, xy1, yy, yy1, yz, py, tau[2], sx, sy, sz)
            _move(w[1, x, y, lo:hi], w_bar[1, x, y, lo:hi], step, flag, rho)
            zz, xz1, yz1 = q[2, x, y, lo : hi + 1], q[4, x + 1, y, lo:hi], q[5, x, y + 1, lo:hi]
            _step_of_w(step, xz, xz1, yz, yz1, zz, pz[1:], tau[3], sx, sy, sz)
            _move(w[2, x, y, lo:hi], w_bar[2, x, y, lo:hi], step, flag, rho)
        moved[x], size[x] = change, length
    return moved.sum(), size.sum()


@numba.njit(parallel=True, cache=True, fastmath=True)
def dual_step(  # type: ignore[no-untyped-def]
    chi, w, field, eta, p, q, edges, flags, first, last, laplace, wave, sigma, alpha1, alpha0, edge_weight, h, relax
):
    """p, q and η move on, from the barred χ, w and F.

    sigma: steps of p along x, y, z, of q (xx, yy, zz, xy, xz, yz) and of η. α₁ is `edge_weight` times as large where
    `edges` is 1.
    """
    nx, ny, nz = chi.shape
    sx, sy, sz = np.float32(1 / h[0]), np.float32(1 / h[1]), np.float32(1 / h[2])
    two, half, rho, tiny = np.float32(2), np.float32(0.5), np.float32(relax), np.float32(1e-30)
    a1, a0, spared = np.float32(alpha1), np.float32(alpha0), np.float32(alpha1 * (1 - edge_weight))
    for x in numba.prange(1, nx - 1):
        wrong = np.empty(nz, np.float32)
        for y in range(1, ny - 1):
            lo, hi = first[x, y], last[x, y]
            n = hi - lo
            if n <= 0:
                continue
            flag, edge = flags[x, y, lo:hi], edges[x, y, lo:hi]
            wrong[:n] = 0
            for a in range(3):
                for b in range(3):
                    f = field[x + a - 1, y + b - 1, lo - 1 : hi + 1]
                    c = chi[x + a - 1, y + b - 1, lo - 1 : hi + 1]
                    b0, b1, b2 = wave[a, b, 0], wave[a, b, 1], wave[a, b, 2]
                    l0, l1, l2 = laplace[a, b, 0], laplace[a, b, 1], laplace[a, b, 2]
                    for j in range(n):
                        wrong[j] += (
                            l0 * f[j] + l1 * f[j + 1] + l2 * f[j + 2] - b0 * c[j] - b1 * c[j + 1] - b2 * c[j + 2]
                        )
            e = eta[x, y, lo:hi]
            for j in range(n):
                e[j] += rho * sigma[9] * wrong[j] * _bit(flag[j], 4)
            c, c1x, c1y = chi[x, y, lo : hi + 1], chi[x + 1, y, lo:hi], chi[x, y + 1, lo:hi]
            wx, wy, wz = w[0, x, y, lo - 1 : hi], w[1, x, y, lo - 1 : hi], w[2, x, y, lo - 1 : hi]
            px, py, pz = p[0, x, y, lo:hi], p[1, x, y, lo:hi], p[2, x, y, lo:hi]
            for j in range(n):
                gx = px[j] + sigma[0] * ((c1x[j] - c[j]) * sx - wx[j + 1]) * _bit(flag[j], 1)
                gy = py[j] + sigma[1] * ((c1y[j] - c[j]) * sy - wy[j + 1]) * _bit(flag[j], 2)
                gz = pz[j] + sigma[2] * ((c[j + 1] - c[j]) * sz - wz[j + 1]) * _bit(flag[j], 3)
                limit = a1 - spared * edge[j]
                share = limit / max(np.sqrt(gx * gx + gy * gy + gz * gz), limit, tiny)
                px[j] += rho * (gx * share - px[j])
                py[j] += rho * (gy * share - py[j])
                pz[j] += rho * (gz * share - pz[j])
            wx0x, wy0x, wz0x = w[0, x - 1, y, lo:hi], w[1, x - 1, y, lo:hi], w[2, x - 1, y, lo:hi]
            wx0y, wy0y, wz0y = w[0, x, y - 1, lo:hi], w[1, x, y - 1, lo:hi], w[2, x, y - 1, lo:hi]
            xx, yy, zz = q[0, x, y, lo:hi], q[1, x, y, lo:hi], q[2, x, y, lo:hi]
            xy, xz, yz = q[3, x, y, lo:hi], q[4, x, y, lo:hi], q[5, x, y, lo:hi]
            for j in range(n):
                mx, my, mz = _bit(flag[j], 5), _bit(flag[j], 6), _bit(flag[j], 7)
                u, v, t = wx[j + 1], wy[j + 1], wz[j + 1]
                exx = xx[j] + sigma[3] * (u - wx0x[j]) * sx * mx
                eyy = yy[j] + sigma[4] * (v - wy0y[j]) * sy * my
                ezz = zz[j] + sigma[5] * (t - wz[j]) * sz * mz
                exy = xy[j] + sigma[6] * half * ((u - wx0y[j]) * sy + (v - wy0x[j]) * sx) * mx * my
                exz = xz[j] + sigma[7] * half * ((u - wx[j]) * sz + (t - wz0x[j]) * sx) * mx * mz
                eyz = yz[j] + sigma[8] * half * ((v - wy[j]) * sz + (t - wz0y[j]) * sy) * my * mz
                norm = exx * exx + eyy * eyy + ezz * ezz + two * (exy * exy + exz * exz + eyz * eyz)
                share = a0 / max(np.sqrt(norm), a0)
                xx[j] += rho * (exx * share - xx[j])
                yy[j] += rho * (eyy * share - yy[j])
                zz[j] += rho * (ezz * share - zz[j])
                xy[j] += rho * (exy * share - xy[j])
                xz[j] += rho * (exz * share - xz[j])
                yz[j] += rho * (eyz * share - yz[j])
