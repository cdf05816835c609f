"""A drawn chart: strips, and where in it the canvas lies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
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
        start = _num_equal(list(before), list(after))
        if start < new.width:
            end = new.width - _num_equal(_mirrored(before), _mirrored(after))
            regions.append(Region(start, y, max(end - start, 1), 1))
    return regions


def _mirrored(row: Iterable[Segment]) -> list[Segment]:
    return [Segment(segment.text[::-1], segment.style) for segment in reversed([*row])]


def _num_equal(before: Sequence[Segment], after: Sequence[Segment]) -> int:
    """How many cells are equal from the left on: same characters, same styles."""
    equal = 0
    at = [0, 0]  # segment of each row
    used = [0, 0]  # characters of it
    while at[0] < len(before) and at[1] < len(after):
        one, other = before[at[0]], after[at[1]]
        if one.style != other.style:
            break
        texts = one.text[used[0] :], other.text[used[1] :]
        shorter = min(map(len, texts))
        same = next((i for i, (a, b) in enumerate(zip(*texts, strict=False)) if a != b), shorter)
        equal += cell_len(texts[0][:same])
        if same < shorter:
            break
        for side, text in enumerate(texts):
            used[side] += same
            if same == len(text):
                at[side], used[side] = at[side] + 1, 0
    return equal
