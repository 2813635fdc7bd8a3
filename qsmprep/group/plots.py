"""One small vector picture a region: a point a run, by group and hemisphere, with the mean and the SD of each."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

# colour-blind safe (Okabe and Ito)
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
FAIL_COLOR = "#b3261e"
WIDTH, HEIGHT = 340, 210
LEFT, RIGHT, TOP, BOTTOM = 46, 8, 10, 40
MANY_POINTS = 400  # from here on points would be a blot, and the page large: quartiles instead


@dataclass(frozen=True)
class Point:
    """One run's number: group, hemisphere (L, R, n/a), value, what to call it, and its verdict."""

    group: str
    hemisphere: str
    value: float
    name: str
    verdict: str


@dataclass(frozen=True)
class Summary:
    """Count, mean and SD of one group and hemisphere, without runs that FAIL; SD is NaN below two."""

    n: int
    mean: float
    sd: float


def summarise(points: Iterable[Point]) -> Summary:
    """Mean and sample SD of the points whose verdict is not FAIL."""
    values = [point.value for point in points if point.verdict != "FAIL"]
    n = len(values)
    mean = sum(values) / n if n else math.nan
    sd = math.sqrt(sum((value - mean) ** 2 for value in values) / (n - 1)) if n > 1 else math.nan
    return Summary(n, mean, sd)


def region_svg(points: Sequence[Point], groups: Sequence[str], unit: str) -> Markup:
    """SVG of one region; hovering a point names the run and its value.

    Parameters
    ----------
    points : finite values
    groups : names in the order of their colours
    unit : of the values, written at the axis
    """
    sides = [side for side in ("L", "R", "n/a") if any(point.hemisphere == side for point in points)]
    low, high, ticks = _axis([point.value for point in points])
    columns = [(side, group) for side in sides for group in groups]
    step = (WIDTH - LEFT - RIGHT) / max(len(columns), 1)

    def y(value: float) -> float:
        return TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM)

    parts = [
        Markup('<svg viewBox="0 0 {} {}" role="img" font-size="11" font-family="sans-serif">').format(WIDTH, HEIGHT)
    ]
    for tick in ticks:
        parts.append(
            Markup('<line x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}" stroke="{}"/>').format(
                LEFT, WIDTH - RIGHT, y(tick), y(tick), "#8a94a0" if tick == 0 else "#e6eaee"
            )
        )
        parts.append(_text(LEFT - 5, y(tick) + 4, f"{tick:g}", "end"))
    parts.append(_text(4, TOP + 3, unit, "start"))
    for number, (side, group) in enumerate(columns):
        here = [point for point in points if point.hemisphere == side and point.group == group]
        centre = LEFT + (number + 0.5) * step
        color = COLORS[list(groups).index(group) % len(COLORS)]
        parts += _column(here, centre, step, color, y)
        parts.append(_text(centre, HEIGHT - BOTTOM + 14, f"n {sum(p.verdict != 'FAIL' for p in here)}", "middle"))
    for number, side in enumerate(sides):
        centre = LEFT + (number + 0.5) * step * len(groups)
        parts.append(_text(centre, HEIGHT - 8, {"L": "left", "R": "right", "n/a": ""}[side], "middle", "#1d2530"))
    return Markup("").join([*parts, Markup("</svg>")])


def _column(points: Sequence[Point], centre: float, step: float, color: str, y) -> list[Markup]:  # type: ignore[no-untyped-def]
    """Points of one group and hemisphere, their mean (bar) and SD (line)."""
    parts = []
    half = min(step * 0.36, 40)
    if len(points) > MANY_POINTS:
        values = sorted(point.value for point in points)
        quarter, three = values[len(values) // 4], values[3 * len(values) // 4]
        parts.append(
            Markup('<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" fill="{}" fill-opacity="0.3"/>').format(
                centre - half, y(three), 2 * half, max(y(quarter) - y(three), 0.5), color
            )
        )
    else:
        for point in points:
            # the same run stands at the same place in every plot and every build
            jitter = (zlib.crc32(point.name.encode()) % 1000 / 999 - 0.5) * half
            bad = point.verdict == "FAIL"
            edge = FAIL_COLOR if bad else "#b26a00" if point.verdict == "CHECK" else "none"
            title = f"{point.name}: {point.value:.4g}" + (f" ({point.verdict})" if edge != "none" else "")
            parts.append(
                Markup(
                    '<circle cx="{:.1f}" cy="{:.1f}" r="3.6" fill="{}" fill-opacity="0.75" stroke="{}" '
                    'stroke-width="1.4"><title>{}</title></circle>'
                ).format(centre + jitter, y(point.value), "none" if bad else color, edge, title)
            )
    found = summarise(points)
    if found.n and not math.isnan(found.sd):
        parts.append(_line(centre, centre, y(found.mean - found.sd), y(found.mean + found.sd), 1.4))
    if found.n:
        parts.append(_line(centre - half * 0.7, centre + half * 0.7, y(found.mean), y(found.mean), 2.2))
    return parts


def _line(x1: float, x2: float, y1: float, y2: float, width: float) -> Markup:
    text = '<line x1="{:.1f}" x2="{:.1f}" y1="{:.1f}" y2="{:.1f}" stroke="#1d2530" stroke-width="{}"/>'
    return Markup(text).format(x1, x2, y1, y2, width)


def _text(x: float, y: float, text: str, anchor: str, color: str = "#5f6b7a") -> Markup:
    form = '<text x="{:.1f}" y="{:.1f}" text-anchor="{}" fill="{}">{}</text>'
    return Markup(form).format(x, y, anchor, color, escape(text))


def _axis(values: Sequence[float]) -> tuple[float, float, list[float]]:
    """Limits and round ticks that hold all values."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    if high - low < 1e-9:
        low, high = low - 1, high + 1
    margin = 0.08 * (high - low)
    low, high = low - margin, high + margin
    rough = (high - low) / 4
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first = math.ceil(low / step)
    ticks = [round(tick * step, 10) + 0.0 for tick in range(first, math.floor(high / step) + 1)]
    return low, high, ticks
