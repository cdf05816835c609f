"""The queue of a results folder as a value: what waits in which order, and what is active."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from engine.core.fields import number, text

__all__ = ["QueueEntry", "RunKey", "RunQueue"]

RunKey = tuple[str, str]
"""Experiment and run id."""


@dataclass(frozen=True, kw_only=True)
class QueueEntry:
    """One run that was asked for.

    Attributes:
        experiment, run_id: which.
        is_stop_on_error: whether its failure ends the rest of its experiment.
        queued_s: Unix seconds.
        stop_by_s: Unix seconds by which it must have ended; None where nobody asked for its end.
    """

    experiment: str
    run_id: str
    is_stop_on_error: bool = False
    queued_s: float
    stop_by_s: float | None = None

    @property
    def key(self) -> RunKey:
        """What it is known by."""
        return self.experiment, self.run_id

    @property
    def tag(self) -> str:
        """What its processes carry in ``DDPTUI_RUN_ID``, and its name for people."""
        return f"{self.experiment}/{self.run_id}"


@dataclass(frozen=True, kw_only=True)
class RunQueue:
    """Order is kept; every method returns a new queue."""

    waiting: tuple[QueueEntry, ...] = ()
    active: tuple[QueueEntry, ...] = ()
    is_held: bool = False
    """Nothing that waits is started; what is active goes on."""

    def __contains__(self, key: RunKey) -> bool:
        return any(entry.key == key for entry in self.waiting + self.active)

    def all_keys(self) -> set[RunKey]:
        """The keys of everything that waits or is active."""
        return {entry.key for entry in self.waiting + self.active}

    def add(self, entries: Sequence[QueueEntry]) -> RunQueue:
        """Put ``entries`` at the end; those that are in it already stay where they are."""
        known = self.all_keys()
        return replace(self, waiting=self.waiting + tuple(entry for entry in entries if entry.key not in known))

    def start_next(self) -> RunQueue:
        """Make the first waiting one active."""
        return replace(self, waiting=self.waiting[1:], active=(*self.active, self.waiting[0]))

    def held(self, is_held: bool) -> RunQueue:
        """Hold it, or let it go on."""
        return replace(self, is_held=is_held)

    def moved(self, keys: Collection[RunKey], by: int) -> RunQueue:
        """Move waiting ``keys`` by so many places: to the front where ``by`` is negative, as far as there is room.

        They keep their order; what they pass keeps its own.
        """
        waiting = list(self.waiting)
        for _ in range(min(abs(by), len(waiting))):
            waiting = _one_earlier(waiting, keys) if by < 0 else _one_earlier(waiting[::-1], keys)[::-1]
        return replace(self, waiting=tuple(waiting))

    def put_back(self, entry: QueueEntry) -> RunQueue:
        """Let an active one that has not begun wait again, in front."""
        rest = self.without([entry.key])
        return replace(rest, waiting=(replace(entry, stop_by_s=None), *rest.waiting))

    def without(self, keys: Collection[RunKey]) -> RunQueue:
        """Take out ``keys`` wherever they are."""
        return replace(
            self,
            waiting=tuple(entry for entry in self.waiting if entry.key not in keys),
            active=tuple(entry for entry in self.active if entry.key not in keys),
        )

    def with_active(self, entry: QueueEntry) -> RunQueue:
        """Replace what is known of an active one, or make it active."""
        rest = self.without([entry.key])
        return replace(rest, active=(*rest.active, entry))

    def behind(self, failed: QueueEntry) -> list[QueueEntry]:
        """What must not start because ``failed`` failed."""
        if not failed.is_stop_on_error:
            return []
        return [entry for entry in self.waiting if entry.experiment == failed.experiment]

    def to_json(self) -> dict[str, Any]:
        """Return what ``queue.json`` holds."""
        return {
            "format": 1,
            "is_held": self.is_held,
            "active": [asdict(entry) for entry in self.active],
            "waiting": [asdict(entry) for entry in self.waiting],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> RunQueue:
        """Read it; entries that are none are left out, and of two with the same key the first counts."""
        active = _entries(value.get("active"))
        return cls(active=tuple(active), is_held=value.get("is_held") is True).add(_entries(value.get("waiting")))


def _one_earlier(entries: Sequence[QueueEntry], keys: Collection[RunKey]) -> list[QueueEntry]:
    """Those of ``keys`` change places with the one before them, unless that is of ``keys`` too or there is none."""
    moved = list(entries)
    for place in range(1, len(moved)):
        if moved[place].key in keys and moved[place - 1].key not in keys:
            moved[place - 1], moved[place] = moved[place], moved[place - 1]
    return moved


def _entries(value: object) -> list[QueueEntry]:
    entries = (_entry(item) for item in value) if isinstance(value, list) else ()
    unique = {entry.key: entry for entry in reversed([e for e in entries if e is not None])}
    return list(reversed(unique.values()))


def _entry(item: object) -> QueueEntry | None:
    if not isinstance(item, dict):
        return None
    experiment, run_id, queued_s = text(item, "experiment"), text(item, "run_id"), number(item, "queued_s")
    if not experiment or not run_id or queued_s is None:
        return None
    if any("/" in name or name.startswith(".") for name in (experiment, run_id)):  # it would lead out of the folder
        return None
    return QueueEntry(
        experiment=experiment,
        run_id=run_id,
        is_stop_on_error=item.get("is_stop_on_error") is True,
        queued_s=queued_s,
        stop_by_s=number(item, "stop_by_s"),
    )
