"""The Runs mode: every run in a table, and loss and throughput of those that are marked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import ClassVar

from textual.app import ComposeResult
from textual.timer import Timer

from tui.keys import Mode
from tui.screens.chart_choices import ChartChoices
from tui.theme import STATE_MARKS, state_color
from tui.view.exported import Exported
from tui.view.palette import colors_of
from tui.view.run_cells import Look
from tui.view.run_charts import Drawn, newest_x, x_extent
from tui.view.run_filter import RunFilter, parse
from tui.view.run_row import RunRow
from tui.view.run_table import SORT_KEYS, RowMaker, arrange, columns_of, is_descending_first
from tui.view.run_words import counts_of, detail_of, empty_title, first_steps, share_height, why_empty
from tui.view.snapshot import EMPTY, Snapshot
from tui.view.table import Row
from tui.widgets.chart_pair import ChartPair
from tui.widgets.empty_state import EmptyState
from tui.widgets.filter_line import FilterLine
from tui.widgets.line_of_words import LineOfWords
from tui.widgets.live_table import LiveTable
from tui.widgets.title_words import TitleWords

__all__ = ["RunsScreen"]

METRICS = ("loss", "samples_per_s")

MOST_DRAWN = 16
"""So many runs are read and drawn here, however many are marked."""

TINY_HEIGHT = 10

PAUSE_S = 0.2
"""The cursor must rest so long before a run's event lines are opened."""


