from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from made_curves import MadeCurves
from runs_rows import done_row, live_row, many_rows, run_row, snapshot_of
from screen_driver import FakeFeed, screen_lines, screen_text, settle
from textual.widgets import Input

from tui.app import DdptuiApp
from tui.screens.runs import RunsScreen
from tui.view.run_row import RunRow
from tui.view.session import Session
from tui.view.snapshot import EMPTY, Snapshot
from tui.widgets.filter_line import FilterLine
from tui.widgets.live_table import LiveTable

Do = Callable[[Any], Awaitable[None]]


class Driver:
    """The app with a pilot: keys in, lines out."""

    def __init__(self, app: DdptuiApp, feed: FakeFeed, pilot: Any) -> None:
        self.app = app
        self.feed = feed
        self.pilot = pilot

    @property
    def screen(self) -> RunsScreen:
        assert isinstance(self.app.screen, RunsScreen)
        return self.app.screen

    @property
    def session(self) -> Session:
        return self.app.session

    @property
    def text(self) -> str:
        return screen_text(self.app)

    def line(self, what: str) -> str:
        return next((line for line in screen_lines(self.app) if what in line), "")

    @property
    def cursor(self) -> str:
        return next((line for line in screen_lines(self.app) if "▌" in line), "")

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await settle(self.app, self.pilot, rounds=1)

    async def show(self, *rows: RunRow, **more: Any) -> None:
        self.feed.show(snapshot_of(*rows, **more))
        await settle(self.app, self.pilot, rounds=1)

    async def type(self, text: str) -> None:
        self.screen.query_one(Input).insert_text_at_cursor(text)
        await settle(self.app, self.pilot, rounds=1)

    async def wait_for(self, is_so: Callable[[], bool]) -> None:
        for _ in range(200):
            if is_so():
                return
            await self.pilot.pause(0.02)
        raise AssertionError("it never came true")


def drive(
    app: DdptuiApp, feed: FakeFeed, do: Do, *, size: tuple[int, int] = (120, 40), snapshot: Snapshot | None = None
) -> None:
    async def run() -> None:
        feed.snapshot = snapshot_of(*many_rows()) if snapshot is None else snapshot
        if snapshot is None:
            app.session.current = feed.snapshot.rows[0].tag  # else the cursor begins at what runs
        async with app.run_test(size=size) as pilot:
            await settle(app, pilot)
            await do(Driver(app, feed, pilot))

    asyncio.run(run())


def test_the_cursor_begins_at_what_runs(app: DdptuiApp, feed: FakeFeed) -> None:
    async def do(d: Driver) -> None:
        assert "running" in d.cursor

    drive(app, feed, do, snapshot=snapshot_of(*many_rows()))


def test_runs_stand_by_experiment_with_state_figures_and_reasons(app: DdptuiApp, feed: FakeFeed) -> None:
    async def do(d: Driver) -> None:
        assert "● 1 running" in d.text
        assert "3 queued" in d.text
        assert "3 ✓" in d.text
        assert "2 ✗" in d.text
        assert "scaling  7 runs" in d.text
        assert "chunks  7 runs" in d.text
        assert "● running" in d.line("ddp-w4-r0")
        assert "62%" in d.line("ddp-w4-r0")
        assert "~44s" in d.line("ddp-w4-r0")
        assert "rank 3: CUDA" in d.line("ddp-w8-r0")
        assert "NaN" in d.line("ddp-w8-r1")
        assert "queued #3" in d.line("pipe-w8-r2")
        assert "slow net" in d.line("pipe-w2-r0")
        assert "single-w1-r0" in d.cursor
        assert d.session.current == "scaling/single-w1-r0-1a2b3c"

    drive(app, feed, do)


def test_the_run_under_the_cursor_is_told_in_full(app: DdptuiApp, feed: FakeFeed) -> None:
    async def do(d: Driver) -> None:
        await d.press(*["down"] * 5)
        line = d.line("attempt 2")
        assert "✗ failed" in line
        assert "rank 3: CUDA out of memory" in line
        assert "scaling/ddp-w8-r0-beef01" in line
        await d.press("end")
        assert "#3 in the queue" in d.text

    drive(app, feed, do)


def test_at_80_by_24_the_columns_that_matter_stay_and_charts_are_there(app: DdptuiApp, feed: FakeFeed) -> None:
    async def do(d: Driver) -> None:
        header = d.line("progress")
        assert header.strip("│ ").split() == ["run", "state", "progress", "loss", "acc", "samples/s", "eta/time"]
        assert "~44s" in d.line("ddp-w4-r0")
        assert d.screen.has_class("-with-charts")
        assert len(screen_lines(d.app)) == 24

    drive(app, feed, do, size=(80, 24))


