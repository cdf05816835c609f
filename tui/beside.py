"""Work beside the screen: on threads of its own that hold up neither the keys nor the leaving."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any

__all__ = ["Beside"]

_Job = tuple[Callable[[], Any], Callable[[Any], None]]


class Beside:
    """Does work of several kinds, each kind on one thread at a time; of a kind only the newest that waits is done.

    The threads are daemons and nobody joins them: a plan of a hundred thousand runs or a check that loads torch from a
    cold file system must not keep the screen from closing. Textual's thread workers are joined as the loop ends.

    Args:
        hand_over: takes a function of no arguments to the screen's thread.
    """

    def __init__(self, hand_over: Callable[[Callable[[], None]], Any]) -> None:
        self._hand_over = hand_over
        self._waiting: dict[str, _Job] = {}
        self._busy: set[str] = set()
        self._changed = threading.Condition()

    def do(self, kind: str, work: Callable[[], Any], then: Callable[[Any], None]) -> None:
        """Call ``work`` on a thread and ``then`` with its value, or with what it raised, on the screen's thread."""
        with self._changed:
            self._waiting[kind] = (work, then)
            if kind in self._busy:
                return
            self._busy.add(kind)
        threading.Thread(target=self._run, args=(kind,), name=f"beside-{kind}", daemon=True).start()

    def is_busy(self, kind: str) -> bool:
        """Whether something of that kind is being done or waits."""
        with self._changed:
            return kind in self._busy

    def wait_idle(self, timeout_s: float) -> bool:
        """Wait until nothing is done or waits; whether that came true."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._busy, timeout_s)

    def _run(self, kind: str) -> None:
        while (job := self._next(kind)) is not None:
            work, then = job
            try:
                value = work()
            except Exception as error:  # noqa: BLE001 - it is a value for ``then``, which shows it
                value = error
            with contextlib.suppress(RuntimeError):  # the screen's loop has closed
                self._hand_over(lambda then=then, value=value: then(value))  # type: ignore[misc]

    def _next(self, kind: str) -> _Job | None:
        with self._changed:
            job = self._waiting.pop(kind, None)
            if job is None:
                self._busy.discard(kind)
                self._changed.notify_all()
            return job
