from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from made_results import T0_S, MadeResults, MadeRun
from screen_driver import FakeFeed, screen_lines, screen_text, settle

from tui.app import DdptuiApp
from tui.keys import Mode, keys_of
from tui.screens.logs import LogsScreen
from tui.view.run_row import RunRow
from tui.view.session import Session
from tui.view.snapshot import Snapshot
from tui.widgets.log_view import LogView

Drive = Callable[["Logs"], Awaitable[None]]

TRACEBACK = """\
Traceback (most recent call last):
  File "train.py", line 71, in main
    batch = next(batches)
ValueError: expected 28x28 images
"""


class Logs:
    """The Logs mode in a test: press keys, let the logs be read, see what is there."""

    def __init__(self, app: DdptuiApp, feed: FakeFeed, pilot: Any) -> None:
        self.app = app
        self.feed = feed
        self.pilot = pilot

    async def read(self) -> None:
        for _ in range(2):  # what the first reading brings may have more looked for
            self.feed.poll_sources()
            await self.pilot.pause()

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.read()

    async def until_said(self, words: str) -> None:
        """Wait for a notice, which comes by itself."""
        for _ in range(200):
            if words in self.text:
                return
            await self.pilot.pause()
        raise AssertionError(f"{words!r} was not said")

    @property
    def text(self) -> str:
        return screen_text(self.app)

    @property
    def rows(self) -> list[str]:
        """The lines of the log that are seen, without border and scroll bar."""
        inner = [line[1:-2].rstrip() for line in screen_lines(self.app) if line.startswith("│")]
        return [row for row in inner if row]

    @property
    def pointed(self) -> str:
        """The row that one stands on."""
        return next(row[1:] for row in self.rows if row.startswith("▌"))

    @property
    def screen(self) -> LogsScreen:
        assert isinstance(self.app.screen, LogsScreen)
        return self.app.screen


def row_of(run: MadeRun, state: str = "running", reason: str = "") -> RunRow:
    values: dict[str, Any] = dict.fromkeys(RunRow.__dataclass_fields__)
    values |= {"experiment": run.spec["experiment"], "id": run.spec["id"], "state": state, "reason": reason}
    return RunRow(**{**values, "folder": str(run.paths.root), "axes": {}, "is_pinned": False, "note": ""})


def look(
    app: DdptuiApp,
    feed: FakeFeed,
    drive: Drive,
    *rows: RunRow,
    size: tuple[int, int] = (120, 40),
) -> None:
    """Open Logs on these runs and drive."""

    async def run() -> None:
        feed.snapshot = Snapshot(revision=1, read_s=T0_S, rows=rows)
        async with app.run_test(size=size, notifications=True) as pilot:
            logs = Logs(app, feed, pilot)
            await logs.press("5")
            await logs.read()
            await drive(logs)

    asyncio.run(run())


def note_sizes(run: MadeRun, time_s: float) -> None:
    """What the node runner notes once a second."""
    attempt = run.paths.attempt(1)
    paths = {str(rank): (attempt.out(rank), attempt.err(rank)) for rank in range(run.world_size)}
    sizes = {rank: [path.stat().st_size if path.exists() else 0 for path in both] for rank, both in paths.items()}
    path = attempt.node_events(0)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps({"kind": "system", "time_s": time_s, "rank": None, "log_bytes": sizes}) + "\n")


@pytest.fixture
def run(results: MadeResults) -> MadeRun:
    """Two ranks that have said a few things, one after the other."""
    run = results.run("ddp-w2", world_size=2, state="running").begin()
    for second in range(3):
        run.log(second % 2, f"step {second} of rank {second % 2}\n")
        note_sizes(run, T0_S + second)
    return run


@pytest.fixture
def crashed(run: MadeRun) -> MadeRun:
    run.log(0, "Exception: peer is gone\n", is_err=True)
    run.log(1, TRACEBACK, is_err=True)
    run.line(1, kind="error", type="ValueError", message="expected 28x28 images", traceback=TRACEBACK, time_s=T0_S + 3)
    note_sizes(run, T0_S + 3)
    return run


