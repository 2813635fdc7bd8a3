"""What the scanner records: complex signal on the fine grid, averaged to the acquired voxels, noise, integers."""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np
from numpy.typing import NDArray

from ..qsm.constants import GAMMA_BAR

Volume = NDArray[np.float32]
PHASE_RANGE = 4096  # phase is stored as the scanners of one vendor do: -4096 .. 4094 in steps of 2


@numba.njit
def _steps(field, a, b, c):
    """Change of the field across one fine voxel along each axis [ppm]."""
    nx, ny, nz = field.shape
    x0, x1, y0, y1 = max(a - 1, 0), min(a + 1, nx - 1), max(b - 1, 0), min(b + 1, ny - 1)
    z0, z1 = max(c - 1, 0), min(c + 1, nz - 1)
    return (
        (field[x1, b, c] - field[x0, b, c]) / max(x1 - x0, 1),
        (field[a, y1, c] - field[a, y0, c]) / max(y1 - y0, 1),
        (field[a, b, z1] - field[a, b, z0]) / max(z1 - z0, 1),
    )


@numba.njit
def _dephasing(step, turns):
    """What a linear field across a voxel leaves of its signal: sinc of half the phase across it."""
    half = np.float32(0.5) * turns * step
    return np.float32(1) - half * half / np.float32(6) if abs(half) < 0.1 else np.sin(half) / half


@numba.njit(parallel=True, cache=True, fastmath=True)
def _average(out, signal, r2star, field, turns, te, factor):
    """Mean over each voxel's parts of S exp(-TE R2*) exp(i 2π γ B0 ΔB TE), each part dephased by its own gradient."""
    parts = factor[0] * factor[1] * factor[2]
    for i in numba.prange(out.shape[0]):
        for j in range(out.shape[1]):
            for k in range(out.shape[2]):
                out[i, j, k] = 0
                for a in range(i * factor[0], (i + 1) * factor[0]):
                    for b in range(j * factor[1], (j + 1) * factor[1]):
                        for c in range(k * factor[2], (k + 1) * factor[2]):
                            if signal[a, b, c] == 0:
                                continue
                            gx, gy, gz = _steps(field, a, b, c)
                            for e in range(te.size):
                                scale = turns * te[e]
                                size = signal[a, b, c] / parts * np.exp(-te[e] * r2star[a, b, c])
                                size *= _dephasing(gx, scale) * _dephasing(gy, scale) * _dephasing(gz, scale)
                                angle = scale * field[a, b, c]
                                out[i, j, k, e] += complex(size * np.cos(angle), size * np.sin(angle))


