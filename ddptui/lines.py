"""Append JSON lines to a file so that a killed process loses nothing it said.

Standard library only: this runs inside other people's processes.
One line is one ``os.write`` on an ``O_APPEND`` descriptor. After a short write (a full disk) the next line starts
with a newline, so that a torn line never swallows the one that follows it; the torn one comes again whole.
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections import deque
from typing import Any

from ddptui.privacy import FILE_MODE
from ddptui.streams import NO_ROOM

__all__ = ["LineWriter", "encode_line"]


MAX_WAITING_BYTES = 1 << 20
"""A quarter of an hour of the lines of a rank that says much."""


def encode_line(event: dict[str, Any]) -> bytes:
    """Return ``event`` as one compact JSON line; NaN and Infinity stay what they are (readers accept them)."""
    return json.dumps(event, separators=(",", ":"), default=str).encode() + b"\n"


class LineWriter:
    """Write the event lines of one rank (or one node).

    Never raises into the caller. Lines that cannot be written (a full disk) wait in memory, in their order, and follow
    once there is room; of those that there are too many of the newest are dropped, counted, and their number is said.

    Args:
        path: the file, made with its folder where missing.
        rank: written into every line; ``None`` for a node's own lines.
        attempt: written into every line.
        max_waiting_bytes: how much may wait.

    Attributes:
        num_lost: lines that were dropped, and lines that were cut in the middle.
        problem: the error number of the last write, 0 where it went well.
        last_problem: the last one that there was.
    """

    def __init__(
        self, path: str, *, rank: int | None, attempt: int, max_waiting_bytes: int = MAX_WAITING_BYTES
    ) -> None:
        self.path = path
        self.num_lost = 0
        self.problem = 0
        self.last_problem = 0
        self._common = {"rank": rank, "attempt": attempt}
        self._seq = 0
        self._is_torn = False
        self._fd = -1
        self._is_closed = False
        self._waiting: deque[bytes] = deque()
        self._num_waiting_bytes = 0
        self._max_waiting_bytes = max_waiting_bytes
        self._num_unsaid = 0
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
        except OSError as error:
            self._note(error)
        self._open()

    @property
    def no_room(self) -> int:
        """The error number of the last write where it said that there is no room, else 0."""
        return self.problem if self.problem in NO_ROOM else 0

    def write(self, kind: str, **fields: Any) -> bool:
        """Append one line with the common keys in front; return whether it was written whole."""
        line = self._encode(kind, fields)
        if self._waiting and not self.settle():
            self._keep(line)
            return False
        if self._num_unsaid and not self._say_lost():
            self._keep(line)
            return False
        if self._append(line):
            return True
        self._keep(line)
        return False

    def settle(self) -> bool:
        """Try to write what waits; return whether nothing waits any more."""
        while self._waiting:
            if not self._append(self._waiting[0]):
                return False
            self._num_waiting_bytes -= len(self._waiting.popleft())
        return True

    def close(self) -> None:
        """Close the file; what waits and later lines are lost and counted. May be called more than once."""
        self.settle()
        self.num_lost += len(self._waiting)
        self._waiting.clear()
        self._is_closed = True
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _encode(self, kind: str, fields: dict[str, Any]) -> bytes:
        event = {"kind": kind, "time_s": time.time(), "mono_s": time.monotonic(), "seq": self._seq, **self._common}
        self._seq += 1
        event.update(fields)
        return encode_line(event)

    def _keep(self, line: bytes) -> None:
        """Let it wait where there is room for that."""
        if self._is_closed or self._num_waiting_bytes + len(line) > self._max_waiting_bytes:
            self.num_lost += 1
            self._num_unsaid += not self._is_closed
            return
        self._waiting.append(line)
        self._num_waiting_bytes += len(line)

    def _say_lost(self) -> bool:
        """Say how many lines are missing here."""
        text = f"{self._num_unsaid} event lines are missing before this one: {os.strerror(self.last_problem)}"
        if not self._append(self._encode("message", {"level": "warning", "text": text, "is_loss": True})):
            return False
        self._num_unsaid = 0
        return True

    def _open(self) -> None:
        """Open the file; its folder is not made anew where somebody has deleted it."""
        try:
            self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, FILE_MODE)
        except OSError as error:
            self._note(error)

    def _append(self, line: bytes) -> bool:
        """Write a line in one piece; where only a part of it went in, it is to come again whole, on a new line."""
        if self._fd < 0 and not self._is_closed:
            self._open()
        if self._fd < 0:
            return False
        if self._is_torn:
            line = b"\n" + line
        try:
            written = os.write(self._fd, line)
        except OSError as error:
            self._note(error)
            return False
        if written < len(line):
            self._is_torn = self._is_torn or written > 0
            self.problem = self.last_problem = errno.ENOSPC  # the next write would say it
            return False
        self._is_torn = False
        self.problem = 0
        return True

    def _note(self, error: OSError) -> None:
        self.problem = self.last_problem = error.errno or 0
