"""Whose a results folder is."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable

from ddptui.privacy import FILE_MODE
from engine.core.errors import DdptuiError
from engine.processes import Handle, is_alive
from engine.store import ResultsPaths, make_folder

__all__ = ["FolderLock"]

_HANDOVER_S = 3.0
"""How long to wait for a holder that has taken its name out and is about to leave (or has not put it in yet)."""


class FolderLock:
    """Held with ``flock`` for life, with the holder's handle as the file's content.

    ``flock`` decides between supervisors of one host; where the file system does not carry it to other hosts, the
    content does. The file is never replaced or removed by us: a lock on a file that lost its name protects nothing.

    Args:
        results: the folder.
        owner: who wants it.
    """

    def __init__(self, results: ResultsPaths, owner: Handle) -> None:
        self._path = results.lock
        self._root = results.root
        self._owner = owner
        self._fd = -1

    def acquire(
        self, *, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> bool:
        """Take the lock; a holder that is dead or of an earlier boot does not count.

        Returns:
            False where a living supervisor of this host has it.

        Raises:
            DdptuiError: a supervisor of another host has it.
            OSError: the lock file cannot be opened or locked.
        """
        make_folder(self._path.parent)
        deadline = clock() + _HANDOVER_S
        while True:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
            is_locked = _try_lock(fd)
            holder = _read_holder(fd)
            if is_locked and self._is_free_of(holder) and self._is_named(fd):
                self._fd = fd
                self.name_owner()
                return True
            os.close(fd)
            if not self._is_free_of(holder) or clock() >= deadline:
                return False
            sleep(0.05)

    def is_held(self) -> bool:
        """Whether we hold the file that has the name now (somebody may have deleted it)."""
        return self._fd >= 0 and self._is_named(self._fd)

    def name_owner(self) -> None:
        """Write our name into the lock."""
        content = json.dumps(self._owner.to_json()).encode()
        os.pwrite(self._fd, content, 0)
        os.ftruncate(self._fd, len(content))

    def clear_name(self) -> None:
        """Take our name out while still holding the lock: whoever looks now starts the next supervisor."""
        os.ftruncate(self._fd, 0)

    def release(self) -> None:
        """Give the lock up. May be called more than once."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _is_free_of(self, holder: Handle | None) -> bool:
        if holder is None or holder == self._owner:
            return True
        alive = is_alive(holder)
        if alive is None:
            raise DdptuiError(
                f"{self._root} belongs to a supervisor on host {holder.host} (pid {holder.pid}): use ddptui there, or, "
                f"if that machine is gone for good, delete {self._path}"
            )
        return not alive

    def _is_named(self, fd: int) -> bool:
        try:
            named, ours = os.stat(self._path), os.fstat(fd)
        except OSError:
            return False
        return (named.st_dev, named.st_ino) == (ours.st_dev, ours.st_ino)


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read_holder(fd: int) -> Handle | None:
    try:
        return Handle.from_json(json.loads(os.pread(fd, 4096, 0)))
    except (OSError, ValueError):
        return None