class RunsScreen(ChartChoices):
    """The first thing one sees."""

    MODE = Mode.RUNS
    AUTO_FOCUS = "LiveTable"
    ESCAPE_TO_MINIMIZE = False
    ALLOW_IN_MAXIMIZED_VIEW: ClassVar[str | None] = "TopBar, KeyBar, FilterLine, LineOfWords"
    DEFAULT_CSS = """
    RunsScreen {
        & #runs-table { height: 1fr; border: round $border; border-title-color: $foreground; }
        & #runs-table:focus { border: round $primary; }
        & #runs-empty { display: none; border: round $border; }
        & #runs-detail { color: $text-muted; }
        & #runs-dossier { display: none; color: $text-muted; }
        &.-with-dossier #runs-dossier { display: block; }
        & #runs-problem { display: none; background: $panel; height: auto; max-height: 3; }
        & ChartPair { display: none; }
        &.-empty #runs-table, &.-empty #runs-detail, &.-empty #runs-dossier, &.-empty ChartPair { display: none; }
        &.-empty #runs-empty { display: block; }
        &.-with-charts ChartPair { display: block; }
        &.-with-problem #runs-problem { display: block; }
        &.-filtering #runs-detail, &.-tiny.-with-problem #runs-detail { display: none; }
        &.-filtering #runs-dossier, &.-tiny #runs-dossier { display: none; }
        &.-tiny #runs-table, &.-tiny #runs-table:focus { border: none; scrollbar-size: 0 0; }
        &.-tiny #runs-problem { max-height: 1; }
        &.-ascii #runs-table, &.-ascii #runs-empty { border: ascii $border; }
        &.-ascii #runs-table:focus { border: ascii $primary; }
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self._snapshot: Snapshot = EMPTY
        self._filter: RunFilter = parse("")
        self._sort: str | None = None
        self._is_inverted = False
        self._begins_at: str | None = None
        self._has_begun = False
        self._shown: tuple[RunRow, ...] = ()
        self._colors: Mapping[str, str] = {}
        self._watched: tuple[str, ...] = ()
        self._drawn_states: tuple[object, ...] = ()
        self._rest: Timer | None = None
        self._before_filter: str | None = None

    def compose_body(self) -> ComposeResult:
        """Problem, table or how to begin, the run under the cursor or the filter, two charts."""
        is_ascii = self.session.is_ascii
        self.set_class(is_ascii, "-ascii")
        self._look = Look(marks=STATE_MARKS, color_of=state_color, is_ascii=is_ascii)
        self._maker = RowMaker(self._look)
        yield LineOfWords(id="runs-problem", is_ascii=is_ascii, is_wrapped=True)
        table = LiveTable(columns_of(()), id="runs-table", is_ascii=is_ascii)
        self._border = TitleWords(table, is_ascii=is_ascii)
        yield table
        yield EmptyState(id="runs-empty")
        yield LineOfWords(id="runs-detail", is_ascii=is_ascii)
        yield LineOfWords(id="runs-dossier", is_ascii=is_ascii)
        yield FilterLine(placeholder="words  strategy:ddp  world_size>=2  loss<0.5  -state:failed  pinned")
        yield ChartPair(METRICS)

    def on_mount(self) -> None:
        """What was read before the screen was opened stands in its first picture."""
        if self.feed.snapshot.revision:
            self.show_snapshot(self.feed.snapshot)

    @property
    def table(self) -> LiveTable:
        """The runs."""
        return self.query_one(LiveTable)

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Other runs, other figures."""
        super().show_snapshot(snapshot)
        self._snapshot = snapshot
        self._colors = colors_of(snapshot.rows)
        if snapshot.revision and not snapshot.num_unread:
            self.session.marked[:] = [tag for tag in self.session.marked if tag in snapshot.by_tag]
        self._arrange()
        if self._states_drawn() != self._drawn_states:
            self.draw_charts()

    def show_curves(self) -> None:
        """Curves have grown."""
        if self._watched:
            self.draw_charts()

    def show_all(self) -> None:
        """Everything anew; another mode may have gone to another run and watched other curves."""
        current = self.session.current
        super().show_all()
        if self.table.move_to(current):
            self.session.current = current
        self._arrange()
        self._watch()

    def open_for(self, tag: str | None, rank: int | None) -> None:  # noqa: ARG002 - a table of runs has no ranks
        """Go to a run."""
        self.table.move_to(tag)

    def targets(self) -> tuple[str, ...]:
        """The marked runs, else the one under the cursor."""
        if self.session.marked:
            return tuple(self.session.marked)
        key = self.table.cursor_key
        return () if key is None else (key,)

    def copied(self) -> str:
        """The id of the run under the cursor."""
        row = self._snapshot.row(self.table.cursor_key)
        return "" if row is None else row.id

    def exported(self) -> Exported:
        """The shown runs with raw values, and the charts."""
        names = tuple(field.name for field in fields(RunRow))
        rows = tuple(tuple(_plain(getattr(row, name)) for name in names) for row in self._shown)
        return Exported(name=self.MODE.value, columns=names, rows=rows, charts=self.query_one(ChartPair).specs)

    def draw_charts(self) -> None:
        """Loss and throughput of what is drawn; nothing where there is no room for them."""
        self._drawn_states = self._states_drawn()
        if self.has_class("-with-charts"):
            rows = self._rows_drawn()
            empty = why_empty(rows, is_read=all(self.feed.curves(row.tag) is not None for row in rows))
            self.query_one(ChartPair).draw(self._drawn(), self.session, self._colors, empty)

    def chart_extent(self) -> tuple[float, float] | None:
        """Over all that is drawn."""
        return x_extent(self._drawn(), self.session.x_axis)

    def newest_x(self, seen: tuple[float, float]) -> float | None:
        """Of the first chart."""
        return newest_x(self._drawn(), METRICS[0], self.session.x_axis, seen)

    def action_back(self) -> None:
        """Zoom, filter, inspection, view: one at a time, the last opened first."""
        session = self.session
        if self.maximized is not None:
            self.minimize()
        elif not self._filter.is_empty:
            self._apply("")
        elif session.is_inspecting:
            self.action_inspect()
        elif session.x_range is not None:
            self.action_reset_view()

    def action_open(self) -> None:
        """The charts of the run under the cursor."""
        if self.table.cursor_key is not None:
            self.port.go(Mode.CHARTS.value, self.table.cursor_key)

    def action_filter(self) -> None:
        """Type a filter."""
        self._before_filter = self.table.cursor_key
        self.add_class("-filtering")
        self.query_one(FilterLine).open_with(self._filter.text)
        self._hint()

    def action_mark(self) -> None:
        """Mark the run under the cursor, or take the mark away, and go on."""
        key, marked = self.table.cursor_key, self.session.marked
        if key is None:
            return
        (marked.remove if key in marked else marked.append)(key)
        self.table.action_cursor_down()
        self._marks_changed()

    def action_mark_all(self) -> None:
        """Mark all shown runs; where all are, none."""
        marked = self.session.marked
        new = [row.tag for row in self._shown if row.tag not in set(marked)]
        shown = {row.tag for row in self._shown}
        self.session.marked[:] = [*marked, *new] if new else [tag for tag in marked if tag not in shown]
        self._marks_changed()

    def action_sort_next(self) -> None:
        """The next column."""
        self._sort_by(SORT_KEYS[(SORT_KEYS.index(self._sort) + 1) % len(SORT_KEYS)])

    def action_sort_previous(self) -> None:
        """The column before."""
        self._sort_by(SORT_KEYS[SORT_KEYS.index(self._sort) - 1])

    def action_invert(self) -> None:
        """The other way round."""
        self._is_inverted = not self._is_inverted
        self._arrange()

    def on_live_table_moved(self, message: LiveTable.Moved) -> None:
        """The cursor is on another run: it is told at once, and drawn once the cursor rests."""
        message.stop()
        if self.table.cursor_key == self.session.current:
            return
        self.session.current = self.table.cursor_key
        self._show_detail()
        if self._rest is not None:
            self._rest.stop()
        self._rest = self.set_timer(PAUSE_S, self._watch)

    def on_live_table_opened(self, message: LiveTable.Opened) -> None:
        """A double click."""
        message.stop()
        self.action_open()

    def on_live_table_header_clicked(self, message: LiveTable.HeaderClicked) -> None:
        """Sort by that column; once more turns it around."""
        message.stop()
        if message.key == self._sort:
            self.action_invert()
        elif message.key in SORT_KEYS:
            self._sort_by(message.key)

    def on_filter_line_changed(self, message: FilterLine.Changed) -> None:
        """Preview."""
        message.stop()
        self._apply(message.text)

    def on_filter_line_closed(self, message: FilterLine.Closed) -> None:
        """Kept, or as it was: then the cursor is where it was, too."""
        message.stop()
        self.remove_class("-filtering")
        self._apply(message.text)
        if message.is_restored:
            self.table.move_to(self._before_filter)
        self.table.focus()

    def on_resize(self) -> None:
        """Other heights; in a few lines the rows are worth more than what stands around them."""
        self.set_class(self.size.height < TINY_HEIGHT, "-tiny")
        self._share_height()
        self.call_after_refresh(self._title)

    def _arrange(self) -> None:
        """Filter, sort, and show."""
        snapshot, session = self._snapshot, self.session
        sections = arrange(self._filter.select(snapshot.rows), self._sort, is_inverted=self._is_inverted)
        self._shown = tuple(row for section in sections for row in section.rows)
        rows = self._maker.make(sections, snapshot, session.marked, self._colors)
        if not rows and snapshot.rows:
            rows = [Row("section none", (("no run matches the filter", "text-muted"),), is_section=True)]
        table = self.table
        table.set_columns(columns_of(snapshot.rows))
        is_descending = is_descending_first(self._sort) is not self._is_inverted
        table.set_sort(self._sort, is_descending=is_descending)
        if self._begins_at is None:
            self._begins_at = session.current or ""
        table.set_rows(rows)
        if not self._has_begun:
            active = next((row.tag for row in self._shown if row.is_active), None)
            table.move_to(self._begins_at or active)
            self._has_begun = bool(snapshot.rows) and not snapshot.num_unread  # of a large folder all must be there
        self._show_words()
        self._share_height()

    def _show_words(self) -> None:
        snapshot = self._snapshot
        is_empty = not snapshot.rows
        if is_empty is not self.has_class("-empty"):
            self.set_class(is_empty, "-empty")
            if not is_empty:
                self.call_after_refresh(self.table.focus)
        if is_empty:
            steps = (
                ()
                if snapshot.read_s is None or snapshot.num_unread or snapshot.problem
                else first_steps(is_readonly=self.session.is_readonly)
            )
            self.query_one(EmptyState).show(empty_title(snapshot, self.session.results), steps)
        self.set_class(bool(snapshot.problem), "-with-problem")
        mark = "!" if self.session.is_ascii else "⚠"
        self.query_one("#runs-problem", LineOfWords).show(((f"{mark} {snapshot.problem}", "warning bold"),))
        self._title()
        self._show_detail()
        self._hint()

    def _show_detail(self) -> None:
        snapshot = self._snapshot
        run = snapshot.row(self.table.cursor_key)
        place = snapshot.queue.index(run.tag) + 1 if run is not None and run.tag in snapshot.queue else None
        said = () if run is None else detail_of(run, place, self._look)
        self.query_one("#runs-detail", LineOfWords).show(said)
        hung = () if run is None or not run.dossier else (("where it hung", ""), (run.dossier, "foreground"))
        self.set_class(bool(hung), "-with-dossier")
        self.query_one("#runs-dossier", LineOfWords).show(hung)

    def _title(self) -> None:
        """Counts, filter and queue above; marks, hidden sorting and what is still to be read below."""
        snapshot = self._snapshot
        above = [("queue held", "warning bold")] if snapshot.is_held else []
        if not self._filter.is_empty:
            above.append((f"/{self._filter.text}  {len(self._shown)} of {len(snapshot.rows)}", "accent"))
        above += counts_of(snapshot.rows, self._look, is_short=self.has_class("-narrow"))
        below = []
        if self._sort is not None and self._sort not in self.table.shown_columns:
            below.append((f"sorted by {self._sort}", "text-muted"))
        if marked := len(self.session.marked):
            below.append((f"{marked} marked{f', {MOST_DRAWN} drawn' if marked > MOST_DRAWN else ''}", "primary"))
        if snapshot.num_unread:
            below.append((f"reading {snapshot.num_unread} more", "warning"))
        self._border.show(tuple(above), tuple(below))

    def _hint(self) -> None:
        line = self.query_one(FilterLine)
        if line.is_open:
            notices = self._filter.notices
            number = f"{len(self._shown)} of {len(self._snapshot.rows)}"
            line.set_hint(notices[0] if notices else number, is_warning=bool(notices))

    def _apply(self, text: str) -> None:
        axes = {axis for row in self._snapshot.rows for axis in row.axes}
        self._filter = parse(text, sorted(axes))
        self._arrange()

    def _sort_by(self, key: str | None) -> None:
        self._sort, self._is_inverted = key, False
        self._arrange()

    def _marks_changed(self) -> None:
        self._arrange()
        self._watch()

    def _watch(self) -> None:
        """Read and draw what the session says."""
        self._watched = self.session.drawn()[:MOST_DRAWN]
        self.feed.watch_curves(self._watched)
        self.draw_charts()

    def _rows_drawn(self) -> list[RunRow]:
        return [row for tag in self._watched if (row := self._snapshot.row(tag)) is not None]

    def _drawn(self) -> Drawn:
        return [(row, curves) for row in self._rows_drawn() if (curves := self.feed.curves(row.tag)) is not None]

    def _states_drawn(self) -> tuple[object, ...]:
        return tuple((row.tag, row.state, row.attempt) for row in self._rows_drawn())

    def _num_problem_lines(self) -> int:
        return self.query_one("#runs-problem", LineOfWords).num_lines(self.size.width)

    def _share_height(self) -> None:
        height = self.size.height - 3 - (self._num_problem_lines() if self.has_class("-with-problem") else 0)
        charts = share_height(height, len(self.table.rows)) if self._snapshot.rows else 0
        had_charts = self.has_class("-with-charts")
        self.set_class(charts > 0, "-with-charts")
        box = self.query_one(ChartPair)
        if charts and (box.styles.height is None or box.styles.height.value != charts):
            box.styles.height = charts
        if charts and not had_charts:
            self.draw_charts()


def _plain(value: object) -> object:
    """A value that a table can hold: ``strategy=ddp; world_size=2`` instead of a mapping."""
    return "; ".join(f"{name}={one}" for name, one in value.items()) if isinstance(value, Mapping) else value
