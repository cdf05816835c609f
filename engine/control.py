"""The client's side: send a command to the supervisor of a results folder and wait for the answer."""

from __future__ import annotations

import errno
import os
import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ddptui.streams import NO_ROOM
from engine.annotation import annotate
from engine.core.commands import Reply, command_id
from engine.core.errors import DdptuiError, InputError
from engine.core.lifecycle import Rerun
from engine.core.run_queue import RunKey
from engine.core.spec import RunSpec
from engine.ownership import RefusedFileError, check_own_folder, read_own_json
from engine.processes import Handle, is_stopped
from engine.spelled import find_spelled, read_spelled, remove_files, spell
from engine.store import ResultsPaths, make_folder, write_json
from engine.wake import ensure_supervisor, is_supervisor_alive, lock_holder

__all__ = [
    "Reply",
    "annotate",
    "check_writable",
    "delete",
    "enqueue",
    "ensure_supervisor",
    "hold",
    "is_supervisor_alive",
    "move",
    "retry",
    "send",
    "stop",
    "supervisor_handle",
]

_POLL_S = 0.05
_MAX_STARTS = 5
"""Supervisors that end without answering: more of them would not help."""


def supervisor_handle(results: Path) -> Handle | None:
    """Return who the lock names, alive or not; None where nobody owns the folder."""
    return lock_holder(ResultsPaths(results))


def enqueue(
    results: Path,
    *,
    experiment: str,
    plan: dict[str, Any],
    runs: Sequence[RunSpec],
    rerun: Rerun = "missing",
    timeout_s: float = 30.0,
) -> Reply:
    """Have the runs of one experiment run; see ``send``."""
    specs = [spec.model_dump(mode="json") for spec in runs]
    return send(results, "enqueue", timeout_s=timeout_s, experiment=experiment, plan=plan, runs=specs, rerun=rerun)


def stop(
    results: Path, runs: Sequence[RunKey] | None = None, *, grace_s: float = 20.0, timeout_s: float = 30.0
) -> Reply:
    """Stop runs, given as (experiment, run id), or all where None; the reply comes before they have ended."""
    keys = "all" if runs is None else [list(key) for key in runs]
    return send(results, "stop", timeout_s=timeout_s, runs=keys, grace_s=grace_s)


def retry(results: Path, runs: Sequence[RunKey]) -> Reply:
    """Queue ended runs again."""
    return send(results, "retry", runs=[list(key) for key in runs])


def hold(results: Path, *, is_held: bool) -> Reply:
    """Hold the queue, or let it go on."""
    return send(results, "hold", is_held=is_held)


def move(results: Path, runs: Sequence[RunKey], by: int) -> Reply:
    """Move waiting runs by so many places; a negative number brings them forward."""
    return send(results, "move", runs=[list(key) for key in runs], by=by)


def delete(results: Path, runs: Sequence[RunKey]) -> Reply:
    """Delete ended runs and all their files."""
    return send(results, "delete", runs=[list(key) for key in runs])


def ask_for_stacks(results: Path, run: RunKey) -> tuple[int, int] | None:
    """Have the ranks of a run looked at; return the attempt and the number of the answer, None where it is not active.

    The answer is the attempt's ``stacks``; it comes some seconds later.
    """
    reply = send(results, "stacks", runs=[list(run)])
    asked = reply.data.get("asked")
    return (int(asked[0][2]), int(asked[0][3])) if asked else None


def send(
    results: Path,
    op: str,
    *,
    timeout_s: float = 30.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    **arguments: Any,
) -> Reply:
    """Send one command and wait for its reply; a supervisor is started where none lives, again if it leaves unanswered.

    Args:
        results: the folder; made where it is missing.
        op: of ``engine.core.commands``.
        timeout_s: how long to wait; an unanswered command is taken back then.
        clock: monotonic seconds.
        sleep: waits.
        **arguments: of the command.

    Raises:
        InputError: the folder cannot be written.
        DdptuiError: no answer; the message says who owns the folder or where the log is.
    """
    check_writable(results)
    paths = ResultsPaths(results)
    message_id = command_id(time.time_ns(), os.getpid(), secrets.token_hex(4))
    _write_command(paths, message_id, {"op": op, **arguments})
    deadline = clock() + timeout_s
    num_started = 0
    while (answer := _read_reply(paths, message_id)) is None:
        if clock() >= deadline or num_started > _MAX_STARTS:
            if _take_back(paths, message_id):
                raise DdptuiError(_no_answer(paths, timeout_s, has_supervisor=num_started <= _MAX_STARTS))
            deadline = clock() + timeout_s  # it is being carried out
            num_started = 0
        num_started += ensure_supervisor(results)
        sleep(_POLL_S)
    return answer


