"""One visit of one participant: from options and a seed to arrays, with the truth beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import EnvironmentFault, UsageError
from ..space.priors import lateral_ventricles
from . import signal as acquisition
from .atrophy import widen_ventricles
from .forward import local_field, shim, total_field
from .geometry import TURN_AXIS, Grid, Matrix, Pose, Shape, draw_shape, grid_around, rotation
from .head import Head, gradient_echo_contrast, region_names, sample_head, t1w_contrast, texture
from .template import Template, load_template
from .tissue import Person, disease_of, draw_person
from .veins import add_veins, draw_veins

Volume = NDArray[np.float32]
COARSE_MM = 2.0  # voxels of the grid for what lies outside the field of view


@dataclass(frozen=True)
class Options:
    """What is synthesised.

    groups : names; a known disease (AD, PD, HD, ALS, WD, ...), "patient", or any other for healthy persons
    participants : in each group
    sessions : visits of each, a year apart
    voxel_size : acquired voxel [mm]
    b0 : field strength [T]
    te : echo times [s], ascending
    snr : mean brain magnitude at the first echo over the noise's standard deviation (of each complex part)
    obliquity, head_tilt : of the slices in the scanner, and of the head [degrees]
    bipolar : odd and even echoes are read in opposite directions
    parts : "mag-phase" or "real-imag"
    labels, labels_table : nuclei of another atlas in MNI space, and its names
    t1w, t1w_voxel_size : whether there is a T1-weighted image, and its voxel [mm]
    oversampling : how many times finer than the acquired voxel the head is made, at least
    mem_gb : memory that one participant may take [GB]; the oversampling yields to it
    variation : between persons' shapes; 0 gives everybody the template's shape
    ventricles : how many times as large the lateral ventricles are as the person's shape alone would make them
    """

    groups: tuple[str, ...] = ("control",)
    participants: int = 1
    sessions: int = 1
    seed: int = 0
    voxel_size: tuple[float, float, float] = (1.0, 1.0, 1.0)
    b0: float = 3.0
    te: tuple[float, ...] = (0.004, 0.009, 0.014, 0.019, 0.024)
    snr: float = 100.0
    obliquity: float = 0.0
    head_tilt: float = 0.0
    bipolar: bool = False
    parts: str = "mag-phase"
    labels: Path | None = None
    labels_table: Path | None = None
    t1w: bool = True
    t1w_voxel_size: tuple[float, float, float] = (1.0, 1.0, 1.0)
    oversampling: int = 2
    mem_gb: float = 12.0
    variation: float = 1.0
    ventricles: float = 1.0


@dataclass(frozen=True)
class Truth:
    """What is known about a visit, on the acquired grid. χ in ppm relative to the brain's mean, fields in ppm.

    chi, local : (x, y, z) float32, 0 outside the mask
    total : (x, y, z) float32, after the shim, 0 outside the mask
    r2star : (x, y, z) float32 [1/s]
    mask : (x, y, z) bool
    nuclei, cortex : (x, y, z) uint8, position + 1 in `regions` and `parcels`, which are (name, "L" or "R")
    reference : mean χ of the brain relative to soft tissue [ppm], which has been taken off
    shim : nine coefficients that have been taken off the field
    """

    chi: Volume
    local: Volume
    total: Volume
    r2star: Volume
    mask: NDArray[np.bool_]
    nuclei: NDArray[np.uint8]
    cortex: NDArray[np.uint8]
    regions: tuple[tuple[str, str], ...]
    parcels: tuple[tuple[str, str], ...]
    reference: float
    shim: tuple[float, ...]


@dataclass(frozen=True)
class Visit:
    """One session of one participant: echoes (x, y, z, echo) complex64 on `grid`, T1w on `t1w_grid`.

    factor : fine voxels in an acquired one along each axis
    sigma : standard deviation of the noise of each complex part
    """

    person: Person
    grid: Grid
    echoes: NDArray[np.complex64]
    sigma: float
    factor: tuple[int, int, int]
    truth: Truth
    t1w: Volume | None
    t1w_grid: Grid | None


def estimate_gb(fine: Sequence[int]) -> float:
    """Peak memory [GB] of a head on a fine grid: its maps, and the transform along one axis for the field."""
    lines = float(fine[0]) * fine[1] * (fine[2] + 1.15 * max(fine))
    return (30.0 * float(np.prod(fine, dtype=float)) + 8.0 * lines) / 1e9 + 0.9


def _factor(grid: Grid, options: Options) -> tuple[int, int, int]:
    """How many fine voxels an acquired one has: `oversampling` or more, so that fine voxels are nearly cubes."""
    size = np.array(options.voxel_size)
    least = options.oversampling
    target = size.min() / least
    while least >= 1:
        wanted = np.maximum(np.rint(size / target), least).astype(int)
        for factor in (wanted, np.full(3, least)):
            if estimate_gb([int(n * f) for n, f in zip(grid.shape, factor, strict=True)]) <= options.mem_gb:
                return int(factor[0]), int(factor[1]), int(factor[2])
        least -= 1
        target = size.min() / max(least, 1)
    raise EnvironmentFault(
        f"a head with voxels of {' x '.join(f'{v:g}' for v in size)} mm needs about "
        f"{estimate_gb(grid.shape):.1f} GB, and the memory limit is {options.mem_gb:g} GB: allow more "
        "with --mem-gb, or ask for larger voxels"
    )


def _surface(inside: Volume, template: Template, stride: int = 4) -> Matrix:
    """Points on the surface of a map of the template [mm], every `stride` mm."""
    from scipy.ndimage import binary_erosion

    flags = inside[::stride, ::stride, ::stride] > 0.5
    return np.argwhere(flags & ~binary_erosion(flags)) * float(stride) + template.affine[:3, 3]


def _box_points(template: Template, shape: Shape, pose: Pose, low_mm: float) -> Matrix:
    """Points that the field of view has to hold: the head's surface from below the brain up, in scanner mm."""
    surface = _surface(template.head, template)
    floor = _surface(template.brain, template)[:, 2].min() - low_mm
    return shape.to_head(surface[surface[:, 2] > floor]) @ pose.rotation.T + pose.shift


