"""A step counter in shared memory, so that a benchmark can read how far a process is without asking it."""

from __future__ import annotations

import mmap
import os
import struct
from pathlib import Path

_RECORD = struct.Struct("<qq")


class StepCounter:
    """Written by the process under test: its pid and the number of steps it has taken."""

    def __init__(self, path: Path) -> None:
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.ftruncate(fd, _RECORD.size)
        self._map = mmap.mmap(fd, _RECORD.size)
        os.close(fd)
        self._pid = os.getpid()
        self._steps = 0
        _RECORD.pack_into(self._map, 0, self._pid, 0)

    def add(self) -> None:
        """Count one step."""
        self._steps += 1
        _RECORD.pack_into(self._map, 0, self._pid, self._steps)


def read_counter(path: Path) -> tuple[int, int] | None:
    """Return ``(pid, steps)``, or None before the process has made its counter."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    return _RECORD.unpack(content) if len(content) == _RECORD.size else None