@pytest.fixture
def long_run(results: MadeResults) -> MadeRun:
    """One rank with many lines, every tenth a milestone."""
    run = results.run("single-w1", strategy="single", state="running").begin()
    lines = (f"line {number}{' milestone' if number % 10 == 0 else ''}\n" for number in range(500))
    return run.log(0, "".join(lines))


def test_all_ranks_are_shown_merged_by_time(app: DdptuiApp, feed: FakeFeed, run: MadeRun) -> None:
    async def drive(logs: Logs) -> None:
        assert [row.split() for row in logs.rows] == [
            ["0", "step", "0", "of", "rank", "0"],
            ["1", "step", "1", "of", "rank", "1"],
            ["▌0", "step", "2", "of", "rank", "0"],
        ]
        assert "all ranks · output" in logs.text
        assert "digits/ddp-w2" in logs.text
        assert "● running" in logs.text
        assert "FOLLOW" in logs.text

    look(app, feed, drive, row_of(run))


def test_the_brackets_go_from_rank_to_rank_and_a_shows_all_again(app: DdptuiApp, feed: FakeFeed, run: MadeRun) -> None:
    async def drive(logs: Logs) -> None:
        await logs.press("right_square_bracket")
        assert "rank 0 of 2" in logs.text
        assert "step 1 of rank 1" not in logs.text
        await logs.press("right_square_bracket")
        assert [row.split()[-3:] for row in logs.rows] == [["of", "rank", "1"]]
        await logs.press("left_square_bracket", "left_square_bracket")
        assert "all ranks" in logs.text
        await logs.press("left_square_bracket", "a")
        assert len(logs.rows) == 3

    look(app, feed, drive, row_of(run))


def test_c_goes_through_output_events_node_log_and_everything(app: DdptuiApp, feed: FakeFeed, run: MadeRun) -> None:
    run.paths.attempt(1).node_log(0).write_text("torchrun says hello\n")

    async def drive(logs: Logs) -> None:
        await logs.press("c")
        assert "all ranks · events" in logs.text
        assert any("run_start" in row for row in logs.rows)
        await logs.press("c")
        assert [row.split(maxsplit=1)[-1] for row in logs.rows] == ["torchrun says hello"]
        await logs.press("c")
        assert {"torchrun", "run_start", "of"} <= set(" ".join(logs.rows).split())
        await logs.press("c")
        assert "all ranks · output" in logs.text

    look(app, feed, drive, row_of(run))


def test_following_shows_what_comes_and_going_up_counts_it(app: DdptuiApp, feed: FakeFeed, long_run: MadeRun) -> None:
    async def drive(logs: Logs) -> None:
        assert logs.pointed.strip() == "line 499"
        long_run.log(0, "new one\n")
        await logs.read()
        assert logs.pointed.strip() == "new one"
        await logs.press("up", "up")
        assert "FOLLOW" not in logs.text
        assert logs.pointed.strip() == "line 498"
        long_run.log(0, "more\n" * 1234)
        await logs.read()
        assert "+1,234 lines" in logs.text
        assert logs.pointed.strip() == "line 498"
        await logs.press("f")
        assert "FOLLOW" in logs.text
        assert logs.pointed.strip() == "more"
        assert "+1,234" not in logs.text

    look(app, feed, drive, row_of(long_run))


@pytest.mark.parametrize("key", ["end", "G"])
def test_end_follows_again(app: DdptuiApp, feed: FakeFeed, long_run: MadeRun, key: str) -> None:
    async def drive(logs: Logs) -> None:
        await logs.press("home")
        assert logs.pointed.strip() == "line 0 milestone"
        assert "FOLLOW" not in logs.text
        await logs.press(key)
        assert "FOLLOW" in logs.text
        assert logs.pointed.strip() == "line 499"

    look(app, feed, drive, row_of(long_run))


