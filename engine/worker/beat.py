"""The beat of a rank: 64 mapped bytes that say where it is, for readers in other processes.

Layout ``<qqd32s``: step (int64, -1 before the first), pid (int64), monotonic seconds (double) of the last sign of life,
phase (UTF-8, NUL padded). A write is two stores into mapped memory: no system call, so it may be done at every phase.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from pathlib import Path
from typing import Protocol

__all__ = ["BEAT_BYTES", "DONE", "Beat", "MappedBeat", "NoBeat", "open_beat"]

BEAT_BYTES = 64
DONE = "done"
"""The last phase of a rank that came to its end: one that left before, with exit code 0 even, did not."""
_STEP = struct.Struct("<qq")
_LIFE = struct.Struct("<d32s")


class Beat(Protocol):
    """A sign of life."""

    def begin(self, step: int) -> None:
        """Say that ``step`` (0-based) is the one worked on."""

    def write(self, phase: str, mono_ns: int) -> None:
        """Say that ``phase`` began at ``mono_ns`` of the host's monotonic clock."""

    def close(self) -> None:
        """Let go of the record; what was said last stays readable."""


class NoBeat:
    """Says nothing, to nobody."""

    def begin(self, step: int) -> None:
        """See ``Beat``."""

    def write(self, phase: str, mono_ns: int) -> None:
        """See ``Beat``."""

    def close(self) -> None:
        """See ``Beat``."""


class MappedBeat:
    """Writes the record at ``path``.

    Raises:
        OSError: the file cannot be made or mapped.
    """

    def __init__(self, path: Path) -> None:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.pwrite(fd, bytes(BEAT_BYTES), 0)  # takes the room now: a mapped page without any would be SIGBUS
            self._record = mmap.mmap(fd, BEAT_BYTES)
        finally:
            os.close(fd)
        self._pid = os.getpid()
        self._names: dict[str, bytes] = {}
        self.begin(-1)
        self.write("startup", time.monotonic_ns())

    def begin(self, step: int) -> None:
        """See ``Beat``."""
        _STEP.pack_into(self._record, 0, step, self._pid)

    def write(self, phase: str, mono_ns: int) -> None:
        """See ``Beat``."""
        name = self._names.get(phase)
        if name is None:
            name = self._names[phase] = phase.encode()[:32]
        _LIFE.pack_into(self._record, 16, mono_ns * 1e-9, name)

    def close(self) -> None:
        """See ``Beat``."""
        self._record.flush()
        self._record.close()


def open_beat(folder: str | None, rank: int) -> Beat:
    """Return the writer of ``folder/rank<rank>``; one that does nothing where there is no folder or no room in it."""
    if not folder:
        return NoBeat()
    try:
        return MappedBeat(Path(folder) / f"rank{rank}")
    except OSError:
        return NoBeat()  # losing the beat must not cost the run
