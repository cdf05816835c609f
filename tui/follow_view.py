"""The two faces of the follower: bars on a terminal, plain lines in a pipe. They are told the runs and show them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self, TextIO

from engine.core.state import RunState
from tui.output import strip_escapes
from tui.progress_text import describe_end, describe_overall, describe_progress
from tui.view.run_row import RunRow

if TYPE_CHECKING:
    from tui.follow_bars import BarsView

__all__ = ["FollowView", "PlainView", "make_view"]

LINE_EVERY_S = 5.0
EPOCH_LINE_EVERY_S = 2.0


class FollowView(Protocol):
    """What the follower tells."""

    def __enter__(self) -> Self:
        """Take the stream."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the stream as it was found."""
        ...

    def show(self, rows: Sequence[RunRow]) -> None:
        """Show the runs as they are now."""
        ...

    def note(self, text: str) -> None:
        """Say one line that stays."""
        ...


def make_view(stream: TextIO | None = None) -> PlainView | BarsView:
    """Bars where ``stream`` (stderr) is a terminal that can draw them, else plain lines."""
    import os

    stream = stream or sys.stderr
    if stream.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown", ""):
        from tui.follow_bars import BarsView

        return BarsView(stream)
    return PlainView(stream)


class PlainView:
    """One line at each change of state; of a running run one at each epoch (short ones share one).

    Args:
        stream: gets no control characters.
        clock: monotonic seconds.
        every_s: between two lines of one run within a long epoch.
    """

    def __init__(
        self, stream: TextIO, *, clock: Callable[[], float] = time.monotonic, every_s: float = LINE_EVERY_S
    ) -> None:
        self._stream = stream
        self._clock = clock
        self._every_s = every_s
        self._states: dict[str, tuple[str, int | None]] = {}
        self._said: dict[str, tuple[float, int | None, int | None]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.flush()

    def show(self, rows: Sequence[RunRow]) -> None:
        """Say what changed."""
        for row in rows:
            if self._states.get(row.tag) != (row.state, row.attempt):
                is_new = row.tag not in self._states
                self._states[row.tag] = (row.state, row.attempt)
                if not (is_new and row.state == RunState.QUEUED):
                    self._say_state(row, rows)
            elif row.state == RunState.RUNNING:
                self._say_progress(row)
        self._stream.flush()

    def note(self, text: str) -> None:
        """Say one line."""
        self._stream.write(f"{strip_escapes(text)}\n")
        self._stream.flush()

    def _say_state(self, row: RunRow, rows: Sequence[RunRow]) -> None:
        if row.is_terminal:
            self.note(f"{row.tag}: {row.state}  {describe_end(row)}  [{describe_overall(rows)}]")
        else:
            self.note(f"{row.tag}: {row.state}{f' ({row.reason})' if row.reason else ''}")

    def _say_progress(self, row: RunRow) -> None:
        if row.step is None:
            return
        now = self._clock()
        said_s, epoch, step = self._said.get(row.tag, (float("-inf"), None, None))
        is_due = now - said_s >= self._every_s and row.step != step
        if is_due or (row.epoch != epoch and now - said_s >= EPOCH_LINE_EVERY_S):
            self._said[row.tag] = (now, row.epoch, row.step)
            self.note(f"{row.tag}: {describe_progress(row)}")
