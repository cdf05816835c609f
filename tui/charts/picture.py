"""A drawn chart: strips, and where in it the canvas lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.segment import Segment
from textual.geometry import Region
from textual.strip import Strip

__all__ = ["EMPTY", "Picture", "changed_regions"]


@dataclass(frozen=True)
class Picture:
    """What is on the screen.

    Attributes:
        rows: from the top.
        width: of the rows, in cells.
        canvas_left, canvas_width: the columns in which lines are drawn; 0 wide where there is no canvas.
        x_range: what of x is shown on the canvas, or None.
    """

    rows: tuple[Strip, ...] = ()
    width: int = 0
    canvas_left: int = 0
    canvas_width: int = 0
    x_range: tuple[float, float] | None = None

    def x_at(self, column: int) -> float | None:
        """The value of x at a column of cells; None beside the canvas."""
        place = column - self.canvas_left
        if self.x_range is None or not 0 <= place < self.canvas_width:
            return None
        low, high = self.x_range
        return low + (high - low) * (place + 0.5) / self.canvas_width


EMPTY = Picture()


def changed_regions(old: Picture, new: Picture) -> list[Region] | None:
    """Return the parts of the rows that differ; None where all is different."""
    if old.width != new.width or len(old.rows) != len(new.rows):
        return None
    regions = []
    for y, (before, after) in enumerate(zip(old.rows, new.rows, strict=True)):
        if before is after:
            continue
        start, end = _changed(list(before), list(after), new.width)
        if start < end:
            regions.append(Region(start, y, end - start, 1))
    return regions


def _changed(before: Sequence[Segment], after: Sequence[Segment], width: int) -> tuple[int, int]:
    """From and to of the cells that differ: what is equal at both ends is left out, whole segments at a time."""
    least = min(len(before), len(after))
    first = next((i for i in range(least) if before[i] != after[i]), least)
    start = sum(segment.cell_length for segment in after[:first])
    last = next((i for i in range(least - first) if before[-1 - i] != after[-1 - i]), least - first)
    end = width - sum(segment.cell_length for segment in after[len(after) - last :])
    return start, end
