"""Cells that are painted over one another, from the grid lines at the back to the marks in front."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from itertools import groupby

from rich.color import Color
from rich.segment import Segment
from rich.style import Style

__all__ = ["Canvas"]

_PLAIN = Style()


class Canvas:
    """A rectangle of cells: a character, its style, and the colour behind it.

    Args:
        columns, rows: how many.
    """

    def __init__(self, columns: int, rows: int) -> None:
        self.columns = columns
        self.rows = rows
        self._texts = [[" "] * columns for _ in range(rows)]
        self._styles = [[_PLAIN] * columns for _ in range(rows)]
        self._shades: list[list[str | None]] = [[None] * columns for _ in range(rows)]
        self._edges: list[dict[int, tuple[str, Style, str | None]]] = [{} for _ in range(rows)]

    def put(self, row: int, column: int, text: str, style: Style) -> None:
        """Paint one character over what is there."""
        if 0 <= row < self.rows and 0 <= column < self.columns:
            self._texts[row][column] = text
            self._styles[row][column] = style

    def put_all(self, cells: Iterable[tuple[int, int, str]], style: Style) -> None:
        """Paint characters, which are inside."""
        texts, styles = self._texts, self._styles
        for row, column, text in cells:
            texts[row][column] = text
            styles[row][column] = style

    def put_behind(self, row: int, column: int, text: str, style: Style) -> None:
        """Paint a character where there is nothing, not even a shade."""
        if self._texts[row][column] == " " and self._shades[row][column] is None and column not in self._edges[row]:
            self._texts[row][column] = text
            self._styles[row][column] = style

    def put_words(self, row: int, column: int, text: str, style: Style) -> None:
        """Paint words to the right of a cell."""
        for place, character in enumerate(text):
            self.put(row, column + place, character, style)

    def shade(self, row: int, column: int, color: str) -> None:
        """Colour what is behind a cell."""
        self._shades[row][column] = color
        self._edges[row].pop(column, None)

    def shade_part(self, row: int, column: int, text: str, style: Style, color: str | None) -> None:
        """Shade a part of a cell: a character where nothing is painted over it, else ``color`` behind what is."""
        if self._shades[row][column] is None:
            self._edges[row][column] = (text, style, color)

    def segments(self, row: int) -> list[Segment]:
        """One row, as few segments as its styles allow."""
        texts, styles, shades = self._texts[row], self._styles[row], self._shades[row]
        for column, (text, style, color) in self._edges[row].items():
            if texts[column] == " ":
                texts[column], styles[column] = text, style
            else:
                shades[column] = color
        result = []
        start = 0
        for (style, shade), run in groupby(zip(styles, shades, strict=True)):
            end = start + sum(1 for _ in run)
            result.append(Segment("".join(texts[start:end]), _shaded(style, shade)))
            start = end
        return result


@lru_cache(maxsize=1024)
def _shaded(style: Style, shade: str | None) -> Style:
    return style if shade is None else style + Style(bgcolor=Color.parse(shade))
