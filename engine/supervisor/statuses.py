"""The status of every run that the supervisor has in hand: one writer, one place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.core.fields import number, whole_or
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
        """It waits, again perhaps: only the number of the last attempt stays."""
        attempt = whole_or(read_json(paths.status) or {}, "attempt", 0)
        self._write(paths, self._fresh(queued_s=queued_s, attempt=attempt))

    def starting(self, paths: RunPaths, *, queued_s: float, attempt: int) -> None:
        """Its files are there and its node runners are about to start."""
        now_s = self._clock()
        value = self._fresh(queued_s=queued_s, attempt=attempt)
        self._write(paths, {**value, "state": RunState.STARTING, "started_s": now_s})

    def active(self, paths: RunPaths, state: RunState, reason: str = "") -> None:
        """It is starting, running or stopping, and we are there: the heartbeat."""
        self._write(paths, {**self._stored(paths), "state": state, "reason": reason})

    def final(self, paths: RunPaths, state: RunState, reason: str, *, exit_code: int | None = None) -> dict[str, Any]:
        """Return what ``put`` shall write at the end, after the summary that is made from it."""
        now_s = self._clock()
        value = {**self._stored(paths), "state": state, "reason": reason, "exit_code": exit_code}
        return {**value, "ended_s": now_s, "updated_s": now_s, "handle": self._owner.to_json()}

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
        }

    def _fresh(self, *, queued_s: float | None, attempt: int) -> dict[str, Any]:
        return {
            "state": RunState.QUEUED,
            "reason": "",
            "attempt": attempt,
            "queued_s": queued_s,
            "started_s": None,
            "ended_s": None,
            "updated_s": None,
            "exit_code": None,
            "handle": None,
        }
