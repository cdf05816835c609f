"""A band on the canvas: whole cells in a dim shade, its edges in eighths of a cell."""

from __future__ import annotations

import math
from collections import defaultdict
from functools import lru_cache

from rich.color import Color
from rich.style import Style

from tui.charts.axes import Axis
from tui.charts.bands import Band
from tui.charts.canvas import Canvas
from tui.charts.look import Look, Rgb

__all__ = ["shade_band"]

_SHARE = 0.22
_NOISE_SHARE = 0.14
_EIGHTHS = 8
_DIM = Style(dim=True)


def shade_band(canvas: Canvas, band: Band, axis: Axis, color: str, look: Look, dots_across: int) -> None:
    """Paint a band behind everything.

    Args:
        canvas: nothing but other bands is on it yet.
        band: in columns of dots.
        axis: of y.
        color: of the line.
        look: for the background to mix with; where there is none, the band is painted with characters.
        dots_across: columns of dots in a cell.
    """
    shade = look.shade_color(color, _NOISE_SHARE if band.is_noise else _SHARE)
    if shade is None and band.is_noise:
        return
    paint = _paint_characters if shade is None else _paint_shade
    for column, (low, high) in _cells(band, axis, canvas.rows, dots_across).items():
        for row_up in range(low // _EIGHTHS, (high - 1) // _EIGHTHS + 1):
            bottom = max(low - row_up * _EIGHTHS, 0)
            top = min(high - row_up * _EIGHTHS, _EIGHTHS)
            paint(canvas, (canvas.rows - 1 - row_up, column), (bottom, top), shade or color, look)


def _paint_shade(canvas: Canvas, cell: tuple[int, int], part: tuple[int, int], shade: str, look: Look) -> None:
    bottom, top = part
    under = shade if top - bottom > _EIGHTHS // 2 else None
    is_whole = top - bottom >= _EIGHTHS - 1
    if is_whole or (under and (not look.glyphs.marker or (bottom > 0 and top < _EIGHTHS))):
        canvas.shade(*cell, shade)
    elif not look.glyphs.marker:
        return
    elif bottom == 0:
        canvas.shade_part(*cell, look.glyphs.levels[top], _edge(shade), under)
    elif top == _EIGHTHS and look.background is not None:
        canvas.shade_part(*cell, look.glyphs.levels[bottom], _edge(shade, look.background), under)


@lru_cache(maxsize=256)
def _edge(shade: str, background: Rgb | None = None) -> Style:
    """Of a cell that is shaded from its bottom, or with a ``background`` from its top."""
    if background is None:
        return Style(color=Color.parse(shade))
    return Style(color=Color.from_rgb(*background), bgcolor=Color.parse(shade))


def _paint_characters(canvas: Canvas, cell: tuple[int, int], part: tuple[int, int], color: str, look: Look) -> None:
    if part[1] - part[0] >= _EIGHTHS // 2:
        canvas.put_behind(*cell, look.glyphs.shade, look.line_style(color) + _DIM)


def _cells(band: Band, axis: Axis, rows: int, dots_across: int) -> dict[int, tuple[int, int]]:
    """By column of cells from and to, in eighths of a cell from the bottom."""
    lows, highs = axis.shares(band.low), axis.shares(band.high)
    found: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for column, low, high in zip(band.columns.tolist(), lows.tolist(), highs.tolist(), strict=True):
        if high >= 0 and low <= 1:
            found[column // dots_across].append((max(low, 0.0), min(high, 1.0)))
    size = rows * _EIGHTHS
    return {
        column: (
            math.floor(min(low for low, _ in ends) * size),
            max(math.ceil(max(high for _, high in ends) * size), math.floor(min(low for low, _ in ends) * size) + 1),
        )
        for column, ends in found.items()
    }
