"""A table that repaints only the cells that changed: over a slow line a whole table is 21 KB, a row 0.2 KB."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.actions import SkipAction
from textual.binding import Binding, BindingType
from textual.message import Message

from tui.view.table import Column, Row
from tui.widgets.painted_table import PaintedTable
from tui.widgets.table_line import GAP, GUTTER

__all__ = ["Column", "LiveTable", "Row"]


class LiveTable(PaintedTable, inherit_bindings=False):
    """Rows under a fixed header, with a cursor that stays on its row through sorting, filtering and new data.

    ``set_rows`` may be called as often as one likes: what is equal to what was shown before costs nothing. A cell is
    text, ``(text, style)``, a tuple of those, or a rich ``Text``; a style is a theme token (``error``, ``text-muted
    bold``) or ``#rrggbb``. Enter is left to the screen (``action_open``); a double click posts ``Opened``.

    Example:
        table = LiveTable(
            [Column(key="rank", label="rank", width=4, is_right=True), Column(key="state", label="state", width=10)]
        )
        table.set_rows([Row("0", ("0", ("● running", "primary"))), Row("1", ("1", ("✗ failed", "error bold")))])
        table.set_sort("rank", is_descending=False)  # only the mark in the header; sort the rows yourself
        table.cursor_key  # "0"

    Args:
        columns: from left to right.
        is_ascii: plain characters only.
        has_cursor: whether there is a cursor; else the table is only read.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "cursor_up", "up", show=False),
        Binding("down,j", "cursor_down", "down", show=False),
        Binding("pageup,ctrl+u", "page_up", "page up", show=False),
        Binding("pagedown,ctrl+d", "page_down", "page down", show=False),
        Binding("home,g", "cursor_first", "first", show=False),
        Binding("end,G", "cursor_last", "last", show=False),
        Binding("left", "columns_left", "left", show=False),
        Binding("right", "columns_right", "right", show=False),
    ]

    class Moved(Message):
        """The cursor is on another row; ``key`` is None where there is no row."""

        def __init__(self, table: LiveTable, key: str | None) -> None:
            super().__init__()
            self.table = table
            self.key = key

        @property
        def control(self) -> LiveTable:
            """The table."""
            return self.table

    class Opened(Moved):
        """A row was clicked twice."""

    class HeaderClicked(Moved):
        """The header of the column ``key`` was clicked."""

    def cursor_moved(self) -> None:
        """Tell it."""
        self.post_message(self.Moved(self, self.cursor_key))

    def move_to(self, key: str | None) -> bool:
        """Put the cursor on the row of that key; whether there is one."""
        place = self._places.get(key) if key is not None else None
        if place is None or self._rows[place].is_section:
            return False
        self._set_cursor(place)
        return True

    def action_cursor_up(self) -> None:
        """One row up."""
        self._step(-1)

    def action_cursor_down(self) -> None:
        """One row down."""
        self._step(1)

    def action_page_up(self) -> None:
        """One screen up."""
        self._step(-max(self._height - 2, 1))

    def action_page_down(self) -> None:
        """One screen down."""
        self._step(max(self._height - 2, 1))

    def action_cursor_first(self) -> None:
        """To the first row."""
        self._step(-len(self._rows))

    def action_cursor_last(self) -> None:
        """To the last row."""
        self._step(len(self._rows))

    def action_columns_left(self) -> None:
        """Show what is hidden at the left; the key is somebody else's where all columns fit."""
        self._scroll_columns(-8)

    def action_columns_right(self) -> None:
        """Show what is hidden at the right; the key is somebody else's where all columns fit."""
        self._scroll_columns(8)

    def on_click(self, event: events.Click) -> None:
        """A click takes the cursor there, two open the row."""
        offset = event.get_content_offset(self)
        if offset is None:
            return
        if offset.y == 0:
            self._click_header(offset.x + self.scroll_offset.x)
            return
        place = offset.y - 1 + self.scroll_offset.y
        if place < len(self._rows) and not self._rows[place].is_section:
            self._set_cursor(place)
            if event.chain == 2:
                self.post_message(self.Opened(self, self.cursor_key))

    def _step(self, rows: int) -> None:
        if self._has_cursor:
            self._set_cursor(self._nearest(self._cursor + rows, 1 if rows > 0 else -1))
        else:
            self.scroll_relative(y=rows, animate=False)

    def _set_cursor(self, place: int) -> None:
        if place == self._cursor:
            self._show_cursor()
            return
        before, self._cursor = self._cursor, place
        for changed in (before, place):
            self._repaint(changed, 0, self._width)
        self._show_cursor()
        self.cursor_moved()

    def _scroll_columns(self, cells: int) -> None:
        if self.virtual_size.width <= self._width:
            raise SkipAction()
        self.scroll_to(x=self.scroll_offset.x + cells, animate=False, force=True)

    def _click_header(self, x: int) -> None:
        left = GUTTER
        for place, width in self._layout():
            if left <= x < left + width + GAP:
                self.post_message(self.HeaderClicked(self, self._columns[place].key))
                return
            left += width + GAP