def test_the_pointer_goes_by_lines_and_pages(app: DdptuiApp, feed: FakeFeed, long_run: MadeRun) -> None:
    async def drive(logs: Logs) -> None:
        await logs.press("g", "down", "down")
        assert logs.pointed.strip() == "line 2"
        assert "3 / 500" in logs.text
        num_rows = len(logs.rows)
        await logs.press("pagedown")
        assert logs.pointed.strip() == f"line {2 + num_rows - 1}"
        await logs.press("pageup", "up")
        assert logs.pointed.strip() == "line 1"

    look(app, feed, drive, row_of(long_run))


def test_the_wheel_leaves_the_end_and_the_pointer_stays_in_sight(
    app: DdptuiApp, feed: FakeFeed, long_run: MadeRun
) -> None:
    async def drive(logs: Logs) -> None:
        view = logs.screen.query_one(LogView)
        view.scroll_to(y=100, animate=False)
        await settle(app, logs.pilot)
        assert "FOLLOW" not in logs.text
        assert "line 100 milestone" in logs.rows[0]
        assert logs.pointed.strip() == logs.rows[-1].removeprefix("▌").strip()

    look(app, feed, drive, row_of(long_run))


def test_a_click_goes_to_the_line(app: DdptuiApp, feed: FakeFeed, run: MadeRun) -> None:
    async def drive(logs: Logs) -> None:
        await logs.pilot.click(LogView, offset=(12, 2))
        await settle(app, logs.pilot)
        assert "step 1 of rank 1" in logs.pointed

    look(app, feed, drive, row_of(run))


def test_find_shows_matches_while_one_types_and_enter_keeps_them(
    app: DdptuiApp, feed: FakeFeed, long_run: MadeRun
) -> None:
    async def drive(logs: Logs) -> None:
        await logs.press("slash", *"milestone")
        assert "find /milestone" in logs.text
        assert "50 of 50" in logs.text
        assert logs.pointed.strip() == "line 490 milestone"
        await logs.press("enter")
        assert "find /" not in logs.text
        assert "/milestone 50 of 50" in logs.text
        await logs.press("N")
        assert logs.pointed.strip() == "line 480 milestone"
        await logs.press("n", "n")
        assert logs.pointed.strip() == "line 0 milestone"  # around the end
        assert "1 of 50" in logs.text

    look(app, feed, drive, row_of(long_run))


def test_find_finds_the_nearest_match_above_and_else_the_next_below(
    app: DdptuiApp, feed: FakeFeed, long_run: MadeRun
) -> None:
    async def drive(logs: Logs) -> None:
        await logs.press("g", "down", "down", "slash", *"milestone")
        assert logs.pointed.strip() == "line 0 milestone"
        await logs.press("escape", "slash", *"line 250")
        assert logs.pointed.strip() == "line 250 milestone"

    look(app, feed, drive, row_of(long_run))


def test_escape_in_find_restores_what_was_there(app: DdptuiApp, feed: FakeFeed, long_run: MadeRun) -> None:
    async def drive(logs: Logs) -> None:
        await logs.press("slash", *"milestone", "escape")
        assert "FOLLOW" in logs.text
        assert "milestone ·" not in logs.text
        assert logs.pointed.strip() == "line 499"
        await logs.press("g", "slash", *"zzz")
        assert "nothing found" in logs.text
        await logs.press("escape")
        assert logs.pointed.strip() == "line 0 milestone"
        assert "/zzz" not in logs.text

    look(app, feed, drive, row_of(long_run))


def test_only_matches_hides_the_other_lines_and_grows(app: DdptuiApp, feed: FakeFeed, long_run: MadeRun) -> None:
    async def drive(logs: Logs) -> None:
        await logs.press("slash", *"milestone", "enter", "ampersand")
        assert all("milestone" in row for row in logs.rows)
        assert "only /milestone" in logs.text
        assert logs.pointed.strip() == "line 490 milestone"
        await logs.press("f")
        long_run.log(0, "no\nlast milestone\nno\n")
        await logs.read()
        assert logs.pointed.strip() == "last milestone"
        await logs.press("ampersand")
        assert any(row.strip() == "line 499" for row in logs.rows)
        await logs.press("ampersand", "escape")
        assert any(row.strip() == "line 499" for row in logs.rows)
        await logs.press("escape")
        assert "/milestone" not in logs.text

    look(app, feed, drive, row_of(long_run))


