"""What screens may ask of the app and its feed: the real ones are in ``tui.app`` and ``tui.feed``, tests have fakes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from tui.view.session import Session
from tui.view.snapshot import Snapshot

if TYPE_CHECKING:
    from engine.core.curves import RunCurves  # these two load what the first picture does not need
    from tui.view.comparison import Comparison

__all__ = ["FeedPort", "PainterPort", "ScreenApp", "Source"]


class Source(Protocol):
    """Something that grows on disk and is read in slices on the feed's thread: a log, a run's event lines."""

    @property
    def revision(self) -> int:
        """Another number for another content; read from any thread."""
        ...

    def poll(self) -> bool:
        """Read what is new, for at most some 20 ms; return whether more waits. On the feed's thread only."""
        ...

    def close(self) -> None:
        """Nobody wants it any more: write caches, free memory. On the feed's thread only."""
        ...


class FeedPort(Protocol):
    """The reading side of the screen: one thread reads, everybody else takes what is there."""

    @property
    def snapshot(self) -> Snapshot:
        """The newest."""
        ...

    def watch_curves(self, tags: Collection[str]) -> None:
        """From now on read the event lines of these runs (and of no others)."""
        ...

    def curves(self, tag: str) -> RunCurves | None:
        """What was read of a watched run so far; None before the first reading."""
        ...

    def watch_comparison(self, experiment: str | None) -> None:
        """From now on keep the comparison of this experiment fresh, or of none."""
        ...

    def comparison(self) -> Comparison | None:
        """The newest comparison of the watched experiment; None before the first."""
        ...

    def add_source(self, source: Source) -> None:
        """Read it from now on."""
        ...

    def remove_source(self, source: Source) -> None:
        """Close it."""
        ...

    def look_now(self) -> None:
        """Do not wait for the next turn: a person has just changed something."""
        ...


class PainterPort(Protocol):
    """The one thread that draws."""

    def paint(self, key: object, draw: Callable[[], Any], deliver: Callable[[Any], None]) -> None:
        """Call ``draw`` on the painter's thread and ``deliver`` its value on the screen's thread.

        A job that waits with the same ``key`` is replaced.
        """
        ...


class ScreenApp(Protocol):
    """What a screen or widget may ask of the app."""

    feed: FeedPort
    painter: PainterPort
    session: Session

    def go(self, mode: str, tag: str | None = None, rank: int | None = None) -> None:
        """Show a mode, of that run and rank where given."""
        ...

    def carry_out(self, what: str, tags: Sequence[str]) -> None:
        """Begin an action (``stop``, ``kill``, ...) on runs, as if its key was pressed."""
        ...