def test_enter_opens_the_charts_of_the_run(app: DdptuiApp, feed: FakeFeed) -> None:
    async def do(d: Driver) -> None:
        gone: list[tuple[Any, ...]] = []
        d.app.go = lambda *where: gone.append(where)  # type: ignore[method-assign]
        await d.press("down", "enter")
        assert gone == [("charts", "scaling/ddp-w2-r0-3fa9c1")]

    drive(app, feed, do)


def test_space_marks_and_goes_on_and_again_takes_the_mark_away(app: DdptuiApp, feed: FakeFeed) -> None:
    async def do(d: Driver) -> None:
        await d.press("space", "space")
        assert d.session.marked == ["scaling/single-w1-r0-1a2b3c", "scaling/ddp-w2-r0-3fa9c1"]
        assert "◆" in d.line("single-w1-r0")
        assert "◆" in d.line("ddp-w2-r0")
        assert "2 marked" in d.text
        assert "ddp-w4-r0" in d.cursor
        assert d.feed.watched == tuple(d.session.marked)
        assert d.screen.targets() == tuple(d.session.marked)
        await d.press("up", "space")
        assert d.session.marked == ["scaling/single-w1-r0-1a2b3c"]
        assert "◆" not in d.line("ddp-w2-r0")

    drive(app, feed, do)


def test_a_marks_all_that_is_shown_or_none_and_few_are_drawn(app: DdptuiApp, feed: FakeFeed) -> None:
    async def do(d: Driver) -> None:
        await d.press("a")
        assert len(d.session.marked) == 40
        assert "40 marked" in d.text
        assert "16 drawn" in d.text
        assert len(d.feed.watched) == 16
        await d.press("a")
        assert d.session.marked == []
        assert "marked" not in d.text

    rows = [done_row("e", f"x{n}-w1-r0-000000", 1.0) for n in range(40)]
    drive(app, feed, do, snapshot=snapshot_of(*rows))


def test_sorting_goes_from_column_to_column_and_back_and_turns_around(app: DdptuiApp, feed: FakeFeed) -> None:
    async def do(d: Driver) -> None:
        await d.press("o")
        assert "run▲" in d.text
        await d.press("O")
        assert "▲" not in d.text
        assert "▼" not in d.text
        await d.press("O", "O")
        assert "samples/s▼" in d.text
        assert d.text.index("ddp-w4-r0") < d.text.index("ddp-w2-r0") < d.text.index("single-w1-r0")
        assert "single-w1-r0" in d.cursor, "the cursor stays on its run"
        await d.press("i")
        assert "samples/s▲" in d.text
        assert d.text.index("single-w1-r0") < d.text.index("ddp-w2-r0") < d.text.index("ddp-w4-r0")

    drive(app, feed, do)


def test_a_click_on_a_header_sorts_and_a_second_turns_around(app: DdptuiApp, feed: FakeFeed) -> None:
    async def do(d: Driver) -> None:
        place = screen_lines(d.app)[2].index("loss")
        await d.pilot.click(LiveTable, offset=(place, 1))
        await settle(d.app, d.pilot)
        assert "▲loss" in d.text
        await d.pilot.click(LiveTable, offset=(place, 1))
        await settle(d.app, d.pilot)
        assert "▼loss" in d.text

    drive(app, feed, do)


def test_a_column_that_does_not_fit_is_named_when_it_is_sorted_by(app: DdptuiApp, feed: FakeFeed) -> None:
    async def do(d: Driver) -> None:
        await d.press("o", "o", "o", "o")
        assert "sorted by epoch" in d.text

    drive(app, feed, do, size=(80, 24))


def test_a_filter_is_seen_while_it_is_typed_kept_by_enter_and_left_by_escape(app: DdptuiApp, feed: FakeFeed) -> None:
    async def do(d: Driver) -> None:
        await d.press("slash")
        await d.type("state:failed")
        assert "2 of 14" in d.text
        assert "ddp-w8-r0" in d.text
        assert "single-w1-r0" not in d.text
        assert d.app.query(FilterLine).first is not None
        await d.press("enter")
        assert isinstance(d.app.focused, LiveTable)
        assert "/state:failed" in d.text
        assert "single-w1-r0" not in d.text
        await d.press("slash")
        await d.type("x")
        assert "no run matches the filter" in d.text
        await d.press("escape")
        assert "/state:failed" in d.text
        assert "ddp-w8-r0" in d.text
        assert "no run matches" not in d.text
        await d.press("escape")
        assert "state:failed" not in d.text
        assert "single-w1-r0" in d.text

    drive(app, feed, do)