def test_match_keys_say_so_where_nothing_is_looked_for(app: DdptuiApp, feed: FakeFeed, run: MadeRun) -> None:
    async def drive(logs: Logs) -> None:
        await logs.press("n")
        await logs.until_said("nothing is looked for")
        await logs.press("ampersand")
        assert sum(" of rank " in row for row in logs.rows) == 3

    look(app, feed, drive, row_of(run))


def test_errors_only_keeps_errors_and_warnings(app: DdptuiApp, feed: FakeFeed, crashed: MadeRun) -> None:
    crashed.log(0, "/x.py:3: UserWarning: deprecated\nall is well\n", is_err=True)

    async def drive(logs: Logs) -> None:
        assert "all is well" in logs.text
        await logs.press("exclamation_mark")
        assert "errors only" in logs.text
        assert len(logs.rows) == 6
        assert "step" not in " ".join(logs.rows)
        assert [row.split()[1] for row in logs.rows] == ["✗", "✗", "✗", "✗", "✗", "!"]
        await logs.press("escape")
        assert "all is well" in logs.text

    look(app, feed, drive, row_of(crashed))


def test_the_first_error_is_that_of_the_rank_to_blame(app: DdptuiApp, feed: FakeFeed, crashed: MadeRun) -> None:
    async def drive(logs: Logs) -> None:
        assert "rank 1: ValueError" in logs.text
        await logs.press("E")
        assert "1 ✗ Traceback (most recent call last):" in logs.pointed
        await logs.press("right_square_bracket", "E")
        assert "rank 1 of 2" in logs.text  # rank 0 only complains about its peer
        assert "✗ Traceback" in logs.pointed

    look(app, feed, drive, row_of(crashed, "failed", "rank 1: ValueError: expected 28x28 images"))


def test_without_a_blamed_rank_the_first_error_is_the_earliest(
    app: DdptuiApp, feed: FakeFeed, crashed: MadeRun
) -> None:
    async def drive(logs: Logs) -> None:
        await logs.press("E")
        assert "0 ✗ Exception: peer is gone" in logs.pointed

    look(app, feed, drive, row_of(crashed))


def test_where_there_is_no_error_it_says_so(app: DdptuiApp, feed: FakeFeed, run: MadeRun) -> None:
    async def drive(logs: Logs) -> None:
        await logs.press("E")
        await logs.until_said("no error in these lines")
        assert "step 2 of rank 0" in logs.pointed

    look(app, feed, drive, row_of(run))


def test_enter_lays_out_an_event_and_escape_closes_it(app: DdptuiApp, feed: FakeFeed, crashed: MadeRun) -> None:
    async def drive(logs: Logs) -> None:
        await logs.press("c", "E", "enter")
        assert "rank 1 · event · line 2" in logs.text
        assert "is_peer_error" not in logs.text
        assert any("message" in line and "expected 28x28 images" in line for line in screen_lines(app))
        assert any('File "train.py", line 71' in line for line in screen_lines(app))
        await logs.press("g")
        assert "node 0 · event · line 1" in logs.text  # the panel goes with the pointer
        await logs.press("escape")
        assert " · line " not in logs.text

    look(app, feed, drive, row_of(crashed))


@pytest.mark.parametrize("size", [(120, 40), (80, 24)])
def test_a_long_line_is_cut_in_the_list_and_whole_in_the_panel(
    app: DdptuiApp, feed: FakeFeed, run: MadeRun, size: tuple[int, int]
) -> None:
    run.log(1, "long " + "x" * 300 + " end\n")
    note_sizes(run, T0_S + 9)

    async def drive(logs: Logs) -> None:
        assert "x end" not in logs.text
        await logs.press("enter")
        assert "rank 1 · output · line 2" in logs.text
        assert any(line.rstrip(" │").endswith("end") for line in screen_lines(app))
        await logs.press("enter")
        assert "· line 2" not in logs.text

    look(app, feed, drive, row_of(run), size=size)


