"""Where the lines of a growing file begin, without their text: 8 bytes a line."""

from __future__ import annotations

import contextlib
import math
import os
import re
from array import array

from engine.core.events import MAX_LINE_BYTES

__all__ = ["EventIndex", "LineIndex"]

CHUNK_BYTES = 1 << 20
ANCHOR_BYTES = 64

_NEWLINE = re.compile(b"\n")
_TIME = re.compile(rb'"time_s": ?(-?[0-9.eE+-]+)')


class LineIndex:
    """The lines of one growing file.

    A file that shrank, was replaced (another inode, or not the bytes that were read last) or vanished starts over.
    ``advance`` is called on one thread; the rest may be read from any.

    Args:
        path: may not exist yet.

    Attributes:
        ends: the offset behind the newline of each complete line.
        size: how many bytes were looked at; what is behind the last of ``ends`` is a line still being written.
        generation: how often the file started over.
        num_bytes: of the file when it was last looked at.
        written_s: when the file was last written (Unix time), None where there is none.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self.ends = array("Q")
        self.size = 0
        self.generation = 0
        self.num_bytes = 0
        self.written_s: float | None = None
        self._seen: tuple[int, int, int, int] | None = None
        self._anchor = b""

    def __len__(self) -> int:
        """How many lines are complete."""
        return len(self.ends)

    @property
    def partial_bytes(self) -> int:
        """How many bytes there are of a line that is still being written."""
        ends = self.ends
        return max(self.size - (ends[-1] if ends else 0), 0)

    def span(self, line: int) -> tuple[int, int]:
        """Where a line begins and ends, its newline included; one line more than ``len`` is the one being written."""
        ends = self.ends
        start = ends[line - 1] if line else 0
        return start, ends[line] if line < len(ends) else self.size

    def measure(self) -> None:
        """See how long the file is, without looking into it."""
        with contextlib.suppress(OSError):
            status = os.stat(self.path)
            self.num_bytes, self.written_s = status.st_size, status.st_mtime

    def advance(self) -> bool:
        """Look at one more piece of the file; return whether more waits."""
        try:
            status = os.stat(self.path)
        except FileNotFoundError:
            if self.size:
                self._forget()
            return False
        except OSError:  # a file server that is away for a moment: keep what is known
            return False
        seen = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        if seen == self._seen and self.size == status.st_size:
            return False
        try:
            self._read(seen)
        except OSError:
            return False
        return self.size < self.num_bytes

    def _read(self, seen: tuple[int, int, int, int]) -> None:
        fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            status = os.fstat(fd)
            if self._is_another_file(fd, status):
                self._forget()
            chunk = os.pread(fd, CHUNK_BYTES, self.size) if status.st_size > self.size else b""
        finally:
            os.close(fd)
        self._seen = seen
        self.num_bytes = status.st_size
        self.written_s = status.st_mtime
        if chunk:
            self._anchor = (self._anchor + chunk[-ANCHOR_BYTES:])[-ANCHOR_BYTES:]
            self._take(chunk)

    def _take(self, chunk: bytes) -> None:
        base = self.size
        self.ends.extend([base + match.end() for match in _NEWLINE.finditer(chunk)])
        self.size = base + len(chunk)

    def _is_another_file(self, fd: int, status: os.stat_result) -> bool:
        if self.size == 0 or self._seen is None:
            return False
        if self._seen[:2] != (status.st_dev, status.st_ino) or status.st_size < self.size:
            return True
        return os.pread(fd, len(self._anchor), self.size - len(self._anchor)) != self._anchor

    def _forget(self) -> None:
        self.ends = array("Q")  # not cleared: another thread may be reading it
        self.size = 0
        self.num_bytes = 0
        self.generation += 1
        self.written_s = None
        self._seen = None
        self._anchor = b""


class EventIndex(LineIndex):
    """The lines of an event file, with the time that each carries.

    Attributes:
        times: ``time_s`` of each complete line; of one without (or one that steps back) that of the line before.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(path)
        self.times = array("d")
        self._half = b""

    def _take(self, chunk: bytes) -> None:
        *lines, half = (self._half + chunk).split(b"\n")
        last_s = self.times[-1] if self.times else 0.0
        for line in lines:
            last_s = max(last_s, _time_in(line))
            self.times.append(last_s)
        self._half = half if len(half) <= MAX_LINE_BYTES else half[:ANCHOR_BYTES]
        super()._take(chunk)

    def _forget(self) -> None:
        super()._forget()
        self.times = array("d")
        self._half = b""


def _time_in(line: bytes) -> float:
    match = _TIME.search(line)
    try:
        time_s = float(match[1]) if match else 0.0
    except ValueError:
        return 0.0
    return time_s if math.isfinite(time_s) else 0.0
