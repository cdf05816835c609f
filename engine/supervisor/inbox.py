"""The commands that wait in ``.ddptui/commands``, and the answers to them.

Both are JSON files; where the disk has no room for one it is spelled in the names of empty files (``engine.spelled``).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.core.commands import Reply
from engine.ownership import RefusedFileError, read_own_json
from engine.spelled import find_spelled, is_spelled, read_spelled, remove_files, spell
from engine.store import ResultsPaths
from engine.supervisor.writer import Log, PatientWriter

__all__ = ["Inbox", "Message"]

_REPLY_KEPT_S = 600.0


@dataclass(frozen=True)
class Message:
    """One command: its order by id is the order in time. ``value`` None: no JSON object."""

    id: str
    paths: tuple[Path, ...]
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
        self._answered: dict[str, tuple[Path, ...]] = {}

    def pending(self) -> list[Message]:
        """Return the commands that were not carried out yet, oldest first; those of other users are ignored."""
        self._remove_answered()
        messages = []
        for message_id, names in self._waiting().items():
            paths = tuple(self._commands / name for name in names)
            if self._has_reply(message_id):  # a supervisor that was killed between its reply and here
                self._answered[message_id] = paths
                continue
            try:
                messages.append(Message(message_id, paths, self._read(names)))
            except RefusedFileError as error:
                self._ignored.add(message_id)
                self._log.write(f"ignored the command {names[0][:80]}: it {error}")
        self._remove_answered()
        return messages

    def has_pending(self) -> bool:
        """Whether a command waits; reads no file."""
        return bool(self._waiting())

    def answer(self, message: Message, reply: Reply) -> None:
        """Write the reply (on a full disk spelled in names, or later), then remove the command."""
        path, value = self._reply(message.id), reply.model_dump()
        has_no_room = not self._writer.put(path, value) and self._writer.is_pending(path)
        if has_no_room and self._writer.is_waiting_for_room and spell(self._replies, message.id, value):
            self._writer.forget(path)
        self._answered[message.id] = message.paths
        self._remove_answered()

    def clean(self, now_s: float) -> None:
        """Remove replies that nobody fetched, and parts of commands whose sender was killed.

        Args:
            now_s: Unix seconds.
        """
        try:
            old = _old_files(self._replies, now_s)
            torn = [path for path in _old_files(self._commands, now_s) if is_spelled(path.name)]
        except OSError:
            return  # no folder yet, or somebody else removed it
        remove_files([*old, *torn])

    def _waiting(self) -> dict[str, list[str]]:
        """The names of the files of each command, by its id, in the order of time."""
        names = _list(self._commands)
        found = {name.removesuffix(".json"): [name] for name in names if name.endswith(".json") and name[0] != "."}
        found = find_spelled(names) | found
        left_out = self._ignored | self._answered.keys()
        return {message_id: found[message_id] for message_id in sorted(found) if message_id not in left_out}

    def _read(self, names: list[str]) -> dict[str, Any] | None:
        if is_spelled(names[0]):
            return read_spelled(self._commands, names)
        return read_own_json(self._commands / names[0])

    def _reply(self, message_id: str) -> Path:
        return self._replies / f"{message_id}.json"

    def _has_reply(self, message_id: str) -> bool:
        return self._reply(message_id).exists() or message_id in find_spelled(_list(self._replies))

    def _remove_answered(self) -> None:
        for message_id, paths in list(self._answered.items()):
            if self._writer.is_pending(self._reply(message_id)):
                continue
            for path in paths:
                try:
                    path.unlink(missing_ok=True)
                except OSError as error:
                    self._ignored.add(message_id)
                    self._log.write(f"cannot remove the command {path.name}, ignoring it: {error.strerror or error}")
            del self._answered[message_id]


def _list(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _old_files(folder: Path, now_s: float) -> list[Path]:
    with os.scandir(folder) as entries:
        return [Path(entry.path) for entry in entries if now_s - entry.stat().st_mtime > _REPLY_KEPT_S]
