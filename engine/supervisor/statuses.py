"""The status of every run that the supervisor has in hand: one writer, one place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.core.fields import number, text, whole_or
from engine.core.state import RunState
from engine.processes import Handle
from engine.store import RunPaths, read_json
from engine.supervisor.writer import PatientWriter

__all__ = ["Statuses"]


class Statuses:
    """Makes and writes ``status.json``.

    Args:
        writer: keeps trying where the disk is full.
        owner: the supervisor that writes.
        clock: Unix seconds.
    """

    def __init__(self, writer: PatientWriter, owner: Handle, clock: Callable[[], float]) -> None:
        self._writer = writer
        self._owner = owner
        self._clock = clock

    def queued(self, paths: RunPaths, *, queued_s: float) -> None:
        """Somebody asked for it, again perhaps: only the number of the last attempt stays."""
        attempt = whole_or(read_json(paths.status) or {}, "attempt", 0)
        self._write(paths, self._fresh(queued_s=queued_s, attempt=attempt))

    def waiting_again(self, paths: RunPaths, *, queued_s: float) -> None:
        """It waits again since its start was not carried out: a restart stays one."""
        self._write(paths, {**self._again(paths, queued_s), "state": RunState.QUEUED})

    def waiting_for_room(self, paths: RunPaths, *, queued_s: float, reason: str) -> None:
        """It waits again since there is no room for its files."""
        self._write(paths, {**self._again(paths, queued_s), "state": RunState.QUEUED, "reason": reason})

    def restarting(self, paths: RunPaths, *, queued_s: float, note: str) -> None:
        """It fell and is to be started again.

        Args:
            paths: its folder.
            queued_s: Unix seconds.
            note: says so, for people.
        """
        value = self._again(paths, queued_s)
        self._write(paths, {**value, "reason": note, "restarts": value["restarts"] + 1})

    def starting(self, paths: RunPaths, *, queued_s: float, attempt: int) -> None:
        """Its files are there and its node runners are about to start."""
        value = {**self._again(paths, queued_s), "attempt": attempt}
        self._write(paths, {**value, "state": RunState.STARTING, "started_s": self._clock()})

    def active(self, paths: RunPaths, state: RunState, reason: str = "") -> None:
        """It is starting, running or stopping, and we are there: the heartbeat."""
        value, latest = self._stored(paths), self.latest(paths)
        if state is RunState.STARTING and latest.get("state") != RunState.STALLED:
            reason = text(latest, "reason") or ""  # why it is started again is told until it runs
        self._write(paths, {**value, "state": state, "reason": reason})

    def final(self, paths: RunPaths, state: RunState, reason: str, *, exit_code: int | None = None) -> dict[str, Any]:
        """Return what ``put`` shall write at the end, after the summary that is made from it."""
        now_s = self._clock()
        value = {**self._stored(paths), "state": state, "reason": reason, "exit_code": exit_code}
        return {**value, "ended_s": now_s, "updated_s": now_s, "handle": self._owner.to_json()}

    def num_restarts(self, paths: RunPaths) -> int:
        """Attempts that were added after faults since somebody asked for the run."""
        return whole_or(self.latest(paths), "restarts", 0)

    def latest(self, paths: RunPaths) -> dict[str, Any]:
        """What was put last, written or not; empty where there is none."""
        return self._writer.pending(paths.status) or read_json(paths.status) or {}

    def put(self, paths: RunPaths, value: dict[str, Any]) -> None:
        """Write a status that ``final`` made."""
        self._writer.put(paths.status, value)

    def _write(self, paths: RunPaths, value: dict[str, Any]) -> None:
        self.put(paths, {**value, "updated_s": self._clock(), "handle": self._owner.to_json()})

    def _stored(self, paths: RunPaths) -> dict[str, Any]:
        stored = self.latest(paths)
        return {
            **self._fresh(queued_s=number(stored, "queued_s"), attempt=whole_or(stored, "attempt", 0)),
            "started_s": number(stored, "started_s"),
            "restarts": self.num_restarts(paths),
        }

    def _again(self, paths: RunPaths, queued_s: float) -> dict[str, Any]:
        """Of a run that waits or did not begin: where it is being restarted, the note and the number of it."""
        stored, restarts = self.latest(paths), self.num_restarts(paths)
        fresh = self._fresh(queued_s=queued_s, attempt=whole_or(stored, "attempt", 0))
        note = text(stored, "reason") or "" if restarts else ""
        return {**fresh, "reason": note, "restarts": restarts}

    def _fresh(self, *, queued_s: float | None, attempt: int) -> dict[str, Any]:
        return {
            "state": RunState.QUEUED,
            "reason": "",
            "attempt": attempt,
            "restarts": 0,
            "queued_s": queued_s,
            "started_s": None,
            "ended_s": None,
            "updated_s": None,
            "exit_code": None,
            "handle": None,
        }
