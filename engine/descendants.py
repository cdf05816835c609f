"""What a process has started, however that detached itself since: the kernel gives it its descendants' orphans.

A mark in the environment is lost by ``env -i``, a session by ``setsid``, a parent by its death; a subreaper still has
them. Where the kernel knows none (not on Linux) only children of living parents are found.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys

import psutil

__all__ = ["adopt_orphans", "list_descendants", "reap_orphans"]

_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """From now on a descendant of this process whose parent dies becomes its child."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def list_descendants() -> list[psutil.Process]:
    """Return the living descendants of this process; zombies are none."""
    return [process for process in psutil.Process().children(recursive=True) if _is_living(process)]


def reap_orphans(own_child: int) -> None:
    """Let the orphans go that have ended: as zombies they would hold their pids as long as this process lives.

    Args:
        own_child: the pid whose end somebody else of this process waits for.
    """
    with contextlib.suppress(ChildProcessError):  # there is no child at all
        while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) and ended.si_pid != own_child:
            os.waitpid(ended.si_pid, 0)


def _is_living(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