def acquire(
    signal: Volume, r2star: Volume, field: Volume, te: Sequence[float], b0: float, factor: Sequence[int]
) -> NDArray[np.complex64]:
    """Multi-echo signal of the acquired voxels, free of noise. Phase is + 2π γ B0 ΔB TE.

    Parameters
    ----------
    signal : (x, y, z) float32, before decay, on the fine grid
    r2star : (x, y, z) float32 [1/s]
    field : (x, y, z) float32 [ppm]
    te : echo times [s]
    b0 : field strength [T]
    factor : 3 ints, fine voxels in an acquired one

    Returns
    -------
    echoes : (x, y, z, echo) complex64
    """
    shape = tuple(n // f for n, f in zip(signal.shape, factor, strict=True))
    out = np.empty((*shape, len(te)), dtype=np.complex64)
    turns = np.float32(2 * np.pi * GAMMA_BAR * b0)
    _average(out, signal, r2star, field, turns, np.asarray(te, dtype=np.float32), tuple(int(f) for f in factor))
    return out


@numba.njit(parallel=True, cache=True)
def _mean_where(out, share, values, where, factor):
    parts = factor[0] * factor[1] * factor[2]
    for i in numba.prange(out.shape[0]):
        for j in range(out.shape[1]):
            for k in range(out.shape[2]):
                total, n = 0.0, 0
                for a in range(i * factor[0], (i + 1) * factor[0]):
                    for b in range(j * factor[1], (j + 1) * factor[1]):
                        for c in range(k * factor[2], (k + 1) * factor[2]):
                            if where[a, b, c]:
                                total += values[a, b, c]
                                n += 1
                share[i, j, k] = n / parts
                out[i, j, k] = total / n if n else 0.0


def block_mean(values: Volume, where: NDArray[np.bool_], factor: Sequence[int]) -> tuple[Volume, Volume]:
    """Mean over the parts of each voxel that lie in `where`, and the share of them; both (x, y, z) float32."""
    shape = tuple(n // f for n, f in zip(values.shape, factor, strict=True))
    out, share = np.empty(shape, dtype=np.float32), np.empty(shape, dtype=np.float32)
    _mean_where(out, share, values, where, tuple(int(f) for f in factor))
    return out, share


@numba.njit(parallel=True, cache=True)
def _mode(out, labels, factor):
    for i in numba.prange(out.shape[0]):
        count = np.zeros(256, dtype=np.int64)
        for j in range(out.shape[1]):
            for k in range(out.shape[2]):
                count[:] = 0
                for a in range(i * factor[0], (i + 1) * factor[0]):
                    for b in range(j * factor[1], (j + 1) * factor[1]):
                        for c in range(k * factor[2], (k + 1) * factor[2]):
                            count[labels[a, b, c]] += 1
                out[i, j, k] = np.argmax(count)


def block_label(labels: NDArray[np.uint8], factor: Sequence[int]) -> NDArray[np.uint8]:
    """The most frequent label of each voxel's parts, (x, y, z) uint8."""
    out = np.empty(tuple(n // f for n, f in zip(labels.shape, factor, strict=True)), dtype=np.uint8)
    _mode(out, labels, tuple(int(f) for f in factor))
    return out


def _axes(shape: Sequence[int]) -> list[NDArray[np.float32]]:
    """Coordinates from -1 to 1 along each axis, ready to broadcast."""
    axes = []
    for axis, n in enumerate(shape):
        along = np.linspace(-1, 1, n, dtype=np.float32)
        axes.append(along.reshape([-1 if a == axis else 1 for a in range(3)]))
    return axes


def smooth(shape: Sequence[int], rng: np.random.Generator, size: float) -> Volume:
    """A random polynomial of third order over the volume, with about `size` as its standard deviation."""
    x, y, z = _axes(shape)
    c = rng.standard_normal(12).tolist()
    value = c[0] * x + c[1] * y + c[2] * z + c[3] * x * y + c[4] * y * z + c[5] * z * x
    value = value + c[6] * (x * x - 1 / 3) + c[7] * (y * y - 1 / 3) + c[8] * (z * z - 1 / 3)
    value = value + 0.5 * (c[9] * x**3 + c[10] * y**3 + c[11] * z**3)
    result: Volume = (value * (size / float(value.std()))).astype(np.float32)
    return result


def receive(shape: Sequence[int], rng: np.random.Generator) -> NDArray[np.complex64]:
    """The receiver's smooth sensitivity and phase offset, (x, y, z) complex64, about 1 in size."""
    offset = rng.uniform(-np.pi, np.pi) + smooth(shape, rng, 0.9)
    gain = np.exp(smooth(shape, rng, 0.18))
    sensitivity: NDArray[np.complex64] = (gain * np.exp(1j * offset)).astype(np.complex64)
    return sensitivity


def alternate(echoes: NDArray[np.complex64], rng: np.random.Generator) -> None:
    """Give odd and even echoes opposite linear phases along the readout (x), in place, as a bipolar readout does."""
    slope, constant = float(rng.uniform(0.8, 1.4)), float(rng.uniform(-0.4, 0.4))
    ramp = np.exp(0.5j * (slope * _axes(echoes.shape[:3])[0] + constant)).astype(np.complex64)
    echoes[..., 0::2] *= ramp[..., None]
    echoes[..., 1::2] *= ramp.conj()[..., None]


def add_noise(echoes: NDArray[np.complex64], sigma: float, rng: np.random.Generator) -> None:
    """Add Gaussian noise of `sigma` to real and imaginary part, in place."""
    for e in range(echoes.shape[-1]):
        echoes[..., e].real += sigma * rng.standard_normal(echoes.shape[:3], dtype=np.float32)
        echoes[..., e].imag += sigma * rng.standard_normal(echoes.shape[:3], dtype=np.float32)


def store_phase(echoes: NDArray[np.complex64]) -> NDArray[np.int16]:
    """Phase in arbitrary units: -π .. π becomes -4096 .. 4094 in steps of 2."""
    steps = np.rint(np.angle(echoes) * (PHASE_RANGE / 2 / np.pi))
    stored: NDArray[np.int16] = (2 * np.clip(steps, -PHASE_RANGE // 2, PHASE_RANGE // 2 - 1)).astype(np.int16)
    return stored


def store_magnitude(echoes: NDArray[np.complex64], scale: float) -> NDArray[np.int16]:
    """Magnitude times `scale` as integers."""
    stored: NDArray[np.int16] = np.clip(np.rint(np.abs(echoes) * scale), 0, 32767).astype(np.int16)
    return stored