def test_wrap_shows_the_whole_of_long_lines(app: DdptuiApp, feed: FakeFeed, run: MadeRun) -> None:
    run.log(1, "y" * 250 + " end\n")
    note_sizes(run, T0_S + 9)

    async def drive(logs: Logs) -> None:
        assert len(logs.rows) == 4
        await logs.press("w")
        assert len(logs.rows) == 6
        assert logs.rows[-1].endswith("y end")
        assert " wrap" in logs.text
        await logs.press("w")
        assert len(logs.rows) == 4

    look(app, feed, drive, row_of(run))


def test_wrapped_lines_can_all_be_reached(app: DdptuiApp, feed: FakeFeed, results: MadeResults) -> None:
    run = results.run("r", state="running").begin()
    run.log(0, "".join(f"{number} {'z' * 200} end{number}\n" for number in range(12)))

    async def drive(logs: Logs) -> None:
        await logs.press("w")
        assert logs.rows[-1].endswith("end11")
        await logs.press("g")
        for number in range(12):
            assert logs.pointed.split()[0] == str(number)
            assert f"end{number}" in "".join(row[3:] for row in logs.rows)
            await logs.pilot.press("down")

    look(app, feed, drive, row_of(run), size=(80, 24))


def test_long_lines_are_seen_sideways(app: DdptuiApp, feed: FakeFeed, run: MadeRun) -> None:
    run.log(0, "a" * 116 + "the end\n")
    note_sizes(run, T0_S + 9)

    async def drive(logs: Logs) -> None:
        assert "the end" not in logs.text
        await logs.press("right")
        assert "the end" in logs.text
        await logs.press("left")
        assert "the end" not in logs.text

    look(app, feed, drive, row_of(run))


def test_t_shows_when_lines_were_written(app: DdptuiApp, feed: FakeFeed, run: MadeRun) -> None:
    async def drive(logs: Logs) -> None:
        await logs.press("t")
        seconds = [row.removeprefix("▌").split()[0][-2:] for row in logs.rows]
        assert seconds == ["20", "21", "22"]  # T0_S is 13:33:20 UTC, or a whole number of minutes off
        await logs.press("t")
        assert ":21 " not in logs.text

    look(app, feed, drive, row_of(run))


def test_times_that_nobody_noted_are_not_invented(app: DdptuiApp, feed: FakeFeed, long_run: MadeRun) -> None:
    async def drive(logs: Logs) -> None:
        await logs.press("t")
        assert logs.pointed.split()[0] == "n/a"

    look(app, feed, drive, row_of(long_run))


def test_z_gives_the_whole_screen_to_the_lines(app: DdptuiApp, feed: FakeFeed, run: MadeRun) -> None:
    async def drive(logs: Logs) -> None:
        await logs.press("z")
        assert "digits/ddp-w2" not in logs.text
        assert "step 2 of rank 0" in logs.text
        await logs.press("escape")
        assert "digits/ddp-w2" in logs.text

    look(app, feed, drive, row_of(run))


def test_a_earlier_attempt_can_be_read(app: DdptuiApp, feed: FakeFeed, run: MadeRun) -> None:
    second = run.paths.attempt(2).out(0)
    second.parent.mkdir(parents=True)
    second.write_text("second try\n")

    async def drive(logs: Logs) -> None:
        assert "attempt 2 of 2" in logs.text
        assert "second try" in logs.text
        await logs.press("A")
        assert "attempt 1 of 2" in logs.text
        assert "step 2 of rank 0" in logs.text
        await logs.press("A")
        assert "second try" in logs.text

    look(app, feed, drive, row_of(run))


