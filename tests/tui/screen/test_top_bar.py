from __future__ import annotations

import asyncio
import time

import pytest
from screen_driver import FakeFeed, screen_lines
from test_screen_actions import make_row

from tui.app import DdptuiApp
from tui.view.age import age_of
from tui.view.session import Session
from tui.view.snapshot import EMPTY, Snapshot

NOW_S = 1_790_000_000.0


def first_line(app: DdptuiApp, width: int) -> str:
    seen = ""

    async def drive() -> None:
        nonlocal seen
        async with app.run_test(size=(width, 24)) as pilot:
            await pilot.pause()
            seen = screen_lines(app)[0]

    asyncio.run(drive())
    return seen


@pytest.mark.parametrize("width", [200, 120, 100, 80, 72, 60, 50])
def test_the_age_is_seen_at_every_width(width: int, app: DdptuiApp, feed: FakeFeed) -> None:
    feed.snapshot = Snapshot(revision=1, read_s=NOW_S, rows=(make_row("a", "running"),))
    line = first_line(app, width)
    assert len(line) == width
    assert "no data yet" in line
    assert "1 Runs" in line


def test_the_modes_keep_their_names_in_eighty_columns_and_the_host_gives_way(app: DdptuiApp, feed: FakeFeed) -> None:
    feed.snapshot = Snapshot(revision=1, read_s=NOW_S, rows=(make_row("a", ended_s=time.time() - 1),))
    line = first_line(app, 80)
    assert "3 Compare" in line
    assert "idle, last " in line


def test_what_matters_less_falls_off_first(app: DdptuiApp, feed: FakeFeed, session: Session) -> None:
    session.is_readonly = True
    feed.snapshot = Snapshot(revision=1, read_s=NOW_S, rows=(make_row("a", "running"),), is_held=True)
    line = first_line(app, 200)
    for word in ("queue held", "read only", "1 running", "box-01"):
        assert word in line


def test_a_click_on_a_mode_shows_it(app: DdptuiApp, feed: FakeFeed) -> None:
    async def drive() -> str:
        async with app.run_test(size=(120, 24)) as pilot:
            await pilot.pause()
            column = screen_lines(app)[0].index("5 Logs")
            await pilot.click(offset=(column + 2, 0))
            await pilot.pause()
            return type(app.screen).__name__

    assert asyncio.run(drive()) == "LogsScreen"


@pytest.mark.parametrize(
    ("last_event_s", "text", "is_stale"),
    [(NOW_S - 0.2, "data <1s", False), (NOW_S - 4, "data 4s", False), (NOW_S - 40, "stale 40s", True)],
)
def test_the_age_is_that_of_the_newest_line_of_what_runs(last_event_s: float, text: str, is_stale: bool) -> None:
    rows = (make_row("a", "running", last_event_s=last_event_s), make_row("b", ended_s=NOW_S))
    age = age_of(Snapshot(revision=1, read_s=NOW_S, rows=rows), NOW_S)
    assert (age.text, age.is_stale) == (text, is_stale)


def test_when_nothing_runs_the_words_stand_still() -> None:
    snapshot = Snapshot(revision=1, read_s=NOW_S, rows=(make_row("a", ended_s=NOW_S - 60),))
    assert age_of(snapshot, NOW_S) == age_of(snapshot, NOW_S + 30)
    assert age_of(snapshot, NOW_S).text.startswith("idle, last ")
    assert age_of(EMPTY, NOW_S).text == "reading"
