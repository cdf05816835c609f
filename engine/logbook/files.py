"""Which log files an attempt has, and when the lines of each were written."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.logbook.index import EventIndex, LineIndex
from engine.logbook.times import Samples
from engine.store import AttemptPaths

__all__ = ["ALL_STREAMS", "FileName", "Found", "LogFile", "find_files"]

ALL_STREAMS = ("out", "err", "event", "node")
"""A rank's own output, its errors, event lines (of ranks and nodes), and the logs of the nodes."""

_LOG_NAME = re.compile(r"rank(?P<rank>\d{1,9})\.(?P<stream>out|err)|node(?P<node>\d{1,9})\.log")
_EVENT_NAME = re.compile(r"(?P<whose>rank|node)(?P<number>\d{1,9})\.jsonl")


@dataclass(frozen=True, kw_only=True)
class FileName:
    """Which file it is.

    Attributes:
        is_node: whether it is a node's and not a rank's.
        number: the rank, or the node's rank.
        stream: one of ``ALL_STREAMS``.
    """

    is_node: bool
    number: int
    stream: str

    @property
    def place(self) -> tuple[bool, int, int]:
        """Where its lines stand among those of the same time: ranks before nodes, output before errors."""
        return self.is_node, self.number, ALL_STREAMS.index(self.stream)

    @property
    def rank(self) -> int | None:
        """Whose it is; None for a node's."""
        return None if self.is_node else self.number

    @property
    def samples_key(self) -> tuple[str, int]:
        """Under which name its size is noted."""
        return (f"node{self.number}", 0) if self.is_node else (str(self.number), int(self.stream == "err"))

    def path(self, attempt: AttemptPaths) -> Path:
        """Where it is."""
        if self.stream == "event":
            return attempt.node_events(self.number) if self.is_node else attempt.events(self.number)
        if self.is_node:
            return attempt.node_log(self.number)
        return attempt.out(self.number) if self.stream == "out" else attempt.err(self.number)


class Found:
    """The files of an attempt as they appear; a folder is read again only when it has changed.

    Args:
        attempt: whose.
    """

    def __init__(self, attempt: AttemptPaths) -> None:
        self.names: tuple[FileName, ...] = ()
        self._attempt = attempt
        self._seen: tuple[int, ...] = ()

    def look(self) -> bool:
        """Look again; return whether there are other files than before."""
        folders = (self._attempt.out(0).parent, self._attempt.events(0).parent)
        seen = tuple(_changed_ns(folder) for folder in folders)
        if seen == self._seen:
            return False
        self._seen = seen
        names = find_files(self._attempt)
        is_new, self.names = names != self.names, names
        return is_new

    @property
    def ranks(self) -> tuple[int, ...]:
        """The ranks that have files, in their order."""
        return tuple(sorted({name.number for name in self.names if not name.is_node}))

    def node_events(self) -> list[tuple[int, Path]]:
        """The event files of the nodes."""
        nodes = [name for name in self.names if name.is_node and name.stream == "event"]
        return [(name.number, name.path(self._attempt)) for name in nodes]

    def chosen(self, streams: Collection[str], rank: int | None) -> list[FileName]:
        """The files of these streams, and of one rank where ``rank`` is given; logs of nodes belong to every rank."""
        return [
            name
            for name in self.names
            if name.stream in streams and (rank is None or name.rank == rank or name.stream == "node")
        ]


def find_files(attempt: AttemptPaths) -> tuple[FileName, ...]:
    """Return the log and event files that an attempt has now, in their order."""
    logs = [match for entry in _entries(attempt.out(0).parent) if (match := _LOG_NAME.fullmatch(entry))]
    events = [match for entry in _entries(attempt.events(0).parent) if (match := _EVENT_NAME.fullmatch(entry))]
    names = [
        FileName(
            is_node=match["node"] is not None,
            number=int(match["node"] or match["rank"]),
            stream=match["stream"] or "node",
        )
        for match in logs
    ]
    names += [
        FileName(is_node=match["whose"] == "node", number=int(match["number"]), stream="event") for match in events
    ]
    return tuple(sorted(names, key=lambda name: name.place))


class LogFile:
    """One file: its lines, and when each was written.

    Args:
        name: which.
        attempt: whose.
        samples: of its size; not used for event files, whose lines carry their time.
    """

    def __init__(self, name: FileName, attempt: AttemptPaths, samples: Samples) -> None:
        self.name = name
        self._samples = samples
        path = name.path(attempt)
        self._events = EventIndex(path) if name.stream == "event" else None
        self.index: LineIndex = self._events if self._events is not None else LineIndex(path)

    @property
    def has_partial(self) -> bool:
        """Whether a line is being written; half an event says nothing."""
        return self._events is None and self.index.partial_bytes > 0

    def time_s(self, line: int) -> float | None:
        """When a line was written (Unix time); None where that is not known. It does not fall from line to line."""
        if self._events is not None:
            times = self._events.times
            return (times[min(line, len(times) - 1)] or None) if times else None
        return self.time_at(self.index.span(line)[1])

    def time_at(self, end: int) -> float | None:
        """When what ends at this offset was written; None where that is not known."""
        if self._events is not None:
            return self.index.written_s
        return self._samples.time_at(end, self.index.written_s)


def _entries(folder: Path) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            yield from [entry.name for entry in entries]
    except OSError:
        return


def _changed_ns(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return 0
