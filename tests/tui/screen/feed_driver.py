"""Driving the feed without its thread: a clock that stands still until it is moved, and a list of what was posted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from made_results import T0_S, MadeResults
from textual.message import Message

from tui.feed.feed import Feed
from tui.messages import SnapshotReady
from tui.view.snapshot import Snapshot


class FeedDriver:
    """A feed, turned by hand.

    Args:
        results: the folder.
        cache_dir: where rows are kept.
        step_s: the clock moves on by so much whenever somebody looks at it: time passes while the feed reads.
        options: of the feed.
    """

    def __init__(
        self, results: MadeResults, cache_dir: Path | None = None, step_s: float = 0.0, **options: Any
    ) -> None:
        self.now_s = 1000.0
        self.step_s = step_s
        self.posted: list[Message] = []
        self.feed = Feed(
            results.paths, cache_dir=cache_dir, clock=lambda: T0_S + self.now_s, ticks=self._tick, **options
        )
        self.feed._post = self.posted.append

    def _tick(self) -> float:
        self.now_s += self.step_s
        return self.now_s

    def pass_time(self, seconds: float) -> None:
        self.now_s += seconds

    def turn(self, after_s: float = 0.0) -> float:
        self.now_s += after_s
        return self.feed.turn()

    def settle(self) -> Snapshot:
        """Turn until nothing is left to be said; what people did is seen, whatever file times say."""
        self.feed.look_now()
        for _ in range(20):
            self.turn(1.0)
        return self.feed.snapshot

    def count(self, kind: type[Message]) -> int:
        return sum(isinstance(message, kind) for message in self.posted)

    @property
    def snapshots(self) -> list[Snapshot]:
        return [message.snapshot for message in self.posted if isinstance(message, SnapshotReady)]
