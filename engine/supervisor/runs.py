"""The runs that are active: start, adopt, watch, conclude."""

from __future__ import annotations

import shutil
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from ddptui.streams import NO_ROOM
from engine.core.errors import DdptuiError
from engine.core.fields import mapping, whole_or
from engine.core.lifecycle import FOLDER_DELETED, STOPPED_BY_USER, Outcome, restart_note, stored_state
from engine.core.metrics import RunFold
from engine.core.run_queue import QueueEntry, RunKey
from engine.core.state import RunState, is_active, is_terminal
from engine.overview import num_nodes
from engine.processes import Handle
from engine.store import AttemptPaths, ResultsPaths, RunPaths, read_json, write_json
from engine.supervisor.active import ActiveRun, RunProcesses
from engine.supervisor.ending import closed_outcome, drop_what_was_for_resuming, explain_end, unfinished_attempt
from engine.supervisor.hanging import HangDesk
from engine.supervisor.launch import Launcher, begin_attempt, describe_nodes, read_spec, start_nodes
from engine.supervisor.statuses import Statuses
from engine.supervisor.writer import Log, PatientWriter, describe_os_error
from engine.tail import RunFollower

__all__ = ["HEARTBEAT_S", "Runs"]

HEARTBEAT_S = 1.0
"""Readers may count on the status of an active run being at most two seconds old."""

_OUR_FAULT = "ddptui itself failed on this run; see .ddptui/supervisor.log"


