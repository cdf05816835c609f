"""The one thread that draws: plotext keeps module state, and a chart takes longer than a frame may wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

__all__ = ["Painter"]

_Job = tuple[Callable[[], Any], Callable[[Any], None]]


class Painter:
    """Draws jobs one after the other; of one key only the newest that waits.

    Args:
        hand_over: takes a function of no arguments to the screen's thread.
        report: takes an exception that a job raised.

    Attributes:
        spent_s: processor seconds that all drawing has cost so far.
    """

    def __init__(self, hand_over: Callable[[Callable[[], None]], None], report: Callable[[Exception], None]) -> None:
        self._hand_over = hand_over
        self._report = report
        self._jobs: dict[object, _Job] = {}
        self._is_closed = False
        self._is_busy = False
        self._changed = threading.Condition()
        self.spent_s = 0.0
        self._thread = threading.Thread(target=self._work, name="painter", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def paint(self, key: object, draw: Callable[[], Any], deliver: Callable[[Any], None]) -> None:
        """See ``PainterPort``."""
        with self._changed:
            self._jobs.pop(key, None)
            self._jobs[key] = (draw, deliver)
            self._changed.notify_all()

    def wait_idle(self, timeout_s: float) -> bool:
        """Wait until nothing is drawn or waits; whether that came true."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._jobs and not self._is_busy, timeout_s)

    def close(self) -> None:
        """End; what waits is dropped."""
        with self._changed:
            self._is_closed = True
            self._jobs.clear()
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout=2.0)

    def _work(self) -> None:
        while (job := self._next()) is not None:
            draw, deliver = job
            begun_s = time.thread_time()
            try:
                value = draw()
            except Exception as error:  # noqa: BLE001 - a chart that cannot be drawn must not end the drawing
                self._report(error)
            else:
                self._hand_over(lambda deliver=deliver, value=value: deliver(value))  # type: ignore[misc]
            self.spent_s += time.thread_time() - begun_s
            with self._changed:
                self._is_busy = False
                self._changed.notify_all()

    def _next(self) -> _Job | None:
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._is_closed)
            if self._is_closed:
                return None
            key = next(iter(self._jobs))
            self._is_busy = True
            return self._jobs.pop(key)
