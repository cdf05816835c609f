"""Driving the screen without a terminal: a feed that shows what the test puts into it, and what a person then sees."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from textual.message import Message

from engine.core.curves import RunCurves
from tui.app import DdptuiApp
from tui.messages import ComparisonReady, CurvesChanged, SnapshotReady, SourcesChanged
from tui.view.comparison import Comparison
from tui.view.ports import Source
from tui.view.snapshot import EMPTY, Snapshot


class FakeFeed:
    """A feed that shows what the test puts into it, and polls sources when it is told to."""

    def __init__(self) -> None:
        self.snapshot: Snapshot = EMPTY
        self.watched: tuple[str, ...] = ()
        self.curves_by_tag: dict[str, RunCurves] = {}
        self.watched_experiment: str | None = None
        self.the_comparison: Comparison | None = None
        self.sources: list[Source] = []
        self.num_looks = 0
        self._post: Callable[[Message], Any] = lambda message: None

    def start(self, post: Callable[[Message], Any]) -> None:
        self._post = post
        if self.snapshot is not EMPTY:
            post(SnapshotReady(self.snapshot))

    def close(self) -> None:
        for source in self.sources:
            source.close()

    def show(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self._post(SnapshotReady(snapshot))

    def show_curves(self, **curves: RunCurves) -> None:
        self.curves_by_tag.update(curves)
        self._post(CurvesChanged())

    def show_comparison(self, comparison: Comparison) -> None:
        self.the_comparison = comparison
        self._post(ComparisonReady())

    def poll_sources(self) -> None:
        for source in self.sources:
            while source.poll():
                pass
        self._post(SourcesChanged())

    def watch_curves(self, tags: Collection[str]) -> None:
        self.watched = tuple(tags)

    def curves(self, tag: str) -> RunCurves | None:
        return self.curves_by_tag.get(tag)

    def watch_comparison(self, experiment: str | None) -> None:
        self.watched_experiment = experiment

    def comparison(self) -> Comparison | None:
        return self.the_comparison

    def add_source(self, source: Source) -> None:
        self.sources.append(source)

    def remove_source(self, source: Source) -> None:
        self.sources.remove(source)
        source.close()

    def look_now(self) -> None:
        self.num_looks += 1


def screen_lines(app: DdptuiApp) -> list[str]:
    """What a person sees, line by line."""
    return ["".join(segment.text for segment in strip) for strip in app.screen._compositor.render_strips()]


def screen_text(app: DdptuiApp) -> str:
    """What a person sees."""
    return "\n".join(screen_lines(app))


async def settle(app: DdptuiApp, pilot: Any, rounds: int = 3) -> None:
    """Wait until messages are handled and pictures are drawn and shown."""
    for _ in range(rounds):
        await pilot.pause()
        app.painter.wait_idle(10)
        await pilot.pause()
