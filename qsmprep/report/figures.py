"""Figures of the participant report: arrays and an affine in, one small picture (WebP or PNG) out.

Every picture is masked to the brain with a margin, so that no face shows, turned to the person's right-front-top, drawn
to scale for voxels of any size, and says which side is left. Figures made with the same `mask` show the same slices.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from qsmprep.report import display
from qsmprep.report.display import AXIAL, CORONAL, SAGITTAL, NDArray
from qsmprep.report.mosaic import Mosaic, legend_lines

MARGIN_MM = 5.0  # of tissue around the brain that an anatomical picture may show
CHI_RANGE = (-0.1, 0.2)  # ppm: what the field prints χ maps with
BRAIN_COLOR, QSM_COLOR, EDGE_COLOR = "#4da3ff", "#ffb000", "#ff5d5d"
MANY_LABELS = 24  # from here on names would fill the page: colours only


def figure_path(
    figures_dir: Path | str, run_name: str, what: str, suffix: str = "QSM", extension: str = "webp"
) -> Path:
    """Where the report looks for a figure: `<figures>/<run name>_desc-<what>_<suffix>.<extension>`.

    `what` is one of mask, phase, totalfield, localfield, chi, r2star, atlas<name>, histogram, and for the registrations
    coregbefore, coregafter, coregtarget, normbefore, normafter, normtarget.
    """
    return Path(figures_dir) / f"{run_name}_desc-{what}_{suffix}.{extension}"


class _Scene:
    """A mask turned for display, its box, and the slices that go with it."""

    def __init__(self, affine: ArrayLike, mask: ArrayLike, *, margin: float = MARGIN_MM) -> None:
        self.affine = np.asarray(affine, float)
        self.native_shape = np.asarray(mask).shape
        self.mask_full, self.spacing = display.to_display(np.asarray(mask).astype(bool), self.affine)
        self.wide_full = display.widen(self.mask_full, self.spacing, margin)
        # 2 voxels of rim keep contours closed at the edge of the tile
        self.box = display.bounding_box(self.wide_full, self.spacing, 2 * max(self.spacing))
        self.mask, self.wide = self.mask_full[self.box], self.wide_full[self.box]
        tiles = display.spread_tiles(self.mask, {AXIAL: 7, CORONAL: 4, SAGITTAL: 3})
        self.rows = [tiles[:7], tiles[7:]]

    def turn(self, data: ArrayLike) -> NDArray:
        """A volume of the same grid in display order, cut to the box."""
        array = np.asarray(data)
        if array.shape[:3] != self.native_shape:
            raise ValueError(f"image of shape {array.shape} and mask of {self.native_shape} cannot be drawn together")
        return display.to_display(array, self.affine)[0][self.box]

    def mosaic(self, title: str, **keywords: Any) -> Mosaic:
        return Mosaic(self.mask.shape, self.spacing, self.rows, title=title, **keywords)


def _hide(volume: NDArray, shown: NDArray) -> Any:
    """Masked array: what is not `shown` (or not finite) is not drawn at all."""
    masked: Any = np.ma
    return masked.masked_where(~(shown & np.isfinite(volume)), volume)


def plot_map(
    data: ArrayLike,
    affine: ArrayLike,
    mask: ArrayLike,
    out: Path | str,
    *,
    vmin: float | None = None,
    vmax: float | None = None,
    cmap: str = "gray",
    unit: str = "",
    title: str = "",
    shown: ArrayLike | None = None,
) -> Path:
    """Slices of a quantitative map (field, χ, R2*) with a colour bar.

    Parameters
    ----------
    data : (x, y, z) array
    affine : (4, 4) array
        Voxel to scanner millimetres.
    mask : (x, y, z) bool array
        Brain: fixes crop and slices. Give the same mask to every map of a run and they show the same slices.
    out : path ending in .webp or .png
    vmin, vmax : float, optional
        Display limits in `unit`; by default the 1st and 99th percentile, symmetric about 0 where the map has
        both signs.
    unit : str, shown over the colour bar
    shown : (x, y, z) bool array, optional
        Where the map is valid; by default `mask`. Elsewhere nothing is drawn.

    Returns
    -------
    out : Path

    Raises
    ------
    ValueError
        If the mask is empty or the shapes differ.
    """
    scene = _Scene(affine, mask, margin=0.0)
    volume = scene.turn(data).astype(np.float32)
    valid = scene.mask if shown is None else scene.turn(np.asarray(shown).astype(bool))
    if vmin is None or vmax is None:
        low, high = display.robust_range(volume[valid])
        if low < 0 < high:
            low, high = -max(-low, high), max(-low, high)
        vmin, vmax = (low if vmin is None else vmin), (high if vmax is None else vmax)
    mosaic = scene.mosaic(title, colorbar=True)
    artist = mosaic.image(_hide(volume, valid), cmap=cmap, vmin=vmin, vmax=vmax)
    mosaic.colorbar(artist, unit)
    return mosaic.save(out)


def plot_chi(
    chi: ArrayLike, affine: ArrayLike, mask: ArrayLike, out: Path | str, *, shown: ArrayLike | None = None
) -> Path:
    """Susceptibility [ppm] in grey from -0.1 to 0.2 ppm (see `plot_map`)."""
    vmin, vmax = CHI_RANGE
    return plot_map(chi, affine, mask, out, vmin=vmin, vmax=vmax, unit="ppm", title="Susceptibility χ", shown=shown)


def plot_phase(
    first: ArrayLike,
    last: ArrayLike | None,
    affine: ArrayLike,
    mask: ArrayLike,
    out: Path | str,
    *,
    te: Sequence[float] = (),
) -> Path:
    """Wrapped phase [rad] of the first and, below it, the last echo (axial slices).

    Parameters
    ----------
    first, last : (x, y, z) arrays [rad]; `last` is None for a single echo
    te : echo times of the two [s], shown in the title
    """
    scene = _Scene(affine, mask)
    axial = scene.rows[0]
    volumes = [scene.turn(first)] + ([] if last is None else [scene.turn(last)])
    # the echoes are stacked in one volume, so that one mosaic draws both
    depth = scene.mask.shape[2]
    stacked = np.concatenate([np.asarray(volume, np.float32) for volume in volumes], axis=2)
    shown = np.concatenate([scene.wide] * len(volumes), axis=2)
    rows = [[display.Tile(AXIAL, tile.index + echo * depth) for tile in axial] for echo in range(len(volumes))]
    times = [f"TE {1000 * time:.1f} ms" for time in te][: len(volumes)]
    title = "Phase as acquired" + (f": {' (top) and '.join(times)}" if times else "")
    title += " (bottom)" if len(times) > 1 else ""
    mosaic = Mosaic(scene.mask.shape, scene.spacing, rows, title=title, colorbar=True)
    artist = mosaic.image(
        _hide(stacked, shown), cmap="gray", vmin=-np.pi, vmax=np.pi, interpolation="nearest"
    )  # interpolating across a wrap would draw values that nobody measured
    mosaic.colorbar(artist, "rad")
    return mosaic.save(out)


def plot_mask(
    magnitude: ArrayLike, affine: ArrayLike, brain_mask: ArrayLike, qsm_mask: ArrayLike | None, out: Path | str
) -> Path:
    """Outlines of the brain mask and of the QSM mask (where χ is computed) on the magnitude.

    Parameters
    ----------
    magnitude : (x, y, z) array, arbitrary units
    brain_mask, qsm_mask : (x, y, z) bool arrays; `qsm_mask` may be None
    """
    brain = np.asarray(brain_mask).astype(bool)
    union = brain if qsm_mask is None else brain | np.asarray(qsm_mask).astype(bool)
    scene = _Scene(affine, union)
    volume = scene.turn(magnitude).astype(np.float32)
    vmin, vmax = display.robust_range(volume[scene.wide], 2.0, 99.5)
    entries = [("brain mask", BRAIN_COLOR)] + ([] if qsm_mask is None else [("QSM mask", QSM_COLOR)])
    mosaic = scene.mosaic("Masks on the magnitude", legend_rows=1)
    mosaic.image(_hide(volume, scene.wide), cmap="gray", vmin=min(vmin, 0.0), vmax=vmax)
    mosaic.contour(scene.turn(brain), BRAIN_COLOR, 1.1)
    if qsm_mask is not None:
        mosaic.contour(scene.turn(np.asarray(qsm_mask).astype(bool)), QSM_COLOR, 0.9)
    mosaic.legend(entries)
    return mosaic.save(out)


def plot_registration(
    fixed: ArrayLike,
    moving_before: ArrayLike,
    moving_after: ArrayLike,
    affine: ArrayLike,
    out_before: Path | str,
    out_after: Path | str,
    *,
    mask: ArrayLike,
    out_target: Path | str | None = None,
    names: tuple[str, str] = ("moving image", "target"),
) -> tuple[Path, Path]:
    """The moving image before and after registration, on the target's grid, with the target's edges in red.

    The pictures have the same slices and size: the report lays them over each other and switches between them.

    Parameters
    ----------
    fixed, moving_before, moving_after : (x, y, z) arrays, all on the grid of `fixed`
    mask : (x, y, z) bool array
        Brain on the same grid; what lies more than 5 mm outside it is not shown.
    out_target : path, optional
        Where to draw the target itself, as the third picture to switch to.
    names : what the moving image and the target are, for the titles, such as ("GRE magnitude", "T1w")
    """
    scene = _Scene(affine, mask)
    target = np.nan_to_num(scene.turn(fixed).astype(np.float32))
    edges = _edges(target, scene.mask, scene.spacing)
    pictures = [(moving_before, f"{names[0]} before", out_before), (moving_after, f"{names[0]} after", out_after)]
    if out_target is not None:
        pictures.append((fixed, names[1], out_target))
    written = []
    for data, title, out in pictures:
        volume = scene.turn(data).astype(np.float32)
        vmin, vmax = display.robust_range(volume[scene.wide], 2.0, 99.5)
        mosaic = scene.mosaic(f"{title}, edges of {names[1]} in red", colorbar=False)
        mosaic.image(_hide(volume, scene.wide), cmap="gray", vmin=vmin, vmax=vmax)
        for volume_of_edges, level in edges:
            mosaic.contour(volume_of_edges, EDGE_COLOR, 0.8, level)
        written.append(mosaic.save(out))
    return written[0], written[1]


def _edges(target: NDArray, mask: NDArray, spacing: Sequence[float]) -> list[tuple[NDArray, float]]:
    """Volumes and levels at which to outline them: the brain's border, and where its inside turns locally bright."""
    from scipy.ndimage import gaussian_filter

    inside = mask.astype(np.float32)

    def smooth(millimetres: float) -> Any:
        sigma = [millimetres / size for size in spacing]
        return gaussian_filter(target * inside, sigma) / np.maximum(gaussian_filter(inside, sigma), 1e-3)

    # against the surroundings rather than one global level: coil profiles make whole images brighter on one side
    contrast = smooth(1.5) / np.maximum(np.abs(smooth(12.0)), 1e-6)
    return [(inside, 0.5), (np.where(mask, contrast, 0.94), 0.94)]


