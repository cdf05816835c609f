"""``python -m engine.supervisor --results DIR``: run what the queue of the folder holds, then leave.

Signals: SIGTERM and SIGINT = leave; the runs go on, and the next supervisor takes them over. SIGHUP is ignored: a
closed terminal is no reason to end. Exit codes: 0 the queue is empty, another supervisor owns the folder, or a signal
came; 1 the folder cannot be used (any more).
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ddptui.privacy import UMASK
from engine.core.errors import DdptuiError
from engine.ownership import check_own_folder
from engine.processes import this_process
from engine.store import ResultsPaths
from engine.supervisor.active import LocalProcesses
from engine.supervisor.launch import find_launcher
from engine.supervisor.lock import FolderLock
from engine.supervisor.loop import Supervisor
from engine.supervisor.writer import Log, describe_os_error

__all__ = ["main", "serve"]

TICK_S = 0.2
_UNWRITTEN_S = 60.0
"""How long to stay after the last run for files that cannot be written; for want of room, until there is some."""


class _Leave:
    """Becomes true once a signal asks to leave."""

    def __init__(self) -> None:
        self.signal_name = ""

    def __call__(self) -> bool:
        return bool(self.signal_name)

    def install(self) -> None:
        # Handlers, not SIG_IGN: an ignored signal would stay ignored in the node runners.
        signal.signal(signal.SIGHUP, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note)

    def _note(self, number: int, _frame: object) -> None:
        self.signal_name = signal.Signals(number).name


def serve(
    supervisor: Supervisor,
    lock: FolderLock,
    root: Path,
    *,
    should_leave: Callable[[], bool],
    log: Log,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Tick until the queue is empty; return the exit code.

    Args:
        supervisor: not yet recovered.
        lock: held.
        root: the results folder.
        should_leave: becomes true once a signal came.
        log: for people.
        clock: monotonic seconds.
        sleep: waits.
    """
    supervisor.recover()
    idle_since_s = clock()
    while not should_leave():
        if not root.is_dir():
            return _leave_deleted(supervisor, root, log)
        if not lock.is_held():
            log.write("the lock file was deleted: taking a new one")
            lock.release()
            if not lock.acquire():
                log.write("another supervisor owns the folder now; leaving the runs to it")
                return 0
        supervisor.tick()
        if not supervisor.is_idle():
            idle_since_s = clock()
        is_patience_over = clock() - idle_since_s > _UNWRITTEN_S and not supervisor.is_waiting_for_room()
        has_written = supervisor.is_all_written() or is_patience_over
        if supervisor.is_idle() and has_written and _may_leave(supervisor, lock):
            return 0
        sleep(TICK_S)
    return 0


def _may_leave(supervisor: Supervisor, lock: FolderLock) -> bool:
    """Look once more under the lock. The name goes first: a client that writes after this look starts a supervisor."""
    lock.clear_name()
    if supervisor.has_commands():
        lock.name_owner()
        return False
    lock.release()
    return True


def _leave_deleted(supervisor: Supervisor, root: Path, log: Log) -> int:
    """Nobody could find or stop the runs of a folder that is gone."""
    left = supervisor.end_everything()
    survivors = f"; still alive after SIGKILL: pid {', '.join(map(str, left))}" if left else ""
    log.write(f"{root} was deleted: its runs were ended{survivors}")
    return 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Own the folder as long as there is something to do."""
    parser = argparse.ArgumentParser(prog="python -m engine.supervisor", description=__doc__)
    parser.add_argument("--results", type=Path, required=True)
    root = parser.parse_args(arguments).results.resolve()
    results = ResultsPaths(root)
    log = Log()
    leave = _Leave()
    leave.install()
    os.umask(UMASK)
    owner = this_process()
    lock = FolderLock(results, owner)
    try:
        check_own_folder(root)
        check_own_folder(results.control)
        if not lock.acquire():
            return 0
        log.write(f"supervisor {owner.pid} on {owner.host} owns {root}")
        supervisor = Supervisor(results, owner, log=log, processes=LocalProcesses(), find_launcher=find_launcher)
        code = serve(supervisor, lock, root, should_leave=leave, log=log)
        log.write(f"{leave.signal_name}: leaving, the runs go on" if leave() else "nothing left to do, leaving")
        return code
    except DdptuiError as error:
        log.write(str(error))
        return error.exit_code
    except OSError as error:
        log.write(f"cannot use {describe_os_error(error, root)}")
        return 1
    finally:
        lock.release()


if __name__ == "__main__":
    sys.exit(main())