def test_progress_bars_are_one_line_that_changes(app: DdptuiApp, feed: FakeFeed, run: MadeRun) -> None:
    run.log(0, " 10%|#\r 20%|##", is_err=True)

    async def drive(logs: Logs) -> None:
        assert " 20%|##" in logs.pointed
        assert "10%" not in logs.text
        run.log(0, "\r 30%|###", is_err=True)
        await logs.read()
        assert " 30%|###" in logs.pointed
        assert "20%" not in logs.text
        assert len(logs.rows) == 4

    look(app, feed, drive, row_of(run))


def test_what_steers_a_terminal_never_reaches_the_screen(app: DdptuiApp, feed: FakeFeed, run: MadeRun) -> None:
    run.log(0, "\x1b[2J\x1b]0;title\x07[bold red]\x1b[31mred\x1b[0m\x07\x9b31m\x08 $(x)\n")
    note_sizes(run, T0_S + 9)

    async def drive(logs: Logs) -> None:
        assert logs.pointed.endswith("[bold red]red $(x)")
        assert not any(
            ord(character) < 32 or 127 <= ord(character) < 160 for line in screen_lines(app) for character in line
        )
        assert logs.screen.copied() == "[bold red]red $(x)"
        await logs.press("enter")
        assert not any(character in logs.text for character in "\x1b\x07\x08\x9b")

    look(app, feed, drive, row_of(run))


def test_a_queued_run_has_no_output_yet(app: DdptuiApp, feed: FakeFeed, results: MadeResults) -> None:
    async def drive(logs: Logs) -> None:
        assert "no output yet: the run waits in the queue" in logs.text
        await logs.press(
            "E", "n", "exclamation_mark", "c", "up", "G", "enter", "w", "t", "slash", "x", "enter", "escape"
        )
        assert logs.screen.copied() == ""
        assert logs.screen.exported().text == ""

    look(app, feed, drive, row_of(results.run("waits"), "queued"))


def test_without_any_run_it_says_where_they_begin(app: DdptuiApp, feed: FakeFeed) -> None:
    async def drive(logs: Logs) -> None:
        assert "no runs yet" in logs.text
        await logs.press(*(key.keys[0] for key in keys_of(Mode.LOGS) if not key.is_of_app))
        assert type(app.screen) is LogsScreen

    look(app, feed, drive)


def test_another_current_run_is_another_log(
    app: DdptuiApp, feed: FakeFeed, session: Session, run: MadeRun, long_run: MadeRun
) -> None:
    async def drive(logs: Logs) -> None:
        assert "digits/single-w1" in logs.text
        session.current = run.tag
        feed.show(feed.snapshot)
        await settle(app, logs.pilot)
        await logs.read()
        assert "digits/ddp-w2" in logs.text
        assert "step 2 of rank 0" in logs.text
        assert len(feed.sources) == 1

    session.current = long_run.tag
    look(app, feed, drive, row_of(run), row_of(long_run))


def test_somebody_may_come_with_a_rank_in_mind(app: DdptuiApp, feed: FakeFeed, run: MadeRun, long_run: MadeRun) -> None:
    async def drive(logs: Logs) -> None:
        app.go("logs", run.tag, 1)
        await settle(app, logs.pilot)
        await logs.read()
        assert "rank 1 of 2 · output" in logs.text
        assert "step 1 of rank 1" in logs.pointed

    look(app, feed, drive, row_of(long_run), row_of(run))


def test_a_log_that_started_over_is_shown_anew(app: DdptuiApp, feed: FakeFeed, long_run: MadeRun) -> None:
    async def drive(logs: Logs) -> None:
        await logs.press("up")
        long_run.paths.attempt(1).out(0).write_text("fresh\n")
        await logs.read()
        assert [row.removeprefix("▌").strip() for row in logs.rows] == ["fresh"]
        long_run.paths.attempt(1).out(0).unlink()
        await logs.read()
        assert logs.rows == ["  nothing in output yet: c goes on to the next source"]

    look(app, feed, drive, row_of(long_run))


