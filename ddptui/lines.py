"""Append JSON lines to a file so that a killed process loses nothing it said.

Standard library only: this runs inside other people's processes.
One line is one ``os.write`` on an ``O_APPEND`` descriptor. After a short write (a full disk) the next line starts
with a newline, so that a torn line never swallows the one that follows it.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any

__all__ = ["LineWriter", "encode_line"]


def encode_line(event: dict[str, Any]) -> bytes:
    """Return ``event`` as one compact JSON line; NaN and Infinity stay what they are (readers accept them)."""
    return json.dumps(event, separators=(",", ":"), default=str).encode() + b"\n"


class LineWriter:
    """Write the event lines of one rank (or one node).

    Never raises into the caller: a line that cannot be written is counted in ``num_lost`` and forgotten.

    Args:
        path: the file, made with its folder where missing.
        rank: written into every line; ``None`` for a node's own lines.
        attempt: written into every line.
    """

    def __init__(self, path: str, *, rank: int | None, attempt: int) -> None:
        self.path = path
        self.num_lost = 0
        self._common = {"rank": rank, "attempt": attempt}
        self._seq = 0
        self._is_torn = False
        self._fd = -1
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError:
            self.num_lost = 1

    def write(self, kind: str, **fields: Any) -> bool:
        """Append one line with the common keys in front; return whether it was written whole."""
        event = {"kind": kind, "time_s": time.time(), "mono_s": time.monotonic(), "seq": self._seq, **self._common}
        self._seq += 1
        event.update(fields)
        return self._append(encode_line(event))

    def close(self) -> None:
        """Close the file; later lines are lost and counted. May be called more than once."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _append(self, line: bytes) -> bool:
        if self._is_torn:
            line = b"\n" + line
        try:
            written = os.write(self._fd, line)
        except OSError:
            self.num_lost += 1
            return False
        self._is_torn = written < len(line)
        self.num_lost += self._is_torn
        return not self._is_torn
