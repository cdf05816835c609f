"""The painting half of a table: lines are kept, and of what changed only the cells that did are sent again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from rich.style import Style
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui.view.table import Column, Row, cell_text, fit_columns
from tui.widgets.table_line import GAP, GUTTER, Styles, header_line, row_line, section_line

__all__ = ["PaintedTable"]

_TOKENS = ("primary", "secondary", "accent", "success", "warning", "error", "text-muted", "foreground")


class PaintedTable(ScrollView, can_focus=True, inherit_bindings=False):
    """Rows under a fixed header, and one row that stands out; who moves it is not its business.

    Args:
        columns: from left to right.
        is_ascii: plain characters only.
        has_cursor: whether a row stands out.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "live-table--header",
        "live-table--sorted",
        "live-table--cursor",
        "live-table--gutter",
        "live-table--section",
        *(f"live-table--{token}" for token in _TOKENS),
    }
    DEFAULT_CSS = """
    PaintedTable {
        background: $background; color: $foreground; scrollbar-size: 1 1;
        scrollbar-background: $background; scrollbar-background-hover: $background;
        scrollbar-background-active: $background; scrollbar-color: $border;
        & > .live-table--header { color: $text-muted; }
        & > .live-table--sorted { color: $primary; text-style: bold; }
        & > .live-table--cursor { background: $panel; }
        & > .live-table--gutter { color: $text-muted; }
        & > .live-table--section { color: $secondary; }
        & > .live-table--primary { color: $primary; }
        & > .live-table--secondary { color: $secondary; }
        & > .live-table--accent { color: $accent; }
        & > .live-table--success { color: $success; }
        & > .live-table--warning { color: $warning; }
        & > .live-table--error { color: $error; }
        & > .live-table--text-muted { color: $text-muted; }
        & > .live-table--foreground { color: $foreground; }
        &:focus > .live-table--cursor { background: $primary 18%; text-style: bold; }
        &:ansi > .live-table--cursor { background: transparent; }
        &:focus > .live-table--gutter { color: $primary; }
    }
    """
    ALLOW_SELECT = False

    def __init__(
        self, columns: Sequence[Column] = (), *, is_ascii: bool = False, has_cursor: bool = True, **options: Any
    ) -> None:
        super().__init__(**options)
        self._columns = tuple(columns)
        self._rows: tuple[Row, ...] = ()
        self._places: dict[str, int] = {}
        self._cursor = -1
        self._has_cursor = has_cursor
        self._is_ascii = is_ascii
        self._sorted: tuple[str, bool] | None = None
        self._fitted: tuple[int, tuple[tuple[int, int], ...]] = (-1, ())
        self._lines: dict[tuple[str, bool], tuple[Row, Strip]] = {}
        self._styles: Styles | None = None

    @property
    def rows(self) -> tuple[Row, ...]:
        """What is shown, with what is out of sight."""
        return self._rows

    @property
    def cursor_key(self) -> str | None:
        """Key of the row under the cursor."""
        return self._rows[self._cursor].key if 0 <= self._cursor < len(self._rows) else None

    @property
    def cursor_row(self) -> Row | None:
        """The row under the cursor."""
        return self._rows[self._cursor] if 0 <= self._cursor < len(self._rows) else None

    @property
    def shown_columns(self) -> tuple[str, ...]:
        """Keys of the columns that fit at the present width."""
        return tuple(self._columns[place].key for place, _ in self._layout())

    def set_columns(self, columns: Sequence[Column]) -> None:
        """Take other columns; does nothing where they are the same."""
        if tuple(columns) != self._columns:
            self._columns = tuple(columns)
            self._redraw()

    def set_sort(self, key: str | None, *, is_descending: bool = False) -> None:
        """Say in the header by which column the rows are sorted."""
        wanted = None if key is None else (key, is_descending)
        if wanted != self._sorted:
            self._sorted = wanted
            self.refresh(Region(0, 0, self._width, 1))

    def set_rows(self, rows: Sequence[Row]) -> None:
        """Show these rows; only cells that are different are repainted."""
        before, cursor_before = self._rows, self._cursor
        self._rows = tuple(rows)
        if len(before) != len(self._rows) or any(
            old.key != new.key for old, new in zip(before, self._rows, strict=True)
        ):
            key = before[cursor_before].key if 0 <= cursor_before < len(before) else None
            self._follow_cursor(key)
        self._repaint_changes(before, cursor_before)
        if len(before) != len(self._rows):
            self._size_up()

    def text_of(self, key: str | None) -> str:
        """A row as text, cells parted by tabs."""
        place = self._places.get(key) if key is not None else None
        return "" if place is None else "\t".join(cell_text(cell).strip() for cell in self._rows[place].cells)

    def on_resize(self) -> None:
        """Other columns may fit, and the cursor must stay in sight."""
        self._size_up()
        self._show_cursor()

    def cursor_moved(self) -> None:
        """The cursor is on another row, or on none."""

    def notify_style_update(self) -> None:
        """Another theme, or focus came or went."""
        super().notify_style_update()
        self._styles = None
        self._redraw()

    def render_line(self, y: int) -> Strip:
        """One line of what is in sight."""
        if self._styles is None:
            self._styles = self._take_styles()
        width = max(self._width, self._needed())
        if y == 0:
            strip = header_line(self._columns, self._layout(), self._sorted, width, self._styles)
        else:
            strip = self._row_strip(y - 1 + self.scroll_offset.y, width)
        left = self.scroll_offset.x
        return strip.crop_extend(left, left + self.size.width, self._styles.base)

    def _row_strip(self, place: int, width: int) -> Strip:
        assert self._styles is not None
        if place >= len(self._rows):
            return Strip.blank(width, self._styles.base)
        row, is_cursor = self._rows[place], self._has_cursor and place == self._cursor
        found = self._lines.get((row.key, is_cursor))
        if found is not None and (found[0] is row or found[0] == row):
            return found[1]
        if row.is_section:
            strip = section_line(row, width, self._styles)
        else:
            strip = row_line(row, self._columns, self._layout(), width, self._styles, is_cursor=is_cursor)
        self._lines[row.key, is_cursor] = (row, strip)
        return strip

    @property
    def _width(self) -> int:
        return self.scrollable_content_region.width

    @property
    def _height(self) -> int:
        return self.scrollable_content_region.height

    def _layout(self) -> tuple[tuple[int, int], ...]:
        width = self._width
        if self._fitted[0] != width:
            self._fitted = (width, fit_columns(self._columns, width - GUTTER, gap=GAP))
            self._lines.clear()
        return self._fitted[1]

    def _needed(self) -> int:
        """How wide the columns are that stay."""
        return GUTTER + sum(width + GAP for _, width in self._layout()) - GAP

    def _redraw(self) -> None:
        self._fitted = (-1, ())
        self._lines.clear()
        if self.is_mounted:
            self._size_up()
        self.refresh()

    def _size_up(self) -> None:
        """Say how large all of it is: wider than the screen only where the columns that stay do not fit."""
        needed = self._needed()
        self.virtual_size = Size(needed if needed > self._width else 0, len(self._rows) + 1)

    def _follow_cursor(self, key: str | None) -> None:
        self._places = {row.key: place for place, row in enumerate(self._rows)}
        if len(self._lines) > 4 * len(self._rows) + 100:
            self._lines.clear()
        place = self._places.get(key) if key is not None else None
        if place is None:
            place = self._nearest(max(self._cursor, 0), 1)
        self._cursor = place
        if self.cursor_key != key:
            self.cursor_moved()
        self.call_after_refresh(self._show_cursor)

    def _nearest(self, place: int, direction: int) -> int:
        """The row at that place, or the nearest that is not a section; -1 where there is none."""
        if not self._rows:
            return -1
        last = len(self._rows) - 1
        place = min(max(place, 0), last)
        ways = (range(place, last + 1), range(place, -1, -1))
        for way in ways if direction > 0 else reversed(ways):
            for candidate in way:
                if not self._rows[candidate].is_section:
                    return candidate
        return -1

    def _show_cursor(self) -> None:
        """Scroll as little as it takes; with the heading over the first row of a section."""
        body = self._height - 1
        if body < 1 or self._cursor < 0 or not self._has_cursor:
            return
        top = self._cursor
        while top > 0 and self._rows[top - 1].is_section and self._cursor - top + 1 < body:
            top -= 1
        if top < self.scroll_offset.y:
            self.scroll_to(y=top, animate=False, force=True)
        elif self._cursor >= self.scroll_offset.y + body:
            self.scroll_to(y=self._cursor - body + 1, animate=False, force=True)

    def _repaint_changes(self, before: tuple[Row, ...], cursor_before: int) -> None:
        top = self.scroll_offset.y
        for place in range(top, top + max(self._height - 1, 0)):
            old = before[place] if place < len(before) else None
            new = self._rows[place] if place < len(self._rows) else None
            was_cursor, is_cursor = place == cursor_before, place == self._cursor
            if old is new and was_cursor == is_cursor:
                continue
            if old is None or new is None or was_cursor != is_cursor or old.key != new.key:
                self._repaint(place, 0, self._width)
            elif old != new:
                self._repaint(place, *self._changed_span(old, new))

    def _changed_span(self, old: Row, new: Row) -> tuple[int, int]:
        """From the first to the last cell that is different: left edge and width."""
        if old.is_section or new.is_section or old.style != new.style or len(old.cells) != len(new.cells):
            return 0, self._width
        left, first, last = GUTTER, None, 0
        for place, width in self._layout():
            if old.cells[place] != new.cells[place]:
                first = left if first is None else first
                last = left + width
            left += width + GAP
        return (0, 0) if first is None else (first - self.scroll_offset.x, last - first)

    def _repaint(self, place: int, x: int, width: int) -> None:
        y = place - self.scroll_offset.y + 1
        if width and 1 <= y < self._height:
            self.refresh(Region(x, y, width, 1))

    def _take_styles(self) -> Styles:
        def of(name: str) -> Style:
            return self.get_component_rich_style(f"live-table--{name}")

        base = self.rich_style
        tokens = {token: Style(color=of(token).color) for token in _TOKENS}
        return Styles(
            base=base,
            header=of("header"),
            sorted=of("sorted"),
            cursor=of("cursor"),
            gutter=of("gutter").color,
            section=of("section"),
            tokens=tokens,
            is_ascii=self._is_ascii,
        )