def plot_labels(
    background: ArrayLike,
    labels: ArrayLike,
    affine: ArrayLike,
    mask: ArrayLike,
    out: Path | str,
    *,
    lookup: Any = None,
    vmin: float | None = CHI_RANGE[0],
    vmax: float | None = CHI_RANGE[1],
    title: str = "Regions on χ",
) -> Path:
    """Outlines of a segmentation on a map, on slices that meet the small labels as well as the large.

    Parameters
    ----------
    background : (x, y, z) array, by default χ [ppm]
    labels : (x, y, z) integer array, 0 is background
    lookup : DataFrame with columns index and name, optional
        Labels of the same name (left and right) get the same colour, and up to 24 names are written below.
    vmin, vmax : display limits of the background; None for the 1st and 99th percentile
    """
    label_array = np.asarray(labels)
    scene = _Scene(affine, mask, margin=0.0)
    turned = scene.turn(label_array).astype(np.int32)
    volume = scene.turn(background).astype(np.float32)
    if not turned.any():
        raise ValueError("the segmentation has no label inside the brain mask")
    # deep nuclei fill little of the brain: go near them; the cortex keeps the whole brain
    box = display.bounding_box(turned > 0, scene.spacing, 14.0)
    turned, volume, shown = turned[box], volume[box], scene.mask[box]
    tiles = display.label_tiles(turned, {AXIAL: 6, CORONAL: 5})
    names = _label_names(np.unique(turned[turned > 0]), lookup)
    colors = _label_colors(names)
    entries = _legend(names, colors)
    rows = [sorted(tiles[:6], key=lambda tile: tile.index), sorted(tiles[6:], key=lambda tile: tile.index)]
    lines = legend_lines(entries) if entries else 0
    mosaic = Mosaic(turned.shape, scene.spacing, rows, title=title, legend_rows=lines)
    low, high = display.robust_range(volume[shown])
    vmin, vmax = (low if vmin is None else vmin), (high if vmax is None else vmax)
    mosaic.image(_hide(volume, shown), cmap="gray", vmin=vmin, vmax=vmax)
    mosaic.contour_labels(turned, {index: colors[name] for index, name in names.items()})
    if entries:
        mosaic.legend(entries)
    return mosaic.save(out)


