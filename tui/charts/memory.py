"""What a chart remembers from picture to picture. Only the thread that draws touches it."""

from __future__ import annotations

from collections.abc import Sequence

from tui.charts.backend import DOTS, Cells, raster
from tui.charts.prepare import LineMemory
from tui.charts.strokes import Polyline, split
from tui.charts.trace import Dots
from tui.view.chart import Line

__all__ = ["ChartMemory"]

_PART = 32
"""Columns of cells that are drawn together: where data grows only the last of them are different."""

_Part = tuple[object, Cells]
"""What was to be drawn, and what came of it."""


class ChartMemory:
    """The memories of the lines of a chart, and how each was drawn last; of lines that are gone nothing is kept.

    Attributes:
        label_width: of the y axis, a first guess for the next picture.
    """

    def __init__(self) -> None:
        self.label_width = 5
        self._lines: list[LineMemory] = []
        self._parts: dict[int, dict[int, _Part]] = {}

    def of(self, lines: Sequence[Line]) -> list[LineMemory]:
        """The memories of these lines."""
        known = self._lines
        self._lines = [
            next((memory for memory in known if memory.is_of(line)), None) or LineMemory(line) for line in lines
        ]
        self._parts = {place: parts for place, parts in self._parts.items() if place < len(lines)}
        return self._lines

    def raster(
        self, place: int, polylines: tuple[Dots, ...], size: tuple[int, int], marker: str, *, are_joined: bool
    ) -> list[tuple[int, int, str]]:
        """As ``backend.raster``, but only those parts of a line are drawn again that look different.

        Args:
            place: of the line in its chart.
            polylines: dots.
            size: columns and rows of the canvas.
            marker: as there.
            are_joined: as there.
        """
        columns, rows = size
        across = DOTS.get(marker, (1, 1))[0]
        num_parts = -(-columns // _PART)
        known = self._parts.get(place, {})
        cells: list[tuple[int, int, str]] = []
        fresh: dict[int, _Part] = {}
        for number, lines in enumerate(split(polylines, _PART * across, num_parts)):
            key = (tuple(lines), size, marker, are_joined)
            part = known.get(number)
            if part is None or part[0] != key:
                part = (key, _raster_part(lines, number, rows, marker, are_joined=are_joined))
            fresh[number] = part
            cells += part[1]
        self._parts[place] = fresh
        return [cell for cell in cells if cell[1] < columns]


def _raster_part(lines: Sequence[Polyline], number: int, rows: int, marker: str, *, are_joined: bool) -> Cells:
    """Draw a part with one more column at its left: strokes come in from there."""
    across = DOTS.get(marker, (1, 1))[0]
    shift = (number * _PART - 1) * across
    moved = [[(column - shift, row) for column, row in line] for line in lines]
    cells = raster(moved, _PART + 1, rows, marker, are_joined=are_joined)
    return tuple((row, column + number * _PART - 1, text) for row, column, text in cells if column > 0)
