"""The Charts mode: every metric of the drawn runs, in a grid whose charts share one x axis."""

from __future__ import annotations

import re
from collections.abc import Mapping

from textual import events
from textual.app import ComposeResult

from tui.keys import Mode
from tui.screens.chart_window import ChartWindow
from tui.view.chart import Reading
from tui.view.chart_pages import GRIDS, fit_grid, next_grid, page_of
from tui.view.chart_text import POINT_COLUMNS, PointRows, describe, last_readings
from tui.view.charts_words import choice_words, empty_words
from tui.view.exported import Exported
from tui.view.palette import colors_of
from tui.view.run_charts import Drawn, legend_of, make_chart, match_metrics, metric_names, newest_x, x_extent
from tui.view.run_row import RunRow
from tui.view.snapshot import Snapshot
from tui.view.span import Span
from tui.widgets.chart_grid import ChartGrid
from tui.widgets.charts_header import ChartsHeader
from tui.widgets.empty_state import EmptyState
from tui.widgets.filter_line import FilterLine

__all__ = ["ChartsScreen"]

MOST_DRAWN = 32
"""So many runs are read and drawn, however many are marked."""


class ChartsScreen(ChartWindow):
    """Draws the marked runs, else the current one."""

    MODE = Mode.CHARTS
    DEFAULT_CSS = """
    ChartsScreen {
        & EmptyState { display: none; }
        &.-empty EmptyState { display: block; }
        &.-empty ChartGrid { display: none; }
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self._wanted = GRIDS[2]
        self._filter = ""
        self._name: str | None = None
        self._is_alone = False
        self._is_opened = False
        self._only: tuple[str, tuple[str, ...]] | None = None
        self._watched: tuple[str, ...] | None = None
        self._states: tuple[tuple[str, str], ...] = ()
        self._names: list[str] = []
        self._page = page_of((), (1, 1), None)

    def compose_body(self) -> ComposeResult:
        """The line above, the charts or why there are none, the filter."""
        yield ChartsHeader(is_ascii=self.session.is_ascii)
        yield ChartGrid()
        yield EmptyState()
        yield FilterLine(placeholder="words or patterns: loss|accuracy gpu")

    @property
    def grid(self) -> ChartGrid:
        """The charts."""
        return self.query_one(ChartGrid)

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Runs have come, gone or changed state."""
        super().show_snapshot(snapshot)
        self._watch()
        states = tuple((row.tag, row.state) for row in snapshot.rows)
        if states != self._states:  # other figures of a row are drawn from its curves, at their own pace
            self._states = states
            self.draw_charts()

    def show_curves(self) -> None:
        """Curves have grown."""
        self.draw_charts()

    def show_all(self) -> None:
        """Everything anew; another mode may have watched other runs."""
        self._watched = None
        super().show_all()

    def on_resize(self, _event: events.Resize) -> None:
        """More or fewer charts fit."""
        self.draw_charts()

    def open_for(self, tag: str | None, rank: int | None) -> None:
        """A run was opened: where others are marked and it is not, it alone is drawn, until esc or other marks."""
        del rank  # charts are of whole runs
        marked = tuple(self.session.marked)
        self._only = (tag, marked) if tag is not None and marked and tag not in marked else None
        self._is_opened = tag is not None
        self.show_all()

    def targets(self) -> tuple[str, ...]:
        """The runs that are drawn, as far as they exist."""
        if self._only is not None and self._only[1] != tuple(self.session.marked):
            self._only = None
        tags = self.session.drawn() if self._only is None else (self._only[0],)
        return tuple(tag for tag in tags if tag in self.feed.snapshot.by_tag)

    def chart_extent(self) -> Span | None:
        """Over all metrics, so that all charts can show the same."""
        return x_extent(self._drawn(), self.session.x_axis)

    def newest_x(self, seen: Span) -> float | None:
        """Of the focused chart."""
        place = self._place()
        return None if place is None else newest_x(self._drawn(), self._page.names[place], self.session.x_axis, seen)

    def is_live(self) -> bool:
        """Whether a drawn run goes on."""
        return any(row.is_active for row in self._rows())

    def dot_columns(self) -> int:
        """Of the focused chart: two in each cell."""
        place = self._place()
        return 1 if place is None else 2 * self.grid.cells[place].size.width

    def draw_charts(self) -> None:
        """Draw the charts of the page as everything stands now; those that are not seen cost nothing."""
        drawn, session = self._drawn(), self.session
        self.follow_data()
        names = metric_names({row.tag: curves for row, curves in drawn})
        self._names = match_metrics(names, self._filter)
        wanted = (1, 1) if self._is_alone else self._wanted
        self._page = page_of(self._names, fit_grid(wanted, self._room(), len(self._names)), self._name)
        colors = colors_of(self.feed.snapshot.rows)
        specs = [make_chart(name, drawn, session, colors) for name in self._page.names]
        self.grid.show(specs, self._page.grid)
        self._show_words(colors, num_metrics=len(names))
        self._hold_focus()

    def exported(self) -> Exported:
        """The charts in sight with all their raw points in sight."""
        names = self._page.names
        rows = PointRows(names, self._drawn(), axis=self.session.x_axis, x_range=self.session.x_range)
        name = f"charts-{re.sub('[^A-Za-z0-9]+', '-', names[0])}" if len(names) == 1 else "charts"
        specs = self.grid.specs
        text = "\n\n".join(describe(spec, self._readings(place)) for place, spec in enumerate(specs))
        return Exported(name=name, columns=POINT_COLUMNS, rows=rows, charts=specs, text=text)

    def copied(self) -> str:
        """The values under the inspection cursor, else the last ones, of the focused chart."""
        place = self._place()
        return "" if place is None else describe(self.grid.specs[place], self._readings(place))

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """The page follows the focus."""
        place = self.grid.place_of(event.widget)
        if place is not None and place < len(self._page.names):
            self._remember(place)

    def on_filter_line_changed(self, message: FilterLine.Changed) -> None:
        """Preview."""
        message.stop()
        self._apply(message.text)

    def on_filter_line_closed(self, message: FilterLine.Closed) -> None:
        """Kept, or as it was."""
        message.stop()
        self._apply(message.text)

    def action_back(self) -> None:
        """Inspection, one chart alone, filter, zoom, one run alone: one at a time; then to where one came from."""
        if self.session.is_inspecting:
            self.action_inspect()
        elif self._is_alone:
            self.action_zoom_pane()
        elif self._filter:
            self._apply("")
        elif self.session.x_range is not None:
            self.action_reset_view()
        elif self._only is not None:
            self._only = None
            self.show_all()
        elif self._is_opened:
            self._is_opened = False
            self.port.go(Mode.RUNS.value)

    def action_open(self) -> None:
        """The focused chart alone."""
        if not self._is_alone:
            self.action_zoom_pane()

    def action_zoom_pane(self) -> None:
        """The focused chart alone, or all of the grid again."""
        self._is_alone = not self._is_alone
        self.draw_charts()

    def action_previous_one(self) -> None:
        """The page before; from the first to the last."""
        self._turn(-1)

    def action_next_one(self) -> None:
        """The next page; from the last to the first."""
        self._turn(1)

    def action_filter(self) -> None:
        """Type a filter."""
        self.query_one(FilterLine).open_with(self._filter)
        self._apply(self._filter)

    def action_cycle(self) -> None:
        """The next grid that looks different here."""
        self._is_alone = False
        self._wanted = next_grid(self._wanted, self._room(), len(self._names))
        self.draw_charts()

    def _watch(self) -> None:
        tags = self.targets()[:MOST_DRAWN]
        if tags != self._watched:
            self._watched = tags
            self.feed.watch_curves(tags)

    def _rows(self) -> list[RunRow]:
        return [self.feed.snapshot.by_tag[tag] for tag in self.targets()[:MOST_DRAWN]]

    def _drawn(self) -> Drawn:
        return [(row, curves) for row in self._rows() if (curves := self.feed.curves(row.tag)) is not None]

    def _room(self) -> tuple[int, int]:
        """Columns and lines for charts: all but the two bars, the line above, and the filter."""
        return self.size.width, self.size.height - 3 - self.query_one(FilterLine).is_open

    def _place(self) -> int | None:
        """Which chart of the page has the focus, or had it."""
        names = self._page.names
        return None if not names else names.index(self._name) if self._name in names else 0

    def _readings(self, place: int) -> tuple[Reading, ...]:
        session, spec = self.session, self.grid.specs[place]
        if session.is_inspecting and session.cursor_x is not None:
            return tuple(self.grid.cells[place].readings(session.cursor_x))
        return last_readings(spec)

    def _apply(self, text: str) -> None:
        self._filter = text
        self.draw_charts()
        self.query_one(FilterLine).set_hint(f"{len(self._names)} found", is_warning=not self._names)

    def _turn(self, direction: int) -> None:
        page = self._page
        num_cells = page.grid[0] * page.grid[1]
        num_pages = -(-page.num_all // num_cells)
        if num_pages > 1:
            place = (page.first // num_cells + direction) % num_pages * num_cells + (self._place() or 0)
            self._name = self._names[min(place, page.num_all - 1)]
            self.draw_charts()

    def _show_words(self, colors: Mapping[str, str], *, num_metrics: int) -> None:
        rows, session = self._rows(), self.session
        choices = choice_words(
            session,
            self._page,
            self.extent,
            filter_text=self._filter,
            is_only=self._only is not None,
            is_alone=self._is_alone,
            num_left_out=len(self.targets()) - len(rows),
            is_live=self.is_live(),
        )
        self.query_one(ChartsHeader).show(self._page.label, legend_of(rows, session, colors), choices)
        self.set_class(not self._page.names, "-empty")
        if not self._page.names:
            are_read = all(self.feed.curves(row.tag) is not None for row in rows)
            is_read = self.feed.snapshot.read_s is not None and are_read
            words = empty_words(rows, num_metrics=num_metrics, filter_text=self._filter, is_read=is_read)
            self.query_one(EmptyState).show(*words)

    def _hold_focus(self) -> None:
        """The focus stays with its metric, on whichever cell that stands now."""
        place = self._place()
        if place is not None and not self.query_one(FilterLine).is_open:
            self._remember(place)
            cell = self.grid.cells[place]
            if self.focused is not cell:
                self.set_focus(cell, scroll_visible=False)

    def _remember(self, place: int) -> None:
        """The first of all is where one begins, not a choice: what comes before it later (loss, after CPU) is shown."""
        is_chosen = self._page.first + place > 0 or self._is_alone or bool(self._filter)
        self._name = self._page.names[place] if is_chosen else None
