"""Draw slices of one volume side by side on a dark ground and write a small picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from qsmprep.bids.derivatives import atomic_write_bytes
from qsmprep.report.display import AXIAL, CONVENTION, CORONAL, EDGE_LETTERS, SAGITTAL, NDArray, Tile

GROUND = "#111418"
INK = "#e8eaed"
FAINT = "#9aa5b1"
GAP_MM = 4.0  # between tiles
DPI = 100


class Mosaic:
    """Tiles of a volume in rows, to scale, with the sides named.

    Parameters
    ----------
    shape : (x, y, z) of the (cropped) volume in display order
    spacing : 3 floats [mm]
    rows : tiles, one sequence a row
    title : shown above the tiles
    colorbar : leave room for a colour bar on the right
    legend_rows : lines of legend to leave room for below
    """

    def __init__(
        self,
        shape: Sequence[int],
        spacing: Sequence[float],
        rows: Sequence[Sequence[Tile]],
        *,
        title: str = "",
        colorbar: bool = False,
        legend_rows: int = 0,
        width_px: int = 1280,
    ) -> None:
        self.extent_mm = tuple(n * size for n, size in zip(shape, spacing, strict=True))
        self.spacing = tuple(spacing)
        self.places = self._place(rows)
        right, bottom = 90 * bool(colorbar), 24 + 24 * legend_rows
        top = 32
        width_mm = max(x0 + width for _, x0, _, width, _ in self.places)
        height_mm = max(y0 + height for _, _, y0, _, height in self.places)
        scale = (width_px - right - 20) / width_mm  # pixels a millimetre
        scale = min(scale, 620 / height_mm)
        tiles_px = (width_mm * scale, height_mm * scale)
        self.size_px = (width_px, int(tiles_px[1]) + top + bottom)
        self._left = (width_px - right - tiles_px[0]) / 2
        self._draw_frame(tiles_px, width_mm, height_mm, bottom, title)

    def _place(self, rows: Sequence[Sequence[Tile]]) -> list[tuple[Tile, float, float, float, float]]:
        """(tile, left, top, width, height) in mm; rows are centred, tiles of a row share a baseline."""
        widths = [sum(self._tile_mm(t)[0] + GAP_MM for t in row) - GAP_MM for row in rows]
        places, y0 = [], 0.0
        for row, width in zip(rows, widths, strict=True):
            x0 = (max(widths) - width) / 2
            height = max(self._tile_mm(tile)[1] for tile in row)
            for tile in row:
                tile_width, tile_height = self._tile_mm(tile)
                places.append((tile, x0, y0 + height - tile_height, tile_width, tile_height))
                x0 += tile_width + GAP_MM
            y0 += height + GAP_MM
        return places

    def _tile_mm(self, tile: Tile) -> tuple[float, float]:
        across, up = [axis for axis in (SAGITTAL, CORONAL, AXIAL) if axis != tile.axis]
        return self.extent_mm[across], self.extent_mm[up]

    def _draw_frame(
        self, tiles_px: tuple[float, float], width_mm: float, height_mm: float, bottom: int, title: str
    ) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        width_px, height_px = self.size_px
        self.figure = Figure(figsize=(width_px / DPI, height_px / DPI), dpi=DPI, facecolor=GROUND)
        FigureCanvasAgg(self.figure)
        self.axes = self.figure.add_axes(
            (self._left / width_px, bottom / height_px, tiles_px[0] / width_px, tiles_px[1] / height_px)
        )
        self.axes.set(xlim=(0, width_mm), ylim=(height_mm, 0), aspect="auto")
        self.axes.axis("off")
        px = 72 / DPI
        self.figure.text(10 / width_px, 1 - 9 / height_px, title, color=INK, size=15 * px, va="top", weight="bold")
        self.figure.text(
            1 - 10 / width_px, 1 - 10 / height_px, CONVENTION, color=FAINT, size=12 * px, va="top", ha="right"
        )
        for tile, x0, y0, width, height in self.places:
            before, after = EDGE_LETTERS[tile.axis]
            style: dict[str, Any] = {"color": INK, "size": 13 * px, "va": "top", "weight": "bold", "zorder": 9}
            style["bbox"] = {"facecolor": GROUND, "alpha": 0.55, "pad": 1.0, "linewidth": 0}
            self.axes.text(x0 + 0.02 * width, y0 + 0.02 * height, before, ha="left", **style)
            self.axes.text(x0 + 0.98 * width, y0 + 0.02 * height, after, ha="right", **style)

    @staticmethod
    def slice_of(volume: NDArray, tile: Tile) -> NDArray:
        """(row, column[, colour]) picture of one slice with the first row at the bottom of the tile."""
        return np.swapaxes(np.take(volume, tile.index, axis=tile.axis), 0, 1)

    def image(self, volume: NDArray, *, interpolation: str = "antialiased", **keywords: Any) -> Any:
        """Draw a volume in display order; keywords go to `imshow`. Returns the last artist, for the colour bar."""
        artist = None
        for tile, x0, y0, width, height in self.places:
            artist = self.axes.imshow(
                self.slice_of(volume, tile),
                extent=(x0, x0 + width, y0 + height, y0),
                origin="lower",
                aspect="auto",
                interpolation=interpolation,
                **keywords,
            )
        return artist

    def contour(self, volume: NDArray, color: str, linewidth: float = 1.0, level: float = 0.5) -> None:
        """Outline where a (x, y, z) volume passes `level`."""
        for place in self.places:
            self._outline(self.slice_of(volume, place[0]).astype(np.float32), place, color, linewidth, level)

    def contour_labels(self, labels: NDArray, colors: Mapping[int, str], linewidth: float = 1.0) -> None:
        """Outline each label of a (x, y, z) integer volume in its colour."""
        for place in self.places:
            picture = self.slice_of(labels, place[0])
            for index in np.unique(picture[picture > 0]):
                inside = (picture == index).astype(np.float32)
                self._outline(inside, place, colors[int(index)], linewidth, 0.5)

    def _outline(
        self,
        picture: NDArray,
        place: tuple[Tile, float, float, float, float],
        color: str,
        linewidth: float,
        level: float,
    ) -> None:
        from contourpy import contour_generator
        from matplotlib.collections import LineCollection

        if picture.min() >= level or picture.max() <= level:
            return
        _, x0, y0, width, height = place
        rows, columns = picture.shape
        x = x0 + (np.arange(columns) + 0.5) * width / columns
        y = y0 + height - (np.arange(rows) + 0.5) * height / rows
        # straight from matplotlib's own contour library: its ContourSet takes ten times as long, and labels are many
        lines: Any = contour_generator(x, y, picture).lines(level)
        self.axes.add_collection(LineCollection(lines, colors=[color], linewidths=linewidth, zorder=3), autolim=False)

    def colorbar(self, artist: Any, unit: str) -> None:
        """Colour bar with its unit at the right edge."""
        width_px, height_px = self.size_px
        box = self.axes.get_position()
        bar_height = min(box.height, 260 / height_px)
        axes = self.figure.add_axes(
            (1 - 78 / width_px, box.y0 + (box.height - bar_height) / 2, 13 / width_px, bar_height)
        )
        bar = self.figure.colorbar(artist, cax=axes)
        bar.outline.set_visible(False)
        axes.tick_params(colors=INK, labelsize=11 * 72 / DPI, length=3)
        axes.set_title(unit, color=INK, size=12 * 72 / DPI, pad=6)

    def legend(self, entries: Sequence[tuple[str, Any]]) -> None:
        """Coloured names in rows below the tiles."""
        width_px, height_px = self.size_px
        x, y = 12.0, 22.0 + 24 * (legend_lines(entries, width_px) - 1)
        for name, color in entries:
            step = _legend_step(name)
            if x + step > width_px - 12:
                x, y = 12.0, y - 24
            self.figure.text(x / width_px, y / height_px, "■", color=color, size=13 * 72 / DPI, va="center")
            self.figure.text((x + 17) / width_px, y / height_px, name, color=INK, size=12 * 72 / DPI, va="center")
            x += step

    def save(self, out: Path | str) -> Path:
        """Write the picture (WebP or PNG, by the name's ending)."""
        return save_figure(self.figure, out)


def _legend_step(name: str) -> float:
    return 34 + 7.0 * len(name)


def legend_lines(entries: Sequence[tuple[str, Any]], width_px: int = 1280) -> int:
    """How many rows `Mosaic.legend` needs for these entries."""
    lines, x = 1, 12.0
    for name, _ in entries:
        step = _legend_step(name)
        if x + step > width_px - 12:
            lines, x = lines + 1, 12.0
        x += step
    return lines


def save_figure(figure: Any, out: Path | str) -> Path:
    """Write a matplotlib figure as WebP or PNG: whole or not at all.

    Raises
    ------
    ValueError
        If the file's ending is neither .webp nor .png.
    """
    out = Path(out)
    kind = out.suffix.lower().lstrip(".")
    if kind not in ("webp", "png"):
        raise ValueError(f"{out.name}: a figure is written as .webp or .png")
    buffer = BytesIO()
    options = {"quality": 82, "method": 4} if kind == "webp" else {"optimize": True}
    figure.savefig(buffer, format=kind, dpi=DPI, facecolor=figure.get_facecolor(), pil_kwargs=options)
    return atomic_write_bytes(out, buffer.getvalue())
