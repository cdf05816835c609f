"""Follow runs until they have ended. Everything shown comes from files: whoever kills the follower stops nothing."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Any, Protocol, Self

from engine.core.wording import count
from tui.follow_view import FollowView
from tui.run_row import RunReader
from tui.view.run_row import RunRow

__all__ = ["Followed", "Interrupts", "SupervisorClient", "follow"]

POLL_S = 0.25
SUPERVISOR_EVERY_S = 2.0


class SupervisorClient(Protocol):
    """What the follower may ask of the supervisor."""

    def ensure(self) -> bool:
        """Start a supervisor if there is none; return whether one had to be started."""
        ...

    def stop(self, tags: Sequence[str]) -> str:
        """Ask for these runs (``experiment/run``) to be stopped; return what the supervisor answered."""
        ...


@dataclass(frozen=True)
class Followed:
    """How the following ended: the last rows, and whether it was interrupted."""

    rows: list[RunRow]
    is_interrupted: bool


class Interrupts:
    """Count Ctrl-C while in the block: the first is only noted, the second raises KeyboardInterrupt.

    SIGTERM becomes an orderly SystemExit, so that a terminal gets its cursor back.
    """

    def __init__(self) -> None:
        self.count = 0
        self._before: list[tuple[int, Any]] = []

    def __enter__(self) -> Self:
        self._before = [
            (signal.SIGINT, signal.signal(signal.SIGINT, self._interrupt)),
            (signal.SIGTERM, signal.signal(signal.SIGTERM, self._terminate)),
        ]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before:
            signal.signal(number, handler)

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1
        if self.count > 1:
            raise KeyboardInterrupt

    def _terminate(self, number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)


def follow(
    readers: Sequence[RunReader],
    view: FollowView,
    supervisor: SupervisorClient,
    interrupts: Interrupts,
    *,
    may_stop: bool = True,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Followed:
    """Show the runs until all have ended, or until interrupted.

    A supervisor that died is started again: it adopts the runs that go on and takes up the queue.

    Args:
        readers: of the runs to follow.
        view: shows them; is entered already.
        supervisor: see ``SupervisorClient``.
        interrupts: entered already.
        may_stop: whether Ctrl-C stops the runs; else it only ends the following.
        clock: monotonic seconds.
        sleep: waits for so many seconds.
    """
    looked_s = clock()
    has_stopped = False
    while True:
        rows = [reader.read() for reader in readers]
        view.show(rows)
        rest = [row.tag for row in rows if not row.is_terminal]
        if interrupts.count and not may_stop:
            return Followed(rows, is_interrupted=True)
        if not rest:
            return Followed(rows, is_interrupted=has_stopped)
        if interrupts.count and not has_stopped:
            has_stopped = True
            view.note(f"stopping {count(len(rest), 'run')}; Ctrl-C again leaves at once, they are stopped all the same")
            view.note(supervisor.stop(rest))
        if clock() - looked_s >= SUPERVISOR_EVERY_S:
            looked_s = clock()
            if supervisor.ensure():
                view.note("the supervisor was gone: started another, which takes up the runs")
        sleep(POLL_S)
