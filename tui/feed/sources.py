"""What screens want to have read beside the runs: logs and the like, in slices, each in its turn."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from queue import SimpleQueue

from tui.view.ports import Source

__all__ = ["SourceReader"]

SLICE_S = 0.05


class SourceReader:
    """The sources that were added. ``add`` and ``remove`` may be called on any thread, the rest on the feed's.

    Args:
        clock: seconds that only grow.

    Attributes:
        changed_s: when a source was different the last time.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.changed_s = float("-inf")
        self._clock = clock
        self._wishes: SimpleQueue[tuple[bool, Source]] = SimpleQueue()
        self._sources: deque[Source] = deque()
        self._told: dict[int, int] = {}
        self._is_closed = False

    def add(self, source: Source) -> None:
        """Read it from the next turn on."""
        self._wishes.put((True, source))

    def remove(self, source: Source) -> None:
        """Close it in the next turn; at once where there will be none."""
        if self._is_closed:
            source.close()
        else:
            self._wishes.put((False, source))

    def read(self) -> bool:
        """Read all until nothing waits or the slice of time is over; return whether more waits."""
        self._carry_out_wishes()
        waiting = len(self._sources)
        deadline_s = self._clock() + SLICE_S
        while waiting > 0 and self._clock() < deadline_s:
            self._sources.rotate(-1)  # before the reading: one that fails does not hold up the others
            waiting = len(self._sources) if self._sources[-1].poll() else waiting - 1
        if any(self._told.get(id(source)) != source.revision for source in self._sources):
            self.changed_s = self._clock()
        return waiting > 0

    def take_change(self) -> bool:
        """Whether a source is different since the last call."""
        revisions = {id(source): source.revision for source in self._sources}
        is_changed = bool(revisions.items() - self._told.items())
        self._told = revisions
        return is_changed

    def close(self) -> None:
        """Close all."""
        self._is_closed = True
        self._carry_out_wishes()
        while self._sources:
            self._sources.popleft().close()

    def _carry_out_wishes(self) -> None:
        while not self._wishes.empty():
            is_new, source = self._wishes.get()
            is_known = any(known is source for known in self._sources)
            if is_new and not is_known:
                self._sources.append(source)
                self._told[id(source)] = source.revision
            elif not is_new and is_known:
                self._sources = deque(known for known in self._sources if known is not source)
                self._told.pop(id(source), None)
                source.close()