def test_the_shown_lines_are_what_is_exported_and_copied(app: DdptuiApp, feed: FakeFeed, crashed: MadeRun) -> None:
    async def drive(logs: Logs) -> None:
        await logs.press("exclamation_mark")
        exported = logs.screen.exported()
        assert exported.name == "logs-ddp-w2-all"
        assert exported.text.splitlines() == [
            "[rank 0] Exception: peer is gone", *(f"[rank 1] {line}" for line in TRACEBACK.splitlines())
        ]  # fmt: skip
        assert logs.screen.copied() == "ValueError: expected 28x28 images"
        await logs.press("escape", "right_square_bracket")
        assert logs.screen.exported().text.splitlines()[0] == "step 0 of rank 0"

    look(app, feed, drive, row_of(crashed))


def test_a_search_over_a_long_log_says_how_far_it_is(app: DdptuiApp, feed: FakeFeed, long_run: MadeRun) -> None:
    async def drive(logs: Logs) -> None:
        await logs.pilot.press("slash", *"line 3 ")
        await settle(app, logs.pilot)  # nothing was read since
        assert "0 so far, 0% looked through" in logs.text
        assert "FOLLOW" in logs.text
        await logs.read()
        assert "nothing found" in logs.text

    look(app, feed, drive, row_of(long_run))


@pytest.mark.parametrize("size", [(80, 24), (20, 5), (5, 2), (200, 60)])
def test_it_shows_what_fits(app: DdptuiApp, feed: FakeFeed, crashed: MadeRun, size: tuple[int, int]) -> None:
    async def drive(logs: Logs) -> None:
        await logs.press("w", "t", "c", "enter", "slash", "x", "escape", "escape", "w", "t", "c", "c", "c", "up", "G")
        if size != (5, 2):
            assert "Value" in logs.text

    look(app, feed, drive, row_of(crashed), size=size)


def test_many_ranks_show_the_tabs_around_the_current_one(app: DdptuiApp, feed: FakeFeed, results: MadeResults) -> None:
    run = results.run("big", world_size=64, state="running")
    run.begin()
    for rank in range(64):
        run.log(rank, f"I am {rank}\n")

    async def drive(logs: Logs) -> None:
        app.go("logs", run.tag, 40)
        await settle(app, logs.pilot)
        await logs.read()
        tabs = screen_lines(app)[2]
        assert "all" in tabs
        assert " 40 " in tabs
        assert " 63 " not in tabs
        assert "everything" in tabs
        assert [row.removeprefix("▌").strip() for row in logs.rows] == ["I am 40"]

    look(app, feed, drive, row_of(run))


def test_plain_characters_are_enough(feed: FakeFeed, tmp_path: Path, crashed: MadeRun) -> None:
    app = DdptuiApp(feed, Session(results=str(tmp_path / "results"), host="box-01", is_ascii=True))  # type: ignore[arg-type]

    async def drive(logs: Logs) -> None:
        inner = [line[1:-1] for line in screen_lines(app) if "rank 1" in line or "Traceback" in line]
        assert inner
        assert all(line.isascii() for line in inner)
        assert any("x Traceback" in line for line in inner)

    look(app, feed, drive, row_of(crashed))


def test_a_run_that_is_deleted_while_it_is_shown_is_said_to_be(
    app: DdptuiApp, feed: FakeFeed, results: MadeResults
) -> None:
    run = results.run("short-lived", state="succeeded").begin().log(0, "what it wrote\n")
    other = results.run("other", state="succeeded")

    async def drive(logs: Logs) -> None:
        app.session.current = run.tag
        await logs.press("1", "5")
        assert "what it wrote" in logs.text
        feed.show(Snapshot(revision=2, read_s=T0_S, rows=(row_of(other, "succeeded"),)))
        await logs.read()
        assert f"{run.tag} was deleted: 1 shows the runs that are there" in logs.text
        assert "deleted" in screen_lines(app)[1]
        assert "what it wrote" not in logs.text
        assert "no output yet" not in logs.text

    look(app, feed, drive, row_of(run, "succeeded"), row_of(other, "succeeded"))
