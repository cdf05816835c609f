"""Read what others are still writing: JSON-line files by byte offset, beats, and a whole run folded together.

Nothing here raises for what it finds on disk: a missing file is an empty one, a line that is no event is garbage.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.core.events import MAX_LINE_BYTES, Event, decode_line
from engine.core.fields import whole_or
from engine.core.metrics import RunFold
from engine.store import AttemptPaths, RunPaths, read_json

__all__ = [
    "BEAT_STRUCT",
    "Beat",
    "RunFollower",
    "Tail",
    "TailState",
    "attempts_that_count",
    "event_files",
    "read_beat",
    "read_events",
]

MAX_BYTES_PER_READ = 1 << 20
ANCHOR_BYTES = 64

BEAT_STRUCT = struct.Struct("<qqd32s")
"""Step (-1 before the first), pid, monotonic seconds, phase padded with NUL."""

_EVENT_FILE = re.compile(r"(rank|node)\d{1,9}\.jsonl")


@dataclass(frozen=True)
class TailState:
    """Where a tail is in its file.

    Attributes:
        offset: so many bytes were read.
        anchor: the last of them, by which the file is known again: its inode number says less.
        half: what was kept back of a line whose end had not come.
    """

    offset: int
    anchor: bytes
    half: bytes


class Tail:
    """Follow one growing file.

    A half last line is kept back until its newline comes. A file that shrank or was replaced starts over: it has
    another inode, is shorter than what was read, or no longer holds the last bytes that were read (file systems give
    a freed inode number away at once). A vanished file gives nothing.

    Args:
        path: may not exist yet.
        max_bytes: read at most this much at a time.

    Attributes:
        num_restarts: how often the file started over.
        num_bytes: how much was read so far, over all restarts.
    """

    def __init__(self, path: str | os.PathLike[str], *, max_bytes: int = MAX_BYTES_PER_READ) -> None:
        self.path = os.fspath(path)
        self.num_restarts = 0
        self.num_bytes = 0
        self._max_bytes = max_bytes
        self._file_id: tuple[int, int] | None = None
        self._offset = 0
        self._anchor = b""
        self._half: list[bytes] = []
        self._half_bytes = 0
        self._is_too_long = False

    def read(self) -> list[bytes]:
        """Return the complete lines since the last call, without their newlines; a bounded number of bytes at once."""
        block = self.read_block()
        return [] if block is None else block.split(b"\n")

    def read_block(self) -> bytes | None:
        """Return what ``read`` does in one piece: whole lines, without the last newline; None where there is none."""
        chunk = self._read_chunk()
        if not chunk:
            return None
        self._offset += len(chunk)
        self.num_bytes += len(chunk)
        self._anchor = (self._anchor + chunk)[-ANCHOR_BYTES:]
        if b"\n" not in chunk:
            self._keep_back(chunk)
            return None
        block, _, rest = (b"".join(self._half) + chunk).rpartition(b"\n")
        self._half, self._half_bytes, self._is_too_long = [], 0, False
        self._keep_back(rest)
        return block

    def state(self) -> TailState | None:
        """Where it is, for another that goes on from there; None in the middle of a line that is too long."""
        if self._is_too_long:
            return None
        return TailState(self._offset, self._anchor, b"".join(self._half))

    def resume(self, state: TailState) -> bool:
        """Go on from where another was, if the file still is what that one read; return whether it is."""
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            return False
        try:
            status = os.fstat(fd)
            begin = state.offset - len(state.anchor)
            if begin < 0 or status.st_size < state.offset or (state.offset and not state.anchor):
                return False
            if os.pread(fd, len(state.anchor), begin) != state.anchor:
                return False
        except OSError:
            return False
        finally:
            os.close(fd)
        self._forget()
        self._file_id = (status.st_dev, status.st_ino)
        self._offset = self.num_bytes = state.offset
        self._anchor = state.anchor
        self._keep_back(state.half)
        return True

    def _read_chunk(self) -> bytes:
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            return b""
        try:
            status = os.fstat(fd)
            if self._is_another_file(fd, status):
                self.num_restarts += 1
                self._forget()
            self._file_id = (status.st_dev, status.st_ino)
            return os.pread(fd, self._max_bytes, self._offset) if status.st_size > self._offset else b""
        except OSError:
            return b""
        finally:
            os.close(fd)

    def _is_another_file(self, fd: int, status: os.stat_result) -> bool:
        if self._offset == 0:
            return False
        if self._file_id != (status.st_dev, status.st_ino) or status.st_size < self._offset:
            return True
        return os.pread(fd, len(self._anchor), self._offset - len(self._anchor)) != self._anchor

    def _keep_back(self, piece: bytes) -> None:
        """A line without end must not fill the memory: of one that is too long only the beginning is kept."""
        if self._is_too_long or not piece:
            return
        self._half.append(piece)
        self._half_bytes += len(piece)
        if self._half_bytes > MAX_LINE_BYTES:
            self._half, self._is_too_long = [b"".join(self._half)[:ANCHOR_BYTES]], True

    def _forget(self) -> None:
        self._offset = 0
        self._anchor = b""
        self._half = []
        self._half_bytes = 0
        self._is_too_long = False


def read_events(path: str | os.PathLike[str]) -> Iterator[Event | None]:
    """Yield what each complete line of the file holds now: an event, or None for garbage. Empty lines are skipped."""
    tail = Tail(path)
    num_bytes = -1
    while tail.num_bytes != num_bytes:
        num_bytes = tail.num_bytes
        for line in tail.read():
            if line.strip():
                yield decode_line(line)


@dataclass(frozen=True, kw_only=True)
class Beat:
    """Where a rank is: its last step (-1 before the first), phase, and the host's monotonic clock then."""

    step: int
    pid: int
    mono_s: float
    phase: str


