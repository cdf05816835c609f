"""What the supervisor does, one tick after the other: commands, active runs, the next run, heartbeats."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.core.commands import Command, Delete, Enqueue, Hold, Move, Reply, Retry, Stacks, Stop, parse_command
from engine.core.errors import InputError
from engine.core.fields import number
from engine.core.lifecycle import STOPPED_BY_USER, not_started_reason, stored_state
from engine.core.run_queue import QueueEntry, RunKey, RunQueue
from engine.core.state import RunState, is_active, is_terminal
from engine.core.wording import count
from engine.processes import Handle
from engine.store import ResultsPaths, RunPaths, list_experiments, list_runs, read_json, write_json
from engine.supervisor.active import RunProcesses
from engine.supervisor.deletion import delete_run, empty_trash
from engine.supervisor.inbox import Inbox, Message
from engine.supervisor.intake import take_in
from engine.supervisor.launch import Launcher
from engine.supervisor.runs import Runs
from engine.supervisor.statuses import Statuses
from engine.supervisor.writer import Log, PatientWriter, describe_os_error

__all__ = ["MAX_PARALLEL", "Supervisor"]

MAX_PARALLEL = 1
"""Runs that share a machine spoil each other's times."""
_CLEAN_S = 60.0
_ROOM_EVERY_S = 5.0
"""Between two tries to start a run for whose files there was no room."""
_STOP_GRACE_S = 20.0
"""For a run that was found stopping, with no word of how long it may take."""


