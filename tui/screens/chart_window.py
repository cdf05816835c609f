"""Zoom, pan and inspection of charts that grow: one window on x for all of them."""

from __future__ import annotations

from tui.screens.chart_choices import ChartChoices
from tui.view.charts_words import is_at_end
from tui.view.span import Span, follow, pan, zoom
from tui.widgets.chart import Chart

__all__ = ["ChartWindow"]


class ChartWindow(ChartChoices):
    """The window stands in the session; a window at the newest point goes on with it, any other stays."""

    def __init__(self) -> None:
        super().__init__()
        self.extent: Span | None = None

    def is_live(self) -> bool:
        """Whether more data is to come."""
        raise NotImplementedError

    def dot_columns(self) -> int:
        """Over how many columns of dots the window is drawn."""
        raise NotImplementedError

    def follow_data(self) -> None:
        """Look from where to where the data goes now, and move the window where it goes along."""
        whole = self.chart_extent()
        if whole is not None:
            self.session.x_range = follow(self.session.x_range, self.extent, whole)
        self.extent = whole

    def action_pan_left(self) -> None:
        """Earlier."""
        self._pan(-1)

    def action_pan_right(self) -> None:
        """Later."""
        self._pan(1)

    def on_chart_zoomed(self, message: Chart.Zoomed) -> None:
        """The wheel zooms all charts."""
        message.stop()
        self.session.x_range = message.range
        self.draw_charts()

    def on_chart_pointed(self, message: Chart.Pointed) -> None:
        """A click puts the inspection cursor on all charts."""
        message.stop()
        self.session.is_inspecting, self.session.cursor_x = True, message.x
        self.draw_charts()

    def _zoom(self, *, is_in: bool) -> None:
        """By two: around the inspection cursor, else at the end where that grows, else around the middle."""
        session, whole = self.session, self.extent
        if whole is None:
            return
        seen = session.x_range or whole
        anchor = (seen[0] + seen[1]) / 2
        if session.is_inspecting and session.cursor_x is not None:
            anchor = session.cursor_x
        elif self.is_live() and is_at_end(session.x_range, whole):
            anchor = seen[1]
        session.x_range = zoom(seen, whole, 0.5 if is_in else 2.0, anchor)
        self.draw_charts()

    def _pan(self, direction: int) -> None:
        session = self.session
        if session.is_inspecting:
            self._move_cursor(direction)
        elif self.extent is not None and session.x_range is not None:
            session.x_range = pan(session.x_range, self.extent, direction / 4)
            self.draw_charts()

    def _move_cursor(self, direction: int) -> None:
        """By one column of dots."""
        session = self.session
        seen = session.x_range or self.extent
        if seen is None:
            return
        self._place_cursor()
        step = (seen[1] - seen[0]) / max(self.dot_columns(), 1)
        session.cursor_x = min(max((session.cursor_x or 0.0) + direction * step, seen[0]), seen[1])
        self.draw_charts()
