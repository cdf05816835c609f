"""One attempt of one run, from the start of its node runners (or their adoption) to its end."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import psutil

from engine.core.lifecycle import FOLDER_DELETED, STOPPED_BY_USER, NodeExit, Outcome, decide_final
from engine.core.rootcause import describe_log
from engine.core.run_queue import QueueEntry
from engine.core.state import RunState
from engine.overview import read_exits
from engine.processes import (
    Handle,
    describe_reboot,
    end_tree,
    environment_of,
    find_tagged,
    has_rebooted,
    is_alive,
    is_stopped,
    kill,
    run_marks,
)
from engine.store import AttemptPaths, RunPaths, read_json
from engine.supervisor.hanging import HangDesk

__all__ = ["ActiveRun", "LocalProcesses", "RunProcesses"]

LEFTOVER_S = 3.0
"""Ranks die with their agent and the agent with its node runner; what is left after this is ended."""
PEER_GRACE_S = 10.0
"""When one node has ended badly, the others get this to notice it themselves, and as long again after SIGTERM."""
RUNNER_GRACE_S = 8.0
"""After SIGKILL of its ranks, a node runner gets this to write down how they ended."""
LOOK_S = 1.0
"""A search by tag reads the environment of every process of the machine: not more often than this."""

_LOG_TAIL_BYTES = 16384


class RunProcesses(Protocol):
    """The processes of a run; what the supervisor does to them."""

    def is_alive(self, handle: Handle) -> bool | None:
        """Whether the very process runs; None where that cannot be known from here."""
        ...

    def is_stopped(self, handle: Handle) -> bool:
        """Whether it is here and does nothing, since somebody stopped it."""
        ...

    def has_rebooted(self, handle: Handle) -> bool:
        """Whether its machine, which is this one, was started anew since."""
        ...

    def terminate(self, handle: Handle) -> None:
        """Send SIGTERM to a node runner, which passes the wish on."""
        ...

    def is_anything_left(self, paths: RunPaths, experiment: str, node_rank: int | None = None) -> bool:
        """Whether a process carries the run's marks, or those of one of its nodes."""
        ...

    def kill_ranks(self, paths: RunPaths, experiment: str, runners: list[int]) -> None:
        """Send SIGKILL to all that carry the run's marks, except the pids of node runners."""
        ...

    def end_all(self, paths: RunPaths, experiment: str) -> list[int]:
        """Send SIGKILL to all that carry the run's marks; return the pids that are still there."""
        ...


class LocalProcesses(RunProcesses):
    """On this machine."""

    def is_alive(self, handle: Handle) -> bool | None:
        """Look at pid, start time and boot."""
        return is_alive(handle)

    def is_stopped(self, handle: Handle) -> bool:
        """Look at its state."""
        return is_stopped(handle)

    def has_rebooted(self, handle: Handle) -> bool:
        """Compare the boots."""
        return has_rebooted(handle)

    def terminate(self, handle: Handle) -> None:
        """Continue it too: a stopped process could not act on SIGTERM. A process that carries no run is left alone."""
        if is_alive(handle) and _carries_a_run(handle.pid):
            with contextlib.suppress(OSError):
                os.kill(handle.pid, signal.SIGCONT)
                os.kill(handle.pid, signal.SIGTERM)

    def is_anything_left(self, paths: RunPaths, experiment: str, node_rank: int | None = None) -> bool:
        """Search the environments of all processes."""
        return bool(find_tagged(run_marks(paths, experiment, node_rank)))

    def kill_ranks(self, paths: RunPaths, experiment: str, runners: list[int]) -> None:
        """Kill once; their node runner looks whether they are gone."""
        kill(process for process in find_tagged(run_marks(paths, experiment)) if process.pid not in runners)

    def end_all(self, paths: RunPaths, experiment: str) -> list[int]:
        """Kill again and again for some seconds."""
        return end_tree(run_marks(paths, experiment), grace_s=0)


def _carries_a_run(pid: int) -> bool:
    """A handle is read from a file: it must not make us end what is no run."""
    with contextlib.suppress(psutil.Error):
        return "DDPTUI_RUN_ID" in environment_of(psutil.Process(pid))
    return False


@dataclass(frozen=True)
class _Deadlines:
    """Unix seconds of what happens next to a run that does not end by itself; None = not under way."""

    silent_since_s: float | None = None
    peers_since_s: float | None = None
    ranks_killed_s: float | None = None


