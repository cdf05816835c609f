"""Who owns a results folder, and how a supervisor is started where there is none.

The lock file holds the handle of the supervisor that owns the folder and is empty otherwise. Whoever finds it dead
while there is work may start the next one: the client, somebody who follows, the node runner at its end. Two that start
at once do no harm: one gets the lock, the other leaves.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from engine.core.errors import DdptuiError
from engine.ownership import check_own_folder
from engine.processes import MARKS, Handle, handle_of, is_alive, start_detached
from engine.store import ResultsPaths, read_json

__all__ = ["SUPERVISOR_MODULE", "ensure_supervisor", "is_supervisor_alive", "lock_holder", "results_of"]

SUPERVISOR_MODULE = "engine.supervisor"

_started: dict[Path, Handle] = {}
"""What this process started and may not have the lock yet."""


def results_of(run_dir: Path) -> Path:
    """Return the results folder that ``results/<experiment>/runs/<run id>`` belongs to."""
    return run_dir.resolve().parents[2]


def lock_holder(results: ResultsPaths) -> Handle | None:
    """Return who the lock names, alive or not; None where nobody holds it."""
    return Handle.from_json(read_json(results.lock))


def is_supervisor_alive(results: Path) -> bool | None:
    """Whether a supervisor owns the folder; None where the lock names another host, which cannot be asked from here."""
    holder = lock_holder(ResultsPaths(results))
    return False if holder is None else is_alive(holder)


def ensure_supervisor(results: Path) -> bool:
    """Start a supervisor unless one owns the folder or this process has just started one; do not wait for it.

    A lock of another host counts as owned: it is never stolen.

    Returns:
        Whether one was started.

    Raises:
        DdptuiError: it cannot be started, or the folder is gone or belongs to another user.
    """
    results = results.resolve()
    if not results.is_dir():  # it must not rise again, empty, for as long as somebody follows its runs
        raise DdptuiError(f"{results} was deleted: nothing can go on there")
    check_own_folder(results)
    check_own_folder(ResultsPaths(results).control)
    recent = _started.get(results)
    if is_supervisor_alive(results) is not False or (recent is not None and is_alive(recent)):
        return False
    # A node runner's environment names its run; a supervisor that kept the marks would be ended together with that run.
    environment = {name: value for name, value in os.environ.items() if name not in MARKS}
    argv = [sys.executable, "-m", SUPERVISOR_MODULE, "--results", str(results)]
    try:
        pid = start_detached(
            argv,
            env={**environment, "PYTHONSAFEPATH": "1"},  # a folder with its own engine.py must not come first
            cwd=results,
            log=ResultsPaths(results).supervisor_log,
        )
    except OSError as error:
        raise DdptuiError(f"cannot start a supervisor for {results}: {error.strerror or error}") from error
    handle = handle_of(pid)
    if handle is not None:
        _started[results] = handle
    return True
