"""The Charts mode driven without a terminal: runs go in, keys are pressed, and what a person sees comes out."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from made_curves import MadeCurves, make_row, make_snapshot
from screen_driver import FakeFeed, screen_lines, screen_text, settle

from tui.app import DdptuiApp
from tui.keys import Mode
from tui.view.run_row import RunRow
from tui.view.session import Session

TWO = ("digits/single-w1-r0-aaaaaa", "digits/ddp-w2-r0-bbbbbb")
METRICS = ("loss", "test_loss", "accuracy", "samples_per_s", "step_s", "comm_s", "lr", "cpu_percent")

Runs = tuple[Sequence[RunRow], dict[str, MadeCurves]]


def two_runs(num_points: int = 100) -> Runs:
    """A run that has ended and one that goes on, with eight metrics each."""
    rows = (
        make_row("single-w1-r0-aaaaaa", point="single-w1-aaaaaa", state="succeeded"),
        make_row("ddp-w2-r0-bbbbbb", point="ddp-w2-bbbbbb", state="running"),
    )
    curves = {}
    for place, row in enumerate(rows):
        column = [place + 2 + math.cos(step / 9) for step in range(num_points)]
        curves[row.tag] = MadeCurves(**dict.fromkeys(METRICS, column))
    return rows, curves


class Seen:
    """The screen while a test tells its story."""

    def __init__(self, app: DdptuiApp, feed: FakeFeed, session: Session, pilot: Any) -> None:
        self.app = app
        self.feed = feed
        self.session = session
        self.pilot = pilot

    @property
    def screen(self) -> Any:
        return self.app.screen

    @property
    def text(self) -> str:
        return screen_text(self.app)

    @property
    def lines(self) -> list[str]:
        return screen_lines(self.app)

    @property
    def header(self) -> str:
        """The line below the top bar."""
        return self.lines[1]

    async def press(self, *keys: str) -> str:
        """Press keys, wait, and return what is seen then."""
        await self.pilot.press(*keys)
        await self.settle()
        return self.text

    async def settle(self) -> None:
        await settle(self.app, self.pilot, rounds=2)


def tell(
    story: Callable[[Seen], Awaitable[None]],
    *,
    size: tuple[int, int] = (120, 40),
    runs: Runs | None = None,
    marked: Sequence[str] | None = None,
    **choices: Any,
) -> None:
    """Open Charts on two runs, or on those given, and go on with the story."""
    rows, curves = two_runs() if runs is None else runs
    feed = FakeFeed()
    feed.snapshot = make_snapshot(*rows)
    feed.curves_by_tag.update(curves)
    session = Session(results="results", host="box-01", **choices)
    session.marked[:] = list(curves) if marked is None else list(marked)
    app = DdptuiApp(feed, session, mode=Mode.CHARTS)  # type: ignore[arg-type]

    async def drive() -> None:
        async with app.run_test(size=size) as pilot:
            seen = Seen(app, feed, session, pilot)
            await settle(app, pilot)
            await story(seen)

    asyncio.run(drive())