class Supervisor:
    """Owns the queue and the runs of one results folder; the only writer of their states.

    Call ``recover`` once, then ``tick`` again and again. Nothing it meets in the folder makes it raise.

    Args:
        results: the folder, its path absolute.
        owner: this process.
        log: for people.
        processes: how to look at and end the processes of a run.
        find_launcher: the launcher of a name in the catalog.
        clock: Unix seconds.
    """

    def __init__(
        self,
        results: ResultsPaths,
        owner: Handle,
        *,
        log: Log,
        processes: RunProcesses,
        find_launcher: Callable[[str], Launcher],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._results = results
        self._log = log
        self._clock = clock
        self._writer = PatientWriter(log, self._write)
        self._statuses = Statuses(self._writer, owner, clock)
        self._inbox = Inbox(results, self._writer, log)
        self._runs = Runs(
            results,
            statuses=self._statuses,
            writer=self._writer,
            log=log,
            processes=processes,
            find_launcher=find_launcher,
            clock=clock,
        )
        self._queue = RunQueue()
        self._cleaned_s = 0.0
        self._start_again_s = 0.0

    def recover(self) -> None:
        """Take over what another supervisor left: its queue, and its runs with their true ends."""
        empty_trash(self._results)
        stored = read_json(self._results.queue)
        if stored is None and self._results.queue.exists():
            self._log.write(f"{self._results.queue} cannot be read: the queue is made anew from the states of the runs")
        self._queue = RunQueue.from_json(stored or {})
        unknown = self._unfinished()
        for entry in [*self._queue.active, *(e for e, state in unknown if is_active(state))]:
            self._queue = self._queue.with_active(entry)
            state = self._runs.adopt(entry)
            if not is_active(state):
                self._note_end(entry, state)
        for entry, state in self._runs.watch():  # before any command: a retry of what died meanwhile must find it ended
            self._note_end(entry, state)
        self._handle_commands()  # one that was half done comes before what it left is put right
        still_queued = [e for e, s in unknown if s is RunState.QUEUED and self._state(e) is RunState.QUEUED]
        self._queue = self._queue.add(sorted(still_queued, key=lambda entry: entry.queued_s))
        self._save_queue()

    def tick(self) -> None:
        """Do what is due now."""
        self._handle_commands()
        ended = self._runs.watch()
        for entry, state in ended:
            self._note_end(entry, state)
        if all(
            state is not RunState.QUEUED for _, state in ended
        ):  # its node runner waits to see that word, and leaves
            self._start_waiting()
        self._runs.beat()
        self._writer.retry()
        if self._clock() - self._cleaned_s > _CLEAN_S:
            self._cleaned_s = self._clock()
            self._inbox.clean(self._cleaned_s)

    def is_idle(self) -> bool:
        """Whether nothing waits and nothing is active."""
        return not self._queue.waiting and not len(self._runs)

    def is_all_written(self) -> bool:
        """Whether every file holds what it should; false on a full disk."""
        return self._writer.num_pending == 0

    def is_waiting_for_room(self) -> bool:
        """Whether what is not written yet only wants room."""
        return self._writer.is_waiting_for_room

    def has_commands(self) -> bool:
        """Whether a command waits."""
        return self._inbox.has_pending()

    def end_everything(self) -> list[int]:
        """End all processes of all active runs at once; return the pids that survived."""
        return self._runs.end_everything()

    def _handle_commands(self) -> None:
        for message in self._inbox.pending():
            reply = self._carry_out(message)
            self._log.write(f"command {message.id}: {reply.message}")
            self._inbox.answer(message, reply)

    def _carry_out(self, message: Message) -> Reply:
        try:
            return self._obey(parse_command(message.value))
        except InputError as error:
            return Reply(ok=False, message=str(error))
        except OSError as error:
            return Reply(
                ok=False, message=f"nothing was changed: cannot write {describe_os_error(error, self._results.root)}"
            )

    def _obey(self, command: Command) -> Reply:
        match command:
            case Enqueue():
                return self._enqueue(command)
            case Stop():
                return self._stop(command)
            case Retry():
                return self._retry(command)
            case Hold():
                return self._hold(command)
            case Move():
                return self._move(command)
            case Delete():
                return self._delete(command)
            case Stacks():
                return self._stacks(command)

    def _enqueue(self, command: Enqueue) -> Reply:
        now_s = self._clock()
        intake = take_in(command, self._results, busy=self._queue.all_keys(), now_s=now_s)
        queue = self._queue.add(intake.new)
        write_json(self._results.queue, queue.to_json())
        self._queue = queue
        for entry in intake.new:
            self._statuses.queued(self._paths(entry), queued_s=now_s)
        under_way = {entry.run_id for entry in intake.new} | set(intake.busy)
        data = {
            "queued": [spec.id for spec in command.runs if spec.id in under_way],
            "active": intake.busy,
            "skipped": intake.skipped,
        }
        counts = f"{len(intake.new)} queued, {len(intake.busy)} under way already, {len(intake.skipped)} skipped"
        return Reply(ok=True, message=f"{command.experiment}: {counts}", data=data)

    def _stop(self, command: Stop) -> Reply:
        everything = [entry.key for entry in self._queue.active + self._queue.waiting]
        data: dict[str, list[list[str]]] = {"stopped": [], "stopping": [], "ended": [], "unknown": []}
        for key in dict.fromkeys(everything if command.runs == "all" else command.runs):
            if key in self._runs:
                self._queue = self._queue.with_active(self._runs.request_stop(key, command.grace_s))
                data["stopping"].append(list(key))
                continue
            paths = self._results.run(*key)
            state = stored_state(read_json(paths.status))
            if key in self._queue or state is RunState.QUEUED:
                self._end_waiting(paths, STOPPED_BY_USER)
                self._queue = self._queue.without([key])
                data["stopped"].append(list(key))
            else:
                data["unknown" if state is None else "ended"].append(list(key))
        self._save_queue()
        return Reply(ok=not data["unknown"], message=_counts("stop", data), data=data)

    def _retry(self, command: Retry) -> Reply:
        now_s = self._clock()
        data: dict[str, list[list[str]]] = {"queued": [], "busy": [], "unknown": []}
        entries = []
        for key in dict.fromkeys(command.runs):
            paths = self._results.run(*key)
            if key in self._queue or key in self._runs:
                data["busy"].append(list(key))
            elif read_json(paths.run) is None:
                data["unknown"].append(list(key))
            else:
                data["queued"].append(list(key))
                entries.append(self._entry_of(key, queued_s=now_s))
        reply = self._change_queue(self._queue.add(entries), _counts("retry", data), data, ok=not data["unknown"])
        for entry in entries:
            self._statuses.queued(self._paths(entry), queued_s=now_s)
        return reply

    def _hold(self, command: Hold) -> Reply:
        """Takes effect on a full disk too: then it is written later."""
        self._queue = self._queue.held(command.is_held)
        is_written = self._save_queue()
        aside = "" if is_written else "; this is written down once there is room for it"
        return Reply(ok=True, message=_hold_message(command, self._queue) + aside)

    def _move(self, command: Move) -> Reply:
        waiting = {entry.key for entry in self._queue.waiting}
        keys = [key for key in command.runs if key in waiting]
        if not keys:
            return Reply(ok=False, message="move: only runs that wait in the queue can be moved")
        return self._change_queue(self._queue.moved(keys, command.by), f"move: {count(len(keys), 'run')} moved")

    def _delete(self, command: Delete) -> Reply:
        data: dict[str, list[list[str]]] = {"deleted": [], "busy": [], "unknown": []}
        for key in dict.fromkeys(command.runs):
            if key in self._queue or key in self._runs or self._runs.is_anything_left(key):
                data["busy"].append(list(key))
            else:
                found = delete_run(self._results, *key)
                data["deleted" if found else "unknown"].append(list(key))
        return Reply(ok=not data["busy"] and not data["unknown"], message=_counts("delete", data), data=data)

    def _stacks(self, command: Stacks) -> Reply:
        data: dict[str, list[list[Any]]] = {"asked": [], "inactive": []}
        for key in dict.fromkeys(command.runs):
            asked = self._runs.ask_for_stacks(key) if key in self._runs else None
            data["asked" if asked else "inactive"].append([*key, *(asked or ())])
        return Reply(ok=not data["inactive"], message=_counts("stacks", data), data=data)

    def _change_queue(
        self, queue: RunQueue, message: str, data: dict[str, Any] | None = None, *, ok: bool = True
    ) -> Reply:
        """Take ``queue`` once it is written.

        Raises:
            OSError: it cannot be; the queue is as it was.
        """
        write_json(self._results.queue, queue.to_json())
        self._queue = queue
        return Reply(ok=ok, message=message, data=data or {})

    def _entry_of(self, key: RunKey, *, queued_s: float) -> QueueEntry:
        plan = read_json(self._results.experiment(key[0]).plan) or {}
        is_stop_on_error = plan.get("on_error") == "stop"
        return QueueEntry(experiment=key[0], run_id=key[1], is_stop_on_error=is_stop_on_error, queued_s=queued_s)

    def _may_start(self) -> bool:
        if not self._queue.waiting or self._queue.is_held or len(self._runs) >= MAX_PARALLEL:
            return False
        return not 0 < self._start_again_s - self._clock() <= _ROOM_EVERY_S  # further off: the clock was set back

    def _start_waiting(self) -> None:
        while self._may_start():
            entry = self._queue.waiting[0]
            self._queue = self._queue.start_next()
            self._save_queue()
            state = self._runs.start(entry)
            if is_terminal(state):
                self._forget(entry, state)
            elif state is RunState.QUEUED:  # there is no room for its files
                self._queue = self._queue.put_back(entry)
                self._save_queue()
                self._start_again_s = self._clock() + _ROOM_EVERY_S

    def _note_end(self, entry: QueueEntry, state: RunState) -> None:
        """Let a run that is started again wait in front; any other leaves the queue."""
        if state is not RunState.QUEUED:
            self._forget(entry, state)
            return
        self._queue = self._queue.put_back(entry)
        self._save_queue()

    def _forget(self, entry: QueueEntry, state: RunState) -> None:
        """Take an ended run out of the queue, and with it what must not start after its failure."""
        behind = self._queue.behind(entry) if state in (RunState.FAILED, RunState.LOST) else []
        for other in behind:
            self._end_waiting(self._paths(other), not_started_reason(entry.run_id))
            self._log.write(f"{other.tag}: {not_started_reason(entry.run_id)}")
        self._queue = self._queue.without([entry.key, *(other.key for other in behind)])
        self._save_queue()

    def _end_waiting(self, paths: RunPaths, reason: str) -> None:
        self._statuses.put(paths, self._statuses.final(paths, RunState.STOPPED, reason))

    def _unfinished(self) -> list[tuple[QueueEntry, RunState]]:
        """Runs whose status is not final and that the queue does not know: killed between two writes, or it is lost."""
        found = []
        for name in list_experiments(self._results):
            experiment = self._results.experiment(name)
            is_stop_on_error = (read_json(experiment.plan) or {}).get("on_error") == "stop"
            for paths in list_runs(experiment):
                status = read_json(paths.status) or {}
                state = stored_state(status)
                if state is None or is_terminal(state) or (name, paths.run_id) in self._queue:
                    continue
                entry = QueueEntry(
                    experiment=name,
                    run_id=paths.run_id,
                    is_stop_on_error=is_stop_on_error,
                    queued_s=number(status, "queued_s") or self._clock(),
                    stop_by_s=self._clock() + _STOP_GRACE_S if state is RunState.STOPPING else None,
                )
                found.append((entry, state))
        return found

    def _write(self, path: Path, value: dict[str, Any]) -> None:
        if not self._results.root.is_dir():  # deleted while we ran: it must not rise again with a status in it
            raise FileNotFoundError(errno.ENOENT, "the results folder is gone", str(self._results.root))
        if self._results.control not in path.parents and not path.parent.is_dir():  # a run's: the same
            raise FileNotFoundError(errno.ENOENT, "its folder was deleted", str(path))
        write_json(path, value)

    def _save_queue(self) -> bool:
        """Write it, now or later; return whether it is written."""
        return self._writer.put(self._results.queue, self._queue.to_json())

    def _state(self, entry: QueueEntry) -> RunState | None:
        paths = self._paths(entry)
        return stored_state(self._statuses.latest(paths))

    def _paths(self, entry: QueueEntry) -> RunPaths:
        return self._results.run(entry.experiment, entry.run_id)


def _counts(what: str, data: Mapping[str, Sequence[object]]) -> str:
    counts = ", ".join(f"{len(keys)} {name}" for name, keys in data.items() if keys)
    return f"{what}: {counts or f'nothing to {what}'}"


def _hold_message(command: Hold, queue: RunQueue) -> str:
    waiting = len(queue.waiting)
    if command.is_held:
        return f"the queue is held; waiting: {waiting}"
    return f"the queue goes on; waiting: {waiting}"
