"""Files that must be written in the end, also when the disk is full for a while; and the log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from ddptui.streams import NO_ROOM
from engine.store import write_json

__all__ = ["Log", "PatientWriter", "describe_os_error"]


def describe_os_error(error: OSError, folder: Path) -> str:
    """Return one line without Python's decoration: which file (in which folder, where that is not told), and why."""
    return f"{error.filename or folder}: {error.strerror or error}"


class Log:
    """Lines with the time in front. Never raises: the log may be on the disk that is full.

    Args:
        stream: stderr where None; ``engine.wake`` has pointed that at ``supervisor.log``.
        clock: Unix seconds.
    """

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.time) -> None:
        self._stream = stream or sys.stderr
        self._clock = clock
        self._last = ""

    def write(self, text: str) -> None:
        """Write ``text`` unless it is what was written last: a fault that lasts is one line, not one a tick."""
        if text == self._last:
            return
        self._last = text
        try:
            moment = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(self._clock()))
            self._stream.write(f"{moment} {text}\n")
            self._stream.flush()
        except (OSError, ValueError):
            return


class PatientWriter:
    """Replaces JSON files; what cannot be written now is kept, newest value per file, and tried again.

    What belonged into a folder that was deleted is dropped.

    Args:
        log: is told once for each file that cannot be written.
        write: replaces a file or raises OSError.
    """

    def __init__(self, log: Log, write: Callable[[Path, dict[str, Any]], None] = write_json) -> None:
        self._log = log
        self._write = write
        self._pending: dict[Path, dict[str, Any]] = {}
        self._last_errno: int | None = None
        self._complained: set[Path] = set()

    @property
    def num_pending(self) -> int:
        """How many files still hold something older than what was put."""
        return len(self._pending)

    @property
    def is_waiting_for_room(self) -> bool:
        """Whether something is not written, and the last that was tried found no room."""
        return bool(self._pending) and self._last_errno in NO_ROOM

    def is_pending(self, path: Path) -> bool:
        """Whether ``path`` still holds something older than what was put."""
        return path in self._pending

    def pending(self, path: Path) -> dict[str, Any] | None:
        """What was put and could not be written yet."""
        return self._pending.get(path)

    def forget(self, path: Path) -> None:
        """Do not try to write ``path`` again: what it should say was said in another way."""
        self._pending.pop(path, None)
        self._complained.discard(path)

    def put(self, path: Path, value: dict[str, Any]) -> bool:
        """Replace ``path`` by ``value``, now or later; return whether it is written."""
        self._pending.pop(path, None)
        try:
            self._write(path, value)
        except FileNotFoundError as error:  # its folder was deleted, and nobody will look there again
            self._log.write(f"cannot write {path}: {error.strerror or error}")
            return False
        except OSError as error:
            self._pending[path] = value
            self._last_errno = error.errno
            if path not in self._complained:
                self._complained.add(path)
                self._log.write(f"cannot write {path}, trying on: {error.strerror or error}")
            return False
        self._complained.discard(path)
        return True

    def retry(self) -> None:
        """Try again what could not be written; the first failure ends the round."""
        for path, value in list(self._pending.items()):
            if not self.put(path, value):
                return
