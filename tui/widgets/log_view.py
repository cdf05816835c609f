"""The lines of a log, as far down as they go: only what is seen is read, and only what is different is painted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.widget import Widget

from engine.logbook.files import FileName
from engine.logbook.page import LogLine
from engine.logbook.scan import Shown
from engine.logbook.text import MAX_LISTED_CHARS
from tui.view.log_rows import rows_to_end
from tui.widgets.log_line_strips import LineLook
from tui.widgets.log_row_painter import LogRows

__all__ = ["LogView"]

_SIDE_STEP = 16


class LogView(LogRows):
    """Lines with a pointer. It follows the end until one goes up, and says how many lines came since.

    ``show`` gives it lines, ``look`` makes it see that there are more.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        Binding("pageup,b", "move_page(-1)", show=False),
        Binding("pagedown,space", "move_page(1)", show=False),
        Binding("home,g", "first", show=False),
        Binding("end,G", "follow", show=False),
        Binding("left", "side(-1)", show=False),
        Binding("right", "side(1)", show=False),
    ]

    class Moved(Message):
        """The pointer stands on another line."""

    class Opened(Message):
        """A line was chosen with the mouse."""

    def __init__(self, *, is_ascii: bool = False, id: str | None = None) -> None:  # noqa: A002 - Textual's word
        super().__init__(is_ascii=is_ascii, id=id)
        self._shift = 0
        self._count_at_leaving = 0
        self._is_moving = False

    # What is shown.

    @property
    def look_of_lines(self) -> LineLook:
        """How lines are shown; set it to show them in another way."""
        return self._strips.look

    @look_of_lines.setter
    def look_of_lines(self, look: LineLook) -> None:
        if look != self._strips.look:
            self._strips.set_look(look)
            self._settle()
            self.refresh()

    def show(self, shown: Shown, *, pointer: int | None = None) -> None:
        """Show other lines; ``pointer`` is the place to stand on, None to stay about where one stood."""
        if shown.page is not self._shown.page:
            self._strips.forget()
        self._shown, self._shift, self._count = shown, shown.shift, len(shown)
        self._count_at_leaving = self._count
        if pointer is not None:
            self.pointer = pointer
        self._settle()
        self.refresh()

    def look(self) -> None:
        """See what is new: only rows that are different are painted."""
        self._frame = None
        shift, count = self._shown.shift - self._shift, len(self._shown)
        if shift:
            self._shift += shift
            self._count_at_leaving += shift
            self.pointer += shift
            with self._moving():
                self.scroll_to(y=self.scroll_offset.y + shift, animate=False, force=True)
        if count < self._count_at_leaving:
            self._count_at_leaving = count
        self._count = count
        self._settle()
        self._refresh_changed()

    def _settle(self) -> None:
        """Bring the pointer, the scroll position and the words of the border in line with the number of lines."""
        last = max(self._count - 1, 0)
        self.pointer = last if self.is_following else min(max(self.pointer, 0), last)
        with self._moving():
            self.set_reactive(Widget.virtual_size, Size(0, self._count + self._num_beyond()))  # needs no new layout
            if self.is_following:
                self.scroll_to(y=self.max_scroll_y, animate=False, force=True)
            elif self.is_mounted:
                self._bring_into_sight()
        self._say_where()

    def current(self, max_chars: int = MAX_LISTED_CHARS) -> LogLine | None:
        """The line that the pointer stands on."""
        return self._shown.page.line(self._shown.position(self.pointer), max_chars) if self._count else None

    @property
    def position(self) -> int | None:
        """Where the pointer's line stands on the page; None for the end."""
        return None if self.is_following or not self._count else self._shown.position(self.pointer)

    def lines(self, limit: int) -> Iterator[tuple[FileName, str]]:
        """Whose they are and the texts of the last ``limit`` shown lines, as they were read."""
        if self._shown.scan is None:
            yield from self._shown.page.all_lines(limit)
            return
        for place in range(max(self._count - limit, 0), self._count):
            line = self._line(place)
            if line is not None:
                yield line.name, line.text

    # Going about.

    def go(self, place: int) -> None:
        """Put the pointer on a line, and leave the end."""
        self._leave_end()
        place = min(max(place, 0), max(self._count - 1, 0))
        if place != self.pointer:
            self.pointer = place
            self.post_message(self.Moved())
        with self._moving():
            self._bring_into_sight()
        self._say_where()
        self._refresh_changed()

    def stand_on(self, position: int) -> None:
        """Put the pointer on the line at a position of the page, or on the next shown one."""
        self.go(self._shown.place_of(position))

    def action_move(self, num_lines: int) -> None:
        """Move the pointer."""
        if num_lines < 0 or not self.is_following:
            self.go(self.pointer + num_lines)

    def action_move_page(self, direction: int) -> None:
        """Move the pointer by what is seen."""
        self.action_move(direction * max(len({row.place for row, _ in self._rows()}) - 1, 1))

    def action_first(self) -> None:
        """Go to the first line."""
        self.go(0)

    def action_follow(self) -> None:
        """Go to the end and stay there."""
        self.is_following = True
        self._settle()
        self.post_message(self.Moved())
        self._refresh_changed()

    def action_side(self, direction: int) -> None:
        """Move the view sideways."""
        widths = [self._strips.text(line).cell_length for _, line in self._rows() if line]
        furthest = max(max(widths, default=0) - self._text_width, 0)
        column = min(max(self._column + direction * _SIDE_STEP, 0), max(furthest, 0) if direction > 0 else 1 << 30)
        if column != self._column and not self.is_wrapped:
            self._column = column
            self.refresh()

    def toggle_wrap(self) -> None:
        """Wrap long lines, or cut them."""
        self.is_wrapped = not self.is_wrapped
        self._column = 0
        self._settle()
        self.refresh()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Scrolled by the mouse: the pointer stays in sight, and going up leaves the end."""
        if round(old_value) == round(new_value):
            return
        self.refresh(self.size.region)
        if self._is_moving:
            return
        if new_value < old_value and new_value < self.max_scroll_y:  # at the end it is but more room that has come
            self._leave_end()
        places = [row.place for row, _ in self._rows()]
        if places and not self.is_following:
            pointer = min(max(self.pointer, places[0]), places[-1])
            if pointer != self.pointer:
                self.pointer = pointer
                self.post_message(self.Moved())
        self._say_where()

    def on_click(self, event: events.Click) -> None:
        """Go to the line; a second click opens it."""
        y = event.get_content_offset(self)
        rows = self._rows()
        if y is not None and y.x == self._viewport.width - 1:  # on the scroll bar
            self.go(self._count * y.y // max(self._viewport.height, 1))
            return
        if y is None or not 0 <= y.y < len(rows):
            return
        is_again = rows[y.y][0].place == self.pointer and event.chain > 1
        self.go(rows[y.y][0].place)
        if is_again:
            self.post_message(self.Opened())

    def _leave_end(self) -> None:
        if self.is_following:
            self.is_following = False
            self._count_at_leaving = self._count

    def _bring_into_sight(self) -> None:
        """Scroll as little as shows the whole of the pointer's line."""
        rows = [row for row, _ in self._rows()]
        num_seen = sum(row.place == self.pointer for row in rows)
        if not rows or num_seen >= min(self._num_rows(self.pointer), self._viewport.height):
            return
        top = self.pointer
        if top > rows[0].place:
            above = rows_to_end(self._num_rows, self.pointer + 1, self._viewport.height)
            top = min((row.place for row in above if row.part == 0), default=top)
        self.scroll_to(y=top, animate=False, force=True)

    @contextmanager
    def _moving(self) -> Iterator[None]:
        was_moving, self._is_moving = self._is_moving, True
        try:
            yield
        finally:
            self._is_moving = was_moving

    def on_resize(self) -> None:
        """Other rows."""
        self._settle()
        self.refresh()

    def on_focus(self) -> None:
        """The pointer's row looks different."""
        self.refresh()

    def on_blur(self) -> None:
        """The pointer's row looks different."""
        self.refresh()

    def _say_where(self) -> None:
        count, num_new = self._count, max(self._count - self._count_at_leaving, 0)
        if self.is_following:
            words = "FOLLOW"
        else:
            words = f"{self.pointer + 1:,} / {count:,}" if count else ""
            words = f"+{num_new:,} lines · {words}" if num_new else words
        page = self._shown.page
        if not page.is_open and page.num_bytes:
            words += f" · {100 * page.progress:.0f}% read"
        self.set_class(self.is_following, "-following")
        self.set_class(not self.is_following and num_new > 0, "-behind")
        self.set_subtitle(words)