def read_beat(path: str | os.PathLike[str]) -> Beat | None:
    """Return the beat in ``path``, or None where there is none (yet)."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            record = os.read(fd, BEAT_STRUCT.size)
        finally:
            os.close(fd)
    except OSError:
        return None
    if len(record) < BEAT_STRUCT.size:
        return None
    step, pid, mono_s, phase = BEAT_STRUCT.unpack(record)
    if pid <= 0:
        return None
    return Beat(step=step, pid=pid, mono_s=mono_s, phase=phase.split(b"\0")[0].decode("utf-8", "replace"))


class RunFollower:
    """Follow every event file of a run, attempt after attempt, into one ``RunFold``.

    Args:
        paths: the run's folder.
        spec: the run's ``run.json`` where the caller has it already.
    """

    def __init__(self, paths: RunPaths, spec: Mapping[str, Any] | None = None) -> None:
        self.paths = paths
        self.fold = RunFold(spec if spec is not None else read_json(paths.run) or {})
        self._tails: dict[Path, Tail] = {}

    def poll(self) -> bool:
        """Read a bounded amount of what is new; return whether there was anything."""
        for attempt in attempts_that_count(self.paths):
            before = sum(tail.num_bytes for tail in self._tails.values())
            for path in event_files(attempt):
                for line in self._tails.setdefault(path, Tail(path)).read():
                    if line.strip():
                        self.fold.add(decode_line(line))
            if sum(tail.num_bytes for tail in self._tails.values()) != before:
                return True  # an attempt is read to its end before the one that went on from it
        return False

    def read_all(self) -> RunFold:
        """Read to the present end of every file."""
        while self.poll():
            pass
        return self.fold

    def summary(self, status: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Read everything and return what ``summary.json`` holds; ``status`` is read from the folder if not given."""
        fold = self.read_all()
        attempts = self.paths.attempts()
        envs = _read_envs(attempts[-1]) if attempts else []
        status = status if status is not None else read_json(self.paths.status) or {}
        return fold.summary(status, envs, num_attempts=len(attempts))


def attempts_that_count(paths: RunPaths) -> list[AttemptPaths]:
    """The newest attempt, behind those that it went on from."""
    chain: list[AttemptPaths] = []
    for attempt in reversed(paths.attempts()):
        chain.insert(0, attempt)
        if whole_or(read_json(attempt.attempt) or {}, "resumed_from_step", 0) <= 0:
            break
    return chain


def event_files(attempt: AttemptPaths) -> list[Path]:
    """The event files of an attempt, by name; none where the folder cannot be read."""
    folder = attempt.root / "events"
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if _EVENT_FILE.fullmatch(entry.name))
    except OSError:
        return []
    return [folder / name for name in names]


def _read_envs(attempt: AttemptPaths) -> list[dict[str, Any]]:
    envs: list[dict[str, Any]] = []
    while (env := read_json(attempt.env(len(envs)))) is not None:
        envs.append(env)
    return envs
