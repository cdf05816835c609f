"""Rank by time in colours: one row per rank, one column per bucket of time."""

from __future__ import annotations

from typing import Any, ClassVar

from rich.style import Style
from textual.binding import Binding, BindingType
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from tui.view.rank_view import RanksView
from tui.widgets.heat_lines import ASCII_SHADES, SHADES, HeatLines, HeatLook

__all__ = ["FOOT", "MAX_ROWS_PER_RANK", "HeatMap"]

MAX_ROWS_PER_RANK = 5
FOOT = 2
"""The time axis and the scale."""


class HeatMap(Widget, can_focus=True):
    """Shows a ``Grid``; repaints only the rows that changed.

    Args:
        is_ascii: plain characters only.
    """

    DEFAULT_CSS = """
    HeatMap {
        background: $background; color: $foreground;
        & > .heat-map--axis { color: $text-muted; }
        & > .heat-map--label { color: $text-muted; }
        & > .heat-map--marked { color: $primary; text-style: bold; }
        & > .heat-map--cursor { color: $accent; text-style: bold; }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "heat-map--axis",
        "heat-map--label",
        "heat-map--marked",
        "heat-map--cursor",
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "scroll_ranks(-1)", "up", show=False),
        Binding("down,j", "scroll_ranks(1)", "down", show=False),
        Binding("pageup", "scroll_ranks(-8)", "page up", show=False),
        Binding("pagedown", "scroll_ranks(8)", "page down", show=False),
        Binding("home", "scroll_ranks(-100000)", "first", show=False),
        Binding("end", "scroll_ranks(100000)", "last", show=False),
    ]
    ALLOW_SELECT = False

    class Resized(Message):
        """Another number of buckets fits."""

    def __init__(self, *, is_ascii: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self._is_ascii = is_ascii
        self._view: RanksView | None = None
        self._marked: int | None = None
        self._top = 0
        self._strips: list[Strip] = []

    @property
    def num_buckets(self) -> int:
        """Columns that fit."""
        return max(self.size.width - self._label_width() - 1, 1)

    @property
    def shown_ranks(self) -> tuple[int, ...]:
        """The ranks in sight."""
        if self._view is None:
            return ()
        per_row, rows_per_rank = self._shape()
        rows = -(-max(self.size.height - FOOT, 0) // rows_per_rank)
        return self._view.grid.ranks[self._top * per_row : (self._top + rows) * per_row]

    def show(self, view: RanksView | None, marked: int | None) -> None:
        """Show this map; ``marked`` is the rank under the cursor of the table, which is kept in sight."""
        is_other = marked != self._marked
        self._view, self._marked = view, marked
        if is_other:
            self._bring_into_sight()
        self._repaint()
        if view is not None and view.grid.num_buckets not in (0, self.num_buckets) and self.size.width:
            self.post_message(self.Resized())  # the labels of other ranks are wider or narrower

    def action_scroll_ranks(self, rows: int) -> None:
        """Show other ranks."""
        self._show_from(self._top + rows)

    def on_mouse_scroll_down(self) -> None:
        """The wheel scrolls the ranks."""
        self._show_from(self._top + 1)

    def on_mouse_scroll_up(self) -> None:
        """The wheel scrolls the ranks."""
        self._show_from(self._top - 1)

    def on_resize(self) -> None:
        """Another number of buckets may fit."""
        self._bring_into_sight()
        self._strips = []
        self._repaint()
        if self._view is not None and self._view.grid.num_buckets not in (0, self.num_buckets):
            self.post_message(self.Resized())

    def notify_style_update(self) -> None:
        """Another theme."""
        super().notify_style_update()
        self._strips = []

    def render_line(self, y: int) -> Strip:
        """One line of what is in sight."""
        if not self._strips:
            self._strips = self._paint()
        return self._strips[y] if y < len(self._strips) else Strip.blank(self.size.width, self.rich_style)

    def _repaint(self) -> None:
        strips = self._paint()
        if len(strips) != len(self._strips):
            self._strips = strips
            self.refresh()
            return
        before, self._strips = self._strips, strips
        for y, (new, old) in enumerate(zip(strips, before, strict=True)):
            if new != old:
                left, right = _changed_span(old, new)
                self.refresh(Region(left, y, right - left, 1))

    def _paint(self) -> list[Strip]:
        """All lines of what is in sight."""
        width, height = self.size
        if self._view is None or not self._view.grid.ranks or width < 4 or height < 1:
            return [Strip.blank(width, self.rich_style)] * height
        per_row, rows_per_rank = self._shape()
        paint, num_ranks = self._lines(self._view), len(self._view.grid.ranks)
        lines = []
        for y in range(max(height - FOOT, 1)):
            first = (self._top + y // rows_per_rank) * per_row
            places = range(first, min(first + per_row, num_ranks))
            lines.append(paint.row(places, per_row, y % rows_per_rank, rows_per_rank))
        lines += [paint.axis(), paint.legend()]
        return [Strip(line).adjust_cell_length(width, self.rich_style) for line in lines[:height]]

    def _shape(self) -> tuple[int, int]:
        """Ranks per text row, and text rows per rank."""
        num_ranks = len(self._view.grid.ranks) if self._view is not None else 0
        rows = max(self.size.height - FOOT, 1)
        if num_ranks > rows:
            return (2 if self._has_colors else 1), 1
        return 1, min(max(rows // max(num_ranks, 1), 1), MAX_ROWS_PER_RANK)

    def _show_from(self, top: int) -> None:
        if self._view is None:
            return
        per_row, _ = self._shape()
        most = -(-len(self._view.grid.ranks) // per_row) - max(self.size.height - FOOT, 1)
        self._top = min(max(top, 0), max(most, 0))
        self._repaint()

    def _bring_into_sight(self) -> None:
        if self._view is None:
            return
        per_row, rows_per_rank = self._shape()
        rows = max(self.size.height - FOOT, 1)
        top = self._top if rows_per_rank == 1 else 0
        if self._marked in self._view.grid.ranks:
            place = self._view.grid.ranks.index(self._marked) // per_row
            top = min(max(top, place - rows + 1), place) if rows_per_rank == 1 else 0
        self._show_from(top)

    @property
    def _has_colors(self) -> bool:
        is_rich = self.app.console.color_system in ("truecolor", "256")
        return is_rich and not self.app.no_color and not self._is_ascii

    def _label_width(self) -> int:
        ranks = self._view.grid.ranks if self._view is not None else ()
        digits = len(str(max(ranks, default=0)))
        return max(2 * digits + 1 if self._view is not None and self._shape()[0] == 2 else digits, 3) + 1

    def _lines(self, view: RanksView) -> HeatLines:
        is_ascii = self._is_ascii
        look = HeatLook(
            base=self.rich_style,
            axis=self._part("axis"),
            label=self._part("label"),
            marked=self._part("marked"),
            cursor=self._part("cursor"),
            shades="" if self._has_colors else ASCII_SHADES if is_ascii else SHADES,
            is_ascii=is_ascii,
        )
        return HeatLines(view, self._marked, look, self.size.width, self._label_width())

    def _part(self, name: str) -> Style:
        return self.get_component_rich_style(f"heat-map--{name}")


def _changed_span(old: Strip, new: Strip) -> tuple[int, int]:
    """From the first cell that is different to behind the last; every character is one cell wide here."""
    befores, afters = ([(char, s.style) for s in strip for char in s.text] for strip in (old, new))
    places = [place for place, pair in enumerate(zip(befores, afters, strict=False)) if pair[0] != pair[1]]
    return (places[0], places[-1] + 1) if places else (0, new.cell_length)
