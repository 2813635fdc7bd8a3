"""A person's head on any grid: the template's maps sampled through pose and shape, tissue by tissue."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from .geometry import Grid, Pose, Shape
from .template import Template
from .tissue import (
    AIR,
    BONE,
    CEREBELLAR_CORTEX,
    CSF,
    REGIONS,
    SPLENIUM,
    Person,
    flash,
    iron_r2star,
    normal_chi,
    r2star,
)

TILE = 96  # edge of the texture's tile [mm]; it repeats
# rows of a contrast table; parcels and nuclei follow
ROW_CSF, ROW_GREY, ROW_WHITE, ROW_SOFT, ROW_BONE, ROW_AIR, FIRST = 0, 1, 2, 3, 4, 5, 6


@dataclass(frozen=True)
class Contrast:
    """χ [ppm], R2* [1/s] and signal of each tissue: (row, 3) float32; rows as above, then parcels, then nuclei."""

    table: NDArray[np.float32]
    tract: float
    splenium: float


@dataclass(frozen=True)
class Head:
    """A head on a grid. Volumes (x, y, z).

    chi : float32 [ppm], relative to soft tissue; air is 9.2
    r2star : float32 [1/s]
    signal : float32, before decay
    brain : bool
    nuclei, cortex : uint8, position in the template's tables + 1
    """

    chi: NDArray[np.float32]
    r2star: NDArray[np.float32]
    signal: NDArray[np.float32]
    brain: NDArray[np.bool_]
    nuclei: NDArray[np.uint8]
    cortex: NDArray[np.uint8]


def texture(rng: np.random.Generator) -> NDArray[np.float32]:
    """Three unit random fields on a tile that repeats, (TILE, TILE, TILE, 3): fine, middle and wide structure."""
    from scipy.ndimage import gaussian_filter

    fields = []
    for reach in (0.9, 1.8, 6.0):
        noise = gaussian_filter(rng.standard_normal((TILE,) * 3).astype(np.float32), reach, mode="wrap")
        fields.append(noise / noise.std())
    return np.ascontiguousarray(np.stack(fields, -1), dtype=np.float32)


def gradient_echo_contrast(person: Person, template: Template, b0: float) -> Contrast:
    """What a multi-echo gradient echo sees of a person."""
    grey_signal = flash(0.83, 1.615)
    rows = [
        (CSF, r2star("csf", b0), flash(1.0, 4.39)),
        (CEREBELLAR_CORTEX, r2star("grey", b0), grey_signal),
        (person.white, r2star("white", b0), flash(0.70, 0.911)),
        (0.0, r2star("soft", b0), 0.11),
        (BONE, r2star("bone", b0), 0.02),
        (AIR, 0.0, 0.0),
    ]
    for name, side in template.parcels:
        chi = person.chi.get((name, side), normal_chi(name, person.age))
        rows.append((chi, r2star("grey", b0) + 0.1 * max(chi, 0.0) * b0 / 3, grey_signal))
    for name, side in template.nuclei.regions:
        chi = person.chi[name, side]
        myelin = (REGIONS[name].t1w - 0.70) / 0.30  # 0 like cortex, 1 like white matter
        rows.append((chi, iron_r2star(chi, b0), flash(0.83 - 0.13 * myelin, 1.615 - 0.704 * myelin)))
    table = np.array(rows, dtype=np.float32)
    table[:, 0] /= 1000
    return Contrast(table, person.corticospinal / 1000, SPLENIUM / 1000)


def t1w_contrast(template: Template) -> Contrast:
    """What a T1-weighted image sees, white matter 1; χ and R2* play no part."""
    signal = [0.24, 0.70, 1.0, 0.8, 0.08, 0.0]
    signal += [0.70] * len(template.parcels) + [REGIONS[name].t1w for name, _ in template.nuclei.regions]
    table = np.zeros((len(signal), 3), dtype=np.float32)
    table[:, 2] = signal
    return Contrast(table, 0.0, 0.0)


@numba.njit
def _at(volume, x, y, z):
    """Value between voxels by trilinear interpolation; the edge goes on for ever."""
    nx, ny, nz = volume.shape
    x, y, z = min(max(x, 0.0), nx - 1.001), min(max(y, 0.0), ny - 1.001), min(max(z, 0.0), nz - 1.001)
    i, j, k = int(x), int(y), int(z)
    u, v, w = x - i, y - j, z - k
    a = volume[i, j, k] * (1 - w) + volume[i, j, k + 1] * w
    b = volume[i, j + 1, k] * (1 - w) + volume[i, j + 1, k + 1] * w
    c = volume[i + 1, j, k] * (1 - w) + volume[i + 1, j, k + 1] * w
    d = volume[i + 1, j + 1, k] * (1 - w) + volume[i + 1, j + 1, k + 1] * w
    return (a * (1 - v) + b * v) * (1 - u) + (c * (1 - v) + d * v) * u


@numba.njit
def _label_at(labels, x, y, z):
    """The label that holds at least half of the eight neighbours' weight; 0 if none does, or outside."""
    nx, ny, nz = labels.shape
    if x < 0 or y < 0 or z < 0 or x >= nx - 1 or y >= ny - 1 or z >= nz - 1:
        return 0
    i, j, k = int(x), int(y), int(z)
    best, most = 0, 0.0
    for corner in range(8):
        label = labels[i + (corner & 1), j + ((corner >> 1) & 1), k + (corner >> 2)]
        if label == 0 or label == best:
            continue
        weight = 0.0
        for other in range(8):
            di, dj, dk = other & 1, (other >> 1) & 1, other >> 2
            if labels[i + di, j + dj, k + dk] == label:
                weight += abs(1 - di - x + i) * abs(1 - dj - y + j) * abs(1 - dk - z + k)
        if weight > most:
            best, most = label, weight
    return best if most >= 0.5 else 0