def check_writable(results: Path) -> None:
    """Make the results folder.

    Raises:
        InputError: it cannot be made or written, or belongs to another user.
    """
    try:
        check_own_folder(results)
        check_own_folder(ResultsPaths(results).control)
        results.absolute().parent.mkdir(parents=True, exist_ok=True)
        make_folder(ResultsPaths(results).control)
    except OSError as error:
        raise InputError(f"cannot write into the results folder {results}: {error.strerror or error}") from error
    if not os.access(results, os.W_OK | os.X_OK) or not os.access(ResultsPaths(results).control, os.W_OK | os.X_OK):
        raise InputError(f"cannot write into the results folder {results}: Permission denied")


def _write_command(paths: ResultsPaths, message_id: str, value: dict[str, Any]) -> None:
    """Write a command; where the disk is full, spelled in the names of empty files.

    Raises:
        InputError: it cannot be.
    """
    try:
        write_json(paths.commands / f"{message_id}.json", value)
    except OSError as error:
        if error.errno in NO_ROOM and spell(paths.commands, message_id, value):
            return
        word = f"cannot write into the results folder {paths.root}: {error.strerror or error}"
        is_tight = error.errno in NO_ROOM and error.errno != errno.EROFS
        hint = "; there is no room for a file name either: free some first" if is_tight else ""
        raise InputError(word + hint) from error


def _read_reply(paths: ResultsPaths, message_id: str) -> Reply | None:
    path = paths.replies / f"{message_id}.json"
    try:
        value = read_own_json(path)
        if value is None and (names := _find_spelled(paths.replies, message_id)):
            value = read_spelled(paths.replies, names)
    except RefusedFileError:  # not an answer of our supervisor
        return None
    if value is None:
        return None
    try:
        return Reply.model_validate(value)
    except ValidationError as error:
        raise DdptuiError(f"{path} is no reply of this version of ddptui") from error


def _take_back(paths: ResultsPaths, message_id: str) -> bool:
    """Whether the command was still waiting: carried out later it would be a surprise."""
    names = [f"{message_id}.json", *_find_spelled(paths.commands, message_id)]
    return remove_files(paths.commands / name for name in names) > 0


def _find_spelled(folder: Path, message_id: str) -> list[str]:
    try:
        names = [name for name in os.listdir(folder) if name.startswith(message_id)]
    except OSError:
        return []
    return find_spelled(names).get(message_id, [])


def _no_answer(paths: ResultsPaths, timeout_s: float, *, has_supervisor: bool) -> str:
    holder = lock_holder(paths)
    if not has_supervisor:
        return f"the supervisor of {paths.root} ends before it answers; see {paths.supervisor_log}"
    if holder is not None and is_supervisor_alive(paths.root) is None:
        return (
            f"{paths.root} belongs to a supervisor on host {holder.host} (pid {holder.pid}), which has not answered "
            f"for {timeout_s:.0f} s: use ddptui there, or, if that machine is gone for good, delete {paths.lock}"
        )
    if holder is not None and is_stopped(holder):
        return (
            f"the supervisor {holder.pid} of {paths.root} is stopped (SIGSTOP) and answers nobody: "
            f"`kill -CONT {holder.pid}` lets it go on"
        )
    who = f"supervisor {holder.pid}" if holder is not None else "supervisor"
    return f"the {who} of {paths.root} has not answered for {timeout_s:.0f} s; see {paths.supervisor_log}"
