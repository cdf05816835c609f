"""The keys that alter how charts are drawn, for screens that show charts beside something else."""

from __future__ import annotations

from textual import events

from tui.screens.base import ModeScreen
from tui.view.session import SMOOTHINGS, X_AXES
from tui.view.span import zoomed

__all__ = ["ChartChoices"]

_CURSOR_STEPS = 50
"""The arrow keys take the inspection cursor over what is seen in so many steps."""


class ChartChoices(ModeScreen):
    """Each choice stands in the session, so that all modes draw alike."""

    def draw_charts(self) -> None:
        """Draw anew, as the session says."""
        raise NotImplementedError

    def chart_extent(self) -> tuple[float, float] | None:
        """From where to where the data goes along x; None without data."""
        raise NotImplementedError

    def newest_x(self, seen: tuple[float, float]) -> float | None:
        """Where in sight the newest value stands of the chart that is looked at; None without one."""
        raise NotImplementedError

    def action_x_axis(self) -> None:
        """Step, time, samples; what is seen of one says nothing of another."""
        session = self.session
        session.x_axis = X_AXES[(X_AXES.index(session.x_axis) + 1) % len(X_AXES)]
        session.x_range = session.cursor_x = None
        self._place_cursor()
        self.draw_charts()

    def action_log_axis(self) -> None:
        """Logarithmic y, or linear."""
        self.session.is_log = not self.session.is_log
        self.draw_charts()

    def action_smooth(self) -> None:
        """The next weight."""
        session = self.session
        place = SMOOTHINGS.index(session.smoothing) if session.smoothing in SMOOTHINGS else -1
        session.smoothing = SMOOTHINGS[(place + 1) % len(SMOOTHINGS)]
        self.draw_charts()

    def action_band(self) -> None:
        """Repeats one by one, or their mean and range."""
        self.session.is_banded = not self.session.is_banded
        self.draw_charts()

    def action_inspect(self) -> None:
        """Put the inspection cursor on, or take it off."""
        self.session.is_inspecting = not self.session.is_inspecting
        self._place_cursor()
        self.draw_charts()

    def action_zoom_in(self) -> None:
        """Half of what is seen."""
        self._zoom(is_in=True)

    def action_zoom_out(self) -> None:
        """Twice of what is seen."""
        self._zoom(is_in=False)

    def action_reset_view(self) -> None:
        """All of it."""
        self.session.x_range = None
        self.draw_charts()

    def on_key(self, event: events.Key) -> None:
        """The arrows move the inspection cursor where nobody else wants them."""
        if self.session.is_inspecting and event.key in ("left", "right"):
            event.stop()
            self._move_cursor(-1 if event.key == "left" else 1)

    def _zoom(self, *, is_in: bool) -> None:
        whole = self.chart_extent()
        if whole is not None:
            center = self.session.cursor_x if self.session.is_inspecting else None
            self.session.x_range = zoomed(self.session.x_range, whole, is_in=is_in, center=center)
            self.draw_charts()

    def _place_cursor(self) -> None:
        """The first time it stands at the newest value."""
        seen = self.session.x_range or self.chart_extent()
        if self.session.is_inspecting and self.session.cursor_x is None and seen is not None:
            newest = self.newest_x(seen)  # the edge may be another metric's, or empty
            self.session.cursor_x = seen[1] if newest is None else newest

    def _move_cursor(self, direction: int) -> None:
        seen = self.session.x_range or self.chart_extent()
        if seen is not None:
            self._place_cursor()
            moved = (self.session.cursor_x or 0.0) + direction * (seen[1] - seen[0]) / _CURSOR_STEPS
            self.session.cursor_x = min(max(moved, seen[0]), seen[1])
            self.draw_charts()