def test_escape_in_the_filter_brings_the_cursor_back(app: DdptuiApp, feed: FakeFeed) -> None:
    async def do(d: Driver) -> None:
        await d.press("down", "down", "slash")
        await d.type("single")
        assert "single-w1-r0" in d.cursor
        await d.press("escape")
        assert "ddp-w4-r0" in d.cursor

    drive(app, feed, do)


def test_what_a_filter_cannot_understand_is_said(app: DdptuiApp, feed: FakeFeed) -> None:
    async def do(d: Driver) -> None:
        await d.press("slash")
        await d.type("note:[")
        assert "no valid expression" in d.text

    drive(app, feed, do)


def test_keys_typed_into_the_filter_do_nothing_else(app: DdptuiApp, feed: FakeFeed) -> None:
    async def do(d: Driver) -> None:
        await d.press("slash")
        await d.press("a", "1", "space", "x", "o", "z", "v", "L")
        assert d.session.marked == []
        assert d.session.x_axis == "step"
        assert not d.session.is_log
        assert isinstance(d.app.screen, RunsScreen)
        assert d.screen.query_one(FilterLine).text == "a1 xozvL"

    drive(app, feed, do)


def test_nothing_under_the_cursor_means_no_targets(app: DdptuiApp, feed: FakeFeed) -> None:
    async def do(d: Driver) -> None:
        await d.press("slash")
        await d.type("nosuchrun")
        await d.press("enter")
        assert d.screen.targets() == ()
        assert d.session.current is None
        assert d.screen.copied() == ""
        await d.press("space", "enter", "down", "end")
        assert d.session.marked == []

    drive(app, feed, do)


def test_chart_keys_choose_for_all_modes(app: DdptuiApp, feed: FakeFeed) -> None:
    async def do(d: Driver) -> None:
        for keys, name, value in (
            ("x", "x_axis", "time"), ("xx", "x_axis", "step"), ("L", "is_log", True), ("S", "smoothing", 0.6),
            ("SSS", "smoothing", 0.0), ("m", "is_banded", True), ("v", "is_inspecting", True),
        ):  # fmt: skip
            await d.press(*keys)
            assert getattr(d.session, name) == value, keys
        await d.press("escape")
        assert not d.session.is_inspecting

    drive(app, feed, do)


def test_curves_of_the_run_under_the_cursor_are_drawn_zoomed_and_inspected(app: DdptuiApp, feed: FakeFeed) -> None:
    async def do(d: Driver) -> None:
        tag = "scaling/single-w1-r0-1a2b3c"
        await d.wait_for(lambda: d.feed.watched == (tag,))
        curves = MadeCurves(loss=[2.0, float("nan"), *[1 / n for n in range(1, 99)]], samples_per_s=[1000.0] * 100)
        d.feed.show_curves(**{tag: curves})
        await settle(d.app, d.pilot, rounds=1)
        loss, speed = d.screen.exported().charts
        assert [line.num_points for line in (*loss.lines, *speed.lines)] == [100, 100]
        await d.press("plus")
        low, high = d.session.x_range or (0.0, 0.0)
        assert high - low == 99 / 2
        await d.press("minus")
        assert d.session.x_range is None
        await d.press("plus", "0")
        assert d.session.x_range is None
        await d.press("v", "left", "left", "right")
        assert d.session.cursor_x == pytest.approx(99 - 99 / 50)
        assert d.screen.exported().charts[0].cursor_x == d.session.cursor_x
        await d.press("space", "down", "space")
        assert len(d.screen.exported().charts[0].lines) == 1, "of the other nothing was read yet"

    drive(app, feed, do)


def test_zooming_the_table_gives_it_the_screen_until_escape(app: DdptuiApp, feed: FakeFeed) -> None:
    async def do(d: Driver) -> None:
        before = d.screen.table.size.height
        await d.press("z")
        assert d.screen.table.size.height > before + 8
        assert "samples_per_s" not in d.text
        assert "1 Runs" in d.text
        assert "quit" in d.text, "the bars stay"
        await d.press("slash")
        await d.type("failed")
        assert "2 of 14" in d.text
        await d.press("escape")
        assert d.screen.maximized is not None
        await d.press("escape")
        assert d.screen.maximized is None
        assert d.screen.table.size.height == before

    drive(app, feed, do)