def _t1w(
    visit_pose: Pose, shape: Shape, template: Template, tile: Volume, options: Options, rng: np.random.Generator
) -> tuple[Volume, Grid]:
    """T1-weighted image on its own grid, after a little movement of the head, with its own bias and noise."""
    pose = visit_pose.moved(rng, 1.5, 1.0)
    points = _box_points(template, shape, pose, 25.0)
    grid = grid_around(points, options.t1w_voxel_size, rotation((1, 0, 0), float(rng.uniform(-4, 4))), (2, 2, 2))
    head = sample_head(grid, pose, shape, template, tile, t1w_contrast(template))
    image = head.signal * np.exp(acquisition.smooth(grid.shape, rng, 0.15))
    real, imag = (np.float32(0.02) * rng.standard_normal(grid.shape, dtype=np.float32) for _ in range(2))
    noisy: Volume = np.hypot(image + real, imag)
    return noisy, grid


def _stream(options: Options, participant: int, *purpose: int) -> np.random.Generator:
    """An independent source of chance for each participant and purpose."""
    return np.random.default_rng([options.seed, participant, *purpose])


def make_subject(options: Options, participant: int, group: str, session: int = 0) -> Visit:
    """Synthesise one visit of one participant.

    Parameters
    ----------
    options : what to synthesise
    participant : number that, with the seed, decides who it is
    group : of the participant
    session : 0 for the first visit

    Returns
    -------
    visit : images before rounding to integers, and the truth

    Raises
    ------
    EnvironmentFault
        If the head does not fit in `options.mem_gb` even without oversampling.
    UsageError
        If the label image or its table cannot be used.
    """
    template = load_template(options.labels, options.labels_table)
    person = draw_person(
        group, _stream(options, participant, 0), names=region_names(template), years=float(session),
        diseases=sorted({disease_of(name) for name in options.groups}),
        age=float(_stream(options, participant // len(options.groups), 1).uniform(55, 78)),
    )  # fmt: skip
    low, high = template.affine[:3, 3], template.affine[:3, 3] + template.t1w.shape
    shape = draw_shape(_stream(options, participant, 2), low - 20, high + 20, options.variation)
    shape = _atrophic(shape, template, options.ventricles)
    tile = texture(_stream(options, participant, 3))
    pose = Pose(rotation(TURN_AXIS, options.head_tilt), np.zeros(3))
    pose = pose.moved(_stream(options, participant, 4, session), 3.0, 2.0 * min(options.variation, 1.0))
    grid, factor, step = _grids(template, shape, pose, options)
    fine = grid.finer(factor)
    contrast = gradient_echo_contrast(person, template, options.b0)
    head = sample_head(fine, pose, shape, template, tile, contrast)
    veins = draw_veins(template, _stream(options, participant, 5))
    add_veins(head, veins, fine, pose, shape, options.b0)
    start, around = _around(fine, step, pose, shape, template)
    coarse = sample_head(around, pose, shape, template, tile, contrast).chi
    field = total_field(head.chi, fine, coarse, start, step)
    coefficients = shim(field, head.brain, fine.voxel_size)
    noise = _stream(options, participant, 6, session)
    echoes, sigma = _scan(head, field, factor, options, noise)
    truth = _truth(head, field, fine, factor, template, coefficients)
    image, image_grid = None, None
    if options.t1w:
        del head, field
        image, image_grid = _t1w(pose, shape, template, tile, options, _stream(options, participant, 7, session))
    return Visit(person, grid, echoes, sigma, factor, truth, image, image_grid)


def _atrophic(shape: Shape, template: Template, factor: float) -> Shape:
    """The shape with wider ventricles, where they are asked for."""
    if factor == 1:
        return shape
    brain = template.brain > 0.5
    ventricles = lateral_ventricles(template.t1w, brain, template.affine, margin=0)
    try:
        return widen_ventricles(shape, ventricles, template.affine, factor)
    except ValueError as error:
        raise UsageError(f"--ventricles: {error}; the most that every head can have is about 2") from error


def _grids(
    template: Template, shape: Shape, pose: Pose, options: Options
) -> tuple[Grid, tuple[int, int, int], tuple[int, int, int]]:
    """The acquired grid, its oversampling, and how many fine voxels one of the coarse grid has."""
    joined = [max(1, round(COARSE_MM / v)) for v in options.voxel_size]
    axes = rotation(TURN_AXIS, -options.obliquity)
    grid = grid_around(_box_points(template, shape, pose, 6.0), options.voxel_size, axes, joined)
    if max(grid.shape) > 1024:
        raise UsageError(f"voxels of {options.voxel_size} mm give a grid of {grid.shape}, more than 1024 along an axis")
    factor = _factor(grid, options)
    step = (factor[0] * joined[0], factor[1] * joined[1], factor[2] * joined[2])
    return grid, factor, step


def _around(
    fine: Grid, step: tuple[int, int, int], pose: Pose, shape: Shape, template: Template
) -> tuple[list[int], Grid]:
    """A coarse grid that holds the whole head and whose voxels fit the fine grid's edges."""
    coarse = fine.coarser(step)
    points = shape.to_head(_surface(template.head, template)) @ pose.rotation.T + pose.shift
    to_voxel = np.linalg.inv(coarse.affine)
    index = points @ to_voxel[:3, :3].T + to_voxel[:3, 3]
    reach = 4.0 / np.array(coarse.voxel_size) + 2  # the surface's points stand 4 mm apart
    below = np.ceil(np.maximum(reach - index.min(axis=0), 2)).astype(int)
    above = np.ceil(np.maximum(index.max(axis=0) + reach - (np.array(coarse.shape) - 1), 2)).astype(int)
    return below.tolist(), coarse.crop(-below, np.array(coarse.shape) + below + above)


def _scan(
    head: Head, field: Volume, factor: Sequence[int], options: Options, rng: np.random.Generator
) -> tuple[NDArray[np.complex64], float]:
    """Echoes with receive sensitivity, readout polarity and noise."""
    echoes = acquisition.acquire(head.signal, head.r2star, field, options.te, options.b0, factor)
    echoes *= acquisition.receive(echoes.shape[:3], rng)[..., None]
    _, share = acquisition.block_mean(head.signal, head.brain, factor)
    sigma = float(np.abs(echoes[..., 0][share > 0.5]).mean() / options.snr)
    if options.bipolar:
        acquisition.alternate(echoes, rng)
    acquisition.add_noise(echoes, sigma, rng)
    return echoes, sigma


def _truth(
    head: Head, field: Volume, fine: Grid, factor: Sequence[int], template: Template, coefficients: Sequence[float]
) -> Truth:
    """Averages over the acquired voxels of what is known on the fine grid."""
    local, reference = local_field(head.chi, head.brain, fine)
    chi, share = acquisition.block_mean(head.chi, head.brain, factor)
    mask = share > 0.5
    maps = [acquisition.block_mean(values, head.brain, factor)[0] * mask for values in (local, field, head.r2star)]
    return Truth(
        chi=np.where(mask, chi - np.float32(reference), np.float32(0)),
        local=maps[0],
        total=maps[1],
        r2star=maps[2],
        mask=mask,
        nuclei=acquisition.block_label(head.nuclei, factor) * mask,
        cortex=acquisition.block_label(head.cortex, factor) * mask,
        regions=template.nuclei.regions,
        parcels=template.parcels,
        reference=reference,
        shim=tuple(coefficients),
    )
