"""The commands that wait in ``.ddptui/commands``, and the answers to them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.core.commands import Reply
from engine.ownership import RefusedFileError, read_own_json
from engine.store import ResultsPaths
from engine.supervisor.writer import Log, PatientWriter

__all__ = ["Inbox", "Message"]

_REPLY_KEPT_S = 600.0


@dataclass(frozen=True)
class Message:
    """One command file: its id is its name, its order by name is the order in time. ``value`` None: no JSON object."""

    id: str
    path: Path
    value: dict[str, Any] | None


class Inbox:
    """Every command is carried out once: its file goes only after its reply is there, and a reply says it was done.

    Args:
        results: the folder.
        writer: for the replies.
        log: for what cannot be read or removed.
    """

    def __init__(self, results: ResultsPaths, writer: PatientWriter, log: Log) -> None:
        self._commands = results.commands
        self._replies = results.replies
        self._writer = writer
        self._log = log
        self._ignored: set[str] = set()
        self._answered: dict[str, Path] = {}

    def pending(self) -> list[Message]:
        """Return the commands that were not carried out yet, oldest first; those of other users are ignored."""
        self._remove_answered()
        messages = []
        for name in self._names():
            message_id = name.removesuffix(".json")
            path = self._commands / name
            if (self._replies / name).exists():  # a supervisor that was killed between its reply and here
                self._answered[message_id] = path
                continue
            try:
                messages.append(Message(message_id, path, read_own_json(path)))
            except RefusedFileError as error:
                self._ignored.add(name)
                self._log.write(f"ignored the command {name}: it {error}")
        self._remove_answered()
        return messages

    def has_pending(self) -> bool:
        """Whether a command waits; reads no file."""
        return bool(self._names())

    def answer(self, message: Message, reply: Reply) -> None:
        """Write the reply (now or, on a full disk, later), then remove the command."""
        self._writer.put(self._replies / message.path.name, reply.model_dump())
        self._answered[message.id] = message.path
        self._remove_answered()

    def clean(self, now_s: float) -> None:
        """Remove replies that nobody fetched.

        Args:
            now_s: Unix seconds.
        """
        try:
            with os.scandir(self._replies) as entries:
                old = [entry.path for entry in entries if now_s - entry.stat().st_mtime > _REPLY_KEPT_S]
            for path in old:
                os.unlink(path)
        except OSError:
            return  # no folder yet, or somebody else removed it

    def _names(self) -> list[str]:
        try:
            names = os.listdir(self._commands)
        except OSError:
            return []
        wanted = (name for name in names if name.endswith(".json") and not name.startswith("."))
        return sorted(n for n in wanted if n not in self._ignored and n.removesuffix(".json") not in self._answered)

    def _remove_answered(self) -> None:
        for message_id, path in list(self._answered.items()):
            if self._writer.is_pending(self._replies / path.name):
                continue
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                self._ignored.add(path.name)
                self._log.write(f"cannot remove the command {path.name}, ignoring it: {error.strerror or error}")
            del self._answered[message_id]
