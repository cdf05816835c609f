"""One chart: drawn elsewhere, kept as strips, and only what differs is painted anew."""

from __future__ import annotations

import os
from typing import Any, ClassVar, cast

from rich.style import Style
from textual import events
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from tui.charts.look import ASCII, UNICODE, Look
from tui.charts.memory import ChartMemory
from tui.charts.picture import EMPTY, Picture, changed_regions
from tui.view.chart import ChartSpec, Reading, extent_of, nearest
from tui.view.ports import ScreenApp
from tui.view.span import Span, zoom

__all__ = ["Chart"]

_WHEEL_FACTOR = 0.8
_REACH = 0.02


def _draw_beside(*arguments: Any, **named: Any) -> Picture:
    """Draw on the painter's thread, which also loads what draws: the first paint waits for neither."""
    from tui.charts.draw import draw

    return draw(*arguments, **named)


class Chart(Widget, can_focus=True):
    """A chart of lines. What it shows is given; keys are the business of the screen it stands on.

    It draws a frame around itself, with the title in the upper and the x axis in the lower edge; where it is given a
    border by CSS, it leaves the frame to that.
    """

    DEFAULT_CSS = """
    Chart {
        height: 1fr; width: 1fr; color: $foreground;
        & > .chart--frame { color: $border; }
        & > .chart--frame-focused { color: $primary; }
        & > .chart--title { color: $foreground; text-style: bold; }
        & > .chart--title-focused { color: $primary; text-style: bold; }
        & > .chart--label { color: $text-muted; }
        & > .chart--value { color: $foreground; }
        & > .chart--grid { color: $border; }
        & > .chart--cursor { color: $text-muted; }
        & > .chart--warning { color: $warning; text-style: bold; }
    }
    """
    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "chart--frame",
        "chart--frame-focused",
        "chart--title",
        "chart--title-focused",
        "chart--label",
        "chart--value",
        "chart--grid",
        "chart--cursor",
        "chart--warning",
    }

    class Zoomed(Message):
        """The wheel was turned: show this range of x, or all where it is None."""

        def __init__(self, chart: Chart, x_range: Span | None) -> None:
            super().__init__()
            self.chart = chart
            self.range = x_range

        @property
        def control(self) -> Chart:
            """The chart."""
            return self.chart

    class Pointed(Message):
        """A place was clicked."""

        def __init__(self, chart: Chart, x: float) -> None:
            super().__init__()
            self.chart = chart
            self.x = x

        @property
        def control(self) -> Chart:
            """The chart."""
            return self.chart

    def __init__(self, spec: ChartSpec | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._spec = spec
        self._picture = EMPTY
        self._memory = ChartMemory()
        self._asked: object = None

    @property
    def spec(self) -> ChartSpec | None:
        """What is shown."""
        return self._spec

    def show(self, spec: ChartSpec) -> None:
        """Show a chart; it is drawn unless it looks as the one before, or is not seen."""
        self._spec = spec
        self._draw()

    def readings(self, x: float) -> tuple[Reading, ...]:
        """Return the raw value of each line at its point nearest to ``x``; None where a line has none there."""
        if self._spec is None:
            return ()
        shown = self.shown_range() or (0.0, 0.0)
        places = [(line, nearest(line, x, (shown[1] - shown[0]) * _REACH)) for line in self._spec.lines]
        return tuple(
            Reading(
                label=line.label,
                color=line.color,
                x=None if place is None else line.x[place],
                y=None if place is None else line.y[place],
            )
            for line, place in places
        )

    def x_extent(self) -> Span | None:
        """From where to where there is data; None without any."""
        return None if self._spec is None else extent_of(self._spec.lines)

    def shown_range(self) -> Span | None:
        """What of x is asked for, else what was drawn, else all data."""
        if self._spec is not None and self._spec.x_range is not None:
            return self._spec.x_range
        return self._picture.x_range or self.x_extent()

    def render_line(self, y: int) -> Strip:
        """A row of the last picture; while another size is being drawn, as much of it as fits."""
        if y >= len(self._picture.rows):
            return Strip.blank(self.size.width, self.rich_style)
        return self._picture.rows[y].adjust_cell_length(self.size.width, self.rich_style)

    def on_resize(self) -> None:
        """Draw in the new size; the old picture stays until that is there."""
        self._draw()

    def on_show(self) -> None:
        """It came into sight."""
        self._draw()

    def on_focus(self) -> None:
        """The frame says so."""
        self._draw()

    def on_blur(self) -> None:
        """The frame says so."""
        self._draw()

    def notify_style_update(self) -> None:
        """Another theme has other colours."""
        super().notify_style_update()
        if self.is_mounted:
            self._draw()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Closer."""
        self._zoom(event, _WHEEL_FACTOR)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Farther."""
        self._zoom(event, 1 / _WHEEL_FACTOR)

    def on_click(self, event: events.Click) -> None:
        """Point at a place."""
        x = self._x_at(event)
        if x is not None:
            event.stop()
            self.post_message(self.Pointed(self, x))

    def _zoom(self, event: events.MouseEvent, factor: float) -> None:
        x, shown, extent = self._x_at(event), self.shown_range(), self.x_extent()
        if x is None or shown is None or extent is None:
            return
        event.stop()
        self.post_message(self.Zoomed(self, zoom(shown, extent, factor, x)))

    def _x_at(self, event: events.MouseEvent) -> float | None:
        place = event.get_content_offset(self)
        return None if place is None else self._picture.x_at(place.x)

    def _draw(self) -> None:
        width, height = self.size
        if self._spec is None or not self.is_attached or not self.display or not width or not height:
            return
        spec, look, memory = self._spec, self._look(), self._memory
        asked = (_content(spec), self.size, look)
        if asked == self._asked:
            return
        self._asked = asked
        painter = cast("ScreenApp", self.app).painter
        painter.paint(self, lambda: _draw_beside(spec, width, height, look=look, memory=memory), self._take)

    def _take(self, picture: Picture) -> None:
        """A picture has come: paint the parts of rows that differ."""
        old, self._picture = self._picture, picture
        if not self.is_attached:
            return
        regions = changed_regions(old, picture)
        if regions is None:
            self.refresh()
        elif regions:
            self.refresh(*regions)

    def _look(self) -> Look:
        focused = "-focused" if self.has_focus else ""
        session = cast("ScreenApp", self.app).session
        is_ascii = session.is_ascii or os.environ.get("TERM") == "linux"
        is_ansi = self.app.native_ansi_color
        return Look(
            glyphs=ASCII if is_ascii else UNICODE,
            frame=self._style(f"frame{focused}"),
            title=self._style(f"title{focused}"),
            label=self._style("label"),
            value=self._style("value"),
            grid=self._style("label") + Style(dim=True) if is_ansi else self._style("grid"),
            cursor=self._style("cursor"),
            warning=self._style("warning"),
            base=Style(color=self.rich_style.color, bgcolor=self.rich_style.bgcolor),
            background=None if is_ansi else self.background_colors[1].rgb,
            is_dark=self.app.current_theme.dark,
            has_frame=not any(edge[0] for edge in (self.styles.border_top, self.styles.border_left)),
        )

    def _style(self, name: str) -> Style:
        """Only the whole style of a component knows what ``$text-muted`` comes to on this background."""
        whole = self.get_component_rich_style(f"chart--{name}")
        return Style(color=whole.color, bold=whole.bold, dim=whole.dim)


def _content(spec: ChartSpec) -> tuple[object, ...]:
    """Equal for specs that are drawn alike. Columns only grow, so a column and how much of it counts say what it holds.

    The columns themselves are part of it, compared by identity: while it is kept no other can take their place.
    """
    lines = tuple(
        (
            line.label,
            line.color,
            line.num_points,
            line.is_dashed,
            line.has_markers,
            line.best,
            *map(_Same, (line.x, line.y, line.low, line.high)),
        )
        for line in spec.lines
    )
    return (
        spec.key, spec.title, spec.x_label, spec.y_label, spec.is_log, spec.smoothing, spec.x_range, spec.y_range,
        spec.cursor_x, spec.x_format, spec.y_format, spec.x_ticks, spec.notes, spec.empty_text, lines,
    )  # fmt: skip


class _Same:
    """Equal to another only if both hold the very same object."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self._value is other._value

    def __hash__(self) -> int:
        return id(self._value)
