"""The lines of several files in one order: by time, then by rank; within a file as they stand there.

Lines lie in runs (a piece of one file that no other file's line interrupts), and only the runs are stored: 16 bytes
each. Output whose times come from one sample a second has few of them, however many lines it has.
"""

from __future__ import annotations

import heapq
import time
from array import array
from bisect import bisect_right
from collections.abc import Sequence

from engine.logbook.files import LogFile

__all__ = ["Order"]

_LINE_BITS = 40
_LINE_MASK = (1 << _LINE_BITS) - 1
_RUNS_PER_LOOK = 256
"""Between two looks at the clock."""

_Key = tuple[float, int]


class Order:
    """Complete lines of files, merged as they grow. ``advance`` is called on one thread; the rest from any.

    Args:
        files: in the order of lines of equal or unknown time.
    """

    def __init__(self, files: Sequence[LogFile]) -> None:
        self.files = list(files)
        self.num_lines = 0
        self._starts = array("Q")
        self._entries = array("Q")
        self._placed = [0] * len(self.files)

    def at(self, position: int) -> tuple[int, int, int]:
        """Return the file, its line, and how many lines of the same run follow including this one.

        Raises:
            IndexError: there is no such line (any more).
        """
        if not 0 <= position < self.num_lines:
            raise IndexError(position)
        run = bisect_right(self._starts, position) - 1
        start, entry = self._starts[run], self._entries[run]
        end = self._starts[run + 1] if run + 1 < len(self._starts) else self.num_lines
        return entry >> _LINE_BITS, (entry & _LINE_MASK) + position - start, end - position

    def back_from(self, position: int) -> int:
        """Return how many lines of the run of ``position`` stand before it."""
        return position - self._starts[bisect_right(self._starts, position) - 1]

    @property
    def num_waiting(self) -> int:
        """How many complete lines are not placed yet."""
        return sum(len(file.index) - placed for file, placed in zip(self.files, self._placed, strict=True))

    def advance(self, until_s: float) -> int | None:
        """Place lines until all are placed or the (monotonic) time has come.

        Returns:
            The position from which on earlier placed lines were moved, None where none was.
        """
        waiting = [file for file in range(len(self.files)) if self._placed[file] < len(self.files[file].index)]
        cut = self._make_room(min((self._key(file, self._placed[file]) for file in waiting), default=None))
        if cut is not None:  # lines of other files wait again too
            waiting = [file for file in range(len(self.files)) if self._placed[file] < len(self.files[file].index)]
        heads = [self._key(file, self._placed[file]) for file in waiting]
        heapq.heapify(heads)
        num_runs = 0
        while heads and not (num_runs % _RUNS_PER_LOOK == 0 and num_runs and time.monotonic() >= until_s):
            num_runs += 1
            file = heapq.heappop(heads)[1]
            self._place(file, self._lines_up_to(file, heads[0] if heads else None))
            if self._placed[file] < len(self.files[file].index):
                heapq.heappush(heads, self._key(file, self._placed[file]))
        return cut

    def _key(self, file: int, line: int) -> _Key:
        return self.files[file].time_s(line) or 0.0, file

    def _lines_up_to(self, file: int, limit: _Key | None) -> int:
        """Return the first line of the file that comes after ``limit``."""
        first, num_lines = self._placed[file], len(self.files[file].index)
        if limit is None:
            return num_lines
        step = 1
        while first + step < num_lines and self._key(file, first + step) < limit:
            step *= 2
        low, high = first + step // 2, min(first + step, num_lines)
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self._key(file, middle) < limit else (low, middle)
        return max(low, first + 1)

    def _place(self, file: int, up_to: int) -> None:
        first = self._placed[file]
        last_run = len(self._entries) - 1
        if last_run < 0 or not self._continues(last_run, file, first):
            self._starts.append(self.num_lines)
            self._entries.append(file << _LINE_BITS | first)
        self._placed[file] = up_to
        self.num_lines += up_to - first

    def _continues(self, run: int, file: int, line: int) -> bool:
        entry = self._entries[run]
        return entry >> _LINE_BITS == file and (entry & _LINE_MASK) + self.num_lines - self._starts[run] == line

    def _make_room(self, key: _Key | None) -> int | None:
        """Take back what stands behind a line that came late; return from where on."""
        if key is None:
            return None
        before = self.num_lines
        while self._entries:
            file, first = self._entries[-1] >> _LINE_BITS, self._entries[-1] & _LINE_MASK
            last = first + self.num_lines - self._starts[-1] - 1
            if file == key[1] or self._key(file, last) < key:
                break
            keep = self._first_after(file, first, last, key)
            self._placed[file] = keep
            self.num_lines = self._starts[-1] + keep - first
            if keep > first:
                break
            self._starts.pop()
            self._entries.pop()
        return self.num_lines if self.num_lines < before else None

    def _first_after(self, file: int, first: int, last: int, key: _Key) -> int:
        low, high = first, last
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self._key(file, middle) < key else (low, middle)
        return low
