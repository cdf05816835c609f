"""The Compare mode: speedup, efficiency and throughput against world size, and the table behind them."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from engine.analysis.published import Published, read_reference
from engine.analysis.scaling import PointRow
from tui.keys import Mode
from tui.output import strip_escapes
from tui.screens.base import ModeScreen
from tui.view.chart import ChartSpec
from tui.view.compare_choices import CompareChoices
from tui.view.compared import CHARTS, device_span, format_figure, make_charts, matching
from tui.view.compared_table import detail_lines, export_columns, export_rows, point_columns, point_rows
from tui.view.comparison import Comparison
from tui.view.exported import Exported
from tui.view.snapshot import Snapshot
from tui.view.span import Span
from tui.widgets.chart import Chart
from tui.widgets.empty_state import EmptyState
from tui.widgets.filter_line import FilterLine
from tui.widgets.live_table import LiveTable

__all__ = ["CompareScreen"]

WIDE, TALL = 100, 30
FRAME = 2
DETAIL_SHORT, DETAIL_TALL = 3, 8


class CompareScreen(ModeScreen):
    """Charts, table and what is to be known of one experiment."""

    MODE = Mode.COMPARE
    AUTO_FOCUS: ClassVar[str | None] = "LiveTable"

    DEFAULT_CSS = """
    CompareScreen {
        & > #charts { height: 1fr; min-height: 6; }
        & > #charts > Chart { width: 1fr; display: none; }
        & > #charts > Chart.-shown { display: block; }
        & > LiveTable, & > #detail {
            border: round $border; border-title-color: $text-muted; border-subtitle-color: $text-muted;
        }
        & > LiveTable:focus, & > #detail:focus { border: round $primary; border-title-color: $primary; }
        & > #detail { height: 8; padding: 0 1; scrollbar-size: 1 1; }
        & > #detail > Static { width: 1fr; height: auto; }
        &.-ascii > LiveTable, &.-ascii > #detail { border: ascii $border; }
        &.-ascii > LiveTable:focus, &.-ascii > #detail:focus { border: ascii $primary; }
        &.-short > #detail { height: 3; border: none; padding: 0 2; }
        &.-tiny > #charts, &.-tiny > #detail { display: none; }
        &.-tiny > LiveTable { border: none; }
        & > EmptyState { display: none; }
        &.-empty > #charts, &.-empty > LiveTable, &.-empty > #detail { display: none; }
        &.-empty > EmptyState { display: block; }
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self._experiment: str | None = None
        self._current: str | None = None
        self._choices = CompareChoices()
        self._published = Published()
        self._points: list[PointRow] = []
        self._titles: dict[str, tuple[str, str]] = {}

    def compose_body(self) -> ComposeResult:
        """Charts, table, detail; or why there is nothing."""
        is_ascii = self.session.is_ascii
        self.set_class(is_ascii, "-ascii")
        yield EmptyState()
        with Horizontal(id="charts"):
            for name in CHARTS:
                yield Chart(id=name)
        yield LiveTable(is_ascii=is_ascii)
        with VerticalScroll(id="detail") as detail:
            detail.border_title = "notes"
            yield Static("", markup=False)
        yield FilterLine(placeholder="words of a point, -word to leave out")

    @property
    def _comparison(self) -> Comparison | None:
        """Of the shown experiment; the feed may still have the one before."""
        found = self.feed.comparison()
        return found if found is not None and found.experiment == self._experiment else None

    @property
    def _names(self) -> list[str]:
        """Experiments, in the order of the results folder."""
        snapshot = self.feed.snapshot
        return list(dict.fromkeys([row.experiment for row in snapshot.rows] + [e.name for e in snapshot.experiments]))

    def targets(self) -> tuple[str, ...]:
        """The runs of the point under the cursor; without one, all of the experiment."""
        rows = [row for row in self.feed.snapshot.rows if row.experiment == self._experiment]
        key = self.query_one(LiveTable).cursor_key
        return tuple(row.tag for row in rows if key is None or row.point == key)

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Another experiment may be due, or more of its runs have finished."""
        super().show_snapshot(snapshot)
        names, current = self._names, snapshot.row(self.session.current)
        if current is not None and self.session.current != self._current:
            self._choose(current.experiment)
        elif self._experiment not in names:
            self._choose(names[0] if names else None)
        self._current = self.session.current
        self.feed.watch_comparison(self._experiment)
        self.show_comparison()

    def _choose(self, experiment: str | None) -> None:
        if experiment != self._experiment:
            self._experiment, self._choices.seen = experiment, None

    def show_comparison(self) -> None:
        """Charts, table and detail anew."""
        comparison = self._comparison
        if comparison is None or not any(point.n for point in comparison.points):
            self._show_nothing(comparison)
            return
        self.set_class(False, "-empty")
        self._points = matching(comparison.points, self._choices.words)
        self._published = read_reference(comparison.reference, comparison.points, format_figure)
        self._lay_out()
        self._show_table()
        self._show_charts(comparison)
        self._show_detail()

    def _show_nothing(self, comparison: Comparison | None) -> None:
        self._points = []
        self.set_class(True, "-empty")
        steps = [("6", "plan and launch runs")]
        if self._experiment is None:
            title = "There is no experiment to compare."
        elif comparison is None:
            title, steps = f"Reading the runs of {self._experiment}.", []
        elif comparison.problem:
            title = comparison.problem
        else:
            title = f"{self._experiment}: {self._finished}; none has succeeded, so there is nothing to compare yet."
            steps = [("1", "its runs"), ("]", "next experiment")]
        self.query_one(EmptyState).show(title, steps)

    @property
    def _finished(self) -> str:
        """``2 of 6 runs finished``."""
        rows = [row for row in self.feed.snapshot.rows if row.experiment == self._experiment]
        return f"{sum(row.is_terminal for row in rows)} of {len(rows)} runs finished"

    def _specs(self, comparison: Comparison) -> tuple[ChartSpec, ...]:
        return make_charts(
            comparison,
            self._points,
            self._published,
            source=self._choices.source,
            is_log=self._choices.is_log,
            x_range=self._choices.seen,
        )

    def _show_charts(self, comparison: Comparison) -> None:
        shown = self._choices.charts(is_wide=self._is_wide)
        for name, spec in zip(CHARTS, self._specs(comparison), strict=True):
            chart = self.query_one(f"#{name}", Chart)
            chart.set_class(name in shown, "-shown")
            if name in shown:
                chart.show(replace(spec, x_label=""))  # it would stand where the largest size does

    def _show_table(self) -> None:
        table, source = self.query_one(LiveTable), self._choices.source
        columns = point_columns(self._points, source, self._published, has_intervals=self._is_wide)
        table.set_columns(columns)
        comparison = self._comparison
        everything = comparison.points if comparison is not None else ()
        rows = point_rows(
            self._points,
            source,
            self._published,
            columns,
            everything=everything,
            is_ascii=self.session.is_ascii,
        )
        table.set_rows(rows)
        names = self._names
        place = f" ({names.index(self._experiment) + 1} of {len(names)})" if self._experiment in names else ""
        some = f"{len(self._points)} of {len(everything)} points: {self._choices.words}" if self._choices.words else ""
        title = f"{self._experiment}{place if len(names) > 1 else ''}  {self._finished}"
        self._set_titles(table, title, some)

    def _show_detail(self) -> None:
        comparison = self._comparison
        if comparison is None:
            return
        key = self.query_one(LiveTable).cursor_key
        point = next((point for point in self._points if point.point == key), None)
        text = Content("\n").join(
            Content.assemble((strip_escapes(head), "dim"), "  ", strip_escapes(words))
            for head, words in detail_lines(point, self._choices.source, self._published, comparison)
        )
        label = self.query_one("#detail > Static", Static)
        if label.content != text:
            label.update(text)

    def _set_titles(self, widget: Widget, title: str, subtitle: str) -> None:
        """Setting a title repaints the whole widget: only where it is another."""
        key = type(widget).__name__
        if self._titles.get(key) != (title, subtitle):
            self._titles[key] = (title, subtitle)
            widget.border_title = Content(strip_escapes(title)).markup
            widget.border_subtitle = Content(strip_escapes(subtitle)).markup

    def _lay_out(self) -> None:
        """The table takes what its points need, at most half; the charts the rest."""
        height = self.size.height - 2
        self.set_class(height < 14, "-tiny")
        detail = DETAIL_SHORT if self.size.height < TALL else DETAIL_TALL
        room = max((height - detail) // 2, FRAME + 2)
        table = self.query_one(LiveTable)
        table.styles.height = "1fr" if height < 14 else min(len(self._points) + 1 + FRAME, room)

    def on_resize(self) -> None:
        """Other charts and columns may fit."""
        if self._points or self._choices.words:
            self.show_comparison()

    def on_live_table_moved(self) -> None:
        """Another point."""
        self._show_detail()

    def on_live_table_opened(self) -> None:
        """Two clicks."""
        self.action_open()

    def on_chart_zoomed(self, message: Chart.Zoomed) -> None:
        """The wheel was turned over a chart."""
        self._choices.seen = message.range
        self.show_comparison()

    def on_filter_line_changed(self, message: FilterLine.Changed) -> None:
        """Preview."""
        self._choices.words = message.text
        self.show_comparison()

    def on_filter_line_closed(self, message: FilterLine.Closed) -> None:
        """The words hold from now on."""
        self._choices.words = message.text
        self.query_one(LiveTable).focus()
        self.show_comparison()

    def action_open(self) -> None:
        """Mark the runs of the point and see their charts."""
        tags = self.targets()
        if self._points and tags:
            self.session.marked[:] = tags
            self.session.current = tags[0]
            self._current = tags[0]
            self.port.go(Mode.CHARTS.value)

    def action_filter(self) -> None:
        """Type words."""
        self.query_one(FilterLine).open_with(self._choices.words)

    def action_previous_one(self) -> None:
        """The experiment before."""
        self._go_by(-1)

    def action_next_one(self) -> None:
        """The next experiment."""
        self._go_by(1)

    def _go_by(self, number: int) -> None:
        names = self._names
        if names:
            place = names.index(self._experiment) + number if self._experiment in names else 0
            self._choose(names[place % len(names)])
            self.show_snapshot(self.feed.snapshot)

    def action_x_axis(self) -> None:
        """Speedup from steady throughput, or from total time."""
        self._choices.next_source()
        self.show_comparison()

    def action_log_axis(self) -> None:
        """Logarithmic y, or linear."""
        self._choices.is_log = not self._choices.is_log
        self.show_comparison()

    def action_cycle(self) -> None:
        """The next figure alone; where there is room for three, all of them again after the last."""
        self._choices.cycle(is_wide=self._is_wide)
        self.show_comparison()

    def action_zoom_in(self) -> None:
        """Fewer sizes in the same room."""
        self._choices.zoom(self._whole, is_in=True)
        self.show_comparison()

    def action_zoom_out(self) -> None:
        """More sizes in the same room."""
        self._choices.zoom(self._whole, is_in=False)
        self.show_comparison()

    def action_pan_left(self) -> None:
        """Smaller sizes."""
        self._choices.pan(self._whole, -1)
        self.show_comparison()

    def action_pan_right(self) -> None:
        """Larger sizes."""
        self._choices.pan(self._whole, 1)
        self.show_comparison()

    def action_reset_view(self) -> None:
        """All sizes."""
        self._choices.seen = None
        self.show_comparison()

    def action_back(self) -> None:
        """Leave the large pane, then the filter, the zoom, the single chart."""
        if self.maximized is not None:
            self.minimize()
        else:
            self._choices.leave()
            self.show_comparison()

    @property
    def _whole(self) -> Span:
        return device_span(self._points, self._published)

    @property
    def _is_wide(self) -> bool:
        return self.size.width >= WIDE

    def exported(self) -> Exported:
        """The table, raw, and the three charts."""
        comparison = self._comparison
        if comparison is None or not self._points:
            return Exported(name="compare")
        name = "compare-" + "".join(c if c.isalnum() else "-" for c in comparison.experiment)
        return Exported(
            name=name,
            columns=export_columns(self._published),
            rows=export_rows(self._points, self._published),
            charts=self._specs(comparison),
        )

    def copied(self) -> str:
        """The row under the cursor."""
        table = self.query_one(LiveTable)
        return table.text_of(table.cursor_key)