@numba.njit
def _ramp(value, middle, width):
    return min(max((value - middle) / width + 0.5, 0.0), 1.0)


@numba.njit
def _texture_at(tile, channel, x, y, z):
    n = tile.shape[0]
    x, y, z = x % n, y % n, z % n
    i, j, k = int(x), int(y), int(z)
    u, v, w = x - i, y - j, z - k
    i, j, k = i % n, j % n, k % n
    value = 0.0
    for corner in range(8):
        di, dj, dk = corner & 1, (corner >> 1) & 1, corner >> 2
        weight = abs(1 - di - u) * abs(1 - dj - v) * abs(1 - dk - w)
        value += weight * tile[(i + di) % n, (j + dj) % n, (k + dk) % n, channel]
    return value


@numba.njit
def _outside(t1w, bone, air, table, out):
    """Scalp, muscle, skull and sinuses; soft tissue shines as in the template's T1w."""
    soft = max(1 - bone - air, 0.0)
    for c in range(2):
        out[c] = soft * table[ROW_SOFT, c] + bone * table[ROW_BONE, c] + air * table[ROW_AIR, c]
    out[2] = soft * table[ROW_SOFT, 2] * min(max(t1w, 0.0), 1.3) + bone * table[ROW_BONE, 2] + air * table[ROW_AIR, 2]


@numba.njit
def _tissue(t1w, tract, splenium, parcel, nucleus, tex, table, tract_chi, splenium_chi, out):
    """Fluid, grey and white matter from the T1w's brightness, or a nucleus; returns whether it is a nucleus."""
    fluid = 1 - _ramp(t1w, 0.53, 0.10)
    if nucleus >= 0 and fluid < 0.5:
        chi = table[nucleus, 0]
        out[0] = chi * (1 + 0.10 * tex[2] + 0.05 * tex[1]) + 0.003 * tex[0]
        out[1] = table[nucleus, 1] * (1 + 0.04 * tex[1])
        out[2] = table[nucleus, 2]
        return True
    white = _ramp(t1w, 0.865, 0.07)
    grey = 1 - fluid - white
    row = parcel if parcel >= 0 else ROW_GREY
    white_chi = table[ROW_WHITE, 0] + 0.007 * tex[2] + 0.004 * tex[1] + 0.002 * tex[0]
    white_chi += tract * tract_chi + splenium * splenium_chi
    grey_chi = table[row, 0] + 0.003 * tex[2] + 0.005 * tex[1] + 0.003 * tex[0]
    out[0] = fluid * table[ROW_CSF, 0] + grey * grey_chi + white * white_chi
    out[1] = fluid * table[ROW_CSF, 1] + grey * table[row, 1] * (1 + 0.04 * tex[1])
    out[1] += white * table[ROW_WHITE, 1] * (1 + 0.05 * tex[2])
    out[2] = fluid * table[ROW_CSF, 2] + grey * table[row, 2] + white * table[ROW_WHITE, 2]
    return False