class Runs:
    """The attempts in hand.

    No method raises for what one run is like: a fault, ours included, makes that run failed and the others go on.

    Args:
        results: the folder, its path absolute.
        statuses, writer, log: where states, other files and lines for people go.
        processes: how to look at and end the processes of a run.
        find_launcher: the launcher of a name in the catalog.
        clock: Unix seconds.
    """

    def __init__(
        self,
        results: ResultsPaths,
        *,
        statuses: Statuses,
        writer: PatientWriter,
        log: Log,
        processes: RunProcesses,
        find_launcher: Callable[[str], Launcher],
        clock: Callable[[], float],
    ) -> None:
        self._results = results
        self._statuses = statuses
        self._writer = writer
        self._log = log
        self._processes = processes
        self._find_launcher = find_launcher
        self._clock = clock
        self._active: dict[RunKey, ActiveRun] = {}
        self._beat_s = 0.0

    def __len__(self) -> int:
        return len(self._active)

    def __contains__(self, key: RunKey) -> bool:
        return key in self._active

    def start(self, entry: QueueEntry) -> RunState:
        """Start the next attempt; return starting, or failed where that cannot be done."""
        return self._guarded(entry, self._start)

    def adopt(self, entry: QueueEntry) -> RunState:
        """Take over a run of a supervisor that is gone.

        Returns:
            An active state; ``queued`` where none of its node runners was started; else how it ended.
        """
        return self._guarded(entry, self._adopt)

    def watch(self) -> list[tuple[QueueEntry, RunState]]:
        """Look at all; return those that are active no more: how they ended, or queued where they are started again."""
        states = [(run.entry, self._guarded(run.entry, self._watch)) for run in list(self._active.values())]
        return [(entry, state) for entry, state in states if not is_active(state)]

    def request_stop(self, key: RunKey, grace_s: float) -> QueueEntry:
        """Ask an active run for its end; a second request can only bring it forward."""
        run = self._active[key]
        now_s = self._clock()
        earlier_s = run.entry.stop_by_s if run.entry.stop_by_s is not None else float("inf")
        run.request_stop(min(now_s + grace_s, earlier_s), now_s)
        self._statuses.active(run.paths, RunState.STOPPING, STOPPED_BY_USER)
        return run.entry

    def ask_for_stacks(self, key: RunKey) -> tuple[int, int] | None:
        """Have the ranks of an active run looked at.

        Returns:
            The attempt, and the number that the answer will carry; None where it is being ended.
        """
        run = self._active[key]
        order = run.ask_for_stacks(self._clock())
        return None if order is None else (run.attempt.number, order)

    def beat(self) -> None:
        """Refresh the status of every active run, if it is time."""
        now_s = self._clock()
        if 0 <= now_s - self._beat_s < HEARTBEAT_S:
            return
        self._beat_s = now_s
        for run in self._active.values():
            self._statuses.active(run.paths, run.state, run.reason)

    def is_anything_left(self, key: RunKey) -> bool:
        """Whether a process of a run that is not in hand lives."""
        return self._processes.is_anything_left(self._results.run(*key), key[0])

    def end_everything(self) -> list[int]:
        """End all processes of all active runs at once; return the pids that survived."""
        left = [pid for run in self._active.values() for pid in run.end_all()]
        for run in self._active.values():
            shutil.rmtree(run.attempt.beats, ignore_errors=True)
        return left

    def _start(self, entry: QueueEntry) -> RunState:
        paths = self._paths(entry)
        try:
            spec = read_spec(paths)
            if self._processes.is_anything_left(paths, entry.experiment):  # never two attempts at once in one folder
                self._log.write(f"{entry.tag}: ending processes of an earlier attempt")
                self._processes.end_all(paths, entry.experiment)
            restarts = self._statuses.num_restarts(paths)
            attempt = begin_attempt(spec, paths, now_s=self._clock(), restarts=restarts, on_chunk=self.beat)
        except DdptuiError as error:
            return self._conclude(entry, None, Outcome(state=RunState.FAILED, reason=str(error)))
        except OSError as error:
            reason = f"cannot write {describe_os_error(error, paths.root)}"
            if error.errno in NO_ROOM:
                return self._wait_for_room(entry, paths, reason)
            return self._conclude(entry, None, Outcome(state=RunState.FAILED, reason=reason))
        self._statuses.starting(paths, queued_s=entry.queued_s, attempt=attempt.number)
        self._log.write(f"{entry.tag}: starting, attempt {attempt.number}")
        try:
            handles = start_nodes(self._find_launcher(spec.config.launcher), spec, paths, attempt)
        except DdptuiError as error:
            self._processes.end_all(paths, entry.experiment)
            return self._conclude(entry, attempt, Outcome(state=RunState.FAILED, reason=str(error)))
        self._take(entry, attempt, nodes=spec.config.nodes, handles=handles)
        return RunState.STARTING

    def _wait_for_room(self, entry: QueueEntry, paths: RunPaths, reason: str) -> RunState:
        """Let it wait in the queue: one full disk must not fail one run after the other."""
        begun = unfinished_attempt(paths)
        if begun is not None:
            shutil.rmtree(begun.root, ignore_errors=True)  # nothing has run in it
        self._log.write(f"{entry.tag}: waits for room: {reason}")
        self._statuses.waiting_for_room(paths, queued_s=entry.queued_s, reason=f"waits for room: {reason}")
        return RunState.QUEUED

    def _adopt(self, entry: QueueEntry) -> RunState:
        paths = self._paths(entry)
        status = read_json(paths.status) or {}
        state = stored_state(status)
        if state is not None and is_terminal(state):
            return state
        said = closed_outcome(paths, status)
        if said is not None:  # its supervisor died between two writes
            shutil.rmtree(paths.attempts()[-1].beats, ignore_errors=True)
            return self._conclude(entry, None, said)
        attempt = unfinished_attempt(paths)
        if attempt is not None:
            run = self._take(entry, attempt, nodes=num_nodes(read_json(paths.run) or {}), handles={})
            if run.has_begun():
                self._log.write(f"{entry.tag}: adopted, attempt {attempt.number}")
                if entry.stop_by_s is not None:
                    run.request_stop(entry.stop_by_s, self._clock())
                return run.state
            run.end_all()  # of several nodes some may have been started, which would wait for the others
            del self._active[entry.key]
        if entry.stop_by_s is not None:
            return self._conclude(entry, None, Outcome(state=RunState.STOPPED, reason=STOPPED_BY_USER))
        self._log.write(f"{entry.tag}: had not begun, waits again")
        self._statuses.waiting_again(paths, queued_s=entry.queued_s)
        return RunState.QUEUED

    def _watch(self, entry: QueueEntry) -> RunState:
        run = self._active[entry.key]
        before = run.state
        outcome = run.poll(self._clock())
        if outcome is not None and outcome.reason.startswith(FOLDER_DELETED):
            self._put_back(run)
            return self._conclude(run.entry, None, outcome)
        if outcome is not None:
            return self._conclude(run.entry, run.attempt, explain_end(run.entry, run.paths, run.attempt, outcome))
        if run.state is not before:
            self._statuses.active(run.paths, run.state, run.reason)
            if RunState.STALLED in (before, run.state):
                self._log.write(f"{entry.tag}: {run.state}" + (f": {run.reason}" if run.reason else ""))
        if run.has_new_description():
            attempt = read_json(run.attempt.attempt) or {"attempt": run.attempt.number}
            self._writer.put(run.attempt.attempt, {**attempt, **describe_nodes(run.attempt, run.nodes)})
        return run.state

    def _put_back(self, run: ActiveRun) -> None:
        """Make the folder anew with what the run was: listings then say what became of it, and it can be retried.

        Where its whole experiment was deleted it stays so.
        """
        shutil.rmtree(run.attempt.beats, ignore_errors=True)
        if run.paths.root.parent.parent.is_dir() and run.spec is not None:
            try:
                write_json(run.paths.run, run.spec)
            except OSError as error:
                self._log.write(f"{run.entry.tag}: cannot write {describe_os_error(error, run.paths.root)}")

    def _conclude(self, entry: QueueEntry, attempt: AttemptPaths | None, outcome: Outcome) -> RunState:
        """Write down the end: the attempt, the summary, and last the status, which says that the others are there.

        Returns:
            How it ended; queued where it is started again.
        """
        paths = self._paths(entry)
        follower = self._follow(paths)
        reason = outcome.reason or _warning(follower.fold if follower and outcome.state is RunState.SUCCEEDED else None)
        status = self._statuses.final(paths, outcome.state, reason, exit_code=outcome.exit_code)
        if attempt is not None:
            self._writer.put(attempt.attempt, self._closed_attempt(paths, attempt, outcome))
            shutil.rmtree(attempt.beats, ignore_errors=True)  # a node runner that was killed has left it
        if follower is not None:
            self._writer.put(paths.summary, follower.summary(status))
        self._active.pop(entry.key, None)
        self._log.write(f"{entry.tag}: {outcome.state}" + (f": {outcome.reason}" if outcome.reason else ""))
        note = self._restart_note(entry, paths, outcome)
        if note:
            self._statuses.restarting(paths, queued_s=entry.queued_s, note=note)
            return RunState.QUEUED
        if outcome.state is RunState.SUCCEEDED:
            drop_what_was_for_resuming(paths)
        self._statuses.put(paths, status)
        return outcome.state

    def _restart_note(self, entry: QueueEntry, paths: RunPaths, outcome: Outcome) -> str:
        """What its status says where it is started again, else ""."""
        if entry.stop_by_s is not None:
            return ""
        config = mapping(read_json(paths.run) or {}, "config")
        return restart_note(
            outcome,
            num_restarts=self._statuses.num_restarts(paths),
            max_restarts=whole_or(config, "max_restarts", 0),
        )

    def _closed_attempt(self, paths: RunPaths, attempt: AttemptPaths, outcome: Outcome) -> dict[str, Any]:
        nodes = num_nodes(read_json(paths.run) or {})
        exits = {str(node_rank): read_json(attempt.exit(node_rank)) for node_rank in range(nodes)}
        return {
            **(read_json(attempt.attempt) or {"attempt": attempt.number}),
            **describe_nodes(attempt, nodes),
            "ended_s": self._clock(),
            "exit": {**vars(outcome), "nodes": exits},
        }

    def _follow(self, paths: RunPaths) -> RunFollower | None:
        """Read the events in slices, so that the heartbeat goes on; None where they cannot be summarized."""
        try:
            follower = RunFollower(paths)
            while follower.poll():
                self.beat()
            follower.summary({})
        except Exception:  # noqa: BLE001 - odd event files must not change how the run ended
            self._log.write(f"{paths.root}: no summary could be made\n{traceback.format_exc()}")
            return None
        return follower

    def _take(
        self, entry: QueueEntry, attempt: AttemptPaths, *, nodes: int, handles: Mapping[int, Handle]
    ) -> ActiveRun:
        paths = self._paths(entry)
        hang = HangDesk(paths, attempt, nodes=nodes, put=self._writer.put)
        run = ActiveRun(entry, paths, attempt, nodes=nodes, handles=handles, processes=self._processes, hang=hang)
        self._active[entry.key] = run
        return run

    def _guarded(self, entry: QueueEntry, work: Callable[[QueueEntry], RunState]) -> RunState:
        try:
            return work(entry)
        except Exception:  # noqa: BLE001 - one run that trips us must not take the queue along
            self._log.write(f"{entry.tag}: {_OUR_FAULT}\n{traceback.format_exc()}")
        try:
            self._processes.end_all(self._paths(entry), entry.experiment)
        except Exception:  # noqa: BLE001 - the same
            self._log.write(f"{entry.tag}: its processes could not be ended\n{traceback.format_exc()}")
        self._active.pop(entry.key, None)
        paths = self._paths(entry)
        self._statuses.put(paths, self._statuses.final(paths, RunState.FAILED, _OUR_FAULT))
        return RunState.FAILED

    def _paths(self, entry: QueueEntry) -> RunPaths:
        return self._results.run(entry.experiment, entry.run_id)


def _warning(fold: RunFold | None) -> str:
    """What must not go unseen of a run that trained to its end."""
    if fold is None:
        return ""
    return fold.nonfinite_words() or next(iter(fold.record.losses), "")
