"""Processes that a dead supervisor left behind: found by their tag and start time only, never by name, and ended.

A stray is a process of a run that has ended, or whose supervisor and node runner are both dead. What goes on under a
living supervisor is none; nor is a run whose node runner lives: the next supervisor adopts it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from engine.core.fields import number
from engine.core.lifecycle import stored_state
from engine.core.state import is_terminal
from engine.processes import (
    Handle,
    end_found,
    environment_of,
    find_tagged,
    handle_of,
    is_alive,
    list_tagged,
    run_marks,
)
from engine.store import ResultsPaths, RunPaths, read_json
from engine.wake import is_supervisor_alive, lock_holder

__all__ = ["StrayProcess", "StrayRun", "describe_lock", "end_strays", "find_strays", "processes_of"]

SETTLE_S = 5.0
"""A node runner stays a moment after the end of its run, until that is noted."""

_MARKS = ("DDPTUI_RUN_ID", "DDPTUI_RUN_DIR")


@dataclass(frozen=True, kw_only=True)
class StrayProcess:
    """One process.

    Attributes:
        pid, start_time: what it is known by; see ``Handle``.
        role: node runner, torchrun, rank 3, or child.
    """

    pid: int
    start_time: float
    role: str


@dataclass(frozen=True, kw_only=True)
class StrayRun:
    """What is left of one run.

    Attributes:
        name: experiment/run id, as its processes carry it.
        folder: of the run, as they carry it.
        reason: why they are strays, or can be adopted.
        is_adoptable: whether the next supervisor takes the run over: it goes on and is no stray.
        processes: by pid.
    """

    name: str
    folder: str
    reason: str
    is_adoptable: bool
    processes: tuple[StrayProcess, ...]


def find_strays(results: ResultsPaths, *, now_s: float | None = None) -> list[StrayRun]:
    """Return what is left of the runs of this folder, and of those whose results folder is gone: nobody else could.

    Args:
        results: the folder.
        now_s: Unix seconds; the clock's where None.
    """
    groups: dict[tuple[str, str], list[dict[str, str]]] = {}
    for _, environment in list_tagged():
        if "DDPTUI_RUN_DIR" in environment and not _is_by_hand(environment):
            name, folder = (environment[mark] for mark in _MARKS)
            groups.setdefault((name, folder), []).append(environment)
    found = []
    for (name, folder), environments in sorted(groups.items()):
        judged = _judge(results, Path(folder), environments, time.time() if now_s is None else now_s)
        processes = _describe(_find(name, folder)) if judged is not None else ()
        if judged is not None and processes:
            reason, is_adoptable = judged
            found.append(
                StrayRun(name=name, folder=folder, reason=reason, is_adoptable=is_adoptable, processes=processes)
            )
    return found


def processes_of(paths: RunPaths, experiment: str) -> tuple[StrayProcess, ...]:
    """Return every living process of one run by its tag, whoever looks after it; ``command.sh`` by hand is none.

    Args:
        paths: the run's folder.
        experiment: the name of its experiment.
    """
    marks = run_marks(paths, experiment)
    return _describe(_find(*(marks[mark] for mark in _MARKS)))


def end_strays(runs: Sequence[StrayRun], *, grace_s: float) -> list[StrayProcess]:
    """End what was found, and nothing that was started since: SIGTERM, grace, SIGKILL, and a look whether it is gone.

    Args:
        runs: of ``find_strays``.
        grace_s: seconds from SIGTERM to SIGKILL.

    Returns:
        What survived SIGKILL.
    """
    wanted = {(process.pid, process.start_time): process for run in runs for process in run.processes}

    def find() -> list[psutil.Process]:
        tagged = [process for run in runs for process in _find(run.name, run.folder)]
        handles = [(process, handle_of(process.pid)) for process in tagged]
        return [p for p, handle in handles if handle is not None and (handle.pid, handle.start_time) in wanted]

    left = set(end_found(find, grace_s=grace_s))
    return [process for process in wanted.values() if process.pid in left]


def describe_lock(results: ResultsPaths) -> str:
    """Return a line about a lock whose holder is dead or cannot be asked, or ""."""
    holder = lock_holder(results)
    alive = None if holder is None else is_alive(holder)
    if holder is None or alive:
        return ""
    if alive is None:
        return f"{results.lock} names a supervisor on host {holder.host} (pid {holder.pid}): its runs are not touched"
    return f"{results.lock} names a supervisor that is dead (pid {holder.pid}): the next one takes it over"


def _judge(
    results: ResultsPaths, folder: Path, environments: Iterable[Mapping[str, str]], now_s: float
) -> tuple[str, bool] | None:
    """Why the processes of a run are strays, or that it can be adopted; None where they are to be left alone."""
    has_runner = any(_is_node_runner(environment) for environment in environments)
    if len(folder.parents) < 3 or folder.parents[2] != results.root.resolve():
        is_gone = len(folder.parents) >= 3 and not folder.parents[2].exists() and not has_runner
        return ("its results folder is gone, and its node runner is dead", False) if is_gone else None
    status = read_json(RunPaths(folder).status) or {}
    state = stored_state(status)
    has_ended = state is not None and is_terminal(state) and now_s - (number(status, "ended_s") or 0.0) > SETTLE_S
    is_watched = is_supervisor_alive(results.root)
    if is_watched is None:  # a supervisor of another host knows what they are
        return None
    if has_ended:
        return f"the run has ended: {state}", False
    if is_watched or (state is not None and is_terminal(state)):
        return None
    if has_runner:
        return "its supervisor is dead, the run goes on", True
    return "its supervisor and its node runner are dead", False


def _is_node_runner(environment: Mapping[str, str]) -> bool:
    """It starts the attempt: everything below it carries the attempt's number."""
    return "DDPTUI_ATTEMPT" not in environment


def _is_by_hand(environment: Mapping[str, str]) -> bool:
    """Somebody runs ``command.sh`` in a terminal."""
    return environment.get("DDPTUI_ATTEMPT_DIR", "").endswith("/attempts/manual")


def _find(name: str, folder: str) -> list[psutil.Process]:
    found = find_tagged(dict(zip(_MARKS, (name, folder), strict=True)))
    return [process for process in found if not _is_by_hand(environment_of(process))]


def _describe(processes: Iterable[psutil.Process]) -> tuple[StrayProcess, ...]:
    handles = ((process, handle_of(process.pid)) for process in processes)
    known = [_describe_one(process, handle) for process, handle in handles if handle is not None]
    return tuple(sorted(known, key=lambda process: process.pid))


def _describe_one(process: psutil.Process, handle: Handle) -> StrayProcess:
    environment = environment_of(process)
    if "DDPTUI_RUN_ID" not in environment:
        role = "child"
    elif _is_node_runner(environment):
        role = "node runner"
    else:
        role = f"rank {environment['RANK']}" if "RANK" in environment else "torchrun"
    return StrayProcess(pid=handle.pid, start_time=handle.start_time, role=role)
