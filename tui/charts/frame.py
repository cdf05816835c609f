"""What stands around the canvas: labels, and a frame whose lower edge is the x axis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from rich.segment import Segment

from tui.charts.axes import Axis
from tui.charts.look import Look

__all__ = ["Frame"]

_ROOM = 2
"""Between the name of the axis and a tick."""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """The rows of a chart below its head.

    Attributes:
        width: of all.
        columns: of the canvas, which ends at the right edge.
        look: colours and characters.
    """

    width: int
    columns: int
    look: Look

    @property
    def canvas_left(self) -> int:
        """The first column of the canvas."""
        return self.width - self.columns - self.look.has_frame

    def y_labels(self, axis: Axis, row_of: Callable[[float], int]) -> dict[int, str]:
        """The labels by row; of two that would stand in one row the first.

        Args:
            axis: of y.
            row_of: the row of a share of the canvas.
        """
        labels: dict[int, str] = {}
        for tick in axis.ticks:
            share = axis.share(tick.value)
            if -1e-9 <= share <= 1 + 1e-9:
                labels.setdefault(row_of(share), tick.label)
        return labels

    def body_row(self, canvas: list[Segment], label: str) -> list[Segment]:
        """A row of the canvas with what stands beside it."""
        room = self.canvas_left - self.look.has_frame - 1
        edge = [Segment(self.look.glyphs.vertical, self.look.frame)] if self.look.has_frame else []
        return [*edge, Segment(f"{label[:room].rjust(room)} ", self.look.label), *canvas, *edge]

    def foot_row(self, axis: Axis, name: str) -> list[Segment]:
        """The x axis: ticks where there is room, its name at the right."""
        look, glyphs = self.look, self.look.glyphs
        line = glyphs.horizontal if look.has_frame else " "
        inner = self.width - 2 * look.has_frame
        words = self._foot_words(axis, name, inner)
        row = [Segment(glyphs.corners[2], look.frame)] if look.has_frame else []
        at = 0
        for start, word in words:
            row += [Segment(line * (start - at), look.frame), Segment(word, look.label)]
            at = start + len(word)
        row.append(Segment(line * (inner - at), look.frame))
        return [*row, Segment(glyphs.corners[3], look.frame)] if look.has_frame else row

    def _foot_words(self, axis: Axis, name: str, inner: int) -> list[tuple[int, str]]:
        """From the left: column inside of the frame, and words. The name goes as far right as there is room."""
        space = " " * self.look.has_frame
        end = inner - 1 if self.look.has_frame else inner
        placed = self._placed_ticks(axis, end)
        name = f"{space}{name}{space}"
        left = placed[-1][0] + len(placed[-1][1]) if placed else 0
        if not name.strip():
            return placed
        if left + _ROOM <= end - len(name):
            return [*placed, (end - len(name), name)]
        for before, after in reversed([*pairwise(placed)]):
            room = after[0] - before[0] - len(before[1])
            if room >= len(name) + 2 * _ROOM:
                return sorted([*placed, (after[0] - (room + len(name)) // 2, name)])
        return placed

    def _placed_ticks(self, axis: Axis, end: int) -> list[tuple[int, str]]:
        """Those that do not run into each other."""
        space = " " * self.look.has_frame
        placed: list[tuple[int, str]] = []
        left = 0
        for tick in axis.ticks:
            label = f"{space}{tick.label}{space}"
            middle = self.canvas_left - self.look.has_frame + int(axis.share(tick.value) * self.columns)
            start = min(max(middle - len(label) // 2, 0), end - len(label))
            if start >= left:
                placed.append((start, label))
                left = start + len(label) + 1
        return placed