def test_a_cursor_on_the_way_opens_no_event_lines(
    app: DdptuiApp, feed: FakeFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tui.screens.runs.PAUSE_S", 2.0)  # longer than a loaded machine takes between two keys

    async def do(d: Driver) -> None:
        watched: list[tuple[str, ...]] = []
        d.feed.watch_curves = lambda tags: watched.append(tuple(tags))  # type: ignore[method-assign]
        await d.pilot.press(*["down"] * 5)
        await d.wait_for(lambda: ("scaling/ddp-w8-r0-beef01",) in watched)
        assert len(watched) <= 3, watched

    drive(app, feed, do)


def test_without_runs_the_screen_says_how_to_begin(app: DdptuiApp, feed: FakeFeed) -> None:
    async def do(d: Driver) -> None:
        assert "No runs in" in d.text
        assert "ddptui init" in d.text
        assert "ddptui run experiments.toml" in d.text
        await d.press("down", "space", "a", "o", "i", "enter", "z", "x", "plus", "0", "v", "slash", "escape", "escape")
        assert "No runs in" in d.text
        await d.show(live_row("e", "ddp-w2-r0-3fa9c1"))
        assert "No runs in" not in d.text
        assert "ddp-w2-r0" in d.cursor
        assert isinstance(d.app.focused, LiveTable)

    drive(app, feed, do, snapshot=Snapshot(revision=1, read_s=1.0))


def test_a_folder_that_is_gone_is_not_said_to_be_empty(app: DdptuiApp, feed: FakeFeed) -> None:
    async def do(d: Driver) -> None:
        assert "x is gone: deleted, moved or unmounted" in d.text
        assert "No runs to be seen" in d.text
        assert "ddptui init" not in d.text

    gone = Snapshot(revision=1, read_s=1.0, problem="x is gone: deleted, moved or unmounted")
    drive(app, feed, do, snapshot=gone)


def test_before_the_first_reading_it_says_that_it_reads(app: DdptuiApp, feed: FakeFeed) -> None:
    async def do(d: Driver) -> None:
        assert "Reading" in d.text
        assert "ddptui init" not in d.text

    drive(app, feed, do, snapshot=EMPTY)


def test_a_problem_is_a_line_on_top_and_unread_runs_are_counted(app: DdptuiApp, feed: FakeFeed) -> None:
    async def do(d: Driver) -> None:
        await d.show(*many_rows(), problem="the supervisor died", num_unread=400, is_held=True)
        assert "⚠ the supervisor died" in screen_lines(d.app)[1]
        assert "reading 400 more" in d.text
        assert "queue held" in d.text
        await d.show(*many_rows())
        assert "supervisor died" not in d.text
        assert "reading 400 more" not in d.text

    drive(app, feed, do)


def test_a_thousand_runs_can_be_walked_to_the_end(app: DdptuiApp, feed: FakeFeed) -> None:
    async def do(d: Driver) -> None:
        assert "1,000 ✓" in d.text
        await d.press("end")
        assert "x999-w1-r0" in d.cursor
        await d.press("home")
        assert "x0-w1-r0" in d.cursor

    drive(app, feed, do, snapshot=snapshot_of(*(done_row("e", f"x{n}-w1-r0-000000", n + 1.0) for n in range(1000))))


def test_names_and_reasons_are_shown_as_they_are_written(app: DdptuiApp, feed: FakeFeed) -> None:
    async def do(d: Driver) -> None:
        assert "[red]w" in d.text
        assert "\x1b" not in d.text
        assert "[bold]why" in d.text
        assert "名前" in d.text
        await d.press("slash")
        await d.type("[red]")
        await d.press("enter")
        assert "/[red]" in d.text

    row = run_row("[b]ex\x1b[31mp", "ddp-w2-r0-3fa9c1", "failed", reason="\x1b[2J[bold]why\nnot", note="名前" * 9)
    other = done_row("other", "x-w1-r0-000000", 1.0, id="[red]w\x1b]0;t\x07", point=None)
    drive(app, feed, do, snapshot=snapshot_of(row, other, problem="[red]\x1b[31mgone"))


def test_news_change_the_figures_and_keep_cursor_marks_and_filter(app: DdptuiApp, feed: FakeFeed) -> None:
    async def do(d: Driver) -> None:
        rows = (
            done_row("e", "a-w1-r0-000000", 1.0),
            live_row("e", "b-w1-r0-000000", step=99),
            run_row("e", "c-w1-r0-000000"),
        )
        await d.show(*rows)
        await d.press("home", "down", "space", "up")
        await d.show(rows[0], live_row("e", "b-w1-r0-000000", step=1999), rows[2])
        assert "50%" in d.line("b-w1-r0")
        assert "◆" in d.line("b-w1-r0")
        assert "b-w1-r0" in d.cursor
        await d.show(rows[0], rows[2])
        assert d.session.marked == [], "its run was deleted"

    drive(app, feed, do)


def test_the_run_another_mode_went_to_is_under_the_cursor_on_return(app: DdptuiApp, feed: FakeFeed) -> None:
    async def do(d: Driver) -> None:
        await d.press("4")
        d.session.current = "chunks/pipe-w4-r0-c0ffee"
        await d.press("1")
        assert "pipe-w4-r0" in d.cursor
        assert d.session.current == "chunks/pipe-w4-r0-c0ffee"
        assert d.feed.watched == ("chunks/pipe-w4-r0-c0ffee",)

    drive(app, feed, do)


def test_what_is_shown_can_be_taken_away(app: DdptuiApp, feed: FakeFeed) -> None:
    async def do(d: Driver) -> None:
        await d.press("slash")
        await d.type("state:succeeded")
        await d.press("enter", "down")
        shown = d.screen.exported()
        assert shown.name == "runs"
        assert len(shown.rows) == 3
        assert shown.rows[1][shown.columns.index("samples_per_s")] == 1912.0
        assert [spec.title for spec in shown.charts] == ["loss", "samples_per_s"]
        assert d.screen.copied() == "ddp-w2-r0-3fa9c1"

    drive(app, feed, do)


def test_no_size_is_too_small_or_too_large(app: DdptuiApp, feed: FakeFeed) -> None:
    async def do(d: Driver) -> None:
        for size in ((1, 1), (20, 5), (300, 80), (3, 40), (80, 3), (120, 40)):
            await d.pilot.resize_terminal(*size)
            await d.press("down", "z", "z")
            assert len(screen_lines(d.app)) == size[1]
        assert "● running" in d.text
        assert "samples_per_s" in d.text

    drive(app, feed, do)


def test_ascii_and_read_only_leave_plain_characters(feed: FakeFeed, session: Session) -> None:
    async def do(d: Driver) -> None:
        table = [line for line in screen_lines(d.app) if "pipe-w" in line or "ddp-w" in line]
        assert table
        assert all(line.strip("│ ").isascii() for line in table)

    session.is_ascii = session.is_readonly = True
    drive(DdptuiApp(feed, session), feed, do)  # type: ignore[arg-type]


def test_in_five_lines_of_twenty_columns_the_run_its_mark_and_its_state_are_there(
    app: DdptuiApp, feed: FakeFeed
) -> None:
    async def do(d: Driver) -> None:
        assert "single-w1-r0" in d.cursor
        assert "✓ succeeded" in d.text
        await d.show(*many_rows(), problem="digits/x: status.json cannot be read")
        assert "single-w1-r0" in d.cursor
        assert "⚠ digits/x" in d.text

    drive(app, feed, do, size=(20, 5))


def test_a_long_problem_is_told_to_its_end_in_eighty_columns(app: DdptuiApp, feed: FakeFeed) -> None:
    problem = (
        "its supervisor is gone: 14 runs wait, 3 runs unattended; " + "`ddptui retry` takes them up " * 2 + "again"
    )

    async def do(d: Driver) -> None:
        await d.show(*many_rows(), problem=problem)
        shown = " ".join(line.strip() for line in screen_lines(app)[1:4])
        assert problem in shown
        await d.show(*many_rows(), problem="short")
        assert "short" in screen_lines(app)[1]
        assert "╭" in screen_lines(app)[2]

    drive(app, feed, do, size=(80, 24))


def test_a_mapping_is_exported_in_words(app: DdptuiApp, feed: FakeFeed) -> None:
    async def do(d: Driver) -> None:
        shown = d.screen.exported()
        assert shown.rows[0][shown.columns.index("axes")] == "strategy=single; world_size=1"

    drive(app, feed, do)


def test_of_a_run_that_hung_it_is_said_where_its_dossier_is(app: DdptuiApp, feed: FakeFeed) -> None:
    path = "results/scaling/runs/dp-w4-r0-0badf0/attempts/2/dossier.txt"
    hung = run_row("scaling", "dp-w4-r0-0badf0", "stalled", reason="no step for 60 s: " + "long " * 60, dossier=path)

    async def do(driver: Driver) -> None:
        assert path in driver.line("where it hung")
        await driver.press("down")
        assert driver.line("where it hung") == ""
        await driver.press("up")
        assert path in driver.line("where it hung")

    drive(app, feed, do, snapshot=snapshot_of(hung, done_row("scaling", "ddp-w2-r0-3fa9c1", 1912.0)))
