"""The Ranks mode: what each rank did, when, and for whom the others waited."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

from textual.app import ComposeResult
from textual.content import Content
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Static

from engine.core.curves import RunCurves
from tui.keys import Mode
from tui.output import strip_escapes
from tui.screens.base import ModeScreen
from tui.theme import STATE_MARKS
from tui.view.exported import Exported
from tui.view.rank_cells import export_columns, export_rows, machine_pieces, rank_columns, rank_table_rows
from tui.view.rank_map import STEP_TIME
from tui.view.rank_view import RanksView, RankViewMaker, Wanted
from tui.view.run_row import RunRow
from tui.view.snapshot import Snapshot
from tui.view.time_view import TimeView
from tui.widgets.empty_state import EmptyState
from tui.widgets.heat_map import FOOT, MAX_ROWS_PER_RANK, HeatMap
from tui.widgets.live_table import LiveTable

__all__ = ["RanksScreen"]

WIDE, TALL = 100, 30
FRAME = 2
"""Lines of a border."""


class RanksScreen(ModeScreen):
    """Heat map, table and machines of one run."""

    MODE = Mode.RANKS
    AUTO_FOCUS: ClassVar[str | None] = "LiveTable"

    DEFAULT_CSS = """
    RanksScreen {
        & > HeatMap, & > LiveTable, & > #machines {
            border: round $border; border-title-color: $text-muted; border-subtitle-color: $text-muted;
        }
        & > HeatMap:focus, & > LiveTable:focus { border: round $primary; border-title-color: $primary; }
        & > LiveTable { height: 1fr; }
        & > #reason { height: 1; text-wrap: nowrap; text-overflow: ellipsis; padding: 0 1; color: $text-muted; }
        & > #reason.-slowest { color: $warning; }
        & > #machines { height: auto; text-wrap: nowrap; text-overflow: ellipsis; padding: 0 1; }
        &.-short > #machines { border: none; padding: 0 1; }
        &.-ascii > HeatMap, &.-ascii > LiveTable, &.-ascii > #machines { border: ascii $border; }
        &.-ascii > HeatMap:focus, &.-ascii > LiveTable:focus { border: ascii $primary; }
        &.-ascii.-short > #machines { border: none; }
        &.-tiny > HeatMap, &.-tiny > #machines { display: none; }
        &.-tiny > LiveTable, &.-tiny.-ascii > LiveTable { border: none; }
        &.-tiniest > #reason { display: none; }
        & > EmptyState { display: none; }
        &.-empty > HeatMap, &.-empty > LiveTable, &.-empty > #reason, &.-empty > #machines { display: none; }
        &.-empty > EmptyState { display: block; }
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self._maker: tuple[str, RunCurves, RankViewMaker] | None = None
        self._asked: object = None
        self._view: RanksView | None = None
        self._quantity = STEP_TIME
        self._time = TimeView()
        self._shown: str | None = None
        self._rank: int | None = None
        self._titles: dict[str, tuple[str, str]] = {}
        self._timer: Timer | None = None

    def compose_body(self) -> ComposeResult:
        """Map, table, why, machines; or why there is nothing."""
        is_ascii = self.session.is_ascii
        self.set_class(is_ascii, "-ascii")
        yield EmptyState()
        yield HeatMap(is_ascii=is_ascii)
        yield LiveTable(is_ascii=is_ascii)
        yield Static("", id="reason", markup=False)
        yield Static("", id="machines", markup=False)

    def on_mount(self) -> None:
        """Ages of last lines grow while the run is active, and only then."""
        self._timer = self.set_interval(1.0, self._tick, pause=True)

    @property
    def shown(self) -> str | None:
        """Tag of the run that is shown: the current one, else the first that is marked."""
        drawn = self.session.drawn()
        return self.session.current or (drawn[0] if drawn else None)

    @property
    def _row(self) -> RunRow | None:
        return self.feed.snapshot.row(self.shown)

    def targets(self) -> tuple[str, ...]:
        """The run that is shown."""
        return () if self.shown is None else (self.shown,)

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Another run may be shown, or it may have ended."""
        super().show_snapshot(snapshot)
        if self.shown != self._shown:
            self._shown, self._view, self._asked, self._time = self.shown, None, None, TimeView()
        self.feed.watch_curves({*self.session.drawn(), *self.targets()})
        if self._timer is not None:
            row = self._row
            (self._timer.resume if row is not None and row.is_active else self._timer.pause)()
        self._show_title()
        self.show_curves()

    def show_curves(self) -> None:
        """Have the view made anew, on the painter's thread."""
        tag = self.shown
        curves = None if tag is None else self.feed.curves(tag)
        if tag is None or curves is None or not curves.ranks:
            self._show_nothing(is_read=curves is not None)
            return
        if self._maker is None or self._maker[0] != tag or self._maker[1] is not curves:
            self._maker = (tag, curves, RankViewMaker())
        maker, wanted = self._maker[2], self._wanted()
        asked = (tag, id(curves), curves.revision, replace(wanted, before=None))
        if asked == self._asked:  # a snapshot is told about far more often than this run says anything
            return
        self._asked = asked

        def deliver(view: RanksView) -> None:
            if self.is_mounted and self.shown == tag:
                self._show_view(view)

        self.port.painter.paint("ranks", lambda: maker.make(curves.ranks, curves.nodes, wanted), deliver)

    def _wanted(self) -> Wanted:
        row, view, heat_map = self._row, self._view, self.query_one(HeatMap)
        return Wanted(
            quantity=self._quantity,
            seen=self._time.seen,
            cursor_s=self._time.cursor_s,
            num_buckets=heat_map.num_buckets if heat_map.size.width else max(self.size.width - 8, 1),
            is_growing=row is not None and row.is_active,
            before=None if view is None else (view.grid.quantity, *view.scale),
        )

    def _show_nothing(self, *, is_read: bool) -> None:
        self._view = self._asked = None
        self.set_class(True, "-empty")
        row = self._row
        if row is None:
            title, steps = "There is no run to show.", [("1", "choose a run"), ("6", "plan and launch runs")]
        elif row.state == "queued":
            title, steps = f"{row.id} is queued: its ranks have not started.", [("]", "next run")]
        elif not is_read:
            title, steps = f"Reading the lines of {row.id}.", []
        elif row.is_active:
            title, steps = f"{row.id} is {row.state}: no rank has finished a step yet.", [("]", "next run")]
        else:
            title, steps = (
                f"{row.id} {row.state}: its ranks wrote no step lines.",
                [("5", "its logs"), ("]", "next run")],
            )
        self.query_one(EmptyState).show(title, steps)

    def _show_view(self, view: RanksView) -> None:
        is_first = self._view is None
        self._view = view
        self.set_class(False, "-empty")
        if self.focused is None:
            self.query_one(LiveTable).focus()
        self._lay_out()
        self._show_rows()
        if is_first and self._rank is not None:
            self.query_one(LiveTable).move_to(str(self._rank))
        self.query_one(HeatMap).show(view, self._marked)
        reason = self.query_one("#reason", Static)
        reason.set_class(any(row.is_slowest for row in view.rows), "-slowest")
        self._update(reason, Content(strip_escapes(view.reason)))
        self._update(self.query_one("#machines", Static), self._machines(view))
        self._show_title()

    def _show_rows(self) -> None:
        view, row = self._view, self._row
        if view is None:
            return
        table = self.query_one(LiveTable)
        columns = rank_columns(view)
        now_s = time.time() if row is not None and row.is_active else None
        table.set_columns(columns)
        table.set_rows(rank_table_rows(view, columns, now_s=now_s, is_ascii=self.session.is_ascii))

    def _tick(self) -> None:
        if self.is_current and not self.session.is_frozen:
            self._show_rows()

    def _update(self, label: Static, text: Content) -> None:
        """A Static repaints itself whenever it is told something, also the same."""
        if label.content != text:
            label.update(text)

    @property
    def _marked(self) -> int | None:
        key = self.query_one(LiveTable).cursor_key
        return int(key) if key is not None else None

    def _machines(self, view: RanksView) -> Content:
        """One line per machine; what does not fit goes on the next, as far as there is room."""
        width = max(self.size.width - 4, 20)
        is_short = self.size.width < WIDE
        gap = "  " if is_short else "   "
        lines: list[Content] = []
        for machine in view.machines:
            line = Content()
            for piece in machine_pieces(machine, is_short=is_short, is_ascii=self.session.is_ascii):
                part = Content.assemble(*((strip_escapes(words), _style(name)) for words, name in piece))
                if line and line.cell_length + len(gap) + part.cell_length > width:
                    lines.append(line)
                    line = Content("  ") + part
                else:
                    line = Content(gap).join([line, part]) if line else part
            lines.append(line)
        return (
            Content("\n").join(lines[: 2 if self.size.height < TALL else 6])
            if lines
            else Content("no samples of the machine yet")
        )

    def _show_title(self) -> None:
        view, row = self._view, self._row
        if view is None or row is None:
            return
        mark = "" if self.session.is_ascii else f"{STATE_MARKS.get(row.state, '')} "
        title = f"{row.id}  {mark}{row.state}"
        ranks = self.query_one(HeatMap).shown_ranks
        hidden = len(view.grid.ranks) - len(ranks)
        some = f"ranks {ranks[0]}-{ranks[-1]} of {len(view.grid.ranks)}, " if hidden and ranks else ""
        self._set_titles(self.query_one(HeatMap), title, f"{some}{view.part}")
        when = f"at {view.moment}" if view.cursor is not None else f"mean over {view.part}"
        self._set_titles(self.query_one(LiveTable), f"per step in ms, {when}", "")
        self._set_titles(self.query_one("#machines", Static), "machine" if len(view.machines) < 2 else "machines", "")

    def _set_titles(self, widget: Widget, title: str, subtitle: str) -> None:
        """Setting a title repaints the whole widget: only where it is another."""
        key = str(widget.id or type(widget).__name__)
        if self._titles.get(key) != (title, subtitle):
            self._titles[key] = (title, subtitle)
            widget.border_title = Content(strip_escapes(title)).markup
            widget.border_subtitle = Content(strip_escapes(subtitle)).markup

    def _lay_out(self) -> None:
        """Give the map what its ranks need, and the table the rest."""
        view, height = self._view, self.size.height - 2
        if view is None:
            return
        self.set_class(height < 12, "-tiny")
        self.set_class(height < 8, "-tiniest")
        num_ranks = max(len(view.grid.ranks), 1)
        num_lines = self._machines(view).plain.count("\n") + 1
        room = height - 1 - num_lines - (FRAME if self.size.height >= TALL else 0)
        table = min(num_ranks + 1 + FRAME, max(room // 2, 5))
        rows = room - table - FOOT - FRAME
        rows = num_ranks * min(rows // num_ranks, MAX_ROWS_PER_RANK) if rows >= num_ranks else rows
        self.query_one(HeatMap).styles.height = max(rows, 1) + FOOT + FRAME

    def on_resize(self) -> None:
        """The map takes another height."""
        self._lay_out()
        if self._view is not None:
            self._update(self.query_one("#machines", Static), self._machines(self._view))

    def on_heat_map_resized(self) -> None:
        """Another number of buckets."""
        if self._view is not None:
            self.show_curves()

    def on_live_table_moved(self) -> None:
        """The map keeps the rank in sight."""
        self._rank = self._marked
        if self._view is not None:
            self.query_one(HeatMap).show(self._view, self._marked)
            self._show_title()

    def on_live_table_opened(self) -> None:
        """Two clicks."""
        self.action_open()

    def open_for(self, _tag: str | None, rank: int | None) -> None:
        """Show that run with the cursor on that rank."""
        self._rank = rank if rank is not None else self._rank
        if rank is not None:
            self.query_one(LiveTable).move_to(str(rank))

    def action_open(self) -> None:
        """The log of the rank."""
        if self.shown is not None and self._view is not None:
            self.port.go(Mode.LOGS.value, self.shown, self._marked)

    def action_previous_one(self) -> None:
        """The run before, of the same experiment."""
        self._go_by(-1)

    def action_next_one(self) -> None:
        """The next run of the same experiment."""
        self._go_by(1)

    def _go_by(self, number: int) -> None:
        row = self._row
        rows = self.feed.snapshot.rows
        tags = [other.tag for other in rows if row is None or other.experiment == row.experiment]
        if not tags:
            return
        place = tags.index(row.tag) + number if row is not None else 0
        self.session.current = tags[place % len(tags)]
        self.show_snapshot(self.feed.snapshot)

    def action_cycle(self) -> None:
        """The next quantity: the step's time, then each phase."""
        if self._view is None:
            return
        names = (STEP_TIME, *self._view.names)
        place = names.index(self._quantity) if self._quantity in names else 0
        self._quantity = names[(place + 1) % len(names)]
        self.show_curves()

    def action_inspect(self) -> None:
        """The inspection cursor on, in the middle, or off."""
        self._change(lambda view: self._time.inspect(view))

    def action_zoom_in(self) -> None:
        """Half the time in the same room."""
        self._change(lambda view: self._time.zoom(view, is_in=True))

    def action_zoom_out(self) -> None:
        """Twice the time in the same room."""
        self._change(lambda view: self._time.zoom(view, is_in=False))

    def action_pan_left(self) -> None:
        """Earlier; while inspecting the cursor moves."""
        self._change(lambda view: self._time.pan(view, -1))

    def action_pan_right(self) -> None:
        """Later; while inspecting the cursor moves."""
        self._change(lambda view: self._time.pan(view, 1))

    def action_reset_view(self) -> None:
        """All of it, and whatever comes."""
        self._change(lambda _: self._time.see(None))

    def action_back(self) -> None:
        """Leave the large pane, then the inspection, then the zoom."""
        if self.maximized is not None:
            self.minimize()
        else:
            self._change(lambda _: self._time.leave())

    def _change(self, change: Callable[[RanksView], bool]) -> None:
        if self._view is not None and change(self._view):
            self.show_curves()

    def exported(self) -> Exported:
        """The table, raw."""
        view = self._view
        if view is None:
            return Exported(name="ranks")
        name = "ranks-" + "".join(c if c.isalnum() else "-" for c in (self.shown or "").rpartition("/")[2])
        return Exported(name=name, columns=export_columns(view), rows=export_rows(view))

    def copied(self) -> str:
        """The row under the cursor."""
        table = self.query_one(LiveTable)
        return table.text_of(table.cursor_key)


def _style(name: str) -> str:
    """A theme token as a style of Textual's content."""
    return name.replace("text-muted", "dim").replace("primary", "$primary")
