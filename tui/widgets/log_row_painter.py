"""The rows of a log on the screen: only what is seen is read, and only what is different is painted."""

from __future__ import annotations

from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region, Size
from textual.strip import Strip

from engine.logbook.page import LogLine, LogSelection, Page
from engine.logbook.scan import Shown
from tui.view.log_rows import Row, rows_from, rows_to_end
from tui.widgets.border_words import BorderWords
from tui.widgets.log_line_strips import LineLook, LineStrips

__all__ = ["LogRows"]


class LogRows(BorderWords, can_focus=True):
    """Lines from the scroll position on, one of them with the pointer.

    Attributes:
        is_following: the end is shown, whatever comes.
        pointer: the place of the line that one stands on.
        is_wrapped: long lines take several rows.
        empty_text: what stands there while there is no line.
    """

    DEFAULT_CSS = """
    LogRows {
        border: round $border; border-title-color: $text-muted; border-subtitle-color: $text-muted;
        background: $background; overflow-x: hidden; overflow-y: scroll; scrollbar-size-vertical: 0;
    }
    LogRows:focus { border: round $primary; border-title-color: $primary; }
    LogRows.-following { border-subtitle-color: $success; border-subtitle-style: bold; }
    LogRows.-behind { border-subtitle-color: $warning; }
    LogRows > .log-view--error { color: $error; }
    LogRows > .log-view--warning { color: $warning; }
    LogRows > .log-view--err { color: $secondary; }
    LogRows > .log-view--time { color: $text-muted; }
    LogRows > .log-view--kind { color: $primary; }
    LogRows > .log-view--match { color: $background; background: $accent; }
    LogRows > .log-view--pointer { background: $panel; }
    LogRows > .log-view--pointer-blurred { background: $surface; }
    LogRows > .log-view--pointer-mark { color: $primary; }
    LogRows > .log-view--thumb { color: $border; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        f"log-view--{name}"
        for name in (
            "error",
            "warning",
            "err",
            "time",
            "kind",
            "match",
            "pointer",
            "pointer-blurred",
            "pointer-mark",
            "thumb",
        )
    }

    def __init__(self, *, is_ascii: bool = False, id: str | None = None) -> None:  # noqa: A002 - Textual's word
        super().__init__(id=id)
        self.is_following = True
        self.pointer = 0
        self.is_wrapped = False
        self.empty_text = ""
        self._shown = Shown(Page(LogSelection(), ()))
        self._strips = LineStrips(self._style_of)
        self._strips.set_look(LineLook(is_ascii=is_ascii))
        self._count = 0
        self._column = 0
        self._frame: tuple[object, list[tuple[Row, LogLine | None]]] | None = None
        self._painted: list[object] = []

    def _num_beyond(self) -> int:
        """Rows to scroll beyond the last line: wrapped lines need more than one each."""
        if not self.is_wrapped or not self._count:
            return 0
        height = self._viewport.height
        rows = rows_to_end(self._num_rows, self._count, height)
        num_whole = len({row.place for row in rows if row.part == 0})
        return max(height - max(num_whole, 1), 0) if self._count > num_whole else 0

    @property
    def _viewport(self) -> Size:
        return self.scrollable_content_region.size

    @property
    def _text_width(self) -> int:
        return max(self._viewport.width - self._strips.look.gutter_width - 1, 1)

    def _line(self, place: int) -> LogLine | None:
        return self._shown.page.line(self._shown.position(place)) if 0 <= place < self._count else None

    def _num_rows(self, place: int) -> int:
        if not self.is_wrapped:
            return 1
        line = self._line(place)
        return 1 if line is None else max(-(-self._strips.text(line).cell_length // self._text_width), 1)

    def _rows(self) -> list[tuple[Row, LogLine | None]]:
        """Which line, and which part of it, each row of the screen shows."""
        height, top = self._viewport.height, self.scroll_offset.y
        key = (height, top, self._count, self._text_width)
        if self._frame is None or self._frame[0] != key:
            if self.is_wrapped and self.is_following:
                rows = rows_to_end(self._num_rows, self._count, height)
            else:
                rows = rows_from(self._num_rows, top, self._count, height)
            lines = {place: self._line(place) for place in {row.place for row in rows}}
            self._frame = key, [(row, lines[row.place]) for row in rows]
        return self._frame[1]

    def _refresh_changed(self) -> None:
        self._frame = None
        states = self._states()
        if len(states) != len(self._painted):
            self.refresh()
            return
        width = self._viewport.width
        regions = [Region(0, y, width, 1) for y, state in enumerate(states) if state != self._painted[y]]
        if regions:
            self.refresh(*regions)

    def _states(self) -> list[object]:
        """What tells a painted row from another."""
        known = [
            (row, line and (line.name, line.number, line.end, line.time_s if self._strips.look.has_times else None))
            for row, line in self._rows()
        ]
        thumb = self._thumb()
        return [(state, state[0].place == self.pointer, y in thumb) for y, state in enumerate(known)]

    def _thumb(self) -> range:
        """The rows where the scroll bar's thumb is: drawn with the lines, so that moving it costs a row or two."""
        height, length = self._viewport.height, self.virtual_size.height
        if length <= height:
            return range(0)
        size = max(round(height * height / length), 1)
        top = round((height - size) * min(self.scroll_offset.y / (length - height), 1.0))
        return range(top, top + size)

    def render_lines(self, crop: Region) -> list[Strip]:
        """The rows that are asked for."""
        self._painted = self._states()
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        """One row of the screen."""
        width = self._viewport.width
        rows = self._rows()
        if not self._count and y == min(1, self._viewport.height - 1):
            words = Segment(f"  {self.empty_text}", self._strips.style("time"))
            return Strip([words]).crop_extend(0, width, None).apply_style(self.rich_style)
        row, line = rows[y] if y < len(rows) else (None, None)
        if row is None or line is None:
            return Strip.blank(width, self.rich_style)
        is_pointer = row.place == self.pointer
        gutter = self._strips.gutter(line, is_pointer=is_pointer, is_first_row=row.part == 0)
        start = row.part * self._text_width if self.is_wrapped else self._column
        text = self._strips.text(line).crop_extend(start, start + self._text_width, None)
        strip = Strip.join([gutter, text]).simplify()
        if is_pointer:
            strip = strip.apply_style(self._strips.pointer_style(has_focus=self.has_focus))
        strip = strip.crop_extend(0, width - 1, None)
        thumb = Segment("|" if self._strips.look.is_ascii else "▐", self._strips.style("thumb"))
        strip = Strip.join([strip, Strip([thumb if y in self._thumb() else Segment(" ", Style())], 1)])
        return strip.apply_style(self.rich_style).simplify()

    def _style_of(self, name: str) -> Style:
        """Only what is said of it: what lies below shows through."""
        style = self.get_component_rich_style(f"log-view--{name}")
        has_ground = name in ("match", "pointer", "pointer-blurred")
        has_color = not name.startswith("pointer") or name == "pointer-mark"
        return Style(color=style.color if has_color else None, bgcolor=style.bgcolor if has_ground else None)

    def notify_style_update(self) -> None:
        """Other colours."""
        self._strips.forget()
        super().notify_style_update()

    def refresh(self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False) -> LogRows:
        """Paint anew."""
        self._frame = None
        super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)
        return self