@numba.njit(parallel=True, cache=True)
def _sample(
    chi, r2s, signal, brain, nuclei, cortex, to_head, shape_linear, displacement, shape_origin, shape_spacing,
    template_origin, t1w, brain_map, head_map, bone_map, air_map, tract_map, splenium_map, cortex_map, labels,
    labels_from_mm, first_nucleus, tile, table, tract_chi, splenium_chi, edge,
):  # fmt: skip
    nx, ny, nz = chi.shape
    for i in numba.prange(nx):
        out, tex, p, q, d = np.zeros(3), np.zeros(3), np.zeros(3), np.zeros(3), np.zeros(3)
        for j in range(ny):
            for k in range(nz):
                for a in range(3):
                    p[a] = to_head[a, 0] * i + to_head[a, 1] * j + to_head[a, 2] * k + to_head[a, 3]
                for a in range(3):
                    d[a] = (p[a] - shape_origin[a]) / shape_spacing
                for a in range(3):
                    q[a] = shape_linear[a, 0] * p[0] + shape_linear[a, 1] * p[1] + shape_linear[a, 2] * p[2]
                    q[a] += _at(displacement[a], d[0], d[1], d[2])
                x, y, z = q[0] - template_origin[0], q[1] - template_origin[1], q[2] - template_origin[2]
                chi[i, j, k], r2s[i, j, k], signal[i, j, k] = table[ROW_AIR, 0], 0.0, 0.0
                if x < 0 or y < 0 or z < 0 or x >= t1w.shape[0] or y >= t1w.shape[1] or z >= t1w.shape[2]:
                    continue
                inside = _ramp(_at(head_map, x, y, z), 0.5, edge)
                if inside == 0:
                    continue
                t = _at(t1w, x, y, z)
                if _at(brain_map, x, y, z) > 0.5:
                    brain[i, j, k] = True
                    for c in range(3):
                        tex[c] = _texture_at(tile, c, x, y, z)
                    lx, ly, lz = 0.0, 0.0, 0.0
                    lx += labels_from_mm[0, 0] * q[0] + labels_from_mm[0, 1] * q[1] + labels_from_mm[0, 2] * q[2]
                    ly += labels_from_mm[1, 0] * q[0] + labels_from_mm[1, 1] * q[1] + labels_from_mm[1, 2] * q[2]
                    lz += labels_from_mm[2, 0] * q[0] + labels_from_mm[2, 1] * q[1] + labels_from_mm[2, 2] * q[2]
                    nucleus = _label_at(
                        labels, lx + labels_from_mm[0, 3], ly + labels_from_mm[1, 3], lz + labels_from_mm[2, 3]
                    )
                    parcel = cortex_map[int(x + 0.5), int(y + 0.5), int(z + 0.5)]
                    tract, splenium = _at(tract_map, x, y, z), _at(splenium_map, x, y, z)
                    row = first_nucleus + nucleus - 1 if nucleus else -1
                    if _tissue(
                        t, tract, splenium, FIRST + parcel - 1 if parcel else -1, row, tex, table, tract_chi,
                        splenium_chi, out,
                    ):  # fmt: skip
                        nuclei[i, j, k] = nucleus
                    elif parcel and 0.58 < t < 0.865:
                        cortex[i, j, k] = parcel
                else:
                    bone, air = _ramp(_at(bone_map, x, y, z), 0.5, edge), _ramp(_at(air_map, x, y, z), 0.5, edge)
                    _outside(t, bone, air, table, out)
                chi[i, j, k] = inside * out[0] + (1 - inside) * table[ROW_AIR, 0]
                r2s[i, j, k], signal[i, j, k] = out[1], inside * out[2]


def sample_head(
    grid: Grid, pose: Pose, shape: Shape, template: Template, tile: NDArray[np.float32], contrast: Contrast
) -> Head:
    """The head on a grid: every voxel takes the tissue at its centre.

    Parameters
    ----------
    grid : of the result
    pose, shape : of the person
    template : maps
    tile : from `texture`
    contrast : of the tissues
    """
    maps = [np.zeros(grid.shape, dtype=np.float32) for _ in range(3)]
    brain = np.zeros(grid.shape, dtype=np.bool_)
    nuclei, cortex = (np.zeros(grid.shape, dtype=np.uint8) for _ in range(2))
    # surfaces are as wide as a voxel: the maps' blur has a slope of 0.4 a mm there
    edge = 0.4 * min(grid.voxel_size)
    arguments = (
        *(*maps, brain, nuclei, cortex),
        *(pose.to_head() @ grid.affine, shape.linear, np.ascontiguousarray(np.moveaxis(shape.displacement, -1, 0))),
        *(shape.origin, shape.spacing, template.affine[:3, 3]),
        *(template.t1w, template.brain, template.head, template.bone, template.air, template.tract, template.splenium),
        *(template.cortex, template.nuclei.labels, np.linalg.inv(template.nuclei.affine)),
        FIRST + len(template.parcels),
        *(tile, contrast.table, contrast.tract, contrast.splenium, edge),
    )
    _sample(*arguments)
    return Head(maps[0], maps[1], maps[2], brain, nuclei, cortex)


def region_names(template: Template) -> Iterator[str]:
    """Every nucleus and parcel of the head, once."""
    yield from dict.fromkeys(name for name, _ in (*template.nuclei.regions, *template.parcels))