def _label_names(indices: Iterable[int], lookup: Any) -> dict[int, str]:
    known: Mapping[int, str] = {}
    if lookup is not None:
        table = lookup.reset_index() if "index" not in lookup.columns else lookup
        known = {int(index): str(name) for index, name in zip(table["index"], table["name"], strict=True)}
    return {int(index): known.get(int(index), f"label {index}") for index in indices}


def _label_colors(names: Mapping[int, str]) -> dict[str, str]:
    """A colour a name; hues by the golden angle, so that neighbours in the list look unlike."""
    import colorsys

    colors = {}
    for order, name in enumerate(dict.fromkeys(names.values())):
        red, green, blue = colorsys.hls_to_rgb((0.02 + order * 0.61803) % 1.0, 0.62 if order % 2 else 0.52, 0.95)
        colors[name] = f"#{int(255 * red):02x}{int(255 * green):02x}{int(255 * blue):02x}"
    return colors


def _legend(names: Mapping[int, str], colors: Mapping[str, str]) -> list[tuple[str, str]]:
    if len(colors) > MANY_LABELS or all(name.startswith("label ") for name in names.values()):
        return []
    return list(colors.items())


def plot_histogram(
    chi: ArrayLike,
    mask: ArrayLike,
    reference: ArrayLike | None,
    out: Path | str,
    *,
    reference_name: str = "reference region",
    limits: tuple[float, float] = (-0.3, 0.3),
) -> Path:
    """How χ [ppm] is distributed in the QSM mask and in the region it is referenced to.

    Parameters
    ----------
    chi : (x, y, z) array [ppm]
    mask : (x, y, z) bool array
    reference : (x, y, z) bool array or None
        The voxels whose mean χ was set to 0; None where no reference was applied or it is the whole mask.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from qsmprep.report.mosaic import DPI, FAINT, GROUND, INK, save_figure

    array, inside = np.asarray(chi, np.float32), np.asarray(mask).astype(bool)
    sets = [("QSM mask", array[inside], BRAIN_COLOR)]
    if reference is not None:
        sets.append((reference_name, array[np.asarray(reference).astype(bool)], QSM_COLOR))
    figure = Figure(figsize=(9.0, 2.9), dpi=DPI, facecolor=GROUND)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.07, 0.19, 0.9, 0.72), facecolor=GROUND)
    bins = np.linspace(*limits, 161)
    for name, values, color in sets:
        values = values[np.isfinite(values)]
        if values.size == 0:
            continue
        beyond = 100 * float(np.mean((values < limits[0]) | (values > limits[1])))
        text = f"{name}: mean {values.mean():+.3f}, SD {values.std():.3f} ppm; {beyond:.1f} % beyond the axis"
        axes.hist(values, bins=list(bins), density=True, histtype="stepfilled", color=color, alpha=0.35)
        axes.hist(values, bins=list(bins), density=True, histtype="step", color=color, label=text)
    axes.axvline(0, color=INK, linewidth=0.8, linestyle=":")
    axes.set_xlim(*limits)
    axes.set_xlabel("χ [ppm]", color=INK, size=9)
    axes.set_yticks([])
    axes.tick_params(colors=FAINT, labelsize=8)
    for side in ("top", "left", "right"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)
    if axes.get_legend_handles_labels()[0]:
        axes.set_ylim(top=axes.get_ylim()[1] * 1.35)  # room for the legend above the peak
        axes.legend(loc="upper left", fontsize=8, frameon=False, labelcolor=INK)
    return save_figure(figure, out)