class ActiveRun:
    """Watches one attempt; ``poll`` tells when it is over and ends what has to be ended.

    Args:
        entry: with ``stop_by_s`` where its end was asked for.
        paths: the run's folder.
        attempt: the attempt's folder.
        nodes: how many node runners it has.
        handles: of the node runners as far as they are known from starting them.
        processes: how to look at and end them.
        hang: what is done where it hangs.

    Attributes:
        state: starting, running, stalled, stopping.
        spec: ``run.json`` as it was when we took it.
    """

    def __init__(
        self,
        entry: QueueEntry,
        paths: RunPaths,
        attempt: AttemptPaths,
        *,
        nodes: int,
        handles: Mapping[int, Handle],
        processes: RunProcesses,
        hang: HangDesk,
    ) -> None:
        self.entry = entry
        self.paths = paths
        self.attempt = attempt
        self.nodes = nodes
        self.handles = dict(handles)
        self.state = RunState.STARTING if entry.stop_by_s is None else RunState.STOPPING
        self.spec = read_json(paths.run)
        self._processes = processes
        self._hang = hang
        self._deadlines = _Deadlines()
        self._looked_s = 0.0
        self._found = True
        self._is_described = False
        self._unwatched = ""

    @property
    def reason(self) -> str:
        """Why it is not running but stalled or stopping; "" otherwise."""
        stalled = self._hang.reason or self._unwatched
        return {RunState.STOPPING: STOPPED_BY_USER, RunState.STALLED: stalled}.get(self.state, "")

    def learn_handles(self) -> None:
        """Read who the node runners are, where that is not known yet."""
        for node_rank in set(range(self.nodes)) - set(self.handles):
            handle = Handle.from_json(read_json(self.attempt.handle(node_rank)))
            if handle is not None:
                self.handles[node_rank] = handle

    def has_new_description(self) -> bool:
        """Whether every node runner has described its machine now; True once."""
        if self._is_described:
            return False
        self._is_described = all(self.attempt.env(node_rank).exists() for node_rank in range(self.nodes))
        return self._is_described

    def has_begun(self) -> bool:
        """Whether every node runner was started: false after a supervisor that died just before one."""
        self.learn_handles()
        exits = read_exits(self.attempt, self.nodes)
        unknown = (rank for rank in range(self.nodes) if rank not in self.handles and exits[rank] is None)
        return all(self._processes.is_anything_left(self.paths, self.entry.experiment, rank) for rank in unknown)

    def request_stop(self, stop_by_s: float, now_s: float) -> None:
        """Ask for the end: SIGTERM now, SIGKILL at ``stop_by_s`` (Unix seconds)."""
        self.entry = replace(self.entry, stop_by_s=stop_by_s)
        self.state = RunState.STOPPING
        if stop_by_s > now_s:
            self._terminate(range(self.nodes))

    def ask_for_stacks(self, now_s: float) -> int | None:
        """Have every rank looked at; see ``HangDesk.ask``."""
        return None if self.state is RunState.STOPPING else self._hang.ask(now_s)

    def poll(self, now_s: float) -> Outcome | None:
        """Look at it; return how it ended, or None while it has not."""
        if self._is_folder_deleted():
            return self._end_deleted()
        self.learn_handles()
        alive = {node_rank: self._is_runner_alive(node_rank, now_s) for node_rank in range(self.nodes)}
        exits = read_exits(self.attempt, self.nodes)  # after the look: a node runner writes its exit, then ends
        silent = {node_rank for node_rank, node_exit in exits.items() if node_exit is None}
        if not silent:
            return self._decide(exits, is_anything_left=False)
        foreign = [self.handles[node_rank].host for node_rank in silent if alive[node_rank] is None]
        if foreign:
            reason = f"its processes were on host {foreign[0]}, which cannot be asked from here"
            return Outcome(state=RunState.LOST, reason=reason)
        if self.entry.stop_by_s is not None and now_s >= self.entry.stop_by_s:
            return self._end_stopped(now_s)
        living = {node_rank for node_rank in silent if alive[node_rank]}
        if not living:
            return self._after_silence(exits, now_s)
        if len(living) < self.nodes and self.entry.stop_by_s is None:
            return self._after_loss_of_a_peer(exits, living, now_s)
        return self._look_for_hang(living, now_s)

    def _is_folder_deleted(self) -> bool:
        """Whether somebody has deleted it while we ran: its description goes with it, and we never replace that."""
        return self.spec is not None and not self.paths.run.exists()

    def _end_deleted(self) -> Outcome:
        left = self.end_all()
        survivors = f"; still alive after SIGKILL: pid {', '.join(map(str, left))}" if left else ""
        return Outcome(state=RunState.FAILED, reason=FOLDER_DELETED + survivors)

    def end_all(self) -> list[int]:
        """End every process of the run at once; return the pids that survived."""
        return self._processes.end_all(self.paths, self.entry.experiment)

    def _is_runner_alive(self, node_rank: int, now_s: float) -> bool | None:
        handle = self.handles.get(node_rank)
        if handle is not None:
            return self._processes.is_alive(handle)
        if now_s - self._looked_s >= LOOK_S:
            self._looked_s = now_s
            self._found = self._processes.is_anything_left(self.paths, self.entry.experiment)
        return self._found

    def _decide(self, exits: Mapping[int, NodeExit | None], *, is_anything_left: bool) -> Outcome | None:
        asked = self.entry.stop_by_s is not None
        return decide_final(exits, is_stop_requested=asked, is_anything_left=is_anything_left)

    def _end_stopped(self, now_s: float) -> Outcome | None:
        """The grace is over: first the ranks, so that their node runner can still say how they ended, then all."""
        if self._deadlines.ranks_killed_s is None:
            self._deadlines = replace(self._deadlines, ranks_killed_s=now_s)
            self._terminate(range(self.nodes))  # it learns that the end was wanted, also where there was no grace
            runners = [handle.pid for handle in self.handles.values()]
            self._processes.kill_ranks(self.paths, self.entry.experiment, runners)
            return None
        if now_s < self._deadlines.ranks_killed_s + RUNNER_GRACE_S:
            return None
        return self._finish_by_force()

    def _after_silence(self, exits: Mapping[int, NodeExit | None], now_s: float) -> Outcome | None:
        """Every node runner is dead and one at least has not said how its torchrun ended."""
        since_s = self._deadlines.silent_since_s
        if since_s is None:
            since_s = now_s
            self._deadlines = replace(self._deadlines, silent_since_s=now_s)
        if not self._processes.is_anything_left(self.paths, self.entry.experiment):
            outcome = self._decide(exits, is_anything_left=False)
        else:
            outcome = self._finish_by_force() if now_s >= since_s + LEFTOVER_S else None
        return self._explain_silence(exits, outcome)

    def _after_loss_of_a_peer(
        self, exits: Mapping[int, NodeExit | None], living: set[int], now_s: float
    ) -> Outcome | None:
        """A node has ended while others go on: fine at the end of training, a hang for ever otherwise."""
        since_s = self._deadlines.peers_since_s
        if since_s is None:
            self._deadlines = replace(self._deadlines, peers_since_s=now_s)
            return None
        ended = [node_exit for node_rank, node_exit in exits.items() if node_rank not in living]
        is_clean = all(node_exit is not None and node_exit.exit_code == 0 for node_exit in ended)
        if is_clean:
            return self._look_for_hang(living, now_s)
        if now_s < since_s + PEER_GRACE_S:
            return None
        if now_s < since_s + 2 * PEER_GRACE_S:
            self._terminate(living)
            return None
        return self._finish_by_force()

    def _explain_silence(self, exits: Mapping[int, NodeExit | None], outcome: Outcome | None) -> Outcome | None:
        """A node runner that fell before it started torchrun has failed, and its log says why: a full disk, mostly."""
        if outcome is None or outcome.state is not RunState.LOST:
            return outcome
        silent = [node_rank for node_rank, node_exit in exits.items() if node_exit is None]
        if any(self._processes.has_rebooted(self.handles[rank]) for rank in silent if rank in self.handles):
            return replace(outcome, reason=describe_reboot())
        said = next((line for rank in silent if (line := describe_log(_last_lines(self.attempt.node_log(rank))))), "")
        if said and not any(self.attempt.env(node_rank).exists() for node_rank in silent):
            reason = f"the node runner could not start the run: {said}"
            return replace(outcome, state=RunState.FAILED, reason=reason, may_restart=False)
        return replace(outcome, reason=f"{outcome.reason}; its log says: {said}") if said else outcome

    def _finish_by_force(self) -> Outcome | None:
        left = self.end_all()
        outcome = self._decide(read_exits(self.attempt, self.nodes), is_anything_left=False)
        if outcome is None or not left:
            return outcome
        names = ", ".join(str(pid) for pid in left)
        reason = f"{outcome.reason or STOPPED_BY_USER}; still alive after SIGKILL: pid {names}"
        return replace(outcome, reason=reason, may_restart=False)

    def _look_for_hang(self, living: set[int], now_s: float) -> Outcome | None:
        """It goes on, or hangs; a hang whose node runners do not end it is ended here."""
        if self.entry.stop_by_s is not None:
            return None
        self._hang.look(living, now_s)
        stopped = [k for k in sorted(living) if k in self.handles and self._processes.is_stopped(self.handles[k])]
        nodes = ", ".join(str(node_rank) for node_rank in stopped)
        word = f"the node runner of node {nodes} is stopped (SIGSTOP): nobody watches its ranks"
        self._unwatched = word if nodes else ""
        if self._hang.reason or self._unwatched:
            self.state = RunState.STALLED
        elif self.state is RunState.STALLED:
            self.state = RunState.STARTING
        self._note_beginning()
        if not self._hang.must_force(now_s):
            return None
        outcome = self._finish_by_force()
        if outcome is None or outcome.state is not RunState.LOST:
            return outcome
        return replace(outcome, state=RunState.FAILED, reason=self._hang.reason)

    def _terminate(self, node_ranks: set[int] | range) -> None:
        for node_rank in node_ranks:
            if node_rank in self.handles:
                self._processes.terminate(self.handles[node_rank])

    def _note_beginning(self) -> None:
        if self.state is RunState.STARTING and _has_rank_lines(self.attempt):
            self.state = RunState.RUNNING


def _last_lines(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            file.seek(max(path.stat().st_size - _LOG_TAIL_BYTES, 0))
            return file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return []


def _has_rank_lines(attempt: AttemptPaths) -> bool:
    """Whether a rank has said anything: its first line is written when it is ready to train."""
    try:
        with os.scandir(attempt.root / "events") as entries:
            return any(entry.name.startswith("rank") and entry.stat().st_size > 0 for entry in entries)
    except OSError:
        return False
